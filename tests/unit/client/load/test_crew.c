/* SPDX-License-Identifier: MIT */
/* What the workers of a load have in common: their connections, their start and their counts. */

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/load/crew.h"
#include "lib/clock.h"

enum {
        CONNECTIONS = 5,
        MANY = 300,
};

static int listener;
/* How often the queue of a Unix socket is full. */
static int attempts;
/* The connections under way, and the most that were so at once. */
static int under_way;
static int most;

/* In the place of the C library's: the caller gets a processor again when the connection, which it
 * believes to be pending, has come about; the queue of a Unix socket has room at last. */
int connect(int fd, const struct sockaddr *address, socklen_t length) {
        struct pollfd polled = { .fd = fd, .events = POLLOUT };

        if (syscall(SYS_connect, fd, address, length) == 0)
                return 0;
        if (errno == EINPROGRESS && ++under_way > most)
                most = under_way;
        if (errno == EINPROGRESS)
                while (ppoll(&polled, 1, NULL, NULL) < 0)
                        ;
        if (errno == EAGAIN && --attempts == 0)
                close(accept(listener, NULL, NULL));
        errno = polled.revents != 0 ? EINPROGRESS : errno;
        return -1;
}

/* In the place of the C library's: the caller looks for the error of a connection that is over. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *length) {
        under_way -= level == SOL_SOCKET && name == SO_ERROR;
        return (int)syscall(SYS_getsockopt, fd, level, name, value, length);
}

static ClientOptions options;
static Endpoint peer;
static LoadPage page;
static LoadPlan plan;

static int set_up(void **state) {
        (void)state;
        options = (ClientOptions){ .connection.interrupt = -1 };
        page = (LoadPage){};
        plan = (LoadPlan){ .options = &options,
                           .peer = &peer,
                           .connections = CONNECTIONS,
                           .first = -1,
                           .ready = -1,
                           .page = &page };
        peer = (Endpoint){ .ipv4 = { .sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
                           .length = sizeof peer.ipv4 };
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return bind(listener, &peer.any, peer.length) < 0 || listen(listener, CONNECTIONS) < 0 ||
               getsockname(listener, &peer.any, &peer.length) < 0;
}

static int tear_down(void **state) {
        (void)state;
        close(listener);
        return 0;
}

static uint64_t errors(void) {
        uint64_t sum = 0;

        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                sum += page.errors[kind];
        return sum;
}

/* Each connection counts once, with its time, also the one that the parent has opened before. */
static void test_connect(void **state) {
        const uint64_t begun = clock_now();
        int fds[CONNECTIONS];

        (void)state;
        plan.first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(plan.first, &peer.any, peer.length), 0);
        plan.setup = CLOCK_SECOND;
        crew_connect(&plan, fds);
        assert_int_equal(fds[0], plan.first);
        assert_int_equal(page.phases.connections, CONNECTIONS);
        assert_true(page.phases.connect > CLOCK_SECOND);
        assert_true(page.phases.connect <= CLOCK_SECOND + CONNECTIONS * (clock_now() - begun));
        assert_int_equal(errors(), 0);
        for (int i = 0; i < CONNECTIONS; i++) {
                assert_int_equal(getpeername(fds[i], &(struct sockaddr){},
                                             &(socklen_t){ sizeof(struct sockaddr) }),
                                 0);
                close(fds[i]);
        }
}

/* At most 128 connections are under way at once, and all others follow. */
static void test_at_once(void **state) {
        static int fds[MANY];

        (void)state;
        assert_int_equal(listen(listener, MANY), 0);
        plan.connections = MANY;
        under_way = most = 0;
        crew_connect(&plan, fds);
        assert_int_equal(most, 128);
        assert_int_equal(under_way, 0);
        assert_int_equal(errors(), 0);
        assert_int_equal(page.phases.connections, MANY);
        for (int i = 0; i < MANY; i++)
                close(fds[i]);
}

/* A connection that came about before this process looked is no timeout, however late it looks. */
static void test_late_look(void **state) {
        int fds[CONNECTIONS];

        (void)state;
        options.connection.timeout = 1;
        crew_connect(&plan, fds);
        assert_int_equal(errors(), 0);
        assert_int_equal(page.phases.connections, CONNECTIONS);
        for (int i = 0; i < CONNECTIONS; i++)
                close(fds[i]);
}

/* A connection to a full queue has attempts until it succeeds or its time is over. */
static void test_full_queue(void **state) {
        const sa_family_t unnamed = AF_UNIX;
        int fds[2] = { -1, -1 };

        (void)state;
        close(listener);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listener, (const struct sockaddr *)&unnamed, sizeof unnamed), 0);
        assert_int_equal(listen(listener, 0), 0);
        assert_int_equal(endpoint_from_socket(listener, &peer), 0);
        plan.connections = 2;
        options.connection.timeout = 1000 * CLOCK_SECOND;
        attempts = 3;
        crew_connect(&plan, fds);
        assert_int_equal(attempts, 0);
        assert_true(fds[0] >= 0 && fds[1] >= 0);
        assert_int_equal(errors(), 0);
        close(fds[0]);

        plan.connections = 1;
        options.connection.timeout = 1;
        crew_connect(&plan, fds);
        assert_int_equal(fds[0], -ETIME);
        assert_int_equal(page.errors[FAILURE_TIMEOUT], 1);
        close(fds[1]);
}

/* Where nobody listens, each connection is an error, and has it in its place. */
static void test_refused(void **state) {
        int fds[CONNECTIONS];

        (void)state;
        assert_int_equal(shutdown(listener, SHUT_RDWR), 0);
        crew_connect(&plan, fds);
        for (int i = 0; i < CONNECTIONS; i++)
                assert_int_equal(fds[i], -ECONNREFUSED);
        assert_int_equal(page.errors[FAILURE_REFUSED], CONNECTIONS);
        assert_int_equal(errors(), CONNECTIONS);
        assert_int_equal(page.phases.connections, 0);
}

/* Once the run must end no connection begins, and none is an error. */
static void test_stop(void **state) {
        int fds[CONNECTIONS];

        (void)state;
        page.stop = true;
        crew_connect(&plan, fds);
        for (int i = 0; i < CONNECTIONS; i++)
                assert_int_equal(fds[i], -EINTR);
        assert_int_equal(errors(), 0);
        assert_int_equal(page.phases.connections, 0);
}

/* All wait for the start that the parent has written, and no worker begins before it. */
static void test_start(void **state) {
        int ready[2], go[2];
        char byte;

        (void)state;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(go), 0);
        close(go[1]);
        plan.ready = ready[1];
        plan.go = go[0];
        page.start = clock_now() + 5 * CLOCK_MILLISECOND;
        assert_true(crew_start(&plan) == page.start);
        assert_true(clock_now() >= page.start);
        /* The parent learns that it is ready. */
        assert_int_equal(read(ready[0], &byte, 1), 0);
        close(ready[0]);
        close(go[0]);
}

/* The counts at the end of the duration are the first ones that are noted. */
static void test_close_window(void **state) {
        (void)state;
        page.answered = 3;
        page.bytes_sent = 400;
        page.bytes_received = 300;
        crew_close_window(&plan, CLOCK_SECOND);
        page.answered = 4;
        crew_close_window(&plan, 2 * CLOCK_SECOND);
        assert_true(page.window.elapsed == CLOCK_SECOND);
        assert_int_equal(page.window.answered, 3);
        assert_int_equal(page.window.bytes_sent, 400);
        assert_int_equal(page.window.bytes_received, 300);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connect, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_at_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_late_look, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_queue, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_start, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_close_window, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
