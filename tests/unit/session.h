/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "report/end_reason.h"
#include "restart/ledger.h"

typedef struct Session Session;

/* A number of bytes that depends on what sockets have room for. */
#define SESSION_ANY UINT64_MAX

/*
 * A connection that a child serves and the test is the peer of.
 */
struct Session {
        int pair[2]; /* [0] is the peer's, -1 once it is closed; [1] the child's */
        uint64_t timeout;
        LedgerEntry *ledger; /* where the child counts bytes */
        pid_t *handler;      /* shared with the child: the handler that session_handle() forked */
        pid_t pid;           /* of the process that serves */
};

/*
 * session_start: begins a session over TCP or a Unix socket. @serve is called with the session in
 * the child, and exits with the reason. @room is for what the child has written and the peer has
 * not read, in bytes; 0 for as much as usual.
 */
void session_start(Session *session, bool tcp, uint64_t timeout, int room,
                   void (*serve)(void *session));

/*
 * session_start_full: the same over a Unix socket, with little room, and with more sent by the peer
 * than the child can write: it is stuck as soon as it begins, however late the test comes. Returns
 * how many bytes of the pattern were sent.
 */
size_t session_start_full(Session *session, uint64_t timeout, void (*serve)(void *session));

/*
 * session_handle: Forks a handler for a session as the master does, and exits: for session_start()
 * and session_start_full(), after which session_adopt() makes the handler the test's child.
 *
 * session_start_handler: Begins such a session, with room for as much as usual.
 */
void session_handle(void *session);
void session_adopt(Session *session);
Session session_start_handler(bool tcp, uint64_t timeout);

/*
 * session_fill: sends the pattern until neither direction takes any more: the child waits in its
 * write, or has ended. Returns how many bytes were sent.
 */
size_t session_fill(const Session *session);

/*
 * session_close: closes the peer's end.
 */
void session_close(Session *session);

/*
 * session_end: closes the peer's end, and asserts that the child exits with @reason and has counted
 * @bytes.
 */
void session_end(Session *session, EndReason reason, uint64_t bytes);
