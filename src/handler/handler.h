/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/address.h"
#include "lib/end_reason.h"
#include "restart/handover.h"
#include "server/roster.h"

typedef struct Handler Handler;

/*
 * The process that serves one connection, from fork(2) to _exit(2).
 */
struct Handler {
        int connection;
        const char *title;          /* see handler_format_title() */
        uint64_t idle_timeout_usec; /* 0 for never */
        RosterSlot *slot;           /* counts what is echoed and says why the connection ended */
        RosterExits *exits;         /* where to tell that it is about to exit; NULL for nowhere */
        int pending; /* a memfd with what is to be written first, see handover.h; or -1 */
        const HandoverAddress *handover; /* where to give the connection when told to stop; NULL for
                                            nowhere */
};

enum {
        /* The exit code of a handler whose connection goes on without it; smaller ones are a
           Reason. */
        HANDLER_HANDED_OVER = REASON_COUNT,
        /* Room for the title of a handler of any peer. */
        HANDLER_TITLE_SIZE = sizeof "mpecho: " + ADDRESS_TEXT_SIZE,
};

/*
 * A child pays for the pages that it touches, see fork.c. So whatever can be done for it before
 * the fork is done there: handler_init(), handler_format_title() and handler_prepare().
 */

/*
 * handler_format_title: writes the title of the handler of @peer, an address as text, to
 * @ret_title: "mpecho: 192.0.2.7:51234".
 */
void handler_format_title(const char *peer, char ret_title[static HANDLER_TITLE_SIZE]);

/*
 * handler_prepare: sets the options of the connection that handler_serve() relies on.
 */
void handler_prepare(const Handler *handler);

/*
 * handler_init: sets what signals do in handlers, and has forks cost little. In the master, before
 * the first fork, where it takes no effect because the master blocks these signals: a handler thus
 * has its dispositions from its first instant.
 *
 * SIGTERM and SIGINT make a handler finish writing what it has read and hand its connection over,
 * or end it; further ones change nothing. So does SIGABRT, which systemd sends to a whole service
 * when its watchdog runs out; abort(3) still ends the process. SIGHUP, SIGPIPE and SIGUSR1 do no
 * harm.
 */
void handler_init(void);

/*
 * handler_serve: serves a connection in this process until it ends. Descriptor 0 must be /dev/null,
 * and handler_init() and handler_prepare() must have been called. Unblocks all signals and sets
 * this process's title.
 *
 * Returns why the connection ended, a Reason; or HANDLER_HANDED_OVER. It is not closed yet; exiting
 * does that.
 */
int handler_serve(const Handler *handler);

/*
 * handler_run: what a forked child does: closes all descriptors but the connection and the standard
 * three, serves it, tells that it is about to exit, and exits with what handler_serve() returns.
 */
_Noreturn void handler_run(const Handler *handler);

/*
 * handler_start: forks a handler, which has its own copy of @handler and of the connection. The
 * caller is the only thread of its process, and blocks all signals that handler_init() names.
 *
 * Returns its pid, in the parent only, or a negative errno of fork(2).
 */
pid_t handler_start(const Handler *handler);

/*
 * handler_handed_over: whether a handler that ended with @status (waitpid(2)) says that its
 * connection goes on.
 */
bool handler_handed_over(int status);
