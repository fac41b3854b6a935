/* SPDX-License-Identifier: MIT */
#include "journald.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/number.h"
#include "process.h"
#include "unit.h"

void journald_start(Journald *journald) {
        *journald = (Journald){ .name.sun_family = AF_UNIX };
        snprintf(journald->directory, sizeof journald->directory, "/tmp/mpecho-unit-XXXXXX");
        assert_non_null(mkdtemp(journald->directory));
        snprintf(journald->name.sun_path, sizeof journald->name.sun_path, "%s/socket",
                 journald->directory);
        journald_open(journald);
}

void journald_open(Journald *journald) {
        journald->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(journald->fd >= 0);
        assert_int_equal(bind(journald->fd, (const struct sockaddr *)&journald->name,
                              sizeof journald->name),
                         0);
}

void journald_close(Journald *journald) {
        if (journald->fd < 0)
                return;
        close(journald->fd);
        journald->fd = -1;
        assert_int_equal(unlink(journald->name.sun_path), 0);
}

void journald_stop(Journald *journald) {
        journald_close(journald);
        assert_int_equal(rmdir(journald->directory), 0);
}

int journald_set_up(void **state) {
        journald_start(*state);
        return 0;
}

int journald_tear_down(void **state) {
        journald_stop(*state);
        return 0;
}

bool journald_take(Journald *journald) {
        ssize_t n = recv(journald->fd, journald->record, RECORD_SIZE, MSG_DONTWAIT);

        if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                return false;
        }
        journald->record[n] = '\0';
        /* Whole lines, none with a NUL in it. */
        assert_int_equal(strlen(journald->record), n);
        assert_int_equal(journald->record[n - 1], '\n');
        return true;
}

void journald_expect(Journald *journald, RecordKind kind) {
        struct pollfd ready = { .fd = journald->fd, .events = POLLIN };

        assert_int_equal(poll(&ready, 1, PATIENCE_SECONDS * 1000), 1);
        assert_true(journald_take(journald));
        if (!journald_is(journald, kind))
                fail_msg("this is not a record of kind %u: %s", kind, journald->record);
}

void journald_expect_none(Journald *journald) {
        if (journald_take(journald))
                fail_msg("an unexpected record: %s", journald->record);
}

bool journald_is(const Journald *journald, RecordKind kind) {
        const char *id = journald_text(journald, "MESSAGE_ID");

        return id != NULL && strcmp(id, record_id(kind)) == 0;
}

const char *journald_text(const Journald *journald, const char *name) {
        static char value[RECORD_SIZE];
        const char *found = NULL;
        size_t length = strlen(name);

        for (const char *line = journald->record; *line != '\0'; line += strcspn(line, "\n") + 1)
                if (strncmp(line, name, length) == 0 && line[length] == '=') {
                        assert_null(found);
                        found = line + length + 1;
                }
        if (found == NULL)
                return NULL;
        snprintf(value, sizeof value, "%.*s", (int)strcspn(found, "\n"), found);
        return value;
}

uint64_t journald_number(const Journald *journald, const char *name) {
        const char *text = journald_text(journald, name);
        uint64_t number = 0;

        if (text == NULL || number_parse(text, 0, UINT64_MAX, &number) < 0)
                fail_msg("%s is no number in: %s", name, journald->record);
        return number;
}

const char *record_id(RecordKind kind) {
        static char id[33];
        char data[RECORD_SIZE];
        const Record record = {
                .kind = kind, .peer = "", .listener = "", .reason = "", .limit = "", .sentence = ""
        };
        const char *found;

        (void)record_format_journal(&record, data);
        found = strstr(data, "MESSAGE_ID=");
        assert_non_null(found);
        snprintf(id, sizeof id, "%.32s", found + strlen("MESSAGE_ID="));
        return id;
}
