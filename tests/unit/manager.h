/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/fdpass.h"

typedef struct Manager Manager;

/*
 * What the service manager is to the service: the datagram socket of $NOTIFY_SOCKET, and the
 * message that came last, with its descriptors.
 */
struct Manager {
        int fd;
        char text[256];
        int fds[FDPASS_MOST];
        size_t n_fds;
};

/*
 * manager_start: makes the socket, and sets $NOTIFY_SOCKET. manager_stop: closes and unsets it; no
 * message may be left. Both close the socket that the process has for an earlier one (notify.h).
 */
void manager_start(Manager *manager);
void manager_stop(Manager *manager);

/*
 * manager_expect: waits for the next message and asserts that it is @text with @n_fds descriptors.
 * They stay open until the next message is expected, or manager_forget().
 */
void manager_expect(Manager *manager, const char *text, size_t n_fds);

/*
 * manager_expect_stored: The same for a message by which the store takes one descriptor named
 * @name, which stays there when its peer hangs up.
 *
 * manager_expect_bundle: The same for a bundle of @n_fds descriptors, which become the message's.
 *
 * manager_expect_removed: The same for a message by which the store closes what is named @name.
 */
void manager_expect_stored(Manager *manager, const char *name);
void manager_expect_bundle(Manager *manager, const char *name, size_t n_fds);
void manager_expect_removed(Manager *manager, const char *name);

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
