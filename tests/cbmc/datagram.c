/* SPDX-License-Identifier: MIT */
/* cbmc: src/handler/datagram.c src/lib/address.c --unwind 6 */
/* smaller: s/BATCH = 16/BATCH = 1/;s/BUFFER_SIZE = 65528/BUFFER_SIZE = 8/ src/handler/datagram.c */
/* Whatever name and control data a datagram has, datagram_parse() reads no byte beyond them, and
 * datagram_address() writes none beyond the room for the answer's. */
#include "handler/datagram.h"

#include <string.h>

#include "prove.h"

enum {
        SIZE = 48, /* of the control data: two messages, or one with more than the data of any */
};

/* As glibc has it (sysdeps/unix/sysv/linux/cmsg_nxthdr.c). */
struct cmsghdr *__cmsg_nxthdr(struct msghdr *message, struct cmsghdr *header) {
        const size_t left = message->msg_controllen -
                            (size_t)((char *)header - (char *)message->msg_control);
        const size_t needed = sizeof *header + CMSG_ALIGN(header->cmsg_len) - header->cmsg_len;

        if (header->cmsg_len < sizeof *header || left < needed || left - needed < header->cmsg_len)
                return NULL;
        return (struct cmsghdr *)((char *)header + CMSG_ALIGN(header->cmsg_len));
}

void harness(void) {
        union {
                struct cmsghdr header;
                char bytes[SIZE];
        } control;
        struct sockaddr_storage name;
        struct msghdr message = { .msg_name = &name, .msg_control = &control };
        const in_port_t port = (in_port_t)nondet_unsigned();
        GuardRequest request;
        bool complete;

        fill(&control, sizeof control);
        fill(&name, sizeof name);
        message.msg_controllen = nondet_size();
        message.msg_namelen = nondet_unsigned();
        assume(message.msg_controllen <= SIZE && message.msg_namelen <= sizeof name);

        complete = datagram_parse(&message, port, &request);
        prove(!complete || request.source.family == AF_UNSPEC || request.source.family == AF_UNIX ||
                              request.source.family == request.destination.family,
              "an answer goes to the family that the datagram came from");
        prove(request.destination.port == port && request.local.port == port,
              "the port is that of the socket");

        datagram_address(&request, &message);
        prove(message.msg_controllen <= SIZE, "the answer's control data has room");
        prove(request.local.family != AF_UNSPEC || message.msg_controllen == 0,
              "an answer that goes from no address has no control data");
}
