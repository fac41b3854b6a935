/* SPDX-License-Identifier: MIT */
/* The client's options: what a command line means, and that each wrong one is named. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "client/command/client_options.h"

enum {
        WORDS_MAXIMUM = 8,
};

static int parse(const char *const *words, ClientOptions *options, Failure *failure) {
        char *argv[WORDS_MAXIMUM + 2] = { "mpecho-client" };
        int argc = 1;

        for (; words[argc - 1] != NULL; argc++) {
                assert_in_range(argc, 1, WORDS_MAXIMUM);
                argv[argc] = (char *)words[argc - 1];
        }
        return client_options_parse(argc, argv, options, failure);
}

#define PARSE(options, failure, ...)                                                               \
        parse((const char *const[]){ __VA_ARGS__, NULL }, options, failure)

/* A host alone means port 7 and any family. */
static void test_defaults(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "host"), 0);
        assert_int_equal(options.action, CLIENT_RELAY);
        assert_string_equal(options.target.host, "host");
        assert_int_equal(options.target.port, 7);
        assert_int_equal(options.target.family, AF_UNSPEC);
}

/* The port is the same in each of its places, before the host as well as behind it. */
static void test_port(void **state) {
        static const char *const lines[][4] = {
                { "host", "9190" },        { "-p", "9190", "host" },    { "host", "-p9190" },
                { "--port=9190", "host" }, { "host", "--por", "9190" },
        };
        ClientOptions options;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
                assert_int_equal(parse(lines[i], &options, &failure), 0);
                assert_string_equal(options.target.host, "host");
                assert_int_equal(options.target.port, 9190);
        }
}

/* Help and version need no host, and win over what follows them. */
static void test_help_and_version(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "-h", "--nonsense"), 0);
        assert_int_equal(options.action, CLIENT_HELP);
        assert_int_equal(PARSE(&options, &failure, "--version"), 0);
        assert_int_equal(options.action, CLIENT_VERSION);
}

/* A Unix socket takes neither port nor family, and none is made up. */
static void test_unix_socket(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "@name"), 0);
        assert_int_equal(options.target.port, 0);
        assert_int_equal(PARSE(&options, &failure, "@name", "7"), -EINVAL);
        assert_int_equal(PARSE(&options, &failure, "-6", "/name"), -EINVAL);
}

/* The source is an address of either family, or else an interface. */
static void test_source(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "--source=127.0.0.1", "host"), 0);
        assert_int_equal(options.connection.source.any.sa_family, AF_INET);
        assert_string_equal(options.connection.device, "");
        assert_int_equal(PARSE(&options, &failure, "--source=::1", "host"), 0);
        assert_int_equal(options.connection.source.any.sa_family, AF_INET6);
        assert_int_equal(PARSE(&options, &failure, "--source=lo", "host"), 0);
        assert_int_equal(options.connection.source.length, 0);
        assert_string_equal(options.connection.device, "lo");
}

/* What only the internet has is refused for other sockets by its name. A Unix socket takes
 * datagrams, one of vsock does not. */
static void test_other_sockets(void **state) {
        static const char *const hosts[] = { "@name", "vsock:2:7" };
        static const struct {
                const char *words[3];
                const char *named;
        } lines[] = {
                { { "-4" }, "--ipv4 " },
                { { "-6" }, "--ipv6 " },
                { { "--source=127.0.0.1" }, "--source " },
                { { "--dscp=1" }, "--dscp " },
                { { "--ttl=1" }, "--ttl " },
                { { "--ping", "--dont-fragment" }, "--dont-fragment " },
                { { "--mptcp" }, "--mptcp " },
                { { "--ping", "--flows=2" }, "--flows " },
                { { "--mtu" }, "--mtu " },
        };
        ClientOptions options;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
                for (size_t k = 0; k < 2; k++) {
                        const char *words[] = { hosts[k], lines[i].words[0], lines[i].words[1],
                                                NULL };

                        assert_int_equal(parse(words, &options, &failure), -EINVAL);
                        assert_ptr_equal(strstr(failure.text, lines[i].named), failure.text);
                }
        assert_int_equal(PARSE(&options, &failure, "--ping", "--udp", hosts[0]), 0);
        assert_int_equal(PARSE(&options, &failure, "--ping", "--udp", hosts[1]), -EINVAL);
        assert_ptr_equal(strstr(failure.text, "--udp "), failure.text);
        assert_int_equal(PARSE(&options, &failure, hosts[1]), 0);
        assert_int_equal(options.target.port, 0);
}

