/* SPDX-License-Identifier: MIT */
/* RFC 862 on datagrams: the test is the client, and lets the handler's part take its turns. */

#include "handler/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sock_diag.h>

#include "fault.h"
#include "lib/endpoint.h"
#include "lib/fdpass.h"
#include "lib/mapping.h"
#include "peer.h"
#include "process.h"
#include "seed.h"
#include "unit.h"

enum {
        UDP4_MOST = 65507,
        UDP6_MOST = 65527,
        ROUNDS = 1000,
};

static volatile sig_atomic_t stopping;

FAULT(int, recvmmsg, recvmmsg,
      (int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout),
      (fd, messages, n, flags, timeout))
FAULT(int, sendmmsg, sendmmsg, (int fd, struct mmsghdr *messages, unsigned n, int flags),
      (fd, messages, n, flags))
FAULT(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *message, int flags),
      (fd, message, flags))

typedef struct Scene {
        Datagram datagram;
        DatagramCounts counts;
        int client;
        struct sockaddr_storage server; /* where the client sends to */
        socklen_t server_length;
} Scene;

static char sent[UDP6_MOST + 1], received[UDP6_MOST + 1];

static int bound_socket(const struct sockaddr *address, socklen_t length) {
        const int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, address, length), 0);
        return fd;
}

/* A socket that is served at @address, and a client of it, with a limit of @rate. */
static void scene_open(Scene *scene, const void *address, socklen_t length,
                       const void *client_address, socklen_t client_length, uint32_t rate) {
        const int fd = bound_socket(address, length);

        *scene = (Scene){ .datagram = { .in = fd,
                                        .out = fd,
                                        .news = -1,
                                        .counts = &scene->counts,
                                        .stopping = &stopping },
                          .server_length = sizeof scene->server };
        assert_int_equal(datagram_init(fd), 0);
        assert_int_equal(guard_new(rate, &scene->datagram.guard), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&scene->server, &scene->server_length),
                         0);
        scene->datagram.local = scene->server.ss_family == AF_UNIX;
        scene->datagram.segments = datagram_segments(fd);
        if (!scene->datagram.local)
                scene->datagram.port = peer_port(fd);
        scene->client = bound_socket(client_address, client_length);
}

