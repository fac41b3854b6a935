/* SPDX-License-Identifier: MIT */
/* cbmc: src/restart/ledger.c --unwind 5 */
/* Whatever is in the two files of a stored ledger, ledger_open() refuses it, or every slot of it
 * lies within what is mapped. Whatever handlers wrote, ledger_take_exits() ends and returns slots
 * alone. */
#include "restart/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mapping.h"
#include "prove.h"
#include "restart/bundle.h"

enum {
        SIZE = 1280, /* of each file: room for at most two slots */
        MOST = 4,
        FIRST_FD = 100,
};

static size_t sizes[2];
static int seals[2];
static bool is_open[3];

int bundle_open(int bundle, int ret_fds[static BUNDLE_MOST]) {
        const int n = nondet_int();

        (void)bundle;
        assume(n != 0 && n <= 3);
        for (int i = 0; i < n; i++) {
                ret_fds[i] = FIRST_FD + i;
                is_open[i] = true;
        }
        return n;
}

int bundle_new(const int *fds, size_t n) {
        (void)fds;
        (void)n;
        return -EMFILE;
}

int close(int fd) {
        prove(fd >= FIRST_FD && fd < FIRST_FD + 3 && is_open[fd - FIRST_FD],
              "close() has one to close");
        is_open[fd - FIRST_FD] = false;
        return 0;
}

int fcntl(int fd, int command, ...) {
        (void)command;
        return nondet_bool() ? seals[fd - FIRST_FD] : -1;
}

int fstat(int fd, struct stat *status) {
        status->st_size = (off_t)sizes[fd - FIRST_FD];
        return nondet_bool() ? 0 : -1;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
        void *part;

        (void)at;
        (void)flags;
        (void)offset;
        prove((protection & PROT_WRITE) == 0, "an earlier ledger is for reading");
        prove(size == sizes[fd - FIRST_FD], "no byte beyond the file is mapped");
        prove((seals[fd - FIRST_FD] & F_SEAL_SHRINK) != 0,
              "the file cannot shrink under the reader");
        if (nondet_bool())
                return MAP_FAILED;
        part = malloc(size);
        assume(part != NULL);
        fill(part, size);
        return part;
}

int madvise(void *part, size_t size, int advice) {
        prove(advice == MADV_DONTFORK && __CPROVER_OBJECT_SIZE(part) == size,
              "handlers do not see it");
        return nondet_bool() ? 0 : -1;
}

int munmap(void *part, size_t size) {
        prove(__CPROVER_OBJECT_SIZE(part) == size, "the whole part is unmapped");
        free(part);
        return 0;
}

void *mapping_free(void *part, size_t size) {
        prove(part == NULL || __CPROVER_OBJECT_SIZE(part) == size, "the whole part is unmapped");
        free(part);
        return NULL;
}

int mapping_new_file(const char *name) {
        (void)name;
        return -EMFILE;
}

void harness(void) {
        uint32_t slots[MOST], n;
        const uint32_t slot = nondet_uint32();
        Ledger *ledger;
        int r;

        for (int i = 0; i < 2; i++) {
                sizes[i] = nondet_size();
                seals[i] = nondet_int();
                assume(sizes[i] <= SIZE && seals[i] >= 0);
        }

        r = ledger_open(3, &ledger);
        prove(!is_open[0] && !is_open[1] && !is_open[2], "ledger_open() closes what it opens");
        if (r < 0)
                return;

        prove(ledger_slots(ledger) <= LEDGER_MOST, "a ledger has at most LEDGER_MOST slots");
        (void)ledger_counts(ledger)->metrics.accepted;
        if (slot < ledger_slots(ledger)) {
                prove(__CPROVER_r_ok(ledger_entry(ledger, slot), sizeof(LedgerEntry)),
                      "an entry is mapped");
                prove(__CPROVER_r_ok(ledger_facts(ledger, slot), sizeof(LedgerFacts)),
                      "facts are mapped");
        }

        n = ledger_take_exits(ledger, slots, MOST);
        prove(n <= MOST, "ledger_take_exits() ends, whatever circle is linked");
        for (uint32_t i = 0; i < n; i++)
                prove(slots[i] < ledger_slots(ledger),
                      "an exit is announced by a slot of the ledger");
        ledger_free(ledger);
}
