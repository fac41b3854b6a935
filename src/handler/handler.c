/* SPDX-License-Identifier: MIT */
/*
 * The life of a handler: fork, echo until the peer is done, exit with the reason as its code. A
 * handler serves one connection, blocks in read(2) and write(2), and never logs: the master reaps
 * it and writes the record.
 *
 * The connection has two descriptors in a handler, one for reading and one for writing. On SIGTERM
 * the signal handler replaces the first by /dev/null. So a read that waits is interrupted, the next
 * one returns the end of the file, whenever the signal comes, and a write goes on. Then the handler
 * gives its connection to the master, with the bytes that the peer has not accepted, and exits.
 *
 * On a silent connection a PROXY header comes first, and the master's consent to the peer that it
 * announces.
 *
 * The handler of a datagram socket is as simple: read, answer, read again, until SIGTERM, which it
 * also gets when its master dies. The handler of a metrics client answers once.
 *
 * A handler that knows of unsent bytes and cannot take all of them, or cannot give them to the next
 * handler, must not leave a hole in the stream: it resets the connection and exits with "failed",
 * or with "stalled" if the peer accepts nothing.
 */
#include "handler/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handler/confine.h"
#include "handler/echo.h"
#include "handler/fork.h"
#include "handler/proctitle.h"
#include "handler/proxy.h"
#include "handler/wipe.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "restart/unsent.h"

/* How long a peer may take to accept a write once the handler must stop: the rest goes to the next
 * handler, or else is lost. */
#define HANDOVER_PATIENCE (CLOCK_SECOND / 10)
#define END_PATIENCE      (3 * CLOCK_SECOND)

/* How long a client of the metrics may take in all. */
#define SCRAPE_SECONDS 10

/* How many descriptors masters can have on their way when handlers can send none: four messages, by
 * one of which handlers may exceed their limit. */
#define MASTERS_ROOM ((rlim_t)4 * FDPASS_MOST)

const int handler_stops[HANDLER_STOPS] = { SIGTERM, SIGINT, SIGABRT };

/* In one place, as a handler writes to all of it. The signal handler shares the first four. */
static struct {
        volatile sig_atomic_t serving; /* the two descriptors are those of a connection */
        volatile sig_atomic_t stopping;
        int in;
        int out;
        char buffer[256 * 1024] __attribute__((aligned(64)));
} state __attribute__((aligned(4096)));

static void handler_stop(int number) {
        const int error = errno;

        /* In the master, which does not block SIGABRT and may not raise it again (confine.h); or in
         * the handler of a client of the metrics, which has nothing to finish. */
        if (!state.serving)
                _exit(128 + number);
        state.stopping = 1;
        (void)dup2(STDIN_FILENO, state.in);
        echo_hurry(state.out);
        errno = error;
}

