/* SPDX-License-Identifier: MIT */
/*
 * Sends datagrams from one socket, and says what happened to each.
 *
 * The socket is connected: the kernel drops answers from other addresses, and reports ICMP errors.
 * With IP_RECVERR each error goes to a queue, with its sender and the beginning of the datagram
 * that it is about. The next system call also fails once with the errno of an error, and does
 * nothing else. A failed call is repeated, because only an errno that stays is its own.
 *
 * The kernel stamps each answer when it comes (SO_TIMESTAMPNS). Where this process gets no
 * processor for a while, the stamp shows which answers came before a timeout, and that this wait is
 * no part of a round trip. Its clock is that of the time of day, which somebody may set, so it
 * serves for nothing else. The kernel begins to stamp a moment after the first socket asks for it.
 * An answer without a stamp has the instant at which it is received. A datagram expires once the
 * flow has seen all that came before the end of its time. An empty queue shows that, or an answer
 * with a later stamp.
 *
 * Some routers quote too little of a datagram to find its number, and datagrams of no bytes have
 * none. Their events go to the datagram that has been open for the longest time.
 *
 * Nothing here may wait: one process serves many flows.
 */
#include "client/network/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/sock_diag.h>

#include "client/network/kernel.h"
#include "lib/clock.h"

enum {
        /* Room for thousands of answers, as far as the kernel allows it (socket(7)). */
        FLOW_RECEIVE_BUFFER = 4 << 20,
        /* A call that fails this often fails for a reason of its own. */
        FLOW_ATTEMPTS = 4,
        /* Flows share the numbers of the payload: each has 2^30 of them before they overlap. */
        FLOW_NUMBERS_BITS = 30,
};

/* A message and its control data. */
typedef struct FlowMessage {
        struct msghdr header;
        struct iovec vector;
        char control[REJECTION_CONTROL_SIZE] __attribute__((aligned(8)));
} FlowMessage;

static int flow_set(int fd, int level, int option, int value) {
        return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* Prepares a socket of UDP: errors, fragments of answers, and no fragments of datagrams. An IPv6
 * socket may have an IPv4 address mapped to IPv6, and needs both options. */
static int flow_prepare(int fd, bool ipv6, bool fragment) {
        int r;

        r = flow_set(fd, IPPROTO_IP, IP_RECVERR, 1);
        if (r == 0 && ipv6)
                r = flow_set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        /* Kernels without the option report no fragments. */
        (void)flow_set(fd, IPPROTO_IP, IP_RECVFRAGSIZE, 1);
        (void)flow_set(fd, IPPROTO_IPV6, IPV6_RECVFRAGSIZE, 1);
        if (r < 0 || fragment)
                return r;

        r = flow_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
        if (r == 0 && ipv6)
                r = flow_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
        if (r == 0 && ipv6)
                r = flow_set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
        return r;
}

int flow_init(Flow *ret_flow, int fd, Payload *payload, uint64_t index, size_t capacity,
              uint64_t timeout, bool fragment) {
        int family = AF_UNSPEC, r = 0;
        bool internet;

        (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &(socklen_t){ sizeof family });
        (void)flow_set(fd, SOL_SOCKET, SO_RCVBUF, FLOW_RECEIVE_BUFFER);
        (void)flow_set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
        internet = family == AF_INET || family == AF_INET6;
        if (internet)
                r = flow_prepare(fd, family == AF_INET6, fragment);
        if (r < 0)
                return r;

        *ret_flow = (Flow){ .fd = fd,
                            .errors = internet,
                            .payload = payload,
                            .first = index << FLOW_NUMBERS_BITS,
                            .end = CLOCK_NEVER,
                            .answer = malloc(FLOW_BUFFER_SIZE) };
        r = volley_init(&ret_flow->volley, capacity, timeout);
        if (r == 0 && ret_flow->answer != NULL)
                return 0;
        flow_deinit(ret_flow);
        return -ENOMEM;
}

void flow_deinit(Flow *flow) {
        volley_deinit(&flow->volley);
        free(flow->answer);
}

static bool flow_count_rejection(Flow *flow, uint64_t number, FlowEvent *event) {
        const size_t place = rejections_place(&flow->rejections, &event->rejection);

        event->kind = FLOW_REJECTED;
        event->number = number;
        if (!volley_reject(&flow->volley, number, (unsigned)place))
                return false;
        flow->rejections.counts[place]++;
        return true;
}

/* Counts the next datagram, which the kernel did not take because of @error, 0 if it did. */
static void flow_count(Flow *flow, uint64_t since, int error, FlowEvent *ret_event) {
        const uint64_t number = flow->volley.counts.sent;

        *ret_event = (FlowEvent){ .kind = FLOW_ANSWER };
        if (flow->sizes != NULL)
                flow->sizes[number & (flow->volley.capacity - 1)] = (uint16_t)flow->payload->size;
        (void)volley_send(&flow->volley, since);
        if (error == 0)
                return;
        rejection_set(&ret_event->rejection, error);
        (void)flow_count_rejection(flow, number, ret_event);
}

int flow_send(Flow *flow, uint64_t since, FlowEvent *ret_event) {
        const uint64_t number = flow->first + flow->volley.counts.sent;
        const void *bytes = payload_make(flow->payload, number);
        ssize_t n;

        for (int i = 0; i < FLOW_ATTEMPTS; i++) {
                n = send(flow->fd, bytes, flow->payload->size, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n >= 0 || errno == EAGAIN)
                        break;
        }
        if (n < 0 && errno == EAGAIN)
                return -EAGAIN;

        flow_count(flow, since, n < 0 ? errno : 0, ret_event);
        return 0;
}

void flow_reject(Flow *flow, uint64_t since, FlowEvent *ret_event) {
        flow_count(flow, since, EAGAIN, ret_event);
}

/* Returns whether the answer came in fragments: whether the kernel has their size. */
static bool flow_has_fragments(struct msghdr *message) {
        int size = 0;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
             header = CMSG_NXTHDR(message, header))
                if ((header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVFRAGSIZE) ||
                    (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_RECVFRAGSIZE))
                        memcpy(&size, CMSG_DATA(header), sizeof size);
        return size != 0;
}

