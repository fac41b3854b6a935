/* SPDX-License-Identifier: MIT */
/* Datagrams of one socket, and the errors about them. */

#include "unit.h"

#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "client/network/connection.h"
#include "client/network/flow.h"
#include "fault.h"
#include "lib/clock.h"

FAULT_OPTION()

enum {
        SIZE = 64,
};

static time_t set; /* how far somebody has set the time of day, in seconds */

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        const int r = (int)syscall(GETTIME, clock, ret_time);

        if (clock == CLOCK_REALTIME)
                ret_time->tv_sec += set;
        return r;
}

/* A peer, and a flow to it. */
typedef struct Pair {
        int peer;
        Flow flow;
        Payload payload;
} Pair;

static Pair pair;

static void open_pair(size_t size, uint64_t timeout) {
        const ConnectionOptions options = { .interrupt = -1, .datagram = true };
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Endpoint endpoint;
        bool pending;
        int fd;

        pair.peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(pair.peer >= 0);
        assert_int_equal(bind(pair.peer, (const struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(endpoint_from_socket(pair.peer, &endpoint), 0);
        fd = connection_begin(&endpoint, &options, &pending);
        assert_true(fd >= 0 && !pending);
        payload_init(&pair.payload, size);
        assert_int_equal(flow_init(&pair.flow, fd, &pair.payload, 3, 64, timeout, true), 0);
}

static void close_pair(void) {
        close(pair.flow.fd);
        flow_deinit(&pair.flow);
        close(pair.peer);
}

static void send_one(void) {
        FlowEvent event;

        assert_int_equal(flow_send(&pair.flow, clock_now(), &event), 0);
        assert_int_equal(event.kind, FLOW_ANSWER);
}

/* Receives a datagram as the peer. */
static size_t take(struct sockaddr_in *client, char *data) {
        ssize_t n = recvfrom(pair.peer, data, FLOW_BUFFER_SIZE, 0, (struct sockaddr *)client,
                             &(socklen_t){ sizeof *client });

        assert_true(n >= 0);
        return (size_t)n;
}

static void answer(const struct sockaddr_in *client, const char *data, size_t size) {
        assert_int_equal(sendto(pair.peer, data, size, 0, (const struct sockaddr *)client,
                                sizeof *client),
                         size);
}

/* Waits for the next event. */
static FlowEvent next(void) {
        struct pollfd polled = { .fd = pair.flow.fd, .events = POLLIN };
        FlowEvent event;

        assert_int_equal(poll(&polled, 1, 120000), 1);
        assert_true(flow_next(&pair.flow, &event));
        return event;
}

/* An answer gets its verdict: intact, once more, changed, or to nothing that was sent. The latter
 * shows another service only before the first intact one. */
static void test_answers(void **state) {
        static char data[FLOW_BUFFER_SIZE];
        char foreign[FOREIGN_TEXT_SIZE] = "";
        struct sockaddr_in client;
        FlowEvent event;

        (void)state;
        open_pair(SIZE, 0);
        assert_false(flow_next(&pair.flow, &event));
        send_one();
        send_one();
        assert_int_equal(take(&client, data), SIZE);
        answer(&client, "nothing that was ever sent", 24);
        assert_int_equal(next().answer.verdict, VOLLEY_UNRECOGNIZED);
        flow_recognize(&pair.flow, foreign);
        assert_string_equal(foreign, "not an echo service: it answered «nothing that was ever se»");
        foreign[0] = '\0';
        answer(&client, data, SIZE);
        answer(&client, data, SIZE);
        event = next();
        assert_int_equal(event.kind, FLOW_ANSWER);
        assert_int_equal(event.answer.verdict, VOLLEY_ANSWERED);
        assert_int_equal(event.number, 0);
        assert_false(event.fragments);
        assert_int_equal(next().answer.verdict, VOLLEY_DUPLICATED);

        assert_int_equal(take(&client, data), SIZE);
        data[5] ^= 1;
        answer(&client, data, SIZE);
        event = next();
        assert_int_equal(event.answer.verdict, VOLLEY_CHANGED);
        assert_int_equal(event.number, 1);
        assert_int_equal(event.fault.offset, 5);

        answer(&client, "nothing that was ever sent", 24);
        assert_int_equal(next().answer.verdict, VOLLEY_UNRECOGNIZED);
        flow_recognize(&pair.flow, foreign);
        assert_string_equal(foreign, "");
        assert_false(flow_next(&pair.flow, &event));
        assert_int_equal(pair.flow.volley.counts.answered, 1);
        assert_int_equal(flow_overflow(&pair.flow), 0);
        close_pair();
}

/* A socket that does not report errors is refused, or one that sends fragments where none may go;
 * it may have a small buffer. */
static void test_refused(void **state) {
        static const struct {
                int level, name;
                bool fragment;
                int result;
        } cases[] = { { SOL_SOCKET, SO_RCVBUF, false, 0 },
                      { IPPROTO_IP, IP_RECVERR, false, -EPERM },
                      { IPPROTO_IP, IP_RECVERR, true, -EPERM },
                      { IPPROTO_IPV6, IPV6_RECVERR, true, -EPERM },
                      { IPPROTO_IP, IP_MTU_DISCOVER, true, 0 },
                      { IPPROTO_IP, IP_MTU_DISCOVER, false, -EPERM },
                      { IPPROTO_IPV6, IPV6_MTU_DISCOVER, false, -EPERM },
                      { IPPROTO_IPV6, IPV6_DONTFRAG, false, -EPERM } };
        const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        Payload payload;
        Flow flow;

        (void)state;
        payload_init(&payload, SIZE);
        for (size_t i = 0; i < COUNT(cases); i++) {
                option_refused.level = cases[i].level;
                option_refused.name = cases[i].name;
                assert_int_equal(flow_init(&flow, fd, &payload, 0, 64, 0, cases[i].fragment),
                                 cases[i].result);
                if (cases[i].result == 0)
                        flow_deinit(&flow);
        }
        option_refused.name = 0;
        close(fd);
}

/* A flow asks for a larger receive buffer than its socket has. */
static void test_receive_buffer(void **state) {
        const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int before, after;
        Payload payload;
        Flow flow;

        (void)state;
        payload_init(&payload, SIZE);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ 1 }, sizeof(int)), 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &before,
                                    &(socklen_t){ sizeof before }),
                         0);
        assert_int_equal(flow_init(&flow, fd, &payload, 0, 64, 0, true), 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &after,
                                    &(socklen_t){ sizeof after }),
                         0);
        assert_true(after > before);
        flow_deinit(&flow);
        close(fd);
}

