/* SPDX-License-Identifier: MIT */
/* Sockets that systemd or an inetd passes, in a child with just these; and listening on them. */

#include "start/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "journald.h"
#include "peer.h"
#include "process.h"
#include "start/listeners.h"
#include "unit.h"

enum {
        PASSED_MOST = 5,
};

static Journald journald;
static int listener, local, datagram, datagram6, datagram_local, netlink, sequenced, null, pair[2];

/* Whether peers go on connecting and sending for as long as somebody takes it. */
static bool endless;

/* In place of the C library's. */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
        if (endless)
                return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return (int)syscall(SYS_accept4, fd, address, length, flags);
}

ssize_t recv(int fd, void *data, size_t size, int flags) {
        return endless ? 1 : recvfrom(fd, data, size, flags, NULL, NULL);
}

/* How a process is called, and what inherited_sort() and listeners_new() are to make of it. */
typedef struct Call {
        const char *fds; /* $LISTEN_FDS; NULL for none */
        const char *names;
        const char *pid; /* $LISTEN_PID; NULL for the process's own */
        const int *passed[PASSED_MOST];
        const int *standard_input;
        const char *listen; /* on the command line */

        int result;
        const char *sentence;
        uint32_t n;
        bool connection;
        const char *listener_names[PASSED_MOST];
        ListenerKind kinds[PASSED_MOST];
} Call;

static int set_up(void **state) {
        const struct sockaddr_in name = { .sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const sa_family_t unnamed = AF_UNIX;

        (void)state;
        journald_start(&journald);
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        datagram6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        datagram_local = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sequenced = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        peer_pair(pair);
        /* The kernel gives the Unix socket an abstract name (autobind, unix(7)). */
        return bind(listener, (const struct sockaddr *)&name, sizeof name) < 0 ||
               bind(local, (const struct sockaddr *)&unnamed, sizeof unnamed) < 0 ||
               bind(datagram, (const struct sockaddr *)&name, sizeof name) < 0 ||
               listen(listener, 5) < 0 || listen(local, 5) < 0;
}

static int tear_down(void **state) {
        (void)state;
        close(listener);
        close(local);
        close(datagram);
        close(datagram6);
        close(datagram_local);
        close(netlink);
        close(sequenced);
        close(null);
        close(pair[0]);
        close(pair[1]);
        journald_stop(&journald);
        return 0;
}

/* Makes the descriptors of this process those that @call says. */
static void arrange_descriptors(const Call *call) {
        int moved[PASSED_MOST], input = call->standard_input != NULL ? *call->standard_input : null;

        assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
        for (int i = 0; i < PASSED_MOST; i++)
                moved[i] = call->passed[i] != NULL ? fcntl(*call->passed[i], F_DUPFD, 50) : -1;
        for (int i = 0; i < PASSED_MOST + 10; i++)
                close(3 + i);
        for (int i = 0; i < PASSED_MOST; i++)
                if (moved[i] >= 0) {
                        assert_int_equal(dup2(moved[i], 3 + i), 3 + i);
                        close(moved[i]);
                }
}

static void arrange_environment(const Call *call) {
        char pid[16];

        (void)unsetenv("LISTEN_FDS");
        (void)unsetenv("LISTEN_FDNAMES");
        (void)unsetenv("LISTEN_PID");
        if (call->fds == NULL)
                return;
        snprintf(pid, sizeof pid, "%d", getpid());
        assert_int_equal(setenv("LISTEN_PID", call->pid != NULL ? call->pid : pid, 1), 0);
        assert_int_equal(setenv("LISTEN_FDS", call->fds, 1), 0);
        if (call->names != NULL)
                assert_int_equal(setenv("LISTEN_FDNAMES", call->names, 1), 0);
}

static void expect_listeners(const Call *call, const Listeners *listeners) {
        assert_int_equal(listeners->n, call->n);
        for (uint32_t i = 0; i < listeners->n; i++) {
                const Listener *item = &listeners->items[i];
                socklen_t length = sizeof(int);
                int inlined = 0;

                assert_int_equal(getsockopt(item->fd, SOL_SOCKET, SO_OOBINLINE, &inlined, &length),
                                 0);
                assert_int_equal(inlined, item->kind != LISTENER_DATAGRAM);
                assert_int_equal((fcntl(item->fd, F_GETFL) & O_NONBLOCK) != 0,
                                 item->kind != LISTENER_DATAGRAM);
                assert_int_equal(fcntl(item->fd, F_GETFD), FD_CLOEXEC);
                assert_null(item->path);
                if (item->kind != LISTENER_DATAGRAM)
                        assert_int_equal(item->kind, call->kinds[i]);
                if (call->listener_names[i] == NULL)
                        assert_null(item->name);
                else
                        assert_string_equal(item->name, call->listener_names[i]);
        }
}

static void start_mpecho(void *data) {
        const Call *call = data;
        char *listen[] = { (char *)call->listen };
        const Options options = { .listen = listen, .n_listen = call->listen != NULL };
        Failure failure = {};
        Listeners *listeners;
        Journal *journal;
        Inherited inherited;
        int r;

        arrange_descriptors(call);
        arrange_environment(call);
        inherited_take(&inherited);
        assert_null(getenv("LISTEN_FDS"));
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, journald.name.sun_path,
                                     &journal),
                         0);
        r = listeners_check(&options, &inherited, &failure);
        if (r == 0)
                r = inherited_sort(&inherited, journal, &failure);
        if (call->sentence != NULL &&
            strncmp(failure.text, call->sentence, strlen(call->sentence)) != 0)
                fail_msg("'%s' is not '%s'", failure.text, call->sentence);
        assert_int_equal(r, call->result);
        if (r == 0) {
                assert_int_equal(inherited.connection >= 0, call->connection);
                assert_int_equal(inherited.manager,
                                 call->fds != NULL && call->pid == NULL && !call->connection);
                assert_int_equal(listeners_new(&options, &inherited, &listeners, &failure), 0);
                expect_listeners(call, listeners);
                listeners_free(listeners);
        }
        inherited_deinit(&inherited);
        journal_free(journal);
}

