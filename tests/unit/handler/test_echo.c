/* SPDX-License-Identifier: MIT */
/* RFC 862 on a connected socket. A child echoes, the test is its peer. */

#include "handler/echo.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/mapping.h"
#include "lib/ppoll.h"
#include "peer.h"
#include "process.h"
#include "session.h"
#include "unit.h"

static const volatile sig_atomic_t never_stopping = 0;

/* The clock of all processes here, in shared memory. */
typedef struct Time {
        _Atomic int queued;       /* what SIOCOUTQ says; -1 for the truth */
        _Atomic int less;         /* how often it says one less from then on */
        _Atomic int looks;        /* how often it has been asked */
        _Atomic int halt;         /* after which look the process stops itself; 0 for none */
        _Atomic uint64_t stopped; /* when it was stopped; 0 while it goes on */
        _Atomic uint64_t ahead;   /* of the machine's, or of when it was stopped */
        _Atomic uint64_t step;    /* how much each look at the stopped clock moves it on */
} Time;

static Time *here;

/* The waits of this process that did not take their time. */
static uint64_t waited;

/* In place of the module's: time can be made to pass. */
uint64_t clock_now(void) {
        struct timespec now;

        if (here->stopped != 0) {
                here->ahead += here->step;
                return here->stopped + here->ahead;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec + here->ahead;
}

/* In place of the C library's. */
int ioctl(int fd, unsigned long request, ...) {
        va_list arguments;
        int *result;

        va_start(arguments, request);
        result = va_arg(arguments, int *);
        va_end(arguments);
        here->looks++;
        if (here->queued < 0)
                return (int)syscall(SYS_ioctl, fd, request, result);
        *result = here->queued;
        if (here->less > 0) {
                here->less--;
                here->queued--;
        }
        if (here->looks == here->halt)
                (void)raise(SIGSTOP);
        return 0;
}

/* In place of the C library's: takes no time. Only echo_drain() waits so. */
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
        (void)fds;
        (void)n;
        (void)mask;
        waited += (uint64_t)timeout->tv_sec * CLOCK_SECOND + (uint64_t)timeout->tv_nsec;
        return 0;
}

static void do_nothing(int signal) {
        (void)signal;
}

static void echo(void *data) {
        const Session *session = data;
        static char buffer[64 * 1024];
        Echo parameters = { .in = session->pair[1],
                            .out = session->pair[1],
                            .buffer = buffer,
                            .buffer_size = sizeof buffer,
                            .timeout = session->timeout,
                            .stop_patience = CLOCK_SECOND,
                            .bytes = &session->ledger->bytes,
                            .stopping = &never_stopping };
        EndReason reason;

        close(session->pair[0]);
        (void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
        (void)sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = do_nothing }, NULL);
        echo_init(parameters.out, parameters.timeout);
        /* A test that comes late is not an idle peer. */
        peer_wait_readable(parameters.in);
        reason = echo_run(&parameters);
        if (reason == END_IDLE || reason == END_STALLED)
                echo_finish(&parameters);
        _exit((int)reason);
}

static Session start(bool tcp, uint64_t timeout) {
        Session session;

        session_start(&session, tcp, timeout, 0, echo);
        return session;
}

/* What comes in goes out, in order and whole, until the peer has sent everything; it is counted. */
static void test_all(void **state) {
        (void)state;
        for (int tcp = 0; tcp < 2; tcp++) {
                Session session = start(tcp, 0);
                size_t sent = 0;

                peer_echo(session.pair[0], "Hello, world.\n");
                peer_echo(session.pair[0], "x");
                for (int i = 0; i < 4; i++) {
                        size_t more = peer_fill(session.pair[0], sent);

                        peer_expect_pattern(session.pair[0], sent, sent + more, false);
                        sent += more;
                }
                assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
                peer_expect_end(session.pair[0]);
                session_end(&session, END_CLOSED_BY_PEER, 15 + sent);
        }
}

