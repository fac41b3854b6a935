/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The process that sends. It takes bytes from a Source and writes them to the connection, while the
 * process that started it receives; the two share the connection and a page of counters.
 *
 * Contract: the connection stays the caller's, in the caller's process. The sender half-closes it
 * (shutdown(2), SHUT_WR) whenever it ends, whatever the reason, so that the receiving side always
 * comes to an end. It never outlives its parent (PR_SET_PDEATHSIG, prctl(2)). Whoever starts one
 * calls sender_stop() and then sender_deinit(), once each.
 */

typedef struct Source Source;
typedef struct SenderPage SenderPage;
typedef struct Sender Sender;
typedef enum SenderEnd SenderEnd;

struct Source {
        /*
         * Puts at most @size bytes into @buffer. Runs in the sender's process, and may block.
         * Returns their number, 0 when there are no more, or a negative errno.
         */
        ssize_t (*fill)(void *userdata, void *buffer, size_t size);
        void *userdata;
};

enum SenderEnd {
        /* Everything was sent. */
        SENDER_FINISHED,
        /* sender_stop() came before the end of the source. */
        SENDER_STOPPED,
        /* The source failed; Sender.error is its errno. */
        SENDER_SOURCE_FAILED,
        /* send(2) failed; Sender.error is its errno. */
        SENDER_CONNECTION_FAILED,
        /* A signal ended the process; Sender.error is its number. */
        SENDER_KILLED,
};

struct Sender {
        pid_t pid;
        /* A pipe whose other end only the process holds: poll(2) tells of its end. */
        int ended;
        int fd;
        SenderPage *page;
        /* Valid once the process has been reaped; @error is a positive errno or a signal. */
        SenderEnd end;
        int error;
};

/*
 * sender_start: forks a process that sends what @source gives over @fd, a blocking stream socket.
 *
 * Returns 0 and sets @ret_sender, or a negative errno of mmap(2), pipe(2) or fork(2).
 */
int sender_start(Sender *ret_sender, int fd, const Source *source);

/*
 * sender_bytes: how many bytes it has sent so far; callable at any time.
 */
uint64_t sender_bytes(const Sender *sender);

/*
 * sender_begun: how many bytes it has sent or is sending: never less than sender_bytes(), nor than
 * a true echo can have sent back. A sender that waits in send(2) has already handed bytes to the
 * kernel that sender_bytes() does not count yet. Callable at any time.
 */
uint64_t sender_begun(const Sender *sender);

/*
 * sender_last_sent: the instant (clock_now()) at which it last sent something, 0 if never.
 */
uint64_t sender_last_sent(const Sender *sender);

/*
 * sender_stop: ends the process if it has not come to its end by itself, reaps it and sets @end and
 * @error. Shuts down the connection's sending side. The peer's end of the connection, once it has
 * been seen, is later than whatever the sender did to bring it about: a sender that half-closed
 * first is never SENDER_STOPPED.
 */
void sender_stop(Sender *sender);

/*
 * sender_deinit: gives back what sender_start() took. The process must have been reaped.
 */
void sender_deinit(Sender *sender);
