/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "restart/fdstore.h"

typedef struct Manager Manager;

/*
 * What the service manager is to the service: the datagram socket of $NOTIFY_SOCKET, and the
 * message that came last, with its descriptors.
 */
struct Manager {
        int fd;
        char text[256];
        int fds[STORE_MOST];
        size_t n_fds;
};

/*
 * manager_start: makes the socket, and sets $NOTIFY_SOCKET. manager_stop: closes and unsets it; no
 * message may be left.
 */
void manager_start(Manager *manager);
void manager_stop(Manager *manager);

/*
 * manager_expect: waits for the next message and asserts that it is @text with @n_fds descriptors.
 * They stay open until the next message is expected, or manager_forget().
 */
void manager_expect(Manager *manager, const char *text, size_t n_fds);

/*
 * manager_expect_stored: the same for a message that has the store take @n_fds descriptors named
 * @name, which are kept there when their peers hang up.
 */
void manager_expect_stored(Manager *manager, const char *name, size_t n_fds);

/*
 * manager_expect_roster: waits for the messages by which a roster takes the place of another one:
 * at no time is there none. @other: its name is STORE_ROSTER_OTHER.
 */
void manager_expect_roster(Manager *manager, bool other);

/*
 * manager_expect_pack: the same for @n_fds descriptors in a pack, which become the message's.
 */
void manager_expect_pack(Manager *manager, const char *name, size_t n_fds);

/*
 * manager_expect_barrier: waits for a barrier (sd_notify_barrier(3)) and lets it pass.
 */
void manager_expect_barrier(Manager *manager);

/*
 * manager_expect_none: asserts that no message has come.
 */
void manager_expect_none(const Manager *manager);

/*
 * manager_forget: closes the descriptors of the message that came last.
 */
void manager_forget(Manager *manager);
