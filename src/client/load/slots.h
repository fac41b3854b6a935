/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load/slot.h"

/*
 * slots_init: Prepares the connections of @plan. Call slots_deinit() in either case.
 *
 * Returns 0, a negative errno of epoll_create1(2), or -ENOMEM.
 */
int slots_init(Slots *ret_slots, const LoadPlan *plan);
void slots_deinit(Slots *slots);

/*
 * slots_connect: Opens the connections for requests before the load begins.
 *
 * Returns 0 or -ENOMEM. Counts connections that fail as errors.
 */
int slots_connect(Slots *slots);
