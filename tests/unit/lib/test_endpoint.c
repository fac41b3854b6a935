/* SPDX-License-Identifier: MIT */
/* Socket addresses as people write them down. */

#include "lib/endpoint.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* A name of a Unix socket that has as many bytes as there is room for, and one more. */
#define BYTES_100                                                                                  \
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
        "890123456789"
#define BYTES_106 BYTES_100 "012345"

/* In place of the C library's: whether a name server could have been asked. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
        static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        assert_true(hints->ai_flags & AI_NUMERICHOST);
        return real(node, service, hints, result);
}

/* Every form is read as what it says, and written again as it was read. */
static void test_forms(void **state) {
        static const struct {
                const char *text;
                sa_family_t family;
                const char *formatted; /* NULL when it is the text */
        } cases[] = {
                { "7", AF_INET6, "[::]:7" },
                { "0", AF_INET6, "[::]:0" },
                { "65535", AF_INET6, "[::]:65535" },
                { "127.0.0.1:9190", AF_INET, NULL },
                { "0.0.0.0:0", AF_INET, NULL },
                { "255.255.255.255:65535", AF_INET, NULL },
                { "[::]:7", AF_INET6, NULL },
                { "[::1]:7", AF_INET6, NULL },
                { "[2001:DB8:0:0:0:0:0:7]:7", AF_INET6, "[2001:db8::7]:7" },
                { "[::ffff:192.0.2.7]:7", AF_INET6, NULL },
                { "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", AF_INET6, NULL },
                { "[fe80::1%1]:7", AF_INET6, NULL },
                { "[fe80::1%4294967295]:7", AF_INET6, NULL },
                { "/", AF_UNIX, NULL },
                { "/run/mpecho", AF_UNIX, NULL },
                { "/with:colon", AF_UNIX, NULL },
                { "/[::1]:7", AF_UNIX, NULL },
                { "/a b", AF_UNIX, "/a\\x20b" },
                { "/a\nb\033\x7f\\\xff", AF_UNIX, "/a\\x0ab\\x1b\\x7f\\x5c\\xff" },
                { "/" BYTES_106, AF_UNIX, NULL },
                { "@a", AF_UNIX, NULL },
                { "@mpecho", AF_UNIX, NULL },
                { "@@", AF_UNIX, NULL },
                { "@a\tb", AF_UNIX, "@a\\x09b" },
                { "@" BYTES_106 "7", AF_UNIX, NULL },
                { "vsock:2:7", AF_VSOCK, NULL },
                { "vsock::7", AF_VSOCK, NULL },
                { "vsock:0:4294967295", AF_VSOCK, NULL },
                { "vsock:4294967295:65536", AF_VSOCK, "vsock::65536" },
                { "vsock:1:0", AF_VSOCK, "vsock:1:4294967295" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                char text[ENDPOINT_TEXT_SIZE];
                const char *why = NULL;
                Endpoint endpoint;

                if (endpoint_parse(cases[i].text, &endpoint, &why) != 0)
                        fail_msg("'%s': %s", cases[i].text, why);
                assert_int_equal(endpoint.any.sa_family, cases[i].family);
                assert_int_equal(endpoint.wildcard, i < 3);
                endpoint_format(&endpoint, text);
                assert_string_equal(text, cases[i].formatted != NULL ? cases[i].formatted
                                                                     : cases[i].text);
        }
}

/* Each wrong text is refused for the reason that is wrong with it, and no name is looked up. */
static void test_errors(void **state) {
        static const char port[] = "a port is a number from 0 to 65535";
        static const char ipv4[] = "an IPv4 address must precede the colon";
        static const char ipv6[] = "the brackets contain no IPv6 address";
        static const char follow[] =
                        "a port must follow the IPv6 address in brackets, as in [::1]:7";
        static const char belongs[] = "an IPv6 address belongs in brackets, as in [::1]:7";
        static const char vsock[] = "an address of vsock is vsock:CID:PORT or vsock::PORT";
        static const char bytes[] = "a Unix socket's name has at most 107 bytes";
        static const struct {
                const char *text, *why;
        } cases[] = {
                { "", port },
                { " ", port },
                { "-1", port },
                { "+7", port },
                { "7 ", port },
                { "65536", port },
                { "99999999999999999999", port },
                { "echo", port },
                { "localhost", port },
                { "127.0.0.1", port },
                { "./path", port },
                { "127.0.0.1:", port },
                { "127.0.0.1:65536", port },
                { "127.0.0.1:echo", port },
                { "[::1]:", port },
                { "[::1]:x", port },
                { ":7", ipv4 },
                { "*:7", ipv4 },
                { "localhost:7", ipv4 },
                { "127.1:7", ipv4 },
                { "1:7", ipv4 },
                { "127.0.0.256:7", ipv4 },
                { "127.0.0.1.1:7", ipv4 },
                { " 127.0.0.1:7", ipv4 },
                { "::1]:7", belongs },
                { "a/b:7", ipv4 },
                { BYTES_106 ":7", ipv4 },
                { "[]:7", ipv6 },
                { "[::1]]:7", ipv6 },
                { "[[::1]:7", ipv6 },
                { "[127.0.0.1]:7", ipv6 },
                { "[localhost]:7", ipv6 },
                { "[::g]:7", ipv6 },
                { "[1:2:3:4:5:6:7:8:9]:7", ipv6 },
                { "[fe80::1%no-such-interface]:7", ipv6 },
                { "[" BYTES_106 "]:7", ipv6 },
                { "[::1]", follow },
                { "[::1]7", follow },
                { "[", follow },
                { "[:", follow },
                { "[:7", follow },
                { "[::1:7", follow },
                { "::1", belongs },
                { "::1:7", belongs },
                { "2001:db8::7", belongs },
                { "127.0.0.1:7:7", belongs },
                { "vsock:", vsock },
                { "vsock:7", vsock },
                { "vsock:2:", vsock },
                { "vsock:2:7:7", vsock },
                { "vsock:2:-1", vsock },
                { "vsock:host:7", vsock },
                { "vsock:2:4294967296", vsock },
                { "vsock:4294967296:7", vsock },
                { "vsock:04294967295:7", vsock },
                { "vsock:" BYTES_106 ":7", vsock },
                { "vsock", port },
                { "Vsock:2:7", belongs },
                { "@", "a name must follow the @" },
                { "/" BYTES_106 "7", bytes },
                { "@" BYTES_106 "78", bytes },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const char *why = "none";
                Endpoint endpoint;

                if (endpoint_parse(cases[i].text, &endpoint, &why) != -EINVAL)
                        fail_msg("'%s' is taken", cases[i].text);
                assert_string_equal(why, cases[i].why);
        }
}

/* Paths and abstract names are told from all else by their first byte, and read alone as well. */
static void test_local(void **state) {
        Endpoint endpoint;
        const char *why;

        (void)state;
        assert_true(endpoint_is_local("/"));
        assert_true(endpoint_is_local("@"));
        assert_false(endpoint_is_local(""));
        assert_false(endpoint_is_local("7/"));
        assert_false(endpoint_is_local("a@b"));
        assert_false(endpoint_is_local("vsock:2:7"));
        assert_int_equal(endpoint_parse_local("@ab", &endpoint, &why), 0);
        assert_int_equal(endpoint.length, sizeof(sa_family_t) + 3);
        assert_memory_equal(endpoint.local.sun_path, "\0ab", 3);
        assert_int_equal(endpoint_parse_local("/ab", &endpoint, &why), 0);
        assert_int_equal(endpoint.length, sizeof(sa_family_t) + 4);
        assert_memory_equal(endpoint.local.sun_path, "/ab\0", 4);
        assert_int_equal(endpoint_parse_local("@", &endpoint, &why), -EINVAL);
}

/* Words that a client takes without a port are told by their beginning, and have their own. */
static void test_internet(void **state) {
        Endpoint endpoint;
        const char *why;

        (void)state;
        assert_false(endpoint_is_internet("/"));
        assert_false(endpoint_is_internet("@"));
        assert_false(endpoint_is_internet("vsock:"));
        assert_true(endpoint_is_internet("vsock"));
        assert_true(endpoint_is_internet("192.0.2.7:7"));
        assert_int_equal(endpoint_parse("vsock:3:65536", &endpoint, &why), 0);
        assert_int_equal(endpoint.length, sizeof endpoint.machine);
        assert_int_equal(endpoint.machine.svm_cid, 3);
        assert_int_equal(endpoint_port(&endpoint), 65536);
        assert_int_equal(endpoint_parse("192.0.2.7:7", &endpoint, &why), 0);
        assert_int_equal(endpoint_port(&endpoint), 7);
        assert_int_equal(endpoint_parse("@7", &endpoint, &why), 0);
        assert_int_equal(endpoint_port(&endpoint), 0);
}

/* What a socket is bound to is what was read, byte for byte, and is written the same. */
static void test_from_socket(void **state) {
        char name[64], text[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint, bound;
        const char *why;
        int fd;

        (void)state;
        snprintf(name, sizeof name, "@mpecho-unit-%d", getpid());
        assert_int_equal(endpoint_parse(name, &endpoint, &why), 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, &endpoint.any, endpoint.length), 0);
        assert_int_equal(endpoint_from_socket(fd, &bound), 0);
        assert_int_equal(bound.length, endpoint.length);
        assert_memory_equal(&bound.local, &endpoint.local, endpoint.length);
        endpoint_format(&bound, text);
        assert_string_equal(text, name);
        close(fd);

        assert_int_equal(endpoint_parse("127.0.0.1:0", &endpoint, &why), 0);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, &endpoint.any, endpoint.length), 0);
        assert_int_equal(endpoint_from_socket(fd, &bound), 0);
        assert_int_equal(bound.ipv4.sin_addr.s_addr, endpoint.ipv4.sin_addr.s_addr);
        assert_int_not_equal(bound.ipv4.sin_port, 0);
        close(fd);
        assert_int_equal(endpoint_from_socket(fd, &bound), -EBADF);
}

/* Sockets without a name, and of families that are not known by name, have a text as well. */
static void test_others(void **state) {
        char text[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint;
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(endpoint_from_socket(pair[0], &endpoint), 0);
        endpoint_format(&endpoint, text);
        assert_string_equal(text, "unnamed");
        close(pair[0]);
        close(pair[1]);
        endpoint = (Endpoint){ .any.sa_family = AF_PPPOX, .length = sizeof(struct sockaddr) };
        endpoint_format(&endpoint, text);
        assert_string_equal(text, "family 24");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),       cmocka_unit_test(test_errors),
                cmocka_unit_test(test_local),       cmocka_unit_test(test_internet),
                cmocka_unit_test(test_from_socket), cmocka_unit_test(test_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
