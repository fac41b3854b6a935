#include "bind.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096

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

/* Returns a bound and listening socket, or a negative errno. */
static int bind_exactly(const Endpoint *endpoint) {
        const int on = 1, v6only = !endpoint->wildcard;
        int fd, r;

        fd = socket(endpoint->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (endpoint->any.sa_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
        if (endpoint->any.sa_family != AF_UNIX) {
                /* Connections inherit the last two. */
                (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
                (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
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