/* A passed socket works on after the process that it was passed to has ended. */
static void expect_alive(void) {
        int fd;

        close(peer_connect(peer_port(listener), INADDR_LOOPBACK));
        peer_wait_readable(listener);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        close(fd);
}

/* Any number of listeners is taken, each by its name, and left to listen for whoever passed them.
 */
static void test_listeners(void **state) {
        (void)state;
        process_run(start_mpecho, &(Call){ .fds = "1",
                                           .names = "echo",
                                           .passed = { &listener },
                                           .n = 1,
                                           .listener_names = { "echo" } });
        process_run(start_mpecho, &(Call){ .fds = "3",
                                           .names = "a:b:a",
                                           .passed = { &listener, &local, &listener },
                                           .n = 3,
                                           .listener_names = { "a", "b", "a" } });
        process_run(start_mpecho, &(Call){ .fds = "1",
                                           .passed = { &listener },
                                           .n = 1,
                                           .listener_names = { "unknown" } });
        journald_expect_none(&journald);
        expect_alive();
}

/* The beginning of a name makes a stream socket one for metrics; the name of a datagram socket
 * decides nothing. */
static void test_kinds(void **state) {
        (void)state;
        process_run(start_mpecho,
                    &(Call){ .fds = "5",
                             .names = "metrics:metrics-tcp:my-metrics:udp:metrics",
                             .passed = { &listener, &local, &listener, &local, &datagram },
                             .n = 5,
                             .listener_names = { "metrics", "metrics-tcp", "my-metrics", "udp",
                                                 "metrics" },
                             .kinds = { LISTENER_METRICS, LISTENER_METRICS } });
        journald_expect_none(&journald);
}

static void expect_stranger(uint64_t fd, const char *name, const char *message) {
        journald_expect(&journald, RECORD_STRANGER);
        assert_int_equal(journald_number(&journald, "MPECHO_DESCRIPTOR"), fd);
        assert_string_equal(journald_text(&journald, "MPECHO_LISTENER_NAME"), name);
        assert_string_equal(journald_text(&journald, "MESSAGE"), message);
}

/* What is not to be served is closed and named, with what it is; the others are served. */
static void test_strangers(void **state) {
        const Call call = { .fds = "5",
                            .names = "a:b:c:d:e",
                            .passed = { &null, &listener, &netlink, &pair[0], &local },
                            .n = 2,
                            .listener_names = { "b", "e" } };

        (void)state;
        process_run(start_mpecho, (void *)&call);
        expect_stranger(3, "a", "Cannot serve passed file descriptor 3 (a): it is not a socket");
        expect_stranger(5, "c",
                        "Cannot serve passed file descriptor 5 (c): it is a datagram socket, but "
                        "neither "
                        "of UDP nor a Unix one");
        expect_stranger(6, "d",
                        "Cannot serve passed file descriptor 6 (d): it is a stream socket that "
                        "does not listen");
        journald_expect_none(&journald);

        process_run(start_mpecho, &(Call){ .fds = "2",
                                           .names = "a:proxy",
                                           .passed = { &listener, &sequenced },
                                           .n = 1,
                                           .listener_names = { "a" } });
        expect_stranger(4, "proxy",
                        "Cannot serve passed file descriptor 4 (proxy): it is neither a stream nor "
                        "a datagram socket");
}

