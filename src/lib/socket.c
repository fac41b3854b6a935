/* SPDX-License-Identifier: MIT */
/*
 * Asks the kernel about a socket by its descriptor alone, and sets options of it. mpecho gets many
 * descriptors from others: from systemd, from its descriptor store, from handlers. Neither a name
 * nor a position shows what they are.
 *
 * Other processes hold many of these sockets too: systemd holds the listeners and stored
 * connections. Nothing here may block, shut a socket down or change its file status flags.
 */
#include "lib/socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"

/* Older headers lack it. sparc and parisc have numbers of their own. */
#if !defined(SO_PASSRIGHTS) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSRIGHTS 83
#endif

/* Returns the value of a socket option that is a number, or @otherwise. */
static int socket_get(int fd, int option, int otherwise) {
        int value;
        socklen_t size = sizeof value;

        return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : otherwise;
}

uint64_t socket_cookie(int fd) {
        uint64_t cookie;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

bool socket_is_stream(int fd) {
        return socket_get(fd, SO_TYPE, -1) == SOCK_STREAM && socket_get(fd, SO_ACCEPTCONN, 1) == 0;
}

bool socket_is_datagram(int fd) {
        const int domain = socket_get(fd, SO_DOMAIN, -1);

        if (socket_get(fd, SO_TYPE, -1) != SOCK_DGRAM)
                return false;
        return domain == AF_UNIX || ((domain == AF_INET || domain == AF_INET6) &&
                                     socket_get(fd, SO_PROTOCOL, -1) == IPPROTO_UDP);
}

bool socket_is_local(int fd) {
        return socket_get(fd, SO_DOMAIN, -1) == AF_UNIX;
}

static void socket_set_descriptors(int fd, int permitted) {
#ifdef SO_PASSRIGHTS
        (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &permitted, sizeof permitted);
#else
        (void)fd;
#endif
}

void socket_refuse_descriptors(int fd) {
        socket_set_descriptors(fd, 0);
}

void socket_permit_descriptors(int fd) {
        socket_set_descriptors(fd, 1);
}

static bool socket_is_ready(int fd, short events) {
        struct pollfd polled = { .fd = fd, .events = events };

        return poll(&polled, 1, 0) > 0;
}

bool socket_is_readable(int fd) {
        return socket_is_ready(fd, POLLIN);
}

bool socket_is_writable(int fd) {
        return socket_is_ready(fd, POLLOUT);
}

void socket_set_reset(int fd) {
        const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void socket_unset_reset(int fd) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){}, sizeof(struct linger));
}

void socket_reset(int fd) {
        socket_set_reset(fd);
        close(fd);
}

void socket_set_timeout(int fd, int option, uint64_t duration) {
        const struct timeval timeout = { .tv_sec = (time_t)(duration / CLOCK_SECOND),
                                         .tv_usec = (suseconds_t)(duration % CLOCK_SECOND /
                                                                  CLOCK_MICROSECOND) };

        /* Cannot fail on a stream socket. */
        (void)setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof timeout);
}