/* Finds the number of a datagram by the @size bytes at @data of it. Without enough of them it is
 * the one that has been open for the longest time. */
static bool flow_find(Flow *flow, const void *data, size_t size, uint64_t *ret_number) {
        const Payload *payload = flow->payload;
        const uint64_t sent = flow->volley.counts.sent;

        if (payload->size == 0 || size == 0)
                return volley_find_open(&flow->volley, ret_number);
        if (!payload_find(payload, data, size, flow->first, flow->first + sent, ret_number))
                return false;
        *ret_number -= flow->first;
        return true;
}

/* Returns the instant at which an answer came that was received at @now. */
static uint64_t flow_arrival(struct msghdr *message, uint64_t now) {
        struct timespec stamp, day;
        int64_t age = 0;

        (void)clock_gettime(CLOCK_REALTIME, &day);
        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
             header = CMSG_NXTHDR(message, header)) {
                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_TIMESTAMPNS)
                        continue;
                memcpy(&stamp, CMSG_DATA(header), sizeof stamp);
                age = (day.tv_sec - stamp.tv_sec) * (int64_t)CLOCK_SECOND + day.tv_nsec -
                      stamp.tv_nsec;
        }
        /* Somebody may have set the time of day meanwhile. */
        return age > 0 && (uint64_t)age < now ? now - (uint64_t)age : now;
}

/* Compares the answer with the datagram of @event, which had its size. */
static bool flow_compare(Flow *flow, FlowEvent *event) {
        Payload *payload = flow->payload;
        const size_t size = payload->size;
        bool intact;

        if (flow->sizes != NULL)
                payload->size = flow->sizes[event->number & (flow->volley.capacity - 1)];
        event->size = payload->size;
        intact = payload_compare(payload, flow->first + event->number, flow->answer,
                                 flow->answer_size, &event->fault);
        payload->size = size;
        return intact;
}

static void flow_judge(Flow *flow, uint64_t now, FlowEvent *event) {
        Volley *volley = &flow->volley;
        bool intact = true;

        event->kind = FLOW_ANSWER;
        /* An unrecognized answer has the number of one that was not sent. */
        if (!flow_find(flow, flow->answer, flow->answer_size, &event->number))
                event->number = flow->payload->size == 0 && volley->counts.sent > 0
                                                ? volley->counts.sent - 1
                                                : volley->counts.sent;
        else
                intact = flow_compare(flow, event);
        event->answer = volley_receive(volley, event->number, now, intact);
        if (event->answer.revokes)
                flow->rejections.counts[event->answer.reason]--;
}

