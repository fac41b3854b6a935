/* SPDX-License-Identifier: MIT */
#include "server/roster.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/hashtable.h"
#include "lib/memory.h"

/* Another layout needs another number. */
#define IMAGE_VERSION UINT64_C(0x6d706563686f0001)

#define IMAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct RosterImage {
        uint64_t version;
        uint64_t slots;
        RosterCounts counts;
        RosterExits exits;
        RosterSlot slot[];
};

/* Free slots are a stack linked by `next`; taken ones a list, oldest first, linked both ways. */
struct Roster {
        size_t size; /* of all this, in bytes */
        Table *by_handler;
        RosterImage *image;
        int fd; /* of the image, until it is taken */
        uint32_t slots;
        uint32_t live;
        uint32_t free;
        uint32_t first;
        uint32_t last;
        uint64_t bytes_left; /* of connections that were handed over */
        RosterEntry entries[];
};

static size_t image_size(uint64_t slots) {
        return sizeof(RosterImage) + slots * sizeof(RosterSlot);
}

/* Returns its memfd, or a negative errno. */
static int image_new(uint32_t slots, RosterImage **ret_image) {
        const size_t size = image_size(slots);
        RosterImage *image;
        int fd, r;

        fd = memfd_create("mpecho-roster", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        image = MAP_FAILED;
        if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, IMAGE_SEALS) == 0)
                image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (image == MAP_FAILED) {
                r = -errno;
                close(fd);
                return r;
        }
        image->version = IMAGE_VERSION;
        image->slots = slots;
        image->counts.started_usec = clock_now();
        *ret_image = image;
        return fd;
}

int roster_image_open(int fd, RosterImage **ret_image, uint32_t *ret_slots) {
        struct stat status;
        RosterImage *image;
        uint64_t slots;

        /* Sealed, it does not shrink under a reader. */
        if (fcntl(fd, F_GET_SEALS) != IMAGE_SEALS || fstat(fd, &status) < 0 ||
            status.st_size < (off_t)sizeof *image)
                return -EBADMSG;
        image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (image == MAP_FAILED)
                return -errno;
        slots = image->slots;
        if (image->version != IMAGE_VERSION || slots > ROSTER_MOST ||
            (size_t)status.st_size != image_size(slots)) {
                (void)munmap(image, (size_t)status.st_size);
                return -EBADMSG;
        }
        *ret_image = image;
        *ret_slots = (uint32_t)slots;
        return 0;
}

RosterImage *roster_image_free(RosterImage *image, uint32_t slots) {
        return image != NULL ? memory_free(image, image_size(slots)) : NULL;
}

const RosterSlot *roster_image_slot(const RosterImage *image, uint32_t slot) {
        return &image->slot[slot];
}

const RosterCounts *roster_image_counts(const RosterImage *image) {
        return &image->counts;
}

int roster_new(uint32_t slots, Roster **ret_roster) {
        size_t size = sizeof(Roster) + slots * sizeof(RosterEntry);
        Roster *roster;
        int r;

        roster = memory_new_private(size);
        if (roster == NULL)
                return -errno;
        roster->size = size;
        roster->slots = slots;
        roster->first = roster->last = ROSTER_NONE;
        for (uint32_t slot = 0; slot < slots; slot++)
                roster->entries[slot].next = slot + 1 < slots ? slot + 1 : ROSTER_NONE;
        roster->fd = r = image_new(slots, &roster->image);
        if (r >= 0)
                r = table_new(slots, &roster->by_handler);
        if (r < 0) {
                roster_free(roster);
                return r;
        }
        *ret_roster = roster;
        return 0;
}

Roster *roster_free(Roster *roster) {
        if (roster == NULL)
                return NULL;
        table_free(roster->by_handler);
        memory_free(roster->image, image_size(roster->slots));
        if (roster->fd >= 0)
                close(roster->fd);
        return memory_free(roster, roster->size);
}

static TableKey roster_key(pid_t handler) {
        return (TableKey){ .low = (uint64_t)handler };
}

uint32_t roster_claim(Roster *roster, const Address *peer, uint64_t cookie,
                      const Listener *listener, uint64_t now_usec) {
        uint32_t slot = roster->free;
        RosterEntry *entry;

        if (slot == ROSTER_NONE)
                return ROSTER_NONE;
        entry = &roster->entries[slot];
        roster->free = entry->next;
        *entry = (RosterEntry){ .peer = *peer,
                                .listener = listener,
                                .started_usec = now_usec,
                                .next = ROSTER_NONE,
                                .previous = roster->last };
        address_format(peer, entry->peer_text);
        *roster_slot(roster, slot) =
                        (RosterSlot){ .cookie = cookie, .started_usec = now_usec, .peer = *peer };
        if (roster->last != ROSTER_NONE)
                roster->entries[roster->last].next = slot;
        else
                roster->first = slot;
        roster->last = slot;
        roster->live++;
        return slot;
}

