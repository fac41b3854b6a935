/* SPDX-License-Identifier: MIT */
/* The counts of datagrams, beside a simulated network that knows what it did to each. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "client/content/payload.h"
#include "client/content/volley.h"
#include "lib/clock.h"
#include "seed.h"

enum {
        RUNS = 100,
        DATAGRAMS = 1000,
        LARGEST = 1472,
};

#define PERIOD  (10 * CLOCK_MILLISECOND)
#define TIMEOUT (500 * CLOCK_MILLISECOND)
#define START   (862 * CLOCK_SECOND)
#define END     (START + DATAGRAMS * PERIOD + TIMEOUT)

/* An answer on its way. */
typedef struct Arrival {
        uint64_t time;
        uint64_t number;
        /* The byte to change, below 0 for none. */
        long changed;
        bool first;
} Arrival;

typedef struct Simulation {
        Arrival arrivals[2 * DATAGRAMS];
        size_t count;
        VolleyCounts expected;
        size_t size;
} Simulation;

static Payload payload;
static Simulation simulation;

static uint64_t one_of(uint64_t limit) {
        return (uint64_t)random() % limit;
}

static void arrive(uint64_t number, uint64_t delay, long changed, bool first) {
        const uint64_t time = START + number * PERIOD + delay;

        if (time < END)
                simulation.arrivals[simulation.count++] = (Arrival){ time, number, changed, first };
        else if (first)
                simulation.expected.answered--;
}

/* Decides over one datagram, and counts it as answered until something else happens to it. */
static void simulate(uint64_t number) {
        VolleyCounts *expected = &simulation.expected;
        uint64_t delay = CLOCK_MILLISECOND + one_of(5 * CLOCK_MILLISECOND);
        long changed = -1;

        expected->answered++;
        switch (one_of(10)) {
        case 0: /* drop */
                expected->answered--;
                return;
        case 1: /* duplicate */
                arrive(number, delay + one_of(4 * PERIOD), -1, false);
                expected->duplicated++;
                break;
        case 2: /* swap with some of the next ones */
                delay += PERIOD + one_of(3 * PERIOD);
                break;
        case 3: /* alter */
                changed = (long)one_of(simulation.size);
                break;
        case 4: /* delay beyond the timeout */
                delay += TIMEOUT + one_of(TIMEOUT);
                break;
        }
        arrive(number, delay, changed, true);
}

static int compare_arrivals(const void *one, const void *other) {
        const Arrival *left = one, *right = other;

        if (left->time != right->time)
                return left->time < right->time ? -1 : 1;
        return left->first ? -1 : 1;
}

/* Counts what an observer beside the receiver sees. */
static void observe(void) {
        VolleyCounts *expected = &simulation.expected;
        double last = -1, difference;
        uint64_t highest = 0;
        bool any = false;

        for (size_t i = 0; i < simulation.count; i++) {
                const Arrival *arrival = &simulation.arrivals[i];
                double transit = (double)(arrival->time - START - arrival->number * PERIOD);

                if (!arrival->first)
                        continue;
                if (any && arrival->number < highest)
                        expected->reordered++;
                else
                        highest = arrival->number;
                any = true;
                if (arrival->changed >= 0) {
                        expected->changed++;
                        expected->answered--;
                        continue;
                }
                if (transit >= TIMEOUT) {
                        expected->late++;
                        expected->answered--;
                }
                difference = transit > last ? transit - last : last - transit;
                if (last >= 0)
                        expected->jitter += (difference - expected->jitter) / 16;
                last = transit;
        }
}

static void receive(Volley *volley, const Arrival *arrival) {
        char answer[LARGEST];
        uint64_t number;
        Fault fault;
        bool intact;

        memcpy(answer, payload_make(&payload, arrival->number), simulation.size);
        if (arrival->changed >= 0)
                answer[arrival->changed] = (char)(answer[arrival->changed] ^ (1 + one_of(255)));
        assert_true(payload_find(&payload, answer, simulation.size, 0, volley->counts.sent,
                                 &number));
        assert_int_equal(number, arrival->number);
        intact = payload_compare(&payload, number, answer, simulation.size, &fault);
        assert_int_equal(intact, arrival->changed < 0);
        if (!intact)
                assert_int_equal(fault.offset, arrival->changed);
        (void)volley_receive(volley, number, arrival->time, intact);
}

