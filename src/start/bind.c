/* SPDX-License-Identifier: MIT */
/*
 * Opens sockets at the addresses of the command line, with the options of mpecho.socket and
 * mpecho-udp.socket. Connections inherit these options.
 *
 * A running server must never lose its socket: bind_open() replaces the file of a Unix socket only
 * when a connection attempt shows that no process listens. An IPv6 address must never accept IPv4.
 */
#include "start/bind.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096

/* As in mpecho.socket and mpecho-udp.socket; the kernel cuts them to net.core.wmem_max and
 * net.core.rmem_max. */
#define STREAM_SEND_BUFFER      (512 * 1024)
#define STREAM_RECEIVE_BUFFER   (256 * 1024)
#define DATAGRAM_SEND_BUFFER    (32 * 1024 * 1024)
#define DATAGRAM_RECEIVE_BUFFER (4 * 1024 * 1024)

/* As in mpecho.socket: the kernel notices after two minutes that a peer has vanished. */
enum {
        KEEPALIVE_SECONDS = 60,
        KEEPALIVE_INTERVAL_SECONDS = 10,
        KEEPALIVE_PROBES = 6,
};

/* Returns whether the socket file at @endpoint is left over from a process that was killed. */
static bool socket_file_is_stale(const Endpoint *endpoint) {
        const char *path = endpoint->local.sun_path;
        struct stat status;
        bool refused;
        int fd;

        if (endpoint->any.sa_family != AF_UNIX || path[0] == '\0')
                return false;
        if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
                return false;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return false;
        refused = connect(fd, &endpoint->any, endpoint->length) < 0 && errno == ECONNREFUSED;
        close(fd);
        return refused;
}

static void bind_set_tcp(int fd) {
        static const struct {
                int level;
                int option;
                int value;
        } settings[] = {
                { SOL_SOCKET, SO_REUSEADDR, 1 },
                { SOL_SOCKET, SO_SNDBUF, STREAM_SEND_BUFFER },
                { SOL_SOCKET, SO_RCVBUF, STREAM_RECEIVE_BUFFER },
                { IPPROTO_TCP, TCP_NODELAY, 1 },
                { SOL_SOCKET, SO_KEEPALIVE, 1 },
                { IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS },
                { IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS },
                { IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES },
        };

        for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
                (void)setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value,
                                 sizeof settings[i].value);
}

/* Answers to hosts that do not exist wait for seconds, in the same buffer as all others. */
static void bind_set_udp(int fd) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ DATAGRAM_RECEIVE_BUFFER }, sizeof(int));
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ DATAGRAM_SEND_BUFFER },
                       sizeof(int)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ DATAGRAM_SEND_BUFFER },
                                 sizeof(int));
}

/* Returns a socket of @type that is bound to @endpoint and nothing else, and listens if it is a
 * stream socket; or a negative errno. */
static int bind_exactly(const Endpoint *endpoint, int type) {
        const int v6only = !endpoint->wildcard;
        int fd, r;

        fd = socket(endpoint->any.sa_family, type | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (endpoint->any.sa_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
        if (type == SOCK_DGRAM)
                bind_set_udp(fd);
        else if (endpoint->any.sa_family == AF_INET || endpoint->any.sa_family == AF_INET6)
                bind_set_tcp(fd);
        if (bind(fd, &endpoint->any, endpoint->length) < 0 ||
            (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
                r = -errno;
                close(fd);
                return r;
        }
        return fd;
}

int bind_open(const Endpoint *endpoint, int type) {
        const Endpoint ipv4 = {
                .ipv4 = { .sin_family = AF_INET, .sin_port = endpoint->ipv6.sin6_port },
                .length = sizeof ipv4.ipv4,
        };
        int fd;

        fd = bind_exactly(endpoint, type);
        /* A machine without IPv6 still has all its IPv4 addresses. */
        if (endpoint->wildcard && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
                return bind_exactly(&ipv4, type);
        if (fd == -EADDRINUSE && socket_file_is_stale(endpoint) &&
            unlink(endpoint->local.sun_path) == 0)
                return bind_exactly(endpoint, type);
        return fd;
}