/* Datagrams of no bytes are answered in the order of sending. */
static void test_no_bytes(void **state) {
        static char data[FLOW_BUFFER_SIZE];
        struct sockaddr_in client;
        FlowEvent event;

        (void)state;
        open_pair(0, 0);
        send_one();
        send_one();
        assert_int_equal(take(&client, data), 0);
        for (uint64_t i = 0; i < 2; i++) {
                answer(&client, data, 0);
                event = next();
                assert_int_equal(event.number, i);
                assert_int_equal(event.answer.verdict, VOLLEY_ANSWERED);
        }
        answer(&client, data, 0);
        assert_int_equal(next().answer.verdict, VOLLEY_DUPLICATED);
        close_pair();
}

/* A closed port rejects each datagram, and the event names it; the next one is sent all the same.
 */
static void test_closed_port(void **state) {
        uint64_t errors[FAILURE_KINDS] = {};
        FlowEvent event;

        (void)state;
        open_pair(SIZE, 0);
        close(pair.peer);
        for (uint64_t i = 0; i < 3; i++) {
                send_one();
                event = next();
                assert_int_equal(event.kind, FLOW_REJECTED);
                assert_int_equal(event.number, i);
                assert_int_equal(event.rejection.error, ECONNREFUSED);
                assert_int_equal(rejection_kind(&event.rejection), FAILURE_REFUSED);
                assert_string_equal(event.rejection.text, "port unreachable from 127.0.0.1");
        }
        assert_int_equal(pair.flow.volley.counts.rejected, 3);
        flow_add_errors(&pair.flow, errors);
        assert_int_equal(errors[FAILURE_REFUSED], 3);
        assert_int_equal(pair.flow.rejections.counts[0], 3);
        assert_int_equal(pair.flow.rejections.counts[1], 0);
        close_pair();
}

