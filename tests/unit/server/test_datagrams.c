/* SPDX-License-Identifier: MIT */
/* The handlers of datagram sockets: started, counted, started again. The test moves the clock. */

#include "server/datagrams.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "clone.h"
#include "handler/handler.h"
#include "journald.h"
#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

#define MILLISECONDS(n) ((n)*CLOCK_MILLISECOND)

enum {
        /* No process has this number. */
        STRANGER = INT32_MAX,
        /* How many of it are behind each mapping: more than the size of a socket. */
        STRANGERS = 1024,
};

typedef struct Scene {
        Journald journald;
        Options options;
        Listeners *listeners;
        Journal *journal;
        Datagrams *datagrams;
        uint64_t now;
        int client;
} Scene;

static char udp[] = "udp:127.0.0.1:0", other_udp[] = "udp:[::1]:0", stream[] = "127.0.0.1:0";
static char *listen_texts[] = { stream, udp, other_udp };

static bool strangers;

/* In place of the C library's. The clock of the handlers stands still: between two datagrams no
 * source earns another answer, however long the test stalls. */
int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        (void)clock;
        *ret_time = clock_timespec(100 * CLOCK_SECOND);
        return 0;
}

/* In place of the C library's: can map more, and write STRANGER behind what was asked for. */
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
        static void *(*real)(void *, size_t, int, int, int, off_t);
        char *memory;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "mmap64");
        if (!strangers)
                return real(address, size, protection, flags, fd, offset);

        memory = real(address, size + STRANGERS * sizeof(pid_t), protection, flags, fd, offset);
        assert_ptr_not_equal(memory, MAP_FAILED);
        for (size_t i = 0; i < STRANGERS; i++)
                memcpy(memory + size + i * sizeof(pid_t), &(pid_t){ STRANGER }, sizeof(pid_t));
        return memory;
}

static int set_up(void **state) {
        static Scene scene;

        scene = (Scene){ .options = { .listen = listen_texts,
                                      .n_listen = COUNT(listen_texts),
                                      .max_datagrams_per_source = 1 } };
        journald_start(&scene.journald);
        *state = &scene;
        return 0;
}

static int tear_down(void **state) {
        Scene *scene = *state;

        journald_stop(&scene->journald);
        return 0;
}

static void scene_open(Scene *scene) {
        const Inherited none = { .connection = -1 };
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Failure failure = {};
        sigset_t signals;

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        close(null);
        /* As the master does before its first fork. */
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGTERM);
        assert_int_equal(sigprocmask(SIG_BLOCK, &signals, NULL), 0);
        handler_init(0);
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, scene->journald.name.sun_path,
                                     &scene->journal),
                         0);
        assert_int_equal(listeners_new(&scene->options, &none, &scene->listeners, &failure), 0);
        assert_int_equal(datagrams_new(&scene->options, scene->listeners, scene->journal,
                                       &scene->datagrams),
                         0);
        scene->now = clock_now();
        scene->client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (scene->listeners->n == 1)
                return;
        assert_int_equal(getsockname(scene->listeners->items[1].fd, (struct sockaddr *)&address,
                                     &length),
                         0);
        assert_int_equal(connect(scene->client, (const struct sockaddr *)&address, length), 0);
}

static void scene_close(Scene *scene) {
        close(scene->client);
        assert_null(datagrams_free(scene->datagrams));
        listeners_free(scene->listeners);
        journal_free(scene->journal);
}

static void scene_tick(Scene *scene, uint64_t later) {
        scene->now += later;
        datagrams_tick(scene->datagrams, scene->now);
        journal_finish(scene->journal, 0);
}

static void scene_send(const Scene *scene) {
        assert_int_equal(send(scene->client, "Hello", 5, 0), 5);
}

static void scene_echo(const Scene *scene) {
        char bytes[6];

        scene_send(scene);
        peer_wait_readable(scene->client);
        assert_int_equal(recv(scene->client, bytes, sizeof bytes, 0), 5);
}

