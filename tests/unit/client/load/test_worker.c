/* SPDX-License-Identifier: MIT */
/* The loop of a load's worker, by a clock that only its waits move. */

#include "unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/load/worker.h"
#include "peer.h"
#include "waits.h"

enum {
        WAITS = 5,
};

/* How long the worker waits while it has no connection, and while the queue is full. */
#define LONG  (50 * CLOCK_MILLISECOND)
#define SHORT CLOCK_MILLISECOND

static const ClientOptions options = { .load = LOAD_CONNECTIONS,
                                       .size = 64,
                                       .duration = 1000 * CLOCK_SECOND,
                                       .connection.interrupt = -1 };
static LoadPage page;
static uint64_t waits[WAITS];
static int n;
static int listener;
/* The peer's end of the only connection; -1 without one. */
static int peer_end = -1;

/* The peer echoes what has come, or closes at the end of it. */
static int wait_for_echo(int epoll, struct epoll_event *events, int most) {
        char message[128];
        const ssize_t size = recv(peer_end, message, sizeof message, MSG_DONTWAIT);

        if (size > 0)
                peer_send(peer_end, message, (size_t)size);
        else if (size == 0)
                (void)shutdown(peer_end, SHUT_WR);
        return epoll_wait(epoll, events, most, 0);
}

/* The peer makes room in its queue during the last wait but one, and the parent ends the worker
 * during the last. */
static int wait_ends(uint64_t duration, int epoll, struct epoll_event *events, int most) {
        if (peer_end >= 0)
                return wait_for_echo(epoll, events, most);
        assert_true(most > 0);
        assert_true(n < WAITS);
        waits[n++] = duration;
        if (n == WAITS - 1)
                close(accept(listener, NULL, NULL));
        page.stop = n == WAITS;
        errno = EAGAIN;
        return 0;
}

/* While the queue of a Unix socket is full, an attempt to connect follows each millisecond, and no
 * wait that ends without an event ends the worker. */
static void test_full_queue(void **state) {
        static const uint64_t expected[WAITS] = { 0, LONG, SHORT, SHORT, LONG };
        Endpoint peer = { .local.sun_family = AF_UNIX };
        LoadPlan plan = { .options = &options,
                          .peer = &peer,
                          .page = &page,
                          .workers = 1,
                          .connections = 1,
                          .first = -1,
                          .ready = -1 };
        int filler, ends[2];

        (void)state;
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listener, &peer.any, sizeof(sa_family_t)), 0);
        assert_int_equal(listen(listener, 0), 0);
        assert_int_equal(endpoint_from_socket(listener, &peer), 0);
        filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(filler, &peer.any, peer.length), 0);
        assert_int_equal(pipe(ends), 0);
        close(ends[1]);
        plan.go = ends[0];
        page.start = now;

        assert_int_equal(worker_run(&plan), 0);
        for (int i = 0; i < WAITS; i++)
                assert_int_equal(waits[i], expected[i]);
        assert_int_equal(page.bytes_sent, options.size);
        assert_int_equal(page.elapsed, now - page.start);
        close(filler);
        close(listener);
        close(plan.go);
}

/* No request begins at the instant of the end, at which the first one is answered. */
static void test_end(void **state) {
        static const ClientOptions brief = {
                .load = LOAD_REQUESTS, .size = 64, .duration = LONG / 5, .connection.interrupt = -1
        };
        static LoadPage counts;
        LoadPlan plan = {
                .options = &brief, .page = &counts, .workers = 1, .connections = 1, .ready = -1
        };
        int fds[2], ends[2];

        (void)state;
        peer_pair(fds);
        peer_end = fds[0];
        plan.first = fds[1];
        assert_int_equal(pipe(ends), 0);
        close(ends[1]);
        plan.go = ends[0];
        counts.start = now;

        assert_int_equal(worker_run(&plan), 0);
        assert_int_equal(counts.window.elapsed, brief.duration);
        assert_int_equal(counts.latency.maximum, brief.duration);
        assert_int_equal(counts.answered, 1);
        assert_int_equal(counts.bytes_sent, brief.size);
        close(plan.go);
        close(peer_end);
        peer_end = -1;
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full_queue),
                cmocka_unit_test(test_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
