/* SPDX-License-Identifier: MIT */
/* The process that serves one connection, told to stop at any time. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "lib/mapping.h"
#include "peer.h"
#include "process.h"
#include "session.h"
#include "unit.h"

/* The time of a clock that stands still, in shared memory; 0 for the real one. */
static _Atomic uint64_t *standing;

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now) {
        if (standing == NULL || *standing == 0)
                return (int)syscall(GETTIME, clock, now);
        *now = clock_timespec(*standing);
        return 0;
}

/* A peer that accepts nothing, in the process of its handler: the signal comes in the first write
 * that waits for it, and only such writes move the clock. */
typedef struct Stuck {
        bool is; /* false: sockets and the clock are those of the machine */
        bool stopped;
        uint64_t waited; /* since it was stopped */
        uint64_t slice;  /* of that, the last write */
} Stuck;

static Stuck stuck;

/* In place of the module's. */
uint64_t clock_now(void) {
        struct timespec now;

        if (stuck.is)
                return CLOCK_SECOND + stuck.waited;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}

/* In place of the C library's. */
ssize_t send(int fd, const void *data, size_t size, int flags) {
        struct timeval timeout;
        socklen_t length = sizeof timeout;

        if (!stuck.is)
                return sendto(fd, data, size, flags, NULL, 0);
        if (flags == 0 && !stuck.stopped) {
                stuck.stopped = true;
                assert_int_equal(raise(SIGTERM), 0);
        } else if (flags == 0) {
                assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, &length), 0);
                stuck.slice = (uint64_t)timeout.tv_sec * CLOCK_SECOND +
                              (uint64_t)timeout.tv_usec * CLOCK_MICROSECOND;
                /* Without one it would wait for ever. */
                assert_int_not_equal(stuck.slice, 0);
                stuck.waited += stuck.slice;
        }
        errno = EAGAIN;
        return -1;
}

/* Told to stop between messages, a handler ends the connection, with either signal, and several
 * change nothing. */
static void test_stop_idle(void **state) {
        static const int signals[] = { SIGTERM, SIGINT };

        (void)state;
        for (size_t i = 0; i < COUNT(signals); i++) {
                Session session = session_start_handler(true, 0);

                peer_echo(session.pair[0], "Hello");
                process_wait_asleep(session.pid);
                for (int n = 0; n < 3; n++)
                        assert_int_equal(kill(session.pid, signals[i]), 0);
                peer_expect_end(session.pair[0]);
                session_end(&session, END_STOPPED, SESSION_ANY);
        }
}

static void handle_and_stop(void *data) {
        const Session *session = data;

        session_handle(data);
        assert_int_equal(kill(*session->handler, SIGTERM), 0);
}

/* Told to stop before it has begun, when the signal waits for its mask to be lifted, a handler
 * stops as well, and cleanly. */
static void test_stop_first(void **state) {
        (void)state;
        for (int i = 0; i < 20; i++) {
                Session session;

                session_start(&session, true, 0, 0, handle_and_stop);
                session_adopt(&session);
                peer_expect_end(session.pair[0]);
                session_end(&session, END_STOPPED, SESSION_ANY);
        }
}

/* Told to stop in the middle of a write that waits for the peer, a handler writes all that it has
 * read; what the peer has sent beyond that does not destroy it. */
static void test_stop_writing(void **state) {
        (void)state;
        for (int tcp = 0; tcp < 2; tcp++) {
                Session session = session_start_handler(tcp, 0);
                size_t sent = session_fill(&session), received;

                /* The handler may have slept before the data came to it. */
                peer_wait_readable(session.pair[0]);
                /* However late the peer reads on, it is in time. */
                *standing = clock_now();
                assert_int_equal(kill(session.pid, SIGTERM), 0);
                received = peer_receive_pattern(session.pair[0]);
                assert_in_range(received, 1, sent);
                session_close(&session);
                process_wait_ended(session.pid);
                assert_int_equal(session.ledger->bytes, received);
                session_end(&session, END_STOPPED, SESSION_ANY);
                *standing = 0;
        }
}

/* Told to stop while the peer reads nothing, a handler that would wait for ever does not. What it
 * has read and cannot write leaves a hole, so the connection has failed. The buffers of TCP may
 * still take all of it, those of Unix sockets do not grow. */
static void test_stop_stalled(void **state) {
        Session session = session_start_handler(false, 0);
        size_t sent = session_fill(&session);

        (void)state;
        assert_int_equal(kill(session.pid, SIGTERM), 0);
        process_wait_ended(session.pid);
        assert_in_range(session.ledger->bytes, 1, sent - 1);
        session_end(&session, END_FAILED, SESSION_ANY);
}

/* Told to stop while the peer goes on sending, a handler takes and drops it for a while, but not
 * for ever. */
static void test_stop_sending(void **state) {
        const uint64_t begin = clock_now();
        Session session = session_start_handler(true, 0);

        (void)state;
        peer_echo(session.pair[0], "Hello");
        process_wait_asleep(session.pid);
        assert_int_equal(kill(session.pid, SIGTERM), 0);
        while (process_status(session.pid, "State")[0] != 'Z') {
                assert_true(clock_now() - begin < PATIENCE_SECONDS * CLOCK_SECOND);
                (void)peer_fill(session.pair[0], 0);
        }
        session_end(&session, END_STOPPED, SESSION_ANY);
}

static void serve_stuck(void *data) {
        const bool stores = *(const bool *)data;
        const uint64_t patience = stores ? CLOCK_SECOND / 10 : 3 * CLOCK_SECOND;
        int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
        LedgerEntry entry = {};
        Handler handler = { .unsent = -1, .title = "mpecho: somebody", .ledger = &entry };

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        peer_pair(pair);
        peer_send(pair[0], "Hello", 5);
        handler.connection = pair[1];
        if (stores) {
                /* Of a master that is gone. */
                handler.handover.inbox.local.sun_family = AF_UNIX;
                handler.handover.inbox.length = sizeof(sa_family_t) + 2;
                handler.handover.run = 1;
        }
        handler_init(0);
        stuck.is = true;
        assert_int_equal(handler_serve(&handler), END_FAILED);
        assert_in_range(stuck.waited, patience, patience + stuck.slice - 1);
}

/* Told to stop while the peer accepts nothing, a handler waits for a tenth of a second where the
 * next handler gets the rest, so that a restart is short, and for three seconds where the rest is
 * lost. */
static void test_stop_patience(void **state) {
        (void)state;
        process_run(serve_stuck, &(bool){ true });
        process_run(serve_stuck, &(bool){ false });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stop_idle),    cmocka_unit_test(test_stop_first),
                cmocka_unit_test(test_stop_writing), cmocka_unit_test(test_stop_stalled),
                cmocka_unit_test(test_stop_sending), cmocka_unit_test(test_stop_patience),
        };

        standing = mapping_new_shared(sizeof *standing);
        if (standing == NULL)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
