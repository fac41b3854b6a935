/* SPDX-License-Identifier: MIT */
/* A connection given away, by handler and inbox: handlers are processes, and the test is the
 * service manager and the keeper. The master is the test where it stores nothing, and else a
 * process that has an inbox of its own. */

#include "restart/handover.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
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
#include "restart/inbox.h"
#include "restart/unsent.h"
#include "unit.h"

#define RUN  7
#define NAME "mpecho-connection.7"

enum {
        MOST = 5, /* handlers */
        NOW = 1000,
};

/* How long the master takes no channel after it lacked something. */
#define PAUSE (10 * CLOCK_MILLISECOND)

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
static int keeper; /* where handlers open channels to it; -1 without one */
static Given given[MOST];
static size_t n_given, n_forked;
static bool admits_all; /* any process is a handler, any number of times */
static char data[256 * 1024];

FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))
FAULT(int, bind, bind, (int fd, const struct sockaddr *name, socklen_t length), (fd, name, length))
FAULT(int, listen, listen, (int fd, int backlog), (fd, backlog))
FAULT(int, connect, connect, (int fd, const struct sockaddr *name, socklen_t length),
      (fd, name, length))
FAULT(int, getsockname, getsockname, (int fd, struct sockaddr *name, socklen_t *length),
      (fd, name, length))
FAULT(int, epoll_create1, epoll_create1, (int flags), (flags))
FAULT(int, epoll_ctl, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
      (epoll, operation, fd, event))
FAULT(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *message, int flags),
      (fd, message, flags))
FAULT(ssize_t, recv, recv, (int fd, void *buffer, size_t size, int flags),
      (fd, buffer, size, flags))

/* Processes that open a channel and close it, one each time the master looks into its inbox. */
static int strangers;

static void knock_and_leave(void);

/* In place of the C library's. */
int accept4(int fd, struct sockaddr *name, socklen_t *length, int flags) {
        static int (*real)(int, struct sockaddr *, socklen_t *, int);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "accept4");
        if (strangers > 0 && fd == inbox.socket) {
                strangers--;
                knock_and_leave();
        }
        return real(fd, name, length, flags);
}

/* Another user ID than that of whoever connects; 0 for the same. */
static uid_t other_user;

/* In place of the C library's. */
uid_t geteuid(void) {
        return getuid() + other_user;
}

/* Whether handlers take a master that does not answer at once for hung. */
static bool hurried;

/* In place of the C library's: handlers do not take a master for hung that has to wait for a
 * processor. They wait for 5 seconds for the master, and for 25 for the keeper. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
        static int (*real)(int, int, int, const void *, socklen_t);
        struct timeval time;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "setsockopt");
        if (level != SOL_SOCKET || (option != SO_RCVTIMEO && option != SO_SNDTIMEO))
                return real(fd, level, option, value, size);
        memcpy(&time, value, sizeof time);
        assert_true(time.tv_sec == 5 || time.tv_sec == 25);
        if (hurried && time.tv_sec == 5)
                time = (struct timeval){ .tv_usec = 1 };
        time.tv_sec *= PATIENCE_SECONDS;
        return real(fd, level, option, &time, sizeof time);
}

static Given *find_given(pid_t handler) {
        for (size_t i = 0; i < n_given; i++)
                if (given[i].handler == handler)
                        return &given[i];
        return NULL;
}

static int admit(void *unused, pid_t handler) {
        Given *one = find_given(handler);

        (void)unused;
        if (!admits_all && one == NULL)
                return -ESRCH;
        if (!admits_all && one->channel_used)
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

static void inbox_begin(void) {
        const InboxMaster master = { .admit = admit,
                                     .serves = serves,
                                     .note_stored = note_stored,
                                     .awaits = awaits,
                                     .announce = announce };

        assert_int_equal(inbox_init(&inbox, RUN, &master), 0);
}

static int set_up(void **state) {
        (void)state;
        manager_start(&manager);
        n_given = n_forked = 0;
        admits_all = hurried = false;
        strangers = 0;
        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char)peer_pattern(i);
        inbox_begin();
        keeper = handover_listen(&inbox.address.keeper);
        return keeper < 0 ? keeper : 0;
}

static int tear_down(void **state) {
        (void)state;
        inbox_deinit(&inbox);
        if (keeper >= 0)
                close(keeper);
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
        close(keeper);
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

/* Returns the descriptor that is free next: a higher one where one was forgotten. */
static int next_descriptor(void) {
        const int fd = dup(STDIN_FILENO);

        close(fd);
        return fd;
}

