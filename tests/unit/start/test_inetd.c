/* SPDX-License-Identifier: MIT */
/* Serving the one connection that was passed. */

#include "start/inetd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "fault.h"
#include "journald.h"
#include "lib/clock.h"
#include "lib/socket.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

static Journald journald;

FAULT(int, getsockname, getsockname, (int fd, struct sockaddr *name, socklen_t *length),
      (fd, name, length))

typedef struct Session {
        int pair[2];
        Options options;
        bool early;                 /* the journal is opened before the connection has its number */
        const char *sent;           /* what the peer has sent before that, or NULL */
        bool warned;                /* another record has just been written */
        bool nonblocking;           /* the connection does not wait */
        bool reset;                 /* by the peer, before it is served */
        const char *address, *port; /* of the peer, as systemd passes them, or NULL */
        pid_t pid;
        char peer[64], listener[64]; /* as the records name them */
} Session;

/* As main() does it: descriptors are as low as they get, so that any that is taken over is one that
 * matters. */
static void serve(void *data) {
        Session *session = data;
        int high = fcntl(session->pair[1], F_DUPFD_CLOEXEC, 40), connection;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Failure failure = {};
        Journal *journal;

        assert_true(high >= 40);
        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        for (int fd = 3; fd < 40; fd++)
                close(fd);
        if (session->address != NULL)
                assert_int_equal(setenv("REMOTE_ADDR", session->address, 1), 0);
        if (session->port != NULL)
                assert_int_equal(setenv("REMOTE_PORT", session->port, 1), 0);
        if (!session->early)
                assert_int_equal(fcntl(high, F_DUPFD_CLOEXEC, 3), 3);
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, journald.name.sun_path,
                                     &journal),
                         0);
        connection = session->early ? fcntl(high, F_DUPFD_CLOEXEC, 3) : 3;
        close(high);
        if (session->nonblocking)
                assert_int_equal(fcntl(connection, F_SETFL, O_NONBLOCK), 0);
        if (session->warned)
                journal_write(journal,
                              &(Record){ .kind = RECORD_STRANGER,
                                         .descriptor = 4,
                                         .listener_name = "other",
                                         .sentence = "Not of use" },
                              clock_now());
        assert_int_equal(inetd_serve(connection, &session->options, journal, &failure), 0);
        journal_finish(journal, 0);
        journal_free(journal);
}

static void start(Session *session, bool tcp) {
        if (tcp) {
                peer_pair_tcp(session->pair);
                snprintf(session->peer, sizeof session->peer, "127.0.0.1:%hu",
                         peer_port(session->pair[0]));
                snprintf(session->listener, sizeof session->listener, "127.0.0.1:%hu",
                         peer_port(session->pair[1]));
        } else {
                peer_pair(session->pair);
                snprintf(session->peer, sizeof session->peer, "uid %u pid %d", getuid(), getpid());
                snprintf(session->listener, sizeof session->listener, "unnamed");
        }
        if (session->reset) {
                socket_reset(session->pair[0]);
                peer_wait_readable(session->pair[1]);
                snprintf(session->peer, sizeof session->peer, "unknown");
        }
        if (session->sent != NULL)
                peer_send(session->pair[0], session->sent, strlen(session->sent));
        session->pid = process_fork(serve, session);
        close(session->pair[1]);
}

/* Waits for the end of the session, and asserts what has been told of it. */
static void expect_records(const Session *session, const char *reason, uint64_t bytes) {
        process_wait_exit(session->pid, 0);
        journald_expect(&journald, RECORD_ACCEPTED);
        assert_string_equal(journald_text(&journald, "MPECHO_PEER"), session->peer);
        assert_string_equal(journald_text(&journald, "MPECHO_LISTENER"), session->listener);
        assert_int_equal(journald_number(&journald, "MPECHO_HANDLER_PID"), session->pid);
        assert_int_equal(journald_number(&journald, "MPECHO_LIVE"), 1);
        journald_expect(&journald, RECORD_CLOSED);
        assert_string_equal(journald_text(&journald, "MPECHO_PEER"), session->peer);
        assert_string_equal(journald_text(&journald, "MPECHO_LISTENER"), session->listener);
        assert_string_equal(journald_text(&journald, "MPECHO_REASON"), reason);
        assert_int_equal(journald_number(&journald, "MPECHO_HANDLER_PID"), session->pid);
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), bytes);
        assert_int_equal(journald_number(&journald, "MPECHO_LIVE"), 0);
        journald_expect_none(&journald);
}

/* The connection is echoed, told of when it begins and when it ends, and nothing but the echo
 * reaches the peer. */
static void test_serve(void **state) {
        (void)state;
        for (int early = 0; early < 2; early++) {
                Session session = { .early = early };

                start(&session, true);
                peer_echo(session.pair[0], "Hello, world.");
                assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
                peer_expect_end(session.pair[0]);
                expect_records(&session, "closed by peer", 13);
                close(session.pair[0]);
        }
}

