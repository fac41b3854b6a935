/* SPDX-License-Identifier: MIT */
/* Where records go: to the journal, to a terminal, or to whatever stderr is. */

#include "report/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "journald.h"
#include "lib/clock.h"
#include "lib/stdfds.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

static Journald journald;

FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))
FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))

static Journal *open_journal(LogTarget target) {
        Journal *journal;

        assert_int_equal(journal_new(target, LOG_INFO, journald.name.sun_path, &journal), 0);
        return journal;
}

static void write_record(Journal *journal, RecordKind kind) {
        journal_write(journal,
                      &(Record){ .kind = kind,
                                 .peer = "192.0.2.7:7",
                                 .listener = "[::]:7",
                                 .reason = "idle",
                                 .sentence = "Failed",
                                 .bytes = 5 },
                      clock_now());
}

/* Takes the time out of the beginning of each line in @text, where it must be, and be now. */
static void cut_times(char *text) {
        const time_t now = time(NULL);

        for (char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
                struct tm parts = {};
                char *end = strptime(line, "%Y-%m-%dT%H:%M:%SZ ", &parts);
                time_t written;

                assert_non_null(end);
                written = timegm(&parts);
                assert_in_range(now - written, 0, PATIENCE_SECONDS);
                memmove(line, end, strlen(end) + 1);
        }
}

/* What the other end of stderr gets, a static string, without the times. */
static const char *read_stderr(int fd) {
        static char text[4096];
        ssize_t n;

        peer_wait_readable(fd);
        n = read(fd, text, sizeof text - 1);
        assert_true(n > 0);
        text[n] = '\0';
        cut_times(text);
        return text;
}

static void write_to_stderr(void *data) {
        Journal *journal;

        assert_int_equal(dup2(*(const int *)data, STDERR_FILENO), STDERR_FILENO);
        journal = open_journal(LOG_TARGET_STDERR);
        write_record(journal, RECORD_FAILED);
        write_record(journal, RECORD_CLOSED);
        journal_finish(journal, 0);
        journal_free(journal);
}

/* On stderr a record is a line with the time and the program's name in front; nothing of it goes to
 * the journal. */
static void test_stderr(void **state) {
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        process_run(write_to_stderr, &fds[1]);
        assert_string_equal(read_stderr(fds[0]),
                            "mpecho: Failed\n"
                            "mpecho: 192.0.2.7:7 disconnected from [::]:7, idle: 5 bytes "
                            "echoed in 0.000 s, 0 live\n");
        journald_expect_none(&journald);
        close(fds[0]);
        close(fds[1]);
}

/* So it is on a terminal. */
static void test_terminal(void **state) {
        static const char expected[] = "2026-11-26T10:00:00Z mpecho: Failed\r\n";
        int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        char text[sizeof expected] = "";
        int fd;

        (void)state;
        assert_true(terminal >= 0);
        assert_int_equal(grantpt(terminal), 0);
        assert_int_equal(unlockpt(terminal), 0);
        fd = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(fd >= 0);
        process_run(write_to_stderr, &fd);
        /* The kernel hands over what was written in pieces, some time later. */
        for (size_t n = 0; n < sizeof text - 1;) {
                ssize_t more;

                peer_wait_readable(terminal);
                more = read(terminal, text + n, sizeof text - 1 - n);
                assert_true(more > 0);
                n += (size_t)more;
        }
        cut_times(text);
        assert_string_equal(text, expected + strlen("2026-11-26T10:00:00Z "));
        close(fd);
        close(terminal);
}

static void overflow_stderr(void *data) {
        const int *fds = data;
        char waste[65536];
        Journal *journal;

        assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
        memset(waste, '\n', sizeof waste);
        while (write(STDERR_FILENO, waste, sizeof waste) > 0)
                continue;
        assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, 0), 0);
        journal = open_journal(LOG_TARGET_STDERR);
        for (int i = 0; i < 3; i++)
                write_record(journal, RECORD_FAILED);
        while (read(fds[0], waste, sizeof waste) > 0)
                continue;
        journal_finish(journal, 0);
        journal_free(journal);
}

/* Writing to a pipe that nobody reads does not wait either; what was written comes when it is read.
 */
static void test_full_stderr(void **state) {
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        process_run(overflow_stderr, fds);
        assert_string_equal(read_stderr(fds[0]),
                            "mpecho: Failed\nmpecho: Failed\nmpecho: Failed\n");
        close(fds[0]);
        close(fds[1]);
}

static void write_to_stream(void *data) {
        struct stat status;
        char stream[64];

        assert_int_equal(fstat(*(const int *)data, &status), 0);
        snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev,
                 (uintmax_t)status.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        write_to_stderr(data);
}

