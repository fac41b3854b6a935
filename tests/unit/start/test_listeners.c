/* SPDX-License-Identifier: MIT */
/* Where sockets come from: those that mpecho binds itself, with their texts. test_bind.c has how it
 * does that, test_inherited.c the passed ones. */

#include "start/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "journald.h"
#include "peer.h"
#include "sockets.h"
#include "unit.h"

static const Inherited none = { .connection = -1 };
static Journald directory; /* for its temporary directory only */
static char path[100];

FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))
FAULT(int, bind, bind, (int fd, const struct sockaddr *name, socklen_t length), (fd, name, length))
FAULT(int, listen, listen, (int fd, int backlog), (fd, backlog))
FAULT(int, getsockname, getsockname, (int fd, struct sockaddr *name, socklen_t *length),
      (fd, name, length))
FAULT(int, setsockopt, setsockopt,
      (int fd, int level, int name, const void *value, socklen_t length),
      (fd, level, name, value, length))

static int set_up(void **state) {
        (void)state;
        journald_start(&directory);
        snprintf(path, sizeof path, "%s/echo", directory.directory);
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        (void)unlink(path);
        journald_stop(&directory);
        return 0;
}

static int listen_on(char **texts, uint32_t n, Listeners **ret_listeners, Failure *failure) {
        const Options options = { .listen = texts, .n_listen = n };

        return listeners_new(&options, &none, ret_listeners, failure);
}

static Listeners *listen_on_one(char *text) {
        Failure failure = {};
        Listeners *listeners = NULL;

        if (listen_on(&text, 1, &listeners, &failure) != 0)
                fail_msg("%s", failure.text);
        assert_int_equal(listeners->n, 1);
        return listeners;
}

static void expect_in_use(char *text) {
        char expected[256];
        Failure failure = {};
        Listeners *listeners;

        assert_int_equal(listen_on(&text, 1, &listeners, &failure), -EADDRINUSE);
        snprintf(expected, sizeof expected, "Cannot listen on '%s': Address already in use", text);
        assert_string_equal(failure.text, expected);
}

/* Each of several addresses is listened on, in order, without waiting, by this process only, and
 * named as it can be connected to. */