static void scene_open_ipv4(Scene *scene, const char *client, uint32_t rate) {
        const struct sockaddr_in any = { .sin_family = AF_INET };
        struct sockaddr_in address = any;

        assert_int_equal(inet_pton(AF_INET, client, &address.sin_addr), 1);
        scene_open(scene, &any, sizeof any, &address, sizeof address, rate);
        ((struct sockaddr_in *)&scene->server)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void scene_open_ipv6(Scene *scene) {
        const struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
        const struct sockaddr_in6 loopback = { .sin6_family = AF_INET6,
                                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };

        scene_open(scene, &any, sizeof any, &loopback, sizeof loopback, 0);
        ((struct sockaddr_in6 *)&scene->server)->sin6_addr = in6addr_loopback;
}

static void scene_open_local(Scene *scene) {
        const struct sockaddr_un name = { .sun_family = AF_UNIX };

        /* The kernel chooses the names, unix(7). */
        scene_open(scene, &name, sizeof(sa_family_t), &name, sizeof(sa_family_t), 0);
}

static void scene_close(Scene *scene) {
        guard_free(scene->datagram.guard);
        close(scene->datagram.in);
        close(scene->client);
}

static void scene_send(const Scene *scene, size_t size) {
        assert_int_equal(sendto(scene->client, sent, size, 0,
                                (const struct sockaddr *)&scene->server, scene->server_length),
                         size);
}

/* Serves until the handler's part has decided on @n datagrams in all. The kernel may deliver some
 * of those sent a moment later (ksoftirqd). */
static void scene_serve(Scene *scene, uint64_t n) {
        uint64_t decided;

        do {
                assert_int_equal(datagram_turn(&scene->datagram), 0);
                decided = 0;
                for (size_t i = 0; i < GUARD_VERDICTS; i++)
                        decided += scene->counts.verdicts[i];
        } while (decided < n);
}

/* Asserts that the next datagram is an answer from where the client has sent to, the first @size
 * bytes of what it has sent. */
static void scene_expect(const Scene *scene, size_t size) {
        struct sockaddr_storage from = {};
        socklen_t length = sizeof from;

        peer_wait_readable(scene->client);
        assert_int_equal(recvfrom(scene->client, received, sizeof received, MSG_DONTWAIT,
                                  (struct sockaddr *)&from, &length),
                         size);
        assert_memory_equal(received, sent, size);
        assert_int_equal(length, scene->server_length);
        assert_memory_equal(&from, &scene->server, length);
}

static void scene_expect_nothing(const Scene *scene) {
        assert_int_equal(recv(scene->client, received, sizeof received, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
}

static uint64_t scene_count(const Scene *scene, GuardVerdict verdict) {
        return scene->counts.verdicts[verdict];
}

static void check_size(Scene *scene, size_t size) {
        seed_fill(sent, size);
        scene_send(scene, size);
        assert_int_equal(datagram_turn(&scene->datagram), 0);
        scene_expect(scene, size);
        scene_expect_nothing(scene);
}

/* A datagram of any size that the protocol allows comes back once, byte for byte: sizes around each
 * boundary, and random ones. */
static void check_sizes(Scene *scene, size_t most) {
        static const size_t boundaries[] = { 1,    2,    3,    511,   512,   513,   1472,  1473,
                                             1500, 2047, 2048, 2049,  4095,  4096,  4097,  8191,
                                             8192, 8193, 9000, 12288, 16384, 32767, 32768, 65000 };
        uint64_t bytes = 0;

        check_size(scene, 0);
        for (size_t i = 0; i < COUNT(boundaries); i++) {
                check_size(scene, boundaries[i]);
                bytes += boundaries[i];
        }
        for (size_t size = most - 2; size <= most; size++) {
                check_size(scene, size);
                bytes += size;
        }
        for (int i = 0; i < ROUNDS; i++) {
                const size_t size = (size_t)random() % (most + 1);

                check_size(scene, size);
                bytes += size;
        }
        assert_int_equal(scene_count(scene, GUARD_ANSWER), 1 + COUNT(boundaries) + 3 + ROUNDS);
        assert_int_equal(scene->counts.bytes, bytes);
        assert_int_equal(scene->counts.dropped, 0);
}

static void test_sizes(void **state) {
        Scene scene;

        (void)state;
        (void)seed_choose();
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        check_sizes(&scene, UDP4_MOST);
        scene_close(&scene);

        scene_open_ipv6(&scene);
        check_sizes(&scene, UDP6_MOST);
        scene_close(&scene);

        scene_open_local(&scene);
        check_sizes(&scene, UDP6_MOST);
        scene_close(&scene);
}

/* A datagram of a Unix socket that is longer than any of UDP is not answered in part. */
static void test_too_long(void **state) {
        static char longer[UDP6_MOST + 2];
        Scene scene;

        (void)state;
        scene_open_local(&scene);
        assert_int_equal(sendto(scene.client, longer, sizeof longer, 0,
                                (const struct sockaddr *)&scene.server, scene.server_length),
                         sizeof longer);
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        scene_expect_nothing(&scene);
        assert_int_equal(scene.counts.dropped, 1);
        scene_close(&scene);
}

/* Datagrams that wait together come back one by one, each with its own length, in their order; more
 * than one turn takes remain for the next. */
static void test_batches(void **state) {
        uint64_t all = 0;
        Scene scene;

        (void)state;
        (void)seed_choose();
        seed_fill(sent, sizeof sent);
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        for (int round = 0; round < 20; round++) {
                const size_t n = 1 + (size_t)random() % 100;
                size_t sizes[100];

                for (size_t i = 0; i < n; i++) {
                        sizes[i] = (size_t)random() % 1000;
                        scene_send(&scene, sizes[i]);
                }
                all += n;
                scene_serve(&scene, all);
                for (size_t i = 0; i < n; i++)
                        scene_expect(&scene, sizes[i]);
                scene_expect_nothing(&scene);
        }
        scene_close(&scene);
}

/* A datagram of a run: its bytes among @sent, and which sockets have it. */
typedef struct Part {
        size_t offset, size;
        int client;
        uint32_t address; /* the last byte of the service's, of IPv4 */
} Part;

static void scene_choose_address(Scene *scene, const Part *part) {
        if (scene->server.ss_family == AF_INET)
                ((struct sockaddr_in *)&scene->server)->sin_addr.s_addr =
                                htonl(0x7f000000 + part->address);
}

static void scene_send_part(Scene *scene, const Part *part) {
        scene_choose_address(scene, part);
        assert_int_equal(sendto(part->client, sent + part->offset, part->size, 0,
                                (const struct sockaddr *)&scene->server, scene->server_length),
                         part->size);
}

/* Asserts that the next datagram of the part's client is its answer, or that there is none. */
static void scene_expect_part(Scene *scene, const Part *part) {
        struct sockaddr_storage from = {};
        socklen_t length = sizeof from;

        if (part->client == scene->datagram.in)
                return;
        scene_choose_address(scene, part);
        peer_wait_readable(part->client);
        assert_int_equal(recvfrom(part->client, received, sizeof received, MSG_DONTWAIT,
                                  (struct sockaddr *)&from, &length),
                         part->size);
        assert_memory_equal(received, sent + part->offset, part->size);
        assert_memory_equal(&from, &scene->server, length);
}

/* Sends up to 60 datagrams, most of them of the last one's length, client and address. One client
 * is the service itself, which gets no answer. */
static void check_runs(Scene *scene, const int clients[static 3], uint64_t *n) {
        static const size_t sizes[] = { 0, 1, 7, 64, 1231, 1232, 1233 };
        const size_t count = 1 + (size_t)random() % 60;
        Part parts[60] = {};

        for (size_t i = 0; i < count; i++) {
                parts[i] = i > 0 ? parts[i - 1] : (Part){ .client = clients[0], .address = 1 };
                parts[i].offset = (size_t)random() % 60000;
                if (i == 0 || random() % 8 == 0)
                        parts[i].size = sizes[(size_t)random() % COUNT(sizes)];
                if (random() % 8 == 0)
                        parts[i].client = clients[random() % 3];
                if (random() % 8 == 0)
                        parts[i].address ^= 3;
                scene_send_part(scene, &parts[i]);
        }
        *n += count;
        scene_serve(scene, *n);
        for (size_t i = 0; i < count; i++)
                scene_expect_part(scene, &parts[i]);
        for (int i = 0; i < 2; i++)
                assert_int_equal(recv(clients[i], received, sizeof received, MSG_DONTWAIT), -1);
}

static void check_all_runs(Scene *scene) {
        struct sockaddr_storage address = {};
        socklen_t length = sizeof address;
        uint64_t n = 0;
        int clients[] = { scene->client, -1, scene->datagram.in };

        seed_fill(sent, sizeof sent);
        assert_int_equal(getsockname(scene->client, (struct sockaddr *)&address, &length), 0);
        if (address.ss_family == AF_INET)
                ((struct sockaddr_in *)&address)->sin_port = 0;
        else
                ((struct sockaddr_in6 *)&address)->sin6_port = 0;
        clients[1] = bound_socket((const struct sockaddr *)&address, length);
        for (int round = 0; round < 100; round++)
                check_runs(scene, clients, &n);
        assert_int_equal(scene_count(scene, GUARD_ANSWER) + scene_count(scene, GUARD_SELF), n);
        assert_int_equal(scene->counts.dropped, 0);
        close(clients[1]);
        scene_close(scene);
}

/* Answers that the kernel takes together come as those that it takes one by one: each to its own
 * client, with its own bytes, once and in order. */
static void test_runs(void **state) {
        Scene scene;

        (void)state;
        (void)seed_choose();
        scene_open_local(&scene);
        assert_false(scene.datagram.segments);
        scene_close(&scene);

        scene_open_ipv4(&scene, "127.0.0.1", 0);
        assert_true(scene.datagram.segments);
        check_all_runs(&scene);
        scene_open_ipv6(&scene);
        assert_true(scene.datagram.segments);
        check_all_runs(&scene);
}

/* Returns the memory of what waits in a socket. */
static uint32_t queued(int fd) {
        uint32_t memory[SK_MEMINFO_VARS];

        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory,
                                    &(socklen_t){ sizeof memory }),
                         0);
        return memory[SK_MEMINFO_RMEM_ALLOC];
}

/* Sends @n datagrams of 64 bytes and waits until the service can read all of them in one turn. */
static void scene_send_together(const Scene *scene, uint32_t n) {
        const uint32_t before = queued(scene->datagram.in);
        uint32_t one;

        scene_send(scene, 64);
        peer_wait_readable(scene->datagram.in);
        one = queued(scene->datagram.in) - before;
        for (uint32_t i = 1; i < n; i++)
                scene_send(scene, 64);
        while (queued(scene->datagram.in) < before + n * one)
                ;
}

/* Where the kernel takes no answers together, each goes out alone. */
static void test_runs_apart(void **state) {
        Scene scene;

        (void)state;
        (void)seed_choose();
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        /* It divides only what gets checksums. */
        assert_int_equal(setsockopt(scene.datagram.out, SOL_SOCKET, SO_NO_CHECK, &(int){ 1 },
                                    sizeof(int)),
                         0);
        check_all_runs(&scene);

        scene_open_ipv4(&scene, "127.0.0.1", 0);
        scene_send_together(&scene, 5);
        sendmmsg_fault = (CallFault){ .error = EIO, .times = 1 };
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        for (int i = 0; i < 5; i++)
                scene_expect(&scene, 64);
        assert_int_equal(scene_count(&scene, GUARD_ANSWER), 5);
        assert_int_equal(scene.counts.dropped, 0);

        scene_send_together(&scene, 5);
        sendmmsg_fault.times = 1;
        sendmsg_fault = (CallFault){ .error = EAGAIN, .after = 1, .times = 1 };
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        for (int i = 0; i < 4; i++)
                scene_expect(&scene, 64);
        scene_expect_nothing(&scene);
        assert_int_equal(scene_count(&scene, GUARD_ANSWER), 9);
        assert_int_equal(scene.counts.dropped, 1);
        assert_int_equal(scene.counts.bytes, 9 * 64);

        /* It tries an answer that is alone once. */
        scene_send(&scene, 64);
        sendmmsg_fault.times = 1;
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        scene_expect_nothing(&scene);
        assert_int_equal(scene.counts.dropped, 2);
        scene_close(&scene);
}

/* An answer comes from the address that was asked, on a socket of all addresses. */
static void test_address(void **state) {
        Scene scene;

        (void)state;
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        for (uint32_t i = 1; i < 200; i++) {
                ((struct sockaddr_in *)&scene.server)->sin_addr.s_addr = htonl(0x7f000000 + i);
                check_size(&scene, i);
        }
        scene_close(&scene);
}

/* One socket of both families answers both. */
static void test_both_families(void **state) {
        const struct sockaddr_in loopback = { .sin_family = AF_INET,
                                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Scene scene;

        (void)state;
        scene_open_ipv6(&scene);
        check_size(&scene, 100);

        close(scene.client);
        scene.client = bound_socket((const struct sockaddr *)&loopback, sizeof loopback);
        memset(&scene.server, 0, sizeof scene.server);
        for (uint32_t i = 1; i < 10; i++) {
                *(struct sockaddr_in *)&scene.server = (struct sockaddr_in){
                        .sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(0x7f000000 + i),
                        .sin_port = htons(scene.datagram.port),
                };
                scene.server_length = sizeof loopback;
                check_size(&scene, UDP4_MOST);
        }
        scene_close(&scene);
}

/* What the guard refuses gets no answer and is counted by its reason, beside what is answered. */
static void test_refused(void **state) {
        Scene scene;
        int service;

        (void)state;
        scene_open_ipv4(&scene, "127.0.0.7", 1);
        for (int i = 0; i < 10; i++)
                scene_send(&scene, 10);
        scene_serve(&scene, 10);
        scene_expect(&scene, 10);
        scene_expect(&scene, 10);
        scene_expect_nothing(&scene);
        assert_int_equal(scene_count(&scene, GUARD_ANSWER), 2);
        assert_int_equal(scene_count(&scene, GUARD_RATE), 8);

        service = bound_socket(
                        (const struct sockaddr *)&(struct sockaddr_in){
                                        .sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                        .sin_port = htons(2049) },
                        sizeof(struct sockaddr_in));
        assert_int_equal(sendto(service, sent, 10, 0, (const struct sockaddr *)&scene.server,
                                scene.server_length),
                         10);
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        assert_int_equal(recv(service, received, sizeof received, MSG_DONTWAIT), -1);
        assert_int_equal(scene_count(&scene, GUARD_PORT), 1);
        assert_int_equal(scene.counts.dropped, 0);
        close(service);
        scene_close(&scene);
}

/* Names of different lengths are those of different clients, even where one begins with the other:
 * their answers make no run. */
static void test_runs_of_names(void **state) {
        struct sockaddr_un name;
        socklen_t length = sizeof name;
        Scene scene;
        int other;

        (void)state;
        scene_open_local(&scene);
        scene.datagram.segments = true;
        assert_int_equal(getsockname(scene.client, (struct sockaddr *)&name, &length), 0);
        ((char *)&name)[length] = 'x';
        other = bound_socket((const struct sockaddr *)&name, length + 1);
        seed_fill(sent, 5);
        scene_send(&scene, 5);
        assert_int_equal(sendto(other, sent, 5, 0, (const struct sockaddr *)&scene.server,
                                scene.server_length),
                         5);
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        scene_expect(&scene, 5);
        assert_int_equal(recv(other, received, sizeof received, MSG_DONTWAIT), 5);
        assert_memory_equal(received, sent, 5);
        close(other);
        scene_close(&scene);
}

/* Descriptors that come with a datagram of a Unix socket are not received, and it is answered. */
static void test_descriptors(void **state) {
        const int next = dup(STDIN_FILENO);
        Endpoint server;
        Scene scene;

        (void)state;
        close(next);
        scene_open_local(&scene);
        check_size(&scene, 1);
        assert_int_equal(endpoint_from_socket(scene.datagram.in, &server), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(fdpass_send(scene.client, &server, sent, 5, &scene.client, 1, 0),
                                 0);
                assert_int_equal(datagram_turn(&scene.datagram), 0);
                scene_expect(&scene, 5);
        }
        scene_close(&scene);
        assert_int_equal(dup(STDIN_FILENO), next);
        close(next);
}

/* A datagram of a Unix socket without a name has nobody to be answered. */
static void test_unnamed(void **state) {
        Scene scene;

        (void)state;
        scene_open_local(&scene);
        close(scene.client);
        scene.client = socket(AF_UNIX, SOCK_DGRAM, 0);
        assert_true(scene.client >= 0);
        scene_send(&scene, 5);
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        assert_int_equal(scene_count(&scene, GUARD_SOURCE), 1);
        scene_close(&scene);
}

/* What a full queue does not take is dropped and counted; the next one is answered again. */
static void test_dropped(void **state) {
        uint64_t answered = 0;
        Scene scene;

        (void)state;
        scene_open_local(&scene);
        /* Its queue takes a few (net.unix.max_dgram_qlen, unix(7)). */
        for (int i = 0; scene.counts.dropped == 0; i++) {
                assert_true(i < 10000);
                scene_send(&scene, 20);
                assert_int_equal(datagram_turn(&scene.datagram), 0);
        }
        assert_int_equal(scene.counts.dropped, 1);
        while (recv(scene.client, received, sizeof received, MSG_DONTWAIT) == 20)
                answered++;
        assert_int_equal(scene_count(&scene, GUARD_ANSWER), answered);
        check_size(&scene, 20);
        scene_close(&scene);
}

/* What came before the kernel was asked for addresses is answered as well. */
static void test_early(void **state) {
        Scene scene;

        (void)state;
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        assert_int_equal(setsockopt(scene.datagram.in, IPPROTO_IP, IP_PKTINFO, &(int){ 0 },
                                    sizeof(int)),
                         0);
        scene_send(&scene, 5);
        assert_int_equal(datagram_init(scene.datagram.in), 0);
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        scene_expect(&scene, 5);
        scene_close(&scene);
}

/* What is no socket, no socket of a service or one that cannot wait is refused. */
static void test_not_served(void **state) {
        int pipes[2], other;

        (void)state;
        assert_int_equal(datagram_init(-1), -EBADF);
        other = open("/", O_PATH | O_CLOEXEC);
        assert_int_equal(datagram_init(other), -EBADF);
        close(other);
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(datagram_init(pipes[0]), -ENOTSOCK);
        close(pipes[0]);
        close(pipes[1]);
        other = socket(AF_NETLINK, SOCK_RAW, 0);
        assert_int_equal(datagram_init(other), -ENOPROTOOPT);
        close(other);
}

/* A message with the name @name of @length bytes, and control data as the kernel writes it, of
 * which only @room bytes are there; @room may include a second header. */
static bool parse(const void *name, socklen_t length, const struct cmsghdr *control, size_t room,
                  GuardRequest *ret_request) {
        union {
                struct cmsghdr header;
                char bytes[DATAGRAM_CONTROL_SIZE];
        } data = {};
        struct sockaddr_storage storage = {};
        const struct msghdr message = { .msg_name = &storage,
                                        .msg_namelen = length,
                                        .msg_control = &data,
                                        .msg_controllen = room };

        memcpy(&storage, name, length);
        data.header = *control;
        if (room > control->cmsg_len)
                *(struct cmsghdr *)&data.bytes[CMSG_ALIGN(control->cmsg_len)] =
                                (struct cmsghdr){ .cmsg_len = CMSG_LEN(0) };
        return datagram_parse(&message, 7, ret_request);
}

/* A name counts with its whole length only, and a name that cannot be answered counts as none. */
static void test_names(void **state) {
        static const struct {
                socklen_t length;
                sa_family_t family;
                sa_family_t expected;
        } cases[] = {
                { 0, AF_UNSPEC, AF_UNSPEC },
                { sizeof(sa_family_t), AF_UNIX, AF_UNSPEC },
                { sizeof(sa_family_t) + 6, AF_UNIX, AF_UNIX },
                { sizeof(struct sockaddr_in) - 1, AF_INET, AF_UNSPEC },
                { sizeof(struct sockaddr_in), AF_INET, AF_INET },
                { sizeof(struct sockaddr_in6) - 1, AF_INET6, AF_UNSPEC },
                { sizeof(struct sockaddr_in6), AF_INET6, AF_INET6 },
                { sizeof(struct sockaddr_in6), AF_PPPOX, AF_UNSPEC },
        };
        const struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "/run/socket" };
        GuardRequest request;

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                struct sockaddr_in6 name = { .sin6_family = cases[i].family };

                /* Otherwise it would be IPv4 in the form of IPv6. */
                name.sin6_addr.s6_addr[15] = 1;
                assert_int_equal(parse(&name, cases[i].length, &(struct cmsghdr){}, 0, &request),
                                 cases[i].expected == AF_UNSPEC);
                assert_int_equal(request.source.family, cases[i].expected);
        }
        assert_true(parse(&path, sizeof path, &(struct cmsghdr){}, 0, &request));
        assert_int_equal(request.source.family, AF_UNSPEC);
}

