/* SPDX-License-Identifier: MIT */
/* Who is at the other end: as text, and as what limits count by. */

#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "unit.h"

static Address internet(const char *text, uint32_t scope) {
        struct sockaddr_storage name = {};
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)&name;
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&name;
        Address address;

        if (strchr(text, ':') != NULL) {
                ipv6->sin6_family = AF_INET6;
                ipv6->sin6_port = htons(51234);
                ipv6->sin6_scope_id = scope;
                assert_int_equal(inet_pton(AF_INET6, text, &ipv6->sin6_addr), 1);
        } else {
                ipv4->sin_family = AF_INET;
                ipv4->sin_port = htons(51234);
                assert_int_equal(inet_pton(AF_INET, text, &ipv4->sin_addr), 1);
        }
        assert_int_equal(address_from_peer(-1, &name, &address), 0);
        return address;
}

static bool same_source(const Address *one, const Address *other) {
        const Source first = address_source(one), second = address_source(other);

        return first.family_and_scope == second.family_and_scope && first.prefix == second.prefix;
}

/* Every address has its text; IPv4 that came in over IPv6 is IPv4. */
static void test_texts(void **state) {
        static const struct {
                const char *address;
                uint32_t scope;
                const char *text;
        } cases[] = {
                { "192.0.2.7", 0, "192.0.2.7:51234" },
                { "0.0.0.0", 0, "0.0.0.0:51234" },
                { "255.255.255.255", 0, "255.255.255.255:51234" },
                { "2001:db8::7", 0, "[2001:db8::7]:51234" },
                { "::1", 0, "[::1]:51234" },
                { "::1:0:0:0:1", 0, "[::1:0:0:0:1]:51234" },
                { "fe80::1", 3, "[fe80::1%3]:51234" },
                { "1111:2222:3333:4444:5555:6666:7777:8888", UINT32_MAX,
                  "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:51234" },
                { "::ffff:192.0.2.7", 0, "192.0.2.7:51234" },
                { "::ffff:192.0.2.7", 3, "192.0.2.7:51234" },
                { "::192.0.2.7", 0, "[::192.0.2.7]:51234" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Address address = internet(cases[i].address, cases[i].scope);
                char text[ADDRESS_TEXT_SIZE];

                address_format(&address, text);
                assert_string_equal(text, cases[i].text);
        }
}

/* A source is an IPv4 address or an IPv6 /64 with its zone; ports do not matter. */
static void test_sources(void **state) {
        static const struct {
                const char *one;
                uint32_t scope;
                const char *other;
                uint32_t other_scope;
                bool same;
        } cases[] = {
                { "192.0.2.7", 0, "192.0.2.7", 0, true },
                { "192.0.2.7", 0, "::ffff:192.0.2.7", 0, true },
                { "192.0.2.7", 0, "::ffff:192.0.2.7", 2, true },
                { "192.0.2.7", 0, "192.0.2.8", 0, false },
                { "192.0.2.7", 0, "192.0.3.7", 0, false },
                { "::ffff:192.0.2.7", 0, "::ffff:192.0.2.8", 0, false },
                { "2001:db8::1", 0, "2001:db8::ffff:ffff:ffff:ffff", 0, true },
                { "2001:db8::1", 0, "2001:db8:0:1::1", 0, false },
                { "2001:db8::1", 0, "3001:db8::1", 0, false },
                { "fe80::1", 1, "fe80::2", 1, true },
                { "fe80::1", 1, "fe80::1", 2, false },
                { "0.0.0.0", 0, "::", 0, false },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Address one = internet(cases[i].one, cases[i].scope);
                Address other = internet(cases[i].other, cases[i].other_scope);

                other.port++;
                if (same_source(&one, &other) != cases[i].same)
                        fail_msg("%s and %s", cases[i].one, cases[i].other);
        }
}

/* A Unix socket's peer is known by its process, and counted by its uid alone. */
static void test_local(void **state) {
        const struct sockaddr_storage name = { .ss_family = AF_UNIX };
        char text[ADDRESS_TEXT_SIZE], expected[ADDRESS_TEXT_SIZE];
        Address address, other;
        int pair[2];

        (void)state;
        peer_pair(pair);
        assert_int_equal(address_from_peer(pair[1], &name, &address), 0);
        address_format(&address, text);
        snprintf(expected, sizeof expected, "uid %u pid %d", getuid(), getpid());
        assert_string_equal(text, expected);
        assert_int_equal(address_from_peer(pair[1], NULL, &other), 0);
        assert_memory_equal(&other.local, &address.local, sizeof address.local);

        other = address;
        other.local.pid++;
        assert_true(same_source(&address, &other));
        other.local.uid++;
        assert_false(same_source(&address, &other));
        other = internet("0.0.0.0", 0);
        other.ipv4.s_addr = address.local.uid;
        assert_false(same_source(&address, &other));
        close(pair[0]);
        close(pair[1]);
        other.port = 99;
        assert_int_equal(address_from_peer(pair[1], &name, &other), -EBADF);
        assert_int_equal(address_from_peer(pair[1], NULL, &other), -EBADF);
        assert_int_equal(other.port, 99);
}

/* A virtual machine is a source, whatever the port; its port is in the text. */
static void test_vsock(void **state) {
        struct sockaddr_vm name = { .svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 1U << 31 };
        struct sockaddr_storage storage = {};
        Address address, other;
        char text[ADDRESS_TEXT_SIZE];

        (void)state;
        memcpy(&storage, &name, sizeof name);
        assert_int_equal(address_from_peer(-1, &storage, &address), 0);
        address_format(&address, text);
        assert_string_equal(text, "vsock:3:2147483648");

        other = address;
        other.machine.port--;
        assert_true(same_source(&address, &other));
        other.machine.cid--;
        assert_false(same_source(&address, &other));
}

/* An address of a family that is not known by name has a text as well, and so has none at all; the
 * longest one fits. */
static void test_others(void **state) {
        struct sockaddr_storage name = { .ss_family = AF_PPPOX };
        Address address;
        char text[ADDRESS_TEXT_SIZE];

        (void)state;
        assert_int_equal(address_from_peer(-1, &name, &address), 0);
        address_format(&address, text);
        assert_string_equal(text, "family 24");
        name.ss_family = AF_UNSPEC;
        assert_int_equal(address_from_peer(-1, &name, &address), 0);
        address_format(&address, text);
        assert_string_equal(text, "unknown");
        address = (Address){ .family = AF_UNIX, .local = { .uid = UINT32_MAX, .pid = INT32_MAX } };
        address_format(&address, text);
        assert_string_equal(text, "uid 4294967295 pid 2147483647");
}

/* The host and the source are cut out of an address as it is written. */
static void test_cut(void **state) {
        static const struct {
                const char *text, *host, *source;
        } cases[] = {
                { "192.0.2.7:51234", "192.0.2.7", "192.0.2.7" },
                { "[2001:db8::7]:7", "2001:db8::7", "2001:db8::/64" },
                { "[fe80::1%2]:7", "fe80::1%2", "fe80::%2/64" },
                { "uid 1000 pid 4242", "uid 1000", "uid 1000" },
                { "vsock:3:1024", "vsock:3", "vsock:3" },
                { "unknown", "unknown", "unknown" },
                { "2001:db8::/64", "2001:db8::/64", "2001:db8::/64" },
                { "192.0.2.7", "192.0.2.7", "192.0.2.7" },
                { "", "", "" },
        };
        char text[ADDRESS_TEXT_SIZE];

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                address_cut_host(cases[i].text, text);
                assert_string_equal(text, cases[i].host);
                address_cut_source(cases[i].text, text);
                assert_string_equal(text, cases[i].source);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts), cmocka_unit_test(test_sources),
                cmocka_unit_test(test_local), cmocka_unit_test(test_vsock),
                cmocka_unit_test(test_cut),   cmocka_unit_test(test_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
