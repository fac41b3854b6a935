#include "stored.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsystemd.h"
#include "store.h"

bool is_connection(int fd) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;

        return libsystemd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 0) > 0 &&
               getpeername(fd, (struct sockaddr *)&name, &length) == 0;
}

int stored_init(Stored *stored, uint32_t most) {
        stored->connections = calloc(most, sizeof *stored->connections);
        stored->pendings = calloc(most, sizeof *stored->pendings);
        return stored->connections != NULL && stored->pendings != NULL ? 0 : -ENOMEM;
}

static void stored_close(Stored *stored) {
        while (stored->n_connections > 0)
                close(stored->connections[--stored->n_connections]);
        while (stored->n_pendings > 0)
                close(stored->pendings[--stored->n_pendings]);
        if (stored->roster >= 0)
                close(stored->roster);
        stored->roster = -1;
}

void stored_deinit(Stored *stored) {
        stored_close(stored);
        free(stored->connections);
        free(stored->pendings);
}

/* A connection that was reset while it was stored has no peer any more, but is a stream socket that
 * does not listen. */
bool stored_take(Stored *stored, int fd, const char *name) {
        if (name == NULL)
                return false;
        if (strcmp(name, STORE_CONNECTION) == 0 &&
            libsystemd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 0) > 0)
                stored->connections[stored->n_connections++] = fd;
        else if (strcmp(name, STORE_PENDING) == 0)
                stored->pendings[stored->n_pendings++] = fd;
        else if (strcmp(name, STORE_ROSTER) == 0 && stored->roster < 0)
                stored->roster = fd;
        else
                return false;
        return true;
}

void stored_forget(Stored *stored) {
        stored_close(stored);
        store_remove(STORE_CONNECTION);
        store_remove(STORE_PENDING);
        store_remove(STORE_ROSTER);
}
