/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct Endpoint Endpoint;

/*
 * A socket address that somebody wrote down, ready for bind(2) or connect(2).
 */
struct Endpoint {
        union {
                struct sockaddr any;
                struct sockaddr_in ipv4;
                struct sockaddr_in6 ipv6;
                struct sockaddr_un local;
        };
        socklen_t length;
        /* A port alone: all addresses of the machine, IPv6 and IPv4 on one socket. */
        bool wildcard;
};

enum {
        /* Room for any endpoint as text, the terminating NUL included: each of the bytes of a path
           may need four. */
        ENDPOINT_TEXT_SIZE = 4 * sizeof(((struct sockaddr_un *)0)->sun_path) + 2,
};

/*
 * endpoint_parse: reads "PORT", "ADDRESS:PORT", "[ADDRESS6]:PORT", "/path" or "@abstract".
 *
 * Addresses are numeric; an IPv6 address may carry a zone ("[fe80::1%eth0]:7"). A port is 0 to
 * 65535, where 0 lets the kernel choose one (ip(7)). Paths and abstract names are those of unix(7).
 *
 * Returns 0 and sets @ret_endpoint. Returns -EINVAL when @text is none of these and sets @ret_why
 * to half a sentence that says what is wrong with it, a constant string.
 */
int endpoint_parse(const char *text, Endpoint *ret_endpoint, const char **ret_why);

/*
 * endpoint_parse_local: like endpoint_parse(), for "/path" and "@abstract" only.
 */
int endpoint_parse_local(const char *text, Endpoint *ret_endpoint, const char **ret_why);

/*
 * endpoint_is_local: whether @text is meant as a "/path" or an "@abstract" name.
 */
bool endpoint_is_local(const char *text);

/*
 * endpoint_from_socket: the address that the socket @fd is bound to, as getsockname(2) tells it.
 *
 * Returns 0 and sets @ret_endpoint, or a negative errno of getsockname(2).
 */
int endpoint_from_socket(int fd, Endpoint *ret_endpoint);

/*
 * endpoint_format: writes @endpoint to @text as endpoint_parse() reads it. Bytes of a path that are
 * not printable ASCII become "\xNN"; a vsock(7) address becomes "vsock:CID:PORT", without CID when
 * it is any; another address family "family N".
 */
void endpoint_format(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]);