/* Waits until handlers have refused @n datagrams in all. */
static void scene_wait_refused(const Scene *scene, uint64_t n) {
        Record totals = {};

        for (int i = 0;; i++) {
                datagrams_add_totals(scene->datagrams, &totals);
                if (totals.datagrams_refused >= n)
                        break;
                assert_in_range(i, 0, PATIENCE_SECONDS * 1000);
                (void)poll(NULL, 0, 1);
                totals = (Record){};
        }
        assert_int_equal(totals.datagrams_refused, n);
}

/* Reads the record of the totals of the socket with the client. */
static void scene_report(Scene *scene) {
        datagrams_report(scene->datagrams, scene->now);
        journal_finish(scene->journal, 0);
        journald_expect(&scene->journald, RECORD_SOCKET);
        assert_string_equal(journald_text(&scene->journald, "MPECHO_LISTENER"),
                            scene->listeners->items[1].text);
}

/* The handler of the socket with the client. */
static pid_t scene_handler(Scene *scene) {
        pid_t pid;

        scene_report(scene);
        pid = (pid_t)journald_number(&scene->journald, "MPECHO_HANDLER_PID");
        journald_expect(&scene->journald, RECORD_SOCKET);
        return pid;
}

/* Reaps @pid, which ends. Returns its status. */
static int scene_reap(Scene *scene, pid_t pid) {
        const int status = process_wait(pid);

        datagrams_reap(scene->datagrams, pid, status, scene->now);
        journal_finish(scene->journal, 0);
        return status;
}

static void scene_stop(Scene *scene) {
        pid_t pid;
        int status;

        datagrams_stop(scene->datagrams);
        while ((pid = waitpid(-1, &status, 0)) > 0) {
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), END_STOPPED);
                datagrams_reap(scene->datagrams, pid, status, scene->now);
        }
        assert_int_equal(datagrams_live(scene->datagrams), 0);
        assert_true(datagrams_deadline(scene->datagrams) == CLOCK_NEVER ||
                    datagrams_deadline(scene->datagrams) > scene->now);
}

/* Each datagram socket has a handler from the first tick on, and no other; they end when they are
 * asked to, with the record of what was not logged yet. */
static void serve(void *data) {
        Scene *scene = data;

        scene_open(scene);
        assert_int_equal(datagrams_live(scene->datagrams), 0);
        assert_true(datagrams_deadline(scene->datagrams) <= scene->now);
        scene_tick(scene, 0);
        assert_int_equal(datagrams_live(scene->datagrams), 2);
        assert_true(datagrams_deadline(scene->datagrams) == CLOCK_NEVER);
        scene_echo(scene);
        scene_stop(scene);
        journal_finish(scene->journal, 0);
        journald_expect(&scene->journald, RECORD_DATAGRAMS);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_ANSWERED"), 1);
        journald_expect_none(&scene->journald);
        scene_close(scene);
}

static void test_serve(void **state) {
        process_run(serve, *state);
}

static void expect_summary(Scene *scene, uint64_t answered, uint64_t rate, uint64_t bytes) {
        journald_expect(&scene->journald, RECORD_DATAGRAMS);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_ANSWERED"), answered);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_REFUSED"), rate);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_REFUSED_RATE"), rate);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_BYTES"), bytes);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_DROPPED"), 0);
}

/* What is counted is what has come since the last time, by its result. */
static void count(void *data) {
        Scene *scene = data;
        MetricsCounts counts = { .datagrams = { [METRICS_ANSWERED] = 100 } };

        scene_open(scene);
        scene_tick(scene, 0);
        scene_echo(scene);
        scene_echo(scene);
        scene_send(scene);
        scene_wait_refused(scene, 1);
        scene_stop(scene);
        journal_finish(scene->journal, 0);
        expect_summary(scene, 2, 1, 10);
        for (int i = 0; i < 2; i++) {
                datagrams_count(scene->datagrams, &counts);
                assert_int_equal(counts.datagrams[METRICS_ANSWERED], 102);
                assert_int_equal(counts.datagrams[METRICS_RATE], 1);
                assert_int_equal(counts.datagram_bytes, 10);
        }
        scene_close(scene);
}

