/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

int service_set_up(void **state) {
        Service *service = *state;

        *service = (Service){};
        journald_start(&service->journald);
        return 0;
}

int service_tear_down(void **state) {
        Service *service = *state;

        journald_stop(&service->journald);
        return 0;
}

static void service_start(Service *service, const Options *options) {
        static char text[] = "127.0.0.1:0";
        static char *listen[] = { text };
        const Inherited none = { .connection = -1 };
        Failure failure = {};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        close(null);
        service->options = *options;
        if (options->n_listen == 0) {
                service->options.listen = listen;
                service->options.n_listen = 1;
        }
        assert_int_equal(journal_new(LOG_TARGET_JOURNAL, LOG_INFO, service->journald.name.sun_path,
                                     &service->journal),
                         0);
        assert_int_equal(listeners_new(&service->options, &none, &service->listeners, &failure), 0);
        service->port = peer_port(service->listeners->items[0].fd);
}

void service_start_connections(Service *service, const Options *options) {
        service_start(service, options);
        handler_init(0);
        assert_int_equal(connections_new(&service->options, service->listeners, 0, service->journal,
                                         &service->connections),
                         0);
}

void service_start_proxy(Service *service, uint32_t most) {
        Options options = { .max_connections = most, .max_per_source = 1 };
        const char *why;

        assert_int_equal(networks_parse("127.0.0.1", &options.proxy_from, &why), 0);
        service_start_connections(service, &options);
        service->listeners->items[0].kind = LISTENER_PROXY;
}

void service_start_master(Service *service, const Options *options) {
        service_start(service, options);
        assert_int_equal(master_new(&service->options, service->listeners, service->restore,
                                    service->journal, &service->master),
                         0);
}

void service_flush(Service *service) {
        journal_finish(service->journal, 0);
}

void service_expect(Service *service, RecordKind kind) {
        service_flush(service);
        journald_expect(&service->journald, kind);
}

void service_expect_none(Service *service) {
        service_flush(service);
        journald_expect_none(&service->journald);
}

void service_stop(Service *service) {
        int status = 0;

        service_expect_none(service);
        /* No handler is left, only children that have closed something (discard.h). */
        while (waitpid(-1, &status, 0) > 0)
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(errno, ECHILD);
        assert_null(connections_free(service->connections));
        assert_null(master_free(service->master));
        listeners_free(service->listeners);
        journal_free(service->journal);
}

int service_connect(const Service *service, in_addr_t from) {
        int client = peer_connect(service->port, from);

        /* A client is connected a moment before there is something to accept. */
        peer_wait_readable(service->listeners->items[0].fd);
        return client;
}

int service_take(Service *service, in_addr_t from, pid_t *ret_handler) {
        int client = service_connect(service, from);

        if (service->master != NULL) {
                service_turn_until(service, RECORD_ACCEPTED);
        } else {
                connections_accept(service->connections, &service->listeners->items[0],
                                   clock_now());
                service_expect(service, RECORD_ACCEPTED);
        }
        *ret_handler = (pid_t)journald_number(&service->journald, "MPECHO_HANDLER_PID");
        return client;
}

int service_take_silent(Service *service, in_addr_t from, pid_t *ret_handler) {
        int client = service_connect(service, from);

        connections_accept(service->connections, &service->listeners->items[0], clock_now());
        service_expect_none(service);
        *ret_handler = 0;
        for (const Connection *one = roster_next(service->connections->roster, NULL); one != NULL;
             one = roster_next(service->connections->roster, one))
                *ret_handler = one->handler;
        assert_int_not_equal(*ret_handler, 0);
        return client;
}

void service_echo(int client, pid_t handler) {
        peer_echo(client, "Hello");
        process_wait_asleep(handler);
}

void service_end(Service *service, int client, pid_t handler, RecordKind kind) {
        close(client);
        process_wait_ended(handler);
        assert_true(connections_reap(service->connections, clock_now()));
        service_expect(service, kind);
}

void service_leave(Service *service, int client, pid_t handler) {
        service_end(service, client, handler, RECORD_CLOSED);
        assert_int_equal(journald_number(&service->journald, "MPECHO_HANDLER_PID"), handler);
}

void service_turn_until(Service *service, RecordKind kind) {
        while (!journald_take(&service->journald))
                assert_int_equal(master_turn(service->master, CLOCK_SECOND), MASTER_RUNNING);
        if (!journald_is(&service->journald, kind))
                fail_msg("this is not a record of kind %u: %s", kind, service->journald.record);
}

void service_turn_until_done(Service *service) {
        int r;

        do
                r = master_turn(service->master, CLOCK_SECOND);
        while (r == MASTER_RUNNING);
        assert_int_equal(r, 0);
}
