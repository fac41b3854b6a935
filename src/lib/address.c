/* SPDX-License-Identifier: MIT */
/*
 * Identifies peers: by address, or by user and process on a Unix socket.
 *
 * An Address is binary, for the tables of the master, and has a text, for records and titles.
 * address_source() reduces it to the unit that limits count: whoever has one IPv6 address has 2^64
 * of them, and a local user has any number of processes. The journal sees only texts, so
 * address_cut_host() and address_cut_source() cut these.
 *
 * Nothing here may ask a name server: records would wait for it.
 */
#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

Address address_from_bytes(const void *bytes, size_t size, in_port_t port) {
        Address address = { .family = AF_INET, .port = port };
        struct in6_addr ipv6;

        if (size == sizeof address.ipv4) {
                memcpy(&address.ipv4, bytes, size);
                return address;
        }
        memcpy(&ipv6, bytes, sizeof ipv6);
        if (IN6_IS_ADDR_V4MAPPED(&ipv6)) {
                memcpy(&address.ipv4, &ipv6.s6_addr[12], sizeof address.ipv4);
        } else {
                address.family = AF_INET6;
                address.ipv6 = ipv6;
        }
        return address;
}

static Address address_from_ipv6(const struct sockaddr_in6 *name) {
        Address address = address_from_bytes(&name->sin6_addr, sizeof name->sin6_addr,
                                             ntohs(name->sin6_port));

        if (address.family == AF_INET6)
                address.scope = name->sin6_scope_id;
        return address;
}

int address_from_peer(int fd, const struct sockaddr_storage *name, Address *ret_address) {
        struct sockaddr_storage own = {};
        socklen_t length = sizeof own;
        struct ucred credentials;
        socklen_t size = sizeof credentials;
        Address address;

        if (name == NULL && getpeername(fd, (struct sockaddr *)&own, &length) < 0)
                return -errno;
        name = name != NULL ? name : &own;
        address = (Address){ .family = name->ss_family };

        switch (name->ss_family) {
        case AF_INET:
                address.port = ntohs(((const struct sockaddr_in *)name)->sin_port);
                address.ipv4 = ((const struct sockaddr_in *)name)->sin_addr;
                break;
        case AF_INET6:
                address = address_from_ipv6((const struct sockaddr_in6 *)name);
                break;
        case AF_VSOCK:
                address.machine.cid = ((const struct sockaddr_vm *)name)->svm_cid;
                address.machine.port = ((const struct sockaddr_vm *)name)->svm_port;
                break;
        case AF_UNIX:
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
                        return -errno;
                address.local.uid = credentials.uid;
                address.local.pid = credentials.pid;
                break;
        }
        *ret_address = address;
        return 0;
}

Source address_source(const Address *address) {
        Source source = { .family_and_scope = (uint64_t)address->family << 32 | address->scope };

        switch (address->family) {
        case AF_INET:
                source.prefix = address->ipv4.s_addr;
                break;
        case AF_INET6:
                memcpy(&source.prefix, &address->ipv6, sizeof source.prefix);
                break;
        case AF_UNIX:
                source.prefix = address->local.uid;
                break;
        case AF_VSOCK:
                source.prefix = address->machine.cid;
                break;
        }
        return source;
}

void address_format(const Address *address, char text[static ADDRESS_TEXT_SIZE]) {
        char number[INET6_ADDRSTRLEN];
        char zone[1 + 10 + 1] = "";

        switch (address->family) {
        case AF_INET:
                inet_ntop(AF_INET, &address->ipv4, number, sizeof number);
                snprintf(text, ADDRESS_TEXT_SIZE, "%s:%hu", number, address->port);
                break;
        case AF_INET6:
                inet_ntop(AF_INET6, &address->ipv6, number, sizeof number);
                if (address->scope != 0)
                        snprintf(zone, sizeof zone, "%%%u", address->scope);
                snprintf(text, ADDRESS_TEXT_SIZE, "[%s%s]:%hu", number, zone, address->port);
                break;
        case AF_UNIX:
                snprintf(text, ADDRESS_TEXT_SIZE, "uid %u pid %d", address->local.uid,
                         address->local.pid);
                break;
        case AF_VSOCK:
                snprintf(text, ADDRESS_TEXT_SIZE, "vsock:%u:%u", address->machine.cid,
                         address->machine.port);
                break;
        case AF_UNSPEC:
                snprintf(text, ADDRESS_TEXT_SIZE, "unknown");
                break;
        default:
                snprintf(text, ADDRESS_TEXT_SIZE, "family %hu", address->family);
        }
}

/* Returns the number of bytes from @start that belong to the host. */
static size_t address_host_length(const char *start, bool bracket) {
        const char *first = strchr(start, ':'), *last = strrchr(start, ':');

        if (bracket)
                return strcspn(start, "]");
        if (strncmp(start, "uid ", 4) == 0)
                return 4 + strcspn(start + 4, " ");
        if (last != NULL && (first == last || strncmp(start, "vsock:", 6) == 0))
                return (size_t)(last - start);
        return strlen(start);
}

void address_cut_host(const char *text, char host[static ADDRESS_TEXT_SIZE]) {
        const bool bracket = text[0] == '[';
        const char *start = text + bracket;

        snprintf(host, ADDRESS_TEXT_SIZE, "%.*s", (int)address_host_length(start, bracket), start);
}

void address_cut_source(const char *text, char source[static ADDRESS_TEXT_SIZE]) {
        char number[INET6_ADDRSTRLEN], zone[1 + 10 + 1];
        struct in6_addr network;
        size_t length;

        address_cut_host(text, source);
        length = strcspn(source, "%");
        snprintf(number, sizeof number, "%.*s", (int)length, source);
        snprintf(zone, sizeof zone, "%s", source + length);
        if (inet_pton(AF_INET6, number, &network) != 1)
                return;

        memset(&network.s6_addr[8], 0, 8);
        inet_ntop(AF_INET6, &network, number, sizeof number);
        snprintf(source, ADDRESS_TEXT_SIZE, "%s%s/64", number, zone);
}
