/* SPDX-License-Identifier: MIT */
/*
 * Says who rejected a datagram, and why.
 *
 * A socket with IP_RECVERR or IPV6_RECVERR has a queue of errors. The control data of each contains
 * the type and code of the ICMP message and the address of its sender: the peer, a router, or this
 * machine, for example after ARP found nobody. The address distinguishes a firewall from a closed
 * port.
 *
 * The sentence keeps the words of the RFCs. Codes without a name here keep their numbers.
 *
 * A message can be forged: no number in it may be used to find anything in memory.
 */
#include "client/network/rejection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

/* The last place has all those for which there is no place of their own. */
#define OTHER_REASONS "other reasons"

typedef struct RejectionName {
        uint8_t type;
        uint8_t code;
        const char *text;
} RejectionName;

static const RejectionName rejection_names[] = {
        { ICMP_DEST_UNREACH, ICMP_NET_UNREACH, "network unreachable" },
        { ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, "host unreachable" },
        { ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, "protocol unreachable" },
        { ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, "port unreachable" },
        { ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, "fragmentation needed" },
        { ICMP_DEST_UNREACH, ICMP_NET_ANO, "network prohibited" },
        { ICMP_DEST_UNREACH, ICMP_HOST_ANO, "host prohibited" },
        { ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, "administratively prohibited" },
        { ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, "time to live exceeded" },
};

static const RejectionName rejection_names6[] = {
        { ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE, "no route" },
        { ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN, "administratively prohibited" },
        { ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, "address unreachable" },
        { ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT, "port unreachable" },
        { ICMP6_PACKET_TOO_BIG, 0, "packet too big" },
        { ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT, "hop limit exceeded" },
};

static const char *rejection_name(const struct sock_extended_err *error) {
        const bool six = error->ee_origin == SO_EE_ORIGIN_ICMP6;
        const RejectionName *names = six ? rejection_names6 : rejection_names;
        const size_t count = six ? sizeof rejection_names6 / sizeof *names
                                 : sizeof rejection_names / sizeof *names;

        for (size_t i = 0; i < count; i++)
                if (names[i].type == error->ee_type && names[i].code == error->ee_code)
                        return names[i].text;
        return NULL;
}

/* Sets the message's sender to the address in the @size bytes at @data, if there is one. */
static void rejection_set_sender(const void *data, size_t size, Rejection *rejection) {
        struct sockaddr_in ipv4 = {};
        struct sockaddr_in6 ipv6 = {};

        memcpy(&ipv4, data, size < sizeof ipv4 ? size : sizeof ipv4);
        memcpy(&ipv6, data, size < sizeof ipv6 ? size : sizeof ipv6);
        if (size >= sizeof ipv6 && ipv6.sin6_family == AF_INET6)
                (void)inet_ntop(AF_INET6, &ipv6.sin6_addr, rejection->sender,
                                sizeof rejection->sender);
        else if (size >= sizeof ipv4 && ipv4.sin_family == AF_INET)
                (void)inet_ntop(AF_INET, &ipv4.sin_addr, rejection->sender,
                                sizeof rejection->sender);
}

static void rejection_describe(const struct sock_extended_err *error, const void *sender,
                               size_t size, Rejection *rejection) {
        const char *name = rejection_name(error);
        char mtu[sizeof ", MTU 4294967295"] = "";

        if (name != NULL)
                snprintf(rejection->reason, sizeof rejection->reason, "%s", name);
        else
                snprintf(rejection->reason, sizeof rejection->reason, "ICMP type %u code %u",
                         error->ee_type, error->ee_code);
        rejection_set_sender(sender, size, rejection);
        if (rejection->mtu > 0)
                snprintf(mtu, sizeof mtu, ", MTU %u", rejection->mtu);
        snprintf(rejection->text, sizeof rejection->text, "%s%s%s%s", rejection->reason, mtu,
                 rejection->sender[0] != '\0' ? " from " : "", rejection->sender);
}

static void rejection_read(const struct sock_extended_err *error, const void *sender, size_t size,
                           Rejection *ret_rejection) {
        const bool large = error->ee_errno == EMSGSIZE;

        if (error->ee_origin == SO_EE_ORIGIN_ICMP || error->ee_origin == SO_EE_ORIGIN_ICMP6) {
                *ret_rejection = (Rejection){ .error = (int)error->ee_errno };
                ret_rejection->mtu = large ? error->ee_info : 0;
                rejection_describe(error, sender, size, ret_rejection);
        } else {
                rejection_set(ret_rejection, (int)error->ee_errno);
                ret_rejection->mtu = large ? error->ee_info : 0;
        }
}

static bool rejection_is(const struct cmsghdr *header) {
        return (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVERR) ||
               (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_RECVERR);
}

bool rejection_parse(const struct msghdr *message, Rejection *ret_rejection) {
        const char *end = (const char *)message->msg_control + message->msg_controllen;
        struct msghdr control = *message;
        struct sock_extended_err error;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(&control); header != NULL;
             header = CMSG_NXTHDR(&control, header)) {
                const char *data = (const char *)CMSG_DATA(header);

                if (!rejection_is(header) || header->cmsg_len < CMSG_LEN(sizeof error) ||
                    header->cmsg_len > (size_t)(end - (const char *)header))
                        continue;
                memcpy(&error, data, sizeof error);
                rejection_read(&error, data + sizeof error,
                               header->cmsg_len - CMSG_LEN(sizeof error), ret_rejection);
                return true;
        }
        return false;
}

void rejection_set(Rejection *ret_rejection, int error) {
        const bool full = error == EAGAIN;

        *ret_rejection = (Rejection){ .error = full ? ETIME : error, .local = true };
        snprintf(ret_rejection->reason, sizeof ret_rejection->reason, "%s",
                 full ? "the queue stays full" : strerror(error));
        snprintf(ret_rejection->text, sizeof ret_rejection->text, "cannot send: %s",
                 ret_rejection->reason);
}

FailureKind rejection_kind(const Rejection *rejection) {
        FailureKind kind = failure_kind_from_errno(rejection->error);

        return kind == FAILURE_LOCAL && !rejection->local ? FAILURE_UNREACHABLE : kind;
}

size_t rejections_place(Rejections *rejections, const Rejection *rejection) {
        const size_t last = REJECTIONS_MAXIMUM - 1;
        size_t i = 0;

        for (size_t place = 0; place < last; place++)
                if (strcmp(rejections->list[place].text, rejection->text) == 0)
                        return place;
        if (strcmp(rejection->text, OTHER_REASONS) == 0)
                i = last;
        while (i < last && rejections->counts[i] > 0)
                i++;
        if (rejections->counts[i] > 0)
                return i;

        rejections->list[i] = *rejection;
        if (i == last) {
                rejections->list[i].sender[0] = '\0';
                snprintf(rejections->list[i].reason, REJECTION_REASON_SIZE, OTHER_REASONS);
                snprintf(rejections->list[i].text, REJECTION_TEXT_SIZE, OTHER_REASONS);
        }
        return i;
}

void rejections_add(Rejections *rejections, const Rejections *other) {
        for (size_t i = 0; i < REJECTIONS_MAXIMUM; i++)
                if (other->counts[i] > 0)
                        rejections->counts[rejections_place(rejections, &other->list[i])] +=
                                        other->counts[i];
}

size_t rejections_most(const Rejections *rejections) {
        size_t most = 0;

        for (size_t i = 1; i < REJECTIONS_MAXIMUM; i++)
                if (rejections->counts[i] > rejections->counts[most])
                        most = i;
        return most;
}