/* A datagram that this machine does not send is rejected at once, by this machine, and once. */
static void test_too_large(void **state) {
        FlowEvent event;

        (void)state;
        open_pair(65508, 0);
        assert_int_equal(flow_send(&pair.flow, clock_now(), &event), 0);
        assert_int_equal(event.kind, FLOW_REJECTED);
        assert_true(event.rejection.local);
        assert_int_equal(event.rejection.error, EMSGSIZE);
        assert_false(flow_next(&pair.flow, &event));
        assert_int_equal(pair.flow.volley.counts.rejected, 1);
        close_pair();
}

/* A datagram without an answer expires. */
static void test_expired(void **state) {
        FlowEvent event;

        (void)state;
        open_pair(SIZE, 1);
        send_one();
        while (!flow_next(&pair.flow, &event))
                ;
        assert_int_equal(event.kind, FLOW_EXPIRED);
        assert_int_equal(event.number, 0);
        close_pair();
}

/* Takes a datagram of the client's and returns whether the kernel stamped it when it came. */
static bool is_stamped(const struct sockaddr_in *client) {
        char byte, control[64] __attribute__((aligned(8)));
        struct msghdr message = {
                .msg_iov = &(struct iovec){ .iov_base = &byte, .iov_len = 1 },
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof control,
        };
        struct pollfd polled = { .fd = pair.flow.fd, .events = POLLIN };
        struct timespec now, stamp = {};
        const struct cmsghdr *header;

        answer(client, "x", 1);
        assert_int_equal(poll(&polled, 1, 120000), 1);
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
        assert_int_equal(recvmsg(pair.flow.fd, &message, 0), 1);
        header = CMSG_FIRSTHDR(&message);
        if (header == NULL || header->cmsg_type != SCM_TIMESTAMPNS)
                fail();
        else
                memcpy(&stamp, CMSG_DATA(header), sizeof stamp);
        return stamp.tv_sec < now.tv_sec ||
               (stamp.tv_sec == now.tv_sec && stamp.tv_nsec <= now.tv_nsec);
}

/* An answer that came in time is in time, however late the flow looks. */
static void test_late_look(void **state) {
        static char data[FLOW_BUFFER_SIZE];
        struct sockaddr_in client;
        uint64_t start;
        struct pollfd polled;
        FlowEvent event;

        (void)state;
        open_pair(SIZE, 120 * CLOCK_SECOND);
        send_one();
        assert_int_equal(take(&client, data), SIZE);
        answer(&client, data, SIZE);
        assert_int_equal(next().answer.verdict, VOLLEY_ANSWERED);
        /* The kernel begins to stamp a moment after the first socket asks for it. */
        while (!is_stamped(&client))
                ;

        start = clock_now();
        assert_int_equal(flow_send(&pair.flow, start, &event), 0);
        assert_int_equal(take(&client, data), SIZE);
        answer(&client, data, SIZE);
        polled = (struct pollfd){ .fd = pair.flow.fd, .events = POLLIN };
        assert_int_equal(poll(&polled, 1, 120000), 1);

        /* The end of its time, a moment after the answer came. */
        pair.flow.volley.timeout = clock_now() - start + CLOCK_MILLISECOND;
        clock_sleep(start + 2 * pair.flow.volley.timeout);
        assert_int_equal(next().answer.verdict, VOLLEY_ANSWERED);
        assert_false(flow_next(&pair.flow, &event));
        assert_int_equal(pair.flow.volley.counts.answered, 2);
        close_pair();
}