void handler_init(pid_t keeper) {
        static const int ignored[] = { SIGHUP, SIGPIPE, SIGUSR1 };

        /* No SA_RESTART: the read must return. */
        for (int i = 0; i < HANDLER_STOPS; i++)
                (void)sigaction(handler_stops[i], &(struct sigaction){ .sa_handler = handler_stop },
                                NULL);
        for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
                (void)sigaction(ignored[i], &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
        /* If a caller ignored it, the kernel would reap handlers without the master. A handler can
         * stop and go on all the time, by its own timers: that must not wake the master. */
        (void)sigaction(SIGCHLD,
                        &(struct sigaction){ .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP },
                        NULL);

        (void)prctl(PR_SET_DUMPABLE, 0);
        confine_children(keeper);
        fork_prepare();
}

/* Makes fork(2) fail, except for root: systemd would wait for a child that blocks signals, and the
 * master would not know a signal's sender.
 *
 * The other limit also bounds how many descriptors are on their way in messages for handlers to
 * send more (getrlimit(2)). The kernel counts those by user: a hostile handler must leave the
 * masters their room. */
static void handler_lower_limits(void) {
        struct rlimit limit;

        (void)setrlimit(RLIMIT_NPROC, &(struct rlimit){});
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur -= limit.rlim_cur / 4 < MASTERS_ROOM ? limit.rlim_cur / 4 : MASTERS_ROOM;
        limit.rlim_max = limit.rlim_cur;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Takes the bytes that the last handler could not write. Returns false when some are lost. */
static bool handler_take_unsent(const Handler *handler, Echo *echo) {
        ssize_t n;

        if (handler->unsent < 0)
                return true;
        n = unsent_take(handler->unsent, echo->buffer, echo->buffer_size);
        close(handler->unsent);
        if (n < 0)
                return false;
        /* The last handler has set it (handover.h). */
        socket_unset_reset(echo->out);
        echo->unsent = echo->buffer;
        echo->unsent_size = (size_t)n;
        return true;
}

/* Notes the exit code for the next master, if this one dies before it reaps. */
static void handler_note_end(const Handler *handler, int code) {
        atomic_store_explicit(&handler->ledger->reason, (uint32_t)code + 1, memory_order_relaxed);
}

/* Hands the connection over, or ends it; @reason: why echoing ended. Returns the exit code. */
static int handler_finish(const Handler *handler, const Echo *echo, EndReason reason) {
        if (reason == END_STOPPED && handover_stores(&handler->handover) &&
            handover_give(&handler->handover, echo->out, echo->unsent, echo->unsent_size) == 0)
                return HANDLER_HANDED_OVER;
        if (reason == END_STOPPED && echo->unsent_size > 0)
                reason = END_FAILED;

        handler_note_end(handler, (int)reason);
        /* Bytes that the peer cannot get leave a hole. */
        if (reason == END_FAILED || reason == END_STALLED || echo->unsent_size > 0)
                socket_set_reset(echo->out);
        else if (reason == END_IDLE || reason == END_STOPPED)
                echo_finish(echo);
        return (int)reason;
}

static void handler_set_title(const Address *peer) {
        char title[HANDLER_TITLE_SIZE], text[ADDRESS_TEXT_SIZE];

        address_format(peer, text);
        snprintf(title, sizeof title, "mpecho: %s", text);
        proctitle_set(title);
}

/* Reads the PROXY header and announces its peer to the master. Returns 0 when the connection is to
 * be served, or the exit code. */
static int handler_introduce(const Handler *handler, Echo *echo) {
        ProxyEndpoints endpoints;
        int code, r;

        r = proxy_read(echo, &endpoints);
        if (r == -ECANCELED)
                return handler_finish(handler, echo, END_STOPPED);
        if (r == 0) {
                r = handover_announce(&handler->handover, &endpoints.source);
                code = r == -ECANCELED ? HANDLER_DECLINED : END_FAILED;
        } else {
                code = HANDLER_HEADER + r;
        }
        if (r != 0) {
                handler_note_end(handler, code);
                socket_set_reset(echo->out);
                return code;
        }
        if (endpoints.source.family != AF_UNSPEC)
                handler_set_title(&endpoints.source);
        socket_set_timeout(echo->out, SO_RCVTIMEO, handler->idle_timeout);
        return 0;
}

int handler_serve(const Handler *handler) {
        Echo echo = { .in = handler->connection,
                      .buffer = state.buffer,
                      .buffer_size = sizeof state.buffer,
                      .timeout = handler->idle_timeout,
                      .stop_patience = handover_stores(&handler->handover) ? HANDOVER_PATIENCE
                                                                           : END_PATIENCE,
                      .bytes = &handler->ledger->bytes,
                      .stopping = &state.stopping };
        int code;

        echo.out = dup(handler->connection);
        if (echo.out < 0) {
                socket_set_reset(handler->connection);
                return END_FAILED;
        }
        state.in = echo.in;
        state.out = echo.out;
        state.serving = true;
        proctitle_set(handler->title);
        handler_lower_limits();
        echo_init(echo.out, handler->idle_timeout);

        if (!handler_take_unsent(handler, &echo))
                return handler_finish(handler, &echo, END_FAILED);
        fork_unblock_signals();
        code = handler->silent ? handler_introduce(handler, &echo) : 0;
        if (code != 0)
                return code;
        return handler_finish(handler, &echo, echo_run(&echo));
}

/* Serves a datagram socket until SIGTERM comes or handler->master is not its parent any more: the
 * next master must find the socket unserved. The handler answers what it has read; other datagrams
 * stay in the socket's queue. */
static int handler_serve_datagrams(const Handler *handler) {
        Datagram datagram = { .in = handler->connection,
                              .news = handler->news,
                              .counts = handler->datagrams,
                              .stopping = &state.stopping };
        Endpoint endpoint;
        int r;

        datagram.out = dup(handler->connection);
        if (datagram.out < 0 || datagram_init(datagram.out) < 0 ||
            endpoint_from_socket(datagram.out, &endpoint) < 0 ||
            guard_new(handler->max_datagrams_per_source, &datagram.guard) < 0)
                return END_FAILED;
        datagram.port = (in_port_t)endpoint_port(&endpoint);
        datagram.local = endpoint.any.sa_family == AF_UNIX;
        datagram.segments = datagram_segments(datagram.out);
        state.in = datagram.in;
        state.out = -1;
        state.serving = true;
        proctitle_set(handler->title);
        handler_lower_limits();

        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        fork_unblock_signals();
        /* The master may have died before prctl(2). */
        r = getppid() == handler->master ? datagram_run(&datagram) : 0;
        return r < 0 ? END_FAILED : END_STOPPED;
}

/* Serves a client of the metrics. SIGALRM ends the process when time is over, as SIGTERM does. */
static int handler_serve_scraper(const Handler *handler) {
        proctitle_set(handler->title);
        handler_lower_limits();
        (void)signal(SIGALRM, SIG_DFL);
        (void)alarm(SCRAPE_SECONDS);
        fork_unblock_signals();
        scrape_run(handler->connection, handler->scrape);
        return END_CLOSED_BY_PEER;
}

/* Moves the connection and the second descriptor behind the standard three, wherever they are, and
 * closes everything else. Returns false without room for that. */
static bool handler_move_descriptors(Handler *handler) {
        const int connection = STDERR_FILENO + 1, unsent = connection + 1;
        int first_other = unsent;

        if (handler->unsent >= 0) {
                /* Its number may be the one that the connection needs. */
                handler->unsent = fcntl(handler->unsent, F_DUPFD, unsent + 1);
                if (handler->unsent < 0)
                        return false;
        }
        if (dup2(handler->connection, connection) < 0)
                return false;
        handler->connection = connection;
        if (handler->unsent >= 0) {
                handler->unsent = dup2(handler->unsent, unsent);
                if (handler->unsent < 0)
                        return false;
                first_other++;
        }
        closefrom(first_other);
        return true;
}

pid_t handler_start(Handler *handler) {
        int code = END_FAILED;
        pid_t pid;

        wipe_stack();
        pid = fork_child(handler->noted);
        if (pid != 0)
                return pid;

        wipe_registers();
        if (handler->gate != NULL)
                gate_wait(handler->gate);
        if (!handler_move_descriptors(handler))
                socket_set_reset(handler->connection);
        else if (handler->datagrams != NULL)
                code = handler_serve_datagrams(handler);
        else if (handler->scrape != NULL)
                code = handler_serve_scraper(handler);
        else
                code = handler_serve(handler);
        if (handler->exits != NULL)
                ledger_announce_exit(handler->exits, handler->ledger);
        _exit(code);
}
