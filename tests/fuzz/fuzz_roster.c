/* SPDX-License-Identifier: MIT */
/* Whatever a stored roster has in it, it is refused, or its connections and its counts are taken
 * over, each once and none from the future; and what is logged of it is text.
 *
 * The first byte of an input chooses the scene; the others are the image that the last master left,
 * into which its handlers may have written anything. */

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
#include "restart/handover.h"
#include "restart/restore.h"

enum {
        CONNECTIONS_MOST = 3,
        MOST = 2, /* --max-connections */
        SLOTS_MOST = 64,
        ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
        /* Beyond any that the kernel gives (PID_MAX_LIMIT): a signal sent there hits nobody. */
        FIRST_PID = 1 << 22,
};

/* The bits of an input's first byte. */
enum {
        SCENE_CONNECTIONS = 3, /* how many were stored */
        SCENE_NO_FORK = 4,     /* they get no handlers */
        SCENE_NO_SEALS = 8,    /* somebody else could change the image's size */
        SCENE_RAW = 16,        /* the image is as it is; else its header is made to fit */
};

/* How an image begins; its other parts are known by name. */
typedef struct Header {
        uint64_t version;
        uint64_t slots;
} Header;

typedef struct Scene {
        bool forks;
        bool sealed;
        int n_connections;
        int clients[CONNECTIONS_MOST];
        uint64_t cookies[CONNECTIONS_MOST];
        Stored stored;
        size_t size;
        _Alignas(RosterSlot) uint8_t image[(SLOTS_MOST + 1) * sizeof(RosterSlot)];
} Scene;

/* What is to be of the connections and counts. */
typedef struct Expected {
        bool taken;
        RosterCounts counts;
        unsigned n_records;
        const RosterSlot *before[CONNECTIONS_MOST]; /* NULL for one that the image does not have */
} Expected;

/* What begins an image without slots, and how long it is with the counts. */
static Header empty;
static size_t empty_size;

static const Scene *scene;
static pid_t last_pid;
static unsigned n_records;

/* In place of the module's: the master believes that it has handlers, and nobody is one. */
pid_t fork_child(void) {
        return scene->forks ? ++last_pid : -EAGAIN;
}

void fork_prepare(void) {
}

void fork_unblock_signals(void) {
}

