/* SPDX-License-Identifier: MIT */
/* A request of a load whose process comes late to its deadline. */

#include "unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/load/slots.h"
#include "lib/clock.h"

/* A connection that came about before this process looked is no timeout: the request goes out. */
static void test_late_look(void **state) {
        Endpoint peer = { .ipv4 = { .sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
                          .length = sizeof peer.ipv4 };
        const ClientOptions options = { .load = LOAD_CONNECTIONS,
                                        .size = 64,
                                        .connection = { .interrupt = -1, .timeout = 1 } };
        static LoadPage page;
        const LoadPlan plan = {
                .options = &options, .peer = &peer, .connections = 1, .first = -1, .page = &page
        };
        static Slots slots;
        struct pollfd polled = { .events = POLLOUT };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        assert_int_equal(bind(listener, &peer.any, peer.length), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, &peer.any, &peer.length), 0);
        assert_int_equal(slots_init(&slots, &plan), 0);
        assert_int_equal(slots_connect(&slots), 0);

        slot_begin(&slots, slots.list, clock_now());
        assert_int_equal(slots.list->state, SLOT_CONNECTING);
        polled.fd = slots.list->fd;
        assert_int_equal(poll(&polled, 1, -1), 1);
        assert_false(slot_expire(&slots, slots.list, clock_now()));
        assert_int_equal(page.errors[FAILURE_TIMEOUT], 0);
        assert_int_equal(slots.list->state, SLOT_BUSY);
        assert_int_equal(page.bytes_sent, options.size);

        close(slots.list->fd);
        slots_deinit(&slots);
        close(listener);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_late_look),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