static void test_bind(void **state) {
        char abstract[64], loopback[] = "127.0.0.1:0", text[64];
        char *texts[] = { loopback, path, abstract };
        Listeners *listeners;
        Failure failure = {};

        (void)state;
        snprintf(abstract, sizeof abstract, "@mpecho-unit-listen-%d", getpid());
        assert_int_equal(listen_on(texts, 3, &listeners, &failure), 0);
        assert_int_equal(listeners->n, 3);
        for (uint32_t i = 0; i < 3; i++) {
                int fd = listeners->items[i].fd;

                assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
                assert_int_equal(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
                assert_int_equal(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
                assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
                assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
                assert_null(listeners->items[i].name);
        }
        snprintf(text, sizeof text, "127.0.0.1:%hu", peer_port(listeners->items[0].fd));
        assert_string_equal(listeners->items[0].text, text);
        assert_string_equal(listeners->items[1].text, path);
        assert_string_equal(listeners->items[2].text, abstract);
        close(peer_connect(peer_port(listeners->items[0].fd), INADDR_LOOPBACK));
        assert_int_equal(connect_local(path), 0);
        assert_int_equal(connect_local(abstract), 0);
        expect_in_use(abstract);
        assert_null(listeners_free(listeners));
        assert_int_equal(connect_local(abstract), -1);
        assert_null(listeners_free(NULL));
}

/* A connection to @address, accepted from @listener. The caller closes it. */
static int accepted(const Listener *listener, in_addr_t address) {
        const struct sockaddr_in name = { .sin_family = AF_INET,
                                          .sin_port = htons(peer_port(listener->fd)),
                                          .sin_addr.s_addr = htonl(address) };
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

        assert_int_equal(connect(client, (const struct sockaddr *)&name, sizeof name), 0);
        peer_wait_readable(listener->fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        close(client);
        return fd;
}

/* A connection belongs to the listener with its own address, wherever that stands among others of
 * the same port; else to one of the same port, as the wildcard address; else to none. */
static void test_find(void **state) {
        char first[32] = "127.0.0.1:0", second[32], wildcard[] = "0";
        char *texts[] = { first, second, wildcard };
        Listeners *all, *others;
        Failure failure = {};
        int fd;

        (void)state;
        others = listen_on_one(first);
        snprintf(second, sizeof second, "127.0.0.2:%hu", peer_port(others->items[0].fd));
        snprintf(first, sizeof first, "127.0.0.1:%hu", peer_port(others->items[0].fd));
        listeners_free(others);
        assert_int_equal(listen_on(texts, 3, &all, &failure), 0);

        for (uint32_t i = 0; i < 3; i++) {
                fd = accepted(&all->items[i], INADDR_LOOPBACK + i % 2);
                assert_ptr_equal(listeners_find(all, fd), &all->items[i]);
                close(fd);
        }

        others = listen_on_one(wildcard);
        fd = accepted(&others->items[0], INADDR_LOOPBACK);
        assert_string_equal(listeners_find(all, fd)->text, "a former listener");
        close(fd);
        listeners_free(others);
        listeners_free(all);
}

/* Unix sockets have no port in common: a connection belongs to the listener of its name alone. */
static void test_find_local(void **state) {
        const sa_family_t unnamed = AF_UNIX;
        char name[40];
        Listeners *listeners;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        snprintf(name, sizeof name, "@mpecho-listeners-%d", getpid());
        listeners = listen_on_one(name);
        /* The kernel gives it a name of its own. */
        assert_int_equal(bind(fd, (const struct sockaddr *)&unnamed, sizeof unnamed), 0);
        assert_string_equal(listeners_find(listeners, fd)->text, "a former listener");
        close(fd);
        listeners_free(listeners);
}

/* A connection over IPv4 belongs to the IPv4 wildcard, wherever an IPv6 one of its port stands. */
static void test_find_family(void **state) {
        char first[32], second[32];
        char *texts[] = { first, second };
        Failure failure = {};
        Listeners *listeners;
        int fd, r;

        (void)state;
        /* A port that is free in one family can be taken in the other one. */
        do {
                snprintf(first, sizeof first, "[::]:0");
                listeners = listen_on_one(first);
                snprintf(first, sizeof first, "[::]:%hu", peer_port(listeners->items[0].fd));
                snprintf(second, sizeof second, "0.0.0.0:%hu", peer_port(listeners->items[0].fd));
                listeners_free(listeners);
                r = listen_on(texts, 2, &listeners, &failure);
        } while (r == -EADDRINUSE);
        assert_int_equal(r, 0);
        fd = accepted(&listeners->items[1], INADDR_LOOPBACK);
        assert_ptr_equal(listeners_find(listeners, fd), &listeners->items[1]);
        close(fd);
        listeners_free(listeners);
}

/* The file of a Unix socket is removed when it is no longer listened on. */
static void test_close(void **state) {
        Listeners *listeners = listen_on_one(path);

        (void)state;
        assert_int_equal(access(path, F_OK), 0);
        listeners_close(listeners);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(listeners->items[0].fd, -1);
        listeners_close(listeners);
        listeners_free(listeners);
}

/* "udp:" makes a datagram socket: of all addresses and both families, or of one. It blocks, and the
 * kernel says where each datagram went. Another process cannot take its port. */
static void test_datagrams(void **state) {
        char any[] = "udp:0", ipv4[] = "udp:127.0.0.1:0", ipv6[] = "udp:[::1]:0", stream[] = "0";
        char taken[LISTENER_TEXT_SIZE], *again = taken;
        char *texts[] = { any, ipv4, ipv6, stream };
        static const char *const begins[] = { "udp:[::]:", "udp:127.0.0.1:", "udp:[::1]:",
                                              "[::]:" };
        static const int families[] = { AF_INET6, AF_INET, AF_INET6, AF_INET6 };
        Listeners *listeners, *others;
        Failure failure = {};

        (void)state;
        assert_int_equal(listen_on(texts, 4, &listeners, &failure), 0);
        for (uint32_t i = 0; i < 4; i++) {
                const Listener *listener = &listeners->items[i];
                const bool datagram = i < 3;

                assert_int_equal(listener->kind == LISTENER_DATAGRAM, datagram);
                assert_memory_equal(listener->text, begins[i], strlen(begins[i]));
                assert_int_equal(option(listener->fd, SOL_SOCKET, SO_DOMAIN), families[i]);
                assert_int_equal(option(listener->fd, SOL_SOCKET, SO_TYPE),
                                 datagram ? SOCK_DGRAM : SOCK_STREAM);
                assert_int_equal(option(listener->fd, IPPROTO_IP, IP_PKTINFO), datagram);
                assert_int_equal((fcntl(listener->fd, F_GETFL) & O_NONBLOCK) != 0, !datagram);
                if (datagram && families[i] == AF_INET6)
                        assert_int_equal(option(listener->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
                if (i < 3 && families[i] == AF_INET6)
                        assert_int_equal(option(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY), i != 0);
        }
        snprintf(taken, sizeof taken, "%s", listeners->items[1].text);
        assert_int_equal(listen_on(&again, 1, &others, &failure), -EADDRINUSE);
        listeners_free(listeners);
}

/* "proxy:" before any address of a stream socket makes a PROXY listener, which has it in its text
 * and in no file name. */
static void test_proxies(void **state) {
        char ipv4[] = "proxy:127.0.0.1:0", any[] = "proxy:0", file[128], plain[] = "0";
        char *texts[] = { ipv4, any, file, plain };
        static char *const wrong[] = { "proxy:",        "proxy:udp:7",       "udp:proxy:7",
                                       "proxy:proxy:7", "proxy:localhost:7", "PROXY:7" };
        Listeners *listeners;
        Failure failure = {};

        (void)state;
        snprintf(file, sizeof file, "proxy:%s", path);
        assert_int_equal(listen_on(texts, 4, &listeners, &failure), 0);
        assert_memory_equal(listeners->items[0].text, "proxy:127.0.0.1:", 16);
        assert_memory_equal(listeners->items[1].text, "proxy:[::]:", 11);
        assert_string_equal(listeners->items[2].text, file);
        assert_string_equal(listeners->items[2].path, path);
        for (uint32_t i = 0; i < 4; i++)
                assert_int_equal(listeners->items[i].kind, i < 3 ? LISTENER_PROXY : LISTENER_ECHO);
        listeners_free(listeners);
        for (size_t i = 0; i < COUNT(wrong); i++) {
                char *text = wrong[i];

                assert_int_equal(listen_on(&text, 1, &listeners, &failure), WRONG_USAGE);
        }
}

/* Of datagrams only ports and addresses are names. */
static void test_datagram_names(void **state) {
        static char *const texts[] = { "udp:", "udp:/run/echo", "udp:@echo", "udp:udp:7",
                                       "udp7", "udp:65536",     "UDP:7" };
        Listeners *listeners;
        Failure failure = {};

        (void)state;
        for (size_t i = 0; i < COUNT(texts); i++) {
                char *text = texts[i], expected[64];

                assert_int_equal(listen_on(&text, 1, &listeners, &failure), WRONG_USAGE);
                snprintf(expected, sizeof expected, "Cannot listen on '%s': ", texts[i]);
                assert_memory_equal(failure.text, expected, strlen(expected));
        }
}

/* "metrics:" before any address makes a listener of that kind, which no connection came from. */
static void test_metrics(void **state) {
        static char *const wrong[] = { "metrics:", "metrics7", "metrics:udp:7",
                                       "metrics:metrics:7" };
        char port[] = "metrics:127.0.0.1:0", file[sizeof "metrics:" + sizeof path], abstract[64];
        char *texts[] = { port, file, abstract };
        Listeners *listeners;
        Failure failure = {};
        int client;

        (void)state;
        snprintf(file, sizeof file, "metrics:%s", path);
        snprintf(abstract, sizeof abstract, "metrics:@mpecho-unit-metrics-%d", getpid());
        assert_int_equal(listen_on(texts, 3, &listeners, &failure), 0);
        for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(listeners->items[i].kind, LISTENER_METRICS);
        assert_memory_equal(listeners->items[0].text, "metrics:127.0.0.1:", 18);
        assert_string_equal(listeners->items[1].text, file);
        assert_string_equal(listeners->items[2].text, abstract);
        client = peer_connect(peer_port(listeners->items[0].fd), INADDR_LOOPBACK);
        peer_wait_readable(listeners->items[0].fd);
        assert_string_equal(listeners_find(listeners, client)->text, "a former listener");
        close(client);
        listeners_free(listeners);
        assert_int_equal(access(path, F_OK), -1);

        for (size_t i = 0; i < COUNT(wrong); i++) {
                char *text = wrong[i];

                assert_int_equal(listen_on(&text, 1, &listeners, &failure), WRONG_USAGE);
        }
}

/* What cannot be listened on is named; what was listened on before it is given back. */
static void test_errors(void **state) {
        char port[] = "127.0.0.1:0", wrong[] = "localhost:7", taken[LISTENER_TEXT_SIZE],
             expected[LISTENER_TEXT_SIZE + 64];
        char *first[] = { path, wrong }, *second[] = { path, taken };
        Listeners *listeners = listen_on_one(port), *others;
        Failure failure = {};

        (void)state;
        assert_int_equal(listen_on(first, 2, &others, &failure), WRONG_USAGE);
        assert_string_equal(failure.text, "Cannot listen on 'localhost:7': an IPv4 address must "
                                          "precede the colon");
        assert_int_equal(access(path, F_OK), -1);

        snprintf(taken, sizeof taken, "%s", listeners->items[0].text);
        assert_int_equal(listen_on(second, 2, &others, &failure), -EADDRINUSE);
        snprintf(expected, sizeof expected, "Cannot listen on '%s': Address already in use", taken);
        assert_string_equal(failure.text, expected);
        assert_int_equal(access(path, F_OK), -1);
        listeners_free(listeners);
}

/* An address at which the kernel does not let it listen is named, whatever the kernel refuses, and
 * no socket is left of it. */
static void test_refused(void **state) {
        static const struct {
                CallFault *fault;
                int after;
                const char *listen;
        } cases[] = { { &bind_fault, 0, "127.0.0.1:0" },
                      { &listen_fault, 0, "127.0.0.1:0" },
                      { &getsockname_fault, 0, "127.0.0.1:0" },
                      { &socket_fault, 0, "127.0.0.1:0" },
                      { &setsockopt_fault, 3, "udp:127.0.0.1:0" } };
        char expected[LISTENER_TEXT_SIZE + 64], text[LISTENER_TEXT_SIZE], *listen[] = { text };
        const int before = next_descriptor();
        Listeners *listeners;
        Failure failure = {};

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                snprintf(text, sizeof text, "%s", cases[i].listen);
                snprintf(expected, sizeof expected,
                         "Cannot listen on '%s': No buffer space available", text);
                *cases[i].fault = (CallFault){ ENOBUFS, cases[i].after, 1 };
                assert_int_equal(listen_on(listen, 1, &listeners, &failure), -ENOBUFS);
                assert_string_equal(failure.text, expected);
                assert_int_equal(next_descriptor(), before);
        }
        /* A large buffer for sending needs a capability, the usual one none. */
        setsockopt_fault = (CallFault){ .error = EPERM, .after = 1, .times = 1 };
        listeners_free(listen_on_one(text));
        assert_int_equal(setsockopt_fault.times, 0);
}

/* Unix sockets take no descriptors, where the kernel can refuse them. */
static void test_descriptors(void **state) {
        const int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        InheritedSocket passed = { .fd = datagrams };
        const Inherited inherited = { .connection = -1, .sockets = &passed, .n_sockets = 1 };
        const Options options = {};
        int value = -1, sockets[2];
        Listeners *own, *others;
        Failure failure = {};

        (void)state;
        own = listen_on_one(path);
        assert_int_equal(listeners_new(&options, &inherited, &others, &failure), 0);
        sockets[0] = own->items[0].fd;
        sockets[1] = others->items[0].fd;
        for (size_t i = 0; i < COUNT(sockets); i++)
                if (getsockopt(sockets[i], SOL_SOCKET, OPTION_PASSRIGHTS, &value,
                               &(socklen_t){ sizeof value }) == 0)
                        assert_int_equal(value, 0);
        listeners_free(own);
        listeners_free(others);
}

/* A passed descriptor that cannot be a listener is named. */
static void test_passed(void **state) {
        const int fds[] = { open("/", O_PATH | O_CLOEXEC), -1 };
        const Options options = {};
        Listeners *listeners;
        Failure failure = {};

        (void)state;
        for (size_t i = 0; i < COUNT(fds); i++) {
                InheritedSocket passed = { .fd = fds[i] };
                const Inherited inherited = { .connection = -1,
                                              .sockets = &passed,
                                              .n_sockets = 1 };

                assert_int_equal(listeners_new(&options, &inherited, &listeners, &failure), -EBADF);
                assert_non_null(strstr(failure.text, ": Bad file descriptor"));
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_bind),           TEST(test_close),   TEST(test_errors),
                TEST(test_metrics),        TEST(test_find),    TEST(test_datagrams),
                TEST(test_datagram_names), TEST(test_proxies), TEST(test_find_family),
                TEST(test_find_local),     TEST(test_refused), TEST(test_passed),
                TEST(test_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
