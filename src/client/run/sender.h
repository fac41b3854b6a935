/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The sending process. It reads bytes from a Source and sends them over the connection, while its
 * parent receives. Both share the connection and a page of counters.
 *
 * Contract: The caller's process keeps its descriptor of the connection. The sender half-closes the
 * connection (shutdown(2), SHUT_WR) however it ends, so that the receiving side always ends. It
 * never outlives its parent (PR_SET_PDEATHSIG, prctl(2)). After sender_start(), call sender_stop()
 * and then sender_deinit(), once each.
 */

typedef struct SenderPage SenderPage;

typedef struct Source {
        /* Reads at most @size bytes into @buffer. Runs in the sender's process, and may block.
         * Returns their number, 0 at the end, or a negative errno. */
        ssize_t (*fill)(void *userdata, void *buffer, size_t size);
        void *userdata;
} Source;

typedef enum SenderEnd {
        SENDER_FINISHED,          /* the source ended, and the sender has sent all of it */
        SENDER_STOPPED,           /* sender_stop() came before the end of the source */
        SENDER_SOURCE_FAILED,     /* the source failed; Sender.error is its errno */
        SENDER_CONNECTION_FAILED, /* send(2) failed; Sender.error is its errno */
        SENDER_KILLED,            /* a signal ended the process; Sender.error is its number */
} SenderEnd;

typedef struct Sender {
        pid_t pid;
        /* The read end of a pipe whose write end only the sender has: it reads as ended when the
         * sender ends. */
        int ended;
        int fd;
        SenderPage *page;
        /* Valid once the process has been reaped; @error is a positive errno or a signal. */
        SenderEnd end;
        int error;
} Sender;

/*
 * sender_start: Forks a process that sends the bytes of @source over @fd, a blocking stream socket.
 *
 * Returns 0 and sets @ret_sender, or a negative errno of mmap(2), pipe(2) or fork(2).
 */
int sender_start(Sender *ret_sender, int fd, const Source *source);

/* sender_bytes: Returns the number of bytes that the sender has sent. Callable at any time. */
uint64_t sender_bytes(const Sender *sender);

/* sender_begun: Returns the number of bytes sent or passed to the current send(2): never less than
 * sender_bytes(), nor than the bytes that an echo can return. A blocked send(2) has already passed
 * bytes to the kernel that sender_bytes() does not count yet. Callable at any time. */
uint64_t sender_begun(const Sender *sender);

/* sender_last_sent: Returns the instant (clock_now()) of the last sent bytes, 0 for none. */
uint64_t sender_last_sent(const Sender *sender);

/* sender_stop: Ends the process unless it has ended by itself, reaps it and sets @end and @error.
 * Shuts down the sending side of the connection. Call it after the peer's end: a sender that
 * half-closed before that is never SENDER_STOPPED. */
void sender_stop(Sender *sender);

/* sender_deinit: Releases the resources of sender_start(). Call it after sender_stop(). */
void sender_deinit(Sender *sender);
