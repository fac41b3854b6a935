/* SPDX-License-Identifier: MIT */
/* The handler of a client of the metrics: what it answers, and that it ends. test_metrics.py has
 * the requests of real clients. */

#include "handler/scrape.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "handler/handler.h"
#include "lib/ppoll.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

static CallFault poll_fault;

/* In place of the C library's: the handler waits for its client alone. */
int poll(struct pollfd *fds, nfds_t n, int timeout) {
        static int (*real)(struct pollfd *, nfds_t, int);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "poll");
        assert_int_equal(n, 1);
        return fault_strikes(&poll_fault) ? -1 : real(fds, n, timeout);
}

static ScrapeTexts texts = { .sizes = { 5, 5 }, .texts = { "text\n", "open\n" } };

/* In place of the C library's: ten seconds pass in no time, or as soon as the handler waits for a
 * client to acknowledge the answer. */
static bool waits_for_client;

unsigned alarm(unsigned seconds) {
        const struct itimerval timer = { .it_value.tv_usec = 1000 };

        assert_int_equal(seconds, 10);
        if (!waits_for_client)
                assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
        return 0;
}

/* In place of the C library's, too: bytes that a client has not acknowledged. In each wait it
 * acknowledges one, or time is over. */
static int unacknowledged;

int ioctl(int fd, unsigned long request, ...) {
        va_list arguments;

        (void)fd;
        assert_int_equal(request, SIOCOUTQ);
        va_start(arguments, request);
        *va_arg(arguments, int *) = unacknowledged;
        va_end(arguments);
        return 0;
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
        (void)fds;
        (void)n;
        (void)timeout;
        if (waits_for_client) {
                (void)raise(SIGALRM);
                (void)sigsuspend(mask);
        }
        unacknowledged--;
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

/* Connects @fds over TCP, and sends a request. */
static void request(int fds[static 2]) {
        peer_pair_tcp(fds);
        peer_send(fds[0], "GET /\n\n", 7);
}

/* The handler of a client lasts until that has acknowledged the whole answer, and ends the stream
 * as usual; its alarm can end it then, too. */
static void test_slow(void **state) {
        char answer[1024];
        sigset_t blocked;
        int fds[2];

        (void)state;
        request(fds);
        assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
        unacknowledged = 3;
        scrape_run(fds[1], &texts);
        assert_int_equal(unacknowledged, 0);
        assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &blocked), 0);
        assert_false(sigismember(&blocked, SIGALRM));
        close(fds[1]);
        receive_all(fds[0], answer, sizeof answer);
        assert_non_null(strstr(answer, "\r\n\r\ntext\n"));
        close(fds[0]);
}

/* A client that does not acknowledge the answer in time is reset: the kernel keeps nothing for it.
 */
static void test_unread(void **state) {
        Handler handler = { .unsent = -1, .scrape = &texts, .title = "mpecho: metrics" };
        int fds[2], status, error = 0;
        socklen_t size = sizeof error;

        (void)state;
        request(fds);
        handler.connection = fds[1];
        unacknowledged = 1;
        waits_for_client = true;
        status = process_wait(handler_start(&handler));
        waits_for_client = false;
        unacknowledged = 0;
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGALRM);
        close(fds[1]);
        assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_ERROR, &error, &size), 0);
        /* The client has the whole answer: see ioctl(). So a reset comes behind the end. */
        assert_int_equal(error, EPIPE);
        close(fds[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers), cmocka_unit_test(test_silent),
                cmocka_unit_test(test_time),    cmocka_unit_test(test_slow),
                cmocka_unit_test(test_unread),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