/* Control data counts when level, type and length are those of the family, and all of it is there.
 */
static void test_control(void **state) {
        const struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "\0name" };
        const struct sockaddr_in ipv4 = { .sin_family = AF_INET };
        const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6,
                                           .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        const struct {
                const void *name;
                socklen_t name_length;
                int level, type;
                size_t size;
        } cases[] = {
                { &local, 7, SOL_SOCKET, SCM_CREDENTIALS, sizeof(struct ucred) },
                { &ipv4, sizeof ipv4, IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo) },
                { &ipv6, sizeof ipv6, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo) },
        };
        GuardRequest request;

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const struct cmsghdr right = { .cmsg_level = cases[i].level,
                                               .cmsg_type = cases[i].type,
                                               .cmsg_len = CMSG_LEN(cases[i].size) };
                struct cmsghdr wrong[] = { right, right, right };

                wrong[0].cmsg_level++;
                wrong[1].cmsg_type++;
                wrong[2].cmsg_len--;
                assert_true(parse(cases[i].name, cases[i].name_length, &right, right.cmsg_len,
                                  &request));
                assert_true(parse(cases[i].name, cases[i].name_length, &right,
                                  CMSG_SPACE(cases[i].size) + CMSG_SPACE(0), &request));
                assert_false(parse(cases[i].name, cases[i].name_length, &right, right.cmsg_len - 1,
                                   &request));
                for (size_t k = 0; k < COUNT(wrong); k++)
                        assert_false(parse(cases[i].name, cases[i].name_length, &wrong[k],
                                           right.cmsg_len, &request));
        }
}