/* Sends all, and takes each answer when it comes. */
static void run(Volley *volley) {
        uint64_t number, sent = 0, expired = 0;

        for (size_t i = 0; i < simulation.count; i++) {
                const Arrival *arrival = &simulation.arrivals[i];

                for (; sent < DATAGRAMS && START + sent * PERIOD <= arrival->time; sent++) {
                        while (volley_expire(volley, START + sent * PERIOD, &number))
                                expired++;
                        assert_int_equal(volley_send(volley, START + sent * PERIOD), sent);
                }
                receive(volley, arrival);
        }
        for (; sent < DATAGRAMS; sent++)
                (void)volley_send(volley, START + sent * PERIOD);
        while (volley_expire(volley, END, &number))
                expired++;
        assert_in_range(expired, volley_lost(&volley->counts),
                        volley_lost(&volley->counts) + volley->counts.late);
}

static void simulate_all(void) {
        static const size_t sizes[] = { 24, 25, 64, 512, LARGEST };

        simulation = (Simulation){ .size = sizes[one_of(COUNT(sizes))] };
        payload.size = simulation.size;
        pattern_init_seed(&payload.pattern, (uint64_t)random());
        for (uint64_t number = 0; number < DATAGRAMS; number++)
                simulate(number);
        qsort(simulation.arrivals, simulation.count, sizeof *simulation.arrivals, compare_arrivals);
        /* The earlier one of two equal answers is the first. */
        for (size_t i = 0; i < simulation.count; i++)
                for (size_t j = i + 1; j < simulation.count && !simulation.arrivals[i].first; j++)
                        if (simulation.arrivals[j].number == simulation.arrivals[i].number) {
                                simulation.arrivals[i].first = true;
                                simulation.arrivals[j].first = false;
                        }
        observe();
}

/* Through a network that drops, duplicates, swaps, alters and delays, each count is that of the
 * network, and the jitter that of RFC 3550. */
static void test_simulation(void **state) {
        (void)state;
        for (unsigned i = 0; i < RUNS; i++) {
                const VolleyCounts *expected = &simulation.expected;
                Volley volley;

                simulate_all();
                assert_int_equal(volley_init(&volley, 1024, TIMEOUT), 0);
                run(&volley);
                assert_int_equal(volley.counts.sent, DATAGRAMS);
                assert_int_equal(volley.counts.open, 0);
                assert_int_equal(volley.counts.answered, expected->answered);
                assert_int_equal(volley.counts.late, expected->late);
                assert_int_equal(volley.counts.changed, expected->changed);
                assert_int_equal(volley.counts.duplicated, expected->duplicated);
                assert_int_equal(volley.counts.reordered, expected->reordered);
                assert_int_equal(volley.counts.unrecognized, 0);
                assert_int_equal(volley_lost(&volley.counts), DATAGRAMS - expected->answered -
                                                                              expected->late -
                                                                              expected->changed);
                assert_true(volley.counts.jitter > 0);
                assert_float_equal((float)(volley.counts.jitter / expected->jitter), 1, 1e-6F);
                volley_deinit(&volley);
        }
}

