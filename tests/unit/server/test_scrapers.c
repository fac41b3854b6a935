/* SPDX-License-Identifier: MIT */
/* The clients of metrics sockets: their limit, and a machine that lacks what they need. */

#include "server/scrapers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clone.h"
#include "fault.h"
#include "handler/handler.h"
#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

#define NOW (1000 * CLOCK_SECOND)

FAULT(void *, mmap, mmap64,
      (void *address, size_t length, int protection, int flags, int fd, off_t offset),
      (address, length, protection, flags, fd, offset))

FAULT(int, accept4, accept4, (int fd, struct sockaddr *name, socklen_t *length, int flags),
      (fd, name, length, flags))
FAULT(int, pipe2, pipe2, (int ends[2], int flags), (ends, flags))

static Scrapers *scrapers;
static Listeners *listeners;
static const Listener *listener;

static void start(void) {
        static char text[] = "metrics:127.0.0.1:0", *texts[] = { text };
        const Options options = { .listen = texts, .n_listen = 1 };
        const Inherited none = { .connection = -1 };
        const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Failure failure = {};

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        close(null);
        handler_init(0);
        assert_int_equal(listeners_new(&options, &none, &listeners, &failure), 0);
        listener = &listeners->items[0];
        assert_int_equal(listener->kind, LISTENER_METRICS);
        assert_int_equal(scrapers_new(&scrapers), 0);
        assert_true(scrapers_can_accept(scrapers));
}

static void stop(void) {
        assert_int_equal(scrapers_live(scrapers), 0);
        assert_int_equal(waitpid(-1, NULL, 0), -1);
        assert_null(scrapers_free(scrapers));
        listeners_free(listeners);
}

/* Connects a client and lets it be accepted. */
static int take(void) {
        const int client = peer_connect(peer_port(listener->fd), INADDR_LOOPBACK);
        Metrics metrics = { .live = 7 };

        peer_wait_readable(listener->fd);
        scrapers_accept(scrapers, listener, &metrics, NOW);
        return client;
}

/* Returns the size of this process's memory that its children do not inherit, in KiB. */
static size_t unforked(void) {
        FILE *mappings = fopen("/proc/self/smaps", "re");
        size_t size = 0, sum = 0;
        char line[512];

        assert_non_null(mappings);
        while (fgets(line, sizeof line, mappings) != NULL) {
                (void)sscanf(line, "Size: %zu kB", &size);
                if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dc") != NULL)
                        sum += size;
        }
        assert_int_equal(fclose(mappings), 0);
        return sum;
}

/* Reaps a handler. Returns its status. */
static int reap(void) {
        int status;
        pid_t pid;

        pid = waitpid(-1, &status, 0);
        assert_true(pid > 0);
        scrapers_reap(scrapers, pid);
        return status;
}

static void serve(void *data) {
        char text[METRICS_SIZE] = "";
        int client, next;
        size_t before;

        (void)data;
        start();
        before = unforked();
        client = dup(STDIN_FILENO);
        next = dup(STDIN_FILENO);
        close(client);
        close(next);
        assert_int_equal(take(), client);
        assert_int_equal(dup(STDIN_FILENO), next);
        close(next);
        assert_int_equal(unforked(), before);
        assert_int_equal(scrapers_live(scrapers), 1);
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        (void)peer_receive(client, text, sizeof text - 1);
        assert_non_null(strstr(text, "\nmpecho_connections 7\n"));
        assert_null(strstr(text, "\nmpecho_start_time_seconds 0\n"));
        close(client);
        assert_int_equal(reap(), 0);
        assert_true(scrapers_deadline(scrapers) == CLOCK_NEVER);
        stop();
}

/* A client gets the metrics, with the time of the start; nothing is due afterwards. The master
 * keeps no descriptor of it, and other handlers inherit the texts neither before nor behind it. */
static void test_serve(void **state) {
        (void)state;
        process_run(serve, NULL);
}

static void limit(void *data) {
        int clients[SCRAPERS_MOST];

        (void)data;
        start();
        for (int i = 0; i < SCRAPERS_MOST; i++) {
                assert_true(scrapers_can_accept(scrapers));
                clients[i] = take();
                peer_send(clients[i], "GET ", 4);
        }
        assert_false(scrapers_can_accept(scrapers));
        assert_int_equal(scrapers_live(scrapers), SCRAPERS_MOST);
        scrapers_reap(scrapers, getpid());
        assert_false(scrapers_can_accept(scrapers));
        close(clients[3]);
        (void)reap();
        assert_true(scrapers_can_accept(scrapers));
        assert_int_equal(scrapers_live(scrapers), SCRAPERS_MOST - 1);

        scrapers_kill(scrapers);
        while (scrapers_live(scrapers) > 0)
                assert_int_equal(WTERMSIG(reap()), SIGKILL);
        stop();
}

/* There is room for as many clients as the limit says, and for another when one has gone; a process
 * that is none changes nothing. All end when they are killed. */
static void test_limit(void **state) {
        (void)state;
        process_run(limit, NULL);
}

static void expire(void *data) {
        const uint64_t due = NOW + HANDLER_PATIENCE;
        int client;

        (void)data;
        start();
        client = take();
        peer_send(client, "GET ", 4);
        assert_true(scrapers_deadline(scrapers) == due);
        scrapers_tick(scrapers, due - 1);
        assert_true(scrapers_deadline(scrapers) == due);
        scrapers_tick(scrapers, due);
        /* Also while the handler has not ended yet. */
        assert_true(scrapers_deadline(scrapers) == CLOCK_NEVER);
        assert_int_equal(WTERMSIG(reap()), SIGKILL);
        close(client);
        stop();
}

