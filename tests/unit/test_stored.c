/* What was left in systemd's store, taken by its name if it is what the name says. */

#include "stored.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager.h"
#include "pack.h"
#include "peer.h"
#include "unit.h"

static Stored stored;

static int set_up(void **state) {
        (void)state;
        stored = (Stored){ .roster = -1 };
        return stored_init(&stored, 4);
}

static int tear_down(void **state) {
        (void)state;
        stored_deinit(&stored);
        return 0;
}

static void expect_closed(int fd) {
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_int_equal(errno, EBADF);
}

/* Streams are taken as connections, over TCP and local ones, also when they have been reset or
 * their peer is gone. */
static void test_connections(void **state) {
        int tcp[2], local[2], cut[2];

        (void)state;
        peer_pair_tcp(tcp);
        peer_pair(local);
        peer_pair_tcp(cut);
        assert_int_equal(setsockopt(cut[0], SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                                    sizeof(struct linger)),
                         0);
        close(cut[0]);
        peer_expect_reset(cut[1]);
        close(local[0]);
        assert_true(stored_take(&stored, tcp[1], STORE_CONNECTION));
        assert_true(stored_take(&stored, local[1], STORE_CONNECTION));
        assert_true(stored_take(&stored, cut[1], STORE_CONNECTION));
        assert_int_equal(stored.n_connections, 3);
        assert_int_equal(stored.connections[0], tcp[1]);
        assert_int_equal(stored.connections[1], local[1]);
        assert_int_equal(stored.connections[2], cut[1]);
        assert_int_equal(stored.n_pendings, 0);
        assert_int_equal(stored.roster, -1);
        close(tcp[0]);
}

static void expect_refused(int fd, const char *name) {
        assert_true(fd >= 0);
        assert_false(stored_take(&stored, fd, name));
        assert_true(fcntl(fd, F_GETFD) >= 0);
        close(fd);
}

/* Of a pack all is taken that is what the name says; the rest is closed, and the pack as well. */
static void test_packs(void **state) {
        int pair[2], other[2], mixed[3], pendings[2], pack;

        (void)state;
        peer_pair_tcp(pair);
        peer_pair(other);
        mixed[0] = pair[1];
        mixed[1] = memfd_create("none", MFD_CLOEXEC);
        mixed[2] = other[1];
        pack = pack_new(mixed, 3);
        assert_true(stored_take(&stored, pack, STORE_CONNECTION));
        expect_closed(pack);
        for (size_t i = 0; i < 3; i++)
                close(mixed[i]);
        assert_int_equal(stored.n_connections, 2);
        assert_true(is_connection(stored.connections[0]));
        assert_true(is_connection(stored.connections[1]));
        pendings[0] = memfd_create("pending", MFD_CLOEXEC);
        pendings[1] = memfd_create("pending", MFD_CLOEXEC);
        assert_true(stored_take(&stored, pack_new(pendings, 2), STORE_PENDING));
        assert_int_equal(stored.n_pendings, 2);
        expect_refused(pack_new(pendings, 2), "stored");
        close(pendings[0]);
        close(pendings[1]);
        stored_deinit(&stored);
        peer_expect_end(pair[0]);
        peer_expect_end(other[0]);
        stored = (Stored){ .roster = -1 };
        close(pair[0]);
        close(other[0]);
}

/* What is no stream socket, or listens, is no connection; and what has no name of ours, or none at
 * all, is nothing. It stays the caller's. */
static void test_strangers(void **state) {
        int pair[2], listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        assert_int_equal(listen(listener, 1), 0);
        expect_refused(listener, STORE_CONNECTION);
        expect_refused(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), STORE_CONNECTION);
        expect_refused(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), STORE_CONNECTION);
        expect_refused(open("/dev/null", O_RDWR | O_CLOEXEC), STORE_CONNECTION);
        expect_refused(memfd_create("none", MFD_CLOEXEC), STORE_CONNECTION);
        peer_pair(pair);
        expect_refused(pair[0], NULL);
        expect_refused(pair[1], "mpecho-connections");
        expect_refused(memfd_create("none", MFD_CLOEXEC), "stored");
        assert_int_equal(stored.n_connections, 0);
        assert_int_equal(stored.n_pendings, 0);
        assert_int_equal(stored.roster, -1);
}

/* Whatever was left is closed, and the store is told to close it as well. */
static void test_forget(void **state) {
        int pair[2], pending = memfd_create("pending", MFD_CLOEXEC);
        int roster = memfd_create("roster", MFD_CLOEXEC);
        Manager manager;

        (void)state;
        manager_start(&manager);
        peer_pair(pair);
        assert_true(stored_take(&stored, pair[1], STORE_CONNECTION));
        assert_true(stored_take(&stored, pending, STORE_PENDING));
        assert_true(stored_take(&stored, roster, STORE_ROSTER));
        assert_int_equal(stored.pendings[0], pending);
        assert_int_equal(stored.roster, roster);
        /* There is one roster. */
        expect_refused(memfd_create("another", MFD_CLOEXEC), STORE_ROSTER);
        stored_forget(&stored);
        peer_expect_end(pair[0]);
        expect_closed(pair[1]);
        expect_closed(pending);
        expect_closed(roster);
        assert_int_equal(stored.n_connections, 0);
        assert_int_equal(stored.n_pendings, 0);
        assert_int_equal(stored.roster, -1);
        manager_expect(&manager, "FDSTOREREMOVE=1\nFDNAME=" STORE_CONNECTION, 0);
        manager_expect(&manager, "FDSTOREREMOVE=1\nFDNAME=" STORE_PENDING, 0);
        manager_expect(&manager, "FDSTOREREMOVE=1\nFDNAME=" STORE_ROSTER, 0);
        manager_stop(&manager);
        close(pair[0]);
}

/* Freeing closes here what was taken, and leaves the store alone. */
static void test_deinit(void **state) {
        Stored other = { .roster = -1 };
        Manager manager;
        int pair[2];

        (void)state;
        manager_start(&manager);
        assert_int_equal(stored_init(&other, 1), 0);
        peer_pair(pair);
        assert_true(stored_take(&other, pair[1], STORE_CONNECTION));
        stored_deinit(&other);
        expect_closed(pair[1]);
        manager_stop(&manager);
        close(pair[0]);
}

/* A connection is a stream socket that has a peer. */
static void test_is_connection(void **state) {
        int pair[2], other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        peer_pair_tcp(pair);
        assert_true(is_connection(pair[0]));
        assert_true(is_connection(pair[1]));
        assert_false(is_connection(other));
        assert_int_equal(listen(other, 1), 0);
        assert_false(is_connection(other));
        assert_false(is_connection(-1));
        close(other);
        other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_false(is_connection(other));
        close(other);
        close(pair[0]);
        close(pair[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connections, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_packs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_strangers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_forget, set_up, tear_down),
                cmocka_unit_test(test_deinit),
                cmocka_unit_test(test_is_connection),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