/* Datagram sockets are served beside listening ones; under the name of a connection they are not.
 */
static void test_datagrams(void **state) {
        const Call call = { .fds = "5",
                            .names = "a:b:c:d:mpecho-connection",
                            .passed = { &datagram, &listener, &datagram6, &datagram_local,
                                        &datagram },
                            .n = 4,
                            .listener_names = { "a", "b", "c", "d" } };

        (void)state;
        process_run(start_mpecho, (void *)&call);
        expect_stranger(7, "mpecho-connection",
                        "Cannot serve passed file descriptor 7 (mpecho-connection): it is a "
                        "listening socket under the name of a stored connection");
        journald_expect_none(&journald);
}

/* A name that begins with "proxy" makes a PROXY listener, which no datagram socket and no
 * connection alone can be. */
static void test_proxies(void **state) {
        const Call call = { .fds = "5",
                            .names = "proxy:proxy-2:reproxy:proxy:Proxy",
                            .passed = { &listener, &local, &listener, &datagram, &datagram6 },
                            .n = 4,
                            .listener_names = { "proxy", "proxy-2", "reproxy", "Proxy" },
                            .kinds = { LISTENER_PROXY, LISTENER_PROXY } };

        (void)state;
        process_run(start_mpecho, (void *)&call);
        expect_stranger(6, "proxy",
                        "Cannot serve passed file descriptor 6 (proxy): mpecho does not read PROXY "
                        "headers of datagrams");
        journald_expect_none(&journald);
        process_run(start_mpecho,
                    &(Call){ .fds = "1",
                             .names = "proxy",
                             .passed = { &pair[0] },
                             .result = WRONG_USAGE,
                             .sentence = "Cannot read a PROXY header without a master: " });
}

static void refuse(void *unused) {
        const Inherited inherited = { .n = 3, .connection = -1 };

        (void)unused;
        arrange_descriptors(&(Call){ .passed = { &datagram, &null, &listener } });
        inherited_refuse(&inherited);
}

