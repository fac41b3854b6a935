/* SPDX-License-Identifier: MIT */
/* cbmc: src/restart/fdstore.c src/lib/number.c --unwind 28 */
/* Whatever name a stored descriptor has, fdstore_parse_name() reads no byte beyond it, and finds a
 * run exactly in the names that this version gives. */
#include "restart/fdstore.h"

#include <string.h>

#include "prove.h"

enum {
        SIZE = 26, /* "mpecho-connection.", and seven bytes */
};

char *stpcpy(char *restrict to, const char *restrict from) {
        while ((*to = *from++) != '\0')
                to++;
        return to;
}

void harness(void) {
        char name[SIZE];
        uint64_t run = nondet_uint64();
        FdstoreKind kind;

        fill_text(name, sizeof name);
        kind = fdstore_parse_name(name, &run);
        prove(kind <= FDSTORE_OLD_LEDGER, "a name has a kind");
        prove(run <= FDSTORE_RUN_MOST, "a run has a number that the next one can exceed");
        prove((kind == FDSTORE_CONNECTION || kind == FDSTORE_LEDGER) == (run != 0),
              "these two kinds have a run");
        prove(kind != FDSTORE_CONNECTION || name[0] != 'h' || strrchr(name, '.') > name + 2,
              "a handler's bundle has the number of the handler");
        prove(kind != FDSTORE_LEDGER || strrchr(name, '.') == name + strlen("mpecho-ledger"),
              "no handler stores a ledger");
}
