/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/content/foreign.h"
#include "client/content/payload.h"
#include "client/content/volley.h"
#include "client/network/rejection.h"
#include "lib/clock.h"

enum {
        /* One byte more than the longest datagram. */
        FLOW_BUFFER_SIZE = PAYLOAD_SIZE_MAXIMUM + 1,
        /* Callers of flow_next() take this many events before they look at the time and at signals:
         * a peer can send faster than they receive. */
        FLOW_BATCH = 64,
};

/* --flood sends this long after the last datagram, even without an answer to it. */
#define FLOW_FLOOD (10 * CLOCK_MILLISECOND)

/* A connected datagram socket, from one local port to one peer, and the counts of its datagrams. */
typedef struct Flow {
        int fd; /* owned by the caller */
        /* The socket has a queue of errors. That of a Unix socket would be its answers: the kernel
         * ignores MSG_ERRQUEUE there. */
        bool errors;
        Payload *payload; /* makes the datagrams of all flows of the process */
        /* The number in the payload of the flow's first datagram. */
        uint64_t first;
        Volley volley;
        Rejections rejections;
        /* The sizes of the last datagrams, a ring as large as the volley's, which the caller sets
         * and owns; NULL at first: all have the size of the payload. */
        uint16_t *sizes;
        uint32_t mtu;  /* the MTU of the interface, once a datagram was larger; 0 before */
        uint64_t seen; /* all answers that came before this instant are received */
        /* The end of the run, which the caller sets; CLOCK_NEVER at first. Answers that come then
         * or later do not count. */
        uint64_t end;
        /* The answer that flow_next() found last, and its size. */
        size_t answer_size;
        char *answer;
} Flow;

typedef enum FlowEventKind {
        FLOW_ANSWER,   /* an answer came, and the volley has a verdict */
        FLOW_REJECTED, /* a datagram was rejected */
        FLOW_EXPIRED,  /* a datagram exceeded the timeout */
} FlowEventKind;

typedef struct FlowEvent {
        FlowEventKind kind;
        uint64_t number; /* the number of the datagram in the volley; undefined if unrecognized */
        /* FLOW_ANSWER: the verdict, the size of the datagram, the fault of a changed answer, and
         * whether the answer came in fragments. */
        VolleyAnswer answer;
        size_t size;
        Fault fault;
        bool fragments;
        Rejection rejection; /* FLOW_REJECTED */
} FlowEvent;

/*
 * flow_init: Prepares the socket @fd of a datagram connection (connection_begin()): the queue of
 * errors and a larger receive buffer. The flow borrows @fd and @payload. @index is the number of
 * the flow, below 2^16: answers to another flow are unrecognized. @capacity and @timeout are those
 * of volley_init(). @fragment is false to send no fragments: packets have the bit "don't fragment",
 * whatever the kernel knows about the path (IP_PMTUDISC_PROBE, ip(7)).
 *
 * Returns 0; the caller calls flow_deinit(). Returns a negative errno of setsockopt(2), or -ENOMEM.
 */
int flow_init(Flow *ret_flow, int fd, Payload *payload, uint64_t index, size_t capacity,
              uint64_t timeout, bool fragment);
void flow_deinit(Flow *flow);

/*
 * flow_send: Sends the next datagram. Its round trip counts from @since, at most now and never
 * before that of the last one.
 *
 * Returns 0 and sets the kind of @ret_event: FLOW_REJECTED if this machine did not send it, which
 * also counts, else FLOW_ANSWER. Returns -EAGAIN, and counts nothing, while the send buffer is
 * full: the socket becomes writable.
 */
int flow_send(Flow *flow, uint64_t since, FlowEvent *ret_event);

/* flow_reject: Counts the next datagram as one that this machine did not send, because flow_send()
 * has returned -EAGAIN for too long. Sets @ret_event to its rejection. */
void flow_reject(Flow *flow, uint64_t since, FlowEvent *ret_event);

/*
 * flow_next: Finds what happened next: an expired timeout, an answer or a rejection. An answer that
 * came in time precedes the timeout, however late this call is; no number of later answers hides
 * it. Never waits.
 *
 * Returns true and sets @ret_event, or returns false when nothing happened. The socket is readable
 * (POLLIN or POLLERR) before it does, or volley_deadline() is over.
 */
bool flow_next(Flow *flow, FlowEvent *ret_event);

/* flow_recognize: Recognizes another service by the answer that flow_next() found last, as
 * foreign_describe() does, and then sets @ret_foreign. A service that has answered a datagram
 * correctly is an echo service. */
void flow_recognize(const Flow *flow, char ret_foreign[static FOREIGN_TEXT_SIZE]);

/*
 * flow_add_errors: Adds the failed datagrams to @errors by kind, each once: those lost or late,
 * changed, and rejected. Those that are open have not failed.
 *
 * flow_overflow: Returns the number of answers that the socket's receive buffer had no room for;
 * they count as lost.
 */
void flow_add_errors(const Flow *flow, uint64_t errors[static FAILURE_KINDS]);
uint64_t flow_overflow(const Flow *flow);
