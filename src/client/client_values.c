/* SPDX-License-Identifier: MIT */
#include "client/client_values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <string.h>

#include "client/instant.h"
#include "client/quantity.h"
#include "lib/number.h"

int client_values_parse_port(const char *text, in_port_t *ret_port, Failure *failure) {
        const struct servent *service;
        uint64_t port;

        if (number_parse(text, 1, UINT16_MAX, &port) == 0) {
                *ret_port = (in_port_t)port;
                return 0;
        }
        /* What begins like a number was meant as one. */
        service = isdigit((unsigned char)text[0]) ? NULL : getservbyname(text, "tcp");
        if (service == NULL)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "a port is a number from 1 to 65535 or the name of a TCP "
                                   "service, not '%s'",
                                   text);
        *ret_port = ntohs((in_port_t)service->s_port);
        return 0;
}

int client_values_parse_source(const char *text, Endpoint *ret_source, Failure *failure) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
        struct addrinfo *result;
        Endpoint source = {};

        if (getaddrinfo(text, NULL, &hints, &result) != 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "--source takes an IPv4 or IPv6 address, not '%s'", text);
        source.length = result->ai_addrlen;
        memcpy(&source, result->ai_addr, result->ai_addrlen);
        freeaddrinfo(result);
        *ret_source = source;
        return 0;
}

int client_values_parse_size(const char *option, const char *text, uint64_t minimum,
                             uint64_t maximum, uint64_t *ret_size, Failure *failure) {
        char most[QUANTITY_TEXT_SIZE];

        if (quantity_parse_size(text, minimum, maximum, ret_size) < 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "--%s takes a number of bytes from %" PRIu64 " to %s, which may "
                                   "end in K, M or G, not '%s'",
                                   option, minimum, quantity_format_bytes((double)maximum, most),
                                   text);
        return 0;
}

int client_values_parse_number(const char *option, const char *text, uint64_t minimum,
                               uint64_t maximum, uint64_t *ret_number, Failure *failure) {
        if (number_parse(text, minimum, maximum, ret_number) < 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "--%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                                   option, minimum, maximum, text);
        return 0;
}

int client_values_parse_seconds(const char *option, const char *text, uint64_t minimum,
                                uint64_t maximum, uint64_t *ret_time, Failure *failure) {
        char least[QUANTITY_TEXT_SIZE], most[QUANTITY_TEXT_SIZE];

        if (quantity_parse_time(text, INSTANT_SECOND, minimum, maximum, ret_time) < 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "--%s takes a number of seconds from %s to %s, not '%s'", option,
                                   quantity_format_time(minimum, least),
                                   quantity_format_time(maximum, most), text);
        return 0;
}

int client_values_parse_milliseconds(const char *option, const char *text, uint64_t minimum,
                                     uint64_t maximum, uint64_t *ret_time, Failure *failure) {
        if (quantity_parse_time(text, INSTANT_MILLISECOND, minimum, maximum, ret_time) < 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "--%s takes a number of milliseconds above 0, not '%s'", option,
                                   text);
        return 0;
}
