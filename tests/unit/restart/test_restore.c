/* SPDX-License-Identifier: MIT */
/* What earlier runs left in systemd's store: which connections are found there, how often, and with
 * what. */

#include "restart/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "lib/socket.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "restart/bundle.h"
#include "restart/unsent.h"
#include "seed.h"
#include "unit.h"

enum {
        ROOM = 8, /* for descriptors */
        MOST = 5, /* connections of a test */
        SLOTS = 8,
        ROUNDS = 3000,
};

FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))

static Restore restore;
static int lowest; /* the descriptor that is free before and after a test */
static int peers[MOST], fds[MOST];
static uint64_t cookies[MOST];

static int set_up(void **state) {
        (void)state;
        lowest = dup(STDIN_FILENO);
        close(lowest);
        for (size_t i = 0; i < MOST; i++) {
                int pair[2];

                peer_pair(pair);
                peers[i] = pair[0];
                fds[i] = pair[1];
                cookies[i] = socket_cookie(fds[i]);
        }
        return restore_init(&restore, ROOM);
}

static int tear_down(void **state) {
        int next;

        (void)state;
        restore_deinit(&restore);
        for (size_t i = 0; i < MOST; i++) {
                close(peers[i]);
                if (fds[i] >= 0)
                        close(fds[i]);
        }
        next = dup(STDIN_FILENO);
        close(next);
        assert_int_equal(next, lowest);
        return 0;
}

static void pass(int fd, const char *name) {
        assert_true(fd >= 0);
        assert_true(restore_take(&restore, fd, name));
}

/* Passes the test's connection @i, alone in a bundle, with unsent bytes unless @text is NULL. */
static void pass_connection(size_t i, const char *name, const char *text) {
        int both[2] = { fds[i], -1 };

        if (text != NULL)
                both[1] = unsent_new(text, strlen(text));
        pass(bundle_new(both, text != NULL ? 2 : 1), name);
        if (text != NULL)
                close(both[1]);
}

/* A ledger that has the first @n connections, each in the slot of its number. */
static Ledger *new_ledger(size_t n) {
        Ledger *ledger;

        assert_int_equal(ledger_new(SLOTS, 1000, &ledger), 0);
        for (uint32_t i = 0; i < n; i++) {
                ledger_facts(ledger, i)->cookie = cookies[i];
                ledger_entry(ledger, i)->bytes = 100 + i;
        }
        return ledger;
}

static void pass_ledger(Ledger *ledger, const char *name) {
        pass(ledger_take_bundle(ledger), name);
        ledger_free(ledger);
}

static void prepare(void) {
        assert_int_equal(restore_prepare(&restore), 0);
}

/* The next connection is the test's connection @i with @text, or NULL, as unsent bytes. */
static RestoredConnection expect(size_t i, const char *text) {
        RestoredConnection connection;
        char back[64];

        assert_true(restore_next(&restore, &connection));
        assert_true(socket_cookie(connection.fd) == cookies[i]);
        assert_int_equal(connection.unsent >= 0, text != NULL);
        if (text != NULL) {
                assert_int_equal(pread(connection.unsent, back, sizeof back, 0), strlen(text));
                assert_memory_equal(back, text, strlen(text));
        }
        return connection;
}

static void expect_served(size_t i, const char *text) {
        const RestoredConnection connection = expect(i, text);

        assert_false(connection.skip);
        assert_false(connection.ended);
}

static void expect_skipped(size_t i, bool ended) {
        RestoredConnection connection;

        assert_true(restore_next(&restore, &connection));
        assert_true(socket_cookie(connection.fd) == cookies[i]);
        assert_true(connection.skip);
        assert_int_equal(connection.ended, ended);
}

static void expect_no_more(void) {
        RestoredConnection connection;

        assert_false(restore_next(&restore, &connection));
}

/* When nothing was passed, this is the first run. */
static void test_nothing(void **state) {
        (void)state;
        prepare();
        assert_int_equal(restore.run, 1);
        assert_int_equal(restore.n_found, 0);
        assert_null(restore.ledger);
        assert_false(restore.ledger_lost);
        expect_no_more();
        expect_no_more();
}

/* The connections come in the same order each time, newest run first, and this run's number is
 * larger than all others. */
