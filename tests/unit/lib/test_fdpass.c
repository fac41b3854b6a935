/* SPDX-License-Identifier: MIT */
/* Descriptors that are passed over a Unix socket. */

#include "lib/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

/* Older headers lack it. */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

static int pair[2];

FAULT(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *message, int flags),
      (fd, message, flags))
FAULT(ssize_t, recvmsg, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))

static int set_up(void **state) {
        (void)state;
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state) {
        (void)state;
        close(pair[0]);
        close(pair[1]);
        return 0;
}

static ino_t file_of(int fd) {
        struct stat status;

        assert_int_equal(fstat(fd, &status), 0);
        return status.st_ino;
}

/* What is received is closed by execve(2), and the same files as were sent, in order. */
static void expect_received(const int *sent, int n, int flags) {
        int fds[FDPASS_MOST];
        FdpassNote note = {};

        assert_int_equal(fdpass_receive(pair[0], &note, fds, flags | MSG_DONTWAIT), n);
        assert_int_equal(note.size, 1);
        assert_int_equal(note.data[0], 'x');
        for (int i = 0; i < n; i++) {
                assert_int_equal(file_of(fds[i]), file_of(sent[i]));
                assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
                close(fds[i]);
        }
}

/* One descriptor, two, and as many as a message can hold come over. */
static void test_numbers(void **state) {
        int fds[FDPASS_MOST];
        const int numbers[] = { 1, 2, FDPASS_MOST };

        (void)state;
        for (size_t i = 0; i < COUNT(fds); i++)
                fds[i] = pair[i % 2];
        for (size_t i = 0; i < COUNT(numbers); i++) {
                assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, fds, (size_t)numbers[i], 0), 0);
                expect_received(fds, numbers[i], 0);
        }
}

/* A message that is only looked at stays there. */
static void test_peek(void **state) {
        (void)state;
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, pair, 2, 0), 0);
        expect_received(pair, 2, MSG_PEEK);
        expect_received(pair, 2, MSG_PEEK);
        expect_received(pair, 2, 0);
}

static void expect_none(int expected, size_t size, bool attested) {
        int fds[FDPASS_MOST];
        FdpassNote note = { .size = size, .attested = attested };

        assert_int_equal(fdpass_receive(pair[0], &note, fds, MSG_DONTWAIT), expected);
        assert_int_equal(note.size, size);
        assert_int_equal(note.attested, attested);
}

/* No message, one without descriptors, and the end are told apart. */
static void test_nothing(void **state) {
        (void)state;
        expect_none(-EAGAIN, 0, false);
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, NULL, 0, 0), 0);
        expect_none(0, 1, false);
        assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
        /* The end is not tried again, whatever a signal has interrupted before. */
        errno = EINTR;
        expect_none(0, 0, false);
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, pair, 2, 0), -EPIPE);
}

/* Of a message with more bytes than there is room for, the size is that of all. */
static void test_long(void **state) {
        static const char bytes[FDPASS_DATA + 1];

        (void)state;
        assert_int_equal(fdpass_send(pair[1], NULL, bytes, sizeof bytes, NULL, 0, 0), 0);
        expect_none(0, sizeof bytes, false);
}

/* Where the receiver wants that, each message names its sender, also beside descriptors and without
 * any byte; the end of the stream does not. */
static void test_attested(void **state) {
        int fds[FDPASS_MOST];
        FdpassNote note = {};

        (void)state;
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)), 0);
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, pair, 2, 0), 0);
        assert_int_equal(fdpass_receive(pair[0], &note, fds, MSG_DONTWAIT), 2);
        assert_true(note.attested);
        close(fds[0]);
        close(fds[1]);
        assert_int_equal(send(pair[1], "", 0, 0), 0);
        expect_none(0, 0, true);
        assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
        expect_none(0, 0, false);
}

