/* SPDX-License-Identifier: MIT */
/* The service's options: what a command line means, and that each wrong one is named. */

#include "start/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "lib/clock.h"
#include "unit.h"

enum {
        WORDS_MOST = 12,
};

typedef struct Arguments {
        char words[WORDS_MOST + 1][64];
        char *argv[WORDS_MOST + 2];
        int argc;
} Arguments;

/* Splits @line at its blanks. */
static int parse(const char *line, Arguments *arguments, Options *options, Failure *failure) {
        *arguments = (Arguments){ .words = { "mpecho" }, .argv = { arguments->words[0] } };
        for (arguments->argc = 1; *line != '\0'; arguments->argc++) {
                size_t length = strcspn(line, " ");

                assert_in_range(arguments->argc, 1, WORDS_MOST);
                arguments->argv[arguments->argc] = arguments->words[arguments->argc];
                snprintf(arguments->words[arguments->argc], sizeof arguments->words[0], "%.*s",
                         (int)length, line);
                line += length + (line[length] == ' ');
        }
        *options = (Options){ .max_connections = 77 };
        *failure = (Failure){};
        return options_parse(arguments->argc, arguments->argv, options, failure);
}

/* Without options everything is as the manual says. */
static void test_defaults(void **state) {
        Arguments arguments;
        Failure failure;
        Options options;

        (void)state;
        assert_int_equal(parse("", &arguments, &options, &failure), OPTIONS_RUN);
        assert_int_equal(options.n_listen, 0);
        assert_int_equal(options.max_connections, 1024);
        assert_int_equal(options.max_per_source, 256);
        assert_int_equal(options.max_datagrams_per_source, 100);
        assert_int_equal(options.idle_timeout, 900 * CLOCK_SECOND);
        assert_int_equal(options.exit_idle, 0);
        assert_int_equal(options.log, LOG_TARGET_AUTO);
        assert_int_equal(options.log_level, LOG_INFO);
        assert_int_equal(options.proxy_from.n, 2);
        assert_true(networks_contain(&options.proxy_from,
                                     &(Address){ .family = AF_INET6, .ipv6 = in6addr_loopback }));
        assert_false(networks_contain(&options.proxy_from, &(Address){ .family = AF_UNIX }));

        assert_int_equal(parse("--proxy-from=unix", &arguments, &options, &failure), OPTIONS_RUN);
        assert_int_equal(options.proxy_from.n, 1);
        assert_true(networks_contain(&options.proxy_from, &(Address){ .family = AF_UNIX }));
}

/* Each option sets what it names, in each of its spellings, up to both ends of its range. */
static void test_values(void **state) {
        static const struct {
                const char *line;
                Options options;
        } cases[] = {
                { "-c 1 -s 1 -i 1 -x 1 -l journal --log-level=emerg --max-datagrams-per-source=1",
                  { .max_connections = 1,
                    .max_per_source = 1,
                    .max_datagrams_per_source = 1,
                    .idle_timeout = CLOCK_SECOND,
                    .exit_idle = CLOCK_SECOND,
                    .log = LOG_TARGET_JOURNAL,
                    .log_level = LOG_EMERG } },
                { "-c65536 -s65536 -i86400 -x86400 -lstderr --log-level debug "
                  "--max-datagrams 1000000",
                  { .max_connections = 65536,
                    .max_per_source = 65536,
                    .max_datagrams_per_source = 1000000,
                    .idle_timeout = 86400 * CLOCK_SECOND,
                    .exit_idle = 86400 * CLOCK_SECOND,
                    .log = LOG_TARGET_STDERR,
                    .log_level = LOG_DEBUG } },
                { "--max-connections=9 --max-per-source=0 --idle-timeout=0 --exit-idle=9 "
                  "--log=auto --log-level=err --max-datagrams-per-source=0",
                  { .max_connections = 9,
                    .idle_timeout = 0,
                    .exit_idle = 9 * CLOCK_SECOND,
                    .log = LOG_TARGET_AUTO,
                    .log_level = LOG_ERR } },
                { "--max-c 8 --max-per 7 --idle 6 --exit 5 -c 4 --log-l=notice",
                  { .max_connections = 4,
                    .max_per_source = 7,
                    .max_datagrams_per_source = 100,
                    .idle_timeout = 6 * CLOCK_SECOND,
                    .exit_idle = 5 * CLOCK_SECOND,
                    .log_level = LOG_NOTICE } },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Arguments arguments;
                Failure failure;
                Options options;

                if (parse(cases[i].line, &arguments, &options, &failure) != OPTIONS_RUN)
                        fail_msg("%s: %s", cases[i].line, failure.text);
                assert_int_equal(options.max_connections, cases[i].options.max_connections);
                assert_int_equal(options.max_per_source, cases[i].options.max_per_source);
                assert_int_equal(options.max_datagrams_per_source,
                                 cases[i].options.max_datagrams_per_source);
                assert_int_equal(options.idle_timeout, cases[i].options.idle_timeout);
                assert_int_equal(options.exit_idle, cases[i].options.exit_idle);
                assert_int_equal(options.log, cases[i].options.log);
                assert_int_equal(options.log_level, cases[i].options.log_level);
        }
}