static void test_order(void **state) {
        (void)state;
        pass(bundle_new((int[]){ fds[0], fds[1] }, 2), "mpecho-connection.2");
        pass_connection(2, "mpecho-connection.12", NULL);
        pass_connection(3, "mpecho-connection.3", NULL);
        assert_int_equal(restore.n_found, 4);
        prepare();
        assert_int_equal(restore.run, 13);
        for (int pass = 0; pass < 3; pass++) {
                static const size_t order[] = { 2, 3, 0, 1 };

                for (uint32_t i = 0; i < COUNT(order); i++) {
                        const RestoredConnection connection = expect(order[i], NULL);

                        assert_int_equal(connection.index, i);
                        assert_false(connection.skip);
                        assert_null(connection.facts);
                        assert_null(connection.entry);
                }
                expect_no_more();
        }
}

/* A run that has stored its ledger only counts as well. */
static void test_run_of_ledger(void **state) {
        (void)state;
        pass_connection(0, "mpecho-connection.4", NULL);
        pass_ledger(new_ledger(1), "mpecho-ledger.6");
        prepare();
        assert_int_equal(restore.run, 7);
        assert_int_equal(restore.ledger_run, 6);
}

/* No run has the last number of all: none could follow. The one before has a successor. */
static void test_last_run(void **state) {
        Ledger *ledger = new_ledger(0);
        const int bundle = ledger_take_bundle(ledger);

        (void)state;
        assert_false(restore_take(&restore, bundle, "mpecho-ledger.999999999999"));
        assert_true(restore_take(&restore, bundle, "mpecho-ledger.999999999998"));
        ledger_free(ledger);
        restore_note(&restore, "mpecho-connection.999999999999");
        prepare();
        assert_int_equal(restore.run, 999999999999);
}

/* All names of a later run than the newest ledger's leave the store at once, whatever they promise,
 * and this run's number follows the ledger's. */
static void test_later_runs(void **state) {
        Manager manager;
        const char *name;
        int fd;

        (void)state;
        manager_start(&manager);
        pass_connection(0, "mpecho-connection.6", NULL);
        pass_connection(1, "h.7.1", NULL);
        pass_ledger(new_ledger(3), "mpecho-ledger.6");
        pass_connection(2, "mpecho-connection.5", NULL);
        restore_note(&restore, "mpecho-connection.7");
        pass(memfd_create("none", MFD_CLOEXEC), "mpecho-ledger.7");
        assert_true(restore_reject(&restore, &fd, &name));
        assert_string_equal(name, "mpecho-ledger.7");
        close(fd);
        assert_true(restore_reject(&restore, &fd, &name));
        assert_string_equal(name, "h.7.1");
        close(fd);
        assert_false(restore_reject(&restore, &fd, &name));
        manager_expect_removed(&manager, "mpecho-ledger.7");
        manager_expect_removed(&manager, "mpecho-connection.7");
        manager_expect_removed(&manager, "h.7.1");
        manager_stop(&manager);
        prepare();
        assert_int_equal(restore.run, 7);
        assert_int_equal(restore.n_found, 2);
        expect_served(0, NULL);
        expect_served(2, NULL);
        expect_no_more();
}

/* Without a ledger, no run is too late. */
static void test_no_ledger(void **state) {
        const char *name;
        int fd;

        (void)state;
        pass_connection(0, "mpecho-connection.7", NULL);
        pass(memfd_create("none", MFD_CLOEXEC), "mpecho-ledger.6");
        assert_false(restore_reject(&restore, &fd, &name));
        prepare();
        assert_int_equal(restore.run, 8);
        expect_served(0, NULL);
        expect_no_more();
}

/* Unsent bytes are those directly behind a connection in its bundle. */
static void test_unsent(void **state) {
        const int one = unsent_new("one", 3), two = unsent_new("two", 3);

        (void)state;
        pass(bundle_new((int[]){ one, fds[0], fds[1], one, two, fds[2], fds[3], two }, 8),
             "mpecho-connection.1");
        assert_int_equal(restore.n_found, 4);
        prepare();
        for (int pass = 0; pass < 2; pass++) {
                expect_served(0, NULL);
                expect_served(1, "one");
                expect_served(2, NULL);
                expect_served(3, "two");
                expect_no_more();
        }
        close(one);
        close(two);
}

/* A connection that is there several times is served once, from the newest run, with what that run
 * has of it. */
