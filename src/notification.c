#include "notification.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int notification_open(Endpoint *ret_manager) {
        const char *name = getenv("NOTIFY_SOCKET"), *why;
        int fd;

        if (name == NULL || !endpoint_is_local(name) ||
            endpoint_parse_local(name, ret_manager, &why) < 0)
                return -ENOTCONN;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
}

int notification_send(int socket, const Endpoint *manager, const char *message, const int *fds,
                      size_t n, int flags) {
        union {
                char room[CMSG_SPACE(NOTIFICATION_FDS_MOST * sizeof(int))];
                struct cmsghdr alignment;
        } control;
        struct iovec data = { .iov_base = (char *)message, .iov_len = strlen(message) };
        struct msghdr header = { .msg_name = (struct sockaddr *)&manager->any,
                                 .msg_namelen = manager->length,
                                 .msg_iov = &data,
                                 .msg_iovlen = 1 };

        if (n > 0) {
                header.msg_control = control.room;
                header.msg_controllen = CMSG_SPACE(n * sizeof(int));
                memset(control.room, 0, header.msg_controllen);
                control.alignment = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                                      .cmsg_type = SCM_RIGHTS,
                                                      .cmsg_len = CMSG_LEN(n * sizeof(int)) };
                memcpy(CMSG_DATA(&control.alignment), fds, n * sizeof(int));
        }
        while (sendmsg(socket, &header, flags | MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}
