/* SPDX-License-Identifier: MIT */
/* A connection given away, by handler and inbox: handlers are processes, and the test is the
 * service manager. The master is the test where it stores nothing, and else a process that has the
 * test's inbox. */

#include "restart/handover.h"

#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "fault.h"
#include "lib/clock.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "restart/inbox.h"
#include "restart/unsent.h"
#include "unit.h"

#define RUN  7
#define NAME "mpecho-connection.7"

enum {
        MOST = 5, /* handlers */
        NOW = 1000,
};

/* A connection, and its handler. */
typedef struct Given {
        int pair[2];
        uint64_t cookie;
        size_t unsent; /* bytes */
        int answer;    /* what handover_give() is to return */
        pid_t handler;
        bool channel_used;
        bool stored;
        bool announces; /* it is silent */
        in_port_t announced;
} Given;

static Manager manager;
static Inbox inbox;
static Given given[MOST];
static size_t n_given, n_forked;
static bool admits_all; /* any process is a handler, any number of times */
static char data[256 * 1024];

FAULT(int, bind, bind, (int fd, const struct sockaddr *name, socklen_t length), (fd, name, length))
FAULT(int, getsockname, getsockname, (int fd, struct sockaddr *name, socklen_t *length),
      (fd, name, length))
FAULT(ssize_t, getrandom, getrandom, (void *buffer, size_t size, unsigned flags),
      (buffer, size, flags))
FAULT(int, epoll_ctl, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
      (epoll, operation, fd, event))
/* Processes that open a channel and close it, one each time the master looks into its inbox. */
static int strangers;

static void knock_and_leave(void);

/* Signals that interrupt recvmsg(2). */
static int interruptions;

/* In place of the C library's. */
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
        static ssize_t (*real)(int, struct msghdr *, int);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "recvmsg");
        if (interruptions > 0) {
                interruptions--;
                errno = EINTR;
                return -1;
        }
        if (strangers > 0 && fd == inbox.socket) {
                strangers--;
                knock_and_leave();
        }
        return real(fd, message, flags);
}

/* Another user ID than that of whoever connects; 0 for the same. */
static uid_t other_user;

/* In place of the C library's. */
uid_t geteuid(void) {
        return getuid() + other_user;
}

/* Of the option of setsockopt(2). */
static CallFault filter_fault;

/* How often the patience that handlers have a test has. */
static int patience;

/* In place of the C library's: handlers do not take a master for hung that has to wait for a
 * processor. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
        static int (*real)(int, int, int, const void *, socklen_t);
        struct timeval time;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "setsockopt");
        if (level == SOL_SOCKET && option == SO_ATTACH_FILTER && fault_strikes(&filter_fault))
                return -1;
        if (level != SOL_SOCKET || (option != SO_RCVTIMEO && option != SO_SNDTIMEO))
                return real(fd, level, option, value, size);
        memcpy(&time, value, sizeof time);
        time.tv_sec *= patience;
        return real(fd, level, option, &time, sizeof time);
}

static Given *find_given(pid_t handler) {
        for (size_t i = 0; i < n_given; i++)
                if (given[i].handler == handler)
                        return &given[i];
        return NULL;
}

static int admit(void *unused, pid_t handler, bool proper) {
        Given *one = find_given(handler);

        (void)unused;
        if (!admits_all && one == NULL)
                return -ESRCH;
        if (!proper || (!admits_all && one->channel_used))
                return -EPERM;
        if (one != NULL)
                one->channel_used = true;
        return 0;
}

static bool serves(void *unused, pid_t handler, uint64_t cookie) {
        const Given *one = find_given(handler);

        (void)unused;
        return one != NULL && one->cookie == cookie;
}

static bool awaits(void *unused, pid_t handler) {
        const Given *one = find_given(handler);

        (void)unused;
        return one != NULL && one->announces;
}

/* Serves peers at even ports, once for each handler. */
static bool announce(void *unused, pid_t handler, const Address *announced, uint64_t now) {
        Given *one = find_given(handler);

        (void)unused;
        assert_int_equal(now, NOW);
        assert_int_equal(announced->family, AF_INET);
        one->announces = false;
        one->channel_used = false;
        one->announced = announced->port;
        return announced->port % 2 == 0;
}

