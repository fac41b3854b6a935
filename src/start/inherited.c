/* SPDX-License-Identifier: MIT */
/*
 * Takes the sockets that another process opened: systemd passes any number of them, an inetd passes
 * one as stdin. systemd also returns the descriptors that earlier runs stored; these go to the
 * restore.
 *
 * Position and name of a descriptor prove nothing, so inherited_sort() asks the kernel for the type
 * of each. A single connection is served alone; listening stream sockets and datagram sockets
 * become listeners; mpecho closes and logs all others, and removes them from the store.
 *
 * A passed socket stays open in systemd: nothing here may shut it down. Nothing may open a
 * descriptor before inherited_take() has counted those that systemd promised.
 */
#include "start/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/discard.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "start/listeners.h"
#include "start/options.h"

enum {
        REFUSE_MOST = 4096,
};

void inherited_take(Inherited *ret_inherited) {
        const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
        Inherited inherited = { .missing = SD_LISTEN_FDS_START, .connection = -1 };

        if (pid != NULL && strtol(pid, NULL, 10) != getpid())
                inherited.foreign_pid = strdup(pid);
        if (fds != NULL)
                inherited.promised = strdup(fds);
        /* With another number of names this takes no descriptor; sd_listen_fds() takes all. */
        (void)sd_listen_fds_with_names(false, &inherited.names);
        inherited.n = sd_listen_fds(true);
        while (inherited.n == -EBADF && fcntl(inherited.missing, F_GETFD) >= 0)
                inherited.missing++;
        *ret_inherited = inherited;
}

void inherited_deinit(Inherited *inherited) {
        restore_deinit(&inherited->restore);
        free(inherited->sockets);
        for (char **name = inherited->names; name != NULL && *name != NULL; name++)
                free(*name);
        free(inherited->names);
        free(inherited->promised);
        free(inherited->foreign_pid);
}

/* Resets at most as many clients as a backlog holds, or a peer that goes on connecting would keep
 * this process. */
static void descriptor_refuse(int fd) {
        const int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return;
        for (int i = 0; i < REFUSE_MOST; i++) {
                const int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

                if (client < 0)
                        return;
                discard_client(client);
        }
}

/* Discards as many datagrams. */
static void descriptor_discard(int fd) {
        char byte;

        for (int i = 0; i < REFUSE_MOST; i++)
                if (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) < 0)
                        return;
}

void inherited_refuse(const Inherited *inherited) {
        for (int i = 0; i < inherited->n; i++) {
                const int fd = SD_LISTEN_FDS_START + i;

                if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
                        descriptor_refuse(fd);
                else if (socket_is_datagram(fd))
                        descriptor_discard(fd);
        }
}

static bool descriptor_is_listener(int fd) {
        return sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 || socket_is_datagram(fd);
}

static bool name_is_proxy(const char *name) {
        return listener_kind(name) == LISTENER_PROXY;
}

/* Returns why mpecho does not serve @fd, as half a sentence. */
static const char *descriptor_text(int fd, const char *name) {
        if (sd_is_socket(fd, AF_UNSPEC, 0, -1) <= 0)
                return "it is not a socket";
        if (name_is_proxy(name) && socket_is_datagram(fd))
                return "mpecho does not read PROXY headers of datagrams";
        if (descriptor_is_listener(fd))
                return "it is a listening socket under the name of a stored connection";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_DGRAM, -1) > 0)
                return "it is a datagram socket, but neither of UDP nor a Unix one";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) <= 0)
                return "it is neither a stream nor a datagram socket";
        return "it is a stream socket that does not listen";
}

/* Logs @fd; @why as half a sentence. */
static void stranger_log(int fd, const char *name, const char *why, Journal *journal) {
        Failure failure = {};

        failure_set(&failure, 0, "Cannot serve passed file descriptor %d%s%s%s: %s", fd,
                    name != NULL ? " (" : "", name != NULL ? name : "", name != NULL ? ")" : "",
                    why);
        journal_write(journal,
                      &(Record){ .kind = RECORD_STRANGER,
                                 .descriptor = (uint64_t)fd,
                                 .listener_name = name,
                                 .sentence = failure.text },
                      clock_now());
}

static bool name_is_stored(const char *name) {
        uint64_t run;

        return fdstore_parse_name(name, &run) != FDSTORE_STRANGER;
}

static void inherited_add(Inherited *inherited, int fd, const char *name) {
        inherited->sockets[inherited->n_sockets++] = (InheritedSocket){ .fd = fd, .name = name };
}

static bool name_is_listeners(const Inherited *inherited, const char *name) {
        for (uint32_t i = 0; i < inherited->n_sockets; i++)
                if (strcmp(inherited->sockets[i].name, name) == 0)
                        return true;
        return false;
}

/* Takes what earlier runs stored, once the listeners are known, and closes all other descriptors.
 * They leave systemd's store too, or it would pass them to every run. */