/* All the levels of syslog(3) have their names. */
static void test_levels(void **state) {
        static const char *const names[] = { "emerg",   "alert",  "crit", "err",
                                             "warning", "notice", "info", "debug" };

        (void)state;
        for (int level = LOG_EMERG; level <= LOG_DEBUG; level++) {
                Arguments arguments;
                Failure failure;
                Options options;
                char line[64];

                snprintf(line, sizeof line, "--log-level=%s", names[level]);
                assert_int_equal(parse(line, &arguments, &options, &failure), OPTIONS_RUN);
                assert_int_equal(options.log_level, level);
        }
}

/* What is no option is to be listened on, before, between and behind options, and as given. */
static void test_listen(void **state) {
        Arguments arguments;
        Failure failure;
        Options options;

        (void)state;
        assert_int_equal(parse("7 -c 5 /path [::1]:7 -- -c --nonsense", &arguments, &options,
                               &failure),
                         OPTIONS_RUN);
        assert_int_equal(options.max_connections, 5);
        assert_int_equal(options.n_listen, 5);
        assert_string_equal(options.listen[0], "7");
        assert_string_equal(options.listen[1], "/path");
        assert_string_equal(options.listen[2], "[::1]:7");
        assert_string_equal(options.listen[3], "-c");
        assert_string_equal(options.listen[4], "--nonsense");
}

/* Help and version are asked for in two ways each, and what is wrong before them comes first. */
static void test_questions(void **state) {
        Arguments arguments;
        Failure failure;
        Options options;

        (void)state;
        assert_int_equal(parse("-h", &arguments, &options, &failure), OPTIONS_HELP);
        assert_int_equal(parse("7 --help", &arguments, &options, &failure), OPTIONS_HELP);
        assert_int_equal(parse("-V -c x", &arguments, &options, &failure), OPTIONS_VERSION);
        assert_int_equal(parse("--version", &arguments, &options, &failure), OPTIONS_VERSION);
        assert_int_equal(parse("--test -c 5 7", &arguments, &options, &failure), OPTIONS_TEST);
        assert_int_equal(options.max_connections, 5);
        assert_int_equal(options.n_listen, 1);
        assert_int_equal(parse("--test -c x", &arguments, &options, &failure), -EINVAL);
        assert_int_equal(parse("-c x --help", &arguments, &options, &failure), -EINVAL);
}

