/* SPDX-License-Identifier: MIT */
/*
 * Finds the sockets to serve: passed by systemd, named on the command line, or passed by an inetd
 * as stdin. It looks at each descriptor to learn its type, because neither position nor name can be
 * trusted, and closes those that it cannot serve, with a record.
 *
 * systemd also returns the descriptors that earlier runs stored; these go to the restore. A passed
 * socket stays open in systemd, so nothing here may shut it down.
 */
#include "server/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "server/backoff.h"
#include "server/bind.h"

enum {
        REFUSE_MOST = 4096,
};

/* How many bytes a connection queues in the kernel beyond those that are on their way. A peer that
 * does not read costs no more memory, and a long path loses no speed. */
#define UNSENT_MOST (128 * 1024)

void passed_take(Passed *ret_passed) {
        const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
        Passed passed = { .missing = SD_LISTEN_FDS_START };

        if (pid != NULL && strtol(pid, NULL, 10) != getpid())
                passed.foreign_pid = strdup(pid);
        if (fds != NULL)
                passed.promised = strdup(fds);
        passed.n = sd_listen_fds_with_names(false, &passed.names);
        /* It takes no descriptor when there are more or fewer names; sd_listen_fds() does not care.
         */
        passed.n = sd_listen_fds(true);
        while (passed.n == -EBADF && fcntl(passed.missing, F_GETFD) >= 0)
                passed.missing++;
        *ret_passed = passed;
}

void passed_deinit(Passed *passed) {
        for (char **name = passed->names; name != NULL && *name != NULL; name++)
                free(*name);
        free(passed->names);
        free(passed->promised);
        free(passed->foreign_pid);
}

/* At most as many as a backlog has, lest somebody who goes on connecting keeps this process. */
static void descriptor_refuse(int fd) {
        const int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return;
        for (int i = 0; i < REFUSE_MOST; i++) {
                const int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

                if (client < 0)
                        return;
                connection_reset(client);
        }
}

void passed_refuse(const Passed *passed) {
        for (int i = 0; i < passed->n; i++) {
                const int fd = SD_LISTEN_FDS_START + i;

                if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
                        descriptor_refuse(fd);
        }
}

static Listeners *listeners_new_empty(uint32_t n, bool passed) {
        Listeners *listeners = calloc(1, sizeof *listeners + n * sizeof listeners->items[0]);

        if (listeners == NULL)
                return NULL;
        listeners->passed = passed;
        listeners->connection = -1;
        return listeners;
}

void listeners_close(Listeners *listeners) {
        for (uint32_t i = 0; i < listeners->n; i++) {
                Listener *listener = &listeners->items[i];

                if (listener->fd < 0)
                        continue;
                if (listener->path != NULL)
                        (void)unlink(listener->path);
                close(listener->fd);
                listener->fd = -1;
        }
}

Listeners *listeners_free(Listeners *listeners) {
        if (listeners == NULL)
                return NULL;
        listeners_close(listeners);
        if (listeners->connection >= 0)
                close(listeners->connection);
        restore_deinit(&listeners->restore);
        for (uint32_t i = 0; i < listeners->n; i++) {
                free(listeners->items[i].name);
                free(listeners->items[i].path);
        }
        free(listeners);
        return NULL;
}

/* Adds @fd, which becomes the listeners', makes accepting from it never wait, and keeps urgent data
 * in the stream from the first byte: TCP connections inherit that. A handler that set it would be
 * too late for what has come before it, of which a second urgent byte deletes the first. */
static int listeners_add(Listeners *listeners, int fd, const char *name) {
        Listener *listener = &listeners->items[listeners->n];
        Endpoint endpoint;
        int flags, r;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){ UNSENT_MOST }, sizeof(int));
        r = endpoint_from_socket(fd, &endpoint);
        if (r < 0)
                return r;
        if (name != NULL) {
                listener->name = strdup(name);
                if (listener->name == NULL)
                        return -ENOMEM;
        }
        endpoint_format(&endpoint, listener->text);
        listener->fd = fd;
        listeners->n++;
        return 0;
}

static int listener_parse(const char *text, Endpoint *ret_endpoint, Sentence *ret_sentence) {
        const char *why;

        if (endpoint_parse(text, ret_endpoint, &why) < 0)
                return sentence_set(ret_sentence, LISTENERS_USAGE, "Cannot listen on '%s': %s",
                                    text, why);
        return 0;
}

