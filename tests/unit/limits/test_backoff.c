/* SPDX-License-Identifier: MIT */
/* What to do when the machine has run out of what a connection needs. */

#include "limits/backoff.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "journald.h"
#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

/* An instant of this file's own: nothing here waits for time to pass. */
#define START (1000 * CLOCK_SECOND)

static Journald journald;

static const Listener at = { .fd = -1, .text = "[::]:7" };

/* Errors of accept(2) that are the connection's own are told from those that are the machine's. */
static void test_limits(void **state) {
        static const struct {
                int error;
                const char *limit;
        } cases[] = {
                { EMFILE, "descriptors" }, { ENFILE, "descriptors" }, { ENOMEM, "memory" },
                { ENOBUFS, "memory" },     { EBADF, "listener" },     { EINVAL, "listener" },
                { ENOTSOCK, "listener" },  { EINTR, NULL },           { ECONNABORTED, NULL },
                { ENETDOWN, NULL },        { EPROTO, NULL },          { ENOPROTOOPT, NULL },
                { EHOSTDOWN, NULL },       { ENONET, NULL },          { EHOSTUNREACH, NULL },
                { EOPNOTSUPP, NULL },      { ENETUNREACH, NULL },     { ETIMEDOUT, NULL },
                { EPERM, NULL },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++)
                if (cases[i].limit == NULL)
                        assert_null(backoff_limit(cases[i].error));
                else
                        assert_string_equal(backoff_limit(cases[i].error), cases[i].limit);
}

static void begin(Backoff *backoff, uint64_t now) {
        backoff_begin(backoff, &at, "descriptors", EMFILE, 1, now);
}

/* Each back-off in a row takes twice as long as the one before, 10 ms to a second; one after a
 * connection that got all it needs takes 10 ms again. */
static void test_back_off(void **state) {
        static const uint64_t milliseconds[] = { 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000 };
        Backoff backoff;

        (void)state;
        backoff_init(&backoff);
        assert_false(backoff_is_on(&backoff));
        assert_true(backoff_deadline(&backoff) == CLOCK_NEVER);
        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < COUNT(milliseconds); i++) {
                        begin(&backoff, START);
                        assert_true(backoff_is_on(&backoff));
                        assert_int_equal(backoff.deadline,
                                         START + milliseconds[i] * CLOCK_MILLISECOND);
                        backoff_relieve(&backoff);
                        assert_false(backoff_is_on(&backoff));
                }
                backoff_end(&backoff);
                assert_false(backoff_is_on(&backoff));
        }
        backoff_deinit(&backoff);
        assert_int_equal(backoff.reserve, -1);
        backoff_deinit(&backoff);
}

/* A back-off ends at its deadline; the first time is told at once, what follows a second later,
 * with all that were refused in between, and then nothing more. */
static void test_tick(void **state) {
        Backoff backoff;
        Journal *journal;

        (void)state;
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, journald.name.sun_path,
                                     &journal),
                         0);
        backoff_init(&backoff);
        backoff_tick(&backoff, journal, 5, START);
        journald_expect_none(&journald);
        begin(&backoff, START);
        assert_true(backoff_deadline(&backoff) <= START + 10 * CLOCK_MILLISECOND);
        backoff_tick(&backoff, journal, 5, START);
        journald_expect(&journald, RECORD_EXHAUSTED);
        assert_string_equal(journald_text(&journald, "MPECHO_LISTENER"), "[::]:7");
        assert_string_equal(journald_text(&journald, "MPECHO_LIMIT"), "descriptors");
        assert_int_equal(journald_number(&journald, "ERRNO"), EMFILE);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), 1);
        assert_int_equal(journald_number(&journald, "MPECHO_LIVE"), 5);
        assert_true(backoff_deadline(&backoff) == START + 10 * CLOCK_MILLISECOND);
        backoff_tick(&backoff, journal, 5, START + 10 * CLOCK_MILLISECOND - 1);
        assert_true(backoff_is_on(&backoff));
        backoff_tick(&backoff, journal, 5, START + 10 * CLOCK_MILLISECOND);
        assert_false(backoff_is_on(&backoff));
        assert_true(backoff_deadline(&backoff) == CLOCK_NEVER);

        for (int i = 0; i < 4; i++)
                begin(&backoff, START + 10 * CLOCK_MILLISECOND);
        backoff_end(&backoff);
        assert_true(backoff_deadline(&backoff) == START + CLOCK_SECOND);
        backoff_tick(&backoff, journal, 5, START + CLOCK_SECOND - 1);
        journald_expect_none(&journald);
        backoff_tick(&backoff, journal, 5, START + CLOCK_SECOND);
        journald_expect(&journald, RECORD_EXHAUSTED);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), 4);
        backoff_tick(&backoff, journal, 5, START + 9 * CLOCK_SECOND);
        journald_expect_none(&journald);
        backoff_deinit(&backoff);
        journal_free(journal);
}

/* A listener on a loopback port, non-blocking. */
static Listener listen_here(void) {
        const struct sockaddr_in name = { .sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Listener listener = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                           0) };

        assert_true(listener.fd >= 0);
        assert_int_equal(bind(listener.fd, (const struct sockaddr *)&name, sizeof name), 0);
        assert_int_equal(listen(listener.fd, 10), 0);
        return listener;
}

static void use_up(void) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = (rlim_t)fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) + 1;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void refuse(void *data) {
        Listener listener = listen_here();
        Backoff backoff;
        int clients[3];

        (void)data;
        for (int i = 0; i < 3; i++)
                clients[i] = peer_connect(peer_port(listener.fd), INADDR_LOOPBACK);
        backoff_init(&backoff);
        use_up();
        for (int i = 0; i < 3; i++) {
                assert_int_equal(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0), -1);
                assert_int_equal(errno, EMFILE);
                /* A client is connected a moment before there is something to accept. */
                peer_wait_readable(listener.fd);
                assert_int_equal(backoff_refuse(&backoff, &listener), 1);
                assert_true(backoff.reserve >= 0);
                peer_expect_reset(clients[i]);
        }
        assert_int_equal(backoff_refuse(&backoff, &listener), 0);
        assert_true(backoff.reserve >= 0);
}

/* With no descriptor left a client is accepted and reset all the same, one after another, and when
 * there is none nothing is lost. */
static void test_refuse(void **state) {
        (void)state;
        process_run(refuse, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_back_off),
                cmocka_unit_test_prestate_setup_teardown(test_tick, journald_set_up,
                                                         journald_tear_down, &journald),
                cmocka_unit_test(test_refuse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