void fork_exit(int code) {
        _exit(code);
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
                FUZZ_CHECK(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
        n_records++;
        return (ssize_t)size;
}

static void learn_layout(void) {
        Roster *roster;
        int fd;

        if (empty_size > 0)
                return;
        FUZZ_CHECK(roster_new(1, &roster) == 0);
        fd = roster_take_fd(roster);
        FUZZ_CHECK(pread(fd, &empty, sizeof empty, 0) == sizeof empty && empty.slots == 1);
        empty.slots = 0;
        empty_size = (size_t)lseek(fd, 0, SEEK_END) - sizeof(RosterSlot);
        close(fd);
        roster_free(roster);
}

static size_t scene_slots(const Scene *made) {
        return made->size > empty_size ? (made->size - empty_size) / sizeof(RosterSlot) : 0;
}

static RosterSlot *scene_slot(Scene *made, size_t slot) {
        return (RosterSlot *)(void *)(made->image + empty_size + slot * sizeof(RosterSlot));
}

/* Makes the image of @data. A cookie that is no larger than the number of connections stands for
 * the cookie of that connection. */
static void scene_make_image(Scene *made, const uint8_t *data, size_t size, bool raw) {
        if (size > sizeof made->image)
                size = sizeof made->image;
        memcpy(made->image, data, size);
        made->size = size;
        if (!raw) {
                const Header header = { .version = empty.version, .slots = scene_slots(made) };

                made->size = empty_size + header.slots * sizeof(RosterSlot);
                memcpy(made->image, &header, sizeof header);
        }
        for (size_t i = 0; i < scene_slots(made); i++) {
                RosterSlot *slot = scene_slot(made, i);

                if (slot->cookie >= 1 && slot->cookie <= (uint64_t)made->n_connections)
                        slot->cookie = made->cookies[slot->cookie - 1];
        }
}

static void scene_store_connection(Scene *made, int connection) {
        int pair[2];

        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        FUZZ_CHECK(stored_take(&made->stored, pair[1], STORE_CONNECTION));
        made->clients[connection] = pair[0];
        made->cookies[connection] = socket_cookie(pair[1]);
}

static void scene_init(Scene *made, uint8_t choice, const uint8_t *data, size_t size) {
        int fd = memfd_create("fuzz-roster", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        *made = (Scene){ .forks = (choice & SCENE_NO_FORK) == 0,
                         .sealed = (choice & SCENE_NO_SEALS) == 0,
                         .n_connections = choice & SCENE_CONNECTIONS,
                         .stored.roster = -1 };
        FUZZ_CHECK(fd >= 0 && stored_init(&made->stored, CONNECTIONS_MOST) == 0);
        for (int i = 0; i < made->n_connections; i++)
                scene_store_connection(made, i);
        scene_make_image(made, data, size, (choice & SCENE_RAW) != 0);
        FUZZ_CHECK(write(fd, made->image, made->size) == (ssize_t)made->size);
        if (made->sealed)
                FUZZ_CHECK(fcntl(fd, F_ADD_SEALS, ALL_SEALS) == 0);
        FUZZ_CHECK(stored_take(&made->stored, fd, STORE_ROSTER));
        scene = made;
        last_pid = FIRST_PID;
        n_records = 0;
}

static void scene_deinit(Scene *made) {
        for (int i = 0; i < made->n_connections; i++)
                close(made->clients[i]);
        stored_deinit(&made->stored);
}

/* The connection that @slot was of, which is stored; or -1. */
static int scene_find(const Scene *made, const RosterSlot *slot) {
        for (int i = 0; i < made->n_connections; i++)
                if (slot->cookie == made->cookies[i])
                        return i;
        return -1;
}

/* Whether the image is one: computed without what a product of 2^64 could deceive. */
static bool scene_is_image(const Scene *made) {
        const Header *header = (const Header *)(const void *)made->image;

        return made->sealed && made->size >= empty_size && header->version == empty.version &&
               header->slots == scene_slots(made) &&
               (made->size - empty_size) % sizeof(RosterSlot) == 0;
}

/* What the image has, each slot where it should be. */
static void scene_read_image(Scene *made, RosterCounts *ret_counts) {
        RosterImage *image;
        uint32_t slots;
        int r = roster_image_open(made->stored.roster, &image, &slots);

        FUZZ_CHECK(r == (scene_is_image(made) ? 0 : -EBADMSG));
        if (r < 0)
                return;
        FUZZ_CHECK(slots == scene_slots(made));
        *ret_counts = *roster_image_counts(image);
        for (uint32_t i = 0; i < slots; i++) {
                const void *slot = roster_image_slot(image, i), *expected = scene_slot(made, i);

                FUZZ_CHECK(memcmp(slot, expected, sizeof(RosterSlot)) == 0);
        }
        roster_image_free(image, slots);
}

static void scene_expect(Scene *made, Expected *ret_expected) {
        const unsigned n = (unsigned)made->n_connections;

        *ret_expected = (Expected){ .taken = scene_is_image(made),
                                    .counts.started_usec = CLOCK_NEVER };
        scene_read_image(made, &ret_expected->counts);
        for (size_t i = 0; ret_expected->taken && i < scene_slots(made); i++) {
                const RosterSlot *slot = scene_slot(made, i);
                const int connection = scene_find(made, slot);

                if (connection >= 0) {
                        ret_expected->before[connection] = slot;
                } else if (slot->cookie != 0) {
                        ret_expected->counts.bytes += slot->bytes;
                        ret_expected->n_records++;
                }
        }
        /* That the roster is none, and that connections go on; or their end. */
        ret_expected->n_records += !ret_expected->taken + (n > 0) + (made->forks ? 0 : n);
        for (unsigned i = 0; i < n; i++)
                if (!made->forks && ret_expected->before[i] != NULL)
                        ret_expected->counts.bytes += ret_expected->before[i]->bytes;
        if (made->forks && n > ret_expected->counts.peak)
                ret_expected->counts.peak = n;
}

/* What began before this run keeps its beginning, and nothing begins in the future. */
static bool is_start(uint64_t start, uint64_t before, uint64_t begin) {
        return before < begin ? start == before : start >= begin && start <= clock_now();
}

static void check_counts(const RosterCounts *counts, const Expected *expected, uint64_t begin) {
        FUZZ_CHECK(counts->served == expected->counts.served);
        FUZZ_CHECK(counts->refused == expected->counts.refused);
        FUZZ_CHECK(counts->peak == expected->counts.peak);
        FUZZ_CHECK(counts->bytes == expected->counts.bytes);
        FUZZ_CHECK(is_start(counts->started_usec, expected->counts.started_usec, begin));
}

static void check_connections(Roster *roster, const Expected *expected, uint64_t begin) {
        uint64_t bytes = expected->counts.bytes;
        uint32_t slot = ROSTER_NONE;

        for (pid_t pid = FIRST_PID + 1; pid <= last_pid; pid++) {
                const RosterSlot *before = expected->before[pid - FIRST_PID - 1];
                const RosterEntry *entry;

                slot = roster_next(roster, slot);
                FUZZ_CHECK(slot != ROSTER_NONE && roster_find(roster, pid) == slot);
                entry = roster_entry(roster, slot);
                FUZZ_CHECK(entry->handler == pid);
                FUZZ_CHECK(is_start(entry->started_usec,
                                    before != NULL ? before->started_usec : CLOCK_NEVER, begin));
                FUZZ_CHECK(entry->started_usec == roster_slot(roster, slot)->started_usec);
                FUZZ_CHECK(roster_slot(roster, slot)->bytes ==
                           (before != NULL ? before->bytes : 0));
                bytes += roster_slot(roster, slot)->bytes;
        }
        FUZZ_CHECK(roster_next(roster, slot) == ROSTER_NONE);
        FUZZ_CHECK(roster_total_bytes(roster) == bytes);
}

static void scene_play(Scene *made) {
        const Options options = { .max_connections = MOST, .max_per_source = 1 };
        Listeners listeners = { .connection = -1, .stored = made->stored };
        const uint64_t begin = clock_now();
        Connections *connections;
        Expected expected;
        Journal *journal;
        uint32_t live;

        scene_expect(made, &expected);
        FUZZ_CHECK(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, "/", &journal) == 0);
        made->stored.n_connections = (uint32_t)made->n_connections;
        FUZZ_CHECK(connections_new(&options, &listeners, journal, &connections) == 0);
        resume(connections, &listeners.stored, journal);
        made->stored = listeners.stored;
        live = connections_live(connections);
        journal_finish(journal, 0);
        FUZZ_CHECK(made->stored.n_connections == 0 && made->stored.roster < 0);
        FUZZ_CHECK(live == (made->forks ? (uint32_t)made->n_connections : 0));
        FUZZ_CHECK(n_records == expected.n_records);
        check_counts(roster_counts(connections_roster(connections)), &expected, begin);
        check_connections(connections_roster(connections), &expected, begin);
        connections_report(connections, clock_now());
        journal_finish(journal, 0);
        FUZZ_CHECK(n_records == expected.n_records + live + 1);
        connections_free(connections);
        journal_free(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Scene made;

        if (size == 0)
                return 0;
        /* The service manager that this runs under has no part in it. */
        (void)unsetenv("NOTIFY_SOCKET");
        learn_layout();
        scene_init(&made, data[0], data + 1, size - 1);
        scene_play(&made);
        scene_deinit(&made);
        return 0;
}
