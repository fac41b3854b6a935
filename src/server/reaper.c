/* SPDX-License-Identifier: MIT */
#include "server/reaper.h"

#include <errno.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "lib/memory.h"

enum {
        FEW = 64,
        REST = 100, /* times what it took to look at all */
        REST_MOST_USEC = 1000 * 1000,
};

int reaper_init(Reaper *reaper, Roster *roster, uint32_t slots) {
        *reaper = (Reaper){ .roster = roster, .most = slots, .sweep_deadline = CLOCK_NEVER };
        reaper->leaving = memory_new_private(slots * sizeof reaper->leaving[0]);
        return reaper->leaving == NULL ? -errno : 0;
}

void reaper_deinit(Reaper *reaper) {
        reaper->leaving = memory_free(reaper->leaving, reaper->most * sizeof reaper->leaving[0]);
}

void reaper_begin(Reaper *reaper, uint64_t now) {
        reaper->now = now;
        reaper->n += roster_take_exits(reaper->roster, reaper->leaving + reaper->n,
                                       reaper->most - reaper->n);
        reaper->next = reaper->n;
        reaper->told = reaper->n > 0;
}

static uint32_t reaper_sweep(Reaper *reaper, int *ret_status) {
        uint64_t began;
        pid_t pid;

        /* The usual end when few are served: waitpid(2) would write to errno, on a page that a
         * fork may share. */
        if (roster_live(reaper->roster) == 0 && reaper->told) {
                reaper->sweep_deadline = CLOCK_NEVER;
                return ROSTER_NONE;
        }
        if (roster_live(reaper->roster) > FEW && reaper->now < reaper->rest_until) {
                reaper->sweep_deadline = reaper->rest_until;
                return ROSTER_NONE;
        }
        began = clock_now();
        while ((pid = waitpid(-1, ret_status, WNOHANG)) > 0) {
                uint32_t slot = roster_find(reaper->roster, pid);

                /* Not a child that was there before execve(2). */
                if (slot != ROSTER_NONE)
                        return slot;
        }
        reaper->rest_until =
                        reaper->now + clock_earlier(REST * (clock_now() - began), REST_MOST_USEC);
        reaper->sweep_deadline = CLOCK_NEVER;
        return ROSTER_NONE;
}

uint32_t reaper_next(Reaper *reaper, int *ret_status) {
        while (reaper->next > 0) {
                uint32_t *leaving = &reaper->leaving[--reaper->next];
                const pid_t handler = roster_entry(reaper->roster, *leaving)->handler;
                pid_t pid = handler > 0 ? waitpid(handler, ret_status, WNOHANG) : -1;
                uint32_t slot = ROSTER_NONE;

                if (pid == 0)
                        continue;
                *leaving = reaper->leaving[--reaper->n];
                /* Whatever was told, it is the pid that says whose slot it is. */
                if (pid > 0)
                        slot = roster_find(reaper->roster, pid);
                if (slot != ROSTER_NONE)
                        return slot;
        }
        return reaper_sweep(reaper, ret_status);
}

uint64_t reaper_deadline(const Reaper *reaper) {
        return reaper->sweep_deadline;
}
