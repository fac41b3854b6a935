/* SPDX-License-Identifier: MIT */
#include "restart/stored.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/libsystemd.h"
#include "restart/bundle.h"
#include "restart/fdstore.h"

bool is_connection(int fd) {
        return libsystemd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 0) > 0;
}

int stored_init(Stored *stored, uint32_t most) {
        /* Each may be a full pack; what is never written to takes no memory. */
        const size_t n = (size_t)most * STORE_MOST;

        stored->connections = calloc(n, sizeof *stored->connections);
        stored->pendings = calloc(n, sizeof *stored->pendings);
        return stored->connections != NULL && stored->pendings != NULL ? 0 : -ENOMEM;
}

static void close_if_open(int fd) {
        if (fd >= 0)
                close(fd);
}

static void stored_close(Stored *stored) {
        while (stored->n_connections > 0)
                close_if_open(stored->connections[--stored->n_connections]);
        while (stored->n_pendings > 0)
                close_if_open(stored->pendings[--stored->n_pendings]);
        close_if_open(stored->roster);
        stored->roster = -1;
}

void stored_deinit(Stored *stored) {
        stored_close(stored);
        free(stored->connections);
        free(stored->pendings);
}

/* A connection that was reset while it was stored has no peer any more, but is a stream socket that
 * does not listen. */
static bool stored_add(Stored *stored, int fd, bool connection) {
        if (!connection)
                stored->pendings[stored->n_pendings++] = fd;
        else if (libsystemd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 0) > 0)
                stored->connections[stored->n_connections++] = fd;
        else
                return false;
        return true;
}

/* The store has the pack, and with it everything in it, until stored_forget(). */
static bool stored_unpack(Stored *stored, int pack, bool connections) {
        int fds[STORE_MOST];
        int n = libsystemd_is_socket(pack, AF_UNIX, SOCK_SEQPACKET, 0) > 0 ? pack_open(pack, fds)
                                                                           : -1;

        if (n < 0)
                return false;
        for (int i = 0; i < n; i++)
                if (!stored_add(stored, fds[i], connections))
                        close(fds[i]);
        close(pack);
        return true;
}

bool stored_take(Stored *stored, int fd, const char *name) {
        bool connection, other;

        if (name == NULL)
                return false;
        other = strcmp(name, STORE_ROSTER_OTHER) == 0;
        if ((other || strcmp(name, STORE_ROSTER) == 0) && stored->roster < 0) {
                stored->roster = fd;
                stored->other = other;
                return true;
        }
        connection = strcmp(name, STORE_CONNECTION) == 0;
        if (!connection && strcmp(name, STORE_PENDING) != 0)
                return false;
        return stored_unpack(stored, fd, connection) || stored_add(stored, fd, connection);
}

void stored_replace_roster(const Stored *stored, int fd) {
        const bool other = stored->roster >= 0 && !stored->other;
        const char *name = other ? STORE_ROSTER_OTHER : STORE_ROSTER;

        /* Of a master that was killed in here; it is the same as the one that was taken. */
        store_remove(name);
        (void)store_put(name, &fd, 1);
        store_remove(other ? STORE_ROSTER : STORE_ROSTER_OTHER);
}

void stored_forget(Stored *stored) {
        stored_close(stored);
        store_remove(STORE_CONNECTION);
        store_remove(STORE_PENDING);
}
