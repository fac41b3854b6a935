/* SPDX-License-Identifier: MIT */
/* What a sandbox leaves to handlers of sockets, and of signals to the keeper. */

#include "handler/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "process.h"
#include "restart/handover.h"
#include "unit.h"

/* Installs a filter that refuses nothing, as of a sandbox, and confines this process. */
static void enter_sandbox(pid_t keeper) {
        struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        const struct sock_fprog program = { .len = 1, .filter = &allow };

        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
        confine_children(keeper);
}

static void refuse_datagrams(void *unused) {
        static const int refused[] = { SOCK_DGRAM, SOCK_RAW, SOCK_DCCP, SOCK_PACKET };
        static const unsigned long flags[] = { 0, SOCK_CLOEXEC, SOCK_NONBLOCK, 1UL << 31 << 1 };
        int pair[2];

        (void)unused;
        enter_sandbox(0);
        for (size_t i = 0; i < COUNT(refused); i++)
                for (size_t k = 0; k < COUNT(flags); k++) {
                        const unsigned long type = (unsigned long)refused[i] | flags[k];

                        assert_int_equal(syscall(SYS_socket, AF_UNIX, type, 0), -1);
                        assert_int_equal(errno, EPERM);
                        assert_int_equal(syscall(SYS_socketpair, AF_UNIX, type, 0, pair), -1);
                        assert_int_equal(errno, EPERM);
                }
        assert_true(syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0) < 0);
        assert_int_equal(errno, EPERM);
}

static void allow_connections(void *unused) {
        static const int allowed[] = { SOCK_STREAM, SOCK_SEQPACKET };
        int pair[2];

        (void)unused;
        enter_sandbox(0);
        for (size_t i = 0; i < COUNT(allowed); i++) {
                assert_true(socket(AF_UNIX, allowed[i] | SOCK_CLOEXEC, 0) >= 0);
                assert_int_equal(socketpair(AF_UNIX, allowed[i] | SOCK_NONBLOCK, 0, pair), 0);
        }
}

static void share_port(void *unused) {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

        (void)unused;
        enter_sandbox(0);
        /* Not by the C library, which may have another call for it (socketcall(2)). */
        assert_int_equal(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off),
                         -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int)), 0);
}

/* A confined process cannot keep others from the port that its connection came in by. */
static void test_port(void **state) {
        (void)state;
        process_run(share_port, NULL);
}

/* Confined processes get no socket for datagrams, of whatever family, type and flags, but those for
 * connections. */
static void test_sockets(void **state) {
        (void)state;
        process_run(refuse_datagrams, NULL);
        process_run(allow_connections, NULL);
}

static int try_connect(int type, const void *address, size_t length) {
        const struct sockaddr *name = address;
        const int fd = socket(name->sa_family, type | SOCK_CLOEXEC, 0);
        const int r = (int)syscall(SYS_connect, fd, name, length) < 0 ? -errno : 0;

        close(fd);
        return r;
}

