/* SPDX-License-Identifier: MIT */
/* Blocks of local ports, among ports of which another process has some. */

#include "client/network/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "unit.h"

enum {
        FIRST = 61000, /* of all that are chosen */
        FLOWS = 32,
};

static uint32_t numbers[2];   /* that are random here, one after the other, in a ring */
static int random_calls;      /* of getrandom(2) */
static bool fails;            /* getrandom(2) does */
static uint64_t busy;         /* no socket can bind to this port */
static uint64_t bound[FLOWS]; /* the ports of the last sockets, in a ring */
static int binds;

/* In place of the C library's. */
ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
        assert_int_equal(size, sizeof numbers[0]);
        assert_int_equal(flags, 0);
        if (fails) {
                errno = ENOSYS;
                return -1;
        }
        memcpy(buffer, &numbers[random_calls++ % COUNT(numbers)], size);
        return (ssize_t)size;
}

/* In place of the C library's. */
int bind(int fd, const struct sockaddr *address, socklen_t length) {
        struct sockaddr_in local;

        assert_true(fd >= 0);
        assert_int_equal(length, sizeof local);
        memcpy(&local, address, sizeof local);
        bound[binds++ % FLOWS] = ntohs(local.sin_port);
        errno = EADDRINUSE;
        return ntohs(local.sin_port) == busy ? -1 : 0;
}

static int set_up(void **state) {
        (void)state;
        memset(numbers, 0, sizeof numbers);
        random_calls = binds = 0;
        busy = 0;
        fails = false;
        return 0;
}

/* Chooses ports for FLOWS flows. Returns the first one, or 0 with @failure. */
static uint64_t choose(uint64_t first, Failure *failure) {
        const ConnectionOptions options = { .datagram = true };
        uint64_t chosen = 0;

        if (ports_choose(AF_INET, &options, first, FLOWS, &chosen, failure) < 0)
                assert_int_equal(chosen, 0);
        return chosen;
}

/* The block is above the ports that Linux chooses by itself, whatever the random number is, and a
 * socket has bound to each of its ports. */
static void test_random(void **state) {
        static const uint32_t span = UINT16_MAX - FIRST - FLOWS;
        const uint32_t drawn[] = { 0, 1, span - 1, span, span + 1, UINT16_MAX, UINT32_MAX };

        (void)state;
        for (size_t n = 0; n < COUNT(drawn); n++) {
                uint64_t first;

                numbers[0] = numbers[1] = drawn[n];
                binds = 0;
                first = choose(0, &(Failure){});
                assert_in_range(first, FIRST, UINT16_MAX + 1 - FLOWS);
                assert_int_equal(binds, FLOWS);
                for (uint64_t i = 0; i < FLOWS; i++)
                        assert_int_equal(bound[i], first + i);
        }
}

/* A block with a busy port is left for another one. */
static void test_busy(void **state) {
        (void)state;
        numbers[1] = 1000;
        busy = FIRST + FLOWS - 1;
        assert_int_equal(choose(0, &(Failure){}), FIRST + 1000);
        assert_int_equal(random_calls, 2);
}

/* When no block is free, the failure names a port that is not. */
static void test_all_busy(void **state) {
        Failure failure = {};

        (void)state;
        busy = FIRST + 1;
        assert_int_equal(choose(0, &failure), 0);
        assert_string_equal(failure.text, "Cannot use source port 61001: Address already in use");
        assert_true(random_calls > 1);
}

/* The ports of the user are the only ones. */
static void test_given(void **state) {
        Failure failure = {};

        (void)state;
        assert_int_equal(choose(7, &failure), 7);
        assert_int_equal(binds, FLOWS);
        busy = 9;
        assert_int_equal(choose(7, &failure), 0);
        assert_string_equal(failure.text, "Cannot use source port 9: Address already in use");
        assert_int_equal(random_calls, 0);
}

/* Without random numbers there are no ports. */
static void test_no_random_numbers(void **state) {
        Failure failure = {};

        (void)state;
        fails = true;
        assert_int_equal(choose(0, &failure), 0);
        assert_string_equal(failure.text, "Cannot get random numbers: Function not implemented");
        assert_int_equal(binds, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_random, set_up),
                cmocka_unit_test_setup(test_busy, set_up),
                cmocka_unit_test_setup(test_all_busy, set_up),
                cmocka_unit_test_setup(test_given, set_up),
                cmocka_unit_test_setup(test_no_random_numbers, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
