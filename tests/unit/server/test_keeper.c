/* SPDX-License-Identifier: MIT */
/* The process that stores connections in place of a master. The test is the master, unless that is
 * a process that ends; it is the service manager, and the handlers are processes or the test. */

#include "server/keeper.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "lib/clock.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "restart/unsent.h"
#include "unit.h"

#define RUN 7

enum {
        SLOTS = 4,
};

/* A connection, and its handler. */
typedef struct Given {
        int pair[2];
        int go[2]; /* a pipe: the handler begins at a byte */
        uint64_t cookie;
        size_t unsent; /* bytes */
        pid_t handler;
} Given;

/* What processes tell each other. */
typedef struct Shared {
        Keeper keeper;
        pid_t master;
        _Atomic bool hurries;      /* handlers have hardly any time to send what they give */
        _Atomic uint64_t patience; /* the time that they had */
        _Atomic unsigned pauses;   /* of a second, which the keeper takes after strangers */
        _Atomic unsigned full;     /* how often accept4(2) still lacks a descriptor */
        _Atomic int waited;        /* milliseconds that the keeper has paused for one */
        _Atomic unsigned clones;   /* children of clone(2) */
        _Atomic bool kills_many;   /* a process has tried to kill more than one */
        _Atomic uint64_t standing; /* the time of a clock that stands still; 0 for the real one */
        _Atomic bool hasty;        /* where the keeper waits in vain, that clock goes on at once */
        _Atomic unsigned most;     /* how many waits can end so in all; 0 for any number */
        _Atomic unsigned ended;    /* how many have */
        _Atomic unsigned timed; /* waits of the keeper that would end after a time, beside pauses */
        _Atomic bool leads;     /* the master leads a session */
        _Atomic bool unlisted;  /* the handler that does not end is not in the ledger */
        _Atomic bool notes;     /* the master notes a stop before its end */
        _Atomic int tells;      /* the signal that stops handlers before that end; 0 for none */
        _Atomic uint64_t late;  /* how long before */
        _Atomic bool together;  /* the keeper finds all this at once */
        _Atomic pid_t stays;    /* a handler that does not end */
        _Atomic bool endless;   /* a stranger opens a channel whenever the keeper takes one */
} Shared;

static Manager manager;
static Ledger *ledger;
static Shared *shared;
static Given given[SLOTS];
static uint32_t n_given;
static uid_t other_user; /* another user ID than that of whoever opens channels; 0 for the same */

FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))
FAULT(int, pipe2, pipe2, (int fds[2], int flags), (fds, flags))
FAULT(int, madvise, madvise, (void *address, size_t size, int advice), (address, size, advice))
FAULT(pid_t, fork, fork, (void), ())
FAULT(int, pidfd_open, pidfd_open, (pid_t pid, unsigned flags), (pid, flags))
FAULT(int, dup2, dup2, (int fd, int other), (fd, other))
FAULT(int, signalfd, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))

/* In place of the C library's. */
uid_t geteuid(void) {
        return getuid() + other_user;
}

int kill(pid_t pid, int number) {
        /* Only the group of a master that leads one and its session. */
        if (pid > 0 || (shared->leads && pid == -shared->master))
                return (int)syscall(SYS_kill, pid, number);
        shared->kills_many = true;
        return 0;
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
        static int (*real)(int, struct sockaddr *, socklen_t *, int);
        const Endpoint *name = &shared->keeper.address;
        int stranger;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "accept4");
        if (shared->full > 0) {
                shared->full--;
                errno = ENFILE;
                return -1;
        }
        if (shared->endless) {
                stranger = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(stranger, &name->any, name->length), 0);
                close(stranger);
        }
        return real(fd, address, size, flags);
}

/* By which a process closes what others sent it (discard.h). */
int clone(int (*function)(void *), void *stack, int flags, void *argument, ...) {
        static int (*real)(int (*)(void *), void *, int, void *, ...);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "clone");
        shared->clones++;
        return real(function, stack, flags, argument);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
        const uint64_t standing = shared->standing;

        if (standing == 0)
                return (int)syscall(GETTIME, clock, now);
        *now = clock_timespec(standing);
        return 0;
}

/* A pause of the keeper takes no time. */
int poll(struct pollfd *fds, nfds_t n, int timeout) {
        static int (*real)(struct pollfd *, nfds_t, int);
        const bool keeps = getpid() == shared->keeper.pid;
        int r;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "poll");
        if (keeps && n == 3 && timeout >= 0) {
                shared->timed++;
                if (!shared->hasty)
                        return real(fds, n, timeout);
                if (shared->most > 0 && shared->ended >= shared->most)
                        return real(fds, n, -1);
                r = real(fds, n, 0);
                shared->standing += r == 0 ? (uint64_t)timeout * CLOCK_MILLISECOND : 0;
                shared->ended += r == 0;
                return r;
        }
        /* For a descriptor; it waits longer for systemd. */
        if (keeps && n <= 1 && timeout < 2000)
                shared->waited += timeout;
        else if (n != 1 || timeout != 1000)
                return real(fds, n, timeout);
        r = real(fds, n, 0);
        shared->pauses += r == 0 && timeout == 1000;
        return r;
}

