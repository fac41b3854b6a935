/* SPDX-License-Identifier: MIT */
/* The requests of a load: their first connection, and their deadlines. */

#include "unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/load/slots.h"
#include "lib/clock.h"
#include "lib/socket.h"
#include "peer.h"

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

/* An attempt that fails is an error of connecting, and no connection. */
static void test_failed_attempt(void **state) {
        const ClientOptions options = { .load = LOAD_CONNECTIONS, .size = 64 };
        static LoadPage page;
        const LoadPlan plan = { .options = &options, .connections = 1, .first = -1, .page = &page };
        static Slots slots;
        struct pollfd polled = { .events = POLLOUT };
        int fds[2];

        (void)state;
        peer_pair_tcp(fds);
        assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                                    sizeof(struct linger)),
                         0);
        close(fds[0]);
        polled.fd = fds[1];
        do
                assert_int_equal(poll(&polled, 1, -1), 1);
        while ((polled.revents & POLLERR) == 0);
        assert_int_equal(slots_init(&slots, &plan), 0);
        assert_int_equal(slots_connect(&slots), 0);
        slots.list->fd = fds[1];
        slots.list->state = SLOT_CONNECTING;
        slots.busy = 1;

        assert_false(slot_serve(&slots, slots.list, EPOLLIN | EPOLLERR | EPOLLHUP));
        assert_int_equal(page.errors[FAILURE_RESET], 1);
        assert_int_equal(page.phases.connections, 0);
        assert_int_equal(slots.list->state, SLOT_RESTING);
        slots_deinit(&slots);
}

/* A request that its deadline ends counts with its time; a peer that does not close after its
 * answer is another error, and its answer came before. */
static void test_deadline(void **state) {
        static const SlotState states[] = { SLOT_BUSY, SLOT_ENDING };
        static const ClientOptions options = { .load = LOAD_CONNECTIONS, .size = 64 };

        (void)state;
        for (size_t i = 0; i < COUNT(states); i++) {
                const bool unclosed = states[i] == SLOT_ENDING;
                LoadPage *page = calloc(1, sizeof *page);
                const LoadPlan plan = {
                        .options = &options, .connections = 1, .first = -1, .page = page
                };
                static Slots slots;

                assert_non_null(page);
                assert_int_equal(slots_init(&slots, &plan), 0);
                assert_int_equal(slots_connect(&slots), 0);
                slots.list->state = states[i];
                slots.list->due = 10;
                slots.list->deadline = 20;
                slots.busy = 1;
                assert_false(slot_expire(&slots, slots.list, 19));
                assert_int_equal(page->errors[FAILURE_TIMEOUT], 0);
                assert_false(slot_expire(&slots, slots.list, 20));
                assert_int_equal(page->errors[FAILURE_TIMEOUT], 1);
                assert_int_equal(page->unclosed, unclosed);
                assert_int_equal(page->latency.count, !unclosed);
                slots_deinit(&slots);
                free(page);
        }
}

/* The connection that found the address is the first one of the load, with the time that it took,
 * and the load hears when it is readable. */
static void test_first(void **state) {
        static const ClientOptions options = { .load = LOAD_CONNECTIONS, .size = 64 };
        static LoadPage page;
        static Slots slots;
        LoadPlan plan = { .options = &options, .connections = 2, .setup = 862, .page = &page };
        struct epoll_event event;
        int fds[2];

        (void)state;
        peer_pair(fds);
        plan.first = fds[0];
        assert_int_equal(slots_init(&slots, &plan), 0);
        assert_int_equal(slots_connect(&slots), 0);
        assert_int_equal(slots.list[0].fd, fds[0]);
        assert_int_equal(slots.list[0].setup, 862);
        assert_int_equal(slots.list[1].fd, -1);
        assert_int_equal(write(fds[1], "", 1), 1);
        assert_int_equal(epoll_wait(slots.epoll, &event, 1, 0), 1);
        assert_ptr_equal(event.data.ptr, slots.list);
        slots_deinit(&slots);
        close(fds[0]);
        close(fds[1]);
}

/* A load of one connection, whose peer has @fds[0]. */
typedef struct Scene {
        ClientOptions options;
        LoadPage *page;
        LoadPlan plan;
        Slots slots;
        int fds[2];
} Scene;

static Scene scene;

static void scene_begin(void) {
        scene = (Scene){ .options = { .load = LOAD_REQUESTS, .size = 64 } };
        scene.page = calloc(1, sizeof *scene.page);
        assert_non_null(scene.page);
        peer_pair_tcp(scene.fds);
        scene.plan = (LoadPlan){ .options = &scene.options,
                                 .connections = 1,
                                 .first = scene.fds[1],
                                 .page = scene.page };
        assert_int_equal(slots_init(&scene.slots, &scene.plan), 0);
        assert_int_equal(slots_connect(&scene.slots), 0);
}