/* An answer names the interface where its own address is unique on a link alone. */
static void test_interface(void **state) {
        union {
                struct cmsghdr header;
                char bytes[DATAGRAM_CONTROL_SIZE];
        } data;
        struct msghdr message = { .msg_control = &data };
        GuardRequest request = { .local.family = AF_INET6, .interface = 3 };
        static const char *const addresses[] = { "2001:db8::7", "fe80::7" };
        struct in6_pktinfo info;

        (void)state;
        for (size_t i = 0; i < COUNT(addresses); i++) {
                assert_int_equal(inet_pton(AF_INET6, addresses[i], &request.local.ipv6), 1);
                datagram_address(&request, &message);
                assert_int_equal(message.msg_controllen, CMSG_SPACE(sizeof info));
                memcpy(&info, CMSG_DATA(&data.header), sizeof info);
                assert_int_equal(info.ipi6_ifindex, i == 0 ? 0 : 3);
                assert_memory_equal(&info.ipi6_addr, &request.local.ipv6, sizeof info.ipi6_addr);
        }
}

/* A datagram whose destination the kernel does not report gets no answer, and counts as dropped. */
static void test_unreported(void **state) {
        Scene scene;

        (void)state;
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        assert_int_equal(setsockopt(scene.datagram.in, IPPROTO_IP, IP_PKTINFO, &(int){ 0 },
                                    sizeof(int)),
                         0);
        scene_send(&scene, 5);
        assert_int_equal(datagram_turn(&scene.datagram), 0);
        scene_expect_nothing(&scene);
        assert_int_equal(scene.counts.dropped, 1);
        scene_close(&scene);
}