void roster_assign(Roster *roster, uint32_t slot, pid_t handler) {
        RosterCounts *counts = roster_counts(roster);
        /* There is room: each entry of the table has a slot of its own. */
        int r = table_add(roster->by_handler, roster_key(handler), slot);

        assert(r == 0);
        (void)r;
        roster->entries[slot].handler = handler;
        roster_slot(roster, slot)->handler = handler;
        if (roster->live > counts->peak)
                counts->peak = roster->live;
}

static void roster_free_slot(Roster *roster, uint32_t slot) {
        RosterEntry *entry = &roster->entries[slot];

        if (entry->handler != 0)
                table_remove(roster->by_handler, roster_key(entry->handler));
        if (entry->previous != ROSTER_NONE)
                roster->entries[entry->previous].next = entry->next;
        else
                roster->first = entry->next;
        if (entry->next != ROSTER_NONE)
                roster->entries[entry->next].previous = entry->previous;
        else
                roster->last = entry->previous;
        entry->next = roster->free;
        roster->free = slot;
        roster->live--;
}

void roster_release(Roster *roster, uint32_t slot) {
        RosterSlot *shared = roster_slot(roster, slot);

        roster_counts(roster)->bytes += shared->bytes;
        shared->cookie = 0;
        roster_free_slot(roster, slot);
}

void roster_leave(Roster *roster, uint32_t slot) {
        roster->bytes_left += roster_slot(roster, slot)->bytes;
        roster_free_slot(roster, slot);
}

void roster_mark_stored(Roster *roster, uint32_t slot) {
        roster->entries[slot].stored = true;
}

uint32_t roster_find(Roster *roster, pid_t handler) {
        const uint32_t *slot = table_find(roster->by_handler, roster_key(handler));

        return slot != NULL ? *slot : ROSTER_NONE;
}

uint32_t roster_next(const Roster *roster, uint32_t slot) {
        return slot == ROSTER_NONE ? roster->first : roster->entries[slot].next;
}

const RosterEntry *roster_entry(const Roster *roster, uint32_t slot) {
        return &roster->entries[slot];
}

RosterSlot *roster_slot(Roster *roster, uint32_t slot) {
        return &roster->image->slot[slot];
}

RosterExits *roster_exits(Roster *roster) {
        return &roster->image->exits;
}

/* A stack: its top is `last`, and `told_before` is the next one below; a slot's number plus one, or
 * 0. Only the top is ever changed, by all handlers, and the master takes all at once. */
void roster_tell_exit(RosterExits *exits, RosterSlot *slot) {
        const RosterImage *image =
                        (const RosterImage *)((char *)exits - offsetof(RosterImage, exits));
        uint32_t last = atomic_load(&exits->last);

        do
                atomic_store(&slot->told_before, last);
        while (!atomic_compare_exchange_weak(&exits->last, &last,
                                             (uint32_t)(slot - image->slot) + 1));
}

uint32_t roster_take_exits(Roster *roster, uint32_t *ret_slots, uint32_t most) {
        uint32_t last = atomic_exchange(&roster->image->exits.last, 0), n = 0;

        /* There are not more; a handler could have made a circle of them. */
        while (last != 0 && last <= roster->slots && n < most && n < roster->live) {
                ret_slots[n++] = last - 1;
                last = atomic_load(&roster_slot(roster, last - 1)->told_before);
        }
        return n;
}

uint32_t roster_live(const Roster *roster) {
        return roster->live;
}

RosterCounts *roster_counts(Roster *roster) {
        return &roster->image->counts;
}

uint64_t roster_total_bytes(Roster *roster) {
        uint64_t bytes = roster_counts(roster)->bytes + roster->bytes_left;

        for (uint32_t slot = roster->first; slot != ROSTER_NONE; slot = roster->entries[slot].next)
                bytes += atomic_load_explicit(&roster_slot(roster, slot)->bytes,
                                              memory_order_relaxed);
        return bytes;
}

int roster_take_fd(Roster *roster) {
        int fd = roster->fd;

        roster->fd = -1;
        return fd;
}

void roster_resume(Roster *roster, uint32_t slot, const RosterSlot *before) {
        RosterSlot *shared = roster_slot(roster, slot);

        /* It does not begin in the future, whatever a handler wrote. */
        shared->started_usec = clock_earlier(before->started_usec, shared->started_usec);
        roster->entries[slot].started_usec = shared->started_usec;
        atomic_store_explicit(&shared->bytes, before->bytes, memory_order_relaxed);
}
