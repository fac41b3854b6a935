/* SPDX-License-Identifier: MIT */
/* The time that a PROXY header has, and what is left over. Reads follow a script. */

#include "handler/proxy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/clock.h"
#include "unit.h"

#define START   (1000 * CLOCK_SECOND)
#define SECONDS (5 * CLOCK_SECOND)
#define HEADER  "PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\r\n"

enum {
        IN = 77, /* no descriptors */
        OUT = 78,
        STEPS_MOST = 8,
};

/* What a read gets: the bytes of the text, the end after none, or an error; and how long it takes.
 */
typedef struct Step {
        const char *text;
        int error;
        uint64_t duration;
} Step;

static struct {
        Step steps[STEPS_MOST];
        uint64_t timeouts[STEPS_MOST]; /* of each read */
        size_t n;
        uint64_t now;
        uint64_t timeout;
} script;
static volatile sig_atomic_t stopping;
static char buffer[32 * 1024];

/* In place of the module's and of the C library's. */
uint64_t clock_now(void) {
        return script.now;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
        struct timeval time;

        assert_int_equal(fd, OUT);
        assert_int_equal(level, SOL_SOCKET);
        assert_int_equal(option, SO_RCVTIMEO);
        assert_int_equal(size, sizeof time);
        memcpy(&time, value, sizeof time);
        script.timeout = (uint64_t)time.tv_sec * CLOCK_SECOND +
                         (uint64_t)time.tv_usec * CLOCK_MICROSECOND;
        assert_true(script.timeout > 0);
        return 0;
}

ssize_t read(int fd, void *data, size_t size) {
        const Step *step = &script.steps[script.n];
        size_t length = strlen(step->text);

        assert_int_equal(fd, IN);
        assert_in_range(script.n, 0, STEPS_MOST - 1);
        assert_in_range(length, 0, size);
        script.timeouts[script.n++] = script.timeout;
        script.now += step->duration;
        errno = step->error;
        memcpy(data, step->text, length);
        return step->error != 0 ? -1 : (ssize_t)length;
}

/* Reads a header by the @n @steps, behind the bytes @before. */
static int run(const char *before, const Step *steps, size_t n, Echo *ret_echo) {
        ProxyEndpoints endpoints;
        char text[ADDRESS_TEXT_SIZE];
        int r;

        memset(&script, 0, sizeof script);
        for (size_t i = 0; i < n; i++)
                script.steps[i] = steps[i];
        script.now = START;
        snprintf(buffer, sizeof buffer, "%s", before);
        *ret_echo = (Echo){ .in = IN,
                            .out = OUT,
                            .buffer = buffer,
                            .buffer_size = sizeof buffer,
                            .stopping = &stopping,
                            .unsent_size = strlen(before) };
        r = proxy_read(ret_echo, &endpoints);
        assert_int_equal(script.n, n);
        if (r == 0) {
                address_format(&endpoints.source, text);
                assert_string_equal(text, "192.0.2.7:51234");
        }
        return r;
}

static void expect_unsent(const Echo *echo, const char *text) {
        assert_int_equal(echo->unsent_size, strlen(text));
        assert_memory_equal(echo->unsent, text, strlen(text));
}

/* However it is split, and whatever interrupts it, the header is taken, and what follows it in the
 * same read is left. */
static void test_read(void **state) {
        Echo echo;

        (void)state;
        assert_int_equal(run("", (Step[]){ { HEADER, 0, 1 } }, 1, &echo), 0);
        expect_unsent(&echo, "");
        assert_int_equal(run("", (Step[]){ { HEADER "Hello", 0, 1 } }, 1, &echo), 0);
        expect_unsent(&echo, "Hello");
        assert_int_equal(run("",
                             (Step[]){ { "PROXY TCP4 192.", 0, 1 },
                                       { "", EINTR, 1 },
                                       { "0.2.7 192.0.2.1 51234 7\r", 0, 1 },
                                       { "\nHello", 0, 1 } },
                             4, &echo),
                         0);
        expect_unsent(&echo, "Hello");
}

/* The handler before may have read a part of the header, or more than it. */
static void test_resumed(void **state) {
        Echo echo;

        (void)state;
        assert_int_equal(run("PROXY TCP4 192.",
                             (Step[]){ { "0.2.7 192.0.2.1 51234 7\r\nHello", 0, 1 } }, 1, &echo),
                         0);
        expect_unsent(&echo, "Hello");
        assert_int_equal(run(HEADER "Hello", NULL, 0, &echo), 0);
        expect_unsent(&echo, "Hello");
}

/* All reads together have 5 seconds: each one gets the rest of them as its timeout. */
static void test_trickle(void **state) {
        static const Step steps[] = {
                { "P", 0, CLOCK_SECOND }, { "R", 0, CLOCK_SECOND },     { "", EINTR, CLOCK_SECOND },
                { "O", 0, CLOCK_SECOND }, { "X", 0, CLOCK_SECOND - 1 }, { "Y", 0, 1 },
        };
        Echo echo;

        (void)state;
        assert_int_equal(run("", steps, COUNT(steps), &echo), PROXY_TIMEOUT);
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(script.timeouts[i],
                                 SECONDS - i * CLOCK_SECOND + CLOCK_MICROSECOND);
        assert_int_equal(script.timeouts[5], CLOCK_MICROSECOND);
}

/* A silent peer has as long, even where the kernel wakes the read too early. */
static void test_silent(void **state) {
        static const Step steps[] = {
                { "", EAGAIN, SECONDS - CLOCK_MILLISECOND },
                { "", EAGAIN, CLOCK_MILLISECOND },
        };
        Echo echo;

        (void)state;
        assert_int_equal(run("", steps, COUNT(steps), &echo), PROXY_TIMEOUT);
        assert_int_equal(script.timeouts[1], CLOCK_MILLISECOND + CLOCK_MICROSECOND);
}

/* A peer that ends or breaks off the connection, or sends something else, gets the error of that.
 */
static void test_errors(void **state) {
        Echo echo;

        (void)state;
        assert_int_equal(run("", (Step[]){ { "PROXY", 0, 1 }, { "", 0, 1 } }, 2, &echo),
                         PROXY_CLOSED);
        assert_int_equal(run("", (Step[]){ { "", ECONNRESET, 1 } }, 1, &echo), PROXY_CLOSED);
        assert_int_equal(run("", (Step[]){ { "Hello", 0, 1 } }, 1, &echo), PROXY_MISSING);
}

/* A stop leaves all bytes that have come for the next handler. */
static void test_stopped(void **state) {
        Echo echo;

        (void)state;
        stopping = 1;
        assert_int_equal(run("PRO", (Step[]){ { "XY TCP4", 0, 1 }, { "", 0, 1 } }, 2, &echo),
                         -ECANCELED);
        stopping = 0;
        expect_unsent(&echo, "PROXY TCP4");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),    cmocka_unit_test(test_resumed),
                cmocka_unit_test(test_trickle), cmocka_unit_test(test_silent),
                cmocka_unit_test(test_errors),  cmocka_unit_test(test_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