/* A signal that does not stop the service costs neither an answer nor the next datagram; another
 * error ends the service of the socket. */
static void test_interrupted(void **state) {
        Scene scene;
        int fd;

        (void)state;
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        sendmmsg_fault = (CallFault){ .error = EINTR, .times = 1 };
        check_size(&scene, 100);
        assert_int_equal(scene_count(&scene, GUARD_ANSWER), 1);
        assert_int_equal(sendmmsg_fault.times, 0);

        fd = scene.datagram.in;
        scene.datagram.in = -1;
        recvmmsg_fault = (CallFault){ .error = EINTR, .times = 1 };
        assert_int_equal(datagram_run(&scene.datagram), -EBADF);
        assert_int_equal(recvmmsg_fault.times, 0);
        scene.datagram.in = fd;
        scene_close(&scene);
}

/* Without anybody to tell, it serves all the same. */
static void test_run_alone(void **state) {
        Scene scene;

        (void)state;
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        scene_send(&scene, 10);
        recvmmsg_fault = (CallFault){ .error = EIO, .after = 1, .times = 1 };
        assert_int_equal(datagram_run(&scene.datagram), -EIO);
        scene_expect(&scene, 10);
        assert_int_equal(scene.counts.news, 0);
        scene_close(&scene);
}

static void stop(int signal) {
        (void)signal;
        stopping = 1;
}

