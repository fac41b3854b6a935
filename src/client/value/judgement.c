/* SPDX-License-Identifier: MIT */
/*
 * Judges which flows lose more packets than the others do.
 *
 * Routers spread flows over parallel paths, so a faulty path concerns the flows on it alone. The
 * judgement goes from the best flow to the worst. All flows that it has not named are the base with
 * which it compares the next one: the probability that chance alone gives this flow as many of the
 * losses of both, if all packets are alike, by the hypergeometric distribution. The base contains
 * no named flow, so that many bad flows do not hide each other. There are as many tests as flows;
 * the correction multiplies each probability by their number.
 *
 * Silence needs a reason as well: without a named flow, the judgement contains the number of
 * packets that would have shown a considerable loss.
 *
 * Flows that lose alike must never be named, however much they lose: a loss of all flows is not a
 * matter of paths.
 */
#include "client/value/judgement.h"

#include <math.h>
#include <stdlib.h>

enum {
        /* More packets of each flow than any run sends. */
        JUDGEMENT_NEEDED_MAXIMUM = 10000,
};

/* The chance of naming a flow that loses JUDGEMENT_LOSS, with the needed number of packets. */
#define JUDGEMENT_POWER 0.9

/* The logarithm of the number of ways to choose @chosen of @all. */
static double judgement_choices(uint64_t all, uint64_t chosen) {
        int sign;

        return lgamma_r((double)all + 1, &sign) - lgamma_r((double)chosen + 1, &sign) -
               lgamma_r((double)(all - chosen) + 1, &sign);
}

/* Returns the probability that at least flow->lost of all losses hit @flow, if chance alone
 * distributes them (Fisher's exact test, one-sided). */
static double judgement_test(const FlowCount *flow, const FlowCount *base) {
        const uint64_t sent = flow->sent + base->sent, lost = flow->lost + base->lost;
        const double all = judgement_choices(sent, flow->sent);
        double sum = 0;

        for (uint64_t hit = flow->lost; hit <= lost && hit <= flow->sent; hit++) {
                const double part = exp(judgement_choices(lost, hit) +
                                        judgement_choices(sent - lost, flow->sent - hit) - all);

                sum += part;
                if (part < sum * 1e-9)
                        break;
        }
        return fmin(sum, 1);
}

double judgement_rate(const FlowCount *count) {
        return count->sent == 0 ? 0 : (double)count->lost / (double)count->sent;
}

/* Orders flows by their loss; of equal ones, the flow with more packets is the better base. */
static int judgement_compare(const void *left, const void *right, void *userdata) {
        const FlowCount *counts = userdata;
        const FlowCount *one = &counts[*(const size_t *)left];
        const FlowCount *other = &counts[*(const size_t *)right];
        const double difference = judgement_rate(one) - judgement_rate(other);

        if (difference != 0)
                return difference < 0 ? -1 : 1;
        return (one->sent < other->sent) - (one->sent > other->sent);
}

static void judgement_add(FlowCount *sum, const FlowCount *count) {
        sum->sent += count->sent;
        sum->lost += count->lost;
}

/* Returns the probability that a flow which loses JUDGEMENT_LOSS loses at least @lost of @sent
 * packets. */
static double judgement_power(uint64_t sent, uint64_t lost) {
        double below = 0;

        for (uint64_t hit = 0; hit < lost; hit++)
                below += exp(judgement_choices(sent, hit) + (double)hit * log(JUDGEMENT_LOSS) +
                             (double)(sent - hit) * log1p(-JUDGEMENT_LOSS));
        return 1 - below;
}

/* Returns the packets of each of @count flows that name one flow among others which lose @rate. */
static uint64_t judgement_need(size_t count, double rate) {
        uint64_t lost = 1;

        if (rate >= JUDGEMENT_LOSS)
                return 0;
        for (uint64_t sent = 1; sent <= JUDGEMENT_NEEDED_MAXIMUM; sent += 1 + sent / 16) {
                const uint64_t others = sent * (count - 1);
                const FlowCount base = { .sent = others,
                                         .lost = (uint64_t)llround((double)others * rate) };

                if ((double)lost < rate * (double)sent)
                        lost = (uint64_t)(rate * (double)sent);
                while (lost <= sent &&
                       (double)count * judgement_test(&(FlowCount){ sent, lost }, &base) >
                                       JUDGEMENT_LEVEL)
                        lost++;
                if (lost <= sent && judgement_power(sent, lost) >= JUDGEMENT_POWER)
                        return sent;
        }
        return 0;
}

static bool judgement_is_enough(const FlowCount *counts, size_t count, uint64_t needed) {
        if (needed == 0)
                return false;
        for (size_t i = 0; i < count; i++)
                if (counts[i].sent < needed)
                        return false;
        return true;
}

void judgement_make(const FlowCount *counts, size_t count, bool *ret_named,
                    Judgement *ret_judgement) {
        Judgement judgement = { .probability = 1 };
        size_t order[JUDGEMENT_FLOWS_MAXIMUM];

        for (size_t i = 0; i < count; i++)
                order[i] = i;
        qsort_r(order, count, sizeof order[0], judgement_compare, (void *)counts);
        for (size_t i = 0; i < count; i++) {
                const FlowCount *flow = &counts[order[i]];
                double probability = (double)count * judgement_test(flow, &judgement.others);

                ret_named[order[i]] = probability <= JUDGEMENT_LEVEL;
                if (!ret_named[order[i]]) {
                        judgement_add(&judgement.others, flow);
                        continue;
                }
                judgement_add(&judgement.worse, flow);
                if (judgement.named++ == 0 || probability > judgement.probability)
                        judgement.probability = probability;
        }
        judgement.needed = judgement_need(count, judgement_rate(&judgement.others));
        judgement.enough = judgement_is_enough(counts, count, judgement.needed);
        *ret_judgement = judgement;
}
