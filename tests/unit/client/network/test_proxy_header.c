/* SPDX-License-Identifier: MIT */
/* The PROXY headers that the client sends, as the parser of the service reads them. */

#include "client/network/proxy_header.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "handler/proxy.h"
#include "peer.h"
#include "unit.h"

#define IPV4 ",192.0.2.7:51234,192.0.2.1:7"
#define IPV6 ",[2001:db8::7]:51234,[2001:db8::1]:7"

/* Each form is read as what the manual says: whole, with these addresses, or wrong in this way. */
static void test_forms(void **state) {
        static const struct {
                const char *text;
                int error; /* a ProxyError, or 0 */
                const char *source;
                const char *destination;
        } cases[] = {
                { "1" IPV4, 0, "192.0.2.7:51234", "192.0.2.1:7" },
                { "1" IPV6, 0, "[2001:db8::7]:51234", "[2001:db8::1]:7" },
                { "2" IPV4, 0, "192.0.2.7:51234", "192.0.2.1:7" },
                { "2" IPV6, 0, "[2001:db8::7]:51234", "[2001:db8::1]:7" },
                { "unknown" IPV4, 0, "unknown", "unknown" },
                { "local" IPV4, 0, "unknown", "unknown" },
                { "no-cr" IPV4, PROXY_LINE_END, NULL, NULL },
                { "long" IPV4, PROXY_LINE_LONG, NULL, NULL },
                { "protocol" IPV4, PROXY_LINE_FAMILY, NULL, NULL },
                { "protocol" IPV6, PROXY_LINE_FAMILY, NULL, NULL },
                { "address" IPV4, PROXY_ADDRESS, NULL, NULL },
                { "address" IPV6, PROXY_ADDRESS, NULL, NULL },
                { "port" IPV4, PROXY_PORT, NULL, NULL },
                { "signature" IPV4, PROXY_MISSING, NULL, NULL },
                { "version" IPV4, PROXY_VERSION, NULL, NULL },
                { "command" IPV4, PROXY_COMMAND, NULL, NULL },
                { "family" IPV4, PROXY_FAMILY, NULL, NULL },
                { "short" IPV4, PROXY_SHORT, NULL, NULL },
                { "short" IPV6, PROXY_SHORT, NULL, NULL },
                { "tlv" IPV4, PROXY_TLV, NULL, NULL },
                { "tlv" IPV6, PROXY_TLV, NULL, NULL },
                { "checksum" IPV4, PROXY_CHECKSUM, NULL, NULL },
                { "checksum" IPV6, PROXY_CHECKSUM, NULL, NULL },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                uint8_t bytes[PROXY_HEADER_SIZE];
                char text[ADDRESS_TEXT_SIZE];
                ProxyEndpoints endpoints;
                ProxyHeader header;
                size_t size;
                int r;

                assert_int_equal(proxy_header_parse(cases[i].text, &header), 0);
                size = proxy_header_format(&header, &header.source, &header.destination, bytes);
                assert_in_range(size, 1, sizeof bytes);
                r = proxy_parse(bytes, size, &endpoints);
                if (r != (cases[i].error == 0 ? (int)size : -cases[i].error))
                        fail_msg("%s: %d", cases[i].text, r);
                if (cases[i].error != 0)
                        continue;
                address_format(&endpoints.source, text);
                assert_string_equal(text, cases[i].source);
                address_format(&endpoints.destination, text);
                assert_string_equal(text, cases[i].destination);
        }
}

/* Between Unix sockets each form is read as well: valid ones name nobody, wrong ones are wrong. */
static void test_unix(void **state) {
        const Endpoint local = { .local.sun_family = AF_UNIX, .length = sizeof(sa_family_t) };

        (void)state;
        for (int form = PROXY_HEADER_1; form < PROXY_HEADER_FORMS; form++) {
                const ProxyHeader header = { .form = (ProxyHeaderForm)form };
                ProxyEndpoints endpoints = { .source = { .family = AF_INET } };
                uint8_t bytes[PROXY_HEADER_SIZE];
                const size_t size = proxy_header_format(&header, &local, &local, bytes);
                const int r = proxy_parse(bytes, size, &endpoints);

                if (form > PROXY_HEADER_LOCAL)
                        assert_true(r < 0);
                else
                        assert_int_equal(r, size);
                if (r > 0)
                        assert_int_equal(endpoints.source.family, AF_UNSPEC);
        }
}

/* The header names the connection's own addresses unless others are given, and is all that is
 * sent. Without a form nothing is. */
static void test_send(void **state) {
        ProxyHeader header = {};
        uint8_t bytes[PROXY_HEADER_SIZE];
        ProxyEndpoints endpoints;
        in_port_t own;
        int pair[2];
        size_t size;

        (void)state;
        peer_pair_tcp(pair);
        own = peer_port(pair[0]);
        assert_int_equal(proxy_header_send(&header, pair[0]), 0);
        assert_int_equal(proxy_header_parse("2", &header), 0);
        assert_int_equal(proxy_header_send(&header, pair[0]), 0);
        assert_int_equal(proxy_header_parse("1" IPV6, &header), 0);
        assert_int_equal(proxy_header_send(&header, pair[0]), 0);
        close(pair[0]);
        size = peer_receive(pair[1], bytes, sizeof bytes);
        assert_int_equal(proxy_parse(bytes, size, &endpoints), 28);
        assert_int_equal(endpoints.source.port, own);
        assert_int_equal(endpoints.destination.port, peer_port(pair[1]));
        assert_int_equal(proxy_parse(bytes + 28, size - 28, &endpoints), size - 28);
        assert_int_equal(endpoints.source.family, AF_INET6);
        assert_true(proxy_header_send(&header, pair[0]) < 0);
        header.source.length = 0;
        assert_int_equal(proxy_header_send(&header, pair[0]), -EBADF);
        close(pair[1]);
}

/* What is no form, or has no two numeric addresses of one family with ports, is refused. */
static void test_wrong(void **state) {
        static const char *const texts[] = {
                "",
                "3",
                "12",
                "2,",
                "2,192.0.2.7:1",
                "2,192.0.2.7:1,",
                "2,192.0.2.7:1,192.0.2.1",
                "2,192.0.2.7:1,[::1]:1",
                "2,7,7",
                "2,/a,/b",
                "2,localhost:1,localhost:1",
                "2,192.0.2.7:1,192.0.2.1:1,",
                ",192.0.2.7:1,192.0.2.1:1",
                "LOCAL",
        };
        ProxyHeader header;

        (void)state;
        for (size_t i = 0; i < COUNT(texts); i++)
                if (proxy_header_parse(texts[i], &header) != -EINVAL)
                        fail_msg("%s", texts[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_unix),
                cmocka_unit_test(test_send),
                cmocka_unit_test(test_wrong),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