typedef struct Shared {
        DatagramCounts counts;
        Scene *scene;
        int news;
} Shared;

static void run(void *data) {
        Shared *shared = data;
        Datagram *datagram = &shared->scene->datagram;

        (void)sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
        /* Children do not inherit a guard. */
        assert_int_equal(guard_new(0, &datagram->guard), 0);
        datagram->counts = &shared->counts;
        datagram->news = shared->news;
        assert_int_equal(datagram_run(datagram), 0);
        _exit(7);
}

/* It tells the master of datagrams once, and again when the master wants to know; an idle socket
 * keeps it asleep, and a signal ends it. */
static void test_run(void **state) {
        Shared *shared = mapping_new_shared(sizeof *shared);
        uint64_t told;
        Scene scene;
        pid_t pid;

        (void)state;
        assert_non_null(shared);
        scene_open_ipv4(&scene, "127.0.0.1", 0);
        shared->scene = &scene;
        shared->news = eventfd(0, EFD_NONBLOCK);
        pid = process_fork(run, shared);
        for (int round = 0; round < 2; round++) {
                for (int i = 0; i < 10; i++) {
                        scene_send(&scene, 10);
                        peer_wait_readable(scene.client);
                        scene_expect(&scene, 10);
                }
                peer_wait_readable(shared->news);
                assert_int_equal(read(shared->news, &told, sizeof told), sizeof told);
                assert_int_equal(told, 1);
                shared->counts.news = 0;
        }
        process_wait_asleep(pid);
        kill(pid, SIGTERM);
        process_wait_exit(pid, 7);
        assert_int_equal(shared->counts.verdicts[GUARD_ANSWER], 20);
        close(shared->news);
        scene_close(&scene);
        mapping_free(shared, sizeof *shared);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),         cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_batches),       cmocka_unit_test(test_address),
                cmocka_unit_test(test_both_families), cmocka_unit_test(test_refused),
                cmocka_unit_test(test_unnamed),       cmocka_unit_test(test_dropped),
                cmocka_unit_test(test_early),         cmocka_unit_test(test_not_served),
                cmocka_unit_test(test_names),         cmocka_unit_test(test_control),
                cmocka_unit_test(test_runs_of_names), cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_interface),     cmocka_unit_test(test_unreported),
                cmocka_unit_test(test_interrupted),   cmocka_unit_test(test_run_alone),
                cmocka_unit_test(test_run),           cmocka_unit_test(test_runs),
                cmocka_unit_test(test_runs_apart),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
