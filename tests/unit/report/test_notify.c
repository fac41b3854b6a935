/* SPDX-License-Identifier: MIT */
/* The messages to the service manager, and their times. A datagram socket stands for it. */

#include "report/notify.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fault.h"
#include "lib/clock.h"
#include "unit.h"

FAULT(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *message, int flags),
      (fd, message, flags))
FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))

static int manager;

/* Finds out anew what the environment says. @watchdog: $WATCHDOG_USEC, or NULL. */
static Notify begin(const char *watchdog) {
        Notify notify;

        if (watchdog != NULL)
                assert_int_equal(setenv("WATCHDOG_USEC", watchdog, 1), 0);
        else
                assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
        assert_int_equal(notify_init(&notify), 0);
        return notify;
}

static int set_up(void **state) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        int length;

        (void)state;
        length = snprintf(name.sun_path, sizeof name.sun_path, "@mpecho-unit-notify-%d", getpid());
        (void)setenv("NOTIFY_SOCKET", name.sun_path, 1);
        (void)unsetenv("WATCHDOG_PID");
        name.sun_path[0] = '\0';
        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return bind(manager, (struct sockaddr *)&name,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length));
}

static int tear_down(void **state) {
        (void)state;
        return close(manager);
}

static void expect_told(const char *expected) {
        char text[512];
        ssize_t n = recv(manager, text, sizeof text - 1, MSG_DONTWAIT);

        assert_true(n >= 0);
        text[n] = '\0';
        assert_string_equal(text, expected);
}

