/* SPDX-License-Identifier: MIT */
/* Handlers to which the kernel refuses what they need. */

#include "handler/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "peer.h"
#include "process.h"
#include "restart/unsent.h"
#include "unit.h"

FAULT(int, dup, dup, (int fd), (fd))
FAULT(int, dup2, dup2, (int fd, int other), (fd, other))
FAULT(int, getsockname, getsockname, (int fd, struct sockaddr *name, socklen_t *length),
      (fd, name, length))
FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))
FAULT(int, recvmmsg, recvmmsg,
      (int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout),
      (fd, messages, n, flags, timeout))

static CallFault fcntl_fault;

/* As those above, for commands with a number. */
int fcntl(int fd, int command, ...) {
        static int (*real)(int, int, ...);
        va_list arguments;
        int number;

        va_start(arguments, command);
        number = va_arg(arguments, int);
        va_end(arguments);
        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "fcntl64");
        return fault_strikes(&fcntl_fault) ? -1 : real(fd, command, number);
}

/* Looks for the functions of the C library: children do not inherit the memory of the others. */
static void find_all(void) {
        close(dup(STDIN_FILENO));
        (void)dup2(STDIN_FILENO, STDIN_FILENO);
        (void)fcntl(STDIN_FILENO, F_SETFD, 0);
        (void)getsockname(-1, NULL, NULL);
        (void)munmap(mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1);
        (void)recvmmsg(-1, NULL, 0, 0, NULL);
}

/* Starts @handler, for which the call of @fault fails after @after others; waits for its end. */
static void expect_exit(Handler *handler, CallFault *fault, int after, int code) {
        pid_t pid;

        *fault = (CallFault){ .error = ENOMEM, .after = after, .times = 1 };
        pid = handler_start(handler);
        *fault = (CallFault){};
        process_wait_exit(pid, code);
}

static void serve_connections(void *unused) {
        static const struct {
                CallFault *fault;
                int after;
                const char *unsent;
        } cases[] = { { &dup_fault, 0, NULL },
                      { &dup2_fault, 0, NULL },
                      { &fcntl_fault, 0, "x" },
                      { &dup2_fault, 0, "x" },
                      { &dup2_fault, 1, "x" } };

        (void)unused;
        find_all();
        handler_init(0);
        for (size_t i = 0; i < COUNT(cases); i++) {
                LedgerEntry entry = {};
                Handler handler = { .unsent = -1, .title = "mpecho: somebody", .ledger = &entry };
                int pair[2];

                peer_pair_tcp(pair);
                handler.connection = pair[1];
                if (cases[i].unsent != NULL)
                        handler.unsent = unsent_new(cases[i].unsent, 1);
                expect_exit(&handler, cases[i].fault, cases[i].after, END_FAILED);
                close(pair[1]);
                peer_expect_reset(pair[0]);
                close(pair[0]);
                if (handler.unsent >= 0)
                        close(handler.unsent);
        }
}

/* A handler without room for its descriptors resets its connection: its peer knows that bytes may
 * be lost. */
static void test_connection(void **state) {
        (void)state;
        process_run(serve_connections, NULL);
}

static void serve_datagrams(void *unused) {
        const struct sockaddr_in address = { .sin_family = AF_INET };
        CallFault *const faults[] = { &dup_fault, &getsockname_fault, &mmap_fault,
                                      &recvmmsg_fault };
        DatagramCounts counts = {};
        Handler handler = { .connection = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
                            .news = -1,
                            .title = "mpecho: datagrams",
                            .datagrams = &counts,
                            .master = getpid() };

        (void)unused;
        assert_int_equal(bind(handler.connection, (const struct sockaddr *)&address,
                              sizeof address),
                         0);
        find_all();
        handler_init(0);
        for (size_t i = 0; i < COUNT(faults); i++)
                expect_exit(&handler, faults[i], 0, END_FAILED);
        handler.master = getppid();
        expect_exit(&handler, &recvmmsg_fault, 0, END_STOPPED);
}

/* The handler of a datagram socket fails without what it needs; and it reads nothing where its
 * master is gone: the next one has a handler of its own. */
static void test_datagrams(void **state) {
        (void)state;
        process_run(serve_datagrams, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connection),
                cmocka_unit_test(test_datagrams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