/* A peer that half-closes gets all that it sent before, then the end. */
static void test_half_close(void **state) {
        (void)state;
        for (int tcp = 0; tcp < 2; tcp++) {
                Session session = start(tcp, 0);
                size_t sent = session_fill(&session);

                assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
                peer_expect_pattern(session.pair[0], 0, sent, true);
                session_end(&session, END_CLOSED_BY_PEER, sent);
        }
}

/* A peer that sends nothing at all is one that sent everything. */
static void test_nothing(void **state) {
        Session session = start(true, 0);

        (void)state;
        assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
        peer_expect_end(session.pair[0]);
        session_end(&session, END_CLOSED_BY_PEER, 0);
}

static void reset(Session *session) {
        const struct linger at_once = { .l_onoff = 1 };

        assert_int_equal(setsockopt(session->pair[0], SOL_SOCKET, SO_LINGER, &at_once,
                                    sizeof at_once),
                         0);
        close(session->pair[0]);
        session->pair[0] = -1;
}

/* A peer breaks the connection off: the handler reports a reset, not an end, whether it waits in a
 * read or a write. */
static void test_reset(void **state) {
        Session session = start(true, 0);

        (void)state;
        peer_echo(session.pair[0], "a");
        process_wait_asleep(session.pid);
        reset(&session);
        session_end(&session, END_RESET_BY_PEER, 1);

        session = start(true, 0);
        (void)session_fill(&session);
        reset(&session);
        session_end(&session, END_RESET_BY_PEER, SESSION_ANY);

        session = start(false, 0);
        (void)session_fill(&session);
        session_close(&session);
        session_end(&session, END_RESET_BY_PEER, SESSION_ANY);

        session = start(false, 0);
        assert_int_equal(shutdown(session.pair[0], SHUT_RD), 0);
        peer_send(session.pair[0], "a", 1);
        process_wait_ended(session.pid);
        session_end(&session, END_RESET_BY_PEER, 0);
}

/* A peer that sends nothing for the timeout is idle, and not before; it still gets all of its echo
 * and then the end. */
static void test_idle(void **state) {
        const uint64_t timeout = CLOCK_SECOND / 5, begin = clock_now();
        Session session = start(true, timeout);
        char back[5];

        (void)state;
        peer_send(session.pair[0], "hello", 5);
        assert_int_equal(peer_receive(session.pair[0], back, 5), 5);
        peer_expect_end(session.pair[0]);
        assert_true(clock_now() - begin >= timeout);
        session_end(&session, END_IDLE, 5);
}

/* A peer that reads nothing for the timeout has stalled, and not before; what was written before
 * still reaches it. */
