/* SPDX-License-Identifier: MIT */
#include "lib/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Room for the control message with all descriptors; cmsg(3). */
typedef union Control {
        char room[CMSG_SPACE(PASSING_MOST * sizeof(int))];
        struct cmsghdr header;
} Control;

int passing_send(int socket, const Endpoint *to, const void *data, size_t size, const int *fds,
                 size_t n, int flags) {
        Control control;
        struct iovec vector = { .iov_base = (void *)data, .iov_len = size };
        struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

        if (to != NULL) {
                message.msg_name = (struct sockaddr *)&to->any;
                message.msg_namelen = to->length;
        }
        if (n > 0) {
                message.msg_control = control.room;
                message.msg_controllen = CMSG_SPACE(n * sizeof(int));
                memset(control.room, 0, message.msg_controllen);
                control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                                   .cmsg_type = SCM_RIGHTS,
                                                   .cmsg_len = CMSG_LEN(n * sizeof(int)) };
                memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
        }
        while (sendmsg(socket, &message, flags | MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

int passing_receive(int socket, int *ret_fds, size_t most, int flags) {
        Control control;
        char byte;
        struct iovec vector = { .iov_base = &byte, .iov_len = sizeof byte };
        struct msghdr message = { .msg_iov = &vector,
                                  .msg_iovlen = 1,
                                  .msg_control = control.room,
                                  .msg_controllen = CMSG_LEN(most * sizeof(int)) };

        while (recvmsg(socket, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
                if (errno != EINTR)
                        return -errno;
        /* Whoever made the socket may have asked for other things to come with it (socket(7)), and
         * need not have sent a byte. The descriptors are open here in any case. */
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