/* Somebody who sets the time of day, back or on by years, ages no answer: it has come now. */
static void test_time_of_day(void **state) {
        static const time_t times[] = { -1000, 1000000000 };
        static char data[FLOW_BUFFER_SIZE];

        (void)state;
        for (size_t i = 0; i < COUNT(times); i++) {
                const uint64_t start = clock_now();
                struct sockaddr_in client;
                FlowEvent event;

                open_pair(SIZE, 0);
                send_one();
                assert_int_equal(take(&client, data), SIZE);
                answer(&client, data, SIZE);
                set = times[i];
                event = next();
                set = 0;
                assert_int_equal(event.answer.verdict, VOLLEY_ANSWERED);
                assert_true(event.answer.time <= clock_now() - start);
                close_pair();
        }
}

/* A datagram whose time ends before the run expires; that of one that ends with it is unknown.
 */
static void test_expired_before_end(void **state) {
        FlowEvent event;
        uint64_t start;

        (void)state;
        open_pair(SIZE, 1);
        start = clock_now();
        assert_int_equal(flow_send(&pair.flow, start, &event), 0);
        pair.flow.end = start + 1;
        assert_false(flow_next(&pair.flow, &event));
        pair.flow.end = start + 2;
        assert_true(flow_next(&pair.flow, &event));
        assert_int_equal(event.kind, FLOW_EXPIRED);
        close_pair();
}

/* Answers do not hide a timeout: a late one comes behind it. */
static void test_expired_before_answers(void **state) {
        static char data[FLOW_BUFFER_SIZE];
        struct sockaddr_in client;
        FlowEvent event;

        (void)state;
        open_pair(SIZE, 1);
        send_one();
        assert_int_equal(take(&client, data), SIZE);
        answer(&client, "nothing that was ever sent", 24);
        answer(&client, data, SIZE);
        assert_int_equal(next().answer.verdict, VOLLEY_UNRECOGNIZED);
        event = next();
        assert_int_equal(event.kind, FLOW_EXPIRED);
        assert_int_equal(event.number, 0);
        event = next();
        assert_int_equal(event.answer.verdict, VOLLEY_LATE);
        assert_int_equal(event.number, 0);
        close_pair();
}

/* Connects the peer, which closes its port to all but @client. */
static void peer_connect(const struct sockaddr_in *client) {
        assert_int_equal(connect(pair.peer, (const struct sockaddr *)client, sizeof *client), 0);
}

/* An answer revokes the error about its datagram, intact or not. */
static void test_rejected_and_answered(void **state) {
        const struct sockaddr_in other = { .sin_family = AF_INET,
                                           .sin_port = htons(9),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in client = other;
        uint64_t errors[FAILURE_KINDS] = {};
        char data[SIZE];

        (void)state;
        open_pair(SIZE, 0);
        assert_int_equal(getsockname(pair.flow.fd, (struct sockaddr *)&client,
                                     &(socklen_t){ sizeof client }),
                         0);
        peer_connect(&other);
        for (uint64_t i = 0; i < 3; i++) {
                send_one();
                assert_int_equal(next().kind, FLOW_REJECTED);
        }
        assert_int_equal(pair.flow.rejections.counts[0], 3);

        peer_connect(&client);
        for (uint64_t i = 0; i < 2; i++) {
                memcpy(data, payload_make(&pair.payload, pair.flow.first + i), SIZE);
                data[50] = (char)(data[50] ^ (int)i);
                answer(&client, data, SIZE);
                assert_int_equal(next().answer.verdict, i == 0 ? VOLLEY_ANSWERED : VOLLEY_CHANGED);
        }
        assert_int_equal(pair.flow.rejections.counts[0], 1);
        flow_add_errors(&pair.flow, errors);
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                assert_int_equal(errors[kind], kind == FAILURE_DIFFERS || kind == FAILURE_REFUSED);
        close_pair();
}

/* Echoes datagrams, and writes a byte behind each. */
static void echo_and_tell(void *data) {
        const int *fds = data;
        char bytes[SIZE];

        for (;;) {
                ssize_t n = recv(fds[0], bytes, sizeof bytes, 0);

                assert_int_equal(send(fds[0], bytes, (size_t)n, 0), n);
                if (n == 0)
                        return;
                assert_int_equal(write(fds[1], "", 1), 1);
        }
}

/* No answer of a Unix socket is lost, at whatever moment it comes. */
static void test_unix_socket(void **state) {
        int sockets[2], told[2];
        FlowEvent event;
        pid_t child;

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets), 0);
        assert_int_equal(pipe(told), 0);
        payload_init(&pair.payload, SIZE);
        assert_int_equal(flow_init(&pair.flow, sockets[0], &pair.payload, 0, 64, 0, true), 0);
        child = process_fork(echo_and_tell, (int[]){ sockets[1], told[1] });
        for (int i = 0; i < 1000; i++) {
                struct pollfd polled = { .fd = told[0], .events = POLLIN };
                bool came = false;

                send_one();
                while (!came && poll(&polled, 1, 0) == 0)
                        came = flow_next(&pair.flow, &event);
                assert_true(came || flow_next(&pair.flow, &event));
                assert_int_equal(event.answer.verdict, VOLLEY_ANSWERED);
                assert_int_equal(read(told[0], &(char){ 0 }, 1), 1);
        }
        assert_int_equal(send(sockets[0], "", 0, 0), 0);
        process_wait_exit(child, 0);
        flow_deinit(&pair.flow);
        for (int i = 0; i < 2; i++) {
                close(sockets[i]);
                close(told[i]);
        }
}

