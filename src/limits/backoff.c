/* SPDX-License-Identifier: MIT */
/*
 * Backs off when descriptors, processes or memory run out. A client that waits keeps its listener
 * readable, so a master that cannot accept it must not poll that listener: it would spin.
 *
 * - It closes a reserved descriptor, accepts one client in its place and resets that client, so
 *   that the client learns of it at once.
 * - Then the master stops accepting for 10 ms, doubling up to 1 s, until a handler exits.
 * - It logs the resource, the last error and the number of refused clients, at most once a second.
 *
 * A connection that gets all that it needs ends the back-off. Failures of a single connection are
 * no shortage (accept(2) lists them) and must not begin one.
 */
#include "limits/backoff.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/discard.h"

/* Opens a file of its own: to close a duplicate would not help against ENFILE. */
static int reserve_open(void) {
        return eventfd(0, EFD_CLOEXEC);
}

void backoff_init(Backoff *backoff) {
        *backoff = (Backoff){
                .reserve = reserve_open(),
                .deadline = CLOCK_NEVER,
        };
}

void backoff_deinit(Backoff *backoff) {
        backoff->reserve = descriptor_close(backoff->reserve);
}

const char *backoff_limit(int error) {
        switch (error) {
        case EMFILE:
        case ENFILE:
                return "descriptors";
        case ENOMEM:
        case ENOBUFS:
                return "memory";
        case EINTR:
        case ECONNABORTED:
        case ENETDOWN:
        case EPROTO:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case ETIMEDOUT:
        case EPERM:
                return NULL;
        default:
                return "listener";
        }
}

uint32_t backoff_refuse(Backoff *backoff, const Listener *listener) {
        int fd;

        backoff_deinit(backoff);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
                discard_client(fd);
        backoff->reserve = reserve_open();
        return fd >= 0 ? 1 : 0;
}

void backoff_begin(Backoff *backoff, const Listener *listener, const char *limit, int error,
                   uint32_t refused, uint64_t now) {
        backoff->listener = listener;
        backoff->limit = limit;
        backoff->error = error;
        backoff->refused += refused;
        backoff->pause = clock_pause(backoff->pause);
        backoff->deadline = now + backoff->pause;
}

void backoff_relieve(Backoff *backoff) {
        backoff->deadline = CLOCK_NEVER;
}

void backoff_end(Backoff *backoff) {
        backoff->deadline = CLOCK_NEVER;
        backoff->pause = 0;
}

bool backoff_is_on(const Backoff *backoff) {
        return backoff->deadline != CLOCK_NEVER;
}

static uint64_t backoff_log_deadline(const Backoff *backoff) {
        return backoff->listener != NULL ? backoff->logged + CLOCK_SECOND : CLOCK_NEVER;
}

void backoff_tick(Backoff *backoff, Journal *journal, uint32_t live, uint64_t now) {
        if (backoff->deadline <= now)
                backoff_relieve(backoff);
        if (now < backoff_log_deadline(backoff))
                return;
        journal_write(journal,
                      &(Record){ .kind = RECORD_EXHAUSTED,
                                 .listener = backoff->listener->text,
                                 .listener_name = backoff->listener->name,
                                 .limit = backoff->limit,
                                 .error = (uint64_t)backoff->error,
                                 .refused = backoff->refused,
                                 .live = live },
                      now);
        backoff->listener = NULL;
        backoff->refused = 0;
        backoff->logged = now;
}

uint64_t backoff_deadline(const Backoff *backoff) {
        return clock_earlier(backoff->deadline, backoff_log_deadline(backoff));
}
