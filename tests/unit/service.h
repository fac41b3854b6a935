/* SPDX-License-Identifier: MIT */
#pragma once

#include "journald.h"
#include "restart/restore.h"
#include "server/connections.h"
#include "server/master.h"
#include "start/listeners.h"
#include "start/options.h"

typedef struct Service Service;

/*
 * A service that the test steps, in a child, and is the client and the journal of.
 */
struct Service {
        Journald journald;
        Options options;
        Restore *restore; /* of a master; NULL without a store */
        Listeners *listeners;
        Journal *journal;
        Connections *connections; /* one of these two */
        Master *master;
        in_port_t port;
};

/*
 * service_set_up, service_tear_down: for a test whose initial state is a Service, see
 * cmocka_unit_test_prestate_setup_teardown(): its journal is there when it begins.
 */
int service_set_up(void **state);
int service_tear_down(void **state);

/*
 * service_start_connections, service_start_master: listens as @options says, the first of them a
 * loopback port, or on one when they name nothing; makes stdin /dev/null. The journal must have
 * been started.
 *
 * service_start_proxy: the same for connections of a PROXY listener, at most @most, one of each
 * source.
 *
 * service_stop: asserts that there is no record left to read, and no child; frees all but the
 * journal.
 */
void service_start_connections(Service *service, const Options *options);
void service_start_master(Service *service, const Options *options);
void service_start_proxy(Service *service, uint32_t most);
void service_stop(Service *service);

/*
 * service_connect: a client on the loopback address @from, which the caller closes.
 */
int service_connect(const Service *service, in_addr_t from);

/*
 * service_take: connects a client and has it accepted. Returns its socket, which the caller closes,
 * and the pid of its handler.
 *
 * service_take_silent: the same at a PROXY listener, to which the client sends no header.
 */
int service_take(Service *service, in_addr_t from, pid_t *ret_handler);
int service_take_silent(Service *service, in_addr_t from, pid_t *ret_handler);

/*
 * service_echo: has @handler echo 5 bytes and go back to waiting: all of it is counted then.
 */
void service_echo(int client, pid_t handler);

/*
 * service_end: closes @client, lets the connections reap @handler, and reads the record of @kind.
 * service_leave: the same, of a closed connection.
 */
void service_end(Service *service, int client, pid_t handler, RecordKind kind);
void service_leave(Service *service, int client, pid_t handler);

/*
 * service_flush: has all records written that wait for others.
 * service_expect, service_expect_none: the same, then those of Journald.
 */
void service_flush(Service *service);
void service_expect(Service *service, RecordKind kind);
void service_expect_none(Service *service);

/*
 * service_turn_until: takes turns of the master until there is a record, which must be of @kind.
 * service_turn_until_done: until the master is done. The deadline is that of the child.
 */
void service_turn_until(Service *service, RecordKind kind);
void service_turn_until_done(Service *service);
