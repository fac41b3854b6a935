/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* The peer of a connection. An IPv4 address mapped to IPv6 (RFC 4291, 2.5.5.2) is IPv4 here. The
 * peer on a Unix socket is a process. */
typedef struct Address {
        sa_family_t family;
        in_port_t port; /* in host byte order */
        uint32_t scope; /* IPv6 zone, 0 for none */
        union {
                struct in_addr ipv4;
                struct in6_addr ipv6;
                struct {
                        uid_t uid;
                        pid_t pid; /* 0 if this process ID namespace lacks the peer's process */
                } local;
                struct {
                        uint32_t cid;
                        uint32_t port;
                } machine; /* vsock(7) */
        };
} Address;

/* The unit of limits: an IPv4 address, an IPv6 /64 with its zone, a local user ID, or the CID of a
 * virtual machine. Two sources are equal if both their numbers are. */
typedef struct Source {
        uint64_t family_and_scope;
        uint64_t prefix;
} Source;

enum {
        /* Room for any address as text, the terminating NUL included. */
        ADDRESS_TEXT_SIZE = 72,
};

/*
 * address_from_peer: Identifies the peer of the connection @fd, on a Unix socket by SO_PEERCRED.
 *
 * @name: the address that accept4(2) returned for it, or NULL to ask getpeername(2).
 *
 * Returns 0 and sets @ret_address; a negative errno of getsockopt(2) or getpeername(2): -ENOTCONN
 * when the peer has reset the connection.
 */
int address_from_peer(int fd, const struct sockaddr_storage *name, Address *ret_address);

/*
 * address_from_bytes: Returns the IPv4 address of @size 4 or the IPv6 address of @size 16 at
 * @bytes, in network byte order, with @port in host byte order.
 *
 * address_source: Returns the source of @address.
 *
 * address_format: Writes @address to @text: "192.0.2.7:51234", "[2001:db8::7]:51234", "uid 1000 pid
 * 4242", "vsock:3:1024"; "unknown" if it is all zeros, "family N" for any other.
 */
Address address_from_bytes(const void *bytes, size_t size, in_port_t port);
Source address_source(const Address *address);
void address_format(const Address *address, char text[static ADDRESS_TEXT_SIZE]);

/* address_cut_host: Copies @text, in the form of address_format(), to @host without port and
 * process: "192.0.2.7", "2001:db8::7", "uid 1000", "vsock:3". Copies any other text as it is, cut
 * to the room. */
void address_cut_host(const char *text, char host[static ADDRESS_TEXT_SIZE]);

/* address_cut_source: Copies the source of @text to @source: the same, but an IPv6 network instead
 * of an address, "2001:db8::/64" or "fe80::%2/64". */
void address_cut_source(const char *text, char source[static ADDRESS_TEXT_SIZE]);
