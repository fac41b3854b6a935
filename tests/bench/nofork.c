/* SPDX-License-Identifier: MIT */
/*
 * nofork ADDRESS PORT: one process for all connections, with epoll(7). What a connection costs when
 * it gets no process of its own, and no protection from the others.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port.h"

enum { BACKLOG = 4096, BUFFER_SIZE = 256 * 1024, EVENTS = 64, DESCRIPTORS = 65536 };

/* What was read from a connection but could not be written yet; from @done on. */
typedef struct Pending {
        char *data;
        size_t size;
        size_t done;
} Pending;

static char buffer[BUFFER_SIZE];
static Pending pending[DESCRIPTORS];

static void watch(int epoll, int operation, int fd, uint32_t events) {
        struct epoll_event event = { .events = events, .data.fd = fd };

        if (epoll_ctl(epoll, operation, fd, &event) < 0)
                err(EXIT_FAILURE, "cannot watch a connection");
}

static void begin(int epoll, int listener) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

        if (fd >= DESCRIPTORS)
                close(fd);
        else if (fd >= 0)
                watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
}

static void end(int fd) {
        free(pending[fd].data);
        pending[fd].data = NULL;
        close(fd);
}

/* What the peer does not take at once is kept for it, and it is not read from until then. */
static void keep(int epoll, int fd, const char *data, size_t size) {
        pending[fd] = (Pending){ .data = malloc(size), .size = size };
        if (pending[fd].data == NULL)
                err(EXIT_FAILURE, "no memory for what a peer does not take");
        memcpy(pending[fd].data, data, size);
        watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void receive(int epoll, int fd) {
        ssize_t size = read(fd, buffer, sizeof buffer), n;

        if (size < 0 && errno == EAGAIN)
                return;
        n = size > 0 ? write(fd, buffer, (size_t)size) : -1;
        if (n < 0 && size > 0 && errno == EAGAIN)
                n = 0;
        if (n < 0)
                end(fd);
        else if (n < size)
                keep(epoll, fd, buffer + n, (size_t)(size - n));
}

static void send_pending(int epoll, int fd) {
        Pending *rest = &pending[fd];
        ssize_t n = write(fd, rest->data + rest->done, rest->size - rest->done);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n < 0) {
                end(fd);
                return;
        }
        rest->done += (size_t)n;
        if (rest->done < rest->size)
                return;
        free(rest->data);
        rest->data = NULL;
        watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
}

int main(int argc, char **argv) {
        int listener = port_listen(argc, argv, BACKLOG), epoll = epoll_create1(0);

        watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
        for (;;) {
                struct epoll_event events[EVENTS];
                int count = epoll_wait(epoll, events, EVENTS, -1);

                for (int i = 0; i < count; i++) {
                        int fd = events[i].data.fd;

                        if (fd == listener)
                                begin(epoll, listener);
                        else if (pending[fd].data != NULL)
                                send_pending(epoll, fd);
                        else
                                receive(epoll, fd);
                }
        }
}