/* Where the journal reads stderr, a line begins with its priority. */
static void test_stream(void **state) {
        char text[128] = "";
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        process_run(write_to_stream, &fds[1]);
        assert_true(read(fds[0], text, sizeof text - 1) > 0);
        assert_string_equal(text, "<3>Failed\n<6>192.0.2.7:7 disconnected from [::]:7, idle: "
                                  "5 bytes echoed in 0.000 s, 0 live\n");
        close(fds[0]);
        close(fds[1]);
}

typedef struct Standard {
        int in;
        int err;
        int names;          /* of $JOURNAL_STREAM; -1 for none */
        const char *stream; /* other than that */
} Standard;

static void choose(void *data) {
        const Standard *standard = data;
        struct stat status;
        char stream[64];
        Journal *journal;

        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
        if (standard->names >= 0) {
                assert_int_equal(fstat(standard->names, &status), 0);
                snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev,
                         (uintmax_t)status.st_ino);
                assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        }
        if (standard->stream != NULL)
                assert_int_equal(setenv("JOURNAL_STREAM", standard->stream, 1), 0);
        assert_int_equal(dup2(standard->in, STDIN_FILENO), STDIN_FILENO);
        assert_int_equal(dup2(standard->err, STDERR_FILENO), STDERR_FILENO);
        journal = open_journal(LOG_TARGET_AUTO);
        write_record(journal, RECORD_FAILED);
        journal_free(journal);
}

/* Without a choice records go to the journal where stderr leads there or to a peer, and to stderr
 * where it does not, whatever the environment says. */
static void test_auto(void **state) {
        int one[2], other[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)state;
        peer_pair(one);
        peer_pair(other);
        process_run(choose, &(Standard){ .in = one[1], .err = other[1], .names = other[1] });
        journald_expect(&journald, RECORD_FAILED);
        process_run(choose, &(Standard){ .in = one[1], .err = one[1], .names = -1 });
        journald_expect(&journald, RECORD_FAILED);
        process_run(choose, &(Standard){ .in = one[1], .err = other[1], .names = -1 });
        assert_string_equal(read_stderr(other[0]), "mpecho: Failed\n");
        process_run(choose, &(Standard){ .in = one[1], .err = other[1], .names = one[1] });
        assert_string_equal(read_stderr(other[0]), "mpecho: Failed\n");
        process_run(choose, &(Standard){ .in = one[1], .err = other[1], .names = null });
        assert_string_equal(read_stderr(other[0]), "mpecho: Failed\n");
        process_run(choose,
                    &(Standard){ .in = one[1], .err = other[1], .names = -1, .stream = "1" });
        assert_string_equal(read_stderr(other[0]), "mpecho: Failed\n");
        close(null);
        for (int i = 0; i < 2; i++) {
                close(one[i]);
                close(other[i]);
        }
}

static void detach(void *fds) {
        const int *const one = fds;
        Journal *journal;

        assert_int_equal(dup2(one[0], STDIN_FILENO), STDIN_FILENO);
        assert_int_equal(dup2(one[1], STDERR_FILENO), STDERR_FILENO);
        journal = open_journal(LOG_TARGET_STDERR);
        write_record(journal, RECORD_FAILED);
        assert_int_equal(stdfds_detach(), 0);
        write_record(journal, RECORD_FAILED);
        journal_free(journal);
}

/* Lines go to the stderr of the start, also when something else takes its place; and none to a
 * client that is stderr, before that or afterwards. */
static void test_detached(void **state) {
        int one[2], other[2];

        (void)state;
        peer_pair(one);
        peer_pair(other);
        process_run(detach, (int[]){ one[1], other[1] });
        assert_string_equal(read_stderr(other[0]), "mpecho: Failed\nmpecho: Failed\n");
        process_run(detach, (int[]){ one[1], one[1] });
        close(one[1]);
        peer_expect_end(one[0]);
        close(one[0]);
        close(other[0]);
        close(other[1]);
}

/* Without memory or a socket there is no journal. */
static void test_nothing(void **state) {
        Journal *journal;

        (void)state;
        mmap_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, "/", &journal), -ENOMEM);
        socket_fault = (CallFault){ .error = EMFILE, .times = 1 };
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, "/", &journal), -EMFILE);
}

/* The socket has room for a burst, as much as this process may give to one. */
static void test_room(void **state) {
        const int room = 8 << 20;
        int fds[2], rooms[2];
        Journal *journal;

        (void)state;
        fds[0] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
        fds[1] = fcntl(fds[0], F_DUPFD, 0);
        close(fds[1]);
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, "/", &journal), 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &rooms[i],
                                            &(socklen_t){ sizeof rooms[i] }),
                                 0);
        assert_int_equal(rooms[0], rooms[1]);
        journal_free(journal);
        close(fds[0]);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, journald_set_up, journald_tear_down,        \
                                                 &journald)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_stderr), TEST(test_stream),  TEST(test_terminal), TEST(test_full_stderr),
                TEST(test_auto),   TEST(test_nothing), TEST(test_room),     TEST(test_detached),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