/* That it begins is told at once, whatever has been told just before. */
static void test_begins(void **state) {
        Session session = { .warned = true };

        (void)state;
        start(&session, false);
        peer_echo(session.pair[0], "Hello");
        journald_expect(&journald, RECORD_STRANGER);
        journald_expect(&journald, RECORD_ACCEPTED);
        journald_expect_none(&journald);
        close(session.pair[0]);
        process_wait_exit(session.pid, 0);
        journald_expect(&journald, RECORD_CLOSED);
        journald_expect_none(&journald);
}

/* A Unix connection is served as well; it has no name, its peer is a process. */
static void test_local(void **state) {
        Session session = {};

        (void)state;
        start(&session, false);
        peer_echo(session.pair[0], "Hello");
        close(session.pair[0]);
        expect_records(&session, "closed by peer", 5);
}

/* The options count: an idle connection ends; the end is told with its reason. */
static void test_idle(void **state) {
        Session session = { .options = { .idle_timeout = CLOCK_SECOND / 10 }, .sent = "Hello" };
        char back[5];

        (void)state;
        /* By TCP: its kernel acknowledges the answer, however long this process does not read. */
        start(&session, true);
        assert_int_equal(peer_receive(session.pair[0], back, sizeof back), sizeof back);
        assert_memory_equal(back, "Hello", sizeof back);
        peer_expect_end(session.pair[0]);
        close(session.pair[0]);
        expect_records(&session, "idle", 5);
}

/* Told to stop, it ends the connection and says so. */
static void test_stop(void **state) {
        Session session = {};

        (void)state;
        start(&session, false);
        peer_echo(session.pair[0], "Hello");
        assert_int_equal(kill(session.pid, SIGTERM), 0);
        peer_expect_end(session.pair[0]);
        close(session.pair[0]);
        expect_records(&session, "stopped", 5);
}

/* A connection that does not wait is made to. */
static void test_nonblocking(void **state) {
        Session session = { .nonblocking = true };

        (void)state;
        start(&session, false);
        journald_expect(&journald, RECORD_ACCEPTED);
        peer_echo(session.pair[0], "Hello");
        close(session.pair[0]);
        process_wait_exit(session.pid, 0);
        journald_expect(&journald, RECORD_CLOSED);
        assert_string_equal(journald_text(&journald, "MPECHO_REASON"), "closed by peer");
}

/* A connection that its peer has reset before is told of like any other. Its peer is the one that
 * systemd names, if that is an address. */
static void test_reset(void **state) {
        static const struct {
                const char *address;
                const char *port;
                const char *peer;
        } cases[] = {
                { NULL, NULL, "unknown" },
                { "192.0.2.7", NULL, "unknown" },
                { NULL, "51234", "unknown" },
                { "192.0.2.7", "51234", "192.0.2.7:51234" },
                { "2001:db8::1", "1", "[2001:db8::1]:1" },
                { "::ffff:192.0.2.7", "65535", "192.0.2.7:65535" },
                { "192.0.2.7", "0", "unknown" },
                { "192.0.2.7", "65536", "unknown" },
                { "192.0.2.7", "", "unknown" },
                { "client", "7", "unknown" },
                { "", "7", "unknown" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Session session = { .reset = true,
                                    .address = cases[i].address,
                                    .port = cases[i].port };

                start(&session, true);
                snprintf(session.peer, sizeof session.peer, "%s", cases[i].peer);
                expect_records(&session, "reset by peer", 0);
        }
}

/* While the kernel knows the peer, nobody else is asked. */
static void test_remote(void **state) {
        Session session = { .address = "192.0.2.7", .port = "51234" };

        (void)state;
        start(&session, true);
        close(session.pair[0]);
        expect_records(&session, "closed by peer", 0);
}

/* systemd learns that the service is ready before the peer has said anything. */
static void test_ready(void **state) {
        Session session = {};
        Manager manager;

        (void)state;
        manager_start(&manager);
        start(&session, false);
        manager_expect(&manager, "READY=1", 0);
        close(session.pair[0]);
        process_wait_exit(session.pid, 0);
        journald_expect(&journald, RECORD_ACCEPTED);
        journald_expect(&journald, RECORD_CLOSED);
        manager_stop(&manager);
}

/* A sentence refuses all but connections, and those whose two ends the kernel does not return. */
static void test_failed(void **state) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        const Options options = {};
        Failure failure = {};
        Journal *journal;
        int pair[2];

        (void)state;
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, journald.name.sun_path,
                                     &journal),
                         0);
        assert_int_equal(inetd_serve(fd, &options, journal, &failure), -ENOTSOCK);
        assert_string_equal(failure.text, "Cannot serve the passed connection: "
                                          "Socket operation on non-socket");
        close(fd);
        peer_pair(pair);
        getsockname_fault = (CallFault){ .error = ENOBUFS, .times = 1 };
        assert_int_equal(inetd_serve(pair[1], &options, journal, &failure), -ENOBUFS);
        close(pair[0]);
        close(pair[1]);
        journald_expect_none(&journald);
        journal_free(journal);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, journald_set_up, journald_tear_down,        \
                                                 &journald)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_serve), TEST(test_begins), TEST(test_local),       TEST(test_idle),
                TEST(test_stop),  TEST(test_failed), TEST(test_nonblocking), TEST(test_reset),
                TEST(test_ready), TEST(test_remote),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
