/* SPDX-License-Identifier: MIT */
/*
 * Backs off when descriptors, processes or memory run out. It closes a reserved descriptor, accepts
 * one client with it and resets that client. Then the master stops accepting for 10 ms, doubling up
 * to 1 s, until a handler exits. It logs at most once a second, and must never accept in a busy
 * loop.
 */
#include "server/backoff.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/socket.h"

enum {
        BACK_OFF_FIRST_USEC = 10 * 1000,
        BACK_OFF_MOST_USEC = 1000 * 1000,
};

/* A file of its own, so that giving it up helps when it is the whole system that has too many
 * (ENFILE). */
static int reserve_open(void) {
        return eventfd(0, EFD_CLOEXEC);
}

void exhaustion_init(Exhaustion *exhaustion) {
        *exhaustion = (Exhaustion){
                .reserve = reserve_open(),
                .back_off_usec = BACK_OFF_FIRST_USEC,
                .deadline = CLOCK_NEVER,
        };
}

void exhaustion_deinit(Exhaustion *exhaustion) {
        if (exhaustion->reserve >= 0)
                close(exhaustion->reserve);
        exhaustion->reserve = -1;
}

const char *exhaustion_limit(int error) {
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

void connection_reset(int fd) {
        socket_set_reset(fd);
        close(fd);
}

uint32_t exhaustion_refuse(Exhaustion *exhaustion, const Listener *listener) {
        int fd;

        exhaustion_deinit(exhaustion);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
                connection_reset(fd);
        exhaustion->reserve = reserve_open();
        return fd >= 0 ? 1 : 0;
}

void exhaustion_begin(Exhaustion *exhaustion, const Listener *listener, const char *limit,
                      int error, uint32_t refused, uint64_t now) {
        exhaustion->listener = listener;
        exhaustion->limit = limit;
        exhaustion->error = error;
        exhaustion->refused += refused;
        exhaustion->deadline = now + exhaustion->back_off_usec;
        exhaustion->back_off_usec =
                        clock_earlier(2 * exhaustion->back_off_usec, BACK_OFF_MOST_USEC);
}

void exhaustion_relieve(Exhaustion *exhaustion) {
        exhaustion->deadline = CLOCK_NEVER;
}

void exhaustion_end(Exhaustion *exhaustion) {
        exhaustion->deadline = CLOCK_NEVER;
        exhaustion->back_off_usec = BACK_OFF_FIRST_USEC;
}

bool exhaustion_backs_off(const Exhaustion *exhaustion) {
        return exhaustion->deadline != CLOCK_NEVER;
}

static uint64_t exhaustion_telling(const Exhaustion *exhaustion) {
        return exhaustion->listener != NULL ? exhaustion->told + CLOCK_SECOND : CLOCK_NEVER;
}

void exhaustion_tick(Exhaustion *exhaustion, Journal *journal, uint32_t live, uint64_t now) {
        if (exhaustion->deadline <= now)
                exhaustion_relieve(exhaustion);
        if (now < exhaustion_telling(exhaustion))
                return;
        journal_write(journal,
                      &(Record){ .kind = RECORD_EXHAUSTED,
                                 .listener = exhaustion->listener->text,
                                 .listener_name = exhaustion->listener->name,
                                 .limit = exhaustion->limit,
                                 .error = (uint64_t)exhaustion->error,
                                 .refused = exhaustion->refused,
                                 .live = live },
                      now);
        exhaustion->listener = NULL;
        exhaustion->refused = 0;
        exhaustion->told = now;
}

uint64_t exhaustion_deadline(const Exhaustion *exhaustion) {
        return clock_earlier(exhaustion->deadline, exhaustion_telling(exhaustion));
}
