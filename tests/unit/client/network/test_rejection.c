/* SPDX-License-Identifier: MIT */
/* Errors in control data, as the kernel or nobody writes it. */

#include "client/network/rejection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <string.h>

#include "unit.h"

typedef union Sender {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
} Sender;

typedef struct Control {
        _Alignas(struct cmsghdr) char bytes[REJECTION_CONTROL_SIZE];
        size_t size;
} Control;

static const struct sock_extended_err unreachable = { .ee_errno = ECONNREFUSED,
                                                      .ee_origin = SO_EE_ORIGIN_ICMP,
                                                      .ee_type = ICMP_DEST_UNREACH,
                                                      .ee_code = ICMP_PORT_UNREACH };

/* Adds a header with @size bytes of data. */
static void control_add(Control *control, int level, int type, const void *data, size_t size) {
        struct cmsghdr header = { .cmsg_len = CMSG_LEN(size),
                                  .cmsg_level = level,
                                  .cmsg_type = type };

        assert_true(control->size + CMSG_SPACE(size) <= sizeof control->bytes);
        memcpy(control->bytes + control->size, &header, sizeof header);
        memcpy(control->bytes + control->size + CMSG_LEN(0), data, size);
        control->size += CMSG_SPACE(size);
}

/* Adds an error and @size bytes of its sender's address. */
static void control_add_error(Control *control, int level, int type, const Sender *sender,
                              size_t size) {
        char data[sizeof unreachable + sizeof *sender];

        memcpy(data, &unreachable, sizeof unreachable);
        memcpy(data + sizeof unreachable, sender, size);
        control_add(control, level, type, data, sizeof unreachable + size);
}

static bool control_parse(Control *control, Rejection *ret_rejection) {
        const struct msghdr message = { .msg_control = control->bytes,
                                        .msg_controllen = control->size };

        *ret_rejection = (Rejection){};
        return rejection_parse(&message, ret_rejection);
}

/* The sender counts when its family and length belong together. */
static void test_senders(void **state) {
        const struct {
                sa_family_t family;
                size_t size;
                const char *text;
        } cases[] = {
                { AF_INET, sizeof(struct sockaddr_in), "192.0.2.1" },
                { AF_INET, sizeof(struct sockaddr_in) - 1, "" },
                { AF_INET, sizeof(struct sockaddr_in6), "192.0.2.1" },
                { AF_INET6, sizeof(struct sockaddr_in6), "::1" },
                { AF_INET6, sizeof(struct sockaddr_in6) - 1, "" },
                { AF_INET6, sizeof(struct sockaddr_in), "" },
                { AF_UNSPEC, sizeof(struct sockaddr_in), "" },
                { AF_UNSPEC, sizeof(struct sockaddr_in6), "" },
                { AF_INET, 0, "" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Sender sender = { .ipv6.sin6_addr = IN6ADDR_LOOPBACK_INIT };
                Control control = {};
                Rejection rejection;

                if (cases[i].family == AF_INET)
                        sender.ipv4.sin_addr.s_addr = htonl(0xc0000201);
                sender.any.sa_family = cases[i].family;
                control_add_error(&control, IPPROTO_IP, IP_RECVERR, &sender, cases[i].size);
                assert_true(control_parse(&control, &rejection));
                assert_int_equal(rejection.error, ECONNREFUSED);
                assert_string_equal(rejection.reason, "port unreachable");
                assert_string_equal(rejection.sender, cases[i].text);
        }
}

/* An error is found behind other control data, of both protocols. */
static void test_others(void **state) {
        static const struct {
                int level, type, error;
        } cases[] = {
                { IPPROTO_IP, IP_TTL, IP_RECVERR },
                { IPPROTO_IPV6, IPV6_HOPLIMIT, IPV6_RECVERR },
                { SOL_SOCKET, IP_RECVERR, IPV6_RECVERR },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const int level = cases[i].error == IP_RECVERR ? IPPROTO_IP : IPPROTO_IPV6;
                Control control = {};
                Rejection rejection;

                control_add(&control, cases[i].level, cases[i].type, &unreachable,
                            sizeof unreachable);
                assert_false(control_parse(&control, &rejection));
                control_add_error(&control, level, cases[i].error, &(Sender){}, sizeof(Sender));
                assert_true(control_parse(&control, &rejection));
                assert_int_equal(rejection.error, ECONNREFUSED);
        }
}

/* An error that is cut is none: neither one that is too short nor one that exceeds the data. */
static void test_cut(void **state) {
        Control control = {};
        Rejection rejection;

        (void)state;
        assert_false(control_parse(&control, &rejection));
        control_add(&control, IPPROTO_IP, IP_RECVERR, &unreachable, sizeof unreachable - 1);
        assert_false(control_parse(&control, &rejection));
        control = (Control){};
        control_add(&control, IPPROTO_IP, IP_RECVERR, &unreachable, sizeof unreachable);
        assert_true(control_parse(&control, &rejection));
        control.size = CMSG_LEN(sizeof unreachable) - 1;
        assert_false(control_parse(&control, &rejection));
}

/* Errors of this machine have their own words, but a full queue is a timeout of the peer. */
static void test_own(void **state) {
        Rejection rejection;

        (void)state;
        rejection_set(&rejection, EPERM);
        assert_string_equal(rejection.text, "cannot send: Operation not permitted");
        assert_int_equal(rejection_kind(&rejection), FAILURE_LOCAL);
        rejection_set(&rejection, EAGAIN);
        assert_string_equal(rejection.text, "cannot send: the queue stays full");
        assert_int_equal(rejection_kind(&rejection), FAILURE_TIMEOUT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_senders),
                cmocka_unit_test(test_others),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
