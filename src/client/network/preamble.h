/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/endpoint.h"

typedef struct Preamble Preamble;
typedef enum PreambleForm PreambleForm;

/*
 * The header of the PROXY protocol (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)
 * that the client sends first, as a proxy does; or a wrong one, to test servers.
 */

enum PreambleForm {
        PREAMBLE_NONE,
        PREAMBLE_1, /* versions 1 and 2 */
        PREAMBLE_2,
        PREAMBLE_UNKNOWN, /* no addresses: version 1, version 2 */
        PREAMBLE_LOCAL,
        PREAMBLE_NO_CR, /* version 1: LF alone at the end */
        PREAMBLE_LONG,  /* more than 107 bytes before the end */
        PREAMBLE_PROTOCOL,
        PREAMBLE_PORT,      /* a leading zero */
        PREAMBLE_SIGNATURE, /* version 2 */
        PREAMBLE_VERSION,
        PREAMBLE_COMMAND,
        PREAMBLE_FAMILY,
        PREAMBLE_SHORT, /* a length that ends within the addresses */
        PREAMBLE_TLV,   /* longer than the header */
        PREAMBLE_CHECKSUM,
        PREAMBLE_FORMS,
};

struct Preamble {
        PreambleForm form;
        /* Internet addresses of one family; of length 0 for those of the connection. */
        Endpoint source;
        Endpoint destination;
};

enum {
        PREAMBLE_SIZE = 256,
};

/*
 * preamble_parse: Parses "FORM" or "FORM,SOURCE,DESTINATION". FORM is 1, 2, local, unknown, or a
 * wrong form of the list in mpecho-client(1). An address has a port and is numeric.
 *
 * Returns 0 and sets @ret_preamble, or -EINVAL.
 */
int preamble_parse(const char *text, Preamble *ret_preamble);

/*
 * preamble_format: Writes the header for a connection from @source to @destination. Those of other
 * families than IPv4 and IPv6, or of two, are not named.
 *
 * Returns its length.
 */
size_t preamble_format(const Preamble *preamble, const Endpoint *source,
                       const Endpoint *destination, uint8_t ret_bytes[static PREAMBLE_SIZE]);

/*
 * preamble_send: Sends the header on @fd, which has just connected. Does nothing without a form.
 *
 * Returns 0, or a negative errno of getsockname(2), getpeername(2) or send(2).
 */
int preamble_send(const Preamble *preamble, int fd);
