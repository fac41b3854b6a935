/* SPDX-License-Identifier: MIT */
/* Which datagrams are answered. */

#include "handler/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "lib/clock.h"
#include "process.h"
#include "unit.h"

#define SELF "192.0.2.1"

FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))

static Address address_of(const char *text, in_port_t port) {
        Address address = { .port = port, .family = AF_INET };

        if (text == NULL)
                return (Address){};
        if (strcmp(text, "unix") == 0)
                return (Address){ .family = AF_UNIX };
        if (inet_pton(AF_INET, text, &address.ipv4) == 1)
                return address;
        address.family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &address.ipv6), 1);
        return address;
}

/* Every kind of source and destination gets the verdict that the man page promises, and its
 * neighbours get an answer. */
static void test_addresses(void **state) {
        static const struct {
                const char *source;
                in_port_t port;
                const char *destination;
                const char *local; /* NULL for the destination */
                uint32_t interface;
                GuardVerdict verdict;
        } cases[] = {
                { "192.0.2.7", 40000, SELF, NULL, 2, GUARD_ANSWER },
                { "2001:db8::7", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "fe80::7", 40000, "fe80::1", NULL, 2, GUARD_ANSWER },
                { "127.0.0.1", 40000, "127.0.0.1", NULL, 1, GUARD_ANSWER },
                { "::1", 40000, "::1", NULL, 1, GUARD_ANSWER },
                { "127.0.0.1", 40000, "127.0.0.2", NULL, 0, GUARD_ANSWER },
                { "127.0.0.1", 40000, "127.0.0.2", NULL, 2, GUARD_SOURCE },
                { "unix", 0, NULL, NULL, 0, GUARD_ANSWER },

                { NULL, 0, NULL, NULL, 0, GUARD_SOURCE },
                { "0.0.0.0", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "0.255.255.255", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "1.0.0.0", 40000, SELF, NULL, 2, GUARD_ANSWER },
                { "126.255.255.255", 40000, SELF, NULL, 2, GUARD_ANSWER },
                { "127.0.0.1", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "127.255.255.255", 40000, SELF, NULL, 0, GUARD_SOURCE },
                { "128.0.0.0", 40000, SELF, NULL, 2, GUARD_ANSWER },
                { "223.255.255.255", 40000, SELF, NULL, 2, GUARD_ANSWER },
                { "224.0.0.0", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "239.255.255.255", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "240.0.0.0", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "255.255.255.255", 40000, SELF, NULL, 2, GUARD_SOURCE },
                { "::", 40000, "2001:db8::1", NULL, 2, GUARD_SOURCE },
                { "::1", 40000, "2001:db8::1", NULL, 2, GUARD_SOURCE },
                { "::2", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "0:0:1::", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "::1:0:0", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "0:0:1::1", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "::1:0:1", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "feff::1", 40000, "2001:db8::1", NULL, 2, GUARD_ANSWER },
                { "ff00::", 40000, "2001:db8::1", NULL, 2, GUARD_SOURCE },
                { "ff02::1", 40000, "2001:db8::1", NULL, 2, GUARD_SOURCE },

                { "192.0.2.7", 40000, "255.255.255.255", SELF, 2, GUARD_DESTINATION },
                { "192.0.2.7", 40000, "192.0.2.255", SELF, 2, GUARD_DESTINATION },
                { "192.0.2.7", 40000, "224.0.0.1", SELF, 2, GUARD_DESTINATION },
                { "192.0.2.7", 40000, "224.0.0.1", NULL, 2, GUARD_DESTINATION },
                { "192.0.2.7", 40000, "0.0.0.0", NULL, 2, GUARD_DESTINATION },
                { "2001:db8::7", 40000, "ff02::1", NULL, 2, GUARD_DESTINATION },
                { "2001:db8::7", 40000, "::", NULL, 2, GUARD_DESTINATION },
                { "2001:db8::7", 40000, "2001:db8:1::1", "2001:db8::1", 2, GUARD_DESTINATION },
                { "2001:db8::7", 40000, "2001:db8::1:0:1", "2001:db8::1", 2, GUARD_DESTINATION },
                { "192.0.2.7", 40000, "2001:db8::1", NULL, 2, GUARD_DESTINATION },
                { "192.0.2.7", 40000, NULL, NULL, 2, GUARD_DESTINATION },

                { "192.0.2.7", 0, SELF, NULL, 2, GUARD_PORT },
                { "192.0.2.7", 7, SELF, NULL, 2, GUARD_PORT },
                { "192.0.2.7", 19, SELF, NULL, 2, GUARD_PORT },
                { "2001:db8::7", 1023, "2001:db8::1", NULL, 2, GUARD_PORT },
                { "192.0.2.7", 1024, SELF, NULL, 2, GUARD_ANSWER },
                { "192.0.2.7", 2048, SELF, NULL, 2, GUARD_ANSWER },
                { "192.0.2.7", 2049, SELF, NULL, 2, GUARD_PORT },
                { "192.0.2.7", 2050, SELF, NULL, 2, GUARD_ANSWER },
                { "192.0.2.7", 65535, SELF, NULL, 2, GUARD_ANSWER },

                { SELF, 9190, SELF, NULL, 1, GUARD_SELF },
                { SELF, 9191, SELF, NULL, 1, GUARD_ANSWER },
                { "192.0.2.7", 9190, SELF, NULL, 2, GUARD_SELF },
                { SELF, 9191, SELF, NULL, 0, GUARD_ANSWER },
                { SELF, 9191, SELF, NULL, 2, GUARD_SOURCE },
                { "2001:db8::1", 9191, "2001:db8::1", NULL, 2, GUARD_SOURCE },
                { "2001:db8::1", 9190, "2001:db8::1", NULL, 1, GUARD_SELF },
                { "2001:db8::2", 9190, "2001:db8::1", NULL, 2, GUARD_SELF },
                { "2001:db8::2", 9189, "2001:db8::1", NULL, 2, GUARD_ANSWER },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const char *local = cases[i].local != NULL ? cases[i].local : cases[i].destination;
                const GuardRequest request = {
                        .source = address_of(cases[i].source, cases[i].port),
                        .destination = address_of(cases[i].destination, 9190),
                        .local = address_of(local, 9190),
                        .interface = cases[i].interface,
                };

                if (guard_check(&request) != cases[i].verdict)
                        fail_msg("case %zu, from %s: %d", i, cases[i].source,
                                 (int)guard_check(&request));
        }
}

