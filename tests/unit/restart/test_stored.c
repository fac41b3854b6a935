/* SPDX-License-Identifier: MIT */
/* What was left in systemd's store, taken by its name if it is what the name says. */

#include "restart/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager.h"
#include "peer.h"
#include "restart/bundle.h"
#include "seed.h"
#include "server/backoff.h"
#include "unit.h"

enum {
        ROUNDS = 10000,
};

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

/* A descriptor of a random kind. Tells whether it is a stream socket that does not listen. */
static int open_anything(bool *ret_stream) {
        const int kind = (int)(random() % 9);
        int fd;

        *ret_stream = kind < 2;
        switch (kind) {
        case 0:
                return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        case 1:
                return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        case 2:
                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(listen(fd, 1), 0);
                return fd;
        case 3:
                return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        case 4:
                return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        case 5:
                return open("/dev/null", O_RDWR | O_CLOEXEC);
        case 6:
                return open("/", O_PATH | O_CLOEXEC);
        case 7:
                return eventfd(0, EFD_CLOEXEC);
        default:
                return memfd_create("anything", MFD_CLOEXEC);
        }
}

/* A descriptor, and what it stands for. */
typedef struct Thing {
        int fd;
        bool pack;
        uint32_t n; /* of descriptors: itself, or those in the pack */
        uint32_t n_streams;
} Thing;

/* Any descriptor, or a pack of a few. */
static Thing make_thing(void) {
        Thing thing = { .pack = random() % 4 == 0, .n = 1 };
        int fds[4];

        if (thing.pack)
                thing.n += (uint32_t)random() % COUNT(fds);
        for (uint32_t i = 0; i < thing.n; i++) {
                bool stream;

                fds[i] = open_anything(&stream);
                assert_true(fds[i] >= 0);
                thing.n_streams += stream;
        }
        thing.fd = thing.pack ? pack_new(fds, thing.n) : fds[0];
        for (uint32_t i = 0; thing.pack && i < thing.n; i++)
                close(fds[i]);
        return thing;
}

/* Stores a thing by any name, and checks what becomes of it. */
static void store_anything(void) {
        static const char *const names[] = { STORE_CONNECTION, STORE_PENDING, STORE_ROSTER };
        const Thing thing = make_thing();
        const uint32_t connections = stored.n_connections, pendings = stored.n_pendings;
        const long known = random() % 5;
        char random_name[8] = "";
        const char *name = known < 3 ? names[known] : known == 3 ? random_name : NULL;
        bool right = known == 1 || (known == 0 && (thing.pack || thing.n_streams > 0)) ||
                     (known == 2 && stored.roster < 0);

        seed_fill(random_name, sizeof random_name - 1);
        assert_int_equal(stored_take(&stored, thing.fd, name), right);
        assert_int_equal(stored.n_connections - connections, known == 0 ? thing.n_streams : 0);
        assert_int_equal(stored.n_pendings - pendings, known == 1 ? thing.n : 0);
        if (thing.pack && known < 2)
                expect_closed(thing.fd);
        else
                assert_true(fcntl(thing.fd, F_GETFD) >= 0);
        if (!right)
                close(thing.fd);
}

/* Of any descriptors by any names, in packs or not, those are taken that have a name of ours, and
 * as connections stream sockets only; there is one roster. All others stay the caller's, and none
 * is left open. */
static void test_anything(void **state) {
        int lowest = dup(STDIN_FILENO), now;

        (void)state;
        close(lowest);
        (void)seed_choose();
        for (int i = 0; i < ROUNDS; i++) {
                store_anything();
                if (stored.n_connections + stored.n_pendings < 4)
                        continue;
                stored_deinit(&stored);
                now = dup(STDIN_FILENO);
                close(now);
                assert_int_equal(now, lowest);
                assert_int_equal(set_up(NULL), 0);
        }
}

/* Whatever was left is closed, and the store is told to close connections and what is pending. */
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
        manager_stop(&manager);
        close(pair[0]);
}

/* Rosters have one name and the other in turn; one of either name is taken. */
static void test_replace_roster(void **state) {
        int fd = memfd_create("roster", MFD_CLOEXEC);
        Manager manager;

        (void)state;
        manager_start(&manager);
        stored_replace_roster(&stored, fd);
        manager_expect_roster(&manager, false);
        assert_true(stored_take(&stored, memfd_create("old", MFD_CLOEXEC), STORE_ROSTER));
        stored_replace_roster(&stored, fd);
        manager_expect_roster(&manager, true);
        stored_deinit(&stored);
        stored = (Stored){ .roster = -1 };
        assert_true(stored_take(&stored, memfd_create("old", MFD_CLOEXEC), STORE_ROSTER_OTHER));
        stored_replace_roster(&stored, fd);
        manager_expect_roster(&manager, false);
        manager_stop(&manager);
        close(fd);
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

/* A connection is a stream socket that does not listen, also after its peer has reset it. */
static void test_is_connection(void **state) {
        int pair[2], other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        peer_pair_tcp(pair);
        assert_true(is_connection(pair[0]));
        assert_true(is_connection(pair[1]));
        connection_reset(pair[0]);
        peer_wait_readable(pair[1]);
        assert_true(is_connection(pair[1]));
        assert_int_equal(listen(other, 1), 0);
        assert_false(is_connection(other));
        assert_false(is_connection(-1));
        close(other);
        other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_false(is_connection(other));
        close(other);
        close(pair[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connections, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_packs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_strangers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_anything, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_forget, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_replace_roster, set_up, tear_down),
                cmocka_unit_test(test_deinit),
                cmocka_unit_test(test_is_connection),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
