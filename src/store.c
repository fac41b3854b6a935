#include "store.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "clock.h"
#include "number.h"

/* A handler may be told to stop again, by systemd and by its master, while it gives its connection
 * away: what a signal interrupts is done again. */

#define BARRIER_PATIENCE (5 * CLOCK_SECOND)

int store_put(const char *name, const int *fds, size_t n) {
        char message[128];
        int r;

        snprintf(message, sizeof message, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        do
                r = sd_pid_notify_with_fds(0, false, message, fds, (unsigned)n);
        while (r == -EINTR);
        return r == 0 ? -ENOTCONN : r < 0 ? r : 0;
}

void store_remove(const char *name) {
        char message[128];
        int r;

        snprintf(message, sizeof message, "FDSTOREREMOVE=1\nFDNAME=%s", name);
        do
                r = sd_notify(false, message);
        while (r == -EINTR);
}

int store_barrier(void) {
        int r;

        do
                r = sd_notify_barrier(false, BARRIER_PATIENCE);
        while (r == -EINTR);
        return r == 0 ? -ENOTCONN : r < 0 ? r : 0;
}

uint64_t store_limit(void) {
        const char *text = getenv("FDSTORE");
        uint64_t limit;

        return text != NULL && number_parse(text, 0, UINT64_MAX, &limit) == 0 ? limit : UINT64_MAX;
}