static Guard *guard_of(uint32_t per_second) {
        Guard *guard;

        assert_int_equal(guard_new(per_second, &guard), 0);
        return guard;
}

/* Without memory for itself or its table there is no guard. */
static void test_no_memory(void **state) {
        Guard *guard;

        (void)state;
        for (int after = 0; after < 2; after++) {
                mmap_fault = (CallFault){ .error = ENOMEM, .after = after, .times = 1 };
                assert_int_equal(guard_new(1, &guard), -ENOMEM);
                assert_int_equal(mmap_fault.times, 0);
        }
}

static Source source_of(uint64_t i) {
        return (Source){ .family_and_scope = (uint64_t)AF_INET << 32, .prefix = i };
}

/* A source gets twice its rate at once, then its rate; another source is not concerned, and one
 * that has been quiet gets the burst again, but no more. */
static void test_rate(void **state) {
        Guard *guard = guard_of(100);
        const uint64_t start = CLOCK_SECOND;
        int answers = 0;

        (void)state;
        for (int i = 0; i < 1000; i++)
                answers += guard_charge(guard, source_of(1), start) == GUARD_ANSWER;
        assert_int_equal(answers, 200);
        assert_int_equal(guard_charge(guard, source_of(1), start), GUARD_RATE);
        assert_int_equal(guard_charge(guard, source_of(2), start), GUARD_ANSWER);

        answers = 0;
        for (uint64_t i = 1; i <= 10000; i++)
                answers += guard_charge(guard, source_of(1), start + i * CLOCK_SECOND / 1000) ==
                           GUARD_ANSWER;
        assert_int_equal(answers, 1000);

        answers = 0;
        for (int i = 0; i < 1000; i++)
                answers += guard_charge(guard, source_of(1), 100 * CLOCK_SECOND) == GUARD_ANSWER;
        assert_int_equal(answers, 200);
        assert_null(guard_free(guard));
}

/* All sources together get a hundred times the rate of one, and at once one and a half times that
 * when they are known; new ones take only a tenth of it, and nothing of the second half. */
static void test_overall(void **state) {
        Guard *guard = guard_of(10);
        const uint64_t start = CLOCK_SECOND;
        int answers = 0;

        (void)state;
        for (uint64_t i = 0; i < 10000; i++)
                answers += guard_charge(guard, source_of(i), start) == GUARD_ANSWER;
        assert_int_equal(answers, 200);
        assert_int_equal(guard_charge(guard, source_of(5000), start), GUARD_OVERALL);

        /* The first 200 are known. */
        answers = 0;
        for (uint64_t i = 0; i < 10000; i++)
                answers += guard_charge(guard, source_of(i % 200), start) == GUARD_ANSWER;
        assert_int_equal(answers, 1300);
        assert_int_equal(guard_charge(guard, source_of(1), start), GUARD_OVERALL);

        /* While known sources use more than half, no new one is answered. */
        answers = 0;
        for (uint64_t i = 0; i < 100000; i++)
                answers += guard_charge(guard, source_of(i % 200),
                                        start + i * CLOCK_SECOND / 10000) == GUARD_ANSWER;
        assert_in_range(answers, 9999, 10000);
        assert_null(guard_free(guard));
}

