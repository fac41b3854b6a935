/* SPDX-License-Identifier: MIT */
/* Whatever ledger systemd's store has, by whatever name, it is refused, or its connections and its
 * counts are taken over, each once and none from the future; and what is logged of it is text.
 *
 * The first byte of an input chooses the scene. A name follows where that says so, its length in
 * front. The rest is the ledger: the counts and then each slot, its entry before its facts; or, in
 * a raw scene, the two files as they are. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "fuzz.h"
#include "handler/fork.h"
#include "lib/clock.h"
#include "lib/socket.h"
#include "restart/bundle.h"
#include "restart/fdstore.h"
#include "restart/restore.h"
#include "server/account.h"
#include "server/takeover.h"

enum {
        CONNECTIONS_MOST = 3,
        MOST = 2, /* --max-connections */
        SLOTS_MOST = 64,
        COUNTS = 5,
        /* Beyond any that the kernel gives (PID_MAX_LIMIT): a signal sent there hits nobody. */
        FIRST_PID = 1 << 22,
};

/* The bits of an input's first byte. */
enum {
        SCENE_CONNECTIONS = 3, /* how many were stored */
        SCENE_NO_FORK = 4,     /* they get no handlers */
        SCENE_NO_SEALS = 8,    /* somebody else could change the size of the files */
        SCENE_RAW = 16,        /* the two files are halves of the input */
        SCENE_OLDER = 32,      /* the connections are of an earlier run than the ledger */
        SCENE_NAME = 64,       /* the ledger has another name */
};

typedef struct Scene {
        uint8_t choice;
        int n_connections;
        int clients[CONNECTIONS_MOST];
        uint64_t cookies[CONNECTIONS_MOST];
        char name[FDSTORE_NAME_SIZE];
        Restore restore;
        bool taken; /* the ledger has a name of its kind */
} Scene;

/* What is to be of the connections and counts. */
typedef struct Expected {
        LedgerCounts counts;
        unsigned n_records;
        uint32_t live;
        uint64_t live_bytes;
} Expected;

static bool forks;
static pid_t last_pid;
static unsigned n_records;

/* In place of the module's: the master believes that it has handlers, and nobody is one. */
pid_t fork_child(pid_t *noted) {
        if (!forks)
                return -EAGAIN;
        *noted = ++last_pid;
        return last_pid;
}

void fork_prepare(void) {
}

void fork_unblock_signals(void) {
}

/* In place of the C library's, for the journal: records are lines of text. */
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *name,
               socklen_t length) {
        const char *text = data;

        (void)fd;
        (void)flags;
        (void)name;
        (void)length;
        FUZZ_CHECK(size > 0 && text[size - 1] == '\n');
        for (size_t i = 0; i < size; i++)
                FUZZ_CHECK(text[i] == '\n' || (unsigned char)text[i] >= ' ');
        n_records++;
        return (ssize_t)size;
}

static size_t smaller(size_t one, size_t other) {
        return one < other ? one : other;
}

/* Takes up to @most bytes off the front of @data to @room. */
static void take(void *room, size_t most, const uint8_t **data, size_t *size) {
        const size_t n = smaller(most, *size);

        if (n > 0)
                memcpy(room, *data, n);
        *data += n;
        *size -= n;
}

