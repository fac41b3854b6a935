/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "lib/clock.h"
#include "lib/number.h"

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

/* For an option without a short name. */
enum {
        OPTION_LOG_LEVEL = UCHAR_MAX + 1,
        OPTION_LOG_EMPTY,
        OPTION_TEST,
};

static const struct option long_options[] = {
        { "max-connections", required_argument, NULL, 'c' },
        { "max-per-source", required_argument, NULL, 's' },
        { "idle-timeout", required_argument, NULL, 'i' },
        { "exit-idle", required_argument, NULL, 'x' },
        { "log", required_argument, NULL, 'l' },
        { "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
        { "log-empty", required_argument, NULL, OPTION_LOG_EMPTY },
        { "test", no_argument, NULL, OPTION_TEST },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        {},
};

const char *options_help(void) {
        return "Usage: mpecho [OPTION]... [LISTEN]...\n"
               "Echo service (RFC 862): sends back to each client what it sends.\n"
               "\n"
               "LISTEN is PORT, ADDRESS:PORT, [ADDRESS6]:PORT, /path or @abstract. Without it\n"
               "the sockets are those that systemd passes, or the one that an inetd passes as\n"
               "stdin.\n"
               "\n"
               "  -c, --max-connections=N     live connections at most, 1 to 65536\n"
               "                              (default 1024)\n"
               "  -s, --max-per-source=N      of these from one source, 1 to 65536; 0 for no\n"
               "                              limit (default 256)\n"
               "  -i, --idle-timeout=SECONDS  end connections that carry nothing for so long,\n"
               "                              1 to 86400; 0 for never (default 900)\n"
               "  -x, --exit-idle=SECONDS     exit after so long without a connection, 1 to\n"
               "                              86400; only with passed sockets (default never)\n"
               "  -l, --log=TARGET            auto, journal or stderr (default auto: the\n"
               "                              journal when stderr is connected to it)\n"
               "      --log-level=LEVEL       emerg, alert, crit, err, warning, notice, info\n"
               "                              or debug (default info)\n"
               "      --log-empty=LEVEL       the level of connections that echo nothing, and\n"
               "                              of accepted ones (default info)\n"
               "      --test                  check the options and LISTEN, open nothing, exit\n"
               "  -h, --help                  show this help\n"
               "  -V, --version               show the version\n"
               "\n"
               "Exit status: 0 done, 1 failed, 2 wrong usage. See mpecho(8).\n";
}

static int options_parse_number(const char *option, const char *text, uint64_t minimum,
                                uint64_t maximum, uint64_t *ret_number, Sentence *ret_sentence) {
        int r = number_parse(text, minimum, maximum, ret_number);

        if (r < 0)
                return sentence_set(ret_sentence, -EINVAL,
                                    "--%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                                    option, minimum, maximum, text);
        return 0;
}

/* Finds @text among @names; the sentence lists them when it is not there. */
static int options_parse_name(const char *option, const char *text, const char *const *names,
                              int n_names, Sentence *ret_sentence) {
        char list[80] = "";

        for (int i = 0; i < n_names; i++) {
                if (strcmp(text, names[i]) == 0)
                        return i;
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                         i == 0            ? ""
                         : i + 1 < n_names ? ", "
                                           : " or ",
                         names[i]);
        }
        return sentence_set(ret_sentence, -EINVAL, "--%s takes %s, not '%s'", option, list, text);
}

static bool is_short_option(int option) {
        for (const struct option *known = long_options; known->name != NULL; known++)
                if (known->val == option)
                        return true;
        return false;
}

/* getopt_long() met an option that it does not know, that lacks its value or that has one too many.
 */
static int options_explain(int argc, char **argv, int result, Sentence *ret_sentence) {
        const char *last = argv[argc - 1], *argument = argv[optind - 1];
        const int length = (int)strcspn(argument, "=");

        /* What lacks its value is at the end of the line. */
        if (result == ':' && strncmp(last, "--", 2) == 0)
                return sentence_set(ret_sentence, -EINVAL, "%s needs a value", last);
        if (result == ':')
                return sentence_set(ret_sentence, -EINVAL, "-%c needs a value", optopt);
        if (optopt == 0)
                return sentence_set(ret_sentence, -EINVAL,
                                    "there is no option %.*s, or it is ambiguous", length,
                                    argument);
        if (!is_short_option(optopt))
                return sentence_set(ret_sentence, -EINVAL, "there is no option -%c", optopt);
        return sentence_set(ret_sentence, -EINVAL, "%.*s takes no value", length, argument);
}

static int options_apply(Options *options, int option, const char *value, Sentence *ret_sentence) {
        uint64_t number = 0;
        int r;

        switch (option) {
        case 'c':
                r = options_parse_number("max-connections", value, 1, 65536, &number, ret_sentence);
                options->max_connections = (uint32_t)number;
                return r;
        case 's':
                r = options_parse_number("max-per-source", value, 0, 65536, &number, ret_sentence);
                options->max_per_source = (uint32_t)number;
                return r;
        case 'i':
                r = options_parse_number("idle-timeout", value, 0, 86400, &number, ret_sentence);
                options->idle_timeout_usec = number * CLOCK_SECOND;
                return r;
        case 'x':
                r = options_parse_number("exit-idle", value, 1, 86400, &number, ret_sentence);
                options->exit_idle_usec = number * CLOCK_SECOND;
                return r;
        case 'l':
                r = options_parse_name("log", value, target_names, 3, ret_sentence);
                options->log = r >= 0 ? (LogTarget)r : options->log;
                return r;
        case OPTION_LOG_EMPTY:
                r = options_parse_name("log-empty", value, level_names, 8, ret_sentence);
                options->log_empty = r;
                return r;
        default:
                r = options_parse_name("log-level", value, level_names, 8, ret_sentence);
                options->log_level = r;
                return r;
        }
}

int options_parse(int argc, char **argv, Options *ret_options, Sentence *ret_sentence) {
        int option, r, result = OPTIONS_RUN;

        *ret_options = (Options){
                .max_connections = 1024,
                .max_per_source = 256,
                .idle_timeout_usec = 900 * CLOCK_SECOND,
                .log = LOG_TARGET_AUTO,
                .log_empty = LOG_INFO,
                .log_level = LOG_INFO,
        };

        optind = 0;
        while ((option = getopt_long(argc, argv, ":c:s:i:x:l:hV", long_options, NULL)) != -1) {
                if (option == 'h')
                        return OPTIONS_HELP;
                if (option == 'V')
                        return OPTIONS_VERSION;
                if (option == '?' || option == ':')
                        return options_explain(argc, argv, option, ret_sentence);
                if (option == OPTION_TEST) {
                        result = OPTIONS_TEST;
                        continue;
                }
                r = options_apply(ret_options, option, optarg, ret_sentence);
                if (r < 0)
                        return r;
        }
        ret_options->listen = argv + optind;
        ret_options->n_listen = (uint32_t)(argc - optind);
        return result;
}