static void note_stored(void *unused, pid_t handler) {
        (void)unused;
        find_given(handler)->stored = true;
}

static int set_up(void **state) {
        const InboxMaster master = { .admit = admit,
                                     .serves = serves,
                                     .note_stored = note_stored,
                                     .awaits = awaits,
                                     .announce = announce };

        (void)state;
        manager_start(&manager);
        n_given = n_forked = 0;
        admits_all = false;
        strangers = 0;
        patience = PATIENCE_SECONDS;
        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char)peer_pattern(i);
        return inbox_init(&inbox, RUN, &master);
}

static int tear_down(void **state) {
        (void)state;
        inbox_deinit(&inbox);
        for (size_t i = 0; i < n_given; i++) {
                close(given[i].pair[0]);
                close(given[i].pair[1]);
        }
        manager_stop(&manager);
        return 0;
}

static Given *expect_given(size_t unsent, int answer) {
        Given *one = &given[n_given++];

        *one = (Given){ .unsent = unsent, .answer = answer };
        peer_pair_tcp(one->pair);
        one->cookie = socket_cookie(one->pair[1]);
        return one;
}

/* Whether the last close(2) of the connection resets it. */
static bool is_to_be_reset(int fd) {
        struct linger linger = {};

        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
                                    &(socklen_t){ sizeof linger }),
                         0);
        return linger.l_onoff != 0 && linger.l_linger == 0;
}

static void give(void *one_given) {
        const Given *one = one_given;

        /* As a handler, it has not got the master's. */
        close(inbox.fd);
        close(inbox.socket);
        assert_int_equal(handover_give(&inbox.address, one->pair[1], data, one->unsent),
                         one->answer);
        /* It is still the giver's. */
        assert_true(socket_cookie(one->pair[1]) == one->cookie);
        /* Wherever it is, it cannot end as if nothing was missing. */
        assert_int_equal(is_to_be_reset(one->pair[1]), one->unsent > 0);
}

/* Forks a process for each connection that has none yet. */
static void fork_handlers(void (*function)(void *one_given)) {
        for (; n_forked < n_given; n_forked++)
                given[n_forked].handler = process_fork(function, &given[n_forked]);
}

static void wait_for_handlers(void) {
        for (size_t i = 0; i < n_given; i++)
                process_wait_exit(given[i].handler, 0);
}

static bool is_readable(void) {
        return poll(&(struct pollfd){ .fd = inbox.fd, .events = POLLIN }, 1, 0) == 1;
}

static size_t count_stored(void) {
        size_t n = 0;

        for (size_t i = 0; i < n_given; i++)
                n += given[i].stored;
        return n;
}

/* One turn of a master. Returns how many connections were stored. */
static size_t turn(Inbox *master, bool stopping, uint64_t now) {
        const size_t before = count_stored();

        inbox_take(master, stopping, now);
        inbox_settle(master, stopping, now);
        return count_stored() - before;
}

static void wait_for_sleep(void) {
        for (size_t i = 0; i < n_given; i++)
                process_wait_asleep(given[i].handler);
}

/* Forks handlers, and welcomes them: all have sent what they have when this returns. */
static void welcome(void (*function)(void *one_given)) {
        fork_handlers(function);
        wait_for_sleep();
        assert_true(is_readable());
        inbox_take(&inbox, false, NOW);
        wait_for_sleep();
}

