/* SPDX-License-Identifier: MIT */
/* Lists of networks, and who is in them. */

#include "start/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

enum {
        LIST_SIZE = 8192,
};

static Address address_of(const char *text) {
        uint8_t bytes[16];

        if (strcmp(text, "unix") == 0)
                return (Address){ .family = AF_UNIX, .local = { .uid = 7, .pid = 4242 } };
        if (strcmp(text, "unknown") == 0)
                return (Address){};
        if (strchr(text, ':') != NULL) {
                assert_int_equal(inet_pton(AF_INET6, text, bytes), 1);
                return address_from_bytes(bytes, 16, 51234);
        }
        assert_int_equal(inet_pton(AF_INET, text, bytes), 1);
        return address_from_bytes(bytes, 4, 51234);
}

/* A list contains the first and the last address of each of its networks, and neither the
 * neighbours of these nor another family. */
static void test_contained(void **state) {
        static const struct {
                const char *list;
                const char *address;
                bool contained;
        } cases[] = {
                { "192.0.2.7", "192.0.2.7", true },
                { "192.0.2.7", "192.0.2.6", false },
                { "192.0.2.7", "::ffff:192.0.2.7", true },
                { "192.0.2.0/24", "192.0.2.0", true },
                { "192.0.2.0/24", "192.0.2.255", true },
                { "192.0.2.0/24", "192.0.1.255", false },
                { "192.0.2.0/24", "192.0.3.0", false },
                { "192.0.2.4/30", "192.0.2.7", true },
                { "192.0.2.4/30", "192.0.2.3", false },
                { "192.0.2.4/30", "192.0.2.8", false },
                { "128.0.0.0/1", "255.1.2.3", true },
                { "128.0.0.0/1", "127.255.255.255", false },
                { "0.0.0.0/0", "255.255.255.255", true },
                { "0.0.0.0/0", "::1", false },
                { "0.0.0.0/0", "unix", false },
                { "0.0.0.0/0", "unknown", false },
                { "::/0", "2001:db8::7", true },
                { "::/0", "192.0.2.7", false },
                { "::/0", "unix", false },
                { "2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true },
                { "2001:db8::/32", "2001:db9::", false },
                { "2001:db8::/127", "2001:db8::1", true },
                { "2001:db8::/127", "2001:db8::2", false },
                { "::1", "::1", true },
                { "::1", "::2", false },
                { "unix", "unix", true },
                { "unix", "192.0.2.7", false },
                { "unix", "unknown", false },
                { "127.0.0.0/8,::1,unix", "127.9.8.7", true },
                { "127.0.0.0/8,::1,unix", "::1", true },
                { "127.0.0.0/8,::1,unix", "unix", true },
                { "127.0.0.0/8,::1,unix", "126.9.8.7", false },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Address address = address_of(cases[i].address);
                const char *why;
                Networks networks;

                assert_int_equal(networks_parse(cases[i].list, &networks, &why), 0);
                if (networks_contain(&networks, &address) != cases[i].contained)
                        fail_msg("%s in %s", cases[i].address, cases[i].list);
        }
}

/* Nobody is in an empty list. */
static void test_empty(void **state) {
        const Networks networks = {};
        const Address address = address_of("192.0.2.7");

        (void)state;
        assert_false(networks_contain(&networks, &address));
}

/* Each mistake has a reason, and leaves the result alone. */
static void test_wrong(void **state) {
        static const char *const lists[] = {
                "",           ",",          "192.0.2.7,",   ",unix",        "192.0.2",
                "192.0.2.7/", "::1/129",    "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.7/24",
                "::1/64",     "[::1]",      "::1%lo",       "localhost",    "UNIX",
                "unix/8",     "192.0.2.7 ", "192.0.2.7:7",  "192.0.2.256",  "192.0.2.0/24/24",
        };
        Networks networks = { .n = 77 };

        (void)state;
        for (size_t i = 0; i < COUNT(lists); i++) {
                const char *why = NULL;

                assert_int_equal(networks_parse(lists[i], &networks, &why), -EINVAL);
                assert_non_null(why);
                assert_int_equal(networks.n, 77);
        }
}

/* Writes @n times @network to @list. */
static void repeat(const char *network, int n, char list[static LIST_SIZE]) {
        size_t length = 0;

        for (int i = 0; i < n; i++)
                length += (size_t)snprintf(list + length, LIST_SIZE - length, "%s%s",
                                           i > 0 ? "," : "", network);
}

/* There is room for 64 networks of any length, and no more. */
static void test_most(void **state) {
        const char *longest = "1111:2222:3333:4444:5555:6666:123.123.123.123/128";
        char list[LIST_SIZE];
        Networks networks;
        const char *why;

        (void)state;
        repeat(longest, NETWORKS_MOST, list);
        assert_int_equal(networks_parse(list, &networks, &why), 0);
        assert_int_equal(networks.n, NETWORKS_MOST);
        repeat(longest, NETWORKS_MOST + 1, list);
        assert_int_equal(networks_parse(list, &networks, &why), -EINVAL);
        repeat("::", NETWORKS_MOST + 1, list);
        assert_int_equal(networks_parse(list, &networks, &why), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_contained),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_wrong),
                cmocka_unit_test(test_most),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