static void test_count(void **state) {
        process_run(count, *state);
}

/* The first datagram after a pause makes the descriptor readable, the next ones do not; a second
 * later the master wants to know again, and a minute after that the counts are logged, once. */
static void news(void *data) {
        Scene *scene = data;
        Record totals = {};
        pid_t handler;

        scene_open(scene);
        scene_tick(scene, 0);
        handler = scene_handler(scene);
        assert_true(datagrams_are_quiet(scene->datagrams));

        scene_echo(scene);
        peer_wait_readable(datagrams_fd(scene->datagrams));
        datagrams_take_news(scene->datagrams, scene->now);
        /* Without news it returns too, whatever a handler does to the open file. */
        assert_int_equal(fcntl(datagrams_fd(scene->datagrams), F_SETFL, 0), 0);
        datagrams_take_news(scene->datagrams, scene->now);
        assert_false(datagrams_are_quiet(scene->datagrams));
        assert_true(datagrams_deadline(scene->datagrams) == scene->now + CLOCK_SECOND);
        scene_echo(scene);
        for (int i = 0; i < 3; i++)
                scene_send(scene);
        scene_wait_refused(scene, 3);
        /* It would tell the master before it waits for the next one. */
        process_wait_asleep(handler);
        assert_int_equal(poll(&(struct pollfd){ .fd = datagrams_fd(scene->datagrams),
                                                .events = POLLIN },
                              1, 0),
                         0);

        scene_tick(scene, CLOCK_SECOND);
        assert_true(datagrams_are_quiet(scene->datagrams));
        assert_true(datagrams_deadline(scene->datagrams) == scene->now + 60 * CLOCK_SECOND);
        journald_expect_none(&scene->journald);
        datagrams_add_totals(scene->datagrams, &totals);
        assert_int_equal(totals.datagram_sockets, 2);
        assert_int_equal(totals.datagrams_answered, 2);
        assert_int_equal(totals.datagrams_refused, 3);

        scene_send(scene);
        peer_wait_readable(datagrams_fd(scene->datagrams));
        scene_wait_refused(scene, 4);
        scene_tick(scene, 60 * CLOCK_SECOND);
        expect_summary(scene, 2, 4, 10);
        journald_expect_none(&scene->journald);
        scene_report(scene);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_ANSWERED"), 2);
        journald_expect(&scene->journald, RECORD_SOCKET);
        assert_true(datagrams_deadline(scene->datagrams) == CLOCK_NEVER);
        scene_stop(scene);
        scene_close(scene);
}

static void test_news(void **state) {
        process_run(news, *state);
}

/* Kills the handler, and expects that the next one starts after @pause and answers. */
static void kill_handler(Scene *scene, uint64_t pause) {
        const pid_t pid = scene_handler(scene);

        assert_int_equal(kill(pid, SIGKILL), 0);
        (void)scene_reap(scene, pid);
        journald_expect(&scene->journald, RECORD_RESTARTED);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_HANDLER_PID"), pid);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_SIGNAL"), SIGKILL);
        assert_int_equal(journald_number(&scene->journald, "MPECHO_DURATION_USEC"),
                         pause / CLOCK_MICROSECOND);
        assert_true(datagrams_deadline(scene->datagrams) == scene->now + pause);
        scene_tick(scene, pause - 1);
        assert_int_equal(datagrams_live(scene->datagrams), 1);
        scene_tick(scene, 1);
        assert_int_equal(datagrams_live(scene->datagrams), 2);
        scene_echo(scene);
}

/* A handler that ends is started again after 10 ms, doubling up to a second, and after 10 ms again
 * once one has lived for 10 seconds. */
