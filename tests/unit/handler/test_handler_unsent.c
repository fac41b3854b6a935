/* SPDX-License-Identifier: MIT */
/* Bytes that a handler could not write: all of them arrive, or the connection is reset and failed.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/descriptor.h"
#include "lib/endpoint.h"
#include "lib/socket.h"
#include "peer.h"
#include "process.h"
#include "restart/handover.h"
#include "restart/unsent.h"
#include "unit.h"

/* The system call that fails in the handler, and the error; NULL for none. */
static const char *failing;

typedef struct Served {
        int pair[2];
        int unsent;
        Endpoint inbox; /* of the master; length 0 without one. There is no keeper. */
} Served;

static bool fails(const char *call) {
        errno = EIO;
        return failing != NULL && strcmp(failing, call) == 0;
}

/* In place of the C library's, which has them under these names for an off_t of 64 bits. */
ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
        ssize_t (*real)(int, void *, size_t, off_t);

        *(void **)&real = dlsym(RTLD_NEXT, "pread64");
        /* Not even a part is taken. */
        return fails("pread") ? -1 : real(fd, buffer, fails("pread short") ? 2 : size, offset);
}

int ftruncate(int fd, off_t size) {
        int (*real)(int, off_t);

        *(void **)&real = dlsym(RTLD_NEXT, "ftruncate64");
        if (fails("ftruncate"))
                return -1;
        if (fails("life"))
                (void)raise(SIGKILL);
        return real(fd, size);
}

int fstat(int fd, struct stat *status) {
        return fails("fstat") ? -1 : fstatat(fd, "", status, AT_EMPTY_PATH);
}

int memfd_create(const char *name, unsigned flags) {
        int (*real)(const char *, unsigned);

        *(void **)&real = dlsym(RTLD_NEXT, "memfd_create");
        return fails("memfd_create") ? -1 : real(name, flags);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
        ssize_t (*real)(int, const void *, size_t, off_t);

        *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
        return fails("pwrite") ? -1
                               : real(fd, data, fails("pwrite short") ? size / 2 : size, offset);
}

int socket(int domain, int type, int protocol) {
        int (*real)(int, int, int);

        *(void **)&real = dlsym(RTLD_NEXT, "socket");
        return fails("socket") ? -1 : real(domain, type, protocol);
}

static void serve(void *data) {
        const Served *served = data;
        LedgerEntry entry = {};
        Handler handler = { .connection = served->pair[1],
                            .unsent = served->unsent,
                            .title = "mpecho: somebody",
                            .ledger = &entry };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        if (served->inbox.length > 0) {
                handler.handover.inbox = served->inbox;
                handler.handover.run = 1;
        }
        close(served->pair[0]);
        handler_init(0);
        _exit(handler_serve(&handler));
}

/* Forks the handler of the connection, which takes over its unsent bytes; @call fails in it. */
static pid_t serve_unsent(Served *served, const char *call) {
        pid_t pid;

        failing = call;
        pid = process_fork(serve, served);
        failing = NULL;
        close(served->pair[1]);
        close(served->unsent);
        return pid;
}

/* Serves a connection with @unsent, which becomes the handler's, until the handler exits. */
static void expect_reset(int unsent, const char *call) {
        Served served = { .unsent = unsent };

        peer_pair_tcp(served.pair);
        process_wait_exit(serve_unsent(&served, call), END_FAILED);
        peer_expect_reset(served.pair[0]);
        close(served.pair[0]);
}

/* Bytes that cannot be taken from the last handler, all of them, end the connection with a reset,
 * whichever call fails. */
static void test_take(void **state) {
        static const char *const calls[] = { "fstat", "pread", "pread short", "ftruncate" };
        static char much[256 * 1024 + 1];
        const int empty = unsent_new("x", 1);

        (void)state;
        for (size_t i = 0; i < COUNT(calls); i++)
                expect_reset(unsent_new("unsent", 6), calls[i]);
        assert_int_equal(ftruncate(empty, 0), 0);
        expect_reset(empty, NULL);
        expect_reset(unsent_new(much, sizeof much), NULL);
        expect_reset(open("/dev/null", O_RDWR | O_CLOEXEC), NULL);
}

/* Makes a connection as the last handler gives it: it is to be reset. */
static void make_given(Served *served) {
        peer_pair_tcp(served->pair);
        socket_set_reset(served->pair[1]);
        served->unsent = unsent_new("unsent", 6);
}

/* Once a handler has the bytes, the connection ends as any other. */
static void test_taken(void **state) {
        Served served = {};
        char back[6];
        pid_t pid;

        (void)state;
        make_given(&served);
        pid = serve_unsent(&served, NULL);
        assert_int_equal(peer_receive(served.pair[0], back, sizeof back), sizeof back);
        assert_memory_equal(back, "unsent", sizeof back);
        assert_int_equal(shutdown(served.pair[0], SHUT_WR), 0);
        process_wait_exit(pid, END_CLOSED_BY_PEER);
        peer_expect_end(served.pair[0]);
        close(served.pair[0]);
}

/* A handler that is killed while it takes them leaves a reset. */
static void test_killed(void **state) {
        Served served = {};
        int status;

        (void)state;
        make_given(&served);
        status = process_wait(serve_unsent(&served, "life"));
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        peer_expect_reset(served.pair[0]);
        close(served.pair[0]);
}

/* Bytes that can neither be written nor given to the next handler fail the connection, whichever
 * call fails. Then the master does not even learn of it: it would store a connection that lacks
 * bytes. */
static void test_give(void **state) {
        static const char *const calls[] = { NULL, "memfd_create", "pwrite", "pwrite short",
                                             "socket" };

        (void)state;
        /* The first one has a master that is gone, and the last one none to give it to. */
        for (size_t i = 0; i <= COUNT(calls); i++) {
                Served served = { .unsent = -1 };
                struct pollfd polled[2];
                int inbox = -1;
                pid_t pid;

                if (i < COUNT(calls)) {
                        inbox = handover_listen(&served.inbox);
                        assert_true(inbox >= 0);
                }
                if (i == 0)
                        inbox = descriptor_close(inbox);
                /* With less room than the peer has sent, it is stuck as soon as it begins. */
                peer_pair(served.pair);
                assert_int_equal(setsockopt(served.pair[1], SOL_SOCKET, SO_SNDBUF, &(int){ 4096 },
                                            sizeof(int)),
                                 0);
                (void)peer_fill(served.pair[0], 0);
                failing = i < COUNT(calls) ? calls[i] : NULL;
                pid = process_fork(serve, &served);
                failing = NULL;
                close(served.pair[1]);
                process_wait_asleep(pid);
                polled[0] = (struct pollfd){ .fd = inbox, .events = POLLIN };
                polled[1] = (struct pollfd){ .fd = pidfd_open(pid, 0), .events = POLLIN };
                assert_int_equal(kill(pid, SIGTERM), 0);
                assert_int_equal(poll(polled, COUNT(polled), -1), 1);
                assert_int_equal(polled[0].revents, 0);
                process_wait_exit(pid, END_FAILED);
                close(polled[1].fd);
                descriptor_close(inbox);
                close(served.pair[0]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_take),
                cmocka_unit_test(test_taken),
                cmocka_unit_test(test_killed),
                cmocka_unit_test(test_give),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
