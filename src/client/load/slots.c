/* SPDX-License-Identifier: MIT */
/*
 * Provides the connections of one worker of a load, and the bytes that they send.
 *
 * All messages are parts of one pseudo-random pattern. A connection begins at a place of its own
 * and moves on by one byte with each request. No two requests of a worker have the same message
 * soon. The pattern is longer than the largest message by the number of places.
 *
 * Connections for requests open before the load begins, all in parallel (crew.c). A load of
 * connections opens none: that is what it measures. Only the connection that found the address
 * exists already, and its setup counts for its first request.
 */
#include "client/load/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "client/content/pattern.h"
#include "client/load/crew.h"
#include "lib/descriptor.h"

enum {
        /* A prime, as SLOT_PLACES is: as many connections have different places. */
        SLOTS_STRIDE = 257,
};

int slots_init(Slots *ret_slots, const LoadPlan *plan) {
        const size_t size = plan->options->size + SLOT_PLACES;
        Pattern pattern;

        ret_slots->plan = plan;
        ret_slots->options = plan->options;
        ret_slots->page = plan->page;
        ret_slots->busy = 0;
        ret_slots->epoll = epoll_create1(EPOLL_CLOEXEC);
        ret_slots->list = calloc(plan->connections, sizeof(Slot));
        ret_slots->messages = malloc(size);
        if (ret_slots->epoll < 0)
                return -errno;
        if (ret_slots->list == NULL || ret_slots->messages == NULL)
                return -ENOMEM;

        pattern_init(&pattern);
        pattern_fill(&pattern, 0, ret_slots->messages, size);
        return 0;
}

int slots_connect(Slots *slots) {
        const LoadPlan *plan = slots->plan;
        int *fds = calloc(plan->connections, sizeof *fds);

        if (fds == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < plan->connections; i++)
                fds[i] = -1;
        if (plan->options->load == LOAD_REQUESTS)
                crew_connect(plan, fds);
        else
                fds[0] = plan->first;
        for (size_t i = 0; i < plan->connections; i++) {
                Slot *slot = &slots->list[i];

                slot->fd = -1;
                slot->place = i * SLOTS_STRIDE % SLOT_PLACES;
                if (fds[i] >= 0)
                        slot_adopt(slots, slot, fds[i]);
        }
        if (plan->options->load == LOAD_CONNECTIONS && plan->first >= 0)
                slots->list[0].setup = plan->setup;
        free(fds);
        return 0;
}

void slots_deinit(Slots *slots) {
        descriptor_close(slots->epoll);
        free(slots->messages);
        free(slots->list);
}