/* A wrong line is refused with a sentence that has the wrong word in it. */
static void test_wrong_lines(void **state) {
        static const struct {
                const char *words[4];
                const char *named;
        } lines[] = {
                { { NULL }, "Missing argument HOST" },
                { { "host", "0" }, "'0'" },
                { { "host", "65536" }, "'65536'" },
                { { "host", "7 " }, "'7 '" },
                { { "host", "7", "more" }, "'more'" },
                { { "-p", "7", "host", "8" }, "'8'" },
                { { "-4", "-6", "host" }, "combined" },
                { { "-x", "host" }, "option '-x'" },
                { { "--wrong", "host" }, "option '--wrong'" },
                { { "host", "--port" }, "--port needs" },
                { { "host", "--ping", "-s0" }, "--size 0 needs" },
                { { "host", "--ping", "--plot=x.jpg" }, "'x.jpg'" },
                { { "host", "--ping", "--plot=.svg" }, "'.svg'" },
                { { "host", "--ping", "--plot=svg" }, "'svg'" },
                /* Its first 45 characters are an address, which has no more. */
                { { "[0000:0000:0000:0000:0000:ffff:255.255.255.2555]" }, "in brackets" },
                { { "host", "--udp", "--check", "-s0" }, "--size 0 needs" },
                { { "host", "--ping", "--flows=2", "--connect" }, "--connect and --flows cannot" },
                { { "host", "--ping", "--flows=2", "--mptcp" }, "--mptcp and --flows cannot" },
                { { "host", "--source=no-interface" }, "'no-interface'" },
                { { "vsock:2" }, "Cannot connect to 'vsock:2': " },
        };
        ClientOptions options;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
                const char *words[5] = { lines[i].words[0], lines[i].words[1], lines[i].words[2],
                                         lines[i].words[3] };

                assert_int_equal(parse(words, &options, &failure), -EINVAL);
                assert_non_null(strstr(failure.text, lines[i].named));
        }
}

/* Each mode has its defaults and takes its value; units are those of the header. */
static void test_modes(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "--check", "host"), 0);
        assert_int_equal(options.action, CLIENT_CHECK);
        assert_int_equal(options.check_size, 64 << 20);
        assert_int_equal(PARSE(&options, &failure, "host", "--check", "-s", "2k"), 0);
        assert_int_equal(options.check_size, 2048);
        assert_int_equal(PARSE(&options, &failure, "--ping", "--interval=.5", "host"), 0);
        assert_int_equal(options.action, CLIENT_PING);
        assert_int_equal(options.count, 0);
        assert_int_equal(options.interval, 500000000);
        assert_int_equal(PARSE(&options, &failure, "--ping", "-c3", "-f", "host"), 0);
        assert_int_equal(options.count, 3);
        assert_int_equal(options.interval, 0);
        assert_int_equal(PARSE(&options, &failure, "--load", "host"), 0);
        assert_int_equal(options.action, CLIENT_LOAD);
        assert_int_equal(options.load, LOAD_REQUESTS);
        assert_int_equal(options.size, 64);
        assert_int_equal(PARSE(&options, &failure, "--load", "-kstreams", "host"), 0);
        assert_int_equal(options.load, LOAD_STREAMS);
        assert_int_equal(options.size, 256 << 10);
        assert_int_equal(options.duration, 10000000000);
        assert_int_equal(PARSE(&options, &failure, "--load", "-t1m", "-R2.5k", "-P7", "host"), 0);
        assert_int_equal(options.duration, 60000000000);
        assert_int_equal(options.rate, 2500 * 1000);
        assert_int_equal(options.connections, 7);
}

