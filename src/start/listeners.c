/* SPDX-License-Identifier: MIT */
/*
 * The sockets that the master serves: inherited ones, or those that the command line names
 * (bind.c).
 *
 * Each listener has its address as text, for records. By that text the master finds the listener of
 * a restored connection.
 *
 * Nothing here may shut down an inherited socket, only close it: systemd keeps the same one.
 */
#include "start/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handler/datagram.h"
#include "lib/socket.h"
#include "start/bind.h"

/* The type of a kind's sockets, and what precedes its address in LISTEN, before a colon. A name in
 * systemd that begins with the same word chooses the kind of a passed stream socket. */
static const struct {
        const char *prefix;
        int type;
} kinds[LISTENER_KINDS] = {
        [LISTENER_ECHO] = { NULL, SOCK_STREAM },
        [LISTENER_DATAGRAM] = { "udp", SOCK_DGRAM },
        [LISTENER_METRICS] = { "metrics", SOCK_STREAM },
        [LISTENER_PROXY] = { "proxy", SOCK_STREAM },
};

/* The most bytes that the kernel queues for a connection beyond those on their way. A peer that
 * does not read costs no more memory, and a long path loses no speed. */
#define UNSENT_MOST (128 * 1024)

void listeners_close(Listeners *listeners) {
        for (uint32_t i = 0; i < listeners->n; i++) {
                Listener *listener = &listeners->items[i];

                if (listener->fd < 0)
                        continue;
                if (listener->path != NULL)
                        (void)unlink(listener->path);
                close(listener->fd);
                listener->fd = -1;
        }
}

Listeners *listeners_free(Listeners *listeners) {
        if (listeners == NULL)
                return NULL;
        listeners_close(listeners);
        free(listeners);
        return NULL;
}

/* Makes accepting from @fd never block. Urgent data stays in the stream from the first byte: TCP
 * connections inherit that, and a handler would set it too late, when a second urgent byte can have
 * deleted the first. */
static int listener_init_stream(int fd) {
        const int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){ UNSENT_MOST }, sizeof(int));
        return 0;
}

