/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/endpoint.h"
#include "lib/failure.h"
#include "report/journal.h"
#include "restart/restore.h"
#include "server/options.h"

typedef struct Listener Listener;
typedef struct Listeners Listeners;
typedef struct Passed Passed;

/*
 * Where sockets come from: systemd passes them (sd_listen_fds(3)), the command line names them, or
 * an inetd passes one as standard input. What a descriptor is, is found out by looking at it, never
 * by its position.
 */
struct Passed {
        int n;             /* descriptors from 3 on; or a negative errno of sd_listen_fds(3) */
        int missing;       /* the first that was promised and is not open, when n is -EBADF */
        char **names;      /* of each, NULL-terminated; NULL when their number is wrong */
        char *promised;    /* LISTEN_FDS, NULL when it is not set */
        char *foreign_pid; /* LISTEN_PID when it is not this process, else NULL */
};

/* A positive result of listeners_new(): not the machine but the caller is wrong. */
enum {
        LISTENERS_USAGE = 1,
};

/* What stands for the address of a listener that another process had and this one does not. */
#define LISTENER_GONE "a socket that is no more"

/* One listening stream socket, non-blocking. */
struct Listener {
        int fd;
        char text[ENDPOINT_TEXT_SIZE]; /* its address, as LISTEN would say it */
        char *name;                    /* what systemd calls it, or NULL */
        char *path;                    /* the Unix socket file to remove at the end, or NULL */
};

/* What there is to serve: listeners, or one connection. */
struct Listeners {
        bool passed;     /* somebody else goes on listening when this process ends */
        bool manager;    /* it is systemd, which also keeps connections */
        int connection;  /* the only connection to serve, or -1 */
        Restore restore; /* what earlier runs stored */
        uint32_t n;
        Listener items[];
};

/*
 * passed_take: takes what systemd passed, and the variables that said so out of the environment.
 * Before anything else opens a descriptor, which could take the place of one that was promised and
 * is not there.
 *
 * Fills @ret_passed; the caller frees what it points to with passed_deinit().
 */
void passed_take(Passed *ret_passed);

void passed_deinit(Passed *passed);

/*
 * passed_refuse: resets the clients that wait at the passed listening sockets. For a process that
 * will not serve: systemd would start the service again for each of them, also for one that has
 * long gone, and again.
 */
void passed_refuse(const Passed *passed);

/*
 * listeners_check: whether @options say what can be listened on, as far as that can be known
 * without opening anything.
 *
 * Returns 0, or LISTENERS_USAGE with the reason in @ret_failure.
 */
int listeners_check(const Options *options, Failure *ret_failure);

/*
 * listeners_new: gets the sockets: those in @options, else those in @passed, else standard input.
 *
 * Passed descriptors that are neither listening stream sockets nor what was stored are closed, each
 * with a RECORD_STRANGER in @journal. Standard input is left alone; its socket is duplicated.
 *
 * Returns 0 and sets @ret_listeners, which the caller frees with listeners_free(), and which has at
 * least one listener or a connection. Returns LISTENERS_USAGE when the way mpecho was called is
 * wrong and a negative errno when the machine does not do it, both with the reason in
 * @ret_failure.
 */
int listeners_new(const Options *options, const Passed *passed, Journal *journal,
                  Listeners **ret_listeners, Failure *ret_failure);

/*
 * listeners_close: closes the listening sockets, for good when they were not passed: further
 * clients are refused, and files of Unix sockets are removed. Sockets that were passed stay open
 * elsewhere and are never shut down.
 */
void listeners_close(Listeners *listeners);

/*
 * listeners_find: the listener that the connection @fd most likely came from, by its own address;
 * one that stands for those that are no more when it is among them.
 */
const Listener *listeners_find(const Listeners *listeners, int fd);

/*
 * listeners_find_text: Returns the listener whose address is @text, as LISTEN would say it, or
 * NULL.
 */
const Listener *listeners_find_text(const Listeners *listeners, const char *text);

/*
 * listeners_free: closes and frees @listeners, which may be NULL. Returns NULL.
 */
Listeners *listeners_free(Listeners *listeners);