static int count_descriptors(void) {
        int n = 0;

        for (int fd = 0; fd < (int)FD_SETSIZE; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

/* The master that is stopping: all handlers have given before it looks. It keeps no descriptor. */
static void stop_all(void *unused) {
        const bool stores = given[0].answer == 0;
        const int before = count_descriptors();

        (void)unused;
        inbox.address.master = getpid();
        welcome(give);
        assert_int_equal(turn(&inbox, true, NOW), stores ? n_given : 0);
        assert_int_equal(turn(&inbox, true, NOW), 0);
        for (size_t i = 0; i < n_given; i++)
                assert_int_equal(given[i].stored, stores);
        wait_for_handlers();
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        assert_int_equal(count_descriptors(), before);
}

/* Asserts that the bundle that came last has all connections from @first on, each one with its
 * unsent bytes directly behind it, and nothing else. */
static void expect_connections(size_t first) {
        static char back[sizeof data];
        size_t at = 0;

        for (size_t n = first; n < n_given; n++) {
                const Given *one = NULL;

                assert_true(at < manager.n_fds);
                for (size_t i = first; i < n_given; i++)
                        if (socket_cookie(manager.fds[at]) == given[i].cookie)
                                one = &given[i];
                assert_non_null(one);
                at++;
                if (one == NULL || one->unsent == 0)
                        continue;
                assert_true(at < manager.n_fds);
                assert_int_equal(unsent_take(manager.fds[at++], back, sizeof back), one->unsent);
                assert_memory_equal(back, data, one->unsent);
        }
        assert_int_equal(at, manager.n_fds);
}

/* A connection is stored before its handler goes on. */
static void test_stored(void **state) {
        pid_t master;

        (void)state;
        (void)expect_given(0, 0);
        master = process_fork(stop_all, NULL);
        manager_expect_bundle(&manager, NAME, 1);
        expect_connections(0);
        manager_expect(&manager, "BARRIER=1", 1);
        process_wait_asleep(master);
        assert_int_equal(process_status(master, "State")[0], 'S');
        manager_forget(&manager);
        process_wait_exit(master, 0);
}

/* What several handlers give makes one bundle and one barrier. */
static void test_several(void **state) {
        pid_t master;

        (void)state;
        for (size_t i = 0; i < MOST; i++)
                (void)expect_given(i % 2 == 0 ? 0 : 1000 + i, 0);
        master = process_fork(stop_all, NULL);
        manager_expect_bundle(&manager, NAME, MOST + 2);
        expect_connections(0);
        manager_expect_barrier(&manager);
        process_wait_exit(master, 0);
}

/* A whole buffer of unsent bytes goes with its connection. */
static void test_whole_buffer(void **state) {
        pid_t master;

        (void)state;
        (void)expect_given(sizeof data, 0);
        master = process_fork(stop_all, NULL);
        manager_expect_bundle(&manager, NAME, 2);
        expect_connections(0);
        manager_expect_barrier(&manager);
        process_wait_exit(master, 0);
}

/* A master that goes on has its handlers end their connections, and stores nothing. */
static void test_declined(void **state) {
        (void)state;
        (void)expect_given(0, -ECANCELED);
        (void)expect_given(10, -ECANCELED);
        welcome(give);
        assert_int_equal(turn(&inbox, false, NOW), 0);
        wait_for_handlers();
        assert_false(given[0].stored || given[1].stored);
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        manager_expect_none(&manager);
}

/* Without a service manager nothing is stored, and handlers end their connections. */
static void test_no_manager(void **state) {
        (void)state;
        (void)expect_given(0, -ENOTCONN);
        (void)expect_given(10, -ENOTCONN);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        process_run(stop_all, NULL);
}

static void expect_stored_by_handler(void) {
        char name[64];

        snprintf(name, sizeof name, "h.7.%d", given[0].handler);
        manager_expect_bundle(&manager, name, given[0].unsent > 0 ? 2 : 1);
        expect_connections(0);
        manager_expect_barrier(&manager);
        wait_for_handlers();
}

/* A handler whose master is gone stores what it has by itself. */
static void test_no_master(void **state) {
        (void)state;
        (void)expect_given(100, 0);
        inbox_deinit(&inbox);
        fork_handlers(give);
        expect_stored_by_handler();
}

/* So does one whose master ends while it waits to be welcome. */
static void test_master_ends(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        fork_handlers(give);
        process_wait_asleep(given[0].handler);
        inbox_deinit(&inbox);
        expect_stored_by_handler();
}

/* Or for the answer. */
static void test_master_ends_later(void **state) {
        (void)state;
        (void)expect_given(10, 0);
        welcome(give);
        inbox_deinit(&inbox);
        expect_stored_by_handler();
}

/* And one whose master hangs; that it does so for seconds is why there is one such test only. */
static void test_master_hangs(void **state) {
        (void)state;
        patience = 1;
        (void)expect_given(0, 0);
        fork_handlers(give);
        expect_stored_by_handler();
}

/* With neither a master nor a service manager, giving fails. */
static void test_nobody(void **state) {
        (void)state;
        (void)expect_given(0, -ENOTCONN);
        (void)expect_given(10, -ENOTCONN);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        inbox_deinit(&inbox);
        fork_handlers(give);
        wait_for_handlers();
}

/* Takes the master's place: receives a channel and welcomes the handler, who closes it. */
static void usurp(void *unused) {
        const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const Endpoint *name = &inbox.address.inbox;
        int fds[FDPASS_MOST];
        FdpassNote note = {};

        (void)unused;
        assert_int_equal(bind(fd, &name->any, name->length), 0);
        assert_int_equal(fdpass_receive(fd, &note, fds, 0), 1);
        assert_int_equal(send(fds[0], "w", 1, MSG_NOSIGNAL), 1);
        peer_expect_end(fds[0]);
}

/* A handler gives nothing to a sibling that has the address of a master that is gone, and stores
 * what it has by itself. */
static void test_usurper(void **state) {
        pid_t usurper;

        (void)state;
        (void)expect_given(10, 0);
        inbox_deinit(&inbox);
        usurper = process_fork(usurp, NULL);
        process_wait_asleep(usurper);
        fork_handlers(give);
        expect_stored_by_handler();
        process_wait_exit(usurper, 0);
}

/* Sends @size bytes of @text with @n descriptors to the master's inbox. Returns 0 or a negative
 * errno. */
static int inbox_send_text(const void *text, size_t size, const int *fds, size_t n) {
        const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const int r = fdpass_send(fd, &inbox.address.inbox, text, size, fds, n, MSG_DONTWAIT);

        close(fd);
        return r;
}

/* Sends them with the key of handlers. */
static int inbox_send(const int *fds, size_t n) {
        const uint64_t key = htobe64(inbox.address.key);

        return inbox_send_text(&key, sizeof key, fds, n);
}

/* Opens a channel as a handler does. Returns the handler's end, or a negative errno. */
static int channel_try_open(void) {
        int ends[2], r;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        r = inbox_send(&ends[1], 1);
        close(ends[1]);
        if (r == 0)
                return ends[0];
        close(ends[0]);
        return r;
}

static int channel_open(void) {
        const int fd = channel_try_open();

        assert_true(fd >= 0);
        return fd;
}

static void knock_and_leave(void) {
        close(channel_open());
}

static void expect_welcome(int fd) {
        char answer = 0;

        assert_int_equal(recv(fd, &answer, sizeof answer, MSG_DONTWAIT), 1);
        assert_int_equal(answer, 'w');
}

static void ignore(int signal) {
        (void)signal;
}

static void give_interrupted(void *one_given) {
        /* No SA_RESTART, as in a handler. */
        assert_int_equal(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = ignore }, NULL), 0);
        give(one_given);
}

