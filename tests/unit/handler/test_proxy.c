/* SPDX-License-Identifier: MIT */
/* Which bytes are a PROXY header, and whose endpoints it announces. */

#include "handler/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
/* 192.0.2.7:51234 to 192.0.2.1:7, and the same of IPv6. */
#define IPV4 "\xc0\0\2\7\xc0\0\2\1\xc8\x22\0\7"
#define IPV6                                                                                       \
        "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\xc8\x22\0\7"
#define MAPPED                                                                                     \
        "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\xc8\x22\0\7"
#define ZEROS_36 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define UNIX     ZEROS_36 ZEROS_36 ZEROS_36 ZEROS_36 ZEROS_36 ZEROS_36

#define BYTES(text) (text), sizeof(text) - 1
#define REAL        "unknown"

static const struct {
        const char *bytes;
        size_t size;
        const char *source;
        const char *destination;
} valid[] = {
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\r\n"), "192.0.2.7:51234", "192.0.2.1:7" },
        { BYTES("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"), "255.255.255.255:65535",
          "0.0.0.0:0" },
        { BYTES("PROXY TCP6 2001:db8::7 2001:db8::1 51234 7\r\n"), "[2001:db8::7]:51234",
          "[2001:db8::1]:7" },
        { BYTES("PROXY TCP6 2001:DB8:00:000:0000:0:0:7 2001:Db8::1 51234 7\r\n"),
          "[2001:db8::7]:51234", "[2001:db8::1]:7" },
        { BYTES("PROXY TCP6 ::ffff:192.0.2.7 ::FFFF:192.0.2.1 51234 7\r\n"), "192.0.2.7:51234",
          "192.0.2.1:7" },
        { BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
        { BYTES("PROXY UNKNOWN\r\n"), REAL, REAL },
        { BYTES("PROXY UNKNOWN ffff::1 whatever \0 it says\r\n"), REAL, REAL },
        /* The longest line. */
        { BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          REAL, REAL },
        { BYTES(SIGNATURE "\x21\x11\0\x0c" IPV4), "192.0.2.7:51234", "192.0.2.1:7" },
        { BYTES(SIGNATURE "\x21\x12\0\x0c" IPV4), "192.0.2.7:51234", "192.0.2.1:7" },
        { BYTES(SIGNATURE "\x21\x21\0\x24" IPV6), "[2001:db8::7]:51234", "[2001:db8::1]:7" },
        { BYTES(SIGNATURE "\x21\x22\0\x24" IPV6), "[2001:db8::7]:51234", "[2001:db8::1]:7" },
        { BYTES(SIGNATURE "\x21\x21\0\x24" MAPPED), "192.0.2.7:51234", "192.0.2.1:7" },
        { BYTES(SIGNATURE "\x21\x31\0\xd8" UNIX), REAL, REAL },
        { BYTES(SIGNATURE "\x21\x32\0\xd8" UNIX), REAL, REAL },
        { BYTES(SIGNATURE "\x21\0\0\0"), REAL, REAL },
        { BYTES(SIGNATURE "\x21\0\0\5\4\0\2ab"), REAL, REAL },
        { BYTES(SIGNATURE "\x20\0\0\0"), REAL, REAL },
        /* Whatever LOCAL has is skipped. */
        { BYTES(SIGNATURE "\x20\x11\0\x0c" IPV4), REAL, REAL },
        { BYTES(SIGNATURE "\x20\x11\0\3\3\0\7"), REAL, REAL },
        { BYTES(SIGNATURE "\x20\xff\0\1\xff"), REAL, REAL },
        /* TLVs: ALPN, NOOP, an empty one and an unknown one. */
        { BYTES(SIGNATURE "\x21\x11\0\x1a" IPV4 "\1\0\2h2\4\0\0\xea\0\3abc"), "192.0.2.7:51234",
          "192.0.2.1:7" },
        { BYTES(SIGNATURE "\x21\x11\0\x13" IPV4 "\3\0\4\x2d\xe0\x71\x25"), "192.0.2.7:51234",
          "192.0.2.1:7" },
        { BYTES(SIGNATURE "\x21\x21\0\x36" IPV6 "\1\0\2h2\3\0\4\x58\xc7\x5e\x32\4\0\3abc"),
          "[2001:db8::7]:51234", "[2001:db8::1]:7" },
};

static const struct {
        const char *bytes;
        size_t size;
        ProxyError error;
} wrong[] = {
        { BYTES("X"), PROXY_MISSING },
        { BYTES("PROXX"), PROXY_MISSING },
        { BYTES("proxy TCP4 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_MISSING },
        { BYTES(" PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_MISSING },
        { BYTES("PROXY\tTCP4 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_MISSING },
        { BYTES("PROXY\r\n"), PROXY_MISSING },
        { BYTES("\r\n\r\n\0\r\nQUIT\r"), PROXY_MISSING },
        { BYTES("\r\n\r\nHello"), PROXY_MISSING },

        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\n"), PROXY_LINE_END },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\rx"), PROXY_LINE_END },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\r\r\n"), PROXY_LINE_END },
        { BYTES("PROXY UNKNOWN\n\r\n"), PROXY_LINE_END },
        /* A byte more than the longest line. */
        { BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 \r\n"),
          PROXY_LINE_LONG },

        { BYTES("PROXY \r\n"), PROXY_LINE_FAMILY },
        { BYTES("PROXY  TCP4 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_LINE_FAMILY },
        { BYTES("PROXY TCP 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_LINE_FAMILY },
        { BYTES("PROXY UDP4 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_LINE_FAMILY },
        { BYTES("PROXY UNKNOWNS\r\n"), PROXY_LINE_FAMILY },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\0\r\n"), PROXY_LINE_FAMILY },
        { BYTES("PROXY TCP4\0 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_LINE_FAMILY },

        { BYTES("PROXY TCP4\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4 192.0.2.7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4  192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4 192.0.2.07 192.0.2.1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.256 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4 192.0.2 192.0.2.1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4 ::1 ::1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP6 192.0.2.7 192.0.2.1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP4 192.0.2.7 ::ffff:192.0.2.1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP6 2001:db8::7 192.0.2.1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP6 fe80::1%1 ::1 51234 7\r\n"), PROXY_ADDRESS },
        { BYTES("PROXY TCP6 [::1] [::1] 51234 7\r\n"), PROXY_ADDRESS },

        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 \r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7 \r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 7 x\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1  51234 7\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 051234 7\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 07\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 65536 7\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 51234 echo\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 -1 7\r\n"), PROXY_PORT },
        { BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 +1 7\r\n"), PROXY_PORT },

        { BYTES(SIGNATURE "\x11\x11\0\x0c" IPV4), PROXY_VERSION },
        { BYTES(SIGNATURE "\x31\x11\0\x0c" IPV4), PROXY_VERSION },
        { BYTES(SIGNATURE "\x01"), PROXY_VERSION },
        { BYTES(SIGNATURE "\x22\x11\0\x0c" IPV4), PROXY_COMMAND },
        { BYTES(SIGNATURE "\x2f"), PROXY_COMMAND },
        { BYTES(SIGNATURE "\x21\x01\0\x0c" IPV4), PROXY_FAMILY },
        { BYTES(SIGNATURE "\x21\x10\0\x0c" IPV4), PROXY_FAMILY },
        { BYTES(SIGNATURE "\x21\x13\0\x0c" IPV4), PROXY_FAMILY },
        { BYTES(SIGNATURE "\x21\x41\0\x0c" IPV4), PROXY_FAMILY },
        { BYTES(SIGNATURE "\x21\x11\0\x0b"), PROXY_SHORT },
        { BYTES(SIGNATURE "\x21\x21\0\x23"), PROXY_SHORT },
        { BYTES(SIGNATURE "\x21\x31\0\xd7"), PROXY_SHORT },
        { BYTES(SIGNATURE "\x21\x11\x3f\xf1"), PROXY_LONG },
        { BYTES(SIGNATURE "\x20\0\xff\xff"), PROXY_LONG },
        { BYTES(SIGNATURE "\x21\x11\0\x0e" IPV4 "\4\0"), PROXY_TLV },
        { BYTES(SIGNATURE "\x21\x11\0\x0f" IPV4 "\4\0\1"), PROXY_TLV },
        { BYTES(SIGNATURE "\x21\x11\0\x11" IPV4 "\4\1\0ab"), PROXY_TLV },
        { BYTES(SIGNATURE "\x21\x11\0\x12" IPV4 "\3\0\3\x2d\xe0\x71"), PROXY_TLV },
        { BYTES(SIGNATURE "\x21\x11\0\x1a" IPV4 "\3\0\4\x2d\xe0\x71\x25\3\0\4\x2d\xe0\x71\x25"),
          PROXY_TLV },
        { BYTES(SIGNATURE "\x21\x11\0\x13" IPV4 "\3\0\4\x2d\xe0\x71\x24"), PROXY_CHECKSUM },
        { BYTES(SIGNATURE "\x21\x11\0\x13" IPV4 "\3\0\4\0\0\0\0"), PROXY_CHECKSUM },
        { BYTES(SIGNATURE "\x21\x12\0\x13" IPV4 "\3\0\4\x2d\xe0\x71\x25"), PROXY_CHECKSUM },
};

/* Parses in memory of its own size, so that valgrind and the sanitizers see a byte too many. */
static int parse(const void *bytes, size_t size, ProxyEndpoints *ret_endpoints) {
        uint8_t *copy = malloc(size > 0 ? size : 1);
        int r;

        assert_non_null(copy);
        memcpy(copy, bytes, size);
        r = proxy_parse(copy, size, ret_endpoints);
        free(copy);
        return r;
}

static void assert_address(const Address *address, const char *expected) {
        char text[ADDRESS_TEXT_SIZE];

        address_format(address, text);
        assert_string_equal(text, expected);
}

/* Each valid header is complete at its last byte and not before, wherever it is split, and bytes
 * behind it change nothing. */
static void test_valid(void **state) {
        char followed[512];
        ProxyEndpoints endpoints;

        (void)state;
        for (size_t i = 0; i < COUNT(valid); i++) {
                for (size_t size = 0; size < valid[i].size; size++)
                        assert_int_equal(parse(valid[i].bytes, size, &endpoints), 0);
                assert_int_equal(parse(valid[i].bytes, valid[i].size, &endpoints), valid[i].size);
                assert_address(&endpoints.source, valid[i].source);
                assert_address(&endpoints.destination, valid[i].destination);

                memset(followed, '\n', sizeof followed);
                memcpy(followed, valid[i].bytes, valid[i].size);
                endpoints = (ProxyEndpoints){};
                assert_int_equal(parse(followed, sizeof followed, &endpoints), valid[i].size);
                assert_address(&endpoints.source, valid[i].source);
        }
}

/* Each wrong header has the error of its first wrong part, wherever it is split, a text for it, and
 * announces nothing. */
static void test_wrong(void **state) {
        ProxyEndpoints endpoints, same;
        int r = 0;

        (void)state;
        memset(&endpoints, 0x5a, sizeof endpoints);
        same = endpoints;
        for (size_t i = 0; i < COUNT(wrong); i++) {
                for (size_t size = 0; size <= wrong[i].size; size++) {
                        r = parse(wrong[i].bytes, size, &endpoints);
                        assert_true(r == 0 || r == -(int)wrong[i].error);
                }
                assert_int_equal(r, -(int)wrong[i].error);
                assert_memory_equal(&endpoints, &same, sizeof endpoints);
                assert_non_null(proxy_error_text(-r));
        }
}

/* The longest header of version 2 is taken. */
static void test_longest(void **state) {
        static uint8_t bytes[PROXY_MOST] = SIGNATURE "\x21\x11\x3f\xf0" IPV4 "\xea\x3f\xe1";
        ProxyEndpoints endpoints;

        (void)state;
        assert_int_equal(parse(bytes, sizeof bytes - 1, &endpoints), 0);
        assert_int_equal(parse(bytes, sizeof bytes, &endpoints), sizeof bytes);
        assert_address(&endpoints.source, "192.0.2.7:51234");
}

/* Each error has a text of its own, and other numbers have none. */
static void test_error_texts(void **state) {
        (void)state;
        assert_null(proxy_error_text(-1));
        assert_null(proxy_error_text(0));
        assert_null(proxy_error_text(PROXY_ERRORS));
        for (int error = 1; error < PROXY_ERRORS; error++)
                for (int other = 1; other < error; other++)
                        assert_string_not_equal(proxy_error_text(error), proxy_error_text(other));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_wrong),
                cmocka_unit_test(test_longest),
                cmocka_unit_test(test_error_texts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
