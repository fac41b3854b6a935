/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        /* The largest number of flows to judge. */
        JUDGEMENT_FLOWS_MAXIMUM = 512,
};

/* The chance of naming any flow if all lose alike. */
#define JUDGEMENT_LEVEL 0.01
/* The loss that a judgement without a named flow rules out, or admits that it cannot. */
#define JUDGEMENT_LOSS 0.2

/* The packets that a flow sent, and how many of them were lost. */
typedef struct FlowCount {
        uint64_t sent;
        uint64_t lost;
} FlowCount;

/* The difference between flows. */
typedef struct Judgement {
        /* The number of flows that lose more than the others, and the sums of both groups. */
        size_t named;
        FlowCount worse;
        FlowCount others;
        /* The largest probability among the named flows, corrected; 1 without any. */
        double probability;
        /* The packets that name a flow which loses JUDGEMENT_LOSS, nine times in ten; 0 if no
         * number does. Whether each flow sent as many. */
        uint64_t needed;
        bool enough;
} Judgement;

/*
 * judgement_make: Names the flows that lose more than the others, by the counts of all @count
 * flows, at most JUDGEMENT_FLOWS_MAXIMUM. It compares each flow with all unnamed flows that lose
 * less, by Fisher's exact test (R. A. Fisher, Statistical Methods for Research Workers,
 * section 21.02), with Bonferroni's correction for @count tests, at JUDGEMENT_LEVEL.
 *
 * Sets @ret_named, an array of @count, to whether each flow is named, and @ret_judgement.
 */
void judgement_make(const FlowCount *counts, size_t count, bool *ret_named,
                    Judgement *ret_judgement);

/* judgement_rate: Returns the share of the packets of @count that were lost; 0 without packets. */
double judgement_rate(const FlowCount *count);
