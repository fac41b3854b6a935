/* SPDX-License-Identifier: MIT */
/*
 * Keeps an echo over UDP from harming others. Anybody can forge a source address. So one packet can
 * make two services answer each other for ever (CVE-2024-2169), and a flood of packets can reach a
 * victim from here. Both have three answers:
 *
 * - Addresses and ports. No answer goes to many hosts at once, and none to the port of another
 *   service: clients have ports from 1024 on, and not the port of this socket.
 * - A token bucket for each source. A reflector on a high port ends here, if the two are faster
 *   than the limit: then the guard refuses the only datagram on its way.
 * - A token bucket for all sources together, for a flood from many forged ones. A source that the
 *   table does not have may take a token only while the bucket is half full, and a tenth of all
 *   tokens: the rest is for the sources that it has. A flood of new sources costs old ones little,
 *   and displaces those alone that have been quiet for many seconds. The last quarter is for
 *   sources that use less than an eighth of their own limits: a flood of few sources, which come
 *   again and again, costs these nothing.
 *
 * A bucket is one number: the instant at which it is full again. An answer moves it by the interval
 * of the rate, and is refused when that leaves it too far ahead (the generic cell rate algorithm of
 * ITU-T I.371). The table has a fixed size and a random seed (lib/hashtable); the source that has
 * been quiet for longest gives its place to a new one.
 *
 * An answer has the hop limit of this machine. The received one minus one would end a loop of two
 * such services after 64 packets, a slow loop too; but none with a reflector that sets its own, and
 * clients whose hop limit is less than twice their distance would get no answer.
 *
 * Nothing here may read a clock, allocate memory once the guard exists, or make a system call.
 */
#include "handler/guard.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/clock.h"
#include "lib/hashtable.h"
#include "lib/mapping.h"

enum {
        FIRST_CLIENT_PORT = 1024,
        NFS_PORT = 2049,
        /* The kernel gives it to the loopback interface of each network namespace. */
        LOOPBACK_INDEX = 1,
        OVERALL = 100,  /* sources that may use their limits at once */
        NEWCOMERS = 10, /* of these, may be new */
        QUIET = 8,      /* times the interval is what a quiet source leaves between answers */
};

/* A bucket fills in this time, so it holds the datagrams of two seconds. */
#define BURST (2 * CLOCK_SECOND)

/* A source, in a list from the one that was answered last to the one that has been quiet for
 * longest. */
typedef struct GuardSource {
        HashtableKey key;
        uint64_t full;
        uint32_t newer;
        uint32_t older;
} GuardSource;

struct Guard {
        uint64_t interval; /* of the answers to one source; 0 without a limit */
        uint64_t overall_full;
        uint64_t newcomers_full;
        Hashtable *places; /* of the sources in the array */
        uint32_t n;
        /* The first is the head of the list. */
        GuardSource sources[1 + GUARD_SOURCES];
};

/* Returns whether @address, of a source or a destination, is one host's. */
static bool guard_is_host(const Address *address) {
        const uint8_t *bytes = (const uint8_t *)&address->ipv4;

        switch (address->family) {
        case AF_INET:
                /* 224.0.0.0/4 is multicast; above it are 240.0.0.0/4, reserved, and broadcast. */
                return bytes[0] > 0 && bytes[0] < 224;
        case AF_INET6:
                return !IN6_IS_ADDR_MULTICAST(&address->ipv6) &&
                       !IN6_IS_ADDR_UNSPECIFIED(&address->ipv6);
        default:
                return address->family == AF_UNIX;
        }
}

static bool guard_is_loopback(const Address *address) {
        return address->family == AF_INET6
                               ? IN6_IS_ADDR_LOOPBACK(&address->ipv6)
                               : address->family == AF_INET &&
                                                 *(const uint8_t *)&address->ipv4 == 127;
}

static bool guard_is_same_host(const Address *one, const Address *other) {
        if (one->family != other->family)
                return false;
        return one->family == AF_INET6 ? IN6_ARE_ADDR_EQUAL(&one->ipv6, &other->ipv6)
                                       : one->ipv4.s_addr == other->ipv4.s_addr;
}

/* The kernel drops loopback addresses from outside, but not with all settings (route_localnet), and
 * of its own addresses those of IPv4 alone. */
static bool guard_is_martian(const GuardRequest *request) {
        if (request->interface > LOOPBACK_INDEX &&
            guard_is_same_host(&request->source, &request->destination))
                return true;
        if (!guard_is_loopback(&request->source))
                return false;
        return request->interface != 0 ? request->interface != LOOPBACK_INDEX
                                       : !guard_is_loopback(&request->destination);
}