/* A signal that comes while the master's inbox is full does not keep a handler from it: thousands
 * would speak to systemd otherwise. */
static void test_interrupted(void **state) {
        int fd;

        (void)state;
        while ((fd = channel_try_open()) >= 0)
                close(fd);
        assert_int_equal(fd, -EAGAIN);
        (void)expect_given(0, -ECANCELED);
        fork_handlers(give_interrupted);
        process_wait_asleep(given[0].handler);
        assert_int_equal(kill(given[0].handler, SIGUSR1), 0);
        process_wait_asleep(given[0].handler);
        while (inbox.n == 0)
                inbox_take(&inbox, true, NOW);
        process_wait_asleep(given[0].handler);
        turn(&inbox, false, NOW);
        wait_for_handlers();
}

static in_port_t port_of(const Given *one) {
        return (in_port_t)(one->answer == 0 ? 40000 : 40001);
}

static void announce_peer(void *one_given) {
        const Given *one = one_given;
        const Address peer = { .family = AF_INET, .port = port_of(one) };

        close(inbox.fd);
        close(inbox.socket);
        assert_int_equal(handover_announce(&inbox.address, &peer), one->answer);
}

/* The handler of a silent connection announces its peer and gets the master's answer, whether the
 * master stops or not. Nothing is stored, and no channel stays open. */
