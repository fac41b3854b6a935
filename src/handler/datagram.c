/* SPDX-License-Identifier: MIT */
/*
 * RFC 862 on datagrams: read some, ask the guard about each, answer. One process serves a socket
 * for as long as the service runs. It reads many datagrams by one system call (recvmmsg(2)) and
 * answers them by another (sendmmsg(2)). Each has a buffer and control data of its own, so that no
 * two are ever joined. It blocks in recvmmsg(2) alone: a socket on which nothing comes wakes
 * nobody.
 *
 * Nearly all of the time goes to the kernel, which takes each answer through its layers: routes,
 * packet filter, device. Short answers of one length to one client, one behind the other, make this
 * way together, and the kernel or the device divides them at its end (UDP_SEGMENT, udp(7)). That
 * saves a third of the time or more. The other direction, UDP_GRO, could join datagrams.
 *
 * A machine with several addresses must answer from the address that was asked: a client drops an
 * answer from any other. The kernel reports that address with each datagram and takes it back with
 * the answer. It also reports the interface, but an answer names that only where the address is
 * link-local: elsewhere the routing table knows the way back. A named interface would override the
 * table, and on an interface without a route to the client the answer is lost.
 *
 * Nothing here may wait to send: an answer that the kernel does not take is dropped, as networks
 * drop datagrams. No datagram has more than one answer, and no answer another length.
 */
#include "handler/datagram.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"

enum {
        BATCH = 16,
        /* One byte more than the longest datagram of UDP over IPv6, which is 65,527. */
        BUFFER_SIZE = 65528,
        /* The longest answer of a run: it fits the least MTU of IPv6, 1280, with its headers. */
        SEGMENT_MOST = 1232,
        SEGMENT_SPACE = CMSG_SPACE(sizeof(uint16_t)),
};

typedef union Control {
        struct cmsghdr header;
        char bytes[DATAGRAM_CONTROL_SIZE];
} Control;

/* Its pages are touched only as far as datagrams fill them. */
static struct {
        char bytes[BATCH][BUFFER_SIZE];
        struct sockaddr_storage names[BATCH];
        Control controls[BATCH];
        struct iovec vectors[BATCH];
        struct mmsghdr messages[BATCH];
} batch;

/* The first so many messages are not ready for reading. */
static unsigned unprepared = BATCH;

int datagram_init(int fd) {
        const int flags = fcntl(fd, F_GETFL);
        int family, r;
        socklen_t size = sizeof family;

        if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0)
                return -errno;

        if (family == AF_UNIX)
                r = setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int));
        else
                /* An IPv6 socket needs it for the IPv4 datagrams that it takes. */
                r = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &(int){ 1 }, sizeof(int));
        if (r == 0 && family == AF_INET6)
                r = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &(int){ 1 }, sizeof(int));
        return r < 0 ? -errno : 0;
}

bool datagram_segments(int fd) {
        int size;

        return getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &(socklen_t){ sizeof size }) == 0;
}

/* Returns the data of @header when it is of the given kind and has @size bytes before @end. */
static const void *control_data(const struct cmsghdr *header, int level, int type, size_t size,
                                const char *end) {
        if (header->cmsg_level != level || header->cmsg_type != type ||
            header->cmsg_len < CMSG_LEN(size) ||
            (size_t)(end - (const char *)header) < CMSG_LEN(size))
                return NULL;
        return CMSG_DATA(header);
}

static bool datagram_parse_control(const struct cmsghdr *header, const char *end,
                                   GuardRequest *request) {
        Address *source = &request->source, *destination = &request->destination;
        const void *data;
        struct in_pktinfo info;
        struct in6_pktinfo info6;
        struct ucred credentials;

        if (source->family == AF_INET) {
                data = control_data(header, IPPROTO_IP, IP_PKTINFO, sizeof info, end);
                if (data == NULL)
                        return false;
                memcpy(&info, data, sizeof info);
                destination->family = request->local.family = AF_INET;
                destination->ipv4 = info.ipi_addr;
                request->local.ipv4 = info.ipi_spec_dst;
                /* The kernel does not know it of what came before it was asked, and takes no answer
                 * from an address that is not its own. */
                if (info.ipi_spec_dst.s_addr == 0)
                        request->local.ipv4 = info.ipi_addr;
                request->interface = (uint32_t)info.ipi_ifindex;
        } else if (source->family == AF_INET6) {
                data = control_data(header, IPPROTO_IPV6, IPV6_PKTINFO, sizeof info6, end);
                if (data == NULL)
                        return false;
                memcpy(&info6, data, sizeof info6);
                destination->family = request->local.family = AF_INET6;
                destination->ipv6 = request->local.ipv6 = info6.ipi6_addr;
                request->interface = info6.ipi6_ifindex;
        } else {
                data = control_data(header, SOL_SOCKET, SCM_CREDENTIALS, sizeof credentials, end);
                if (data == NULL)
                        return false;
                memcpy(&credentials, data, sizeof credentials);
                source->local.uid = credentials.uid;
                source->local.pid = credentials.pid;
        }
        return true;
}