/* The master that is stopping, in a process of its own: all handlers have given before it looks. It
 * keeps no descriptor. */
static void stop_all(void *unused) {
        int before;

        (void)unused;
        inbox_deinit(&inbox);
        inbox_begin();
        before = process_count_descriptors();
        welcome(give);
        assert_int_equal(turn(&inbox, true, NOW), n_given);
        assert_int_equal(turn(&inbox, true, NOW), 0);
        for (size_t i = 0; i < n_given; i++)
                assert_true(given[i].stored);
        wait_for_handlers();
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == CLOCK_NEVER);
        /* But for the one to the manager. */
        assert_int_equal(process_count_descriptors(), before + 1);
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

/* The keeper: takes the next connection from its handler, which it answers. */
static void keep(void) {
        FdpassNote note = {};
        Given *one;
        pid_t handler;
        int channel, n;

        peer_wait_readable(keeper);
        channel = handover_accept(keeper, &handler);
        assert_true(channel >= 0);
        one = find_given(handler);
        assert_non_null(one);
        handover_welcome(channel);
        manager_forget(&manager);
        n = fdpass_receive(channel, &note, manager.fds, 0);
        assert_int_equal(n, one->unsent > 0 ? 2 : 1);
        manager.n_fds = (size_t)n;
        expect_connections(n_given - 1);
        process_wait_asleep(handler);
        assert_int_equal(process_status(handler, "State")[0], 'S');
        handover_answer(channel, HANDOVER_STORED);
        close(channel);
        process_wait_exit(handler, 0);
        manager_expect_none(&manager);
}

/* A master that cannot store leaves its handlers without an answer: they give what they have to the
 * keeper. */
static void test_no_manager(void **state) {
        (void)state;
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        (void)expect_given(10, 0);
        welcome(give);
        assert_int_equal(turn(&inbox, true, NOW), 0);
        assert_int_equal(inbox.n, 0);
        keep();
        assert_false(given[0].stored);
}

/* So do handlers whose master is gone. */
static void test_no_master(void **state) {
        (void)state;
        (void)expect_given(100, 0);
        inbox_deinit(&inbox);
        fork_handlers(give);
        keep();
}

/* And one whose master ends while it waits to be welcome. */
static void test_master_ends(void **state) {
        (void)state;
        (void)expect_given(0, 0);
        fork_handlers(give);
        process_wait_asleep(given[0].handler);
        inbox_deinit(&inbox);
        keep();
}

/* Or for the answer. */
static void test_master_ends_later(void **state) {
        (void)state;
        (void)expect_given(10, 0);
        welcome(give);
        inbox_deinit(&inbox);
        keep();
}

/* And one whose master hangs. */
static void test_master_hangs(void **state) {
        (void)state;
        hurried = true;
        (void)expect_given(0, 0);
        fork_handlers(give);
        keep();
}

static void give_at_second_try(void *one_given) {
        sendmsg_fault = (CallFault){ .error = ETOOMANYREFS, .times = 1 };
        give(one_given);
        assert_int_equal(sendmsg_fault.times, 0);
}

/* And those that could not send it to their master. */
static void test_not_sent(void **state) {
        (void)state;
        (void)expect_given(10, 0);
        welcome(give_at_second_try);
        keep();
}

/* With neither a master nor a keeper, giving fails. */
static void test_nobody(void **state) {
        (void)state;
        inbox_deinit(&inbox);
        close(keeper);
        keeper = -1;
        (void)expect_given(0, -ECONNREFUSED);
        (void)expect_given(10, -ECONNREFUSED);
        fork_handlers(give);
        wait_for_handlers();
        inbox.address.keeper.length = 0;
        (void)expect_given(10, -EINVAL);
        fork_handlers(give);
        process_wait_exit(given[2].handler, 0);
}

/* Takes the place of who had the address @name: welcomes the next handler, who sends nothing. */
static void usurp(void *name) {
        const Endpoint *address = name;
        const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        int channel;

        assert_int_equal(bind(fd, &address->any, address->length), 0);
        assert_int_equal(listen(fd, 1), 0);
        channel = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(channel >= 0);
        (void)send(channel, "w", 1, MSG_NOSIGNAL);
        assert_true(recv(channel, &(char){ 0 }, 1, 0) <= 0);
}

static pid_t start_usurper(Endpoint *address) {
        const pid_t usurper = process_fork(usurp, address);

        process_wait_asleep(usurper);
        return usurper;
}

/* A handler gives nothing to a sibling that has the address of a master that is gone, but to the
 * keeper. */
