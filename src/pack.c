#include "pack.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the control message with all descriptors; cmsg(3). */
typedef union Control {
        char room[CMSG_SPACE(STORE_MOST * sizeof(int))];
        struct cmsghdr alignment;
} Control;

int pack_new(const int *fds, size_t n) {
        Control control = {};
        struct iovec data = { .iov_base = &(char){ 0 }, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &data,
                                  .msg_iovlen = 1,
                                  .msg_control = control.room,
                                  .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n * sizeof(int));
        do
                r = sendmsg(pair[1], &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
        while (r == -EINTR);
        close(pair[1]);
        if (r == 0)
                return pair[0];
        close(pair[0]);
        return r;
}

int pack_open(int pack, int ret_fds[static STORE_MOST]) {
        Control control;
        char byte;
        struct iovec data = { .iov_base = &byte, .iov_len = sizeof byte };
        struct msghdr message = { .msg_iov = &data,
                                  .msg_iovlen = 1,
                                  .msg_control = control.room,
                                  .msg_controllen = sizeof control.room };

        while (recvmsg(pack, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
                if (errno != EINTR)
                        return -errno;
        /* Whoever made it may have asked for other things to come with it (socket(7)), and need not
         * have sent a byte. The descriptors are open here in any case. */
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
             header = CMSG_NXTHDR(&message, header)) {
                const size_t size = header->cmsg_len - CMSG_LEN(0);

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                memcpy(ret_fds, CMSG_DATA(header), size);
                return (int)(size / sizeof(int));
        }
        return -EBADMSG;
}