static bool begins_with(const char *text, const char *prefix) {
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

ListenerKind listener_kind(const char *name) {
        for (int kind = 0; kind < LISTENER_KINDS && name != NULL; kind++)
                if (kinds[kind].prefix != NULL && kinds[kind].type == SOCK_STREAM &&
                    begins_with(name, kinds[kind].prefix))
                        return (ListenerKind)kind;
        return LISTENER_ECHO;
}

static void listener_format(Listener *listener, const Endpoint *endpoint) {
        const char *prefix = kinds[listener->kind].prefix;
        char text[ENDPOINT_TEXT_SIZE];

        if (listener->kind == LISTENER_DATAGRAM && endpoint->any.sa_family == AF_UNIX)
                prefix = "datagram";
        endpoint_format(endpoint, text);
        snprintf(listener->text, sizeof listener->text, "%s%s%s", prefix != NULL ? prefix : "",
                 prefix != NULL ? ":" : "", text);
}

/* Adds @fd, which becomes the listeners'. */
static int listeners_add(Listeners *listeners, int fd, ListenerKind kind, const char *name,
                         const char *path) {
        Listener *listener = &listeners->items[listeners->n++];
        Endpoint endpoint;
        int r;

        *listener = (Listener){ .fd = fd, .kind = kind, .name = name, .path = path };
        socket_refuse_descriptors(fd);
        r = kind == LISTENER_DATAGRAM ? datagram_init(fd) : listener_init_stream(fd);
        if (r < 0)
                return r;
        r = endpoint_from_socket(fd, &endpoint);
        if (r < 0)
                return r;
        listener_format(listener, &endpoint);
        return 0;
}

/* Returns the kind that the prefix of the LISTEN argument @text names, and sets @ret_address to
 * what follows. */
static ListenerKind kind_from_text(const char *text, const char **ret_address) {
        for (int kind = 0; kind < LISTENER_KINDS; kind++) {
                const char *prefix = kinds[kind].prefix;

                if (prefix == NULL || !begins_with(text, prefix) || text[strlen(prefix)] != ':')
                        continue;
                *ret_address = text + strlen(prefix) + strlen(":");
                return (ListenerKind)kind;
        }
        *ret_address = text;
        return LISTENER_ECHO;
}

/* Returns 0 and sets the kind, the address in @text and its endpoint; or -EINVAL and sets
 * @ret_failure. */
static int listener_parse(const char *text, ListenerKind *ret_kind, const char **ret_address,
                          Endpoint *ret_endpoint, Failure *ret_failure) {
        const char *why = "a port or an address with a port must follow udp:";

        *ret_kind = kind_from_text(text, ret_address);
        if ((*ret_kind == LISTENER_DATAGRAM && !endpoint_is_internet(*ret_address)) ||
            endpoint_parse(*ret_address, ret_endpoint, &why) < 0) {
                failure_set(ret_failure, 0, "Cannot listen on '%s': %s", text, why);
                return -EINVAL;
        }
        return 0;
}

static int listeners_open(Listeners *listeners, const char *text, Failure *ret_failure) {
        const char *address;
        ListenerKind kind;
        Endpoint endpoint;
        int fd, r;

        if (listener_parse(text, &kind, &address, &endpoint, ret_failure) < 0)
                return WRONG_USAGE;
        fd = bind_open(&endpoint, kinds[kind].type);
        r = fd < 0 ? fd
                   : listeners_add(listeners, fd, kind, NULL, address[0] == '/' ? address : NULL);
        if (r < 0)
                return failure_set(ret_failure, r, "Cannot listen on '%s': %s", text,
                                   strerrordesc_np(-r));
        return 0;
}

static int listeners_fill(Listeners *listeners, const Options *options, const Inherited *inherited,
                          Failure *ret_failure) {
        ListenerKind kind;
        int r;

        for (uint32_t i = 0; i < inherited->n_sockets; i++) {
                const InheritedSocket *socket = &inherited->sockets[i];

                kind = socket_is_datagram(socket->fd) ? LISTENER_DATAGRAM
                                                      : listener_kind(socket->name);
                r = listeners_add(listeners, socket->fd, kind, socket->name, NULL);
                if (r < 0)
                        return failure_set(ret_failure, r,
                                           "Cannot use passed file descriptor %d: %s", socket->fd,
                                           strerrordesc_np(-r));
        }
        for (uint32_t i = 0; i < options->n_listen; i++) {
                r = listeners_open(listeners, options->listen[i], ret_failure);
                if (r != 0)
                        return r;
        }
        return 0;
}

int listeners_new(const Options *options, const Inherited *inherited, Listeners **ret_listeners,
                  Failure *ret_failure) {
        const size_t n = inherited->n_sockets + options->n_listen;
        Listeners *listeners;
        int r;

        listeners = calloc(1, sizeof *listeners + n * sizeof listeners->items[0]);
        if (listeners == NULL)
                return failure_set(ret_failure, -ENOMEM,
                                   "Cannot allocate memory for the listeners");
        r = listeners_fill(listeners, options, inherited, ret_failure);
        if (r != 0) {
                listeners_free(listeners);
                return r;
        }
        *ret_listeners = listeners;
        return 0;
}

int listeners_check(const Options *options, const Inherited *inherited, Failure *ret_failure) {
        const char *address;
        ListenerKind kind;
        Endpoint endpoint;

        for (uint32_t i = 0; i < options->n_listen; i++)
                if (listener_parse(options->listen[i], &kind, &address, &endpoint, ret_failure) < 0)
                        return WRONG_USAGE;
        if (inherited->n > 0 && options->n_listen > 0)
                return failure_set(
                                ret_failure, WRONG_USAGE,
                                "Cannot listen on '%s': systemd has passed sockets or connections",
                                options->listen[0]);
        if (options->exit_idle != 0 && options->n_listen > 0)
                return failure_set(ret_failure, WRONG_USAGE,
                                   "--exit-idle works only with passed sockets: without them no "
                                   "process starts mpecho again");
        return 0;
}

uint32_t listeners_count(const Listeners *listeners, ListenerKind kind) {
        uint32_t n = 0;

        for (uint32_t i = 0; i < listeners->n; i++)
                n += listeners->items[i].kind == kind;
        return n;
}

int listener_accept(const Listener *listener, Address *ret_peer) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        int fd;

        fd = accept4(listener->fd, (struct sockaddr *)&name, &length, SOCK_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_peer = (Address){};
        /* Without SO_PEERCRED a Unix peer has no name. */
        (void)address_from_peer(fd, &name, ret_peer);
        return fd;
}

const Listener *listeners_find_text(const Listeners *listeners, const char *text) {
        for (uint32_t i = 0; i < listeners->n; i++)
                if (strcmp(listeners->items[i].text, text) == 0)
                        return &listeners->items[i];
        return NULL;
}

/* Returns whether connections of @listener can have @endpoint as their own address: it has the same
 * port, and the wildcard address as a rule. An IPv6 listener's IPv4 connections are AF_INET6. */
static bool listener_has_port(const Listener *listener, const Endpoint *endpoint) {
        const uint32_t port = endpoint_port(endpoint);
        Endpoint own;

        return port != 0 && (listener->kind == LISTENER_ECHO || listener->kind == LISTENER_PROXY) &&
               endpoint_from_socket(listener->fd, &own) == 0 &&
               own.any.sa_family == endpoint->any.sa_family && endpoint_port(&own) == port;
}

const Listener *listeners_find(const Listeners *listeners, int fd) {
        static const Listener gone = { .fd = -1, .text = "a former listener" };
        char text[ENDPOINT_TEXT_SIZE];
        const Listener *listener;
        Endpoint endpoint;

        if (endpoint_from_socket(fd, &endpoint) < 0)
                return &gone;
        endpoint_format(&endpoint, text);
        listener = listeners_find_text(listeners, text);
        if (listener != NULL)
                return listener;

        for (uint32_t i = 0; i < listeners->n; i++)
                if (listener_has_port(&listeners->items[i], &endpoint))
                        return &listeners->items[i];
        return &gone;
}