/* A datagram is open until an answer, an error or the timeout, and its state may improve later. */
static void test_states(void **state) {
        VolleyAnswer answer;
        uint64_t number;
        Volley volley;

        (void)state;
        assert_int_equal(volley_init(&volley, 8, 100), 0);
        assert_true(volley_deadline(&volley) == CLOCK_NEVER);
        for (uint64_t i = 0; i < 4; i++)
                assert_int_equal(volley_send(&volley, 1000 + i), i);
        assert_int_equal(volley_deadline(&volley), 1100);
        assert_true(volley_find_open(&volley, &number));
        assert_int_equal(number, 0);

        assert_true(volley_reject(&volley, 0, 5));
        assert_false(volley_reject(&volley, 0, 5));
        assert_int_equal(volley_deadline(&volley), 1101);
        assert_int_equal(volley_failed(&volley.counts), 1);
        answer = volley_receive(&volley, 0, 1050, true);
        assert_int_equal(answer.verdict, VOLLEY_ANSWERED);
        assert_true(answer.revokes);
        assert_int_equal(answer.reason, 5);
        assert_int_equal(volley_failed(&volley.counts), 0);
        assert_int_equal(volley.counts.rejected, 0);
        assert_false(volley_reject(&volley, 0, 5));

        assert_false(volley_expire(&volley, 1100, &number));
        assert_true(volley_expire(&volley, 1101, &number));
        assert_int_equal(number, 1);
        assert_int_equal(volley_lost(&volley.counts), 1);
        assert_true(volley_reject(&volley, 1, 7));
        assert_int_equal(volley_lost(&volley.counts), 0);
        assert_int_equal(volley_receive(&volley, 1, 1101, true).verdict, VOLLEY_LATE);
        assert_int_equal(volley_receive(&volley, 1, 1102, true).verdict, VOLLEY_DUPLICATED);
        assert_int_equal(volley_receive(&volley, 1, 1102, false).verdict, VOLLEY_UNRECOGNIZED);

        assert_int_equal(volley_receive(&volley, 4, 1102, true).verdict, VOLLEY_UNRECOGNIZED);
        assert_false(volley_reject(&volley, 4, 0));
        assert_int_equal(volley.counts.open, 2);
        assert_int_equal(volley.counts.unrecognized, 2);
        volley_deinit(&volley);
}

/* What the ring forgets is lost; without a timeout nothing else is. */
static void test_capacity(void **state) {
        uint64_t number;
        Volley volley;

        (void)state;
        assert_int_equal(volley_init(&volley, 4, 0), 0);
        for (uint64_t i = 0; i < 10; i++)
                (void)volley_send(&volley, i + 1);
        assert_true(volley_deadline(&volley) == CLOCK_NEVER);
        assert_false(volley_expire(&volley, CLOCK_NEVER - 1, &number));
        assert_int_equal(volley.counts.open, 4);
        assert_int_equal(volley_lost(&volley.counts), 6);
        assert_int_equal(volley_receive(&volley, 5, 20, true).verdict, VOLLEY_UNRECOGNIZED);
        assert_int_equal(volley_receive(&volley, 6, 20, true).verdict, VOLLEY_ANSWERED);
        assert_int_equal(volley_receive(&volley, 9, 20, true).verdict, VOLLEY_ANSWERED);
        assert_int_equal(volley_receive(&volley, 7, 8, true).time, 1);
        (void)volley_send(&volley, 21);
        assert_int_equal(volley.counts.open, 2);
        volley_deinit(&volley);
}

/* A datagram that the ring has forgotten expires no more: its place is that of a newer one. */
static void test_forgotten(void **state) {
        uint64_t number;
        Volley volley;

        (void)state;
        assert_int_equal(volley_init(&volley, 4, 100), 0);
        for (uint64_t i = 0; i < 10; i++)
                (void)volley_send(&volley, i + 1);
        assert_true(volley_deadline(&volley) == 107);
        assert_true(volley_expire(&volley, 107, &number));
        assert_int_equal(number, 6);
        assert_int_equal(volley.counts.open, 3);
        volley_deinit(&volley);
}

/* Counts add up, and the jitter of more answers weighs more. */
static void test_add(void **state) {
        VolleyCounts all = {};

        (void)state;
        volley_add(&all, &(VolleyCounts){ .sent = 4, .answered = 3, .jitter = 10 });
        volley_add(&all, &(VolleyCounts){ .sent = 1 });
        volley_add(&all, &(VolleyCounts){ .sent = 1, .late = 1, .jitter = 50 });
        assert_int_equal(all.sent, 6);
        assert_int_equal(volley_lost(&all), 2);
        assert_float_equal((float)all.jitter, 20, 1e-6F);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_simulation), cmocka_unit_test(test_states),
                cmocka_unit_test(test_capacity),   cmocka_unit_test(test_forgotten),
                cmocka_unit_test(test_add),
        };

        (void)seed_choose();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