static void inherited_take_stored(Inherited *inherited, Journal *journal) {
        const char *rejected;
        uint32_t n_listeners = 0;
        Discard discard = { .waits = true };
        int fd;

        for (int i = 0; i < inherited->n; i++) {
                const char *name = inherited->names != NULL ? inherited->names[i] : NULL;

                fd = SD_LISTEN_FDS_START + i;
                if (n_listeners < inherited->n_sockets &&
                    inherited->sockets[n_listeners].fd == fd) {
                        n_listeners++;
                        continue;
                }
                if (restore_take(&inherited->restore, fd, name))
                        continue;
                if (name != NULL && !name_is_listeners(inherited, name))
                        restore_note(&inherited->restore, name);
                stranger_log(fd, name, descriptor_text(fd, name), journal);
                discard_add(&discard, fd);
        }
        while (restore_reject(&inherited->restore, &fd, &rejected)) {
                stranger_log(fd, rejected, "it has the number of a run that never was", journal);
                discard_add(&discard, fd);
        }
        discard_close(&discard);
}

static int inherited_sort_passed(Inherited *inherited, Journal *journal, Failure *ret_failure) {
        int r;

        inherited->manager = true;
        r = restore_init(&inherited->restore, (size_t)inherited->n);
        if (r < 0)
                return failure_set(ret_failure, r, "Cannot allocate memory for passed descriptors");
        if (inherited->names == NULL)
                journal_write(journal, &(Record){ .kind = RECORD_UNNAMED }, clock_now());

        for (int i = 0; i < inherited->n; i++) {
                const char *name = inherited->names != NULL ? inherited->names[i] : NULL;
                const int fd = SD_LISTEN_FDS_START + i;

                if (!name_is_stored(name) && descriptor_is_listener(fd) &&
                    !(name_is_proxy(name) && socket_is_datagram(fd)))
                        inherited_add(inherited, fd, name);
        }
        inherited_take_stored(inherited, journal);
        if (inherited->n_sockets == 0 && inherited->restore.n_found == 0)
                return failure_set(ret_failure, WRONG_USAGE,
                                   "Cannot serve any of the %d passed file descriptors: none is a "
                                   "listening stream socket or a datagram socket",
                                   inherited->n);
        return 0;
}

/* inetd(8): "nowait" passes a connection, "wait" a listening or a datagram socket. */
static int inherited_sort_stdin(Inherited *inherited, Failure *ret_failure) {
        int fd;

        if (sd_is_socket(STDIN_FILENO, AF_UNSPEC, 0, -1) <= 0 && inherited->foreign_pid != NULL)
                return failure_set(ret_failure, WRONG_USAGE,
                                   "Cannot take the passed sockets: LISTEN_PID is %s, this process "
                                   "is %d",
                                   inherited->foreign_pid, getpid());
        if (sd_is_socket(STDIN_FILENO, AF_UNSPEC, 0, -1) <= 0)
                return failure_set(ret_failure, WRONG_USAGE,
                                   "Cannot find a socket to listen on: start mpecho.socket, name a "
                                   "LISTEN address, or let an inetd pass a socket");
        if (sd_is_socket(STDIN_FILENO, AF_UNSPEC, SOCK_STREAM, -1) <= 0 &&
            !socket_is_datagram(STDIN_FILENO))
                return failure_set(ret_failure, -EPROTOTYPE,
                                   "Cannot serve the socket passed as stdin: %s",
                                   descriptor_text(STDIN_FILENO, NULL));
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START);
        if (fd < 0)
                return failure_set(ret_failure, -errno,
                                   "Cannot duplicate the socket passed as stdin: %s",
                                   strerrordesc_np(errno));
        if (descriptor_is_listener(fd))
                inherited_add(inherited, fd, NULL);
        else
                inherited->connection = fd;
        return 0;
}

/* Returns the errno of sd_listen_fds(3), with a reason. */
static int inherited_fail(const Inherited *inherited, Failure *ret_failure) {
        const int r = inherited->n;

        if (r == -EBADF)
                return failure_set(ret_failure, r,
                                   "Cannot take file descriptor %d, which LISTEN_FDS=%s promises: "
                                   "it is not open",
                                   inherited->missing, inherited->promised);
        if (inherited->promised == NULL)
                return failure_set(ret_failure, r,
                                   "Cannot take passed file descriptors: LISTEN_PID is %s, and "
                                   "LISTEN_FDS is not set",
                                   inherited->foreign_pid);
        return failure_set(ret_failure, r,
                           "Cannot take the file descriptors that LISTEN_FDS=%s promises: %s",
                           inherited->promised, strerrordesc_np(-r));
}

int inherited_sort(Inherited *inherited, Journal *journal, Failure *ret_failure) {
        const int n = inherited->n;
        const char *name;

        if (n < 0)
                return inherited_fail(inherited, ret_failure);
        inherited->sockets = calloc(n > 0 ? (size_t)n : 1, sizeof *inherited->sockets);
        if (inherited->sockets == NULL)
                return failure_set(ret_failure, -ENOMEM,
                                   "Cannot allocate memory for passed descriptors");

        if (n == 0)
                return inherited_sort_stdin(inherited, ret_failure);
        name = inherited->names != NULL ? inherited->names[0] : NULL;
        if (n == 1 && socket_is_stream(SD_LISTEN_FDS_START) && !name_is_stored(name)) {
                if (name_is_proxy(name))
                        return failure_set(ret_failure, WRONG_USAGE,
                                           "Cannot read a PROXY header without a master: "
                                           "Accept=yes and the name '%s' exclude each other",
                                           name);
                inherited->connection = SD_LISTEN_FDS_START;
                return 0;
        }
        return inherited_sort_passed(inherited, journal, ret_failure);
}