static void connect_all(void *unused) {
        const struct sockaddr_in ipv4 = { .sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6,
                                           .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/a/b/c/d" };
        Endpoint master;

        (void)unused;
        assert_true(handover_listen(&master) >= 0);
        assert_int_equal(master.length, HANDOVER_ADDRESS_SIZE);
        enter_sandbox(0);
        assert_int_equal(try_connect(SOCK_SEQPACKET, &master.any, master.length), 0);
        assert_int_equal(try_connect(SOCK_STREAM, &ipv4, sizeof ipv4), -EPERM);
        assert_int_equal(try_connect(SOCK_STREAM, &ipv6, sizeof ipv6), -EPERM);
        for (size_t length = 0; length <= sizeof local; length++)
                if (length > HANDOVER_ADDRESS_SIZE)
                        assert_int_equal(try_connect(SOCK_STREAM, &local, length), -EPERM);
                else
                        assert_int_not_equal(try_connect(SOCK_STREAM, &local, length), -EPERM);
        assert_int_equal(try_connect(SOCK_STREAM, &local, UINT32_MAX), -EPERM);
        assert_int_equal(try_connect(SOCK_STREAM, &ipv4, HANDOVER_ADDRESS_SIZE), -EINVAL);
        /* The short name of a socket in another directory. */
        assert_int_equal(chdir("/"), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(fchdir(STDIN_FILENO), -1);
        assert_int_equal(errno, EPERM);
}

/* They connect to the short addresses that masters have, and to no other: of a network, or of the
 * file of another service. */
static void test_connect(void **state) {
        (void)state;
        process_run(connect_all, NULL);
}

static void wait_for_ever(void *unused) {
        (void)unused;
        for (;;)
                (void)pause();
}

static void signal_keeper(void *keeper) {
        const pid_t pid = *(const pid_t *)keeper, other = getppid();

        enter_sandbox(pid);
        for (int number = 0; number <= SIGRTMAX; number++) {
                assert_int_equal(kill(pid, number), -1);
                assert_int_equal(errno, EPERM);
                assert_int_equal(tgkill(pid, pid, number), -1);
                assert_int_equal(errno, EPERM);
        }
        assert_int_equal(kill(other, 0), 0);
        assert_int_equal(tgkill(other, other, 0), 0);
}

/* They cannot signal the keeper; whom else they can signal is a matter of permissions. */
static void test_keeper(void **state) {
        pid_t keeper = process_fork(wait_for_ever, NULL);

        (void)state;
        process_run(signal_keeper, &keeper);
        assert_int_equal(kill(keeper, SIGKILL), 0);
        (void)process_wait(keeper);
}

static void leave_group(void *unused) {
        const pid_t group = getpgrp();

        (void)unused;
        enter_sandbox(0);
        assert_int_equal(setsid(), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(setpgid(0, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(getpgrp(), group);
}

/* They stay in the process group that the keeper kills. */
static void test_group(void **state) {
        (void)state;
        process_run(leave_group, NULL);
}

static void look_at_networks(void *unused) {
        static const unsigned long refused[] = { SIOCGIFNAME, SIOCGIFCONF, SIOCGIFADDR, SIOCGARP,
                                                 SIOCETHTOOL, SIOCSPGRP,   FIOSETOWN,   0x8bff };
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char data[256] = "";

        (void)unused;
        enter_sandbox(0);
        for (size_t i = 0; i < COUNT(refused); i++) {
                assert_int_equal(ioctl(fd, refused[i], data), -1);
                assert_int_equal(errno, EPERM);
        }
        assert_int_equal(ioctl(fd, FIONREAD, data), 0);
        assert_int_equal(ioctl(fd, SIOCOUTQ, data), 0);
}

/* A connection shows them no interface and no neighbour, but what waits in it. */
static void test_networks(void **state) {
        (void)state;
        process_run(look_at_networks, NULL);
}

static void undress(void *unused) {
        (void)unused;
        assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
        enter_sandbox(0);
        assert_int_equal(prctl(PR_SET_DUMPABLE, 1), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
        assert_int_equal(prctl(PR_SET_NAME, "confined"), 0);
}

/* They cannot let others read their memory, nor write to their own files in /proc. */
static void test_dumpable(void **state) {
        (void)state;
        process_run(undress, NULL);
}

static void watch_files(void *unused) {
        const int before = epoll_create1(EPOLL_CLOEXEC);
        const int watched = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct epoll_event event = { .events = EPOLLIN };

        (void)unused;
        assert_true(before >= 0);
        enter_sandbox(0);
        assert_int_equal(epoll_create1(EPOLL_CLOEXEC), -1);
        assert_int_equal(errno, EPERM);
#ifdef SYS_epoll_create
        assert_int_equal(syscall(SYS_epoll_create, 1), -1);
        assert_int_equal(errno, EPERM);
#endif
        /* A socket: the kernel watches no file. */
        assert_int_equal(epoll_ctl(before, EPOLL_CTL_ADD, watched, &event), 0);
}

/* They cannot use up what the kernel lets a user watch; the master goes on with what it has. */
static void test_epoll(void **state) {
        (void)state;
        process_run(watch_files, NULL);
}

static void be_free(void *unused) {
        (void)unused;
        confine_children(0);
        assert_true(epoll_create1(EPOLL_CLOEXEC) >= 0);
        assert_true(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
        assert_int_equal(chdir("/"), 0);
}

/* Without a sandbox nobody is confined. */
static void test_no_sandbox(void **state) {
        (void)state;
        process_run(be_free, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sockets),    cmocka_unit_test(test_port),
                cmocka_unit_test(test_connect),    cmocka_unit_test(test_keeper),
                cmocka_unit_test(test_group),      cmocka_unit_test(test_epoll),
                cmocka_unit_test(test_networks),   cmocka_unit_test(test_dumpable),
                cmocka_unit_test(test_no_sandbox),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
