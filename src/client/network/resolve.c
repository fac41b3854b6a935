/* SPDX-License-Identifier: MIT */
/*
 * Names the target in messages, and looks up its name in a child process.
 *
 * A host has its port behind it in messages, "HOST port N", so that an IPv6 address needs no
 * brackets. The text is the user's own word, not the address that it resolved to.
 *
 * getaddrinfo(3) can take half a minute when name servers are silent, and neither signals nor
 * timeouts end it; a child can be killed. The child writes one Resolution to a pipe and exits,
 * while the parent waits for the pipe, the deadline and the interrupt. A numeric address needs no
 * child.
 *
 * The child must do nothing else: it shares the program's descriptors. The parent always reaps it.
 */
#include "client/network/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/network/inquiry.h"

typedef struct Resolution {
        /* As getaddrinfo(3) returns it, and errno for EAI_SYSTEM. */
        int result;
        int error;
        Addresses addresses;
} Resolution;

void target_format(const Target *target, char text[static TARGET_TEXT_SIZE]) {
        if (endpoint_is_internet(target->host))
                snprintf(text, TARGET_TEXT_SIZE, "%s port %hu", target->host, target->port);
        else
                snprintf(text, TARGET_TEXT_SIZE, "%s", target->host);
}

static void resolve_now(const Target *target, int flags, Resolution *ret_resolution) {
        const struct addrinfo hints = { .ai_family = target->family,
                                        .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_NUMERICSERV | flags };
        struct addrinfo *found = NULL;
        Addresses *addresses = &ret_resolution->addresses;
        char port[sizeof "65535"];

        *ret_resolution = (Resolution){};
        snprintf(port, sizeof port, "%hu", target->port);
        ret_resolution->result = getaddrinfo(target->host, port, &hints, &found);
        ret_resolution->error = errno;
        for (const struct addrinfo *i = found;
             ret_resolution->result == 0 && i != NULL && addresses->count < ADDRESSES_MAXIMUM;
             i = i->ai_next) {
                Endpoint *endpoint = &addresses->list[addresses->count++];

                memcpy(endpoint, i->ai_addr, i->ai_addrlen);
                endpoint->length = i->ai_addrlen;
        }
        if (ret_resolution->result == 0)
                freeaddrinfo(found);
}

static _Noreturn void resolve_child(const Target *target, int fd, pid_t parent) {
        Resolution resolution;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        inquiry_ignore();
        resolve_now(target, 0, &resolution);
        _exit(write(fd, &resolution, sizeof resolution) == sizeof resolution ? 0 : 1);
}

static int resolve_read(int fd, uint64_t end, int interrupt, Resolution *ret_resolution) {
        struct pollfd polled[] = { { .fd = fd, .events = POLLIN },
                                   { .fd = interrupt, .events = POLLIN } };
        size_t size = 0;

        while (size < sizeof *ret_resolution) {
                int r = inquiry_poll(polled, 2, end);
                ssize_t n;

                if (r < 0)
                        return r;
                if (r == 0)
                        return -ETIME;
                if (polled[1].revents != 0)
                        return -EINTR;
                n = read(fd, (char *)ret_resolution + size, sizeof *ret_resolution - size);
                if (n <= 0)
                        return n < 0 ? -errno : -ECHILD;
                size += (size_t)n;
        }
        return 0;
}

static int resolve_in_child(const Target *target, uint64_t end, int interrupt,
                            Resolution *ret_resolution) {
        pid_t parent = getpid(), child;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        child = fork();
        if (child == 0)
                resolve_child(target, fds[1], parent);
        r = child < 0 ? -errno : 0;
        close(fds[1]);
        if (r == 0) {
                r = resolve_read(fds[0], end, interrupt, ret_resolution);
                kill(child, SIGKILL);
                while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        close(fds[0]);
        return r;
}

int resolve_target(const Target *target, uint64_t end, int interrupt, Addresses *ret_addresses,
                   Failure *failure) {
        Resolution resolution;
        int r = 0;

        resolve_now(target, AI_NUMERICHOST, &resolution);
        if (resolution.result == EAI_NONAME)
                r = resolve_in_child(target, end, interrupt, &resolution);
        if (r < 0) {
                failure->kind = failure_kind_from_errno(-r);
                if (r == -ETIME)
                        failure_append(failure, ": no name server has answered in time");
                else if (r == -EINTR)
                        failure_append(failure, ": interrupted while looking up the name");
                else
                        failure_append(failure, ": cannot look up the name: %s", strerror(-r));
                return r;
        }
        if (resolution.result != 0) {
                failure->kind = FAILURE_RESOLVE;
                failure_append(failure, ": %s",
                               resolution.result == EAI_SYSTEM ? strerror(resolution.error)
                                                               : gai_strerror(resolution.result));
                return -EHOSTUNREACH;
        }
        *ret_addresses = resolution.addresses;
        return 0;
}
