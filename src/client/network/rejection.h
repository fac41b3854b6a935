/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/failure.h"

enum {
        /* Room for a sentence with an IPv6 address. */
        REJECTION_TEXT_SIZE = 128,
        REJECTION_REASON_SIZE = 48,
        /* Rejections has this many sentences. */
        REJECTIONS_MAXIMUM = 8,
        /* Room for the control data of an error message. */
        REJECTION_CONTROL_SIZE = 256,
};

/* The reason why a datagram did not get through: an ICMP error (RFC 792, RFC 4443) from the network
 * or the peer, or this machine's refusal to send it. */
typedef struct Rejection {
        int error;  /* a positive errno */
        bool local; /* this machine refused */
        /* Of EMSGSIZE: the largest packet that fits, with its headers; 0 if unknown. */
        uint32_t mtu;
        /* As "port unreachable", and "192.0.2.1": the sender of the ICMP error, empty if unknown.
         */
        char reason[REJECTION_REASON_SIZE];
        char sender[INET6_ADDRSTRLEN];
        char text[REJECTION_TEXT_SIZE]; /* both, as "port unreachable from 192.0.2.1" */
} Rejection;

/* Rejections by sentence, and the datagrams that each of them keeps without an answer: 0 where all
 * have one by now. The last place stands for all sentences without a place. */
typedef struct Rejections {
        uint64_t counts[REJECTIONS_MAXIMUM];
        Rejection list[REJECTIONS_MAXIMUM];
} Rejections;

/*
 * rejection_parse: Finds the error in the control data of @message, as recvmsg(2) with MSG_ERRQUEUE
 * sets it (IP_RECVERR, ip(7); IPV6_RECVERR, ipv6(7)).
 *
 * Returns true and sets @ret_rejection, or returns false for any other control data.
 */
bool rejection_parse(const struct msghdr *message, Rejection *ret_rejection);

/*
 * rejection_set: Sets @ret_rejection to this machine's refusal with the errno @error.
 *
 * rejection_kind: Returns the kind of failure.
 */
void rejection_set(Rejection *ret_rejection, int error);
FailureKind rejection_kind(const Rejection *rejection);

/*
 * rejections_place: Returns the place of the sentence of @rejection, below REJECTIONS_MAXIMUM. It
 * stays the same as long as it has a count, which the caller changes.
 *
 * rejections_add: Adds the counts of @other.
 *
 * rejections_most: Returns the first place with the highest count.
 */
size_t rejections_place(Rejections *rejections, const Rejection *rejection);
void rejections_add(Rejections *rejections, const Rejections *other);
size_t rejections_most(const Rejections *rejections);
