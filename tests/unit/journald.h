/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "report/record.h"

typedef struct Journald Journald;

/*
 * What systemd-journald(8) is to the service: a datagram socket in a temporary directory, and the
 * record that came last.
 */
struct Journald {
        char directory[64];
        struct sockaddr_un name;
        int fd; /* -1 while there is none */
        char record[RECORD_SIZE + 1];
};

/*
 * journald_start: makes the directory and the socket. journald_stop: removes both.
 */
void journald_start(Journald *journald);
void journald_stop(Journald *journald);

/*
 * journald_set_up, journald_tear_down: the same for a test whose initial state is a Journald, see
 * cmocka_unit_test_prestate_setup_teardown().
 */
int journald_set_up(void **state);
int journald_tear_down(void **state);

/*
 * journald_open, journald_close: makes and removes the socket only.
 */
void journald_open(Journald *journald);
void journald_close(Journald *journald);

/*
 * journald_take: receives a record that is there already. Returns whether there was one.
 */
bool journald_take(Journald *journald);

/*
 * journald_expect: waits for the next record and asserts that it is of @kind.
 */
void journald_expect(Journald *journald, RecordKind kind);

/*
 * journald_expect_none: asserts that no record has come.
 */
void journald_expect_none(Journald *journald);

/*
 * journald_is: whether the record that came last is of @kind.
 */
bool journald_is(const Journald *journald, RecordKind kind);

/*
 * journald_text: the field @name of the record that came last, a static string; NULL when it has
 * none. A field that comes twice fails the test.
 *
 * journald_number: the field @name, which must be there, as a number.
 */
const char *journald_text(const Journald *journald, const char *name);
uint64_t journald_number(const Journald *journald, const char *name);

/*
 * record_id: the MESSAGE_ID of records of @kind, a static string.
 */
const char *record_id(RecordKind kind);
