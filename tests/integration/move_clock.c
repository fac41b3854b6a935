/* SPDX-License-Identifier: MIT */
/*
 * Preloaded, moves clocks for the process that it is loaded into and its children, as the file that
 * CLOCK_FILE names says at any time. It has two int64_t: seconds that are added to the time of day,
 * and nanoseconds that are all that the monotonic clock shows, or 0, with which that clock goes on.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *clocks;
static int (*real_gettime)(clockid_t clock, struct timespec *ret_time);

__attribute__((constructor)) static void clock_init(void) {
        const char *path = getenv("CLOCK_FILE");
        int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *memory;

        if (fd < 0)
                abort();
        memory = mmap(NULL, 2 * sizeof *clocks, PROT_READ, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                abort();
        close(fd);
        clocks = memory;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        int r;

        if (real_gettime == NULL)
                *(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
        r = real_gettime(clock, ret_time);
        if (r < 0 || clocks == NULL)
                return r;
        if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI) {
                ret_time->tv_sec += clocks[0];
        } else if (clock == CLOCK_MONOTONIC) {
                const int64_t stopped = clocks[1];

                if (stopped != 0)
                        *ret_time = (struct timespec){ .tv_sec = stopped / 1000000000,
                                                       .tv_nsec = stopped % 1000000000 };
        }
        return 0;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone) {
        struct timespec now;

        (void)zone;
        if (clock_gettime(CLOCK_REALTIME, &now) < 0)
                return -1;
        *ret_time = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}

time_t time(time_t *ret_time) {
        struct timespec now = {};

        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (ret_time != NULL)
                *ret_time = now.tv_sec;
        return now.tv_sec;
}