/* Receives into the answer of @flow, and what comes with it into @ret_message. */
static ssize_t flow_receive_message(Flow *flow, FlowMessage *ret_message, int flags) {
        ret_message->vector =
                        (struct iovec){ .iov_base = flow->answer, .iov_len = FLOW_BUFFER_SIZE };
        ret_message->header = (struct msghdr){ .msg_iov = &ret_message->vector,
                                               .msg_iovlen = 1,
                                               .msg_control = ret_message->control,
                                               .msg_controllen = sizeof ret_message->control };
        return recvmsg(flow->fd, &ret_message->header, flags | MSG_DONTWAIT);
}

static bool flow_receive(Flow *flow, FlowEvent *event) {
        FlowMessage message;
        uint64_t now = clock_now(), arrival;
        ssize_t n = -1;

        for (int i = 0; i < FLOW_ATTEMPTS && n < 0; i++) {
                n = flow_receive_message(flow, &message, 0);
                if (n < 0 && errno == EAGAIN)
                        break;
        }
        if (n < 0) {
                flow->seen = clock_earlier(now, flow->end - 1);
                return false;
        }

        now = clock_now();
        arrival = flow_arrival(&message.header, now);
        if (now >= clock_earlier(volley_deadline(&flow->volley), flow->end) ||
            now - arrival >= KERNEL_STALL) {
                now = arrival;
                flow->seen = clock_earlier(now, flow->end - 1);
        }
        if (now >= flow->end)
                return false;
        flow->answer_size = (size_t)n;
        flow_judge(flow, now, event);
        event->fragments = flow_has_fragments(&message.header);
        return true;
}

/* Takes one error from the queue. Returns false for an empty queue; otherwise sets @ret_counted to
 * whether it is about a datagram. */
static bool flow_take_error(Flow *flow, FlowEvent *event, bool *ret_counted) {
        FlowMessage message;
        ssize_t n = flow_receive_message(flow, &message, MSG_ERRQUEUE);
        uint64_t number;

        *ret_counted = false;
        if (n < 0 || !rejection_parse(&message.header, &event->rejection))
                return n >= 0;
        if (event->rejection.local) {
                /* flow_send() has counted it. */
                if (event->rejection.mtu != 0)
                        flow->mtu = event->rejection.mtu;
                return true;
        }
        if (flow_find(flow, flow->answer, (size_t)n, &number))
                *ret_counted = flow_count_rejection(flow, number, event);
        return true;
}

bool flow_next(Flow *flow, FlowEvent *ret_event) {
        bool counted;

        *ret_event = (FlowEvent){ .kind = FLOW_EXPIRED };
        if (volley_expire(&flow->volley, flow->seen, &ret_event->number) ||
            flow_receive(flow, ret_event) ||
            volley_expire(&flow->volley, flow->seen, &ret_event->number))
                return true;
        for (int i = 0;
             i < FLOW_BATCH && flow->errors && flow_take_error(flow, ret_event, &counted); i++)
                if (counted)
                        return true;
        return false;
}

void flow_recognize(const Flow *flow, char ret_foreign[static FOREIGN_TEXT_SIZE]) {
        const size_t size = flow->answer_size < flow->payload->size ? flow->answer_size
                                                                    : flow->payload->size;

        if (flow->volley.counts.answered + flow->volley.counts.late == 0)
                (void)foreign_describe(flow->answer, flow->payload->bytes, size, ret_foreign);
}

void flow_add_errors(const Flow *flow, uint64_t errors[static FAILURE_KINDS]) {
        const VolleyCounts *counts = &flow->volley.counts;
        const Rejections *rejections = &flow->rejections;

        errors[FAILURE_TIMEOUT] += volley_lost(counts) + counts->late;
        errors[FAILURE_DIFFERS] += counts->changed;
        for (size_t i = 0; i < REJECTIONS_MAXIMUM; i++)
                if (rejections->counts[i] > 0)
                        errors[rejection_kind(&rejections->list[i])] += rejections->counts[i];
}

uint64_t flow_overflow(const Flow *flow) {
        uint32_t figures[SK_MEMINFO_VARS] = {};

        (void)getsockopt(flow->fd, SOL_SOCKET, SO_MEMINFO, figures, &(socklen_t){ sizeof figures });
        return figures[SK_MEMINFO_DROPS];
}
