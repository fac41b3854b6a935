/* SPDX-License-Identifier: MIT */
/* A connection given away: handlers are processes, and the master is one of their parent's; the
 * test is the service manager. */

#include "restart/handover.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "restart/unsent.h"
#include "unit.h"

enum {
        MOST = 5, /* handlers */
};

/* A connection, and what its handler is to give with it. */
typedef struct Given {
        int pair[2];
        uint64_t cookie;
        size_t pending; /* bytes */
        int answer;     /* what handover_give() is to return */
} Given;

static Manager manager;
static Handover handover;
static Roster *roster;
static Given given[MOST];
static size_t n_given, n_forked;
static pid_t pids[MOST]; /* of the handlers */
static char data[256 * 1024];

/* How often the patience that handlers have a test has. */
static int patience;

/* In place of the C library's: handlers do not take a master for hung that has to wait for a
 * processor. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
        static int (*real)(int, int, int, const void *, socklen_t);
        struct timeval time;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "setsockopt");
        if (level != SOL_SOCKET || (option != SO_RCVTIMEO && option != SO_SNDTIMEO))
                return real(fd, level, option, value, size);
        memcpy(&time, value, sizeof time);
        time.tv_sec *= patience;
        return real(fd, level, option, &time, sizeof time);
}

static int set_up(void **state) {
        (void)state;
        manager_start(&manager);
        n_given = n_forked = 0;
        patience = PATIENCE_SECONDS;
        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char)peer_pattern(i);
        assert_int_equal(roster_new(MOST, &roster), 0);
        return handover_init(&handover);
}

static int tear_down(void **state) {
        (void)state;
        handover_deinit(&handover);
        roster_free(roster);
        for (size_t i = 0; i < n_given; i++) {
                close(given[i].pair[0]);
                close(given[i].pair[1]);
        }
        manager_stop(&manager);
        return 0;
}

static Given *expect_given(size_t pending, int answer) {
        Given *one = &given[n_given++];

        *one = (Given){ .pending = pending, .answer = answer };
        peer_pair_tcp(one->pair);
        one->cookie = socket_cookie(one->pair[1]);
        return one;
}

static void give(void *one_given) {
        const Given *one = one_given;

        /* As a handler, it has not got the master's. */
        close(handover.fd);
        assert_int_equal(handover_give(&handover.address, one->pair[1], data, one->pending),
                         one->answer);
        /* It is still the giver's. */
        assert_true(socket_cookie(one->pair[1]) == one->cookie);
}

/* Forks a process for each connection that has none yet, which the roster knows. */
static void fork_handlers(void) {
        static const Listener listener = { .fd = -1 };
        static const Address peer = { .family = AF_UNIX };

        for (size_t i = n_forked; i < n_given; i++) {
                pids[i] = process_fork(give, &given[i]);
                roster_assign(roster,
                              roster_claim(roster, &peer, given[i].cookie, &listener, clock_now()),
                              pids[i]);
        }
        n_forked = n_given;
}

static void wait_for_handlers(void) {
        for (size_t i = 0; i < n_given; i++)
                process_wait_exit(pids[i], 0);
}

/* Takes turns until no handler is waiting. */
static void take_turns(bool stopping) {
        const uint64_t deadline = clock_now() + PATIENCE_SECONDS * CLOCK_SECOND;

        do {
                assert_true(clock_now() < deadline);
                handover_turn(&handover, roster, stopping);
                (void)poll(NULL, 0, 1);
        } while (handover_waiting(&handover));
}

/* The master that is stopping: all handlers have given before it looks. */
static void stop_all(void *unused) {
        (void)unused;
        /* A forked process does not have its parent's. */
        assert_int_equal(roster_new(MOST, &roster), 0);
        fork_handlers();
        for (size_t i = 0; i < n_given; i++)
                process_wait_asleep(pids[i]);
        take_turns(true);
        wait_for_handlers();
}

/* Asserts that the message has, among @n descriptors, the connection @cookie. */
static void expect_connection(uint64_t cookie) {
        for (size_t i = 0; i < manager.n_fds; i++)
                if (socket_cookie(manager.fds[i]) == cookie)
                        return;
        fail_msg("connection %lu was not stored", (unsigned long)cookie);
}

/* Asserts that the memfd @fd has @size bytes of the connection @cookie. */
static void expect_pending(int fd, uint64_t cookie, size_t size) {
        static char back[sizeof data];
        uint64_t found = 0;

        assert_int_equal(pending_read(fd, NULL, 0, &found), 0);
        assert_true(found == cookie);
        found = 0;
        assert_int_equal(pending_read(fd, back, sizeof back, &found), size);
        assert_true(found == cookie);
        assert_memory_equal(back, data, size);
        /* Data that does not fit is not cut. */
        assert_int_equal(pending_read(fd, back, size - 1, &found), -EBADMSG);
}

/* A connection is stored before its handler goes on. */
static void test_stored(void **state) {
        pid_t master;

        (void)state;
        (void)expect_given(0, 0);
        master = process_fork(stop_all, NULL);
        manager_expect_stored(&manager, STORE_CONNECTION, 1);
        expect_connection(given[0].cookie);
        manager_expect(&manager, "BARRIER=1", 1);
        process_wait_asleep(master);
        assert_int_equal(process_status(master, "State")[0], 'S');
        manager_forget(&manager);
        process_wait_exit(master, 0);
}

/* What several handlers give takes one descriptor for the connections, one for what is pending,
 * which comes first, and one barrier. */
