/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Older kernels' header needs <sys/socket.h> before it. */
#include <linux/vm_sockets.h>

/* A socket address, numeric or of a Unix socket, ready for bind(2) or connect(2). */
typedef struct Endpoint {
        union {
                struct sockaddr any;
                struct sockaddr_in ipv4;
                struct sockaddr_in6 ipv6;
                struct sockaddr_un local;
                struct sockaddr_vm machine; /* vsock(7) */
        };
        socklen_t length;
        /* From a bare port: all addresses of the machine, IPv6 and IPv4 on one socket. */
        bool wildcard;
} Endpoint;

enum {
        /* Room for any endpoint as text, with the terminating NUL: each byte of a path can become
           four. */
        ENDPOINT_TEXT_SIZE = 4 * sizeof(((struct sockaddr_un *)0)->sun_path) + 2,
};

/*
 * endpoint_parse: Parses "PORT", "ADDRESS:PORT", "[ADDRESS6]:PORT", "/path", "@abstract",
 * "vsock:CID:PORT" or, for any CID, "vsock::PORT".
 *
 * Addresses are numeric; an IPv6 address can have a zone ("[fe80::1%eth0]:7"). A port is 0 to
 * 65535; with 0 the kernel chooses one (ip(7)). Paths and abstract names are those of unix(7). A
 * CID and its port are those of vsock(7), 0 to 4294967295; with port 0 the kernel chooses one.
 *
 * Returns 0 and sets @ret_endpoint; or -EINVAL and sets @ret_why to half a sentence that explains
 * the error, a constant string.
 */
int endpoint_parse(const char *text, Endpoint *ret_endpoint, const char **ret_why);

/*
 * endpoint_parse_local: Parses "/path" or "@abstract" like endpoint_parse().
 *
 * endpoint_is_local: Returns whether @text begins like "/path" or "@abstract".
 *
 * endpoint_is_internet: Returns whether @text can name a host or an address of the internet: it
 * begins like neither "/path" nor "@abstract" nor "vsock:CID:PORT", behind which no port follows.
 */
int endpoint_parse_local(const char *text, Endpoint *ret_endpoint, const char **ret_why);
bool endpoint_is_local(const char *text);
bool endpoint_is_internet(const char *text);

/*
 * endpoint_from_socket: Finds the address of the socket @fd.
 *
 * Returns 0 and sets @ret_endpoint, or a negative errno of getsockname(2).
 */
int endpoint_from_socket(int fd, Endpoint *ret_endpoint);

/* endpoint_port: Returns the port of @endpoint in host byte order; 0 for a family without ports. */
uint32_t endpoint_port(const Endpoint *endpoint);

/* endpoint_format: Writes @endpoint to @text in the form that endpoint_parse() reads. Bytes of a
 * path outside of printable ASCII become "\xNN". An address family that endpoint_parse() does not
 * know becomes "family N". */
void endpoint_format(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]);
