/* SPDX-License-Identifier: MIT */
/* Whatever name and control data come with a datagram, nothing behind them is read; and where the
 * guard allows an answer, it goes from one host to one other, by control data that says so.
 *
 * The first byte of an input is the length of the name, which follows; the rest is control data. */

#include <netinet/in.h>
#include <string.h>

#include "fuzz.h"
#include "handler/datagram.h"

enum {
        PORT = 9190,
};

static void check_answer_ipv4(const GuardRequest *request, const struct cmsghdr *header) {
        struct in_pktinfo info;

        memcpy(&info, CMSG_DATA(header), sizeof info);
        FUZZ_CHECK(header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO);
        FUZZ_CHECK(!IN_MULTICAST(ntohl(request->source.ipv4.s_addr)));
        FUZZ_CHECK(!IN_MULTICAST(ntohl(info.ipi_spec_dst.s_addr)));
        FUZZ_CHECK(info.ipi_spec_dst.s_addr == request->destination.ipv4.s_addr);
        FUZZ_CHECK(info.ipi_ifindex == 0);
}

static void check_answer_ipv6(const GuardRequest *request, const struct cmsghdr *header) {
        const bool link_local = IN6_IS_ADDR_LINKLOCAL(&request->destination.ipv6);
        struct in6_pktinfo info;

        memcpy(&info, CMSG_DATA(header), sizeof info);
        FUZZ_CHECK(header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO);
        FUZZ_CHECK(!IN6_IS_ADDR_MULTICAST(&request->source.ipv6));
        FUZZ_CHECK(!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr));
        FUZZ_CHECK(IN6_ARE_ADDR_EQUAL(&info.ipi6_addr, &request->destination.ipv6));
        FUZZ_CHECK(info.ipi6_ifindex == (link_local ? request->interface : 0));
}

static void check_answer(const GuardRequest *request) {
        union {
                struct cmsghdr header;
                char bytes[DATAGRAM_CONTROL_SIZE];
        } control;
        struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof control };
        const struct cmsghdr *header;

        fuzz_fill(&control, sizeof control);
        datagram_address(request, &message);
        header = CMSG_FIRSTHDR(&message);
        if (request->source.family == AF_UNIX) {
                FUZZ_CHECK(header == NULL);
                return;
        }
        FUZZ_CHECK(header != NULL && CMSG_NXTHDR(&message, &control.header) == NULL);
        FUZZ_CHECK(request->source.port >= 1024 && request->source.port != 2049);
        FUZZ_CHECK(request->source.family == request->destination.family);
        if (request->source.family == AF_INET)
                check_answer_ipv4(request, header);
        else
                check_answer_ipv6(request, header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const size_t name_length = size > 0 && data[0] < size ? data[0] : 0;
        const size_t control_length = size > 0 ? size - 1 - name_length : 0;
        struct msghdr message = { .msg_name = fuzz_copy(data + (size > 0), name_length),
                                  .msg_namelen = (socklen_t)name_length,
                                  .msg_control = fuzz_copy(data + 1 + name_length, control_length),
                                  .msg_controllen = control_length };
        GuardRequest request;
        GuardVerdict verdict;

        fuzz_fill(&request, sizeof request);
        if (datagram_parse(&message, PORT, &request)) {
                verdict = guard_check(&request);
                FUZZ_CHECK(verdict < GUARD_VERDICTS);
                FUZZ_CHECK(request.source.family != AF_UNSPEC || verdict == GUARD_SOURCE);
                if (verdict == GUARD_ANSWER)
                        check_answer(&request);
        }
        free(message.msg_name);
        free(message.msg_control);
        return 0;
}