/* Builds the control data of an error in @message, with the sender @size bytes at @sender. */
static void set_error(struct msghdr *message, int level, const struct sock_extended_err *error,
                      const void *sender, size_t size) {
        struct cmsghdr *header;

        header = CMSG_FIRSTHDR(message);
        header->cmsg_level = level;
        header->cmsg_type = level == IPPROTO_IP ? IP_RECVERR : IPV6_RECVERR;
        header->cmsg_len = CMSG_LEN(sizeof *error + size);
        memcpy(CMSG_DATA(header), error, sizeof *error);
        if (size > 0)
                memcpy(CMSG_DATA(header) + sizeof *error, sender, size);
        message->msg_controllen = CMSG_SPACE(sizeof *error + size);
}

static void check_text(int level, const struct sock_extended_err *error, const void *sender,
                       size_t size, const char *text) {
        char control[REJECTION_CONTROL_SIZE] __attribute__((aligned(8))) = {};
        struct msghdr message = { .msg_control = control, .msg_controllen = sizeof control };
        Rejection rejection;

        set_error(&message, level, error, sender, size);
        assert_true(rejection_parse(&message, &rejection));
        assert_string_equal(rejection.text, text);
        /* The sentence begins with the reason and ends with the sender. */
        assert_memory_equal(strstr(text, rejection.reason), rejection.reason,
                            strlen(rejection.reason));
        assert_string_equal(text + strlen(text) - strlen(rejection.sender), rejection.sender);
        assert_int_equal(rejection.sender[0] != '\0', strstr(text, " from ") != NULL);
        assert_int_equal(rejection.mtu, error->ee_errno == EMSGSIZE ? error->ee_info : 0);
        /* Cut data is not read. */
        message.msg_controllen--;
        for (; message.msg_controllen >= CMSG_LEN(sizeof *error + size); message.msg_controllen--)
                assert_true(rejection_parse(&message, &rejection));
        for (; message.msg_controllen > 0; message.msg_controllen--)
                assert_false(rejection_parse(&message, &rejection));
}