/* Nobody gives up because the machine is busy. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
        static int (*real)(int, int, int, const void *, socklen_t);
        struct timeval time;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "setsockopt");
        if (level != SOL_SOCKET || (option != SO_RCVTIMEO && option != SO_SNDTIMEO))
                return real(fd, level, option, value, size);
        memcpy(&time, value, sizeof time);
        if (option == SO_RCVTIMEO && getpid() == shared->keeper.pid)
                shared->patience = (uint64_t)time.tv_sec * CLOCK_SECOND +
                                   (uint64_t)time.tv_usec * CLOCK_MICROSECOND;
        time.tv_sec = PATIENCE_SECONDS;
        if (shared->hurries)
                time = (struct timeval){ .tv_usec = 1 };
        return real(fd, level, option, &time, sizeof time);
}

static int set_up(void **state) {
        (void)state;
        manager_start(&manager);
        n_given = 0;
        other_user = 0;
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                      0);
        assert_ptr_not_equal(shared, MAP_FAILED);
        shared->keeper = KEEPER_NONE;
        shared->master = getpid();
        /* As in a master. */
        (void)signal(SIGPIPE, SIG_IGN);
        return ledger_new(SLOTS, clock_now(), &ledger);
}

static int tear_down(void **state) {
        (void)state;
        /* After a failure. */
        if (shared->stays > 0)
                (void)kill(shared->stays, SIGKILL);
        if (shared->keeper.pid > 0 && shared->keeper.end < 0)
                (void)kill(shared->keeper.pid, SIGKILL);
        keeper_end(&shared->keeper);
        ledger_free(ledger);
        for (uint32_t i = 0; i < n_given; i++) {
                close(given[i].pair[0]);
                close(given[i].pair[1]);
                close(given[i].go[0]);
                close(given[i].go[1]);
        }
        manager_stop(&manager);
        return munmap(shared, sizeof *shared);
}

static void begin(void) {
        assert_int_equal(keeper_start(&shared->keeper, RUN, ledger), 0);
}

/* A connection whose handler, @handler, is in the ledger. */
static Given *expect_given(size_t unsent, pid_t handler) {
        Given *one = &given[n_given];
        LedgerFacts *facts = ledger_facts(ledger, n_given++);

        *one = (Given){ .unsent = unsent, .handler = handler };
        peer_pair_tcp(one->pair);
        assert_int_equal(pipe2(one->go, O_CLOEXEC), 0);
        one->cookie = socket_cookie(one->pair[1]);
        facts->cookie = one->cookie;
        facts->handler = handler;
        return one;
}

static void give_once(const Given *one) {
        const HandoverAddress address = { .keeper = shared->keeper.address,
                                          .master = shared->master,
                                          .run = RUN };

        assert_int_equal(handover_give(&address, one->pair[1], "unsent", one->unsent), 0);
}

static void wait_for_byte(int fd) {
        assert_int_equal(read(fd, &(char){ 0 }, 1), 1);
}

static void give(void *one) {
        wait_for_byte(((Given *)one)->go[0]);
        give_once(one);
}

/* Forks a handler, which is in the ledger before it begins. */
static void start(Given *one, void (*function)(void *one)) {
        one->handler = process_fork(function, one);
        ledger_facts(ledger, (uint32_t)(one - given))->handler = one->handler;
        assert_int_equal(write(one->go[1], "", 1), 1);
}

/* Asserts that the store takes what the handler of @one gives, and nothing else. */
static void expect_bundle(const Given *one) {
        char name[64], back[8];

        snprintf(name, sizeof name, "h.7.%d", one->handler);
        manager_expect_bundle(&manager, name, one->unsent > 0 ? 2 : 1);
        assert_true(socket_cookie(manager.fds[0]) == one->cookie);
        if (one->unsent > 0) {
                assert_int_equal(unsent_take(manager.fds[1], back, sizeof back), one->unsent);
                assert_memory_equal(back, "unsent", one->unsent);
        }
}

static void expect_stored(const Given *one) {
        expect_bundle(one);
        manager_expect_barrier(&manager);
        process_wait_exit(one->handler, 0);
}

/* Opens a channel as a handler does. */
static int channel_open(void) {
        const Endpoint *name = &shared->keeper.address;
        const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, &name->any, name->length), 0);
        return fd;
}

static void expect_welcome(int fd) {
        char answer = 0;

        peer_wait_readable(fd);
        assert_int_equal(recv(fd, &answer, 1, 0), 1);
        assert_int_equal(answer, HANDOVER_WELCOME);
}

/* The keeper stores a connection with its unsent bytes, under a name with its handler's process ID,
 * before the handler goes on. */
static void test_stored(void **state) {
        Given *one = expect_given(6, 0);

        (void)state;
        begin();
        start(one, give);
        expect_bundle(one);
        assert_true(ledger_facts(ledger, 0)->kept == one->cookie);
        manager_expect(&manager, "BARRIER=1", 1);
        process_wait_asleep(one->handler);
        assert_int_equal(process_status(one->handler, "State")[0], 'S');
        manager_forget(&manager);
        process_wait_exit(one->handler, 0);
}

