/* SPDX-License-Identifier: MIT */
/* The judgement: held against simulated paths whose losses are known. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "client/value/judgement.h"

enum {
        FLOWS = 64,
        LINKS = 4,
        SENT = 100,
};

static FlowCount counts[FLOWS];
static bool named[FLOWS];
static Judgement judgement;

static void judge(void) {
        judgement_make(counts, FLOWS, named, &judgement);
}

/* Each flow sends @sent packets over one of LINKS links. The flows of link 0 lose a share of @loss,
 * the others one of @rest. Sets @ret_worse. */
static void simulate(unsigned seed, uint64_t sent, double loss, double rest, bool *ret_worse) {
        srand48(seed);
        for (size_t i = 0; i < FLOWS; i++) {
                ret_worse[i] = lrand48() % LINKS == 0;
                counts[i] = (FlowCount){ .sent = sent };
                for (uint64_t packet = 0; packet < sent; packet++)
                        counts[i].lost += drand48() < (ret_worse[i] ? loss : rest);
        }
}

/* Of 64 flows over 4 links, exactly those on the link that loses 20 % are named. */
static void test_one_link_loses(void **state) {
        bool worse[FLOWS];

        (void)state;
        for (unsigned seed = 1; seed <= 50; seed++) {
                simulate(seed, SENT, 0.2, 0, worse);
                judge();
                assert_memory_equal(named, worse, sizeof worse);
                assert_true(judgement.probability <= JUDGEMENT_LEVEL);
                assert_float_equal(judgement_rate(&judgement.worse), 0.2, 0.05);
                assert_int_equal(judgement.others.lost, 0);
        }
}

/* The link that loses 20 % is found among others that lose 1 %. */
static void test_others_lose_a_little(void **state) {
        bool worse[FLOWS];

        (void)state;
        for (unsigned seed = 1; seed <= 50; seed++) {
                simulate(seed, UINT64_C(10) * SENT, 0.2, 0.01, worse);
                judge();
                assert_memory_equal(named, worse, sizeof worse);
        }
}

/* Without loss no flow is named, nor where all lose the same share, but once in a hundred. */
static void test_all_alike(void **state) {
        const double shares[] = { 0, 0.01, 0.2, 1 };
        size_t wrong = 0;
        bool worse[FLOWS];

        (void)state;
        for (size_t share = 0; share < COUNT(shares); share++)
                for (unsigned seed = 1; seed <= (share == 0 ? 100 : 50); seed++) {
                        simulate(seed, SENT, shares[share], shares[share], worse);
                        judge();
                        wrong += judgement.named > 0;
                        assert_true(wrong == 0 || share > 0);
                }
        assert_true(wrong <= 2);
}

/* Bad flows do not hide each other: three of four links lose. */
static void test_most_lose(void **state) {
        (void)state;
        for (size_t i = 0; i < FLOWS; i++)
                counts[i] = (FlowCount){ .sent = SENT, .lost = i % 4 == 0 ? 0 : 15 + i % 10 };
        judge();
        assert_int_equal(judgement.named, FLOWS * 3 / 4);
        assert_int_equal(judgement.others.sent, SENT * FLOWS / 4);
}

/* A flow that lost all of its few packets is named; one without any packets is not. */
static void test_dead_path(void **state) {
        (void)state;
        for (size_t i = 0; i < FLOWS; i++)
                counts[i] = (FlowCount){ .sent = SENT };
        counts[7] = (FlowCount){ .sent = 3, .lost = 3 };
        counts[8] = (FlowCount){};
        judge();
        assert_int_equal(judgement.named, 1);
        assert_true(named[7]);
        /* The least certain name decides the probability, in whichever order they are named. */
        counts[9] = (FlowCount){ .sent = SENT, .lost = 90 };
        judge();
        assert_int_equal(judgement.named, 2);
        assert_true(judgement.probability > 1e-9);
}

/* The probability is that of Fisher's exact test, times the number of flows: for the lady who tells
 * all four cups of eight, 1 in 70; for 10 of 10 against 0 of 10, 1 in 184756. */
static void test_probability(void **state) {
        FlowCount cups[] = { { 4, 4 }, { 4, 0 } };

        (void)state;
        judgement_make(cups, 2, named, &judgement);
        assert_int_equal(judgement.named, 0);
        cups[0] = (FlowCount){ 10, 10 };
        cups[1] = (FlowCount){ 10, 0 };
        judgement_make(cups, 2, named, &judgement);
        assert_true(named[0] && !named[1]);
        assert_float_equal(judgement.probability * 184756 / 2, 1, 1e-6);
        /* Of 60 packets 10 are lost, 9 or 10 of them among 20. */
        cups[0] = (FlowCount){ 20, 9 };
        cups[1] = (FlowCount){ 40, 1 };
        judgement_make(cups, 2, named, &judgement);
        assert_float_equal(judgement.probability / 2, 9.156105e-05, 1e-10);
}

/* Too few packets are called so, and the number that is enough names a flow that loses 20 % in nine
 * of ten runs. */
static void test_enough(void **state) {
        bool worse[FLOWS];
        size_t found = 0;
        uint64_t needed;

        (void)state;
        simulate(1, 10, 0, 0, worse);
        judge();
        needed = judgement.needed;
        assert_false(judgement.enough);
        assert_in_range(needed, 11, SENT);
        simulate(1, needed, 0, 0, worse);
        judge();
        assert_true(judgement.enough);
        for (unsigned seed = 1; seed <= 200; seed++) {
                simulate(seed, needed, 0, 0, worse);
                for (uint64_t packet = 0; packet < needed; packet++)
                        counts[0].lost += drand48() < JUDGEMENT_LOSS;
                judge();
                found += named[0];
        }
        assert_true(found >= 170);
}

/* Where all flows lose as much as the loss in question, or nearly as much, no number of packets
 * tells it. */
static void test_never_enough(void **state) {
        static const uint64_t lost[] = { 250, 199 };

        (void)state;
        for (size_t k = 0; k < COUNT(lost); k++) {
                for (size_t i = 0; i < FLOWS; i++)
                        counts[i] = (FlowCount){ .sent = 1000, .lost = lost[k] };
                judge();
                assert_int_equal(judgement.named, 0);
                assert_int_equal(judgement.needed, 0);
                assert_false(judgement.enough);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_link_loses), cmocka_unit_test(test_others_lose_a_little),
                cmocka_unit_test(test_all_alike),      cmocka_unit_test(test_most_lose),
                cmocka_unit_test(test_dead_path),      cmocka_unit_test(test_probability),
                cmocka_unit_test(test_enough),         cmocka_unit_test(test_never_enough),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
