/* SPDX-License-Identifier: MIT */
/*
 * One SIGCHLD can stand for many ended handlers (signal(7)), so each turn reaps until none is left.
 *
 * waitpid(2) for any child looks at one child after the other until it finds an ended one: with ten
 * thousand connections the end of one would take a millisecond. Handlers therefore announce their
 * exit in the ledger, and a turn first waits for these by their process IDs. A killed handler has
 * announced nothing, and a compromised one can announce any slot, so the reaper also sweeps over
 * all children: in each turn while there are few, and otherwise so seldom that sweeps take a
 * hundredth of the time, but at least once a second.
 *
 * Between its announcement and its end a handler is waited for in vain, and again in the next turn.
 * A compromised one can announce all: after a few in vain, a turn leaves the rest to the sweep.
 *
 * An announcement only says where to look. The reaper must take no handler for ended that
 * waitpid(2) has not returned, and finds the connection by that process ID.
 */
#include "server/reaper.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "lib/mapping.h"

enum {
        FEW = 64,    /* live connections with which each turn sweeps; waits in vain of a turn */
        PAUSE = 100, /* times the duration of a sweep, until the next one with more */
};

#define PAUSE_MOST CLOCK_SECOND

int reaper_init(Reaper *reaper, Roster *roster) {
        *reaper = (Reaper){ .roster = roster,
                            .most = ledger_slots(roster_ledger(roster)),
                            .sweep_deadline = CLOCK_NEVER };
        reaper->leaving = mapping_new_unforked(reaper->most * sizeof(uint32_t));
        return reaper->leaving == NULL ? -errno : 0;
}

void reaper_deinit(Reaper *reaper) {
        reaper->leaving = mapping_free(reaper->leaving, reaper->most * sizeof(uint32_t));
}

void reaper_begin(Reaper *reaper, uint64_t now) {
        uint32_t *announced = reaper->leaving + reaper->n;
        const uint32_t n = ledger_take_exits(roster_ledger(reaper->roster), announced,
                                             reaper->most - reaper->n);

        for (uint32_t i = 0; i < n; i++) {
                Connection *connection = roster_at(reaper->roster, announced[i]);

                /* Takes each once, however often a handler announces it. */
                if (connection->handler != 0 && !connection->leaving) {
                        connection->leaving = true;
                        reaper->leaving[reaper->n++] = announced[i];
                }
        }
        reaper->now = now;
        reaper->next = reaper->n;
        reaper->vain = 0;
}

/* As waitpid(2) with WNOHANG. A handler that has this process trace it (ptrace(2)) can report that
 * it stopped, as if it had ended: it is killed. */
static pid_t reaper_wait(pid_t pid, int *ret_status) {
        pid_t found;

        do
                found = waitpid(pid, ret_status, WNOHANG);
        while (found > 0 && WIFSTOPPED(*ret_status) && kill(found, SIGKILL) == 0);
        return found;
}

static pid_t reaper_sweep(Reaper *reaper, int *ret_status) {
        uint64_t began;
        pid_t pid;

        if (roster_live(reaper->roster) > FEW && reaper->now < reaper->pause_until) {
                reaper->sweep_deadline = reaper->pause_until;
                return 0;
        }

        began = clock_now();
        pid = reaper_wait(-1, ret_status);
        if (pid > 0)
                return pid;
        reaper->pause_until =
                        reaper->now + clock_earlier(PAUSE * (clock_now() - began), PAUSE_MOST);
        reaper->sweep_deadline = CLOCK_NEVER;
        return 0;
}

pid_t reaper_next(Reaper *reaper, int *ret_status) {
        while (reaper->next > 0) {
                const uint32_t last = --reaper->next;
                Connection *connection = roster_at(reaper->roster, reaper->leaving[last]);
                const pid_t handler = connection->handler;
                const bool looks = handler != 0 && reaper->vain < FEW;
                const pid_t pid = looks ? reaper_wait(handler, ret_status) : -1;

                if (pid == 0) {
                        reaper->vain++;
                        continue;
                }
                connection->leaving = false;
                reaper->leaving[last] = reaper->leaving[--reaper->n];
                if (pid > 0)
                        return pid;
        }
        return reaper_sweep(reaper, ret_status);
}

bool reaper_kill_child(pid_t pid) {
        siginfo_t info;

        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
                return false;
        (void)kill(pid, SIGKILL);
        return true;
}

uint64_t reaper_deadline(const Reaper *reaper) {
        return reaper->sweep_deadline;
}
