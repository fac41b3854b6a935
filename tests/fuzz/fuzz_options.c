/* SPDX-License-Identifier: MIT */
/* Whatever the service's command line is, it is refused with a sentence that names the word, or
 * what it says is in range and means the same when it is written out in full. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>

#include "fuzz.h"
#include "handler/guard.h"
#include "lib/clock.h"
#include "start/options.h"
#include "words.h"

static const char *const targets[] = { "auto", "journal", "stderr" };
static const char *const levels[] = { "emerg",   "alert",  "crit", "err",
                                      "warning", "notice", "info", "debug" };

static void check_ranges(const Options *options, const Words *words) {
        FUZZ_CHECK(options->max_connections >= 1 && options->max_connections <= 65536);
        FUZZ_CHECK(options->max_per_source <= 65536);
        FUZZ_CHECK(options->max_datagrams_per_source <= GUARD_RATE_MAXIMUM);
        FUZZ_CHECK(options->idle_timeout <= 86400 * CLOCK_SECOND);
        FUZZ_CHECK(options->exit_idle <= 86400 * CLOCK_SECOND);
        FUZZ_CHECK(options->log <= LOG_TARGET_STDERR);
        FUZZ_CHECK(options->log_level >= LOG_EMERG && options->log_level <= LOG_DEBUG);
        FUZZ_CHECK(options->listen >= words->argv + 1);
        FUZZ_CHECK(options->listen + options->n_listen == words->argv + words->argc);
        FUZZ_CHECK(words_reordered(words));
}

/* Each option in full, and nothing to listen on. */
static void check_in_full(const Options *options) {
        char text[7][64];
        char *argv[sizeof text / sizeof text[0] + 2] = { "mpecho" };
        int argc = 1;
        Failure failure;
        Options same;

        snprintf(text[0], sizeof text[0], "--max-connections=%" PRIu64, options->max_connections);
        snprintf(text[1], sizeof text[1], "--max-per-source=%" PRIu64, options->max_per_source);
        snprintf(text[2], sizeof text[2], "--idle-timeout=%" PRIu64,
                 options->idle_timeout / CLOCK_SECOND);
        snprintf(text[3], sizeof text[3], "--log=%s", targets[options->log]);
        snprintf(text[4], sizeof text[4], "--log-level=%s", levels[options->log_level]);
        snprintf(text[5], sizeof text[5], "--max-datagrams-per-source=%" PRIu64,
                 options->max_datagrams_per_source);
        snprintf(text[6], sizeof text[6], "--exit-idle=%" PRIu64,
                 options->exit_idle / CLOCK_SECOND);
        for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
                argv[argc++] = text[i];
        /* The default of this one has no value that says it. */
        if (options->exit_idle == 0)
                argv[--argc] = NULL;
        FUZZ_CHECK(options_parse(argc, argv, &same, &failure) == OPTIONS_RUN);
        FUZZ_CHECK(same.max_connections == options->max_connections);
        FUZZ_CHECK(same.max_per_source == options->max_per_source);
        FUZZ_CHECK(same.max_datagrams_per_source == options->max_datagrams_per_source);
        FUZZ_CHECK(same.idle_timeout == options->idle_timeout);
        FUZZ_CHECK(same.exit_idle == options->exit_idle);
        FUZZ_CHECK(same.log == options->log && same.log_level == options->log_level);
        FUZZ_CHECK(same.n_listen == 0);
}

/* What may follow the name of an option; nothing does where the sentence was cut. */
static bool is_complaint(const char *text) {
        return text[0] == '\0' || strcmp(text, "'") == 0 || strcmp(text, " needs a value") == 0 ||
               strcmp(text, " takes no value") == 0;
}

/* The value that @sentence quotes was given; or else the option that it is about, which stands at
 * its beginning or in quotes behind "option". */
static void check_failure(const Failure *failure, const Words *words) {
        static const char *const unknown[] = { "Unknown option '",
                                               "Unknown or ambiguous option '" };
        const char *text = failure->text;

        FUZZ_CHECK(memchr(text, '\0', sizeof failure->text) != NULL);
        if (strstr(text, "' lacks a dash: write --") != NULL)
                return;
        if (strstr(text, ", not '") != NULL && words_quoted(words, text, sizeof failure->text))
                return;
        for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
                if (strncmp(failure->text, unknown[i], strlen(unknown[i])) == 0)
                        text = failure->text + strlen(unknown[i]);
        FUZZ_CHECK(text[0] == '-' && text[1] != '\0');
        if (text[1] != '-') {
                FUZZ_CHECK(words_have_letter(words, text[1]));
                return;
        }
        /* A name may have anything in it. */
        for (size_t length = 2; words_begin(words, text, length); length++)
                if (is_complaint(text + length))
                        return;
        FUZZ_CHECK(!"the sentence names an option that was given");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Options options;
        Failure failure;
        Words words;
        int r;

        words_init(&words, data, size);
        fuzz_fill(&failure, sizeof failure);
        fuzz_fill(&options, sizeof options);
        r = options_parse(words.argc, words.argv, &options, &failure);
        if (r == OPTIONS_RUN || r == OPTIONS_TEST) {
                check_ranges(&options, &words);
                check_in_full(&options);
        } else {
                FUZZ_CHECK(r == OPTIONS_HELP || r == OPTIONS_VERSION || r == -EINVAL);
        }
        if (r == -EINVAL)
                check_failure(&failure, &words);
        words_deinit(&words);
        return 0;
}