/* Known sources that use most of their limits, more of them than the limit of all allows, leave a
 * quiet source every answer. */
static void test_quiet_source(void **state) {
        const uint64_t sources = 200, pace = sources * 75;
        Guard *guard = guard_of(100);
        uint64_t now = CLOCK_SECOND;
        int answered = 0;

        (void)state;
        for (uint64_t i = 0; i < 10 * pace; i++) {
                now += CLOCK_SECOND / pace;
                (void)guard_charge(guard, source_of(1000 + i % sources), now);
                if (i % (pace / 10) == 0)
                        answered += guard_charge(guard, source_of(7), now) == GUARD_ANSWER;
        }
        assert_int_equal(answered, 100);
        assert_int_equal(guard_charge(guard, source_of(8), now), GUARD_OVERALL);
        assert_null(guard_free(guard));
}

/* Without a limit everything is answered. */
static void test_unlimited(void **state) {
        Guard *guard = guard_of(0);

        (void)state;
        for (int i = 0; i < 100000; i++)
                assert_int_equal(guard_charge(guard, source_of(1), 1), GUARD_ANSWER);
        assert_null(guard_free(guard));
        assert_null(guard_free(NULL));
}

/* The source that has been quiet for longest gives its place to a new one, and comes back with a
 * full bucket; the others stay. */
static void test_oldest_out(void **state) {
        Guard *guard = guard_of(10000);
        const uint64_t now = CLOCK_SECOND, later = now + CLOCK_SECOND / 10000;

        (void)state;
        for (uint64_t i = 0; i < GUARD_SOURCES; i++)
                while (guard_charge(guard, source_of(i), now) == GUARD_ANSWER && i < 2)
                        ;
        /* Source 0 becomes the newest, with an empty bucket; source 1 would have one token. */
        assert_int_equal(guard_charge(guard, source_of(0), later), GUARD_ANSWER);
        assert_int_equal(guard_charge(guard, source_of(GUARD_SOURCES), later), GUARD_ANSWER);
        assert_int_equal(guard_charge(guard, source_of(0), later), GUARD_RATE);
        assert_int_equal(guard_charge(guard, source_of(1), later), GUARD_ANSWER);
        assert_int_equal(guard_charge(guard, source_of(1), later), GUARD_ANSWER);
        assert_null(guard_free(guard));
}

/* A source from between the others becomes the newest; the oldest is still the next one to go. */
static void test_order(void **state) {
        Guard *guard = guard_of(10000);
        const uint64_t now = CLOCK_SECOND;

        (void)state;
        for (uint64_t i = 0; i < GUARD_SOURCES; i++)
                while (guard_charge(guard, source_of(i), now) == GUARD_ANSWER && i == 0)
                        ;
        assert_int_equal(guard_charge(guard, source_of(7), now), GUARD_ANSWER);
        assert_int_equal(guard_charge(guard, source_of(GUARD_SOURCES), now), GUARD_ANSWER);
        /* Source 0 comes back with a full bucket. */
        assert_int_equal(guard_charge(guard, source_of(0), now), GUARD_ANSWER);
        assert_null(guard_free(guard));
}

/* A million forged sources, at any pace, cost no memory, and a source that sends 10 datagrams a
 * second gets every answer; so does one at a tenth of that, while the flood does not fill the table
 * in the meantime. */
static void test_flood(void **state) {
        static const uint64_t paces[] = { 20000, 100000, 1000000 };
        Guard *guard = guard_of(100);
        uint64_t now = CLOCK_SECOND;

        (void)state;
        (void)process_status(getpid(), "RssAnon");
        for (size_t pace = 0; pace < COUNT(paces); pace++) {
                const uint64_t interval = paces[pace] / 10;
                int sent = 0, answered = 0;
                /* In KiB; a byte for each source would be a thousand. */
                const unsigned long before = strtoul(process_status(getpid(), "RssAnon"), NULL, 10);

                for (uint64_t i = 0; i < 1000000; i++) {
                        now += i % (paces[pace] / 1000) == 0 ? CLOCK_SECOND / 1000 : 0;
                        (void)guard_charge(guard, source_of(1000 + pace * 1000000 + i), now);
                        if (i % interval != 0)
                                continue;
                        sent++;
                        answered += guard_charge(guard, source_of(7), now) == GUARD_ANSWER;
                }
                assert_true(sent >= 10);
                assert_int_equal(answered, sent);
                assert_in_range(strtoul(process_status(getpid(), "RssAnon"), NULL, 10), 0,
                                before + 500);
        }
        assert_null(guard_free(guard));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses),    cmocka_unit_test(test_rate),
                cmocka_unit_test(test_overall),      cmocka_unit_test(test_unlimited),
                cmocka_unit_test(test_oldest_out),   cmocka_unit_test(test_flood),
                cmocka_unit_test(test_quiet_source), cmocka_unit_test(test_no_memory),
                cmocka_unit_test(test_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
