/* SPDX-License-Identifier: MIT */
/* The flows of a ping: how many datagrams each remembers. */

#include "client/run/turns.h"

#include <unistd.h>

#include "lib/clock.h"
#include "unit.h"

/* A flow remembers the datagrams whose answers can still come, in time or late, up to a million. */
static void test_memory(void **state) {
        static const struct {
                uint64_t interval, timeout, count;
                size_t least, most;
        } cases[] = {
                { CLOCK_SECOND, CLOCK_SECOND, 0, 2, 1 << 14 },
                { CLOCK_MILLISECOND, 10 * CLOCK_SECOND, 0, 20000, 1 << 15 },
                { CLOCK_MILLISECOND, 60 * CLOCK_SECOND, 0, 120000, 1 << 17 },
                { CLOCK_MILLISECOND, 60 * CLOCK_SECOND, 30000, 30000, 1 << 15 },
                { CLOCK_MILLISECOND, 0, 30000, 30000, 1 << 15 },
                { 0, CLOCK_SECOND, 30000, 30000, 1 << 15 },
                { 0, CLOCK_SECOND, 0, 1 << 20, 1 << 20 },
                { CLOCK_MILLISECOND, 86400 * CLOCK_SECOND, 0, 1 << 20, 1 << 20 },
        };
        static Payload payload;

        (void)state;
        payload_init(&payload, 64);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                const ClientOptions options = { .interval = cases[i].interval,
                                                .timeout = cases[i].timeout,
                                                .count = cases[i].count };
                FlowResult result = {};
                const char *why;
                Report report = { .flows = &result };
                Flow flow;
                Turns turns = { .options = &options,
                                .report = &report,
                                .settings = { .connection.datagram = true },
                                .datagrams = &flow,
                                .payload = &payload };

                assert_int_equal(endpoint_parse("127.0.0.1:9", &turns.settings.endpoint, &why), 0);
                assert_int_equal(turns_open(&turns, 0), 0);
                assert_in_range(flow.volley.capacity, cases[i].least, cases[i].most);
                close(flow.fd);
                flow_deinit(&flow);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_memory) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
