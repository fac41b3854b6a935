/* What the service manager is told, and when. A datagram socket stands for it. */

#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "unit.h"

static int manager;

/* Finds out anew what the environment says. @watchdog: $WATCHDOG_USEC, or NULL. */
static Notify begin(const char *watchdog) {
        Notify notify;

        if (watchdog != NULL)
                assert_int_equal(setenv("WATCHDOG_USEC", watchdog, 1), 0);
        else
                assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
        notify_init(&notify);
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

/* Ready and stopping are told as they come. */
static void test_states(void **state) {
        const Notify notify = begin(NULL);

        (void)state;
        expect_silence();
        notify_ready(&notify);
        expect_told("READY=1");
        notify_stopping(&notify);
        expect_told("STOPPING=1");
        expect_silence();
}

/* A change makes the status due, at once first and then a second after the last one told; a status
 * that is the same is not told again. */
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
        assert_true(notify_deadline(&notify) == start + second);
        notify_status(&notify, "2 live", start + second);
        expect_told("STATUS=2 live");

        notify_changed(&notify, start + 9 * second);
        assert_true(notify_deadline(&notify) == start + 9 * second);
        notify_status(&notify, "2 live", start + 9 * second);
        expect_silence();
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_changed(&notify, start + 9 * second);
        notify_status(&notify, "2 live!", start + 9 * second);
        expect_told("STATUS=2 live!");
}

/* A sign of life is given twice as often as asked for, at once first, and not before it is due. */
static void test_watchdog(void **state) {
        Notify notify = begin("3000000");
        uint64_t now;

        (void)state;
        now = notify_deadline(&notify);
        assert_true(now <= clock_now());
        notify_watchdog(&notify, now);
        expect_told("WATCHDOG=1");
        assert_true(notify_deadline(&notify) == now + 1500000);
        notify_watchdog(&notify, now + 1499999);
        expect_silence();
        notify_watchdog(&notify, now + 1500000);
        expect_told("WATCHDOG=1");
        notify_changed(&notify, now + 1600000);
        assert_true(notify_deadline(&notify) == now + 1600000);
}

/* A sign of life that nobody asked for, or that another process was asked for, is not given. */
static void test_no_watchdog(void **state) {
        Notify notify = begin(NULL);

        (void)state;
        notify_watchdog(&notify, clock_now());
        expect_silence();
        assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
        notify = begin("3000000");
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_watchdog(&notify, clock_now());
        expect_silence();
        assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
}

/* Without a service manager nothing is due and nothing told. */
static void test_alone(void **state) {
        char name[64] = "";
        Notify notify;

        (void)state;
        snprintf(name, sizeof name, "%s", getenv("NOTIFY_SOCKET"));
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        notify = begin(NULL);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        notify_ready(&notify);
        notify_changed(&notify, 5);
        assert_true(notify_deadline(&notify) == CLOCK_NEVER);
        notify_status(&notify, "1 live", 5);
        notify_stopping(&notify);
        expect_silence();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_states),   cmocka_unit_test(test_status),
                cmocka_unit_test(test_watchdog), cmocka_unit_test(test_no_watchdog),
                cmocka_unit_test(test_alone),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
