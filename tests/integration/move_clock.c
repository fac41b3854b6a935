/* SPDX-License-Identifier: MIT */
/*
 * Preloaded, moves clocks for the process that it is loaded into and its children, as the file that
 * CLOCK_FILE names says at any time. It has three int64_t: seconds that are added to the time of
 * day; nanoseconds that are all that the monotonic clock shows, or 0, with which that clock goes
 * on; and nanoseconds that the kernel adds to the time since the last bytes of a TCP connection.
 * That time does not go on while the monotonic clock is stopped. A wait with a limit, while that
 * clock is stopped, takes as long as the clock is moved on. A program may have read the clock
 * before a move and wait from then on, too long: a wait of epoll(7) can end early, for another
 * reading. An alarm that a program asks for meanwhile never comes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND     INT64_C(1000000000)
#define LOOK       (SECOND / 200) /* A wait looks at the clock that often. */
#define LOOKS      20             /* One of epoll(7) ends after as many. */
#define REAL(name) (__typeof__(&(name)))dlsym(RTLD_NEXT, #name)

static const volatile int64_t *clocks;
/* Found before a fork: a handler has no more of some libraries. */
static __typeof__(&clock_gettime) real_gettime;
static __typeof__(&ppoll) real_ppoll;
static __typeof__(&poll) real_poll;
static __typeof__(&epoll_pwait2) real_epoll_pwait2;
static __typeof__(&clock_nanosleep) real_clock_nanosleep;
static __typeof__(&getsockopt) real_getsockopt;

__attribute__((constructor)) static void clock_init(void) {
        const char *path = getenv("CLOCK_FILE");
        int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *memory;

        real_gettime = REAL(clock_gettime);
        real_ppoll = REAL(ppoll);
        real_poll = REAL(poll);
        real_epoll_pwait2 = REAL(epoll_pwait2);
        real_clock_nanosleep = REAL(clock_nanosleep);
        real_getsockopt = REAL(getsockopt);
        if (fd < 0)
                abort();
        memory = mmap(NULL, 3 * sizeof *clocks, PROT_READ, MAP_SHARED, fd, 0);
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
                        *ret_time = (struct timespec){ .tv_sec = stopped / SECOND,
                                                       .tv_nsec = stopped % SECOND };
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

static int64_t nanoseconds(const struct timespec *time) {
        return time->tv_sec * SECOND + time->tv_nsec;
}

/* Returns how long a wait up to an instant lasts before it looks at the clock again. The last look,
 * when the instant has come, finds all that has happened before it. */
static struct timespec until(int64_t end) {
        int64_t left = end - clocks[1];

        left = left < 0 ? 0 : left > LOOK ? LOOK : left;
        return (struct timespec){ .tv_nsec = left };
}

static bool is_over(int64_t end) {
        return clocks[1] == 0 || clocks[1] >= end;
}

/* A wait in parts, as many as the stopped clock needs to come to its end. */
typedef struct Wait {
        const struct timespec *timeout;
        int64_t end;
        struct timespec look;
        bool last;
} Wait;

static Wait wait_begin(const struct timespec *timeout) {
        const bool stopped = timeout != NULL && clocks[1] != 0;

        return (Wait){ .timeout = timeout,
                       .end = stopped ? clocks[1] + nanoseconds(timeout) : 0,
                       .last = !stopped };
}

/* Returns the timeout of the next part. */
static const struct timespec *wait_next(Wait *wait) {
        if (wait->end == 0)
                return wait->timeout;
        wait->last = is_over(wait->end);
        wait->look = until(wait->end);
        return &wait->look;
}

int ppoll(struct pollfd *polled, nfds_t count, const struct timespec *timeout,
          const sigset_t *mask) {
        Wait wait = wait_begin(timeout);
        int r;

        do
                r = real_ppoll(polled, count, wait_next(&wait), mask);
        while (r == 0 && !wait.last);
        return r;
}

/* What does not wait stays the system call that it is: tests look for it. */
int poll(struct pollfd *polled, nfds_t count, int timeout) {
        const struct timespec time = { .tv_sec = timeout / 1000,
                                       .tv_nsec = timeout % 1000 * (SECOND / 1000) };

        if (timeout <= 0 || clocks[1] == 0)
                return real_poll(polled, count, timeout);
        return ppoll(polled, count, &time, NULL);
}

/* What poll(2) becomes where the compiler knows the size of the array. */
int poll_checked(struct pollfd *polled, nfds_t count, int timeout,
                 size_t size) __asm__("__poll_chk");

int poll_checked(struct pollfd *polled, nfds_t count, int timeout, size_t size) {
        (void)size;
        return poll(polled, count, timeout);
}

int epoll_pwait2(int epoll, struct epoll_event *events, int size, const struct timespec *timeout,
                 const sigset_t *mask) {
        Wait wait = wait_begin(timeout);
        int r, looks = 0;

        do
                r = real_epoll_pwait2(epoll, events, size, wait_next(&wait), mask);
        while (r == 0 && !wait.last && ++looks < LOOKS);
        return r;
}

int epoll_wait(int epoll, struct epoll_event *events, int size, int timeout) {
        const struct timespec time = { .tv_sec = timeout / 1000,
                                       .tv_nsec = timeout % 1000 * (SECOND / 1000) };

        return epoll_pwait2(epoll, events, size, timeout < 0 ? NULL : &time, NULL);
}

/* Of the sleeps, the one that mpecho's programs have: up to an instant. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *end,
                    struct timespec *ret_left) {

        while (flags == TIMER_ABSTIME && clocks[1] != 0 && !is_over(nanoseconds(end))) {
                const struct timespec look = until(nanoseconds(end));
                int r = real_clock_nanosleep(clock, 0, &look, NULL);

                if (r != 0)
                        return r;
        }
        return clocks[1] != 0 ? 0 : real_clock_nanosleep(clock, flags, end, ret_left);
}

unsigned alarm(unsigned seconds) {
        const struct itimerval timer = { .it_value.tv_sec = seconds };

        if (clocks == NULL || clocks[1] == 0)
                (void)setitimer(ITIMER_REAL, &timer, NULL);
        return 0;
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict size) {
        int r = real_getsockopt(fd, level, option, value, size);

        if (r == 0 && clocks != NULL && level == IPPROTO_TCP && option == TCP_INFO) {
                struct tcp_info *info = value;

                if (clocks[1] != 0)
                        info->tcpi_last_data_recv = 0;
                info->tcpi_last_data_recv += (uint32_t)(clocks[2] / (SECOND / 1000));
        }
        return r;
}