/* Waits until the handler of @one waits for an answer: it has read the byte, and sleeps in recv(2)
 * or poll(2) the next time. */
static void wait_for_answer(const Given *one) {
        while (poll(&(struct pollfd){ .fd = one->go[0], .events = POLLIN }, 1, 0) == 1)
                (void)sched_yield();
        process_wait_asleep(one->handler);
}

/* Handlers that come while the keeper waits for systemd are served together, whatever slots they
 * have: it waits for systemd once more. */
static void test_several(void **state) {
        static const uint32_t order[] = { 2, 0, 3, 1 };

        (void)state;
        begin();
        for (uint32_t i = 0; i < SLOTS; i++)
                (void)expect_given(i % 2, 0);
        /* All are forked first: they must not inherit the descriptor of the barrier. */
        for (uint32_t i = 0; i < SLOTS; i++) {
                given[i].handler = process_fork(give, &given[i]);
                ledger_facts(ledger, i)->handler = given[i].handler;
        }
        assert_int_equal(write(given[order[0]].go[1], "", 1), 1);
        expect_bundle(&given[order[0]]);
        manager_expect(&manager, "BARRIER=1", 1);
        for (size_t i = 1; i < COUNT(order); i++) {
                assert_int_equal(write(given[order[i]].go[1], "", 1), 1);
                wait_for_answer(&given[order[i]]);
        }
        manager_forget(&manager);
        process_wait_exit(given[order[0]].handler, 0);
        for (size_t i = 1; i < COUNT(order); i++)
                expect_bundle(&given[order[i]]);
        manager_expect_barrier(&manager);
        for (size_t i = 1; i < COUNT(order); i++)
                process_wait_exit(given[order[i]].handler, 0);
}

/* Sends @n descriptors as a handler: they are not stored, and there is no answer. */
static void expect_refused(const int *fds, size_t n) {
        const int fd = channel_open();

        expect_welcome(fd);
        assert_int_equal(fdpass_send(fd, NULL, "", 1, fds, n, 0), 0);
        peer_expect_end(fd);
        close(fd);
        manager_expect_none(&manager);
}

/* Not even its handler can give another's connection, something else, nothing, more than there is,
 * or a second connection in place of unsent bytes. */
static void test_refused(void **state) {
        const int unsent = unsent_new("x", 1);

        (void)state;
        begin();
        for (int i = 0; i < 6; i++) {
                Given own = {};
                int other[2];

                peer_pair_tcp(own.pair);
                peer_pair_tcp(other);
                own.cookie = socket_cookie(own.pair[1]);
                const int fds[][3] = { { other[1] },
                                       { unsent },
                                       { own.pair[1] },
                                       { unsent, own.pair[1] },
                                       { own.pair[1], unsent, unsent },
                                       { own.pair[1], other[1] } };
                const size_t n[] = { 1, 1, 0, 2, 3, 2 };

                *ledger_facts(ledger, 0) =
                                (LedgerFacts){ .cookie = own.cookie, .handler = getpid() };
                expect_refused(fds[i], n[i]);
                for (int end = 0; end < 2; end++) {
                        close(own.pair[end]);
                        close(other[end]);
                }
        }
        close(unsent);
        assert_int_equal(shared->pauses, 0);
}

/* A child closes what a handler has sent, wanted or not: the last close(2) of it may take long. */
static void test_closed(void **state) {
        const Given *one = expect_given(0, getpid()), *other = expect_given(0, 1);

        (void)state;
        begin();
        expect_refused(&other->pair[1], 1);
        keeper_end(&shared->keeper);
        assert_int_equal(shared->clones, 1);
        ledger_facts(ledger, 0)->kept = 0;
        begin();
        /* Too many, and its own. */
        expect_refused((int[]){ one->pair[1], one->pair[1], one->pair[1] }, 3);
        keeper_end(&shared->keeper);
        assert_int_equal(shared->clones, 2);
}

/* Asserts that the keeper closes a channel of this process without a word. */
static void expect_unwelcome(void) {
        const int fd = channel_open();

        peer_expect_end(fd);
        close(fd);
}

/* Waits until the keeper has paused @n times for a second. */
static void expect_pauses(unsigned n) {
        while (shared->pauses < n)
                (void)sched_yield();
        assert_int_equal(shared->pauses, n);
}

/* A process that is no handler of the ledger is not welcome. The keeper pauses after it, and serves
 * the next handler. */
static void test_stranger(void **state) {
        Given *one = expect_given(0, 0);

        (void)state;
        begin();
        expect_unwelcome();
        expect_pauses(1);
        start(one, give);
        expect_stored(one);
        assert_int_equal(shared->pauses, 1);
}

/* For want of a descriptor, the keeper pauses twice as long each time, up to a second. It
 * serves the handler once there is one, and begins anew. */
static void test_full(void **state) {
        static const struct {
                unsigned times;
                int milliseconds;
        } cases[] = { { 3, 10 + 20 + 40 }, { 1, 10 }, { 9, 10 * 127 + 2 * 1000 } };

        (void)state;
        begin();
        for (size_t i = 0; i < COUNT(cases); i++) {
                Given *one = expect_given(0, 0);

                shared->waited = 0;
                shared->full = cases[i].times;
                start(one, give);
                expect_stored(one);
                assert_int_equal(shared->waited, cases[i].milliseconds);
        }
}