static void expect_silence(void) {
        char byte;

        assert_int_equal(recv(manager, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
}

/* The service sends ready and stopping as they come. */
static void test_states(void **state) {
        Notify notify = begin(NULL);

        (void)state;
        expect_silence();
        notify_ready(&notify, 5);
        expect_told("READY=1");
        notify_stopping(&notify, 6);
        expect_told("STOPPING=1");
        expect_silence();
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_close();
}

/* A change makes the status due, at once first and then a second after the last one sent, but wakes
 * nobody for another second; the service does not send the same status again. */
static void test_status(void **state) {
        const uint64_t second = CLOCK_SECOND, start = 1000 * CLOCK_SECOND;
        Notify notify = begin(NULL);

        (void)state;
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_changed(&notify, start);
        assert_true(notify_deadline(&notify) == start);
        notify_status(&notify, "1 live", start);
        expect_told("STATUS=1 live");
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);

        notify_changed(&notify, start + second / 4);
        notify_changed(&notify, start + second / 2);
        assert_true(notify.status_deadline == start + second);
        assert_true(notify_deadline(&notify) == start + 2 * second);
        notify_status(&notify, "2 live", start + second);
        expect_told("STATUS=2 live");

        notify_changed(&notify, start + 9 * second);
        assert_true(notify_deadline(&notify) == start + 9 * second);
        notify_status(&notify, "2 live", start + 9 * second);
        expect_silence();
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        /* Looked at, and found the same: not due again at once, or the master never sleeps. */
        notify_changed(&notify, start + 9 * second);
        assert_true(notify.status_deadline == start + 10 * second);
        assert_true(notify_deadline(&notify) == start + 11 * second);
        notify_status(&notify, "2 live!", start + 10 * second);
        expect_told("STATUS=2 live!");
        notify_close();
}

/* A sign of life is given twice as often as asked for, at once first, and at most half a
 * second early: then it takes the place of the next one. */
static void test_watchdog(void **state) {
        Notify notify = begin("3000000");
        uint64_t now;

        (void)state;
        now = notify_deadline(&notify);
        assert_true(now <= clock_now());
        notify_tick(&notify, now);
        expect_told("WATCHDOG=1");
        assert_true(notify_deadline(&notify) == now + 1500 * CLOCK_MILLISECOND);
        notify_tick(&notify, now + 1000 * CLOCK_MILLISECOND - 1);
        expect_silence();
        notify_tick(&notify, now + 1000 * CLOCK_MILLISECOND);
        expect_told("WATCHDOG=1");
        assert_true(notify_deadline(&notify) == now + 2500 * CLOCK_MILLISECOND);
        notify_changed(&notify, now + 1600 * CLOCK_MILLISECOND);
        assert_true(notify_deadline(&notify) == now + 1600 * CLOCK_MILLISECOND);
        notify_close();
}

/* A sign of life that nobody asked for, or that another process was asked for, is not given. */
static void test_no_watchdog(void **state) {
        Notify notify = begin(NULL);

        (void)state;
        notify_tick(&notify, clock_now());
        expect_silence();
        notify_close();
        assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
        notify = begin("3000000");
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_tick(&notify, clock_now());
        expect_silence();
        notify_close();
        assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
}

/* Without a service manager nothing is due and the service sends nothing. */
static void test_alone(void **state) {
        char name[64] = "";
        Notify notify;

        (void)state;
        snprintf(name, sizeof name, "%s", getenv("NOTIFY_SOCKET"));
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        notify = begin(NULL);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        assert_false(notify_has_manager(&notify));
        notify_ready(&notify, 5);
        notify_changed(&notify, 5);
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_status(&notify, "1 live", 5);
        notify_stopping(&notify, 5);
        expect_silence();
        notify_close();
}

/* Without the socket, and with something else than the name of one, the service sends nothing, and
 * nothing fails. */
static void test_gone(void **state) {
        static const char *const names[] = { "/nonexistent/notify", "/dev/null", "vsock:2:1234",
                                             "@", "" };
        char before[64] = "";

        (void)state;
        snprintf(before, sizeof before, "%s", getenv("NOTIFY_SOCKET"));
        for (size_t i = 0; i < COUNT(names); i++) {
                Notify notify;
                uint64_t now;

                assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
                notify = begin("3000000");
                notify_ready(&notify, 5);
                notify_changed(&notify, 5);
                notify_status(&notify, "1 live", 5);
                now = clock_now();
                notify_tick(&notify, now);
                notify_stopping(&notify, 6);
                /* Nobody is waited for. */
                assert_true(notify_deadline(&notify) > now + CLOCK_SECOND);
                notify_close();
        }
        assert_int_equal(setenv("NOTIFY_SOCKET", before, 1), 0);
        expect_silence();
}

/* Sends the manager datagrams until it has no room; returns how many. What one socket can send may
 * be less than that: not when another one cannot send anything. */
static size_t fill(void) {
        struct sockaddr_un name = {};
        socklen_t length = sizeof name;
        size_t n = 0, before;

        assert_int_equal(getsockname(manager, (struct sockaddr *)&name, &length), 0);
        do {
                int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

                before = n;
                while (sendto(fd, "full", 4, MSG_DONTWAIT, (struct sockaddr *)&name, length) == 4)
                        n++;
                assert_int_equal(errno, EAGAIN);
                close(fd);
        } while (n > before);
        return n;
}

/* The service does not wait for a manager without room. Once there is room, it sends the state and
 * the sign of life within a second, the status of then a second later. */
static void test_full(void **state) {
        const uint64_t second = CLOCK_SECOND;
        Notify notify = begin("3000000");
        const uint64_t start = notify_deadline(&notify);
        size_t n = fill();

        (void)state;
        notify_ready(&notify, start);
        notify_tick(&notify, start);
        notify_changed(&notify, start);
        notify_status(&notify, "1 live", start);
        assert_true(notify_deadline(&notify) == start + second);
        notify_tick(&notify, start + second);
        /* The status of then, with all others. */
        assert_true(notify.status_deadline == start + second);
        assert_true(notify_deadline(&notify) == start + 2 * second);
        while (n-- > 0)
                expect_told("full");
        expect_silence();

        notify_tick(&notify, start + 2 * second);
        expect_told("READY=1");
        expect_told("WATCHDOG=1");
        notify_status(&notify, "2 live", start + 2 * second);
        expect_told("STATUS=2 live");
        assert_true(notify_deadline(&notify) == start + 2 * second + 3 * second / 2);
        expect_silence();
        notify_close();
}

/* Without room or memory for a state, the service sends it a second later; after a refusal of the
 * manager it does not repeat it. */
static void test_refused(void **state) {
        static const struct {
                int error;
                uint64_t deadline;
        } cases[] = { { EAGAIN, 5 + CLOCK_SECOND },
                      { ENOBUFS, 5 + CLOCK_SECOND },
                      { ENOMEM, 5 + CLOCK_SECOND },
                      { ECONNREFUSED, CLOCK_NEVER } };
        Notify notify = begin(NULL);

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                sendmsg_fault = (CallFault){ .error = cases[i].error, .times = 1 };
                notify_ready(&notify, 5);
                expect_silence();
                assert_true(notify_deadline(&notify) == cases[i].deadline);
                notify_tick(&notify, 5 + CLOCK_SECOND);
                if (cases[i].deadline != CLOCK_NEVER)
                        expect_told("READY=1");
                expect_silence();
        }
        notify_close();
        socket_fault = (CallFault){ .error = EMFILE, .times = 1 };
        assert_int_equal(notify_init(&notify), -EMFILE);
}

/* The service repeats the last state alone. */
static void test_full_at_the_end(void **state) {
        Notify notify = begin(NULL);
        size_t n = fill();

        (void)state;
        notify_ready(&notify, 5);
        notify_stopping(&notify, 6);
        while (n-- > 0)
                expect_told("full");
        notify_tick(&notify, notify_deadline(&notify));
        expect_told("STOPPING=1");
        expect_silence();
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_close();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_states),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_watchdog),
                cmocka_unit_test(test_no_watchdog),
                cmocka_unit_test(test_alone),
                cmocka_unit_test(test_gone),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_full_at_the_end),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