/* Datagrams have a shorter timeout, and a check of them a smaller size and a length. */
static void test_datagrams(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "--ping", "--udp", "host"), 0);
        assert_true(options.connection.datagram);
        assert_int_equal(options.timeout, 1000000000);
        assert_int_equal(options.size, 64);
        assert_int_equal(PARSE(&options, &failure, "--ping", "--udp", "-s0", "-W3", "host"), 0);
        assert_int_equal(options.timeout, 3000000000);
        assert_int_equal(options.size, 0);
        assert_int_equal(PARSE(&options, &failure, "--check", "--udp", "host"), 0);
        assert_int_equal(options.check_size, 256 << 10);
        assert_int_equal(options.size, 1400);
        assert_int_equal(PARSE(&options, &failure, "--check", "--udp", "-s1M", "-l9", "host"), 0);
        assert_int_equal(options.check_size, 1 << 20);
        assert_int_equal(options.size, 9);
}

/* A host may carry its port, as the service logs it; an IPv6 address keeps its colons. */
static void test_hosts(void **state) {
        static const struct {
                const char *word, *host;
                in_port_t port;
        } cases[] = {
                { "host:9190", "host", 9190 },
                { "192.0.2.1:9190", "192.0.2.1", 9190 },
                { "[2001:db8::1]:9190", "2001:db8::1", 9190 },
                { "[2001:db8::1]", "2001:db8::1", 7 },
                { "2001:db8::1", "2001:db8::1", 7 },
                { "::1", "::1", 7 },
                { "host:echo", "host", 7 },
                { "fe80::1%lo", "fe80::1%lo", 7 },
                { "[fe80::1%1]:8", "fe80::1%1", 8 },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                ClientOptions options;
                Failure failure;

                if (PARSE(&options, &failure, cases[i].word) != 0)
                        fail_msg("%s: %s", cases[i].word, failure.text);
                assert_string_equal(options.target.host, cases[i].host);
                assert_int_equal(options.target.port, cases[i].port);
        }
}

/* Whoever writes a word in another place, or in another program's way, reads what to write. */
static void test_hints(void **state) {
        static const struct {
                const char *words[4];
                const char *hint;
        } cases[] = {
                { { "--ping", "5", "host" }, "is -c COUNT" },
                { { "--ping=5", "host" }, "is -c COUNT" },
                { { "--check", "1G", "host" }, "is -s SIZE" },
                { { "--load", "streams", "host" }, "is -k KIND" },
                { { "-ping", "host" }, "write --ping" },
                { { "echo://host" }, "write HOST" },
                { { "fe80::1" }, "needs its zone" },
                { { "[fe80::1]:7" }, "needs its zone" },
                { { "fe80::1%no-such" }, "an interface that does not" },
        };
        ClientOptions options;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                assert_int_equal(parse(cases[i].words, &options, &failure), -EINVAL);
                if (strstr(failure.text, cases[i].hint) == NULL)
                        fail_msg("%s", failure.text);
        }
        /* A host may well be called so. */
        assert_int_equal(PARSE(&options, &failure, "--load", "streams", "7"), 0);
}

/* The plugin pings a limited number of times, for a limited time. */
static void test_monitor(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "--monitor", "-H", "host", "-w1.5,20%",
                               "-c@2:3"),
                         0);
        assert_int_equal(options.action, CLIENT_PING);
        assert_true(options.monitor);
        assert_string_equal(options.target.host, "host");
        assert_int_equal(options.target.port, 7);
        assert_true(options.warn.time.end == 1.5 && options.warn.loss.end == 20);
        assert_true(options.critical.time.inside && options.critical.time.start == 2);
        assert_string_equal(options.critical.loss.text, "");
        assert_int_equal(options.count, 5);
        assert_int_equal(options.duration, 10000000000);
        assert_int_equal(PARSE(&options, &failure, "--monitor", "-H::1", "-p9", "-t2"), 0);
        assert_int_equal(options.target.port, 9);
        assert_int_equal(options.duration, 2000000000);
        assert_int_equal(options.timeout, 2000000000);
        assert_int_equal(options.connection.timeout, 2000000000);
}

