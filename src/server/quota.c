/* SPDX-License-Identifier: MIT */
#include "server/quota.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "lib/hashtable.h"
#include "lib/memory.h"

struct Limits {
        uint32_t per_source;
        Table *sources; /* how many connections each has; NULL without a limit */
};

int limits_new(uint32_t connections, uint32_t per_source, Limits **ret_limits) {
        Limits *limits;
        int r;

        limits = memory_new_private(sizeof *limits);
        if (limits == NULL)
                return -errno;
        limits->per_source = per_source;
        if (per_source > 0) {
                r = table_new(connections, &limits->sources);
                if (r < 0) {
                        limits_free(limits);
                        return r;
                }
        }
        *ret_limits = limits;
        return 0;
}

Limits *limits_free(Limits *limits) {
        if (limits == NULL)
                return NULL;
        table_free(limits->sources);
        return memory_free(limits, sizeof *limits);
}

static TableKey limits_key(Source source) {
        return (TableKey){ .high = source.family_and_scope, .low = source.prefix };
}

/* Returns whether @source had fewer than @most connections, and now has one more. */
static bool limits_count(Limits *limits, Source source, uint32_t most) {
        uint32_t *connections;

        if (limits->sources == NULL)
                return true;
        connections = table_find(limits->sources, limits_key(source));
        if (connections == NULL)
                return table_add(limits->sources, limits_key(source), 1) == 0;
        if (*connections >= most)
                return false;
        (*connections)++;
        return true;
}

bool limits_enter(Limits *limits, Source source) {
        return limits_count(limits, source, limits->per_source);
}

void limits_readmit(Limits *limits, Source source) {
        (void)limits_count(limits, source, UINT32_MAX);
}

void limits_leave(Limits *limits, Source source) {
        uint32_t *connections;

        if (limits->sources == NULL)
                return;
        connections = table_find(limits->sources, limits_key(source));
        assert(connections != NULL);
        if (--*connections == 0)
                table_remove(limits->sources, limits_key(source));
}