static void test_announced(void **state) {
        (void)state;
        for (size_t i = 0; i < 4; i++) {
                expect_given(0, i % 2 == 0 ? 0 : -ECANCELED)->announces = true;
                fork_handlers(announce_peer);
                process_wait_asleep(given[i].handler);
                inbox_take(&inbox, i < 2, NOW);
                process_wait_asleep(given[i].handler);
                assert_int_equal(turn(&inbox, i < 2, NOW), 0);
                process_wait_exit(given[i].handler, 0);
                assert_int_equal(given[i].announced, port_of(&given[i]));
                assert_false(given[i].stored);
                assert_false(is_readable());
                assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        }
        manager_expect_none(&manager);
}

static void announce_and_give(void *one_given) {
        const Given *one = one_given;
        const Address peer = { .family = AF_INET, .port = port_of(one) };

        assert_int_equal(handover_announce(&inbox.address, &peer), 0);
        give(one_given);
}

/* The master that serves an announced peer, and then stops. */
static void serve_and_stop(void *unused) {
        (void)unused;
        inbox.address.master = getpid();
        welcome(announce_and_give);
        while (turn(&inbox, true, NOW) == 0)
                wait_for_sleep();
        wait_for_handlers();
}

/* A handler that has announced its peer can still hand its connection over. */
static void test_announced_then_given(void **state) {
        pid_t master;

        (void)state;
        expect_given(10, 0)->announces = true;
        master = process_fork(serve_and_stop, NULL);
        manager_expect_bundle(&manager, NAME, 2);
        expect_connections(0);
        manager_expect_barrier(&manager);
        process_wait_exit(master, 0);
}

/* Only the handler of a silent connection can announce: another one gets no answer. So does one
 * that sends more or less than an address. */
static void test_announced_wrongly(void **state) {
        static const char wrong[sizeof(Address) + 1];
        int fd;

        (void)state;
        admits_all = true;
        expect_given(0, 0)->handler = getpid();
        for (size_t size = 1; size <= sizeof wrong; size++) {
                given[0].announces = size != sizeof(Address);
                fd = channel_open();
                assert_int_equal(send(fd, wrong, size, 0), size);
                turn(&inbox, false, NOW);
                expect_welcome(fd);
                peer_expect_end(fd);
                close(fd);
                assert_int_equal(inbox.n, 0);
        }
        given[0].handler = 0;
}

/* At rest nothing is due. */
static void test_rest(void **state) {
        (void)state;
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        assert_false(is_readable());
        assert_int_equal(turn(&inbox, false, NOW), 0);
        assert_int_equal(turn(&inbox, true, NOW), 0);
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        assert_false(is_readable());
}

static void lack_room(void *unused) {
        const InboxMaster master = inbox.master;
        const int next = dup(STDIN_FILENO);
        Inbox other;

        (void)unused;
        close(next);
        process_set_limit(RLIMIT_FSIZE, 4);
        assert_int_equal(handover_give(&inbox.address, STDIN_FILENO, "12345", 5), -ENOSPC);
        for (rlim_t room = 0; room < 2; room++) {
                process_set_limit(RLIMIT_NOFILE, (rlim_t)next + room);
                assert_int_equal(inbox_init(&other, RUN, &master), -EMFILE);
                inbox_deinit(&other);
                assert_int_equal(handover_give(&inbox.address, STDIN_FILENO, "x", room), -EMFILE);
        }
        assert_int_equal(dup(STDIN_FILENO), next);
}

/* Without descriptors no master listens and no handler gives anything away. Without memory for its
 * unsent bytes no handler gives away the connection. Nothing stays open. */
static void test_no_room(void **state) {
        (void)state;
        process_run(lack_room, NULL);
}

/* A master that the kernel refuses a key, a filter, an address or the polling of it does not start,
 * and nothing stays open. */
static void test_not_started(void **state) {
        CallFault *const faults[] = { &getrandom_fault, &filter_fault, &bind_fault,
                                      &getsockname_fault, &epoll_ctl_fault };
        const InboxMaster master = inbox.master;
        const int lowest = dup(STDIN_FILENO);
        Inbox other;
        int next;

        (void)state;
        close(lowest);
        for (size_t i = 0; i < COUNT(faults); i++) {
                *faults[i] = (CallFault){ .error = ENOBUFS, .times = 1 };
                assert_int_equal(inbox_init(&other, RUN, &master), -ENOBUFS);
                inbox_deinit(&other);
                next = dup(STDIN_FILENO);
                close(next);
                assert_int_equal(next, lowest);
        }
}