static void test_several(void **state) {
        pid_t master;

        (void)state;
        for (size_t i = 0; i < MOST; i++)
                (void)expect_given(i % 2 == 0 ? 0 : 1000 + i, 0);
        master = process_fork(stop_all, NULL);
        manager_expect_pack(&manager, STORE_PENDING, 2);
        for (size_t i = 0; i < 2; i++) {
                uint64_t cookie = 0;

                assert_int_equal(pending_read(manager.fds[i], NULL, 0, &cookie), 0);
                expect_pending(manager.fds[i], cookie, cookie == given[1].cookie ? 1001 : 1003);
        }
        manager_expect_pack(&manager, STORE_CONNECTION, MOST);
        for (size_t i = 0; i < MOST; i++)
                expect_connection(given[i].cookie);
        manager_expect_barrier(&manager);
        process_wait_exit(master, 0);
}

/* What is pending, a byte or a whole buffer, comes back with its connection's cookie. */
static void test_pending(void **state) {
        static const size_t sizes[] = { 1, sizeof data };

        (void)state;
        for (size_t i = 0; i < COUNT(sizes); i++) {
                pid_t master;

                n_given = n_forked = 0;
                (void)expect_given(sizes[i], 0);
                master = process_fork(stop_all, NULL);
                manager_expect_stored(&manager, STORE_PENDING, 1);
                expect_pending(manager.fds[0], given[0].cookie, sizes[i]);
                manager_expect_stored(&manager, STORE_CONNECTION, 1);
                manager_expect_barrier(&manager);
                process_wait_exit(master, 0);
                if (i + 1 < COUNT(sizes)) {
                        close(given[0].pair[0]);
                        close(given[0].pair[1]);
                }
        }
}

/* A master that goes on has its handlers end their connections, and stores nothing. */
static void test_declined(void **state) {
        (void)state;
        (void)expect_given(0, -ECANCELED);
        (void)expect_given(10, -ECANCELED);
        fork_handlers();
        process_wait_asleep(pids[0]);
        process_wait_asleep(pids[1]);
        take_turns(false);
        wait_for_handlers();
        assert_false(handover_waiting(&handover));
        manager_expect_none(&manager);
}

/* Without a service manager nothing is stored, and handlers end their connections. */
static void test_no_manager(void **state) {
        (void)state;
        (void)expect_given(0, -ECANCELED);
        (void)expect_given(10, -ECANCELED);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        process_run(stop_all, NULL);
}

static void expect_stored_by_handler(size_t pending) {
        if (pending > 0) {
                manager_expect_stored(&manager, STORE_PENDING, 1);
                expect_pending(manager.fds[0], given[0].cookie, pending);
        }
        manager_expect_stored(&manager, STORE_CONNECTION, 1);
        expect_connection(given[0].cookie);
        manager_expect_barrier(&manager);
}

/* A handler whose master is gone stores what it has by itself. */
static void test_no_master(void **state) {
        (void)state;
        (void)expect_given(100, 0);
        handover_deinit(&handover);
        fork_handlers();
        expect_stored_by_handler(100);
        wait_for_handlers();
}

/* While one stores what it has, others give it theirs, and it stores that with one more message:
 * only one of them speaks to systemd. */
static void test_several_without_master(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        handover_deinit(&handover);
        fork_handlers();
        manager_expect_stored(&manager, STORE_CONNECTION, 1);
        expect_connection(given[0].cookie);
        while (n_given < MOST)
                (void)expect_given(n_given == 1 ? 1000 : 0, 0);
        fork_handlers();
        for (size_t i = 0; i < MOST; i++)
                process_wait_asleep(pids[i]);
        manager_expect_barrier(&manager);
        manager_expect_stored(&manager, STORE_PENDING, 1);
        expect_pending(manager.fds[0], given[1].cookie, 1000);
        manager_expect_pack(&manager, STORE_CONNECTION, MOST - 1);
        for (size_t i = 1; i < MOST; i++)
                expect_connection(given[i].cookie);
        manager_expect_barrier(&manager);
        wait_for_handlers();
}

/* When the one that speaks for others dies, another one does. */
static void test_stand_in_ends(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        handover_deinit(&handover);
        fork_handlers();
        manager_expect_stored(&manager, STORE_CONNECTION, 1);
        while (n_given < 2)
                (void)expect_given(0, 0);
        fork_handlers();
        process_wait_asleep(pids[1]);
        /* At the barrier. */
        process_wait_asleep(pids[0]);
        assert_int_equal(kill(pids[0], SIGKILL), 0);
        (void)process_wait(pids[0]);
        manager_expect_barrier(&manager);
        manager_expect_stored(&manager, STORE_CONNECTION, 1);
        expect_connection(given[1].cookie);
        manager_expect_barrier(&manager);
        process_wait_exit(pids[1], 0);
}

/* So does one whose master ends while it waits for the answer, having heard it or not. */
static void test_master_ends(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        fork_handlers();
        process_wait_asleep(pids[0]);
        handover_deinit(&handover);
        expect_stored_by_handler(0);
        wait_for_handlers();
}

/* And one whose master hangs; that it does so for seconds is why there is one such test only. */
static void test_master_hangs(void **state) {
        (void)state;
        patience = 1;
        (void)expect_given(0, 0);
        fork_handlers();
        expect_stored_by_handler(0);
        wait_for_handlers();
}

/* With neither a master nor a service manager, giving fails. */
static void test_nobody(void **state) {
        (void)state;
        (void)expect_given(0, -ECANCELED);
        (void)expect_given(10, -ECANCELED);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        handover_deinit(&handover);
        fork_handlers();
        wait_for_handlers();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_stored),
                TEST(test_several),
                TEST(test_pending),
                TEST(test_declined),
                TEST(test_no_manager),
                TEST(test_no_master),
                TEST(test_several_without_master),
                TEST(test_stand_in_ends),
                TEST(test_master_ends),
                TEST(test_master_hangs),
                TEST(test_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