GuardVerdict guard_check(const GuardRequest *request) {
        const Address *source = &request->source, *destination = &request->destination;

        if (!guard_is_host(source) || guard_is_martian(request))
                return GUARD_SOURCE;
        if (source->family == AF_UNIX)
                return GUARD_ANSWER;

        /* Only a broadcast has another address than the one to answer from. */
        if (source->family != destination->family || !guard_is_host(destination) ||
            !guard_is_same_host(destination, &request->local))
                return GUARD_DESTINATION;
        if (source->port < FIRST_CLIENT_PORT || source->port == NFS_PORT)
                return GUARD_PORT;
        if (source->port == destination->port)
                return GUARD_SELF;
        return GUARD_ANSWER;
}

int guard_new(uint32_t per_second, Guard **ret_guard) {
        Guard *guard;
        int r;

        guard = mapping_new_unforked(sizeof *guard);
        if (guard == NULL)
                return -errno;
        if (per_second > 0)
                guard->interval = CLOCK_SECOND / per_second;

        r = hashtable_new(GUARD_SOURCES, &guard->places);
        if (r < 0) {
                guard_free(guard);
                return r;
        }
        *ret_guard = guard;
        return 0;
}

Guard *guard_free(Guard *guard) {
        if (guard == NULL)
                return NULL;
        hashtable_free(guard->places);
        return mapping_free(guard, sizeof *guard);
}

static void guard_unlink(Guard *guard, const GuardSource *source) {
        guard->sources[source->newer].older = source->older;
        guard->sources[source->older].newer = source->newer;
}

/* Makes the source at @place the newest of the list. */
static void guard_link(Guard *guard, uint32_t place) {
        GuardSource *source = &guard->sources[place], *head = &guard->sources[0];

        source->newer = 0;
        source->older = head->older;
        guard->sources[head->older].newer = place;
        head->older = place;
}

/* Returns the place for a new source: a free one, or that of the oldest. */
static uint32_t guard_make_place(Guard *guard) {
        const uint32_t oldest = guard->sources[0].newer;

        if (guard->n < GUARD_SOURCES)
                return ++guard->n;
        hashtable_remove(guard->places, guard->sources[oldest].key);
        guard_unlink(guard, &guard->sources[oldest]);
        return oldest;
}

static uint32_t guard_add(Guard *guard, HashtableKey key) {
        const uint32_t place = guard_make_place(guard);

        guard->sources[place] = (GuardSource){ .key = key };
        /* There is room: each entry of the table has a place of its own. */
        (void)hashtable_add(guard->places, key, place);
        return place;
}

/* Returns when a bucket will be full again that is so at @full and gives a token at @now. */
static uint64_t bucket_take(uint64_t full, uint64_t interval, uint64_t now) {
        return (full > now ? full : now) + interval;
}

/* Returns how far ahead the bucket of all may be for an answer to @source; NULL for a new one. */
static uint64_t guard_share(const Guard *guard, const GuardSource *source, uint64_t now) {
        if (source == NULL)
                return BURST / 2;
        return source->full + (QUIET - 1) * guard->interval <= now ? BURST : BURST / 4 * 3;
}

GuardVerdict guard_charge(Guard *guard, Source source, uint64_t now) {
        const HashtableKey key = { .high = source.family_and_scope, .low = source.prefix };
        uint64_t full, overall, newcomers;
        const uint32_t *known;
        uint32_t place;

        if (guard->interval == 0)
                return GUARD_ANSWER;

        known = hashtable_find(guard->places, key);
        full = bucket_take(known != NULL ? guard->sources[*known].full : 0, guard->interval, now);
        if (full > now + BURST)
                return GUARD_RATE;
        overall = bucket_take(guard->overall_full, guard->interval / OVERALL, now);
        if (overall > now + guard_share(guard, known != NULL ? &guard->sources[*known] : NULL, now))
                return GUARD_OVERALL;
        newcomers = bucket_take(guard->newcomers_full, guard->interval / NEWCOMERS, now);
        if (known == NULL && newcomers > now + BURST)
                return GUARD_OVERALL;

        if (known == NULL)
                guard->newcomers_full = newcomers;
        place = known != NULL ? *known : guard_add(guard, key);
        if (known != NULL)
                guard_unlink(guard, &guard->sources[place]);
        guard_link(guard, place);
        guard->sources[place].full = full;
        guard->overall_full = overall;
        return GUARD_ANSWER;
}
