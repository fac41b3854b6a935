/* SPDX-License-Identifier: MIT */
/* Whatever the client's command line is, it is refused with a sentence that names the word, or what
 * it says is in range and goes together. */

#include <errno.h>
#include <string.h>

#include "client/command/client_options.h"
#include "fuzz.h"
#include "lib/clock.h"
#include "words.h"

#define DAY (86400 * CLOCK_SECOND)

static bool is_time(uint64_t time) {
        return time >= CLOCK_MILLISECOND && time <= DAY;
}

static void check_range(const Range *range) {
        FUZZ_CHECK(memchr(range->text, '\0', sizeof range->text) != NULL);
        FUZZ_CHECK(range->start <= range->end);
}

static void check_ranges(const ClientOptions *options) {
        FUZZ_CHECK(options->action <= CLIENT_LOAD && options->load <= LOAD_STREAMS);
        FUZZ_CHECK(options->action != CLIENT_CHECK || options->check_size >= 1);
        FUZZ_CHECK(options->check_size <= (uint64_t)1 << 50);
        FUZZ_CHECK(options->action == CLIENT_CHECK ||
                   (options->size >= 1 && options->size <= (uint64_t)16 << 20));
        FUZZ_CHECK(options->count <= UINT32_MAX);
        FUZZ_CHECK(options->connections >= 1 && options->connections <= 65536);
        FUZZ_CHECK(options->rate <= UINT64_C(10000000000));
        FUZZ_CHECK(options->timeout <= DAY && options->connection.timeout <= DAY);
        FUZZ_CHECK(options->duration == 0 || is_time(options->duration));
        FUZZ_CHECK(options->action != CLIENT_LOAD || options->duration > 0);
        FUZZ_CHECK(options->connection.dscp <= 63 && options->connection.ttl <= 255);
        FUZZ_CHECK(options->interval == 0 || is_time(options->interval));
        FUZZ_CHECK(options->action != CLIENT_PING || options->flood || options->interval > 0);
        FUZZ_CHECK(!options->flood || options->interval == 0);
        check_range(&options->warn.time);
        check_range(&options->warn.loss);
        check_range(&options->critical.time);
        check_range(&options->critical.loss);
}

static void check_target(const ClientOptions *options, const Words *words) {
        const Target *target = &options->target;
        const Endpoint *source = &options->connection.source;

        FUZZ_CHECK(target->host[0] != '\0' && strlen(target->host) < sizeof target->host);
        FUZZ_CHECK(words_begin(words, target->host, strlen(target->host)) ||
                   words_begin(words, "[", 1) || options->monitor);
        if (!endpoint_is_internet(target->host)) {
                FUZZ_CHECK(target->port == 0 && target->family == AF_UNSPEC && source->length == 0);
                return;
        }
        FUZZ_CHECK(target->port != 0);
        FUZZ_CHECK(target->family == AF_UNSPEC || target->family == AF_INET ||
                   target->family == AF_INET6);
        FUZZ_CHECK(source->length == 0 || source->any.sa_family == AF_INET ||
                   source->any.sa_family == AF_INET6);
        FUZZ_CHECK(source->length <= sizeof *source && source->ipv4.sin_port == 0);
}

/* What belongs to another mode, or excludes what was said, has been refused. */
static void check_together(const ClientOptions *options, const Words *words) {
        const bool load = options->action == CLIENT_LOAD, ping = options->action == CLIENT_PING;

        FUZZ_CHECK(ping || !(options->monitor || options->flood || options->connect ||
                             options->count > 0 || (options->duration > 0 && !load)));
        FUZZ_CHECK(load || (options->load == LOAD_REQUESTS && options->rate == 0));
        FUZZ_CHECK(options->bandwidth == 0 || options->action == CLIENT_CHECK ||
                   options->load == LOAD_STREAMS);
        FUZZ_CHECK(!options->reset || options->load == LOAD_CONNECTIONS);
        FUZZ_CHECK(ping || load || (options->csv == NULL && options->plot == NULL));
        FUZZ_CHECK(options->csv == NULL || words_point(words, options->csv));
        FUZZ_CHECK(options->plot == NULL || words_point(words, options->plot));
        if (options->load == LOAD_STREAMS)
                FUZZ_CHECK(options->rate == 0 && options->csv == NULL && options->plot == NULL);
        FUZZ_CHECK(options->monitor == client_options_is_monitor(words->argv) || !options->monitor);
        if (!options->monitor)
                return;
        FUZZ_CHECK(!options->json && options->count > 0 && options->duration > 0);
}

/* The sentence names an option or quotes a word of the line. */
static void check_failure(const Failure *failure, const Words *words) {
        const char *text = failure->text;

        FUZZ_CHECK(memchr(text, '\0', sizeof failure->text) != NULL && strlen(text) > 10);
        if (strncmp(text, "Unknown ", 8) == 0)
                return;
        FUZZ_CHECK(text[0] == '-' || strstr(text, "--") != NULL || strstr(text, "-4 and -6") ||
                   strncmp(text, "Missing ", 8) == 0 ||
                   words_quoted(words, text, sizeof failure->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ClientOptions options;
        Failure failure;
        Words words;
        int r;

        words_init(&words, data, size);
        fuzz_fill(&options, sizeof options);
        fuzz_fill(&failure, sizeof failure);
        r = client_options_parse(words.argc, words.argv, &options, &failure);
        FUZZ_CHECK(words_reordered(&words));
        if (r == 0 && options.action != CLIENT_HELP && options.action != CLIENT_VERSION) {
                check_ranges(&options);
                check_target(&options, &words);
                check_together(&options, &words);
        } else if (r < 0) {
                FUZZ_CHECK(r == -EINVAL);
                FUZZ_CHECK(fuzz_is_filled(&options, sizeof options));
                check_failure(&failure, &words);
        }
        words_deinit(&words);
        return 0;
}
