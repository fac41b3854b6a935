/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "lib/address.h"
#include "lib/endpoint.h"
#include "lib/failure.h"
#include "start/inherited.h"
#include "start/options.h"

/* How the master serves a listener: its type and its prefix or name decide, see listeners.c. */
typedef enum ListenerKind {
        LISTENER_ECHO,     /* for connections.h */
        LISTENER_DATAGRAM, /* for datagrams.h: nobody can connect */
        LISTENER_METRICS,  /* for scrapers.h */
        LISTENER_PROXY,    /* for connections.h; each begins with a PROXY header */
        LISTENER_KINDS,
} ListenerKind;

enum {
        /* Room for the address of any listener as text, with the longest prefix. */
        LISTENER_TEXT_SIZE = ENDPOINT_TEXT_SIZE + sizeof "datagram:",
};

/* A listening stream socket, non-blocking; or a datagram socket. */
typedef struct Listener {
        int fd; /* -1 once it is closed */
        ListenerKind kind;
        char text[LISTENER_TEXT_SIZE]; /* its address, in the form of LISTEN */
        const char *name;              /* its name in systemd, or NULL */
        const char *path;              /* the Unix socket file to remove at the end, or NULL */
} Listener;

/* All sockets that the master listens on. */
typedef struct Listeners {
        uint32_t n;
        Listener items[];
} Listeners;

/* listener_kind: Returns the kind of a passed stream socket that systemd names @name, or NULL. */
ListenerKind listener_kind(const char *name);

/*
 * listeners_check: Checks the LISTEN arguments of @options, without opening anything, and that they
 * fit together with the sockets that were passed.
 *
 * Returns 0, or WRONG_USAGE with the reason in @ret_failure.
 */
int listeners_check(const Options *options, const Inherited *inherited, Failure *ret_failure);

/*
 * listeners_new: Listens on the sockets of @inherited, which become the listeners', and at the
 * addresses in @options. The names and addresses must stay valid until listeners_free().
 *
 * Returns 0 and sets @ret_listeners, which the caller frees with listeners_free(). Returns
 * WRONG_USAGE for a wrong address, or a negative errno of bind_open() or of an inherited socket
 * that cannot be used; both with the reason in @ret_failure.
 */
int listeners_new(const Options *options, const Inherited *inherited, Listeners **ret_listeners,
                  Failure *ret_failure);

/*
 * listeners_close: Closes the sockets and removes the files of Unix sockets. The kernel then
 * refuses further clients, but not those of inherited sockets, which stay open elsewhere.
 *
 * listeners_free: Closes and frees @listeners, which may be NULL. Returns NULL.
 */
void listeners_close(Listeners *listeners);
Listeners *listeners_free(Listeners *listeners);

/* listeners_count: Returns how many of @listeners are of @kind. */
uint32_t listeners_count(const Listeners *listeners, ListenerKind kind);

/*
 * listener_accept: Accepts a client of @listener, without blocking.
 *
 * Returns its connection, which the caller closes, and sets @ret_peer, all zeros when the peer is
 * unknown; or a negative errno of accept4(2): -EAGAIN when no client waits.
 */
int listener_accept(const Listener *listener, Address *ret_peer);

/*
 * listeners_find: Returns the stream listener that the connection @fd most likely came from, by its
 * own address; or one with the text "a former listener".
 *
 * listeners_find_text: Returns the listener whose address is @text, or NULL.
 */
const Listener *listeners_find(const Listeners *listeners, int fd);
const Listener *listeners_find_text(const Listeners *listeners, const char *text);
