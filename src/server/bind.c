/* SPDX-License-Identifier: MIT */
/*
 * Opens the listening sockets that the command line names, with the options of mpecho.socket.
 * Connections inherit these. The file of a Unix socket is replaced only when a connection attempt
 * shows that nobody listens: a running server must never lose its socket.
 */
#include "server/bind.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096

/* As mpecho.socket has it: a peer that has vanished is noticed after two minutes. */
enum {
        KEEPALIVE_SECONDS = 60,
        KEEPALIVE_INTERVAL_SECONDS = 10,
        KEEPALIVE_PROBES = 6,
};

/* A socket file that nobody listens on is left over from a process that was killed. */
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

/* Connections inherit all of it. */
static void bind_set_tcp(int fd) {
        static const struct {
                int level;
                int option;
                int value;
        } settings[] = {
                { SOL_SOCKET, SO_REUSEADDR, 1 },
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

/* Returns a bound and listening socket, or a negative errno. */
static int bind_exactly(const Endpoint *endpoint) {
        const int v6only = !endpoint->wildcard;
        int fd, r;

        fd = socket(endpoint->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (endpoint->any.sa_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
        if (endpoint->any.sa_family != AF_UNIX)
                bind_set_tcp(fd);
        if (bind(fd, &endpoint->any, endpoint->length) < 0 || listen(fd, BACKLOG) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        return fd;
}

int bind_endpoint(const Endpoint *endpoint) {
        const Endpoint ipv4 = {
                .ipv4 = { .sin_family = AF_INET, .sin_port = endpoint->ipv6.sin6_port },
                .length = sizeof ipv4.ipv4,
        };
        int fd = bind_exactly(endpoint);

        /* A machine without IPv6 still has all its IPv4 addresses. */
        if (endpoint->wildcard && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
                return bind_exactly(&ipv4);
        if (fd == -EADDRINUSE && socket_file_is_stale(endpoint) &&
            unlink(endpoint->local.sun_path) == 0)
                return bind_exactly(endpoint);
        return fd;
}
