/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

enum {
        /* Rates are whole numbers of thousandths of a request a second. */
        SCHEDULE_UNIT = 1000,
};

/* The instants at which the requests of one worker are due at a fixed rate. */
typedef struct Schedule {
        uint64_t start;
        uint64_t rate; /* requests of all workers in SCHEDULE_UNIT seconds, at least 1 */
        /* The worker's number, from 0, and how many there are. */
        unsigned index;
        unsigned workers;
        /* The connections of all workers, and of this one: all / workers, and one more for each
         * worker whose number is below the remainder. At least 1. */
        uint64_t connections;
        uint64_t own;
} Schedule;

/*
 * schedule_due: Returns the instant at which the worker's request @number, from 0, is due.
 *
 * schedule_count: Returns the number of the worker's requests that are due within @duration of the
 * start.
 */
uint64_t schedule_due(const Schedule *schedule, uint64_t number);
uint64_t schedule_count(const Schedule *schedule, uint64_t duration);