static void scene_end(void) {
        if (scene.slots.list->fd >= 0)
                close(scene.slots.list->fd);
        slots_deinit(&scene.slots);
        if (scene.fds[0] >= 0)
                close(scene.fds[0]);
        free(scene.page);
}

/* Lets the peer send, and the slot receive it. Returns whether it is free. */
static bool scene_send(const void *data, size_t size) {
        peer_send(scene.fds[0], data, size);
        peer_wait_readable(scene.slots.list->fd);
        return slot_serve(&scene.slots, scene.slots.list, EPOLLIN);
}

/* The setup of the first connection counts for its first request alone. */
static void test_first_request(void **state) {
        const uint64_t setup = CLOCK_SECOND;
        char message[64];
        Slot *slot;

        (void)state;
        scene_begin();
        slot = scene.slots.list;
        slot->setup = setup;
        for (int i = 0; i < 2; i++) {
                const uint64_t due = clock_now();

                slot_begin(&scene.slots, slot, due);
                assert_int_equal(slot->due, i == 0 ? due - setup : due);
                assert_int_equal(peer_receive(scene.fds[0], message, sizeof message), 64);
                assert_true(scene_send(message, sizeof message));
        }
        assert_int_equal(scene.page->latency.count, 2);
        assert_true(scene.page->latency.maximum >= setup);
        scene_end();
}

/* Bytes that nobody asked for are an error, whether the next request is due or the connection ends;
 * so is a reset, and an event without either is none. */
static void test_surplus(void **state) {
        (void)state;
        for (int ends = 0; ends < 2; ends++)
                for (int reset = 0; reset < 2; reset++) {
                        Slot *slot;

                        scene_begin();
                        slot = scene.slots.list;
                        if (ends)
                                slot_end(&scene.slots, slot, clock_now());
                        assert_false(slot_serve(&scene.slots, slot, EPOLLIN));
                        assert_true(slot->fd >= 0);
                        if (reset) {
                                socket_reset(scene.fds[0]);
                                scene.fds[0] = -1;
                                peer_wait_readable(slot->fd);
                                assert_false(slot_serve(&scene.slots, slot, EPOLLIN));
                        } else {
                                assert_false(scene_send("x", 1));
                        }
                        assert_int_equal(scene.page->errors[FAILURE_DIFFERS], !reset);
                        assert_int_equal(scene.page->errors[FAILURE_RESET], reset);
                        assert_int_equal(slot->fd, -1);
                        scene_end();
                }
}

/* An end that comes with an answer is no error: the next request needs another connection. */
static void test_end_with_answer(void **state) {
        struct epoll_event event;
        struct pollfd polled = { .events = POLLRDHUP };
        char message[64];
        Slot *slot;

        (void)state;
        scene_begin();
        slot = scene.slots.list;
        slot_begin(&scene.slots, slot, clock_now());
        assert_int_equal(peer_receive(scene.fds[0], message, sizeof message), 64);
        peer_send(scene.fds[0], message, sizeof message);
        assert_int_equal(shutdown(scene.fds[0], SHUT_WR), 0);
        polled.fd = slot->fd;
        assert_int_equal(poll(&polled, 1, -1), 1);
        assert_int_equal(epoll_wait(scene.slots.epoll, &event, 1, 0), 1);

        assert_true(slot_serve(&scene.slots, slot, event.events));
        assert_int_equal(scene.page->answered, 1);
        assert_int_equal(slot->state, SLOT_IDLE);
        assert_int_equal(slot->fd, -1);
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                assert_int_equal(scene.page->errors[kind], 0);
        scene_end();
}

/* What comes instead of the first answer may be words of another service; what comes behind a part
 * of it is damage. */
static void test_damage(void **state) {
        static const char words[] = "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n";

        (void)state;
        for (size_t part = 0; part <= 16; part += 16) {
                char message[64];

                scene_begin();
                slot_begin(&scene.slots, scene.slots.list, clock_now());
                assert_int_equal(peer_receive(scene.fds[0], message, sizeof message), 64);
                if (part > 0)
                        assert_false(scene_send(message, part));
                assert_false(scene_send(words, sizeof words - 1));
                assert_int_equal(scene.page->errors[FAILURE_DIFFERS], 1);
                assert_int_equal(scene.page->foreign[0] != '\0', part == 0);
                scene_end();
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_late_look),     cmocka_unit_test(test_failed_attempt),
                cmocka_unit_test(test_deadline),      cmocka_unit_test(test_first),
                cmocka_unit_test(test_surplus),       cmocka_unit_test(test_damage),
                cmocka_unit_test(test_first_request), cmocka_unit_test(test_end_with_answer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