/* A stranger whose process ID the keeper does not know is not the handler of a connection that has
 * none yet. */
static void test_unknown_stranger(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        other_user = 1;
        begin();
        expect_unwelcome();
        expect_pauses(1);
        expect_unwelcome();
        expect_pauses(2);
        assert_false(shared->kills_many);
}

/* A handler of a connection that has ended is a stranger. */
static void test_ended(void **state) {
        const Given *one = expect_given(0, getpid());

        (void)state;
        begin();
        ledger_facts(ledger, (uint32_t)(one - given))->cookie = 0;
        expect_unwelcome();
        expect_pauses(1);
}

/* A channel that stays silent is closed after a second, and does not keep other handlers out. */
static void test_silent(void **state) {
        Given *one = expect_given(0, 0);
        int fd;

        (void)state;
        (void)expect_given(0, getpid());
        begin();
        shared->hurries = true;
        fd = channel_open();
        expect_welcome(fd);
        peer_expect_end(fd);
        close(fd);
        assert_true(shared->patience == CLOCK_SECOND);
        shared->hurries = false;
        start(one, give);
        expect_stored(one);
}

static void stay_silent(void *one) {
        int fd;

        wait_for_byte(((Given *)one)->go[0]);
        fd = channel_open();
        expect_welcome(fd);
        peer_expect_end(fd);
        close(fd);
}

/* Handlers that stay silent together have one second in all: the first one has it, and the others
 * had it meanwhile. */
static void test_silent_together(void **state) {
        (void)state;
        begin();
        shared->hurries = true;
        assert_int_equal(kill(shared->keeper.pid, SIGSTOP), 0);
        for (int i = 0; i < SLOTS; i++)
                start(expect_given(0, 0), stay_silent);
        for (int i = 0; i < SLOTS; i++)
                wait_for_answer(&given[i]);
        assert_int_equal(kill(shared->keeper.pid, SIGCONT), 0);
        for (int i = 0; i < SLOTS; i++)
                process_wait_exit(given[i].handler, 0);
        assert_true(shared->patience == CLOCK_MILLISECOND);
}

/* Strangers that open one channel after the other do not keep the keeper from ending. */
static void test_endless_strangers(void **state) {
        (void)state;
        begin();
        shared->endless = true;
        expect_unwelcome();
        keeper_end(&shared->keeper);
}

static void give_and_die(void *one) {
        wait_for_byte(((Given *)one)->go[0]);
        give_once(one);
        fail();
}

/* A connection that the master has forgotten before systemd had it leaves the store again. */
static void test_reaped_meanwhile(void **state) {
        Given *one = expect_given(0, 0);
        char name[64];

        (void)state;
        begin();
        start(one, give_and_die);
        expect_bundle(one);
        manager_expect(&manager, "BARRIER=1", 1);
        (void)kill(one->handler, SIGKILL);
        (void)waitpid(one->handler, NULL, 0);
        ledger_facts(ledger, 0)->cookie = 0;
        manager_forget(&manager);
        snprintf(name, sizeof name, "h.7.%d", one->handler);
        manager_expect_removed(&manager, name);
        manager_expect_none(&manager);
}

static void open_again(void) {
        const int fd = channel_open();

        assert_true(recv(fd, &(char){ 0 }, 1, 0) <= 0);
        for (;;)
                (void)pause();
}

static void open_twice(void *one) {
        int fd;

        wait_for_byte(((Given *)one)->go[0]);
        fd = channel_open();
        expect_welcome(fd);
        close(fd);
        open_again();
}

static void give_twice(void *one) {
        give(one);
        open_again();
}

static void expect_killed(const Given *one) {
        const int status = process_wait(one->handler);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        manager_expect_none(&manager);
}

/* A handler that opens a second channel is killed, whether it gave its connection over the first
 * one or not. A connection is stored once. */
static void test_second_channel(void **state) {
        Given *one;

        (void)state;
        begin();
        one = expect_given(0, 0);
        start(one, open_twice);
        expect_killed(one);

        one = expect_given(6, 0);
        start(one, give_twice);
        expect_bundle(one);
        manager_expect_barrier(&manager);
        expect_killed(one);
}

/* The next connection in the slot of one that was stored is stored, too. */
static void test_next_connection(void **state) {
        (void)state;
        begin();
        for (int i = 0; i < 2; i++) {
                Given *one = expect_given(0, 0);

                start(one, give);
                expect_stored(one);
                /* Once the keeper serves the next one, it has done with this. */
                expect_unwelcome();
                n_given = 0;
                for (int end = 0; end < 2; end++) {
                        close(one->pair[end]);
                        close(one->go[end]);
                }
        }
}

/* What systemd does not take is not stored, and the handler gets no answer. */
static void test_no_manager(void **state) {
        const Given *one = expect_given(0, getpid());
        int fd;

        (void)state;
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        begin();
        fd = channel_open();
        expect_welcome(fd);
        assert_int_equal(fdpass_send(fd, NULL, "", 1, &one->pair[1], 1, 0), 0);
        peer_expect_end(fd);
        close(fd);
}