/* Sets the source of a request but for what the control data says. A Unix socket without a name has
 * no address. A path counts as none either: the sender chose it, and the kernel would resolve it
 * again here, where it can name a socket of systemd. */
static void datagram_parse_name(const struct msghdr *message, GuardRequest *request) {
        const struct sockaddr_storage *name = message->msg_name;
        const struct sockaddr_un *local = message->msg_name;
        const socklen_t length = message->msg_namelen;

        if (length > sizeof name->ss_family && name->ss_family == AF_UNIX &&
            local->sun_path[0] == '\0')
                request->source.family = AF_UNIX;
        else if ((length >= sizeof(struct sockaddr_in) && name->ss_family == AF_INET) ||
                 (length >= sizeof(struct sockaddr_in6) && name->ss_family == AF_INET6))
                (void)address_from_peer(-1, name, &request->source);
}

bool datagram_parse(const struct msghdr *message, in_port_t port, GuardRequest *ret_request) {
        GuardRequest request = { .destination.port = port, .local.port = port };
        const char *end = (const char *)message->msg_control + message->msg_controllen;
        struct msghdr control = *message;
        bool complete = false;

        datagram_parse_name(message, &request);
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&control); header != NULL && !complete;
             header = CMSG_NXTHDR(&control, header))
                complete = datagram_parse_control(header, end, &request);
        *ret_request = request;
        return complete || request.source.family == AF_UNSPEC;
}

void datagram_address(const GuardRequest *request, struct msghdr *message) {
        const Address *local = &request->local;
        struct in_pktinfo info = { .ipi_spec_dst = local->ipv4 };
        struct in6_pktinfo info6 = { .ipi6_addr = local->ipv6 };
        const bool ipv6 = local->family == AF_INET6;
        struct cmsghdr *header = message->msg_control;
        const size_t size = ipv6 ? sizeof info6 : sizeof info;

        if (local->family == AF_UNSPEC) {
                message->msg_controllen = 0;
                return;
        }
        /* An address that is unique on a link alone. */
        if (ipv6 && IN6_IS_ADDR_LINKLOCAL(&local->ipv6))
                info6.ipi6_ifindex = request->interface;

        memset(header, 0, CMSG_SPACE(size));
        header->cmsg_level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
        header->cmsg_type = ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), ipv6 ? (void *)&info6 : (void *)&info, size);
        message->msg_controllen = CMSG_SPACE(size);
}

/* No other process writes the counts. */
static void datagram_count(_Atomic uint64_t *count, uint64_t n) {
        if (n > 0)
                (void)atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

/* A Unix socket has room for the credentials alone, so that the kernel drops the descriptors that
 * senders pass. */
static void message_prepare(const Datagram *datagram, unsigned i) {
        const size_t room = datagram->local ? CMSG_SPACE(sizeof(struct ucred))
                                            : sizeof batch.controls[i];

        batch.vectors[i] = (struct iovec){ .iov_base = batch.bytes[i],
                                           .iov_len = sizeof batch.bytes[i] };
        batch.messages[i].msg_hdr = (struct msghdr){ .msg_name = &batch.names[i],
                                                     .msg_namelen = sizeof batch.names[i],
                                                     .msg_iov = &batch.vectors[i],
                                                     .msg_iovlen = 1,
                                                     .msg_control = &batch.controls[i],
                                                     .msg_controllen = room };
}

/* Makes an answer of @message, which has @length bytes. Returns whether there is one. */
static bool datagram_make_answer(const Datagram *datagram, struct msghdr *message, size_t length,
                                 uint64_t now) {
        DatagramCounts *counts = datagram->counts;
        GuardRequest request;
        GuardVerdict verdict;

        if ((message->msg_flags & MSG_TRUNC) != 0 ||
            !datagram_parse(message, datagram->port, &request)) {
                datagram_count(&counts->dropped, 1);
                return false;
        }
        verdict = guard_check(&request);
        if (verdict == GUARD_ANSWER)
                verdict = guard_charge(datagram->guard, address_source(&request.source), now);
        if (verdict != GUARD_ANSWER) {
                datagram_count(&counts->verdicts[verdict], 1);
                return false;
        }
        datagram_address(&request, message);
        message->msg_iov->iov_len = length;
        message->msg_flags = 0;
        return true;
}

/* Makes answers of the first @n messages, side by side. Returns how many there are. */
static unsigned datagram_make_answers(const Datagram *datagram, unsigned n) {
        const uint64_t now = clock_now();
        unsigned answers = 0;

        for (unsigned i = 0; i < n; i++)
                if (datagram_make_answer(datagram, &batch.messages[i].msg_hdr,
                                         batch.messages[i].msg_len, now))
                        batch.messages[answers++].msg_hdr = batch.messages[i].msg_hdr;
        return answers;
}

/* Returns whether the answer @next can follow those in @run: it has their length, client and
 * source, and its bytes are behind theirs. */
static bool run_takes(const struct msghdr *run, const struct msghdr *next) {
        const size_t length = run->msg_iov->iov_len;

        return length > 0 && length <= SEGMENT_MOST && next->msg_iov->iov_len == length &&
               next->msg_iov == run->msg_iov + run->msg_iovlen &&
               next->msg_namelen == run->msg_namelen &&
               next->msg_controllen == run->msg_controllen &&
               memcmp(next->msg_name, run->msg_name, run->msg_namelen) == 0 &&
               memcmp(next->msg_control, run->msg_control, run->msg_controllen) == 0;
}

/* Makes the kernel send each vector of @run as a datagram. */
static void run_divide(struct msghdr *run) {
        struct cmsghdr *header = (void *)((char *)run->msg_control + run->msg_controllen);
        const uint16_t size = (uint16_t)run->msg_iov->iov_len;

        memset(header, 0, SEGMENT_SPACE);
        header->cmsg_level = IPPROTO_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(header), &size, sizeof size);
        run->msg_controllen += SEGMENT_SPACE;
}

