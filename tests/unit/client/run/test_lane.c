/* SPDX-License-Identifier: MIT */
/* One flow over TCP: which round trips are late or lost, and which packets count for it. */

#include "client/run/lane.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "peer.h"
#include "unit.h"

/* In place of the C library's: an answer comes when it is read. A machine that an emulator holds
 * up can be late to count its time. */
int getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
        static int (*real)(int, int, int, void *, socklen_t *);
        int r;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "getsockopt");
        r = real(fd, level, option, value, length);
        if (r == 0 && level == IPPROTO_TCP && option == TCP_INFO)
                ((struct tcp_info *)value)->tcpi_last_data_recv = 0;
        return r;
}

static const char message[] = "1234";

static LaneSettings settings;
static FlowResult result;
static Lane lane;
static char answer[sizeof message];
static int peer;

/* A lane whose connection is open and whose message is on its way. */
static int set_up(void **state) {
        int fds[2];

        (void)state;
        peer_pair_tcp(fds);
        peer = fds[0];
        settings = (LaneSettings){ .connection.interrupt = -1 };
        result = (FlowResult){};
        lane = (Lane){ .result = &result,
                       .trip = { .fd = fds[1],
                                 .message = message,
                                 .answer = answer,
                                 .size = sizeof message } };
        assert_int_equal(lane_begin(&lane, &settings), 0);
        assert_true(lane.busy);
        assert_int_equal(lane_advance(&lane, &settings, &(uint64_t){ 0 }), -EAGAIN);
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        lane_close(&lane);
        close(peer);
        return 0;
}

/* Lets the peer answer, @age after the message was sent. Returns the result. */
static int answered(uint64_t age) {
        char received[sizeof message];
        uint64_t time = 0;
        int r;

        assert_int_equal(peer_receive(peer, received, sizeof received), sizeof received);
        peer_send(peer, received, sizeof received);
        peer_wait_readable(lane.trip.fd);
        lane.start -= age;
        r = lane_advance(&lane, &settings, &time);
        assert_true(r < 0 || time >= age);
        return r;
}

/* An answer counts once; the next one is waited for on the same connection. */
static void test_answer(void **state) {
        const int fd = lane.trip.fd;

        (void)state;
        assert_int_equal(lane_events(&lane), POLLIN);
        for (uint64_t n = 1; n <= 2; n++) {
                assert_int_equal(answered(0), 0);
                assert_false(lane.busy);
                assert_int_equal(result.sent, n);
                assert_int_equal(result.latency.count, n);
                assert_int_equal(settings.phases.answers, n);
                assert_int_equal(lane_begin(&lane, &settings), 0);
                assert_int_equal(lane.trip.fd, fd);
        }
        assert_int_equal(result.failed, 0);
}

/* An answer is late that takes 200 ms longer than the fastest one, unless this side repeated its
 * message meanwhile: then the kernel has counted the loss. */
static void test_late(void **state) {
        static const struct {
                uint64_t fastest;
                uint64_t repeated;
                uint64_t late;
        } cases[] = {
                { CLOCK_MILLISECOND, 0, 1 },
                { 100 * CLOCK_MILLISECOND, 0, 1 },
                { 3600 * CLOCK_SECOND, 0, 0 },
                { CLOCK_MILLISECOND, 1, 0 },
        };

        (void)state;
        /* The first one is the fastest. */
        assert_int_equal(answered(CLOCK_SECOND), 0);
        assert_int_equal(result.late, 0);
        for (size_t i = 0; i < COUNT(cases); i++) {
                assert_int_equal(lane_begin(&lane, &settings), 0);
                lane.retransmits -= cases[i].repeated;
                result.late = 0;
                result.latency.minimum = cases[i].fastest;
                assert_int_equal(answered(300 * CLOCK_MILLISECOND), 0);
                assert_int_equal(result.late, cases[i].late);
        }
}

/* A round trip without an answer fails at its end, and its packet counts as lost. */
static void test_timeout(void **state) {
        FlowCount count;

        (void)state;
        assert_true(lane.end == CLOCK_NEVER);
        lane.end = lane.start;
        assert_int_equal(lane_advance(&lane, &settings, &(uint64_t){ 0 }), -ETIME);
        assert_int_equal(lane.trip.fd, -1);
        assert_int_equal(result.failed, 1);
        count = lane_count(&result);
        assert_in_range(count.sent, 2, 3);
        assert_int_equal(count.lost, 1);
        lane_close(&lane);
        assert_int_equal(lane_count(&result).sent, count.sent);
}

/* A wrong answer, more than the answer, and a peer that leaves end the connection. */
static void test_wrong(void **state) {
        static const struct {
                const char *text;
                size_t size;
                int error;
        } cases[] = { { "123x", 5, -EBADMSG }, { "1234\0005", 6, -EBADMSG }, { "12", 2, -EPIPE } };

        for (size_t i = 0; i < COUNT(cases); i++) {
                char received[sizeof message];
                int r;

                assert_int_equal(peer_receive(peer, received, sizeof received), sizeof received);
                peer_send(peer, cases[i].text, cases[i].size);
                close(peer);
                do {
                        peer_wait_readable(lane.trip.fd);
                        r = lane_advance(&lane, &settings, &(uint64_t){ 0 });
                } while (r == -EAGAIN);
                assert_int_equal(r, cases[i].error);
                assert_int_equal(result.failed, 1);
                assert_int_equal(result.latency.count, 0);
                assert_int_equal(lane.trip.fd, -1);
                assert_false(lane.busy);
                set_up(state);
        }
}

/* The limit counts from the beginning of the round trip. */
static void test_end(void **state) {
        (void)state;
        settings.timeout = 3600 * CLOCK_SECOND;
        assert_int_equal(answered(0), 0);
        assert_int_equal(lane_begin(&lane, &settings), 0);
        assert_true(lane.end == lane.start + settings.timeout);
}

/* Segments that were sent again, late answers and failures are lost, but no more than were sent. */
static void test_count(void **state) {
        FlowResult flow = { .kernel = { .segments = 10, .retransmits = 4 },
                            .late = 2,
                            .failed = 1 };
        FlowCount count = lane_count(&flow);

        (void)state;
        assert_int_equal(count.sent, 10);
        assert_int_equal(count.lost, 7);
        flow.failed = 5;
        assert_int_equal(lane_count(&flow).lost, 10);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_late, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_timeout, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wrong, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
                cmocka_unit_test(test_count),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
