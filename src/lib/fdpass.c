/* SPDX-License-Identifier: MIT */
/*
 * Passes descriptors over Unix sockets (SCM_RIGHTS, unix(7)). Handlers send their connections to
 * the master this way, and bundles and systemd's store consist of such messages.
 *
 * The order of the descriptors has a meaning. If the kernel cannot open all of them here, it opens
 * the first ones and sets MSG_CTRUNC; such a message is an error, and the opened ones are closed.
 * Nothing here may leak a descriptor.
 */
#include "lib/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/descriptor.h"

/* Older kernels' headers lack it. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* Room for the control messages with the sender and FDPASS_MOST descriptors, aligned for their
 * headers (cmsg(3)), and for all others that a sender can have enabled on the socket (socket(7)):
 * the kernel closes the descriptors that have no room. */
typedef union Control {
        char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDPASS_MOST * sizeof(int)) + 4096];
        struct cmsghdr header;
} Control;

int fdpass_send(int socket, const Endpoint *to, const void *data, size_t size, const int *fds,
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

/* Closes the descriptor of the sender (SO_PASSPIDFD, unix(7)), which the kernel adds to a message
 * if another process that has the socket wants that. */
static void header_close_sender(struct cmsghdr *header) {
        int process;

        memcpy(&process, CMSG_DATA(header), sizeof process);
        descriptor_close(process);
}

/* Takes the descriptors from a received @message, and notes whether it names its sender. The sender
 * may have enabled other control messages too (socket(7)). Returns the number of descriptors, or
 * -EMFILE. */
static int fdpass_take(struct msghdr *message, bool *ret_attested, int *ret_fds) {
        int n = 0;

        *ret_attested = false;
        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
             header = CMSG_NXTHDR(message, header)) {
                const size_t size = header->cmsg_len - CMSG_LEN(0);

                if (header->cmsg_level != SOL_SOCKET)
                        continue;
                if (header->cmsg_type == SCM_CREDENTIALS)
                        *ret_attested = true;
                if (header->cmsg_type == SCM_PIDFD && size == sizeof(int))
                        header_close_sender(header);
                if (header->cmsg_type != SCM_RIGHTS)
                        continue;
                memcpy(ret_fds, CMSG_DATA(header), size);
                n = (int)(size / sizeof(int));
        }
        if ((message->msg_flags & MSG_CTRUNC) == 0)
                return n;

        while (n > 0)
                close(ret_fds[--n]);
        return -EMFILE;
}

int fdpass_receive(int socket, FdpassNote *ret_note, int ret_fds[static FDPASS_MOST], int flags) {
        Control control;
        struct iovec vector = { .iov_base = ret_note->data, .iov_len = sizeof ret_note->data };
        struct msghdr message;
        ssize_t size;

        do {
                message = (struct msghdr){ .msg_iov = &vector,
                                           .msg_iovlen = 1,
                                           .msg_control = control.room,
                                           .msg_controllen = sizeof control.room };
                size = recvmsg(socket, &message, flags | MSG_TRUNC | MSG_CMSG_CLOEXEC);
        } while (size < 0 && errno == EINTR);
        if (size < 0)
                return -errno;
        ret_note->size = (size_t)size;
        return fdpass_take(&message, &ret_note->attested, ret_fds);
}