/* Makes runs of the first @n messages, each an answer, and puts them side by side. Returns how many
 * there are. */
static unsigned datagram_make_runs(unsigned n) {
        unsigned runs = 0;

        for (unsigned i = 0; i < n;) {
                struct msghdr *run = &batch.messages[runs++].msg_hdr;

                *run = batch.messages[i++].msg_hdr;
                while (i < n && run_takes(run, &batch.messages[i].msg_hdr)) {
                        run->msg_iovlen++;
                        i++;
                }
                if (run->msg_iovlen > 1)
                        run_divide(run);
        }
        return runs;
}

static void datagram_count_sent(DatagramCounts *counts, uint64_t answers, uint64_t bytes) {
        datagram_count(&counts->verdicts[GUARD_ANSWER], answers);
        datagram_count(&counts->bytes, bytes);
}

/* Sends the answers of @run one by one. The kernel has not taken them together, as on a path with
 * a small MTU. Drops a run of one. */
static void run_send_apart(const Datagram *datagram, const struct msghdr *run) {
        struct msghdr answer = *run;

        if (run->msg_iovlen == 1) {
                datagram_count(&datagram->counts->dropped, 1);
                return;
        }
        answer.msg_iovlen = 1;
        answer.msg_controllen -= SEGMENT_SPACE;
        for (size_t i = 0; i < run->msg_iovlen; i++) {
                ssize_t n;

                answer.msg_iov = &run->msg_iov[i];
                n = sendmsg(datagram->out, &answer, MSG_DONTWAIT);
                if (n >= 0)
                        datagram_count_sent(datagram->counts, 1, (uint64_t)n);
                else
                        datagram_count(&datagram->counts->dropped, 1);
        }
}

static void datagram_send(const Datagram *datagram, unsigned n) {
        for (unsigned next = 0; next < n;) {
                const int sent = sendmmsg(datagram->out, batch.messages + next, n - next,
                                          MSG_DONTWAIT);

                if (sent < 0 && errno == EINTR)
                        continue;
                for (int i = 0; i < sent; i++, next++)
                        datagram_count_sent(datagram->counts,
                                            batch.messages[next].msg_hdr.msg_iovlen,
                                            batch.messages[next].msg_len);
                /* The first one failed: the others may not. */
                if (sent < 0)
                        run_send_apart(datagram, &batch.messages[next++].msg_hdr);
        }
}

int datagram_turn(Datagram *datagram) {
        unsigned answers;
        int n;

        while (unprepared > 0)
                message_prepare(datagram, --unprepared);
        n = recvmmsg(datagram->in, batch.messages, BATCH, MSG_WAITFORONE, NULL);
        if (n < 0)
                return -errno;
        unprepared = (unsigned)n;
        answers = datagram_make_answers(datagram, (unsigned)n);
        datagram_send(datagram, datagram->segments ? datagram_make_runs(answers) : answers);
        return 0;
}

static void datagram_announce(const Datagram *datagram) {
        /* Either the master sees the counts of this turn, or this sees that it asks for news. */
        atomic_thread_fence(memory_order_seq_cst);
        if (datagram->news < 0 || atomic_load(&datagram->counts->news) != 0)
                return;
        atomic_store(&datagram->counts->news, 1);
        (void)!write(datagram->news, &(uint64_t){ 1 }, sizeof(uint64_t));
}

int datagram_run(Datagram *datagram) {
        int r = 0;

        while (!*datagram->stopping && (r == 0 || r == -EINTR)) {
                r = datagram_turn(datagram);
                if (r == 0)
                        datagram_announce(datagram);
        }
        return *datagram->stopping ? 0 : r;
}