/* Each wrong command line is refused with a sentence that names what is wrong with it. */
static void test_errors(void **state) {
#define CONNECTIONS "--max-connections takes a number from 1 to 65536, not "
#define SOURCE      "--max-per-source takes a number from 0 to 65536, not "
#define IDLE        "--idle-timeout takes a number from 0 to 86400, not "
#define EXIT        "--exit-idle takes a number from 1 to 86400, not "
#define NETWORKS    "--proxy-from takes addresses, networks such as 192.0.2.0/24, or unix, not "
#define LEVEL       "--log-level takes emerg, alert, crit, err, warning, notice, info or debug, not "
        static const struct {
                const char *line, *sentence;
        } cases[] = {
                { "-c 0", CONNECTIONS "'0'" },
                { "-c 65537", CONNECTIONS "'65537'" },
                { "-c -1", CONNECTIONS "'-1'" },
                { "-c 1k", CONNECTIONS "'1k'" },
                { "-c99999999999999999999", CONNECTIONS "'99999999999999999999'" },
                { "--max-connections=", CONNECTIONS "''" },
                { "--max-connections 9190x 7", CONNECTIONS "'9190x'" },
                { "-s x", SOURCE "'x'" },
                { "-s 65537", SOURCE "'65537'" },
                { "--max-datagrams-per-source=1000001",
                  "--max-datagrams-per-source takes a number from 0 to 1000000, not '1000001'" },
                { "--max-per-source=1.5", SOURCE "'1.5'" },
                { "--proxy-from=localhost", NETWORKS "'localhost'" },
                { "--proxy-from=10.1.2.3/8", "--proxy-from takes networks without a bit behind "
                                             "their prefix, not '10.1.2.3/8'" },
                { "--proxy-from=", NETWORKS "''" },
                { "-i 86401", IDLE "'86401'" },
                { "-i 5s", IDLE "'5s'" },
                { "--idle-timeout=-0", IDLE "'-0'" },
                { "-x 0", EXIT "'0'" },
                { "-x 86401", EXIT "'86401'" },
                { "--exit-idle=never", EXIT "'never'" },
                { "-l syslog", "--log takes auto, journal or stderr, not 'syslog'" },
                { "--log=", "--log takes auto, journal or stderr, not ''" },
                { "--log=Auto", "--log takes auto, journal or stderr, not 'Auto'" },
                { "--log-level=7", LEVEL "'7'" },
                { "--log-level warn", LEVEL "'warn'" },
                { "--max-connections", "--max-connections needs a value" },
                { "7 --idle-timeout", "--idle-timeout needs a value" },
                { "-c", "-c needs a value" },
                { "-c 5 -s", "-s needs a value" },
                { "-q", "Unknown option '-q'" },
                { "--log=stderr -q", "Unknown option '-q'" },
                { "-qh", "Unknown option '-q'" },
                { "--log=stderr -qh", "Unknown option '-q'" },
                { "7 -q", "Unknown option '-q'" },
                { "-L info", "Unknown option '-L'" },
                { "--nonsense", "Unknown or ambiguous option '--nonsense'" },
                { "7 --nonsense=5", "Unknown or ambiguous option '--nonsense'" },
                { "--max=5", "Unknown or ambiguous option '--max'" },
                { "--help=5", "--help takes no value" },
                { "--version=", "--version takes no value" },
                { "-log stderr", "'-log' lacks a dash: write --log" },
                { "7 -help", "'-help' lacks a dash: write --help" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Arguments arguments;
                Failure failure;
                Options options;

                if (parse(cases[i].line, &arguments, &options, &failure) != -EINVAL)
                        fail_msg("mpecho %s is taken", cases[i].line);
                if (strcmp(failure.text, cases[i].sentence) != 0)
                        fail_msg("mpecho %s: %s", cases[i].line, failure.text);
        }
}

/* Of a wrong command line, what was read before is known: where records go. */
static void test_read_before(void **state) {
        Arguments arguments;
        Failure failure;
        Options options;

        (void)state;
        assert_int_equal(parse("-l journal -c x", &arguments, &options, &failure), -EINVAL);
        assert_int_equal(options.log, LOG_TARGET_JOURNAL);
        assert_int_equal(parse("-l stderr -l x", &arguments, &options, &failure), -EINVAL);
        assert_int_equal(options.log, LOG_TARGET_STDERR);
        assert_int_equal(parse("-c x -l journal", &arguments, &options, &failure), -EINVAL);
        assert_int_equal(options.log, LOG_TARGET_AUTO);
}

/* The help names every option, and no line of it is wider than a terminal. */
static void test_help(void **state) {
        static const char *const options[] = {
                "-c, --max-connections=",
                "-s, --max-per-source=",
                "--max-datagrams-per-source=",
                "-i, --idle-timeout=",
                "-x, --exit-idle=",
                "-l, --log=",
                "--log-level=",
                "-h, --help",
                "-V, --version",
        };

        (void)state;
        for (size_t i = 0; i < COUNT(options); i++)
                assert_non_null(strstr(options_help(), options[i]));
        for (const char *line = options_help(); *line != '\0'; line += strcspn(line, "\n") + 1)
                assert_in_range(strcspn(line, "\n"), 0, 80);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),    cmocka_unit_test(test_values),
                cmocka_unit_test(test_levels),      cmocka_unit_test(test_listen),
                cmocka_unit_test(test_questions),   cmocka_unit_test(test_errors),
                cmocka_unit_test(test_read_before), cmocka_unit_test(test_help),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
