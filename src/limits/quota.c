/* SPDX-License-Identifier: MIT */
/*
 * Counts the live connections of each source. A hash table, allocated once, holds a count for each
 * source that has a connection; a source without connections has no entry, so the table never needs
 * more room than there are connections.
 *
 * Each charge needs exactly one release: a missing one would lock a source out, and a second one
 * aborts the master. A restored connection is charged whatever the limit: refusing it would cut a
 * transfer that an earlier run had admitted.
 */
#include "limits/quota.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "lib/hashtable.h"
#include "lib/mapping.h"

struct Quota {
        uint32_t per_source;
        Hashtable *sources; /* how many connections each has; NULL without a limit */
};

int quota_new(uint32_t connections, uint32_t per_source, Quota **ret_quota) {
        Quota *quota;
        int r;

        quota = mapping_new_unforked(sizeof *quota);
        if (quota == NULL)
                return -errno;
        quota->per_source = per_source;
        if (per_source > 0) {
                r = hashtable_new(connections, &quota->sources);
                if (r < 0) {
                        quota_free(quota);
                        return r;
                }
        }
        *ret_quota = quota;
        return 0;
}

Quota *quota_free(Quota *quota) {
        if (quota == NULL)
                return NULL;
        hashtable_free(quota->sources);
        return mapping_free(quota, sizeof *quota);
}

static HashtableKey quota_key(Source source) {
        return (HashtableKey){ .high = source.family_and_scope, .low = source.prefix };
}

/* Returns whether @source had fewer than @most connections, and now has one more. */
static bool quota_count(Quota *quota, Source source, uint32_t most) {
        uint32_t *connections;

        if (quota->sources == NULL)
                return true;
        connections = hashtable_find(quota->sources, quota_key(source));
        if (connections == NULL)
                return hashtable_add(quota->sources, quota_key(source), 1) == 0;
        if (*connections >= most)
                return false;
        (*connections)++;
        return true;
}

bool quota_charge(Quota *quota, Source source) {
        return quota_count(quota, source, quota->per_source);
}

void quota_recharge(Quota *quota, Source source) {
        (void)quota_count(quota, source, UINT32_MAX);
}

void quota_release(Quota *quota, Source source) {
        uint32_t *connections;

        if (quota->sources == NULL)
                return;
        connections = hashtable_find(quota->sources, quota_key(source));
        assert(connections != NULL);
        if (--*connections == 0)
                hashtable_remove(quota->sources, quota_key(source));
}