/* The signals that stop a service, and those that the master takes, do not end the keeper, nor
 * interrupt it. */
static void test_signals(void **state) {
        static const int signals[] = { SIGTERM, SIGINT, SIGABRT, SIGHUP, SIGUSR1, SIGQUIT };
        Given *one = expect_given(0, 0);

        (void)state;
        begin();
        for (size_t i = 0; i < COUNT(signals); i++)
                assert_int_equal(kill(shared->keeper.pid, signals[i]), 0);
        start(one, give);
        expect_stored(one);
}

/* The keeper ends when the master tells it, whoever is in the ledger, and leaves nothing. */
static void test_end(void **state) {
        int before;
        pid_t pid;

        (void)state;
        (void)expect_given(0, getpid());
        before = process_count_descriptors();
        begin();
        pid = shared->keeper.pid;
        keeper_end(&shared->keeper);
        assert_int_equal(shared->keeper.pid, 0);
        assert_int_equal(kill(pid, 0), -1);
        assert_int_equal(errno, ESRCH);
        assert_int_equal(process_count_descriptors(), before);
        keeper_end(&shared->keeper);
}

/* Its descriptor is readable when something else has ended the keeper, and not before. */
static void test_killed(void **state) {
        struct pollfd polled = { .events = POLLIN };

        (void)state;
        begin();
        polled.fd = shared->keeper.fd;
        assert_int_equal(poll(&polled, 1, 0), 0);
        assert_int_equal(kill(shared->keeper.pid, SIGKILL), 0);
        peer_wait_readable(shared->keeper.fd);
}

/* The keeper has no descriptor of the master's: a listening socket would stay open after it. */
static void test_descriptors(void **state) {
        Given *one = expect_given(0, 0);
        int pair[2];

        (void)state;
        peer_pair(pair);
        begin();
        start(one, give);
        expect_stored(one);
        close(pair[1]);
        peer_expect_end(pair[0]);
        close(pair[0]);
}

static void stay(void *unused) {
        (void)unused;
        /* It outlives its master, as handlers do. */
        assert_int_equal(prctl(PR_SET_PDEATHSIG, 0), 0);
        shared->stays = getpid();
        for (;;)
                (void)pause();
}

/* Waits until the keeper has done with all that came before. */
static void wait_until_done(void) {
        expect_unwelcome();
        process_wait_asleep(shared->keeper.pid);
}

static void start_with_one(void *unused) {
        (void)unused;
        if (shared->leads)
                assert_true(setsid() > 0);
        (void)process_fork(stay, NULL);
        while (shared->stays == 0)
                (void)sched_yield();
        ledger_facts(ledger, 0)->cookie = 1;
        ledger_facts(ledger, 0)->handler = shared->unlisted ? 0 : shared->stays;
        shared->master = getpid();
        begin();
        if (shared->together) {
                assert_int_equal(kill(shared->keeper.pid, SIGSTOP), 0);
                while (process_status(shared->keeper.pid, "State")[0] != 'T')
                        (void)sched_yield();
        }
        if (shared->notes)
                keeper_note_stop(&shared->keeper);
        if (shared->tells != 0)
                assert_int_equal(kill(shared->keeper.pid, shared->tells), 0);
        if (!shared->together)
                wait_until_done();
        shared->standing += shared->late;
        _exit(0);
}

/* Starts a keeper whose master was killed, and whose clock stands still. Returns its process ID. */
static pid_t begin_without_master(bool leads) {
        pid_t keeper;

        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        assert_int_equal(ledger_share(ledger, true), 0);
        shared->leads = leads;
        shared->standing = 100 * CLOCK_SECOND;
        (void)expect_given(0, 0);
        process_run(start_with_one, NULL);
        keeper = shared->keeper.pid;
        assert_int_equal(kill(keeper, SIGCONT), 0);
        shared->keeper = (Keeper){
                .address = shared->keeper.address, .pid = keeper, .fd = -1, .end = -1
        };
        return keeper;
}