static void test_stalled(void **state) {
        const uint64_t timeout = CLOCK_SECOND / 5, begin = clock_now();
        uint64_t echoed;
        Session session;
        char byte;

        (void)state;
        (void)session_start_full(&session, timeout, echo);
        process_wait_ended(session.pid);
        assert_true(clock_now() - begin >= timeout);
        echoed = session.ledger->bytes;
        peer_expect_pattern(session.pair[0], 0, 1, false);
        assert_int_equal(recv(session.pair[0], &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
        session_end(&session, END_STALLED, echoed);
}

/* Reads on from @received, so slowly that writes come back short, until one has. Returns how far.
 */
static size_t read_a_little(const Session *session, size_t received) {
        const uint64_t echoed = session->ledger->bytes;

        for (int i = 0; session->ledger->bytes == echoed; i++) {
                assert_in_range(i, 0, PATIENCE_SECONDS * 1000);
                if (i % 60 == 0) {
                        peer_expect_pattern(session->pair[0], received, received + 1024, false);
                        received += 1024;
                }
                (void)poll(NULL, 0, 1);
        }
        return received;
}

/* A peer that reads slowly, but does, has not stalled, however long all of it takes. */
static void test_slow(void **state) {
        /* The echo looks every 64th part of it. */
        const uint64_t timeout = 10 * CLOCK_SECOND;
        size_t sent, received = 0;
        Session session;

        (void)state;
        /* A test that comes late is not a peer that reads nothing. */
        here->stopped = clock_now();
        sent = session_start_full(&session, timeout, echo);
        assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
        /* One write of the echo takes twice as long as the timeout. */
        for (int i = 0; i < 5; i++) {
                received = read_a_little(&session, received);
                here->ahead += timeout * 2 / 5;
        }
        assert_true(sent - received > 4096);
        peer_expect_pattern(session.pair[0], received, sent, true);
        session_end(&session, END_CLOSED_BY_PEER, sent);
        here->stopped = 0;
}

/* Waits until the echo has looked at what its peer acknowledges, twice: the second time after this
 * was called. */
static void wait_for_look(void) {
        const int looks = here->looks + 2;

        for (int i = 0; here->looks < looks; i++) {
                assert_in_range(i, 0, PATIENCE_SECONDS * 1000);
                (void)poll(NULL, 0, 1);
        }
}

/* A peer that acknowledges a little from time to time has not stalled, though no write goes on; one
 * that does so no more has when the timeout is over, and not before. */
static void test_acknowledges(void **state) {
        const uint64_t timeout = CLOCK_SECOND / 4;
        Session session;

        (void)state;
        here->stopped = clock_now();
        here->queued = 1000;
        (void)session_start_full(&session, timeout, echo);
        for (int i = 0; i < 5; i++) {
                wait_for_look();
                here->ahead += timeout * 2 / 5;
                here->queued--;
        }
        wait_for_look();
        here->ahead += timeout * 7 / 8;
        wait_for_look();
        here->ahead += timeout / 8;
        process_wait_ended(session.pid);
        session_end(&session, END_STALLED, SESSION_ANY);
        here->stopped = 0;
        here->queued = -1;
}

/* Starts a session with a peer that acknowledges a byte of @queued at each look, as often as
 * @less. */
static Session start_acknowledging(bool tcp, uint64_t timeout, int queued, int less) {
        here->looks = 0;
        here->queued = queued;
        here->less = less;
        return start(tcp, timeout);
}

static void end_acknowledging(Session *session, EndReason reason, uint64_t bytes, int looks) {
        session_end(session, reason, bytes);
        assert_int_equal(here->looks, looks);
        here->queued = -1;
        here->less = 0;
}

/* A silent peer is not idle while it acknowledges echoes, and has stalled when it acknowledges
 * nothing more of what it lacks. */
static void test_silent(void **state) {
        static const struct {
                bool tcp;
                int queued, less;
                EndReason reason;
                int looks;
        } cases[] = { { true, 3, 3, END_IDLE, 4 },
                      { true, 3, 2, END_STALLED, 4 },
                      { true, 3, 0, END_STALLED, 2 },
                      { false, 3, 3, END_IDLE, 4 },
                      { false, 3, 0, END_STALLED, 2 } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Session session = start_acknowledging(cases[i].tcp, CLOCK_SECOND / 20,
                                                      cases[i].queued, cases[i].less);

                peer_echo(session.pair[0], "hello");
                process_wait_ended(session.pid);
                end_acknowledging(&session, cases[i].reason, 5, cases[i].looks);
        }
}

/* What a silent peer lacked before it sent again proves nothing: only that it acknowledges nothing
 * from then on. */
static void test_silent_again(void **state) {
        Session session = start_acknowledging(true, CLOCK_SECOND / 20, 3, 0);
        int status;

        (void)state;
        here->halt = 1;
        peer_echo(session.pair[0], "hello");
        assert_int_equal(waitpid(session.pid, &status, WUNTRACED), session.pid);
        assert_true(WIFSTOPPED(status));
        /* It finds this at its next read, however long the test stalls. */
        peer_send(session.pair[0], "again", 5);
        here->less = 3;
        here->halt = 0;
        assert_int_equal(kill(session.pid, SIGCONT), 0);
        process_wait_ended(session.pid);
        end_acknowledging(&session, END_IDLE, 10, 5);
}

/* What the kernel has taken of a write counts while the rest waits for the peer. */
static void test_counted(void **state) {
        Session session;
        int arrived = 0;

        (void)state;
        (void)session_start_full(&session, 0, echo);
        for (int i = 0; arrived == 0 || session.ledger->bytes != (uint64_t)arrived; i++) {
                assert_in_range(i, 0, PATIENCE_SECONDS * 1000);
                (void)poll(NULL, 0, 1);
                assert_int_equal(ioctl(session.pair[0], FIONREAD, &arrived), 0);
        }
        session_close(&session);
        process_wait_ended(session.pid);
        session_end(&session, END_RESET_BY_PEER, (uint64_t)arrived);
}

/* A peer that has ended its stream keeps its handler until it has acknowledged everything, or has
 * stalled; without a timeout for ever. */
static void test_ended_unacknowledged(void **state) {
        static const struct {
                bool tcp;
                uint64_t timeout;
                int queued, less;
                EndReason reason;
                int looks;
        } cases[] = { { true, 0, 4, 4, END_CLOSED_BY_PEER, 5 },
                      { true, 1, 4, 4, END_CLOSED_BY_PEER, 5 },
                      { true, 1, 4, 2, END_STALLED, 4 },
                      { false, 1, 4, 4, END_CLOSED_BY_PEER, 5 },
                      { false, 1, 4, 2, END_STALLED, 4 } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Session session = start_acknowledging(cases[i].tcp, cases[i].timeout,
                                                      cases[i].queued, cases[i].less);

                assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
                process_wait_ended(session.pid);
                end_acknowledging(&session, cases[i].reason, 0, cases[i].looks);
        }
}

/* Between two looks at a peer that has ended its stream is a millisecond at first, doubling up to a
 * second: it wakes nobody more often. */
static void test_drain_waits(void **state) {
        const volatile sig_atomic_t stopping = 0;
        Echo parameters = { .stopping = &stopping };
        int pair[2];

        (void)state;
        peer_pair(pair);
        parameters.out = pair[1];
        here->queued = here->less = 12;
        waited = 0;
        assert_int_equal(echo_drain(&parameters), END_CLOSED_BY_PEER);
        assert_int_equal(waited, (1023 + 2 * 1000) * CLOCK_MILLISECOND);
        here->queued = -1;
        close(pair[0]);
        close(pair[1]);
}

/* Signals interrupt nothing, neither reading nor writing. */
static void test_signals(void **state) {
        Session session = start(false, 0);
        size_t sent;

        (void)state;
        for (int i = 0; i < 100; i++) {
                peer_echo(session.pair[0], "a");
                process_wait_asleep(session.pid);
                assert_int_equal(kill(session.pid, SIGUSR2), 0);
        }
        sent = session_fill(&session);
        for (int i = 0; i < 100; i++) {
                assert_int_equal(kill(session.pid, SIGUSR2), 0);
                process_wait_asleep(session.pid);
        }
        assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
        peer_expect_pattern(session.pair[0], 0, sent, true);
        session_end(&session, END_CLOSED_BY_PEER, 100 + sent);
}

/* Urgent data stays in its place in the stream. */
static void test_urgent(void **state) {
        Session session = start(true, 0);
        char back[4] = "";

        (void)state;
        /* So that the child has the option set before the data comes. */
        peer_echo(session.pair[0], "x");
        assert_int_equal(send(session.pair[0], "a", 1, MSG_NOSIGNAL), 1);
        assert_int_equal(send(session.pair[0], "b", 1, MSG_NOSIGNAL | MSG_OOB), 1);
        assert_int_equal(send(session.pair[0], "c", 1, MSG_NOSIGNAL), 1);
        assert_int_equal(peer_receive(session.pair[0], back, 3), 3);
        assert_string_equal(back, "abc");
        assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
        session_end(&session, END_CLOSED_BY_PEER, 4);
}

/* A connection that cannot be read, and one that cannot be written, for no fault of the peer, has
 * failed. */
static void test_failed(void **state) {
        const volatile sig_atomic_t stopping = 0;
        _Atomic uint64_t bytes = 0;
        char buffer[16];
        Echo parameters = { .buffer = buffer,
                            .buffer_size = sizeof buffer,
                            .bytes = &bytes,
                            .stopping = &stopping };
        int pair[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void)state;
        peer_pair(pair);
        peer_send(pair[0], "abc", 3);
        parameters.in = pair[1];
        parameters.out = null;
        assert_int_equal(echo_run(&parameters), END_FAILED);
        close(pair[0]);
        close(pair[1]);
        parameters.unsent_size = 0;
        assert_int_equal(echo_run(&parameters), END_FAILED);
        parameters.in = null;
        assert_int_equal(echo_run(&parameters), END_CLOSED_BY_PEER);
        assert_int_equal(bytes, 0);
        close(null);
}

/* A peer that goes on sending is left after three seconds. */
static void test_finish(void **state) {
        static const char data[4096];
        char buffer[16];
        Echo parameters = { .buffer = buffer,
                            .buffer_size = sizeof buffer,
                            .stopping = &never_stopping };
        int pair[2];

        (void)state;
        peer_pair(pair);
        peer_send(pair[0], data, sizeof data);
        parameters.out = pair[1];
        here->ahead = 0;
        here->step = CLOCK_SECOND / 2;
        here->stopped = CLOCK_SECOND;
        echo_finish(&parameters);
        here->stopped = here->step = 0;
        assert_in_range(here->ahead, 3 * CLOCK_SECOND, 4 * CLOCK_SECOND);
        here->ahead = 0;
        close(pair[0]);
        close(pair[1]);
}

/* Where this side ends the connection, the peer gets the end of the stream, and may be quiet for a
 * 64th of the timeout, at most a second. */
static void test_finish_quiet(void **state) {
        static const struct {
                uint64_t timeout, quiet;
        } cases[] = { { 0, CLOCK_SECOND },
                      { 64 * CLOCK_SECOND / 10, CLOCK_SECOND / 10 },
                      { 640 * CLOCK_SECOND, CLOCK_SECOND } };
        char buffer[16];

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Echo parameters = { .buffer = buffer,
                                    .buffer_size = sizeof buffer,
                                    .timeout = cases[i].timeout,
                                    .stopping = &never_stopping };
                struct timeval quiet;
                socklen_t size = sizeof quiet;
                int pair[2];

                peer_pair(pair);
                /* The test does not wait as long. */
                assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
                parameters.out = pair[1];
                echo_finish(&parameters);
                assert_int_equal(recv(pair[0], buffer, 1, MSG_DONTWAIT), 0);
                assert_int_equal(getsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &quiet, &size), 0);
                assert_int_equal((uint64_t)quiet.tv_sec * CLOCK_SECOND +
                                                 (uint64_t)quiet.tv_usec * CLOCK_MICROSECOND,
                                 cases[i].quiet);
                close(pair[0]);
                close(pair[1]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all),          cmocka_unit_test(test_half_close),
                cmocka_unit_test(test_nothing),      cmocka_unit_test(test_reset),
                cmocka_unit_test(test_idle),         cmocka_unit_test(test_stalled),
                cmocka_unit_test(test_slow),         cmocka_unit_test(test_signals),
                cmocka_unit_test(test_acknowledges), cmocka_unit_test(test_urgent),
                cmocka_unit_test(test_failed),       cmocka_unit_test(test_silent),
                cmocka_unit_test(test_silent_again), cmocka_unit_test(test_ended_unacknowledged),
                cmocka_unit_test(test_drain_waits),  cmocka_unit_test(test_counted),
                cmocka_unit_test(test_finish),       cmocka_unit_test(test_finish_quiet),
        };

        here = mapping_new_shared(sizeof *here);
        here->queued = -1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