static void test_duplicates(void **state) {
        (void)state;
        pass_connection(0, "mpecho-connection.2", "old");
        pass_connection(0, "mpecho-connection.3", "new");
        pass_connection(1, "mpecho-connection.3", NULL);
        pass(bundle_new((int[]){ fds[1], fds[1] }, 2), "mpecho-connection.1");
        pass_ledger(new_ledger(2), "mpecho-ledger.3");
        prepare();
        for (int pass = 0; pass < 2; pass++) {
                RestoredConnection connection;
                bool served[2] = {};

                for (int i = 0; i < 2; i++) {
                        assert_true(restore_next(&restore, &connection));
                        assert_false(connection.skip);
                        served[socket_cookie(connection.fd) == cookies[1]] = true;
                        if (socket_cookie(connection.fd) == cookies[0])
                                assert_int_equal(pread(connection.unsent, &(char){ 0 }, 1, 0), 1);
                }
                assert_true(served[0] && served[1]);
                expect_skipped(0, false);
                expect_skipped(1, false);
                expect_skipped(1, false);
                expect_no_more();
        }
        assert_int_equal(restore.n_ended, 0);
}

/* A run that was killed while it restored leaves older bundles: of their connections those are
 * served that it had not begun to serve, or has stored again. */
static void test_killed_run(void **state) {
        Ledger *ledger = new_ledger(3);
        RestoredConnection connection;

        (void)state;
        /* 0: not begun. 1: begun. 2: begun and stored again. 3: ended, so the ledger has it not. */
        ledger_facts(ledger, 1)->begun = 1;
        ledger_facts(ledger, 2)->begun = 1;
        /* Whatever handlers have written. */
        memset((char *)ledger_entry(ledger, 0) + sizeof(uint64_t), 0xff,
               sizeof(LedgerEntry) - sizeof(uint64_t));
        pass(bundle_new((int[]){ fds[0], fds[1], fds[2], fds[3] }, 4), "mpecho-connection.1");
        pass_ledger(new_ledger(4), "mpecho-ledger.1");
        pass_connection(2, "mpecho-connection.2", "new");
        pass_ledger(ledger, "mpecho-ledger.2");
        prepare();
        connection = expect(2, "new");
        assert_false(connection.skip);
        assert_int_equal(connection.entry->bytes, 102);
        connection = expect(0, NULL);
        assert_false(connection.skip);
        assert_int_equal(connection.facts->cookie, cookies[0]);
        assert_int_equal(connection.entry->bytes, 100);
        expect_skipped(1, true);
        expect_skipped(2, false);
        expect_skipped(3, false);
        expect_no_more();
        assert_int_equal(restore.n_ended, 1);
        assert_int_equal(restore.ended[0], 1);
}

/* What a run has begun to serve and stored itself is served, with its facts. An entry without a
 * connection in any bundle is of one that ended. */
static void test_entries(void **state) {
        Ledger *ledger = new_ledger(3);
        RestoredConnection connection;

        (void)state;
        for (uint32_t i = 0; i < 3; i++)
                ledger_facts(ledger, i)->begun = 1;
        pass_ledger(ledger, "mpecho-ledger.5");
        pass(bundle_new((int[]){ fds[3], fds[1] }, 2), "mpecho-connection.5");
        prepare();
        /* Logged while its run lived. */
        expect_skipped(3, false);
        connection = expect(1, NULL);
        assert_false(connection.skip);
        assert_int_equal(connection.facts->cookie, cookies[1]);
        assert_int_equal(connection.entry->bytes, 101);
        expect_no_more();
        assert_int_equal(restore.n_ended, 2);
        assert_int_equal(restore.ended[0], 0);
        assert_int_equal(restore.ended[1], 2);
}

/* The newest ledger counts, in whichever order they are passed, and one that cannot be read does
 * not take its place. */