static int listeners_bind(Listeners *listeners, const char *text, Sentence *ret_sentence) {
        Listener *listener = &listeners->items[listeners->n];
        Endpoint endpoint;
        int fd, r;

        r = listener_parse(text, &endpoint, ret_sentence);
        if (r != 0)
                return r;
        fd = bind_endpoint(&endpoint);
        if (fd < 0)
                return sentence_set(ret_sentence, fd, "Cannot listen on %s: %s", text,
                                    strerrordesc_np(-fd));
        if (text[0] == '/') {
                listener->path = strdup(text);
                if (listener->path == NULL)
                        return sentence_set(ret_sentence, -ENOMEM, "Out of memory");
        }
        r = listeners_add(listeners, fd, NULL);
        if (r < 0)
                return sentence_set(ret_sentence, r, "Cannot listen on %s: %s", text,
                                    strerrordesc_np(-r));
        return 0;
}

/* What a descriptor is that is not served, as the second half of a sentence. */
static const char *descriptor_text(int fd) {
        if (sd_is_socket(fd, AF_UNSPEC, 0, -1) <= 0)
                return "is not a socket";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_DGRAM, -1) > 0)
                return "is a datagram socket";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) <= 0)
                return "is neither a stream nor a datagram socket";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
                return "is a listening socket that was stored";
        return "is a stream socket that does not listen";
}

static void stranger_close(int fd, const char *name, Journal *journal) {
        Sentence sentence = {};

        sentence_set(&sentence, 0, "Passed file descriptor %d%s%s%s %s: closed, not served", fd,
                     name != NULL ? " (" : "", name != NULL ? name : "", name != NULL ? ")" : "",
                     descriptor_text(fd));
        journal_write(journal,
                      &(Record){ .kind = RECORD_STRANGER,
                                 .descriptor = (uint64_t)fd,
                                 .listener_name = name,
                                 .sentence = sentence.text },
                      clock_now());
        close(fd);
}

static int listeners_take_descriptor(Listeners *listeners, int fd, const char *name,
                                     Journal *journal, Sentence *ret_sentence) {
        uint64_t run;
        int r;

        if (restore_take(&listeners->restore, fd, name))
                return 0;
        if (fdstore_parse_name(name, &run) != FDSTORE_STRANGER ||
            sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
                stranger_close(fd, name, journal);
                return 0;
        }
        r = listeners_add(listeners, fd, name);
        if (r < 0)
                return sentence_set(ret_sentence, r, "Cannot use passed file descriptor %d: %s", fd,
                                    strerrordesc_np(-r));
        return 0;
}

static int listeners_take_passed(Listeners *listeners, const Passed *passed, Journal *journal,
                                 Sentence *ret_sentence) {
        uint64_t run;
        int r;

        if (passed->n == 1 && socket_is_stream(SD_LISTEN_FDS_START) &&
            (passed->names == NULL ||
             fdstore_parse_name(passed->names[0], &run) == FDSTORE_STRANGER)) {
                listeners->connection = SD_LISTEN_FDS_START;
                return 0;
        }
        listeners->manager = true;
        r = restore_init(&listeners->restore, (size_t)passed->n);
        if (r < 0)
                return sentence_set(ret_sentence, r, "Out of memory");
        if (passed->names == NULL)
                journal_write(journal, &(Record){ .kind = RECORD_UNNAMED }, clock_now());
        for (int i = 0; i < passed->n; i++) {
                r = listeners_take_descriptor(listeners, SD_LISTEN_FDS_START + i,
                                              passed->names != NULL ? passed->names[i] : NULL,
                                              journal, ret_sentence);
                if (r < 0)
                        return r;
        }
        if (listeners->n == 0 && listeners->restore.n_found == 0)
                return sentence_set(ret_sentence, -ENOTSOCK,
                                    "None of the %d passed file descriptors is a listening stream "
                                    "socket",
                                    passed->n);
        return 0;
}

/* In network byte order; 0 for a family without ports. */
static in_port_t endpoint_port(const Endpoint *endpoint) {
        switch (endpoint->any.sa_family) {
        case AF_INET:
                return endpoint->ipv4.sin_port;
        case AF_INET6:
                return endpoint->ipv6.sin6_port;
        default:
                return 0;
        }
}

const Listener *listeners_find_text(const Listeners *listeners, const char *text) {
        for (uint32_t i = 0; i < listeners->n; i++)
                if (strcmp(listeners->items[i].text, text) == 0)
                        return &listeners->items[i];
        return NULL;
}

/* Whether connections of @listener can have @endpoint as their own address, though @listener has
 * another: the wildcard address, as a rule. */
static bool listener_has_port(const Listener *listener, const Endpoint *endpoint) {
        const in_port_t port = endpoint_port(endpoint);
        Endpoint own;

        return port != 0 && endpoint_from_socket(listener->fd, &own) == 0 &&
               endpoint_port(&own) == port;
}