static void test_usurper(void **state) {
        pid_t usurper;

        (void)state;
        (void)expect_given(10, 0);
        inbox_deinit(&inbox);
        usurper = start_usurper(&inbox.address.inbox);
        fork_handlers(give);
        keep();
        process_wait_exit(usurper, 0);
}

/* Nor to one that has the address of the keeper. */
static void test_usurped_keeper(void **state) {
        pid_t usurper;

        (void)state;
        (void)expect_given(10, -EPERM);
        inbox_deinit(&inbox);
        close(keeper);
        keeper = -1;
        usurper = start_usurper(&inbox.address.keeper);
        fork_handlers(give);
        wait_for_handlers();
        process_wait_exit(usurper, 0);
}

static void give_to_other_user(void *one_given) {
        other_user = 1;
        give(one_given);
}

/* Nor to a process of another user, though it has the master's process ID. */
static void test_usurper_of_other_user(void **state) {
        (void)state;
        (void)expect_given(10, -EPERM);
        admits_all = true;
        fork_handlers(give_to_other_user);
        wait_for_handlers();
}

/* Opens a channel as a handler does. Returns the handler's end, or a negative errno. */
static int channel_try_open(void) {
        const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const Endpoint *name = &inbox.address.inbox;
        int error;

        if (connect(fd, &name->any, name->length) == 0)
                return fd;
        error = errno;
        close(fd);
        return -error;
}

static int channel_open(void) {
        const int fd = channel_try_open();

        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
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

/* Opens channels until the master's inbox has room for no more. */
static void fill_inbox(void) {
        int fd;

        while ((fd = channel_try_open()) >= 0)
                close(fd);
        assert_int_equal(fd, -EAGAIN);
}

/* A handler waits while the inbox is full. A signal that comes meanwhile does not keep it from its
 * master: thousands would go to the keeper otherwise. */
static void test_interrupted(void **state) {
        (void)state;
        fill_inbox();
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

/* For a master whose inbox stays full, a handler does not wait for ever. */
static void test_full_inbox(void **state) {
        (void)state;
        fill_inbox();
        hurried = true;
        (void)expect_given(0, 0);
        fork_handlers(give);
        keep();
}

static in_port_t port_of(const Given *one) {
        return (in_port_t)(one->answer == 0 ? 40000 : 40001);
}

static void announce_peer(void *one_given) {
        const Given *one = one_given;
        const Address peer = { .family = AF_INET, .port = port_of(one) };

        close(inbox.fd);
        close(inbox.socket);
        close(keeper);
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
        inbox_deinit(&inbox);
        inbox_begin();
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
        const int next = next_descriptor();
        Inbox other;

        (void)unused;
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

/* A master that the kernel refuses a socket, an address or the polling of it does not start, and
 * nothing stays open. */
static void test_not_started(void **state) {
        CallFault *const faults[] = { &socket_fault,      &bind_fault,          &listen_fault,
                                      &getsockname_fault, &epoll_create1_fault, &epoll_ctl_fault };
        const InboxMaster master = inbox.master;
        const int lowest = next_descriptor();
        Inbox other;

        (void)state;
        for (size_t i = 0; i < COUNT(faults); i++) {
                *faults[i] = (CallFault){ .error = ENOBUFS, .times = 1 };
                assert_int_equal(inbox_init(&other, RUN, &master), -ENOBUFS);
                assert_int_equal(faults[i]->times, 0);
                inbox_deinit(&other);
                assert_int_equal(next_descriptor(), lowest);
        }
}

/* When the master cannot poll the channel of a handler, it closes that, and pauses. */
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
        assert_false(is_readable());
        assert_true(inbox_deadline(&inbox) == NOW + PAUSE);
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
        connect_fault = recv_fault = (CallFault){ .error = EINTR, .times = 2 };
        give(one_given);
        assert_int_equal(connect_fault.times, 0);
        assert_int_equal(recv_fault.times, 0);
}

/* Signals while it connects and waits for the answer do not keep a handler from it. */
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

/* A master that stops does not pause for strangers, and ends a pause soon: handlers wait for it. */
static void test_stranger_at_stop(void **state) {
        int fds[2];

        (void)state;
        fds[0] = channel_open();
        turn(&inbox, false, NOW);
        fds[1] = channel_open();
        assert_false(is_readable());
        turn(&inbox, true, NOW);
        assert_true(inbox_deadline(&inbox) == NOW + PAUSE);
        turn(&inbox, true, NOW + PAUSE);
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
        const int fd = channel_open();
        uint64_t now = NOW;
        int next;

        (void)unused;
        admits_all = true;
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next_descriptor());
        for (int i = 0; i < 9; i++) {
                const uint64_t pause = clock_earlier(PAUSE << i, CLOCK_SECOND);

                turn(&inbox, false, now);
                assert_false(is_readable());
                assert_true(inbox_deadline(&inbox) == now + pause);
                turn(&inbox, false, now + pause - 1);
                assert_false(is_readable());
                assert_true(inbox_deadline(&inbox) == now + pause);
                now += pause;
        }
        /* Of a second, it waits for hardly anything once it stops. */
        turn(&inbox, true, now);
        assert_true(inbox_deadline(&inbox) == now + PAUSE);
        now += PAUSE;
        process_set_limit(RLIMIT_NOFILE, RLIM_INFINITY);
        turn(&inbox, false, now);
        expect_welcome(fd);
        assert_int_equal(inbox.n, 1);
        assert_true(inbox_deadline(&inbox) == now + CLOCK_SECOND);
        close(fd);
        turn(&inbox, false, now);
        next = channel_open();
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next_descriptor());
        turn(&inbox, false, now);
        assert_true(inbox_deadline(&inbox) == now + PAUSE);
        close(next);
}

