/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

typedef struct Address Address;
typedef struct Source Source;

/*
 * Who is at the other end of a connection. IPv6-mapped IPv4 addresses (RFC 4291, 2.5.5.2) are IPv4
 * here; a Unix socket's peer has no address and is known by its process.
 */
struct Address {
        sa_family_t family;
        in_port_t port; /* in host byte order */
        uint32_t scope; /* IPv6 zone, 0 for none */
        union {
                struct in_addr ipv4;
                struct in6_addr ipv6;
                struct {
                        uid_t uid;
                        pid_t pid; /* 0 when the peer's process cannot be seen from here */
                } local;
                struct {
                        uint32_t cid;
                        uint32_t port;
                } machine; /* vsock(7) */
        };
};

/*
 * What limits count by: an IPv4 address, an IPv6 /64 with its zone, a local uid, or a virtual
 * machine's CID. Two sources are the same when their two numbers are.
 */
struct Source {
        uint64_t family_and_scope;
        uint64_t prefix;
};

enum {
        /* Room for any address as text, the terminating NUL included. */
        ADDRESS_TEXT_SIZE = 72,
};

/*
 * address_from_peer: Identifies the peer of the connection @fd, a Unix one by SO_PEERCRED.
 *
 * @name: what accept4(2) returned for it, or NULL to ask getpeername(2).
 *
 * Returns 0 and sets @ret_address; a negative errno of getsockopt(2) or getpeername(2): -ENOTCONN
 * when the peer has reset the connection.
 */
int address_from_peer(int fd, const struct sockaddr_storage *name, Address *ret_address);

/*
 * address_source: the source that @address belongs to.
 */
Source address_source(const Address *address);

/*
 * address_format: writes @address to @text: "192.0.2.7:51234", "[2001:db8::7]:51234", "uid 1000 pid
 * 4242", "vsock:3:1024"; "unknown" when it is all zeros.
 */
void address_format(const Address *address, char text[static ADDRESS_TEXT_SIZE]);

/*
 * address_cut_host: writes to @host what @text, which address_format() has written, says of the
 * machine or user, without port and process: "192.0.2.7", "2001:db8::7", "uid 1000", "vsock:3".
 * Any other text stays as it is, cut to the room.
 */
void address_cut_host(const char *text, char host[static ADDRESS_TEXT_SIZE]);

/*
 * address_cut_source: the same for the source that address_source() counts: of an IPv6 address the
 * network, "2001:db8::/64", or "fe80::%2/64".
 */
void address_cut_source(const char *text, char source[static ADDRESS_TEXT_SIZE]);
