/* SPDX-License-Identifier: MIT */
#include "handler/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/echo.h"
#include "handler/fork.h"
#include "handler/proctitle.h"
#include "lib/clock.h"
#include "restart/unsent.h"

/* How long a peer has to read what is being written when the handler is told to stop: what is left
 * goes to the next handler, or else is lost. */
#define HANDOVER_PATIENCE (CLOCK_SECOND / 10)
#define STOP_PATIENCE     (3 * CLOCK_SECOND)

/* What the signal handler and the connection share. */
static struct {
        volatile sig_atomic_t serving; /* the two descriptors are those of a connection */
        volatile sig_atomic_t stopping;
        int in;
        int out;
} state;

static char buffer[256 * 1024];

/* A read that waits is interrupted and the next one reads the end of /dev/null; a write goes on. */
static void handler_stop(int number) {
        int error = errno;

        if (!state.serving) {
                /* This is the master, which does not block SIGABRT. */
                (void)signal(number, SIG_DFL);
                (void)raise(number);
                return;
        }
        state.stopping = 1;
        (void)dup2(STDIN_FILENO, state.in);
        echo_hurry(state.out);
        errno = error;
}

void handler_init(void) {
        static const int stopping[] = { SIGTERM, SIGINT, SIGABRT };
        static const int ignored[] = { SIGHUP, SIGPIPE, SIGUSR1 };

        /* No SA_RESTART: the read must return. */
        for (size_t i = 0; i < sizeof stopping / sizeof stopping[0]; i++)
                (void)sigaction(stopping[i], &(struct sigaction){ .sa_handler = handler_stop },
                                NULL);
        for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
                (void)sigaction(ignored[i], &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
        /* Whoever started the master may have ignored it, which would reap handlers behind its
         * back. */
        (void)sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
        fork_prepare();
}

void handler_format_title(const char *peer, char ret_title[static HANDLER_TITLE_SIZE]) {
        snprintf(ret_title, HANDLER_TITLE_SIZE, "mpecho: %s", peer);
}

void handler_prepare(const Handler *handler) {
        echo_init(handler->connection, handler->idle_timeout_usec);
}

/* What the last handler had read and could not write is written first. */
static void handler_take_pending(const Handler *handler, Echo *echo) {
        uint64_t cookie;
        ssize_t n;

        if (handler->pending < 0)
                return;
        n = pending_read(handler->pending, echo->buffer, echo->buffer_size, &cookie);
        /* It may still be stored when this master is killed: nobody is to write it twice. */
        if (ftruncate(handler->pending, 0) < 0)
                n = 0;
        close(handler->pending);
        if (n > 0) {
                echo->pending = echo->buffer;
                echo->pending_size = (size_t)n;
        }
}

int handler_serve(const Handler *handler) {
        Echo echo = { .in = handler->connection,
                      .buffer = buffer,
                      .buffer_size = sizeof buffer,
                      .timeout_usec = handler->idle_timeout_usec,
                      .stop_patience_usec =
                                      handler->handover != NULL ? HANDOVER_PATIENCE : STOP_PATIENCE,
                      .bytes = &handler->slot->bytes,
                      .stopping = &state.stopping };
        Reason reason;

        echo.out = dup(handler->connection);
        if (echo.out < 0)
                return REASON_FAILED;
        state.in = echo.in;
        state.out = echo.out;
        state.serving = true;
        title_set(handler->title);
        handler_take_pending(handler, &echo);

        fork_unblock_signals();
        reason = echo_run(&echo);
        if (reason == REASON_STOPPED && handler->handover != NULL &&
            handover_give(handler->handover, echo.out, echo.pending, echo.pending_size) == 0)
                return HANDLER_HANDED_OVER;
        /* Should the master not be there to see the exit code. */
        atomic_store_explicit(&handler->slot->reason, (uint32_t)reason + 1, memory_order_relaxed);
        if (reason == REASON_IDLE || reason == REASON_STALLED || reason == REASON_STOPPED)
                echo_finish(&echo);
        return (int)reason;
}

_Noreturn void handler_run(const Handler *handler) {
        const int in = STDERR_FILENO + 1, pending = in + 1;
        int first_other = pending, code;
        Handler child = *handler;

        if (handler->pending >= 0) {
                /* First out of the way, wherever it is. */
                child.pending = fcntl(handler->pending, F_DUPFD, pending + 1);
                first_other++;
        }
        child.connection = dup2(handler->connection, in);
        if (child.pending >= 0)
                child.pending = dup2(child.pending, pending);
        if (child.connection < 0)
                fork_exit(REASON_FAILED);
        (void)close_range((unsigned)first_other, ~0U, 0);
        code = handler_serve(&child);
        if (child.exits != NULL)
                roster_tell_exit(child.exits, child.slot);
        fork_exit(code);
}

pid_t handler_start(const Handler *handler) {
        pid_t pid;

        handler_prepare(handler);
        pid = fork_child();
        if (pid == 0)
                handler_run(handler);
        return pid;
}

bool handler_handed_over(int status) {
        return WIFEXITED(status) && WEXITSTATUS(status) == HANDLER_HANDED_OVER;
}