/* So is that of another protocol: a datagram of UDP carries no descriptors. */
static void test_other_level(void **state) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t length = sizeof address;

        (void)state;
        assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &(int){ 1 }, sizeof(int)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, length), 1);
        peer_wait_readable(fd);
        assert_int_equal(fdpass_receive(fd, &(FdpassNote){ .size = 0 }, (int[FDPASS_MOST]){ 0 }, 0),
                         0);
        close(fd);
}

/* A signal in a call neither loses a message nor sends it twice. */
static void test_interrupted(void **state) {
        (void)state;
        sendmsg_fault = (CallFault){ .error = EINTR, .times = 2 };
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, pair, 2, 0), 0);
        recvmsg_fault = (CallFault){ .error = EINTR, .times = 2 };
        expect_received(pair, 2, 0);
        assert_int_equal(recvmsg_fault.times + sendmsg_fault.times, 0);
        expect_none(-EAGAIN, 0, false);
}

static void expect_lowest(int lowest) {
        const int fd = dup(STDIN_FILENO);

        assert_int_equal(fd, lowest);
        close(fd);
}

static void expect_no_room(void) {
        int fds[FDPASS_MOST];
        FdpassNote note = {};

        assert_int_equal(fdpass_receive(pair[0], &note, fds, MSG_PEEK), -EMFILE);
}

static void receive_too_many(void *data) {
        const int lowest = dup(STDIN_FILENO);

        (void)data;
        close(lowest);
        process_set_limit(RLIMIT_NOFILE, (rlim_t)lowest + 2);
        expect_no_room();
        expect_lowest(lowest);
        process_set_limit(RLIMIT_NOFILE, (rlim_t)lowest);
        expect_no_room();
}

/* When the process has room for some descriptors only, or for none, all that came are closed. */
static void test_no_room(void **state) {
        const int fds[] = { pair[0], pair[1], pair[0] };

        (void)state;
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, fds, 3, 0), 0);
        process_run(receive_too_many, NULL);
}

static void receive_without_sender(void *unused) {
        const int lowest = dup(STDIN_FILENO);

        (void)unused;
        close(lowest);
        process_set_limit(RLIMIT_NOFILE, (rlim_t)lowest);
        expect_none(0, 1, false);
}

/* The sender's own descriptor is closed. Where the process has no room for it, the kernel writes an
 * errno in its place, and the message comes all the same. */
static void test_sender_descriptor(void **state) {
        const int lowest = dup(STDIN_FILENO);

        (void)state;
        close(lowest);
        /* Linux before 6.5 has no such option. */
        (void)setsockopt(pair[0], SOL_SOCKET, SO_PASSPIDFD, &(int){ 1 }, sizeof(int));
        for (int i = 0; i < 2; i++)
                assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, NULL, 0, 0), 0);
        expect_none(0, 1, false);
        expect_lowest(lowest);
        process_run(receive_without_sender, NULL);
}

static const int extras[] = { SO_TIMESTAMPNS, SO_PASSCRED, SO_PASSPIDFD, SO_RXQ_OVFL };

/* Whatever else the sender has the kernel add to a message, all descriptors have room. */
static void test_extras(void **state) {
        int fds[FDPASS_MOST], received[FDPASS_MOST];
        FdpassNote note = {};

        (void)state;
        for (size_t i = 0; i < COUNT(extras); i++)
                (void)setsockopt(pair[0], SOL_SOCKET, extras[i], &(int){ 1 }, sizeof(int));
        for (size_t i = 0; i < COUNT(fds); i++)
                fds[i] = STDIN_FILENO;
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, fds, COUNT(fds), 0), 0);
        assert_int_equal(fdpass_receive(pair[0], &note, received, 0), COUNT(fds));
        for (size_t i = 0; i < COUNT(received); i++)
                close(received[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_peek, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_attested, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_sender_descriptor, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_extras, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_interrupted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
                cmocka_unit_test(test_other_level),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