static void restart(void *data) {
        Scene *scene = data;

        scene_open(scene);
        scene_tick(scene, 0);
        for (int round = 0; round < 2; round++) {
                for (uint64_t pause = 10; pause < 1000; pause *= 2)
                        kill_handler(scene, MILLISECONDS(pause));
                kill_handler(scene, CLOCK_SECOND);
                scene_tick(scene, 10 * CLOCK_SECOND - 1);
                kill_handler(scene, CLOCK_SECOND);
                scene_tick(scene, 10 * CLOCK_SECOND);
        }
        scene_stop(scene);
        scene_close(scene);
}

static void test_restart(void **state) {
        process_run(restart, *state);
}

/* Where the machine has no process for a handler, the master tries again after a pause, and logs
 * that once a second for each socket. */
static void exhausted(void *data) {
        Scene *scene = data;

        scene_open(scene);
        clone_fail(EAGAIN, 4);
        scene_tick(scene, 0);
        scene_tick(scene, MILLISECONDS(10));
        assert_int_equal(datagrams_live(scene->datagrams), 0);
        for (int i = 0; i < 2; i++) {
                journald_expect(&scene->journald, RECORD_UNSERVED);
                assert_string_equal(journald_text(&scene->journald, "MPECHO_LIMIT"), "processes");
                assert_int_equal(journald_number(&scene->journald, "ERRNO"), EAGAIN);
        }
        journald_expect_none(&scene->journald);
        assert_true(datagrams_deadline(scene->datagrams) == scene->now + MILLISECONDS(20));
        scene_send(scene);
        scene_tick(scene, MILLISECONDS(20));
        assert_int_equal(datagrams_live(scene->datagrams), 2);
        peer_wait_readable(scene->client);
        scene_stop(scene);
        scene_close(scene);
}

static void test_exhausted(void **state) {
        process_run(exhausted, *state);
}

/* Nobody is signalled for a socket without a handler: 0 would be all processes of the group. */
static void signal_nobody(void *data) {
        Scene *scene = data;
        sigset_t pending;

        assert_int_equal(setpgid(0, 0), 0);
        scene_open(scene);
        clone_fail(ENOMEM, 2);
        scene_tick(scene, 0);
        assert_int_equal(datagrams_live(scene->datagrams), 0);
        for (int i = 0; i < 2; i++) {
                journald_expect(&scene->journald, RECORD_UNSERVED);
                assert_string_equal(journald_text(&scene->journald, "MPECHO_LIMIT"), "memory");
        }
        datagrams_stop(scene->datagrams);
        assert_int_equal(sigpending(&pending), 0);
        assert_int_equal(sigismember(&pending, SIGTERM), 0);
        scene_close(scene);
}

static void test_no_handler(void **state) {
        process_run(signal_nobody, *state);
}

/* No socket is behind the last one, whatever that memory contains. */
static void stranger(void *data) {
        Scene *scene = data;

        strangers = true;
        scene_open(scene);
        strangers = false;
        datagrams_reap(scene->datagrams, STRANGER, 0, scene->now);
        journal_finish(scene->journal, 0);
        journald_expect_none(&scene->journald);
        scene_close(scene);
}

static void test_stranger(void **state) {
        process_run(stranger, *state);
}

/* Without datagram sockets there is nothing to do, ever, and no descriptor. */
static void none(void *data) {
        Scene *scene = data;
        Record totals = {};

        scene->options.n_listen = 1;
        scene_open(scene);
        assert_int_equal(datagrams_fd(scene->datagrams), -1);
        scene_tick(scene, CLOCK_SECOND);
        assert_true(datagrams_deadline(scene->datagrams) == CLOCK_NEVER);
        assert_true(datagrams_are_quiet(scene->datagrams));
        datagrams_add_totals(scene->datagrams, &totals);
        assert_int_equal(totals.datagram_sockets, 0);
        datagrams_report(scene->datagrams, scene->now);
        scene_stop(scene);
        journal_finish(scene->journal, 0);
        journald_expect_none(&scene->journald);
        scene_close(scene);
}

static void test_none(void **state) {
        process_run(none, *state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_serve),     TEST(test_count),    TEST(test_news), TEST(test_restart),
                TEST(test_exhausted), TEST(test_stranger), TEST(test_none), TEST(test_no_handler),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
