/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/failure.h"

typedef struct Rejection Rejection;
typedef struct Rejections Rejections;

enum {
        /* Room for a sentence with an IPv6 address. */
        REJECTION_TEXT_SIZE = 128,
        /* Rejections keeps this many sentences. */
        REJECTIONS_MAXIMUM = 8,
        /* Room for the control data of an error message. */
        REJECTION_CONTROL_SIZE = 256,
};

/*
 * The reason why a datagram did not get through: an ICMP error (RFC 792, RFC 4443) from the network
 * or the peer, or this machine's refusal to send it.
 */
struct Rejection {
        /* A positive errno. */
        int error;
        /* This machine refused. */
        bool local;
        /* Of EMSGSIZE: the largest packet that fits, with its headers; 0 if unknown. */
        uint32_t mtu;
        /* As "port unreachable from 192.0.2.1". */
        char text[REJECTION_TEXT_SIZE];
};

/*
 * Rejections by sentence, and how often each came.
 */
struct Rejections {
        uint64_t counts[REJECTIONS_MAXIMUM];
        char texts[REJECTIONS_MAXIMUM][REJECTION_TEXT_SIZE];
};

/*
 * rejection_parse: Finds the error in the control data of @message, as recvmsg(2) with MSG_ERRQUEUE
 * sets it (IP_RECVERR, ip(7); IPV6_RECVERR, ipv6(7)).
 *
 * Returns true and sets @ret_rejection, or returns false for any other control data.
 */
bool rejection_parse(const struct msghdr *message, Rejection *ret_rejection);

/*
 * rejection_set: Sets @ret_rejection to this machine's refusal with the errno @error.
 */
void rejection_set(Rejection *ret_rejection, int error);

/*
 * rejection_kind: Returns the kind of failure.
 */
FailureKind rejection_kind(const Rejection *rejection);

/*
 * rejections_count: Counts @count rejections with the sentence @text, unless there are
 * REJECTIONS_MAXIMUM others. rejections_add: Counts all of @other.
 */
void rejections_count(Rejections *rejections, const char *text, uint64_t count);
void rejections_add(Rejections *rejections, const Rejections *other);
