/* SPDX-License-Identifier: MIT */
/* The handler of a client of the metrics: what it answers, and that it ends. test_metrics.py has
 * the requests of real clients. */

#include "handler/scrape.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "handler/handler.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

FAULT(int, poll, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))

static ScrapeTexts texts = { .sizes = { 5, 5 }, .texts = { "text\n", "open\n" } };

/* In place of the C library's: ten seconds pass in no time. */
unsigned alarm(unsigned seconds) {
        const struct itimerval timer = { .it_value.tv_usec = 1000 };

        assert_int_equal(seconds, 10);
        assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
        return 0;
}

/* Receives all that comes to the end of the stream. */
static void receive_all(int fd, char *text, size_t size) {
        const size_t n = peer_receive(fd, text, size - 1);

        text[n] = '\0';
}

/* A thousand bytes. */
#define HUNDRED                                                                                    \
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
        "890123456789"
#define LONG HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED

/* Each beginning has its answer; a client that sends more, or nothing, waits for nobody. */
static void test_answers(void **state) {
        static const struct {
                const char *request;
                const char *head; /* of the answer */
                const char *body;
        } cases[] = {
                { "", "", "text\n" },
                { "hello", "", "text\n" },
                { "GET", "", "text\n" },
                { "GETS\n\n", "", "text\n" },
                { "GET /\n\n", "HTTP/1.0 200 OK\r\nContent-Type: text/plain; ", "text\n" },
                { "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n", "text\n" },
                { "GET /\r\naccept:*/*, Application/OpenMetrics-Text;q=1\r\n\r\n",
                  "HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics-text; ", "open\n" },
                { "GET /\r\nAccept: text/plain\r\n\r\n",
                  "HTTP/1.0 200 OK\r\nContent-Type: text/plain; ", "text\n" },
                { "GET /" LONG LONG LONG LONG LONG LONG LONG LONG LONG "\r\n\r\n",
                  "HTTP/1.0 200 OK\r\n", "text\n" },
                { "HEAD /\r\n", "HTTP/1.0 200 OK\r\n", "\r\n\r\n" },
                { "GET /application/openmetrics-text\r\n\r\n",
                  "HTTP/1.0 200 OK\r\nContent-Type: text/plain; ", "text\n" },
                { "HEAD /\r\n\r\n", "HTTP/1.0 200 OK\r\nContent-Type: text/plain; ", "\r\n\r\n" },
        };
        char answer[1024];
        int fds[2];

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const size_t size = strlen(cases[i].body);

                peer_pair(fds);
                peer_send(fds[0], cases[i].request, strlen(cases[i].request));
                assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
                scrape_run(fds[1], &texts);
                close(fds[1]);
                receive_all(fds[0], answer, sizeof answer);
                close(fds[0]);
                assert_memory_equal(answer, cases[i].head, strlen(cases[i].head));
                assert_string_equal(answer + strlen(answer) - size, cases[i].body);
                if (cases[i].head[0] == '\0')
                        assert_string_equal(answer, cases[i].body);
                else
                        assert_non_null(strstr(answer, "\r\nContent-Length: 5\r\n"));
        }
}

/* A client that says nothing gets the text; signals do not keep it waiting. */
static void test_silent(void **state) {
        char answer[1024];
        int fds[2];

        (void)state;
        peer_pair(fds);
        poll_fault = (CallFault){ .error = EINTR, .times = 1 };
        assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
        scrape_run(fds[1], &texts);
        assert_int_equal(poll_fault.times, 0);
        close(fds[1]);
        receive_all(fds[0], answer, sizeof answer);
        assert_string_equal(answer, "text\n");
        close(fds[0]);
}

/* A client that begins a request and does not finish it is left after ten seconds, even if the
 * caller of the program ignores SIGALRM. */
static void test_time(void **state) {
        const Handler handler = { .unsent = -1, .scrape = &texts, .title = "mpecho: metrics" };
        Handler started = handler;
        int fds[2], status;

        (void)state;
        (void)signal(SIGALRM, SIG_IGN);
        peer_pair(fds);
        started.connection = fds[1];
        peer_send(fds[0], "GET ", 4);
        status = process_wait(handler_start(&started));
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGALRM);
        close(fds[0]);
        close(fds[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_silent),
                cmocka_unit_test(test_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
