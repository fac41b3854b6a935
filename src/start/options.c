/* SPDX-License-Identifier: MIT */
/*
 * Reads the command line of mpecho into Options, and holds the text of --help.
 *
 * A table has a row for each option: its name, the function that takes its value, the field that it
 * sets and the range of numbers. lib/option goes through the words; the defaults stand in Options
 * before that. Each error names the option and the value.
 *
 * Nothing here may open, print or exit: the caller does.
 */
#include "start/options.h"

#include <assert.h>
#include <stddef.h>
#include <syslog.h>

#include "handler/guard.h"
#include "lib/clock.h"
#include "lib/option.h"

static const char *const level_names[] = {
        [LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",     [LOG_CRIT] = "crit",
        [LOG_ERR] = "err",     [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

static const char *const target_names[] = {
        [LOG_TARGET_AUTO] = "auto",
        [LOG_TARGET_JOURNAL] = "journal",
        [LOG_TARGET_STDERR] = "stderr",
};

#define FIELD(member) .offset = offsetof(Options, member)

/* The tags of a row are its question. The words behind --test count as well. */
static int options_take_question(OptionParse *parse, const OptionRow *row, const char *text) {
        (void)text;
        *(int *)option_field(parse, row) = (int)row->tags;
        return row->tags == OPTIONS_TEST ? 0 : OPTION_DONE;
}

static int options_take_networks(OptionParse *parse, const OptionRow *row, const char *text) {
        const char *expected;

        if (networks_parse(text, option_field(parse, row), &expected) < 0)
                return option_reject(parse, row, text, expected);
        return 0;
}

static const OptionRow options_rows[] = {
        { "max-connections", "c", true, option_take_number, FIELD(max_connections), .minimum = 1,
          .maximum = 65536 },
        { "max-per-source", "s", true, option_take_number, FIELD(max_per_source),
          .maximum = 65536 },
        { "max-datagrams-per-source", NULL, true, option_take_number,
          FIELD(max_datagrams_per_source), .maximum = GUARD_RATE_MAXIMUM },
        { "idle-timeout", "i", true, option_take_number, FIELD(idle_timeout), .maximum = 86400,
          .unit = CLOCK_SECOND },
        { "exit-idle", "x", true, option_take_number, FIELD(exit_idle), .minimum = 1,
          .maximum = 86400, .unit = CLOCK_SECOND },
        { "proxy-from", NULL, true, options_take_networks, FIELD(proxy_from) },
        { "log", "l", true, option_take_name, FIELD(log), .names = target_names, .maximum = 3 },
        { "log-level", NULL, true, option_take_name, FIELD(log_level), .names = level_names,
          .maximum = 8 },
        { "log-empty", NULL, true, option_take_name, FIELD(log_empty), .names = level_names,
          .maximum = 8 },
        { "test", NULL, false, options_take_question, FIELD(question), .tags = OPTIONS_TEST },
        { "help", "h", false, options_take_question, FIELD(question), .tags = OPTIONS_HELP },
        { "version", "V", false, options_take_question, FIELD(question), .tags = OPTIONS_VERSION },
};

const char *options_help(void) {
        return "Usage: mpecho [OPTION]... [LISTEN]...\n"
               "Echo service (RFC 862): returns to each client, unchanged, what it sends.\n"
               "\n"
               "LISTEN is PORT, ADDRESS:PORT, [ADDRESS6]:PORT, /path, @abstract, vsock:CID:PORT\n"
               "or vsock::PORT; udp: before one of the first three serves datagrams, metrics:\n"
               "before any serves the counts, proxy: expects a header of the PROXY protocol.\n"
               "Without LISTEN, mpecho serves the sockets that systemd passes, or that an inetd\n"
               "passes as stdin.\n"
               "\n"
               "  -c, --max-connections=N     serve at most N connections at once, 1 to 65536\n"
               "                              (default 1024)\n"
               "  -s, --max-per-source=N      serve at most N connections of one source, 1 to\n"
               "                              65536; 0 sets no limit (default 256)\n"
               "      --max-datagrams-per-source=N\n"
               "                              answer at most N datagrams of one source a\n"
               "                              second, 1 to 1000000; 0 sets no limit\n"
               "                              (default 100)\n"
               "  -i, --idle-timeout=SECONDS  end connections that carry nothing for this time,\n"
               "                              1 to 86400; 0 sets no limit (default 900)\n"
               "  -x, --exit-idle=SECONDS     exit after this time without a connection,\n"
               "                              datagram or scrape, 1 to 86400; needs passed\n"
               "                              sockets (default never)\n"
               "      --proxy-from=NETWORK,...\n"
               "                              believe PROXY headers of these networks, or of\n"
               "                              unix (default 127.0.0.0/8,::1)\n"
               "  -l, --log=TARGET            write records to journal or stderr (default auto:\n"
               "                              to the journal if it reads stderr)\n"
               "      --log-level=LEVEL       write only records of this priority and above:\n"
               "                              emerg, alert, crit, err, warning, notice, info\n"
               "                              or debug (default info)\n"
               "      --log-empty=LEVEL       lower connections that echo nothing, and accepted\n"
               "                              ones, to this priority (default info)\n"
               "      --test                  check the options and LISTEN, open nothing, exit\n"
               "  -h, --help                  show this help\n"
               "  -V, --version               show the version\n"
               "\n"
               "Exit status: 0 done, 1 failed, 2 wrong usage. See mpecho(8).\n";
}

int options_parse(int argc, char **argv, Options *ret_options, Failure *ret_failure) {
        OptionParse parse = { .rows = options_rows,
                              .count = sizeof options_rows / sizeof options_rows[0],
                              .options = ret_options,
                              .failure = ret_failure };
        const char *why;
        int r;

        *ret_options = (Options){
                .max_connections = 1024,
                .max_per_source = 256,
                .max_datagrams_per_source = 100,
                .idle_timeout = 900 * CLOCK_SECOND,
                .log = LOG_TARGET_AUTO,
                .log_empty = LOG_INFO,
                .log_level = LOG_INFO,
                .question = OPTIONS_RUN,
        };
        r = networks_parse("127.0.0.0/8,::1", &ret_options->proxy_from, &why);
        assert(r == 0);
        r = option_read(&parse, argc, argv);
        if (r < 0)
                return r;

        ret_options->listen = argv + r;
        ret_options->n_listen = r == 0 ? 0 : (uint32_t)(argc - r);
        return ret_options->question;
}
