/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/endpoint.c --unwind 14 --unwindset strlen.0:112 */
/* smaller: s/4 . sizeof.*sun_path)/4 * 12/ src/lib/endpoint.h */
/* endpoint_parse_local() takes each name of up to 107 bytes and no longer one; endpoint_format()
 * writes each name that the kernel can return, whatever its bytes are, within the room for it. */
#include "lib/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "prove.h"

enum {
        PATH_SIZE = sizeof((struct sockaddr_un *)NULL)->sun_path,
};

/* Writes "\xNN". */
int sprintf(char *restrict text, const char *restrict format, ...) {
        (void)format;
        prove(__CPROVER_w_ok(text, 5), "a byte of a path has room");
        text[0] = '\\';
        text[4] = '\0';
        return 4;
}

int snprintf(char *restrict text, size_t size, const char *restrict format, ...) {
        (void)format;
        prove(__CPROVER_w_ok(text, size), "snprintf() has as much room as it is said");
        text[0] = '\0';
        return 0;
}

size_t strnlen(const char *text, size_t size) {
        size_t length = 0;

        while (length < size && text[length] != '\0')
                length++;
        return length;
}

static void prove_parse(void) {
        char text[PATH_SIZE + 3];
        const size_t length = nondet_size();
        const char *why = NULL;
        Endpoint endpoint;
        int r;

        assume(length >= 1 && length < sizeof text);
        fill(text, sizeof text);
        text[0] = nondet_bool() ? '/' : '@';
        text[length] = '\0';
        assume(strlen(text) == length);

        r = endpoint_parse_local(text, &endpoint, &why);
        prove(r < 0 || endpoint.length <= sizeof endpoint.local,
              "bind(2) gets no byte beyond the name");
        prove((r == 0) == (length < PATH_SIZE + (text[0] == '@') && strcmp(text, "@") != 0),
              "endpoint_parse_local() takes names that fit");
        prove(r == 0 || why != NULL, "endpoint_parse_local() explains what is wrong");
}

static void prove_format(void) {
        char text[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint;

        fill(&endpoint, sizeof endpoint);
        endpoint.any.sa_family = AF_UNIX;
        assume(endpoint.length >= offsetof(struct sockaddr_un, sun_path) &&
               endpoint.length <= offsetof(struct sockaddr_un, sun_path) + 12);
        endpoint_format(&endpoint, text);
}

void harness(void) {
        if (nondet_bool())
                prove_parse();
        else
                prove_format();
}
