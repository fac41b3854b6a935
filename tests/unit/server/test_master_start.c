/* SPDX-License-Identifier: MIT */
/* A master to which the kernel refuses something when it starts, or waits. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "lib/ppoll.h"
#include "manager.h"
#include "process.h"
#include "server/master.h"
#include "service.h"
#include "unit.h"

FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))
FAULT(int, madvise, madvise, (void *address, size_t size, int advice), (address, size, advice))
FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))
FAULT(int, eventfd, eventfd, (unsigned count, int flags), (count, flags))
FAULT(int, signalfd, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
FAULT(int, sigprocmask, sigprocmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

FAULT(int, ppoll, ppoll,
      (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
      (fds, n, timeout, mask))

FAULT(int, pipe2, pipe2, (int fds[2], int flags), (fds, flags))
FAULT(pid_t, fork, fork, (void), ())
FAULT(int, pidfd_open, pidfd_open, (pid_t pid, unsigned flags), (pid, flags))

static Service service;
static Restore restore;

/* Starts masters until all calls pass; before that, another one fails each time. Returns how often
 * a master did not start. */
static int start_without(CallFault *fault) {
        int failures = 0;

        for (int after = 0;; after++) {
                Master *master;
                int r;

                *fault = (CallFault){ .error = ENOMEM, .after = after, .times = 1 };
                r = master_new(&service.options, service.listeners, &restore, service.journal,
                               &master);
                if (r == 0)
                        master_free(master);
                else
                        assert_int_equal(r, -ENOMEM);
                failures += r != 0;
                if (fault->times > 0) {
                        assert_int_equal(r, 0);
                        *fault = (CallFault){};
                        return failures;
                }
        }
}

static void start_all(void *unused) {
        static char stream[] = "127.0.0.1:0", datagrams[] = "udp:127.0.0.1:0";
        static char proxy[] = "proxy:127.0.0.1:0";
        static char *listen[] = { stream, datagrams, proxy };
        static CallFault *const faults[] = { &mmap_fault,    &madvise_fault,  &socket_fault,
                                             &eventfd_fault, &signalfd_fault, &sigprocmask_fault,
                                             &pipe2_fault,   &fork_fault,     &pidfd_open_fault };
        const Options options = { .max_connections = 10,
                                  .max_per_source = 5,
                                  .listen = listen,
                                  .n_listen = COUNT(listen) };
        int lowest, next;

        (void)unused;
        assert_int_equal(restore_init(&restore, 1), 0);
        service_start_master(&service, &options);
        lowest = dup(STDIN_FILENO);
        close(lowest);
        for (size_t i = 0; i < COUNT(faults); i++)
                assert_true(start_without(faults[i]) > 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        next = dup(STDIN_FILENO);
        close(next);
        assert_int_equal(next, lowest);
        service_stop(&service);
        restore_deinit(&restore);
}

/* Whichever call fails, the master does not start, and leaves no descriptor open and no process. */
static void test_start(void **state) {
        Manager manager;

        (void)state;
        manager_start(&manager);
        process_run(start_all, NULL);
        manager_stop(&manager);
}

static void wait_refused(void *unused) {
        const Options options = { .max_connections = 10, .max_per_source = 5 };

        (void)unused;
        service_start_master(&service, &options);
        ppoll_fault = (CallFault){ .error = EINTR, .times = 1 };
        assert_int_equal(master_turn(service.master, UINT64_MAX), MASTER_RUNNING);
        ppoll_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        assert_int_equal(master_turn(service.master, UINT64_MAX), -ENOMEM);
        service_stop(&service);
}

/* A signal ends a turn, and another error ends the service. */
static void test_turn(void **state) {
        (void)state;
        process_run(wait_refused, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_prestate_setup_teardown(test_start, service_set_up,
                                                         service_tear_down, &service),
                cmocka_unit_test_prestate_setup_teardown(test_turn, service_set_up,
                                                         service_tear_down, &service),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
