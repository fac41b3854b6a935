/* SPDX-License-Identifier: MIT */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "handler/guard.h"

/* Answers the datagrams of one socket (RFC 862): UDP over IPv4 and IPv6, or a Unix socket. */

/* In memory that a handler shares with its master: a hint, never relied on. */
typedef struct DatagramCounts {
        _Atomic uint64_t verdicts[GUARD_VERDICTS]; /* by guard.h; GUARD_ANSWER counts the answers */
        _Atomic uint64_t dropped; /* answers that the kernel did not take, and what is too long */
        _Atomic uint64_t bytes;   /* echoed */
        _Atomic uint32_t news;    /* the handler has news for the master; see datagram_run() */
} DatagramCounts;

typedef struct Datagram {
        int in;                 /* for reading, and replaced by a signal handler as that of Echo */
        int out;                /* for writing: the same socket */
        int news;               /* an eventfd for news to the master, or -1 */
        in_port_t port;         /* of the socket, in host byte order; 0 without one */
        bool local;             /* a Unix socket */
        bool segments;          /* see datagram_segments() */
        Guard *guard;           /* stays the caller's */
        DatagramCounts *counts; /* stays the caller's */
        const volatile sig_atomic_t *stopping; /* a signal handler has ended the reading */
} Datagram;

enum {
        /* Room for the control data of a datagram in either direction. */
        DATAGRAM_CONTROL_SIZE = 256,
};

/*
 * datagram_init: Prepares the socket @fd for datagram_run(): the kernel reports where each datagram
 * went (IP_PKTINFO, ip(7); IPV6_RECVPKTINFO, ipv6(7)) or who sent it (SO_PASSCRED, unix(7)), and
 * reads block. The last handler of the socket may have changed that: each calls this anew.
 *
 * Returns 0, or a negative errno.
 */
int datagram_init(int fd);

/* datagram_segments: Returns whether the kernel can divide what is sent on @fd at once into several
 * datagrams (UDP_SEGMENT, udp(7)). A kernel that does not know that would join them. */
bool datagram_segments(int fd);

/*
 * datagram_parse: Reads from @message, as recvmsg(2) has filled it in, where it came from and went
 * to; @port is that of the socket.
 *
 * Returns whether the kernel said all of that; if not, nobody can answer the datagram.
 */
bool datagram_parse(const struct msghdr *message, in_port_t port, GuardRequest *ret_request);

/* datagram_address: Sets the control data of @message, DATAGRAM_CONTROL_SIZE bytes, so that an
 * answer to @request comes from the address that it went to. */
void datagram_address(const GuardRequest *request, struct msghdr *message);

/*
 * datagram_turn: Waits for datagrams, reads up to 16 of them, and answers each at most once, with
 * the bytes that it has. With `segments` it sends answers of one length to one client together, if
 * they are next to each other. Answers that the kernel does not take at once are dropped and
 * counted.
 *
 * Returns 0, or a negative errno of recvmmsg(2): -EINTR after a signal.
 */
int datagram_turn(Datagram *datagram);

/*
 * datagram_run: Answers datagrams until `stopping` is true. When `news` in the counts is 0 after a
 * turn, it sets it and writes to the eventfd: the master sets it to 0 when it wants to know again.
 *
 * Returns 0, or a negative errno of recvmmsg(2).
 */
int datagram_run(Datagram *datagram);