/* When the master cannot poll the channel of a handler, it takes none for a second. */
static void test_unpolled(void **state) {
        const int fd = channel_open();

        (void)state;
        admits_all = true;
        epoll_ctl_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        turn(&inbox, false, NOW);
        assert_int_equal(epoll_ctl_fault.times, 0);
        peer_expect_end(fd);
        close(fd);
        assert_int_equal(inbox.n, 0);
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);
}

/* A process of another user is a stranger, whatever its process ID. */
static void test_other_user(void **state) {
        const int fd = channel_open();

        (void)state;
        admits_all = true;
        other_user = 1;
        turn(&inbox, false, NOW);
        other_user = 0;
        peer_expect_end(fd);
        close(fd);
        assert_int_equal(inbox.n, 0);
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);
}

/* A message without the whole key never comes to the master, and neither do its descriptors: the
 * master cannot close them all (FUSE). The sender does not learn that. */
static void test_without_key(void **state) {
        const uint64_t key = htobe64(inbox.address.key);
        char text[sizeof key + 1] = "";
        int pair[2];

        (void)state;
        admits_all = true;
        for (size_t size = 1; size <= sizeof text; size++)
                for (size_t wrong = 0; wrong < size && wrong < sizeof key; wrong++) {
                        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
                        memcpy(text, &key, sizeof key);
                        if (size >= sizeof key)
                                text[wrong] ^= 0x10;
                        assert_int_equal(inbox_send_text(text, size, &pair[1], 1), 0);
                        close(pair[1]);
                        peer_expect_end(pair[0]);
                        close(pair[0]);
                        assert_false(is_readable());
                }
        assert_int_equal(turn(&inbox, false, NOW), 0);
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
}

/* When the kernel refuses to stop the polling of the inbox, the next turn tries again. */
static void test_still_polled(void **state) {
        (void)state;
        close(channel_open());
        epoll_ctl_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        turn(&inbox, false, NOW);
        close(channel_open());
        assert_true(is_readable());
        turn(&inbox, false, NOW);
        assert_false(is_readable());
}

static void give_with_signals(void *one_given) {
        interruptions = 2;
        give(one_given);
        assert_int_equal(interruptions, 0);
}

/* Signals while it waits for the answer do not keep a handler from it. */
static void test_signals(void **state) {
        (void)state;
        (void)expect_given(0, -ECANCELED);
        welcome(give_with_signals);
        turn(&inbox, false, NOW);
        wait_for_handlers();
}

/* A master without an inbox has nothing to do. */
static void test_no_inbox(void **state) {
        Inbox other = { .fd = -1, .socket = -1 };

        (void)state;
        inbox_take(&other, true, NOW);
        inbox_settle(&other, true, NOW);
        assert_true(inbox_deadline(&other) == CLOCK_NEVER);
        inbox_deinit(&other);
}

/* After a process that is no handler the master takes no channel for a second, in which it
 * sleeps. */
static void test_stranger(void **state) {
        const uint64_t end = NOW + CLOCK_SECOND;
        int fd = channel_open(), next;

        (void)state;
        turn(&inbox, false, NOW);
        peer_expect_end(fd);
        close(fd);
        assert_true(inbox_deadline(&inbox) == end);
        admits_all = true;
        next = channel_open();
        assert_false(is_readable());
        turn(&inbox, false, end - 1);
        assert_int_equal(inbox.n, 0);
        assert_true(inbox_deadline(&inbox) == end);
        turn(&inbox, false, end);
        assert_int_equal(inbox.n, 1);
        assert_true(inbox_deadline(&inbox) == end + CLOCK_SECOND);
        close(next);
}

/* A master that stops does not pause: handlers wait for it. */
static void test_stranger_at_stop(void **state) {
        int fds[2];

        (void)state;
        fds[0] = channel_open();
        turn(&inbox, false, NOW);
        fds[1] = channel_open();
        assert_false(is_readable());
        turn(&inbox, true, NOW);
        for (size_t i = 0; i < COUNT(fds); i++) {
                peer_expect_end(fds[i]);
                close(fds[i]);
        }
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
}