static int file_new(const void *data, size_t size) {
        const int fd = memfd_create("fuzz-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        FUZZ_CHECK(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
        return fd;
}

static void file_seal(int fd) {
        FUZZ_CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
}

static int bundle_two(int one, int other) {
        const int bundle = bundle_new((int[]){ one, other }, 2);

        FUZZ_CHECK(bundle >= 0);
        close(one);
        close(other);
        return bundle;
}

static int raw_bundle(const Scene *scene, const uint8_t *data, size_t size) {
        const int one = file_new(data, size / 2);
        const int other = file_new(data + size / 2, size - size / 2);

        if ((scene->choice & SCENE_NO_SEALS) == 0) {
                file_seal(one);
                file_seal(other);
        }
        return bundle_two(one, other);
}

/* A copy without seals of a part of a ledger. */
static int unsealed(int part) {
        static uint8_t room[1 << 16];
        const ssize_t size = pread(part, room, sizeof room, 0);

        FUZZ_CHECK(size > 0 && size < (ssize_t)sizeof room);
        close(part);
        return file_new(room, (size_t)size);
}

/* Takes those counts that this test looks at. */
static void take_counts(LedgerCounts *counts, const uint8_t **data, size_t *size) {
        uint64_t *const numbers[COUNTS] = { &counts->started, &counts->metrics.accepted,
                                            &counts->metrics.refused[0], &counts->peak,
                                            &counts->metrics.bytes };

        for (int i = 0; i < COUNTS; i++)
                take(numbers[i], sizeof *numbers[i], data, size);
}

/* Makes the ledger of @data. A cookie that is no larger than the number of connections stands for
 * the cookie of that connection. */
static int ledger_bundle(const Scene *scene, const uint8_t *data, size_t size) {
        const size_t slot_size = sizeof(LedgerEntry) + sizeof(LedgerFacts);
        const size_t counts_size = COUNTS * sizeof(uint64_t);
        const size_t rest = size > counts_size ? size - counts_size : 0;
        const uint32_t slots = (uint32_t)smaller(rest / slot_size + 1, SLOTS_MOST);
        int fds[BUNDLE_MOST], bundle;
        Ledger *ledger;

        FUZZ_CHECK(ledger_new(slots, 0, &ledger) == 0);
        take_counts(ledger_counts(ledger), &data, &size);
        for (uint32_t slot = 0; slot < slots; slot++) {
                LedgerFacts *facts = ledger_facts(ledger, slot);

                take(ledger_entry(ledger, slot), sizeof(LedgerEntry), &data, &size);
                take(facts, sizeof *facts, &data, &size);
                if (facts->cookie >= 1 && facts->cookie <= (uint64_t)scene->n_connections)
                        facts->cookie = scene->cookies[facts->cookie - 1];
        }
        bundle = ledger_take_bundle(ledger);
        ledger_free(ledger);
        if ((scene->choice & SCENE_NO_SEALS) == 0)
                return bundle;
        FUZZ_CHECK(bundle_open(bundle, fds) == 2);
        close(bundle);
        return bundle_two(unsealed(fds[0]), unsealed(fds[1]));
}

static void scene_store_connection(Scene *scene, int connection) {
        const char *name = (scene->choice & SCENE_OLDER) != 0 ? "mpecho-connection.1"
                                                              : "mpecho-connection.9";
        int pair[2], bundle;

        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        bundle = bundle_new(&pair[1], 1);
        FUZZ_CHECK(bundle >= 0 && restore_take(&scene->restore, bundle, name));
        scene->clients[connection] = pair[0];
        scene->cookies[connection] = socket_cookie(pair[1]);
        close(pair[1]);
}

static void scene_init(Scene *scene, const uint8_t *data, size_t size) {
        uint8_t length = 0;
        int bundle;

        *scene = (Scene){ .choice = *data, .name = "mpecho-ledger.9" };
        scene->n_connections = scene->choice & SCENE_CONNECTIONS;
        data++;
        size--;
        FUZZ_CHECK(restore_init(&scene->restore, CONNECTIONS_MOST + 1) == 0);
        for (int i = 0; i < scene->n_connections; i++)
                scene_store_connection(scene, i);
        if ((scene->choice & SCENE_NAME) != 0) {
                take(&length, 1, &data, &size);
                memset(scene->name, 0, sizeof scene->name);
                take(scene->name, length % sizeof scene->name, &data, &size);
        }
        bundle = (scene->choice & SCENE_RAW) != 0 ? raw_bundle(scene, data, size)
                                                  : ledger_bundle(scene, data, size);
        scene->taken = restore_take(&scene->restore, bundle, scene->name);
        if (!scene->taken)
                close(bundle);
        forks = (scene->choice & SCENE_NO_FORK) == 0;
        last_pid = FIRST_PID;
        n_records = 0;
}

static void scene_deinit(Scene *scene) {
        for (int i = 0; i < scene->n_connections; i++)
                close(scene->clients[i]);
        restore_deinit(&scene->restore);
}

/* The last slot that is of connection @i; or -1. */
static int64_t scene_find(const Scene *scene, int i) {
        const Ledger *ledger = scene->restore.ledger;
        int64_t found = -1;

        for (uint32_t slot = 0; slot < ledger_slots(ledger); slot++)
                if (ledger_facts(ledger, slot)->cookie == scene->cookies[i])
                        found = slot;
        return found;
}

static uint64_t scene_run(const Scene *scene) {
        return (scene->choice & SCENE_OLDER) != 0 ? 1 : 9;
}

/* The restore rejects connections of a later run than the ledger's. */
static bool scene_is_rejected(const Scene *scene) {
        return scene->restore.ledger != NULL && scene_run(scene) > scene->restore.ledger_run;
}

static bool scene_is_stored(const Scene *scene, uint64_t cookie) {
        for (int i = 0; i < scene->n_connections && !scene_is_rejected(scene); i++)
                if (scene->cookies[i] == cookie)
                        return true;
        return false;
}

static void expect_ended(Expected *expected, const LedgerEntry *entry) {
        expected->counts.metrics.bytes += entry->bytes;
        expected->n_records++;
}

static void expect_connection(const Scene *scene, int i, Expected *expected) {
        const Ledger *ledger = scene->restore.ledger;
        const bool older = scene_run(scene) < scene->restore.ledger_run;
        const int64_t slot = ledger != NULL ? scene_find(scene, i) : -1;
        const LedgerEntry *entry = slot >= 0 ? ledger_entry(ledger, (uint32_t)slot) : NULL;

        if (ledger != NULL && (entry == NULL || scene_is_rejected(scene)))
                return;
        if (ledger != NULL && older && ledger_facts(ledger, (uint32_t)slot)->begun != 0) {
                expect_ended(expected, entry);
                return;
        }
        expected->live++;
        if (forks) {
                expected->live_bytes += entry != NULL ? entry->bytes : 0;
                return;
        }
        expected->n_records++;
        expected->counts.metrics.bytes += entry != NULL ? entry->bytes : 0;
}

static Expected scene_expect(const Scene *scene) {
        const Ledger *ledger = scene->restore.ledger;
        Expected expected = { .counts.started = CLOCK_NEVER };

        if (ledger != NULL)
                expected.counts = *ledger_counts(ledger);
        for (uint32_t slot = 0; ledger != NULL && slot < ledger_slots(ledger); slot++) {
                const uint64_t cookie = ledger_facts(ledger, slot)->cookie;

                if (cookie != 0 && !scene_is_stored(scene, cookie))
                        expect_ended(&expected, ledger_entry(ledger, slot));
        }
        for (int i = 0; i < scene->n_connections; i++)
                expect_connection(scene, i, &expected);
        expected.n_records += ledger == NULL &&
                              (scene->restore.ledger_lost || scene->restore.n_found > 0);
        expected.n_records += expected.live > 0;
        /* New counts begin with the connections that go on. */
        if (ledger == NULL)
                expected.counts.metrics.accepted = expected.live;
        if (!forks)
                expected.live = 0;
        if (expected.live > expected.counts.peak)
                expected.counts.peak = expected.live;
        return expected;
}

/* What the restore took is a ledger by its name, and was read unless something is wrong with it. */
static void scene_check_restore(const Scene *scene) {
        const Restore *restore = &scene->restore;
        const bool wrong = (scene->choice & SCENE_NO_SEALS) != 0;
        uint64_t run;
        const FdstoreKind kind = fdstore_parse_name(scene->name, &run);

        FUZZ_CHECK((kind == FDSTORE_STRANGER) <= !scene->taken);
        FUZZ_CHECK(restore->run != restore->ledger_run);
        if (kind != FDSTORE_LEDGER || run == FDSTORE_RUN_MOST)
                return;
        FUZZ_CHECK(scene->taken && restore->run != run);
        FUZZ_CHECK(restore->ledger_lost == (restore->ledger == NULL));
        if ((scene->choice & SCENE_RAW) == 0)
                FUZZ_CHECK(restore->ledger_lost == wrong);
        FUZZ_CHECK(!wrong || restore->ledger_lost);
}

static void scene_check(const Connections *connections, const Expected *expected, uint64_t begin) {
        const Record totals = account_totals(connections, RECORD_TOTALS, begin);
        const uint64_t started = begin - totals.duration;

        FUZZ_CHECK(roster_live(connections->roster) == expected->live);
        FUZZ_CHECK(totals.served == expected->counts.metrics.accepted);
        FUZZ_CHECK(totals.refused == metrics_refused(&expected->counts.metrics));
        FUZZ_CHECK(totals.peak == expected->counts.peak);
        FUZZ_CHECK(totals.bytes == expected->counts.metrics.bytes + expected->live_bytes);
        FUZZ_CHECK(expected->counts.started < begin ? started == expected->counts.started
                                                    : started >= begin && started <= clock_now());
        FUZZ_CHECK(n_records == expected->n_records);
}

static void scene_play(Scene *scene) {
        const Options options = { .max_connections = MOST, .max_per_source = 1 };
        Listeners listeners = {};
        const uint64_t begin = clock_now();
        Connections *connections;
        Expected expected;
        const char *name;
        Journal *journal;
        int rejected;

        while (restore_reject(&scene->restore, &rejected, &name))
                close(rejected);
        FUZZ_CHECK(restore_prepare(&scene->restore) == 0);
        scene_check_restore(scene);
        expected = scene_expect(scene);
        FUZZ_CHECK(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, "/", &journal) == 0);
        FUZZ_CHECK(connections_new(&options, &listeners, scene->restore.n_found, journal,
                                   &connections) == 0);
        FUZZ_CHECK(takeover_readmit(connections, &scene->restore, clock_now()) == 0);
        takeover_start(connections, &scene->restore, clock_now());
        journal_finish(journal, 0);
        FUZZ_CHECK(scene->restore.ledger == NULL);
        scene_check(connections, &expected, begin);
        account_report(connections, clock_now());
        journal_finish(journal, 0);
        FUZZ_CHECK(n_records == expected.n_records + expected.live + 1);
        connections_free(connections);
        journal_free(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Scene scene;

        if (size == 0)
                return 0;
        /* The service manager that this runs under has no part in it. */
        (void)unsetenv("NOTIFY_SOCKET");
        scene_init(&scene, data, size);
        scene_play(&scene);
        scene_deinit(&scene);
        return 0;
}
