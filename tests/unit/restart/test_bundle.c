/* SPDX-License-Identifier: MIT */
/* A bundle holds descriptors, all of them, in order and unharmed, for as long as anybody has it. */

#include "restart/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"
#include "process.h"
#include "unit.h"

static ino_t inode(int fd) {
        struct stat status;

        assert_int_equal(fstat(fd, &status), 0);
        return status.st_ino;
}

/* One descriptor, and as many as a message carries, come out as often as the bundle is opened, with
 * FD_CLOEXEC; the originals may be closed. */
static void test_open(void **state) {
        static const size_t numbers[] = { 1, BUNDLE_MOST };

        (void)state;
        for (size_t i = 0; i < COUNT(numbers); i++) {
                const size_t n = numbers[i];
                int fds[BUNDLE_MOST], bundle;
                ino_t inodes[BUNDLE_MOST];

                for (size_t k = 0; k < n; k++) {
                        fds[k] = memfd_create("member", MFD_CLOEXEC);
                        inodes[k] = inode(fds[k]);
                }
                bundle = bundle_new(fds, n);
                assert_true(bundle >= 0);
                assert_int_equal(fcntl(bundle, F_GETFD), FD_CLOEXEC);
                for (int round = 0; round < 2; round++) {
                        for (size_t k = 0; k < n; k++)
                                close(fds[k]);
                        assert_int_equal(bundle_open(bundle, fds), n);
                        for (size_t k = 0; k < n; k++) {
                                assert_true(inode(fds[k]) == inodes[k]);
                                assert_int_equal(fcntl(fds[k], F_GETFD), FD_CLOEXEC);
                        }
                }
                for (size_t k = 0; k < n; k++)
                        close(fds[k]);
                close(bundle);
        }
}

/* A connection in a bundle is open until the last copy of the bundle is closed. */
static void test_close(void **state) {
        int pair[2], bundle, copy;

        (void)state;
        peer_pair(pair);
        bundle = bundle_new(&pair[1], 1);
        assert_true(bundle >= 0);
        close(pair[1]);
        copy = dup(bundle);
        close(bundle);
        assert_int_equal(send(pair[0], "x", 1, MSG_NOSIGNAL), 1);
        close(copy);
        assert_int_equal(send(pair[0], "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);
        close(pair[0]);
}

/* What does not exist cannot be bundled, and nothing is left open by that. */
static void test_nothing(void **state) {
        const int none = -1;
        int lowest = dup(STDIN_FILENO), now;

        (void)state;
        close(lowest);
        assert_int_equal(bundle_new(&none, 1), -EBADF);
        now = dup(STDIN_FILENO);
        close(now);
        assert_int_equal(now, lowest);
}

/* What is in a bundle comes out, and is not left open by mistake, when the sender's credentials
 * come with it as well, and when no byte was sent. */
static void test_unusual(void **state) {
        union {
                char room[CMSG_SPACE(sizeof(int))];
                struct cmsghdr alignment;
        } control = {};
        struct msghdr message = { .msg_control = control.room, .msg_controllen = sizeof control };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int fds[BUNDLE_MOST], pair[2], member = memfd_create("member", MFD_CLOEXEC);
        ino_t expected = inode(member);

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)), 0);
        *header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                    .cmsg_type = SCM_RIGHTS,
                                    .cmsg_len = CMSG_LEN(sizeof member) };
        memcpy(CMSG_DATA(header), &member, sizeof member);
        assert_int_equal(sendmsg(pair[1], &message, MSG_NOSIGNAL), 0);
        close(member);
        assert_int_equal(bundle_open(pair[0], fds), 1);
        assert_true(inode(fds[0]) == expected);
        close(fds[0]);
        close(pair[0]);
        close(pair[1]);
}

/* What is no bundle is told from one: no socket, one without a message, and a message without
 * descriptors. */
static void test_strangers(void **state) {
        int fds[BUNDLE_MOST], pair[2], other = memfd_create("none", MFD_CLOEXEC);

        (void)state;
        assert_int_equal(bundle_open(other, fds), -ENOTSOCK);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(bundle_open(pair[0], fds), -EAGAIN);
        assert_int_equal(send(pair[1], "x", 1, 0), 1);
        assert_int_equal(bundle_open(pair[0], fds), -EBADMSG);
        close(pair[1]);
        assert_int_equal(recv(pair[0], fds, 1, 0), 1);
        assert_int_equal(bundle_open(pair[0], fds), -EBADMSG);
        close(pair[0]);
        close(other);
}

static void open_without_room(void *data) {
        const int bundle = *(const int *)data, next = dup(STDIN_FILENO);
        int fds[BUNDLE_MOST];

        close(next);
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next + 1);
        assert_int_equal(bundle_open(bundle, fds), -EMFILE);
        assert_int_equal(bundle_new(&bundle, 1), -EMFILE);
        assert_int_equal(dup(STDIN_FILENO), next);
}

/* Without room for all descriptors, or for those of a new bundle, none stays open, and the bundle
 * keeps them. */
static void test_no_room(void **state) {
        int fds[BUNDLE_MOST], pair[2], bundle;

        (void)state;
        peer_pair(pair);
        bundle = bundle_new(pair, 2);
        process_run(open_without_room, &bundle);
        assert_int_equal(bundle_open(bundle, fds), 2);
        close(fds[0]);
        close(fds[1]);
        close(bundle);
        close(pair[0]);
        close(pair[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_open),      cmocka_unit_test(test_close),
                cmocka_unit_test(test_nothing),   cmocka_unit_test(test_unusual),
                cmocka_unit_test(test_strangers), cmocka_unit_test(test_no_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
