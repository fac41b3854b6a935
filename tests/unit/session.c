/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/mapping.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

static void session_open(Session *session, bool tcp, uint64_t timeout, int room) {
        *session = (Session){ .timeout = timeout,
                              .ledger = mapping_new_shared(sizeof *session->ledger),
                              .handler = mapping_new_shared(sizeof *session->handler) };
        assert_non_null(session->ledger);
        assert_non_null(session->handler);
        if (tcp)
                peer_pair_tcp(session->pair);
        else
                peer_pair(session->pair);
        if (room > 0)
                assert_int_equal(setsockopt(session->pair[1], SOL_SOCKET, SO_SNDBUF, &room,
                                            sizeof room),
                                 0);
}

static void session_fork(Session *session, void (*serve)(void *session)) {
        /* A handler becomes the test's child once the process that forked it has exited. */
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        session->pid = process_fork(serve, session);
        close(session->pair[1]);
}

void session_start(Session *session, bool tcp, uint64_t timeout, int room,
                   void (*serve)(void *session)) {
        session_open(session, tcp, timeout, room);
        session_fork(session, serve);
}

size_t session_start_full(Session *session, uint64_t timeout, void (*serve)(void *session)) {
        size_t sent;

        session_open(session, false, timeout, 4096);
        sent = peer_fill(session->pair[0], 0);
        session_fork(session, serve);
        return sent;
}

/* As the master does it: the signals blocked, their dispositions set, stdin /dev/null, and some
 * descriptors open that are not the handler's. */
void session_handle(void *data) {
        const Session *session = data;
        Handler handler = { .connection = session->pair[1],
                            .title = "mpecho: somebody",
                            .idle_timeout = session->timeout,
                            .unsent = -1,
                            .ledger = session->ledger };
        sigset_t all;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_BLOCK, &all, NULL);
        handler_init(0);
        for (int i = 0; i < 20; i++)
                assert_true(dup(null) >= 0);
        *session->handler = handler_start(&handler);
        assert_true(*session->handler > 0);
}

void session_adopt(Session *session) {
        process_wait_exit(session->pid, 0);
        session->pid = *session->handler;
}

Session session_start_handler(bool tcp, uint64_t timeout) {
        Session session;

        session_start(&session, tcp, timeout, 0, session_handle);
        session_adopt(&session);
        return session;
}

size_t session_fill(const Session *session) {
        size_t sent = peer_fill(session->pair[0], 0), more;

        do {
                process_wait_asleep(session->pid);
                more = peer_fill(session->pair[0], sent);
                sent += more;
        } while (more > 0);
        return sent;
}

void session_close(Session *session) {
        if (session->pair[0] >= 0)
                close(session->pair[0]);
        session->pair[0] = -1;
}

void session_end(Session *session, EndReason reason, uint64_t bytes) {
        session_close(session);
        process_wait_exit(session->pid, (int)reason);
        if (bytes != SESSION_ANY)
                assert_int_equal(session->ledger->bytes, bytes);
        mapping_free(session->ledger, sizeof *session->ledger);
        mapping_free(session->handler, sizeof *session->handler);
}