/* A handler that does not end by itself is killed when its time is over, and no earlier. */
static void test_expire(void **state) {
        (void)state;
        process_run(expire, NULL);
}

static void expect_pause(void) {
        assert_int_equal(scrapers_live(scrapers), 0);
        assert_false(scrapers_can_accept(scrapers));
        assert_true(scrapers_deadline(scrapers) == NOW + CLOCK_SECOND);
        scrapers_tick(scrapers, NOW + CLOCK_SECOND - 1);
        assert_false(scrapers_can_accept(scrapers));
        scrapers_tick(scrapers, NOW + CLOCK_SECOND);
        assert_true(scrapers_can_accept(scrapers));
        assert_true(scrapers_deadline(scrapers) == CLOCK_NEVER);
}

static void lack(void *data) {
        struct rlimit before, none;
        Metrics metrics = {};
        int client;

        (void)data;
        start();
        clone_fail(EAGAIN, 1);
        client = take();
        peer_expect_reset(client);
        close(client);
        expect_pause();

        client = peer_connect(peer_port(listener->fd), INADDR_LOOPBACK);
        peer_wait_readable(listener->fd);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){ .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        scrapers_accept(scrapers, listener, &metrics, NOW);
        expect_pause();
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        scrapers_accept(scrapers, listener, &metrics, NOW);
        close(client);
        (void)reap();

        /* Nobody waits: no reason to pause. */
        scrapers_accept(scrapers, listener, &metrics, NOW);
        assert_true(scrapers_can_accept(scrapers));
        stop();
}

/* Without a process for it a client is reset, without a descriptor it waits; in both cases the next
 * second is a pause. */
static void test_lack(void **state) {
        (void)state;
        process_run(lack, NULL);
}

/* Lets accept4(2) fail @times, once for each turn. */
static void fail_to_accept(int error, int times) {
        Metrics metrics = {};

        accept4_fault = (CallFault){ .error = error, .times = times };
        while (accept4_fault.times > 0) {
                assert_true(scrapers_can_accept(scrapers));
                scrapers_accept(scrapers, listener, &metrics, NOW);
        }
}

static void lose(void *data) {
        static const int errors[] = { ECONNABORTED, EPROTO, EHOSTUNREACH, ETIMEDOUT, EPERM };

        (void)data;
        start();
        for (size_t i = 0; i < COUNT(errors); i++)
                for (int n = 0; n < 2; n++) {
                        fail_to_accept(errors[i], 15);
                        assert_true(scrapers_deadline(scrapers) == CLOCK_NEVER);
                        close(take());
                        (void)reap();
                }
        fail_to_accept(ENETDOWN, 16);
        expect_pause();
        fail_to_accept(ENETDOWN, 15);
        fail_to_accept(ENOMEM, 1);
        expect_pause();
        stop();
}

/* Clients that are gone before they are accepted are no reason to pause, unless all are. */
static void test_lost(void **state) {
        (void)state;
        process_run(lose, NULL);
}

static void lack_gate(void *data) {
        static char name[64], *texts[] = { name };
        const Options options = { .listen = texts, .n_listen = 1 };
        const Inherited none = { .connection = -1 };
        Listeners *network, *local;
        struct sockaddr_un address = {};
        socklen_t length = sizeof address;
        Failure failure = {};
        Metrics metrics = {};
        int client;

        (void)data;
        start();
        network = listeners;
        snprintf(name, sizeof name, "metrics:@mpecho-unit-scrapers-%d", getpid());
        assert_int_equal(listeners_new(&options, &none, &local, &failure), 0);
        listener = &local->items[0];
        assert_int_equal(getsockname(listener->fd, (struct sockaddr *)&address, &length), 0);
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
        pipe2_fault = (CallFault){ .error = EMFILE, .times = 1 };
        scrapers_accept(scrapers, listener, &metrics, NOW);
        assert_int_equal(pipe2_fault.times, 0);
        peer_expect_end(client);
        close(client);
        expect_pause();
        /* The child that closed the connection. */
        assert_true(waitpid(-1, NULL, 0) > 0);
        listeners_free(local);
        listeners = network;
        stop();
}

/* Without descriptors for its gate a local client is refused, and the next second is a pause. */
static void test_gate(void **state) {
        (void)state;
        process_run(lack_gate, NULL);
}

static void lack_memory(void *data) {
        const size_t before = unforked();

        (void)data;
        for (int after = 0; after < 2; after++) {
                mmap_fault = (CallFault){ .error = ENOMEM, .after = after, .times = 1 };
                assert_int_equal(scrapers_new(&scrapers), -ENOMEM);
                assert_int_equal(mmap_fault.times, 0);
                assert_int_equal(unforked(), before);
        }
        assert_int_equal(scrapers_new(&scrapers), 0);
        assert_true(unforked() > before);
        assert_null(scrapers_free(scrapers));
        assert_int_equal(unforked(), before);
}

/* Without memory there are no scrapers, and no memory is lost, no more than when they are freed. */
static void test_lack_of_memory(void **state) {
        (void)state;
        process_run(lack_memory, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_serve),          cmocka_unit_test(test_limit),
                cmocka_unit_test(test_expire),         cmocka_unit_test(test_lack),
                cmocka_unit_test(test_lack_of_memory), cmocka_unit_test(test_lost),
                cmocka_unit_test(test_gate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