/* Thresholds are ranges of milliseconds and of a percentage. */
static void test_thresholds(void **state) {
        static const char *const wrong[][2] = {
                { "-w", NULL },       { "-w=5", NULL },   { "-w5,", NULL },  { "-w5,20", NULL },
                { "-w5,101%", NULL }, { "-w,5%", NULL },  { "-w5,%", NULL }, { "-w5,2,3%", NULL },
                { "-w2:1", NULL },    { "-w1,30", NULL }, { "-c20s", NULL }, { "--json", NULL },
        };
        ClientOptions options;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
                if (PARSE(&options, &failure, "--monitor", "-Hhost", wrong[i][0], wrong[i][1]) !=
                    -EINVAL)
                        fail_msg("%s", wrong[i][0]);
        /* A range of loss may have no end. */
        assert_int_equal(PARSE(&options, &failure, "--monitor", "-Hhost", "-w5,@20:%"), 0);
        assert_true(options.warn.loss.start == 20 && isinf(options.warn.loss.end));
        assert_int_equal(PARSE(&options, &failure, "--monitor"), -EINVAL);
        assert_non_null(strstr(failure.text, "-H HOST"));
        assert_int_equal(PARSE(&options, &failure, "--monitor", "-Hhost", "7"), -EINVAL);
        assert_int_equal(PARSE(&options, &failure, "-Hhost"), -EINVAL);
}

/* Only the plain mode waits for ever without being told to. */
static void test_timeouts(void **state) {
        ClientOptions options;
        Failure failure;

        (void)state;
        assert_int_equal(PARSE(&options, &failure, "host"), 0);
        assert_int_equal(options.timeout, 0);
        assert_int_equal(PARSE(&options, &failure, "--timeout=1", "host"), 0);
        assert_int_equal(options.timeout, 1000000000);
        assert_int_equal(PARSE(&options, &failure, "--check", "host"), 0);
        assert_int_equal(options.timeout, 10000000000);
        assert_int_equal(options.connection.timeout, 10000000000);
        assert_false(options.connection.race);
}

/* A run warns of addresses that fail before one answers, where it does not race them anyway;
 * neither quiet nor JSON has a place for that. */
static void test_warnings(void **state) {
        static const struct {
                const char *words[4];
                bool warns;
        } lines[] = {
                { { "host" }, false },
                { { "host", "--mptcp" }, true },
                { { "host", "--ping" }, true },
                { { "host", "--ping", "--quiet" }, false },
                { { "host", "--ping", "--json" }, false },
                { { "host", "--mptcp", "--quiet" }, false },
                { { "host", "--mptcp", "--json" }, false },
        };
        ClientOptions options;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
                assert_int_equal(parse(lines[i].words, &options, &failure), 0);
                assert_int_equal(options.connection.warn, lines[i].warns);
        }
}

/* What is printed during a run: a line for each round trip, unless something else was asked for;
 * the reports of intervals, of which JSON has no other place; and progress, unless one of these is.
 */
static void test_output_during_a_run(void **state) {
        static const struct {
                ClientOptions options;
                bool lines, interims, progress;
        } cases[] = {
                { { .action = CLIENT_PING, .interval = 1 }, true, false, true },
                { { .action = CLIENT_PING, .quiet = true }, false, false, false },
                { { .action = CLIENT_PING, .flood = true }, false, false, true },
                { { .action = CLIENT_PING, .json = true }, false, false, true },
                { { .action = CLIENT_PING, .monitor = true }, false, false, true },
                { { .action = CLIENT_LOAD }, true, false, true },
                { { .action = CLIENT_LOAD, .no_progress = true }, true, false, false },
                { { .action = CLIENT_LOAD, .interval = 1 }, true, true, false },
                { { .action = CLIENT_LOAD, .interval = 1, .quiet = true }, false, false, false },
                { { .action = CLIENT_CHECK, .interval = 1, .quiet = true, .json = true },
                  false,
                  true,
                  false },
                { { .action = CLIENT_CHECK, .interval = 1, .json = true }, false, true, false },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                assert_int_equal(client_options_want_lines(&cases[i].options), cases[i].lines);
                assert_int_equal(client_options_want_interims(&cases[i].options),
                                 cases[i].interims);
                assert_int_equal(client_options_want_progress(&cases[i].options),
                                 cases[i].progress);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_port),
                cmocka_unit_test(test_help_and_version),
                cmocka_unit_test(test_unix_socket),
                cmocka_unit_test(test_source),
                cmocka_unit_test(test_other_sockets),
                cmocka_unit_test(test_output_during_a_run),
                cmocka_unit_test(test_warnings),
                cmocka_unit_test(test_wrong_lines),
                cmocka_unit_test(test_modes),
                cmocka_unit_test(test_datagrams),
                cmocka_unit_test(test_monitor),
                cmocka_unit_test(test_thresholds),
                cmocka_unit_test(test_timeouts),
                cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_hints),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