static void test_ledgers(void **state) {
        static const char *const names[][3] = {
                { "mpecho-ledger.1", "mpecho-ledger.10", "mpecho-ledger.9" },
                { "mpecho-ledger.10", "mpecho-ledger.9", "mpecho-ledger.1" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(names); i++) {
                for (size_t k = 0; k < COUNT(names[i]); k++)
                        pass_ledger(new_ledger(strlen(names[i][k]) - strlen("mpecho-ledger")),
                                    names[i][k]);
                assert_int_equal(restore.ledger_run, 10);
                assert_int_equal(ledger_facts(restore.ledger, 2)->cookie, cookies[2]);
                assert_false(restore.ledger_lost);
                pass(memfd_create("none", MFD_CLOEXEC), "mpecho-ledger.11");
                assert_true(restore.ledger_lost);
                assert_int_equal(restore.ledger_run, 10);
                restore_deinit(&restore);
                assert_int_equal(restore_init(&restore, ROOM), 0);
        }
}

/* A memfd as mpecho 0.1.0 stored unsent bytes: behind the cookie of their connection. */
static int old_unsent(uint64_t cookie, const char *text) {
        const int fd = memfd_create("mpecho-pending", MFD_CLOEXEC);

        assert_int_equal(write(fd, &cookie, sizeof cookie), sizeof cookie);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return fd;
}

/* What mpecho 0.1.0 stored is restored: connections one by one or in bundles, each with its unsent
 * bytes, in whichever order. Its counts are lost. */
static void test_old(void **state) {
        const int several[] = { old_unsent(cookies[2], "two"), old_unsent(cookies[1], "one") };

        (void)state;
        pass(bundle_new(several, 2), "mpecho-pending");
        pass(dup(fds[0]), "mpecho-connection");
        pass(bundle_new((int[]){ fds[1], fds[2] }, 2), "mpecho-connection");
        pass(dup(fds[3]), "mpecho-connection");
        pass(old_unsent(cookies[3], "three"), "mpecho-pending");
        pass(memfd_create("roster", MFD_CLOEXEC), "mpecho-roster-other");
        assert_int_equal(restore.n_found, 4);
        assert_true(restore.ledger_lost);
        prepare();
        assert_int_equal(restore.run, 1);
        for (int pass = 0; pass < 2; pass++) {
                bool served[MOST] = {};

                for (int n = 0; n < 4; n++) {
                        static const char *const texts[] = { NULL, "one", "two", "three" };
                        RestoredConnection connection;
                        char back[8] = "";
                        size_t i = 0;

                        assert_true(restore_next(&restore, &connection));
                        assert_false(connection.skip);
                        while (cookies[i] != socket_cookie(connection.fd))
                                i++;
                        assert_false(served[i]);
                        served[i] = true;
                        assert_int_equal(connection.unsent >= 0, texts[i] != NULL);
                        if (texts[i] == NULL)
                                continue;
                        assert_true(pread(connection.unsent, back, sizeof back - 1, 0) > 0);
                        assert_string_equal(back, texts[i]);
                }
                expect_no_more();
        }
        close(several[0]);
        close(several[1]);
}

static void read_old_without_room(void *unused) {
        RestoredConnection connection;
        const int next = dup(STDIN_FILENO);

        (void)unused;
        prepare();
        close(next);
        /* For the duplicate of the connection alone. */
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next + 1);
        assert_true(restore_next(&restore, &connection));
        assert_true(socket_cookie(connection.fd) == cookies[0]);
        assert_true(connection.unsent >= 0);
        assert_false(unsent_is_file(connection.unsent));
        expect_no_more();
}

/* Where the unsent bytes of mpecho 0.1.0 do not come back, their connection has something else that
 * its handler finds no bytes in. */
static void test_old_no_room(void **state) {
        (void)state;
        pass(dup(fds[0]), "mpecho-connection");
        pass(old_unsent(cookies[0], "zero"), "mpecho-pending");
        process_run(read_old_without_room, NULL);
}

/* Bytes that are matched by a cookie reach connections of mpecho 0.1.0 alone. */
static void test_old_unsent_only(void **state) {
        (void)state;
        pass_connection(0, "mpecho-connection.1", NULL);
        pass(old_unsent(cookies[0], "forged"), "mpecho-pending");
        prepare();
        expect_served(0, NULL);
        expect_no_more();
}

/* Exactly the names that were taken or noted are removed, each once, and everything is closed here.
 */
static void test_forget(void **state) {
        int others[4 * MOST];
        Manager manager;

        (void)state;
        manager_start(&manager);
        pass_connection(0, "mpecho-connection.12", NULL);
        pass_connection(1, "mpecho-connection.9", NULL);
        pass(dup(fds[2]), "mpecho-connection");
        pass_connection(3, "mpecho-connection.12", NULL);
        pass_ledger(new_ledger(1), "mpecho-ledger.12");
        assert_false(restore_take(&restore, STDIN_FILENO, "mpecho-connection.13"));
        assert_false(restore_take(&restore, STDIN_FILENO, "stored"));
        restore_note(&restore, "stored");
        prepare();
        expect_served(3 * (size_t)(socket_cookie(fds[0]) == 0), NULL);
        restore_forget(&restore);
        manager_expect_removed(&manager, "mpecho-connection.12");
        manager_expect_removed(&manager, "mpecho-connection.9");
        manager_expect_removed(&manager, "mpecho-connection");
        manager_expect_removed(&manager, "stored");
        manager_expect_removed(&manager, "mpecho-ledger.12");
        manager_stop(&manager);
        for (size_t i = 0; i < MOST; i++) {
                close(fds[i]);
                fds[i] = -1;
                peer_expect_end(peers[i]);
        }
        assert_null(restore.ledger);
        /* Whoever has the numbers of the closed descriptors by now keeps them. */
        for (size_t i = 0; i < COUNT(others); i++)
                others[i] = dup(STDIN_FILENO);
        restore_forget(&restore);
        for (size_t i = 0; i < COUNT(others); i++)
                assert_int_equal(close(others[i]), 0);
}