/* A handler does not wait for the pauses after those who came before it: there is one pause, after
 * all of them. */
static void test_behind_strangers(void **state) {
        (void)state;
        expect_given(0, 0)->announces = true;
        for (int i = 0; i < 5; i++)
                knock_and_leave();
        welcome(announce_peer);
        turn(&inbox, false, NOW);
        assert_int_equal(given[0].announced, port_of(&given[0]));
        wait_for_handlers();
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);
        assert_false(is_readable());
}

/* Strangers without end do not keep a master in its turn. */
static void test_strangers_without_end(void **state) {
        (void)state;
        /* Until they are discarded, their channels are open. */
        process_set_limit(RLIMIT_NOFILE, (rlim_t)2 * DISCARD_MOST);
        strangers = INT_MAX;
        turn(&inbox, false, NOW);
        assert_true(strangers < INT_MAX);
        strangers = 0;
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);
}

static void open_without_descriptors(void *unused) {
        const int fd = channel_open(), next = dup(STDIN_FILENO);

        (void)unused;
        close(next);
        admits_all = true;
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next);
        turn(&inbox, false, NOW);
        peer_expect_end(fd);
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);
        close(fd);
}

/* Without a descriptor for a channel the master closes it, and sleeps for a second. */
static void test_no_descriptor(void **state) {
        (void)state;
        process_run(open_without_descriptors, NULL);
}

/* What is in the inbox and is no channel, though it comes from a handler, is closed. The master
 * kills that handler, so there is no pause. */
static void test_no_channel(void **state) {
        const int lowest = dup(STDIN_FILENO);
        int pair[2], local[2], next;

        (void)state;
        admits_all = true;
        close(lowest);
        peer_pair_tcp(pair);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, local), 0);
        for (int i = 0; i < 5; i++) {
                const int cases[][2] = {
                        { pair[0] }, { local[0] }, { STDIN_FILENO }, { local[0], local[1] }, {}
                };
                const size_t n[] = { 1, 1, 1, 2, 0 };

                assert_int_equal(inbox_send(cases[i], n[i]), 0);
                turn(&inbox, false, NOW);
                assert_int_equal(inbox.n, 0);
                assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        }
        for (int i = 0; i < 2; i++) {
                close(pair[i]);
                close(local[i]);
        }
        next = dup(STDIN_FILENO);
        assert_int_equal(next, lowest);
        close(next);
}

/* Opens a second channel; only the first one stays. */
static void open_two(void *unused) {
        int first = channel_open(), second = channel_open();

        (void)unused;
        peer_expect_end(second);
        expect_welcome(first);
        assert_int_equal(recv(first, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
}

/* Each handler has one channel. */
static void test_second_channel(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        fork_handlers(open_two);
        process_wait_asleep(given[0].handler);
        turn(&inbox, true, NOW);
        wait_for_handlers();
}

/* A channel that stays silent is closed after a second, and not before. */
static void test_silent(void **state) {
        int fd = channel_open();

        (void)state;
        admits_all = true;
        turn(&inbox, true, NOW);
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);
        assert_false(is_readable());
        turn(&inbox, true, NOW + CLOCK_SECOND - 1);
        assert_int_equal(inbox.n, 1);
        turn(&inbox, true, NOW + CLOCK_SECOND);
        assert_int_equal(inbox.n, 0);
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        expect_welcome(fd);
        peer_expect_end(fd);
        close(fd);
}

/* A channel whose handler has ended is closed at once. */
static void test_ended(void **state) {
        int fd = channel_open();

        (void)state;
        admits_all = true;
        turn(&inbox, true, NOW);
        assert_int_equal(inbox.n, 1);
        close(fd);
        assert_true(is_readable());
        turn(&inbox, true, NOW);
        assert_int_equal(inbox.n, 0);
        assert_false(is_readable());
}

/* Sends @n descriptors as the handler of the first connection would: with the master stopping,
 * nothing is stored, and the channel is closed without an answer. */
static void expect_refused(const int *fds, size_t n) {
        const int lowest = dup(STDIN_FILENO);
        int fd, next;

        close(lowest);
        fd = channel_open();
        admits_all = true;
        given[0].handler = getpid();
        assert_int_equal(fdpass_send(fd, NULL, "x", 1, fds, n, 0), 0);
        assert_int_equal(turn(&inbox, true, NOW), 0);
        assert_int_equal(inbox.n, 0);
        assert_false(given[0].stored);
        expect_welcome(fd);
        assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT), 0);
        close(fd);
        manager_expect_none(&manager);
        next = dup(STDIN_FILENO);
        assert_int_equal(next, lowest);
        close(next);
}