static void end_without_master(void) {
        shared->keeper.pid = 0;
        while (waitpid(-1, NULL, 0) > 0)
                ;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void expect_sigkill(pid_t pid) {
        const int status = process_wait(pid);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* Has the connection in @slot stored after the master's end, in @before of its handler and @time of
 * systemd. */
static void expect_late(uint32_t slot, uint64_t before, uint64_t time) {
        Given *one;
        int fd;

        n_given = slot;
        one = expect_given(0, getpid());
        fd = channel_open();
        expect_welcome(fd);
        process_wait_asleep(shared->keeper.pid);
        shared->standing += before;
        assert_int_equal(fdpass_send(fd, NULL, "", 1, &one->pair[1], 1, 0), 0);
        expect_bundle(one);
        manager_expect(&manager, "BARRIER=1", 1);
        shared->standing += time;
        manager_forget(&manager);
        wait_for_byte(fd);
        close(fd);
        ledger_facts(ledger, slot)->cookie = 0;
        wait_until_done();
}

/* Lets the clock go on. */
static void hurry(void) {
        shared->hasty = true;
        /* Wakes the keeper up. */
        close(channel_open());
}

/* Asserts that the keeper @pid kills its process group when its clock has gone on to @deadline. */
static void expect_end(pid_t pid, uint64_t deadline) {
        expect_sigkill(shared->stays);
        process_wait_exit(pid, 0);
        assert_int_equal(shared->standing, deadline);
        end_without_master();
        shared->hasty = false;
        shared->stays = 0;
        shared->notes = false;
        shared->tells = 0;
        shared->late = 0;
        shared->together = false;
        shared->unlisted = false;
        while (n_given > 0) {
                n_given--;
                for (int i = 0; i < 2; i++) {
                        close(given[n_given].pair[i]);
                        close(given[n_given].go[i]);
                }
        }
}

/* 10 seconds after systemd has told a service whose master crashed to stop, the keeper kills its
 * process group. Handlers get back the time that systemd needs to store others, but hardly any that
 * a handler takes to give its connection: a hostile one could keep the next run from starting. */
static void test_time_without_master(void **state) {
        const uint64_t deadline = (150 + 10 + 7) * CLOCK_SECOND + 2 * CLOCK_MILLISECOND;
        pid_t keeper;

        (void)state;
        keeper = begin_without_master(true);
        /* It learns of the master's end in its first turn. */
        assert_int_equal(kill(keeper, SIGUSR1), 0);
        wait_until_done();
        shared->standing += 50 * CLOCK_SECOND;
        wait_until_done();
        assert_int_equal(kill(keeper, SIGTERM), 0);
        wait_until_done();
        expect_late(1, 0, 7 * CLOCK_SECOND);
        expect_late(2, CLOCK_SECOND, 0);
        hurry();
        expect_end(keeper, deadline);
}

/* Each signal that stops handlers begins their time, and no other does. */
static void test_signals_of_a_stop(void **state) {
        static const int begin[] = { SIGTERM, SIGINT, SIGABRT };
        static const int other[] = { SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD };

        (void)state;
        for (size_t i = 0; i < COUNT(begin); i++) {
                const pid_t keeper = begin_without_master(true);

                for (size_t k = 0; k < COUNT(other); k++)
                        assert_int_equal(kill(keeper, other[k]), 0);
                wait_until_done();
                shared->standing += 50 * CLOCK_SECOND;
                wait_until_done();
                assert_int_equal(kill(keeper, begin[i]), 0);
                wait_until_done();
                hurry();
                expect_end(keeper, 160 * CLOCK_SECOND);
        }
}

/* The time began when the service was told to stop: a master that is killed during a stop adds
 * none. But handlers have a second after it. A master that has noted no stop has crashed, whatever
 * the keeper finds first: a busy machine can show it the signal and the end at once, and those of a
 * watchdog in any order. */
static void test_time_of_late_end(void **state) {
        static const struct {
                uint64_t late, deadline;
                int tells;
                bool notes, together;
        } cases[] = {
                { 2, 104, SIGTERM, true, false },  { 4, 105, SIGTERM, true, false },
                { 5, 106, SIGTERM, true, false },  { 2, 110, SIGABRT, false, false },
                { 4, 111, SIGTERM, false, false }, { 0, 104, SIGTERM, true, true },
                { 0, 110, SIGTERM, false, true },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                pid_t keeper;

                shared->notes = cases[i].notes;
                shared->tells = cases[i].tells;
                shared->late = cases[i].late * CLOCK_SECOND;
                shared->together = cases[i].together;
                keeper = begin_without_master(true);
                wait_until_done();
                hurry();
                expect_end(keeper, cases[i].deadline * CLOCK_SECOND);
        }
}

/* A signal of long ago does not begin the time, only the next one. In a stop it is no longer. */
static void test_signal_of_long_ago(void **state) {
        (void)state;
        for (int notes = 0; notes < 2; notes++) {
                pid_t keeper;

                shared->notes = notes;
                shared->tells = SIGTERM;
                shared->late = 6 * CLOCK_SECOND;
                keeper = begin_without_master(true);
                wait_until_done();
                shared->standing += 50 * CLOCK_SECOND;
                wait_until_done();
                assert_int_equal(kill(keeper, SIGTERM), 0);
                wait_until_done();
                hurry();
                expect_end(keeper, (156 + (notes ? 4 : 10)) * CLOCK_SECOND);
        }
}

/* Asserts that the keeper waits for a silent handler for @patience. */
static void expect_patience(uint64_t patience) {
        int silent;

        n_given = 1;
        (void)expect_given(0, getpid());
        shared->hurries = true;
        silent = channel_open();
        expect_welcome(silent);
        peer_expect_end(silent);
        close(silent);
        assert_true(shared->patience == patience);
        shared->hurries = false;
        ledger_facts(ledger, 1)->cookie = 0;
}

/* After a crash a silent handler gets a quarter of the time, too: it may have no processor. */
static void test_silent_after_a_crash(void **state) {
        pid_t keeper;

        (void)state;
        keeper = begin_without_master(true);
        wait_until_done();
        assert_int_equal(kill(keeper, SIGTERM), 0);
        wait_until_done();
        expect_patience(10 * CLOCK_SECOND / 4);
        hurry();
        expect_end(keeper, 110 * CLOCK_SECOND);
}

/* Of the second that handlers have after a late end, a silent one gets a quarter, and those that
 * wait when the time is over are served before the kill. */
static void test_silent_after_a_late_end(void **state) {
        Given *one;
        pid_t keeper;

        (void)state;
        shared->notes = true;
        shared->tells = SIGTERM;
        shared->late = 4 * CLOCK_SECOND;
        keeper = begin_without_master(true);
        wait_until_done();
        expect_patience(CLOCK_SECOND / 4);

        one = expect_given(0, 0);
        assert_int_equal(kill(keeper, SIGSTOP), 0);
        start(one, give);
        wait_for_answer(one);
        shared->standing = 105 * CLOCK_SECOND;
        assert_int_equal(kill(keeper, SIGCONT), 0);
        expect_bundle(one);
        manager_expect_barrier(&manager);
        process_wait_exit(one->handler, 0);
        expect_end(keeper, 105 * CLOCK_SECOND);
}

/* A process of the service that is not in the ledger has the same time, and the keeper ends after
 * it. */
static void test_others(void **state) {
        (void)state;
        for (int ends = 0; ends < 2; ends++) {
                pid_t keeper;

                shared->unlisted = true;
                keeper = begin_without_master(true);
                wait_until_done();
                process_wait_asleep(keeper);
                shared->standing += 50 * CLOCK_SECOND;
                assert_int_equal(kill(keeper, SIGTERM), 0);
                if (ends)
                        assert_int_equal(kill(shared->stays, SIGKILL), 0);
                else
                        wait_until_done();
                if (!ends) {
                        shared->standing += 10 * CLOCK_SECOND - 1;
                        wait_until_done();
                        assert_int_equal(kill(shared->stays, 0), 0);
                        shared->standing += 1;
                }
                expect_end(keeper, (150 + (ends ? 0 : 10)) * CLOCK_SECOND);
        }
}

/* Lets time end the next @n waits of the keeper @pid, while nothing happens. Returns how long they
 * took in all. */
static uint64_t elapse(pid_t pid, unsigned n) {
        const uint64_t before = shared->standing;

        shared->most = shared->ended + n;
        hurry();
        while (shared->ended < shared->most && process_status(pid, "State")[0] != 'Z')
                (void)sched_yield();
        return shared->standing - before;
}

/* After the last handler in the ledger the keeper looks for other processes twice a second, and
 * once it is told to stop every 20 ms. */
static void test_pauses_for_others(void **state) {
        uint64_t untold, told, deadline;
        pid_t keeper;

        (void)state;
        shared->unlisted = true;
        keeper = begin_without_master(true);
        wait_until_done();
        untold = elapse(keeper, 20);
        assert_int_equal(kill(keeper, SIGTERM), 0);
        wait_until_done();
        deadline = shared->standing + 10 * CLOCK_SECOND;
        told = elapse(keeper, 20);
        shared->hasty = false;
        shared->standing = deadline;
        close(channel_open());
        expect_end(keeper, deadline);
        assert_int_equal(untold, 10 * CLOCK_SECOND);
        assert_int_equal(told, 400 * CLOCK_MILLISECOND);
}

/* While the master lives, no time wakes the keeper: not after a stranger, a handler, a signal or
 * the note of a stop. */
static void test_rest(void **state) {
        Given *one = expect_given(0, 0);

        (void)state;
        begin();
        expect_unwelcome();
        start(one, give);
        expect_stored(one);
        assert_int_equal(kill(shared->keeper.pid, SIGTERM), 0);
        keeper_note_stop(&shared->keeper);
        wait_until_done();
        assert_int_equal(shared->timed, 0);
}

/* For want of a descriptor it pauses for 10 ms, and not longer each time: handlers without a master
 * cannot wait for long. */
static void test_full_without_master(void **state) {
        pid_t keeper;
        Given *one;
        int waited;

        (void)state;
        keeper = begin_without_master(true);
        wait_until_done();
        one = expect_given(0, 0);
        shared->waited = 0;
        shared->full = 9;
        start(one, give);
        expect_stored(one);
        waited = shared->waited;
        /* It does not wait for long then. */
        assert_int_equal(kill(keeper, SIGTERM), 0);
        wait_until_done();
        assert_int_equal(kill(shared->stays, SIGKILL), 0);
        expect_end(keeper, 100 * CLOCK_SECOND);
        assert_int_equal(waited, 9 * 10);
}

/* It kills no group that others are in as well. */
static void test_no_group(void **state) {
        pid_t keeper;

        (void)state;
        shared->hasty = true;
        keeper = begin_without_master(false);
        assert_int_equal(kill(keeper, SIGTERM), 0);
        while (shared->standing == 100 * CLOCK_SECOND)
                (void)sched_yield();
        process_wait_asleep(keeper);
        assert_int_equal(shared->standing, 110 * CLOCK_SECOND);
        assert_int_equal(kill(shared->stays, SIGKILL), 0);
        process_wait_exit(keeper, 0);
        assert_false(shared->kills_many);
        end_without_master();
        shared->stays = 0;
}

static void start_and_end(void *unused) {
        (void)unused;
        shared->master = getpid();
        begin();
        /* With its end of the pipe. */
        _exit(0);
}

/* When the master was killed the keeper serves the handlers of the ledger until the last one has
 * ended, and ends. It does not pause then, for nobody else serves them. It does not take one for
 * dead when the machine has no descriptor to watch it, and tries again every 10 ms. */
static void test_without_master(void **state) {
        Given *first, *second;
        pid_t keeper;

        (void)state;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        assert_int_equal(ledger_share(ledger, true), 0);
        first = expect_given(0, 0);
        second = expect_given(6, 0);
        first->handler = process_fork(give, first);
        second->handler = process_fork(give, second);
        ledger_facts(ledger, 0)->handler = first->handler;
        ledger_facts(ledger, 1)->handler = second->handler;
        /* One that has ended, and one that was about to get a handler. */
        *ledger_facts(ledger, 2) = (LedgerFacts){ .cookie = 1, .handler = INT32_MAX };
        *ledger_facts(ledger, 3) = (LedgerFacts){ .cookie = 2 };
        /* In the keeper, for the second handler. */
        pidfd_open_fault = (CallFault){ .error = ENFILE, .after = 1, .times = 3 };
        process_run(start_and_end, NULL);
        pidfd_open_fault = (CallFault){};
        keeper = shared->keeper.pid;
        shared->keeper.fd = shared->keeper.end = -1;

        /* More than one: the keeper may learn of the master's end after the first. */
        for (int i = 0; i < 5; i++)
                expect_unwelcome();
        assert_int_equal(shared->pauses, 0);
        assert_int_equal(write(first->go[1], "", 1), 1);
        expect_stored(first);
        assert_int_equal(write(second->go[1], "", 1), 1);
        expect_stored(second);
        process_wait_exit(keeper, 0);
        shared->keeper.pid = 0;
        assert_int_equal(shared->waited, 3 * 10);
        /* And what it has left to be reaped (discard.h). */
        while (waitpid(-1, NULL, 0) > 0)
                ;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* Without handlers it ends with the master. */
static void test_alone(void **state) {
        pid_t keeper;

        (void)state;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        assert_int_equal(ledger_share(ledger, true), 0);
        process_run(start_and_end, NULL);
        keeper = shared->keeper.pid;
        shared->keeper = KEEPER_NONE;
        process_wait_exit(keeper, 0);
        /* And what it has left to be reaped (discard.h). */
        while (waitpid(-1, NULL, 0) > 0)
                ;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* Whichever call fails, there is no keeper afterwards, and no descriptor; and the next one starts.
 */
static void test_not_started(void **state) {
        static const struct {
                CallFault *fault;
                int after;
        } cases[] = { { &socket_fault, 0 },  { &pipe2_fault, 0 }, { &madvise_fault, 0 },
                      { &madvise_fault, 1 }, { &fork_fault, 0 },  { &pidfd_open_fault, 0 } };
        const int before = process_count_descriptors();

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                *cases[i].fault =
                                (CallFault){ .error = ENOMEM, .after = cases[i].after, .times = 1 };
                assert_int_equal(keeper_start(&shared->keeper, RUN, ledger), -ENOMEM);
                assert_int_equal(cases[i].fault->times, 0);
                keeper_end(&shared->keeper);
                assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
                assert_int_equal(errno, ECHILD);
                assert_int_equal(process_count_descriptors(), before);
        }
        begin();
}

/* A keeper without room for its descriptors ends, and the master learns that. */
static void test_no_room(void **state) {
        (void)state;
        for (int i = 0; i < 3; i++) {
                CallFault *fault = i < 2 ? &dup2_fault : &signalfd_fault;

                *fault = (CallFault){ .error = EMFILE, .after = i % 2, .times = 1 };
                begin();
                *fault = (CallFault){};
                peer_wait_readable(shared->keeper.fd);
                keeper_end(&shared->keeper);
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_stored),
                TEST(test_several),
                TEST(test_refused),
                TEST(test_stranger),
                TEST(test_full),
                TEST(test_unknown_stranger),
                TEST(test_closed),
                TEST(test_ended),
                TEST(test_silent),
                TEST(test_silent_together),
                TEST(test_endless_strangers),
                TEST(test_reaped_meanwhile),
                TEST(test_second_channel),
                TEST(test_next_connection),
                TEST(test_no_manager),
                TEST(test_signals),
                TEST(test_end),
                TEST(test_killed),
                TEST(test_descriptors),
                TEST(test_without_master),
                TEST(test_alone),
                TEST(test_time_without_master),
                TEST(test_time_of_late_end),
                TEST(test_signals_of_a_stop),
                TEST(test_signal_of_long_ago),
                TEST(test_pauses_for_others),
                TEST(test_others),
                TEST(test_rest),
                TEST(test_full_without_master),
                TEST(test_silent_after_a_crash),
                TEST(test_silent_after_a_late_end),
                TEST(test_no_group),
                TEST(test_not_started),
                TEST(test_no_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