/* Without a descriptor for a channel the master leaves that where it is, and sleeps for 10 ms,
 * twice as long each time, up to a second. It takes the channel once there is one, and begins anew.
 */
static void test_no_descriptor(void **state) {
        (void)state;
        process_run(open_without_descriptors, NULL);
}

/* Until it is welcome, a handler cannot send descriptors, where the kernel can refuse them: their
 * owners could make the master wait. Where the kernel cannot, the master closes that channel. */
static void test_not_welcome(void **state) {
        const int null = STDIN_FILENO, fd = channel_open();
        int value;
        bool refused;

        (void)state;
        admits_all = true;
        refused = getsockopt(fd, SOL_SOCKET, OPTION_PASSRIGHTS, &value,
                             &(socklen_t){ sizeof value }) == 0;
        assert_int_equal(fdpass_send(fd, NULL, "x", 1, &null, 1, 0), refused ? -EPERM : 0);
        turn(&inbox, false, NOW);
        expect_welcome(fd);
        if (refused)
                assert_int_equal(fdpass_send(fd, NULL, "x", 1, &null, 1, 0), 0);
        else
                peer_expect_end(fd);
        assert_int_equal(inbox.n, refused ? 1 : 0);
        close(fd);
}

static void end_with_message(void *unused) {
        const int fd = channel_open();
        int status = 0;

        (void)unused;
        assert_int_equal(send(fd, "x", 1, 0), 1);
        assert_int_equal(inbox.n, 0);
        inbox_deinit(&inbox);
        peer_expect_reset(fd);
        assert_true(waitpid(-1, &status, 0) > 0);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_int_equal(waitpid(-1, &status, 0), -1);
}

/* A child closes the channels that still wait when the master ends: the close(2) of what came
 * through them may take long. */
static void test_waiting_at_the_end(void **state) {
        (void)state;
        process_run(end_with_message, NULL);
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
        const int lowest = next_descriptor();
        int fd;

        fd = channel_open();
        admits_all = true;
        given[0].handler = getpid();
        turn(&inbox, true, NOW);
        expect_welcome(fd);
        assert_int_equal(fdpass_send(fd, NULL, "x", 1, fds, n, 0), 0);
        assert_int_equal(turn(&inbox, true, NOW), 0);
        assert_int_equal(inbox.n, 0);
        assert_false(given[0].stored);
        assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT), 0);
        close(fd);
        manager_expect_none(&manager);
        assert_int_equal(next_descriptor(), lowest);
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
                TEST(test_not_sent),
                TEST(test_nobody),
                TEST(test_usurper),
                TEST(test_usurped_keeper),
                TEST(test_usurper_of_other_user),
                TEST(test_interrupted),
                TEST(test_full_inbox),
                TEST(test_rest),
                TEST(test_no_room),
                TEST(test_not_started),
                TEST(test_unpolled),
                TEST(test_still_polled),
                TEST(test_signals),
                TEST(test_no_inbox),
                TEST(test_stranger),
                TEST(test_other_user),
                TEST(test_stranger_at_stop),
                TEST(test_behind_strangers),
                TEST(test_strangers_without_end),
                TEST(test_no_descriptor),
                TEST(test_not_welcome),
                TEST(test_waiting_at_the_end),
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