/* No handler can hand over another's connection, something else, nothing, or more than there is. */
static void test_refused(void **state) {
        int pair[2], unsent = unsent_new("x", 1);

        (void)state;
        (void)expect_given(0, 0);
        peer_pair_tcp(pair);
        expect_refused(NULL, 0);
        expect_refused(&pair[1], 1);
        expect_refused(&unsent, 1);
        expect_refused((int[]){ unsent, given[0].pair[1] }, 2);
        expect_refused((int[]){ given[0].pair[1], unsent, unsent }, 3);
        close(pair[0]);
        close(pair[1]);
        close(unsent);
}

/* A second connection in place of unsent bytes would be served by the next master. */
static void test_connection_as_unsent(void **state) {
        int pair[2];

        (void)state;
        (void)expect_given(0, 0);
        peer_pair_tcp(pair);
        expect_refused((int[]){ given[0].pair[1], pair[1] }, 2);
        close(pair[0]);
        close(pair[1]);
}

/* When there are as many channels as a bundle has room for, the master sleeps, and takes more once
 * there are fewer. */
static void test_full(void **state) {
        int fds[INBOX_MOST], more;

        (void)state;
        admits_all = true;
        for (size_t i = 0; i < COUNT(fds); i++) {
                fds[i] = channel_open();
                turn(&inbox, false, NOW);
        }
        more = channel_open();
        turn(&inbox, false, NOW);
        assert_int_equal(inbox.n, INBOX_MOST);
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == NOW + CLOCK_SECOND);

        close(fds[0]);
        assert_true(is_readable());
        turn(&inbox, false, NOW);
        assert_int_equal(inbox.n, INBOX_MOST - 1);
        assert_true(is_readable());
        turn(&inbox, false, NOW);
        assert_int_equal(inbox.n, INBOX_MOST);
        assert_false(is_readable());
        for (size_t i = 1; i < COUNT(fds); i++)
                close(fds[i]);
        close(more);
}

/* All channels can end in the turn that took them; the next handler is not forgotten. */
static void test_full_and_empty(void **state) {
        int more;

        (void)state;
        admits_all = true;
        strangers = INBOX_MOST;
        turn(&inbox, false, NOW);
        assert_int_equal(inbox.n, 0);
        assert_int_equal(strangers, 0);
        more = channel_open();
        assert_true(is_readable());
        turn(&inbox, false, NOW);
        assert_int_equal(inbox.n, 1);
        close(more);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_stored),
                TEST(test_several),
                TEST(test_whole_buffer),
                TEST(test_announced),
                TEST(test_announced_then_given),
                TEST(test_announced_wrongly),
                TEST(test_declined),
                TEST(test_no_manager),
                TEST(test_no_master),
                TEST(test_master_ends),
                TEST(test_master_ends_later),
                TEST(test_master_hangs),
                TEST(test_nobody),
                TEST(test_usurper),
                TEST(test_interrupted),
                TEST(test_rest),
                TEST(test_no_room),
                TEST(test_not_started),
                TEST(test_unpolled),
                TEST(test_still_polled),
                TEST(test_signals),
                TEST(test_no_inbox),
                TEST(test_stranger),
                TEST(test_other_user),
                TEST(test_without_key),
                TEST(test_stranger_at_stop),
                TEST(test_behind_strangers),
                TEST(test_strangers_without_end),
                TEST(test_no_descriptor),
                TEST(test_no_channel),
                TEST(test_second_channel),
                TEST(test_silent),
                TEST(test_ended),
                TEST(test_refused),
                TEST(test_connection_as_unsent),
                TEST(test_full),
                TEST(test_full_and_empty),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
