/* SPDX-License-Identifier: MIT */
/* The counts of a load of datagrams while it runs, by a clock that only its waits move. */

#include "unit.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/load/spray.h"
#include "waits.h"

enum {
        /* The first tick sends a datagram, the second finds its error; then the load stops. */
        WAITS = 3,
};

static LoadPage page;
static uint64_t refused[WAITS];
static int n;

/* The second wait ends with the error of the datagram. */
static int wait_ends(uint64_t duration, int epoll, struct epoll_event *events, int most) {
        (void)duration;
        assert_true(n < WAITS);
        refused[n] = page.errors[FAILURE_REFUSED];
        page.stop = ++n == WAITS;
        return n == 2 ? epoll_wait(epoll, events, most, -1) : 0;
}

/* The parent sees an error at the next tick, not only at the end. */
static void test_errors(void **state) {
        static const ClientOptions options = { .load = LOAD_REQUESTS,
                                               .size = 64,
                                               .duration = 1000 * CLOCK_SECOND,
                                               .connection = { .datagram = true,
                                                               .interrupt = -1 } };
        const struct sockaddr_in loopback = { .sin_family = AF_INET,
                                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Endpoint peer;
        LoadPlan plan = { .options = &options,
                          .peer = &peer,
                          .page = &page,
                          .workers = 1,
                          .connections = 1,
                          .first = -1,
                          .ready = -1 };
        int closed, ends[2];

        (void)state;
        closed = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(closed, (const struct sockaddr *)&loopback, sizeof loopback), 0);
        assert_int_equal(endpoint_from_socket(closed, &peer), 0);
        /* Its peer is itself: the kernel rejects datagrams from others, and keeps the port. */
        assert_int_equal(connect(closed, &peer.any, peer.length), 0);
        assert_int_equal(pipe(ends), 0);
        close(ends[1]);
        plan.go = ends[0];
        page.start = now;

        assert_int_equal(spray_run(&plan), 0);
        assert_int_equal(refused[1], 0);
        assert_int_equal(refused[2], 1);
        close(closed);
        close(plan.go);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