/* A process that does not serve leaves no datagram and no client that would start it again. */
static void test_refuse(void **state) {
        struct sockaddr_in name;
        socklen_t length = sizeof name;
        int client;
        char byte;

        (void)state;
        assert_int_equal(getsockname(datagram, (struct sockaddr *)&name, &length), 0);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(sendto(datagram, "xx", i, 0, (const struct sockaddr *)&name,
                                        length),
                                 i);
        client = peer_connect(peer_port(listener), INADDR_LOOPBACK);
        process_run(refuse, NULL);
        peer_expect_reset(client);
        close(client);
        assert_int_equal(recv(datagram, &byte, sizeof byte, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
}

static void refuse_endless(void *unused) {
        endless = true;
        refuse(unused);
}

/* Peers that never stop do not keep the process. */
static void test_refuse_endless(void **state) {
        (void)state;
        process_run(refuse_endless, NULL);
}

/* A listener comes from the service manager. One that was stored as something else is no listener,
 * nor what it was stored as. */
static void test_stored_listeners(void **state) {
        const Call call = { .fds = "3",
                            .names = "echo:mpecho-connection:mpecho-connection",
                            .passed = { &listener, &local, &null },
                            .n = 1,
                            .listener_names = { "echo" } };

        (void)state;
        process_run(start_mpecho, (void *)&call);
        expect_stranger(4, "mpecho-connection",
                        "Cannot serve passed file descriptor 4 (mpecho-connection): it is a "
                        "listening socket under the name of a stored connection");
        expect_stranger(5, "mpecho-connection",
                        "Cannot serve passed file descriptor 5 (mpecho-connection): it is not a "
                        "socket");
        journald_expect_none(&journald);
}

/* When nothing that was passed can be served, that is an error. */
static void test_only_strangers(void **state) {
        (void)state;
        process_run(start_mpecho,
                    &(Call){ .fds = "2",
                             .names = "a:b",
                             .passed = { &null, &pair[0] },
                             .result = WRONG_USAGE,
                             .sentence = "Cannot serve any of the 2 passed file descriptors: none "
                                         "is a listening stream socket or a datagram socket" });
        expect_stranger(3, "a", "Cannot serve passed file descriptor 3 (a): it is not a socket");
        journald_expect(&journald, RECORD_STRANGER);
}

/* With more or fewer names than descriptors all are served, without names, and it is told. */
static void test_names(void **state) {
        (void)state;
        process_run(start_mpecho,
                    &(Call){ .fds = "2", .names = "a", .passed = { &listener, &local }, .n = 2 });
        journald_expect(&journald, RECORD_UNNAMED);
        assert_non_null(strstr(journald_text(&journald, "MESSAGE"), "LISTEN_FDNAMES"));
        process_run(start_mpecho,
                    &(Call){ .fds = "1", .names = "a:b", .passed = { &listener }, .n = 1 });
        journald_expect(&journald, RECORD_UNNAMED);
        journald_expect_none(&journald);
}

/* Promises that are not kept, and numbers that are none, are named. */
static void test_promises(void **state) {
        (void)state;
        process_run(start_mpecho, &(Call){ .fds = "1",
                                           .result = -EBADF,
                                           .sentence = "Cannot take file descriptor 3, which "
                                                       "LISTEN_FDS=1 promises: it is not open" });
        process_run(start_mpecho, &(Call){ .fds = "3",
                                           .passed = { &listener, &local },
                                           .result = -EBADF,
                                           .sentence = "Cannot take file descriptor 5, which "
                                                       "LISTEN_FDS=3 promises: it is not open" });
        process_run(start_mpecho, &(Call){ .fds = "x",
                                           .result = -EINVAL,
                                           .sentence = "Cannot take the file descriptors that "
                                                       "LISTEN_FDS=x promises: Invalid argument" });
        process_run(start_mpecho, &(Call){ .fds = "1",
                                           .pid = "1",
                                           .passed = { &listener },
                                           .result = WRONG_USAGE,
                                           .sentence = "Cannot take the passed sockets: LISTEN_PID "
                                                       "is 1, this process is " });
        journald_expect_none(&journald);
}

/* Sockets are passed or named, not both; with neither, all three ways are told. */
static void test_ways(void **state) {
        (void)state;
        process_run(start_mpecho, &(Call){ .fds = "1",
                                           .passed = { &listener },
                                           .listen = "9190",
                                           .result = WRONG_USAGE,
                                           .sentence = "Cannot listen on '9190': systemd has "
                                                       "passed sockets or connections" });
        process_run(start_mpecho,
                    &(Call){ .result = WRONG_USAGE,
                             .sentence = "Cannot find a socket to listen on: start mpecho.socket, "
                                         "name a LISTEN address, or let an inetd pass a socket" });
}

/* A single connection is taken as one, passed or as stdin; so is a listener or a datagram
 * socket that is stdin; other sockets there are not. */
static void test_single(void **state) {
        (void)state;
        process_run(start_mpecho, &(Call){ .fds = "1",
                                           .names = "connection",
                                           .passed = { &pair[0] },
                                           .connection = true });
        process_run(start_mpecho, &(Call){ .standard_input = &pair[0], .connection = true });
        process_run(start_mpecho, &(Call){ .standard_input = &listener, .n = 1 });
        process_run(start_mpecho, &(Call){ .standard_input = &datagram, .n = 1 });
        /* The inetd itself may be one that systemd has started with sockets. */
        process_run(start_mpecho,
                    &(Call){ .fds = "1", .pid = "1", .standard_input = &datagram, .n = 1 });
        process_run(start_mpecho,
                    &(Call){ .standard_input = &netlink,
                             .result = -EPROTOTYPE,
                             .sentence = "Cannot serve the socket passed as stdin: it "
                                         "is a datagram socket, but neither of UDP nor a Unix "
                                         "one" });
        journald_expect_none(&journald);
        expect_alive();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_listeners),        TEST(test_kinds),          TEST(test_strangers),
                TEST(test_stored_listeners), TEST(test_only_strangers), TEST(test_names),
                TEST(test_promises),         TEST(test_ways),           TEST(test_single),
                TEST(test_datagrams),        TEST(test_proxies),        TEST(test_refuse),
                TEST(test_refuse_endless),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