const Listener *listeners_find(const Listeners *listeners, int fd) {
        static const Listener gone = { .fd = -1, .text = LISTENER_GONE };
        char text[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint;

        if (endpoint_from_socket(fd, &endpoint) < 0)
                return &gone;
        endpoint_format(&endpoint, text);

        for (uint32_t i = 0; i < listeners->n; i++)
                if (strcmp(listeners->items[i].text, text) == 0)
                        return &listeners->items[i];

        for (uint32_t i = 0; i < listeners->n; i++)
                if (listener_has_port(&listeners->items[i], &endpoint))
                        return &listeners->items[i];
        return &gone;
}

/* inetd(8): "nowait" passes a connection, "wait" a listening socket. */
static int listeners_take_stdin(Listeners *listeners, const Passed *passed,
                                Sentence *ret_sentence) {
        int fd, r;

        if (sd_is_socket(STDIN_FILENO, AF_UNSPEC, 0, -1) <= 0 && passed->foreign_pid != NULL)
                return sentence_set(ret_sentence, LISTENERS_USAGE,
                                    "LISTEN_PID is %s, so the passed sockets are another "
                                    "process's, this is %d",
                                    passed->foreign_pid, getpid());
        if (sd_is_socket(STDIN_FILENO, AF_UNSPEC, 0, -1) <= 0)
                return sentence_set(ret_sentence, LISTENERS_USAGE,
                                    "Nothing to listen on: name a LISTEN address, have systemd "
                                    "pass sockets, or have "
                                    "an inetd pass one as stdin");
        if (sd_is_socket(STDIN_FILENO, AF_UNSPEC, SOCK_STREAM, -1) <= 0)
                return sentence_set(ret_sentence, -EPROTOTYPE, "The socket passed as stdin %s",
                                    descriptor_text(STDIN_FILENO));
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START);
        if (fd < 0)
                return sentence_set(ret_sentence, -errno,
                                    "Cannot use the socket passed as stdin: %s",
                                    strerrordesc_np(errno));
        if (socket_is_stream(fd)) {
                listeners->connection = fd;
                return 0;
        }
        r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 ? listeners_add(listeners, fd, NULL)
                                                            : -ENOTCONN;
        if (r < 0)
                return sentence_set(ret_sentence, r, "Cannot use the socket passed as stdin: %s",
                                    strerrordesc_np(-r));
        return 0;
}

static int listeners_fill(Listeners *listeners, const Options *options, const Passed *passed,
                          Journal *journal, Sentence *ret_sentence) {
        int r;

        if (passed->n > 0)
                return listeners_take_passed(listeners, passed, journal, ret_sentence);
        if (options->n_listen == 0)
                return listeners_take_stdin(listeners, passed, ret_sentence);
        for (uint32_t i = 0; i < options->n_listen; i++) {
                r = listeners_bind(listeners, options->listen[i], ret_sentence);
                if (r != 0)
                        return r;
        }
        return 0;
}

int listeners_check(const Options *options, Sentence *ret_sentence) {
        Endpoint endpoint;
        int r;

        for (uint32_t i = 0; i < options->n_listen; i++) {
                r = listener_parse(options->listen[i], &endpoint, ret_sentence);
                if (r != 0)
                        return r;
        }
        if (options->exit_idle_usec != 0 && options->n_listen > 0)
                return sentence_set(ret_sentence, LISTENERS_USAGE,
                                    "--exit-idle works only with passed sockets: nobody would "
                                    "start mpecho again");
        return 0;
}

int listeners_new(const Options *options, const Passed *passed, Journal *journal,
                  Listeners **ret_listeners, Sentence *ret_sentence) {
        Listeners *listeners;
        uint32_t n;
        int r;

        if (passed->n == -EBADF)
                return sentence_set(ret_sentence, passed->n,
                                    "LISTEN_FDS promises file descriptor %d, which is not open",
                                    passed->missing);
        if (passed->n < 0 && passed->promised == NULL)
                return sentence_set(ret_sentence, passed->n,
                                    "Cannot take passed file descriptors: LISTEN_PID is %s, and "
                                    "LISTEN_FDS is not set",
                                    passed->foreign_pid);
        if (passed->n < 0)
                return sentence_set(
                                ret_sentence, passed->n,
                                "Cannot take the file descriptors that LISTEN_FDS=%s promises: %s",
                                passed->promised, strerrordesc_np(-passed->n));
        if (passed->n > 0 && options->n_listen > 0)
                return sentence_set(ret_sentence, LISTENERS_USAGE,
                                    "'%s' cannot be listened on: sockets were passed",
                                    options->listen[0]);
        n = passed->n > 0 ? (uint32_t)passed->n : options->n_listen > 0 ? options->n_listen : 1;
        listeners = listeners_new_empty(n, options->n_listen == 0);
        if (listeners == NULL)
                return sentence_set(ret_sentence, -ENOMEM, "Out of memory");
        r = listeners_fill(listeners, options, passed, journal, ret_sentence);
        if (r != 0) {
                listeners_free(listeners);
                return r;
        }
        *ret_listeners = listeners;
        return 0;
}