/* Freeing closes here what was taken, and leaves the store alone. */
static void test_deinit(void **state) {
        Manager manager;

        (void)state;
        manager_start(&manager);
        pass_connection(0, "mpecho-connection.1", "x");
        prepare();
        expect_served(0, "x");
        close(fds[0]);
        fds[0] = -1;
        restore_deinit(&restore);
        peer_expect_end(peers[0]);
        restore_deinit(&restore);
        manager_stop(&manager);
}

static void set_limit(rlim_t limit) {
        struct rlimit now;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
        now.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void read_without_room(void *unused) {
        RestoredConnection connection;
        const int next = dup(STDIN_FILENO);

        (void)unused;
        prepare();
        close(next);
        set_limit((rlim_t)next + 1);
        /* Room for one. */
        for (uint32_t i = 0; i < 3; i++) {
                assert_true(restore_next(&restore, &connection));
                assert_int_equal(connection.index, i);
                assert_int_equal(connection.fd >= 0, i == 0);
                assert_int_equal(connection.unsent, -1);
                assert_false(connection.skip);
        }
        expect_no_more();
        set_limit(256);
        expect_served(2, NULL);
        expect_served(0, NULL);
        expect_served(1, "one");
        expect_no_more();
}

/* A bundle for which the machine has no room has as many connections as ever, without descriptors;
 * nothing is left open then. */
static void test_no_room(void **state) {
        const int unsent = unsent_new("one", 3);

        (void)state;
        pass_connection(2, "mpecho-connection.2", NULL);
        pass(bundle_new((int[]){ fds[0], fds[1], unsent }, 3), "mpecho-connection.1");
        close(unsent);
        process_run(read_without_room, NULL);
}

/* A connection that was dropped is skipped from then on, and no other. */
static void test_drop(void **state) {
        (void)state;
        pass(bundle_new(fds, 3), "mpecho-connection.1");
        prepare();
        expect_served(0, NULL);
        expect_served(1, NULL);
        restore_drop(&restore);
        expect_served(2, NULL);
        expect_no_more();
        expect_served(0, NULL);
        expect_skipped(1, false);
        expect_served(2, NULL);
        expect_no_more();
}

/* A connection that was reset in the store is found, so that its end is recorded. */
static void test_reset(void **state) {
        RestoredConnection connection;
        int pair[2];

        (void)state;
        peer_pair_tcp(pair);
        socket_set_reset(pair[0]);
        close(pair[0]);
        peer_expect_reset(pair[1]);
        pass(bundle_new(&pair[1], 1), "mpecho-connection.1");
        prepare();
        assert_true(restore_next(&restore, &connection));
        assert_true(socket_cookie(connection.fd) == socket_cookie(pair[1]));
        assert_false(connection.skip);
        close(pair[1]);
}

static void expect_stranger(int fd, const char *name) {
        assert_true(fd >= 0);
        assert_false(restore_take(&restore, fd, name));
        assert_true(fcntl(fd, F_GETFD) >= 0);
        close(fd);
}

/* What is not what its name promises, or has no name of ours, is not taken, nor what there is no
 * room for. */
static void test_strangers(void **state) {
        (void)state;
        expect_stranger(dup(fds[0]), "mpecho-connection.1");
        expect_stranger(memfd_create("none", MFD_CLOEXEC), "mpecho-connection.1");
        expect_stranger(memfd_create("none", MFD_CLOEXEC), "mpecho-connection");
        expect_stranger(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "mpecho-connection.1");
        expect_stranger(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "mpecho-connection");
        expect_stranger(dup(fds[0]), "mpecho-pending");
        expect_stranger(open("/dev/null", O_RDWR | O_CLOEXEC), "mpecho-pending");
        expect_stranger(bundle_new(fds, 1), NULL);
        expect_stranger(bundle_new(fds, 1), "mpecho-connections");
        expect_stranger(bundle_new(fds, 1), "mpecho-connection.0");
        for (int i = 0; i < ROOM; i++)
                pass_connection(0, "mpecho-connection.1", NULL);
        expect_stranger(bundle_new(fds, 1), "mpecho-connection.1");
        assert_int_equal(restore.n_found, ROOM);
        restore_note(&restore, "stored");
        assert_int_equal(restore.n, ROOM);
}

static void prepare_without(void *after) {
        mmap_fault = (CallFault){ .error = ENOMEM, .after = *(const int *)after, .times = 1 };
        assert_int_equal(restore_prepare(&restore), -ENOMEM);
        assert_int_equal(mmap_fault.times, 0);
}

/* Without memory for what it finds or for its table, nothing is restored. */
static void test_no_memory(void **state) {
        (void)state;
        pass_connection(0, "mpecho-connection.1", NULL);
        for (int after = 0; after < 2; after++)
                process_run(prepare_without, &after);
}

/* Any descriptor. */
static int open_anything(void) {
        int fd;

        switch (random() % 9) {
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

/* Passes any descriptor, or a bundle of some, by any name. */
static void pass_anything(void) {
        static const char *const names[] = { "mpecho-connection.1",
                                             "mpecho-connection.2",
                                             "mpecho-ledger.1",
                                             "mpecho-connection",
                                             "mpecho-pending",
                                             "mpecho-roster",
                                             "stored",
                                             NULL };
        const char *name = names[random() % (long)COUNT(names)];
        const uint32_t found = restore.n_found;
        const bool bundled = random() % 2 == 0;
        uint32_t n = 1 + (uint32_t)random() % 4, streams = 0;
        int some[4], fd;

        if (!bundled)
                n = 1;
        for (uint32_t i = 0; i < n; i++) {
                some[i] = open_anything();
                assert_true(some[i] >= 0);
                streams += socket_is_stream(some[i]);
        }
        fd = bundled ? bundle_new(some, n) : some[0];
        for (uint32_t i = 0; bundled && i < n; i++)
                close(some[i]);
        if (restore_take(&restore, fd, name)) {
                const bool connections = strncmp(name, "mpecho-connection", 17) == 0;

                assert_int_equal(restore.n_found - found, connections ? streams : 0);
        } else {
                assert_int_equal(restore.n_found, found);
                close(fd);
        }
}

/* Whatever is passed by whatever name, as many connections come as were found, none of them twice,
 * and nothing is left open. */
static void test_anything(void **state) {
        (void)state;
        (void)seed_choose();
        for (int i = 0; i < ROUNDS; i++) {
                RestoredConnection connection;
                uint32_t n = 0;

                for (int k = 0; k < ROOM; k++)
                        pass_anything();
                prepare();
                while (restore_next(&restore, &connection)) {
                        assert_int_equal(connection.index, n++);
                        assert_true(socket_is_stream(connection.fd));
                        assert_false(connection.skip);
                }
                assert_int_equal(n, restore.n_found);
                restore_deinit(&restore);
                assert_int_equal(restore_init(&restore, ROOM), 0);
        }
}

/* What stands behind a connection is its unsent bytes, even if they cannot be read: its handler
 * resets it then. */
static void test_not_a_file(void **state) {
        RestoredConnection connection;

        (void)state;
        pass(bundle_new((int[]){ fds[0], STDIN_FILENO, fds[1] }, 3), "mpecho-connection.1");
        prepare();
        assert_true(restore_next(&restore, &connection));
        assert_true(socket_cookie(connection.fd) == cookies[0]);
        assert_true(connection.unsent >= 0);
        expect_served(1, NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_nothing),       TEST(test_no_memory),       TEST(test_order),
                TEST(test_run_of_ledger), TEST(test_unsent),          TEST(test_duplicates),
                TEST(test_killed_run),    TEST(test_entries),         TEST(test_ledgers),
                TEST(test_old),           TEST(test_old_unsent_only), TEST(test_old_no_room),
                TEST(test_forget),        TEST(test_deinit),          TEST(test_no_room),
                TEST(test_drop),          TEST(test_reset),           TEST(test_strangers),
                TEST(test_anything),      TEST(test_last_run),        TEST(test_later_runs),
                TEST(test_no_ledger),     TEST(test_not_a_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