/* The sentence has the words of the RFCs, the MTU, and the sender. */
static void test_sentences(void **state) {
        struct sockaddr_in router = { .sin_family = AF_INET };
        struct sockaddr_in6 router6 = { .sin6_family = AF_INET6 };
        struct sock_extended_err error = { .ee_errno = EMSGSIZE,
                                           .ee_origin = SO_EE_ORIGIN_ICMP,
                                           .ee_type = ICMP_DEST_UNREACH,
                                           .ee_code = ICMP_FRAG_NEEDED,
                                           .ee_info = 1280 };

        (void)state;
        assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &router.sin_addr), 1);
        assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &router6.sin6_addr), 1);
        check_text(IPPROTO_IP, &error, &router, sizeof router,
                   "fragmentation needed, MTU 1280 from 192.0.2.1");
        check_text(IPPROTO_IP, &error, NULL, 0, "fragmentation needed, MTU 1280");
        error.ee_origin = SO_EE_ORIGIN_LOCAL;
        check_text(IPPROTO_IP, &error, &router, sizeof router, "cannot send: Message too long");
        error.ee_errno = ENETUNREACH;
        check_text(IPPROTO_IP, &error, &router, sizeof router,
                   "cannot send: Network is unreachable");
        error = (struct sock_extended_err){ .ee_errno = EACCES,
                                            .ee_origin = SO_EE_ORIGIN_ICMP6,
                                            .ee_type = ICMP6_DST_UNREACH,
                                            .ee_code = ICMP6_DST_UNREACH_ADMIN };
        check_text(IPPROTO_IPV6, &error, &router6, sizeof router6,
                   "administratively prohibited from 2001:db8::1");
        error.ee_code = 77;
        check_text(IPPROTO_IPV6, &error, &router6, sizeof router6,
                   "ICMP type 1 code 77 from 2001:db8::1");
}

/* Equal sentences are counted together, and those for which there is no room in the last place. A
 * place without a count is free again. */
static void test_rejections(void **state) {
        Rejections rejections = {}, sum = {};
        Rejection rejection = {};

        (void)state;
        for (int i = 0; i < 3 * (REJECTIONS_MAXIMUM + 1); i++) {
                snprintf(rejection.text, sizeof rejection.text, "reason %d",
                         i % (REJECTIONS_MAXIMUM + 1));
                rejections.counts[rejections_place(&rejections, &rejection)]++;
        }
        for (int i = 0; i < REJECTIONS_MAXIMUM - 1; i++) {
                snprintf(rejection.text, sizeof rejection.text, "reason %d", i);
                assert_string_equal(rejections.list[i].text, rejection.text);
                assert_int_equal(rejections.counts[i], 3);
        }
        assert_string_equal(rejections.list[REJECTIONS_MAXIMUM - 1].text, "other reasons");
        assert_int_equal(rejections.counts[REJECTIONS_MAXIMUM - 1], 6);

        rejections.counts[0] = rejections.counts[1] = 0;
        assert_int_equal(rejections_most(&rejections), REJECTIONS_MAXIMUM - 1);
        rejections.counts[4]++;
        rejections.counts[REJECTIONS_MAXIMUM - 1] = 3;
        assert_int_equal(rejections_most(&rejections), 4);
        rejections.counts[REJECTIONS_MAXIMUM - 1] = 6;
        rejections.counts[4]--;
        snprintf(rejection.text, sizeof rejection.text, "reason 1");
        assert_int_equal(rejections_place(&rejections, &rejection), 1);
        snprintf(rejection.text, sizeof rejection.text, "another one");
        assert_int_equal(rejections_place(&rejections, &rejection), 0);
        for (int i = 0; i < 2; i++)
                rejections_add(&sum, &rejections);
        assert_string_equal(sum.list[REJECTIONS_MAXIMUM - 1].text, "other reasons");
        assert_int_equal(sum.counts[REJECTIONS_MAXIMUM - 1], 12);
        assert_string_equal(sum.list[0].text, "reason 2");
        assert_int_equal(sum.counts[0], 6);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_receive_buffer),
                cmocka_unit_test(test_no_bytes),
                cmocka_unit_test(test_closed_port),
                cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_expired),
                cmocka_unit_test(test_sentences),
                cmocka_unit_test(test_rejections),
                cmocka_unit_test(test_expired_before_end),
                cmocka_unit_test(test_expired_before_answers),
                cmocka_unit_test(test_late_look),
                cmocka_unit_test(test_time_of_day),
                cmocka_unit_test(test_unix_socket),
                cmocka_unit_test(test_rejected_and_answered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
