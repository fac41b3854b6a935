/* SPDX-License-Identifier: MIT */
/*
 * Parses and formats socket addresses: the LISTEN words of a command line, the address of a passed
 * socket, the socket of the service manager.
 *
 * A LISTEN word is strict, because a mistake would open another port than meant. It is numeric, an
 * IPv6 address needs brackets, and each error has its own explanation. The texts go to records, so
 * endpoint_format() escapes bytes that a terminal or the journal interprets.
 *
 * Nothing here may ask a name server: it could block the start, or choose where the service
 * listens.
 */
#include "lib/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"

#define VSOCK_PREFIX "vsock:"

bool endpoint_is_local(const char *text) {
        return text[0] == '/' || text[0] == '@';
}

bool endpoint_is_internet(const char *text) {
        return !endpoint_is_local(text) && strncmp(text, VSOCK_PREFIX, strlen(VSOCK_PREFIX)) != 0;
}

int endpoint_parse_local(const char *text, Endpoint *ret_endpoint, const char **ret_why) {
        size_t length = strlen(text);
        bool abstract = text[0] == '@';
        Endpoint endpoint = { .local.sun_family = AF_UNIX };

        if (abstract && length == 1) {
                *ret_why = "a name must follow the @";
                return -EINVAL;
        }
        /* A path keeps its terminating NUL; in an abstract name a NUL replaces the @. */
        if (length + (abstract ? 0 : 1) > sizeof endpoint.local.sun_path) {
                *ret_why = "a Unix socket's name has at most 107 bytes";
                return -EINVAL;
        }
        memcpy(endpoint.local.sun_path, text, length);
        if (abstract)
                endpoint.local.sun_path[0] = '\0';
        endpoint.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
                                      (abstract ? 0 : 1));
        *ret_endpoint = endpoint;
        return 0;
}

static int endpoint_parse_port(const char *text, in_port_t *ret_port, const char **ret_why) {
        uint64_t port;

        if (number_parse(text, 0, UINT16_MAX, &port) < 0) {
                *ret_why = "a port is a number from 0 to 65535";
                return -EINVAL;
        }
        *ret_port = htons((uint16_t)port);
        return 0;
}

static int endpoint_parse_address(const char *text, int family, Endpoint *ret_endpoint) {
        const struct addrinfo hints = { .ai_family = family,
                                        .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_NUMERICHOST };
        struct addrinfo *result;
        Endpoint endpoint = {};

        if (getaddrinfo(text, NULL, &hints, &result) != 0)
                return -EINVAL;
        endpoint.length = result->ai_addrlen;
        memcpy(&endpoint.any, result->ai_addr, result->ai_addrlen);
        freeaddrinfo(result);
        *ret_endpoint = endpoint;
        return 0;
}

static int endpoint_parse_internet(const char *text, const char *colon, Endpoint *ret_endpoint,
                                   const char **ret_why) {
        char address[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
        bool bracketed = text[0] == '[';
        size_t length = (size_t)(colon - text) - (bracketed ? 2 : 0);
        Endpoint endpoint;
        in_port_t port;
        int r;

        r = endpoint_parse_port(colon + 1, &port, ret_why);
        if (r < 0)
                return r;
        *ret_why = bracketed ? "the brackets contain no IPv6 address"
                             : "an IPv4 address must precede the colon";
        if (length >= sizeof address)
                return -EINVAL;
        memcpy(address, text + (bracketed ? 1 : 0), length);
        address[length] = '\0';
        /* Rejects the short forms of inet_aton(3), "127.1" or "1": they are likely mistakes. */
        if (!bracketed && inet_pton(AF_INET, address, &(struct in_addr){}) != 1)
                return -EINVAL;
        r = endpoint_parse_address(address, bracketed ? AF_INET6 : AF_INET, &endpoint);
        if (r < 0)
                return r;
        if (bracketed)
                endpoint.ipv6.sin6_port = port;
        else
                endpoint.ipv4.sin_port = port;
        *ret_endpoint = endpoint;
        return 0;
}

/* In the form of ListenStream= (systemd.socket(5)). */
static int endpoint_parse_vsock(const char *text, Endpoint *ret_endpoint, const char **ret_why) {
        const char *start = text + strlen(VSOCK_PREFIX), *colon = strchr(start, ':');
        uint64_t cid = VMADDR_CID_ANY, port;
        char number[sizeof "4294967295"];

        *ret_why = "an address of vsock is vsock:CID:PORT or vsock::PORT";
        if (colon == NULL || (size_t)(colon - start) >= sizeof number)
                return -EINVAL;
        memcpy(number, start, (size_t)(colon - start));
        number[colon - start] = '\0';
        if (colon != start && number_parse(number, 0, UINT32_MAX, &cid) < 0)
                return -EINVAL;
        if (number_parse(colon + 1, 0, UINT32_MAX, &port) < 0)
                return -EINVAL;
        *ret_endpoint = (Endpoint){
                .machine = { .svm_family = AF_VSOCK,
                             .svm_cid = (uint32_t)cid,
                             .svm_port = port != 0 ? (uint32_t)port : VMADDR_PORT_ANY },
                .length = sizeof(struct sockaddr_vm),
        };
        return 0;
}

int endpoint_parse(const char *text, Endpoint *ret_endpoint, const char **ret_why) {
        const char *colon = strrchr(text, ':');
        in_port_t port;
        int r;

        if (endpoint_is_local(text))
                return endpoint_parse_local(text, ret_endpoint, ret_why);
        if (!endpoint_is_internet(text))
                return endpoint_parse_vsock(text, ret_endpoint, ret_why);
        if (text[0] == '[' && (colon == NULL || colon[-1] != ']')) {
                *ret_why = "a port must follow the IPv6 address in brackets, as in [::1]:7";
                return -EINVAL;
        }
        if (colon != NULL && text[0] != '[' && strchr(text, ':') != colon) {
                *ret_why = "an IPv6 address belongs in brackets, as in [::1]:7";
                return -EINVAL;
        }
        if (colon != NULL)
                return endpoint_parse_internet(text, colon, ret_endpoint, ret_why);
        r = endpoint_parse_port(text, &port, ret_why);
        if (r < 0)
                return r;
        *ret_endpoint = (Endpoint){
                .ipv6 = { .sin6_family = AF_INET6,
                          .sin6_port = port,
                          .sin6_addr = IN6ADDR_ANY_INIT },
                .length = sizeof(struct sockaddr_in6),
                .wildcard = true,
        };
        return 0;
}

int endpoint_from_socket(int fd, Endpoint *ret_endpoint) {
        struct sockaddr_storage storage;
        Endpoint endpoint = {};
        socklen_t length = sizeof storage;

        if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0)
                return -errno;
        /* The text of a family with longer addresses has only its number. */
        endpoint.length = length < sizeof endpoint.local ? length : sizeof endpoint.local;
        memcpy(&endpoint.local, &storage, endpoint.length);
        *ret_endpoint = endpoint;
        return 0;
}

uint32_t endpoint_port(const Endpoint *endpoint) {
        switch (endpoint->any.sa_family) {
        case AF_INET:
                return ntohs(endpoint->ipv4.sin_port);
        case AF_INET6:
                return ntohs(endpoint->ipv6.sin6_port);
        case AF_VSOCK:
                return endpoint->machine.svm_port;
        default:
                return 0;
        }
}

static void endpoint_format_local(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]) {
        size_t length = endpoint->length - offsetof(struct sockaddr_un, sun_path);
        const char *path = endpoint->local.sun_path;
        size_t written = 0;

        if (length == 0) {
                snprintf(text, ENDPOINT_TEXT_SIZE, "unnamed");
                return;
        }
        if (path[0] == '\0')
                text[written++] = '@';
        else
                length = strnlen(path, length);
        for (size_t i = written; i < length; i++)
                if (path[i] > ' ' && path[i] <= '~' && path[i] != '\\')
                        text[written++] = path[i];
                else
                        written += (size_t)sprintf(text + written, "\\x%02x",
                                                   (unsigned char)path[i]);
        text[written] = '\0';
}

static void endpoint_format_vsock(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]) {
        const struct sockaddr_vm *name = &endpoint->machine;

        if (name->svm_cid == VMADDR_CID_ANY)
                snprintf(text, ENDPOINT_TEXT_SIZE, "vsock::%u", name->svm_port);
        else
                snprintf(text, ENDPOINT_TEXT_SIZE, "vsock:%u:%u", name->svm_cid, name->svm_port);
}

void endpoint_format(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]) {
        char address[INET6_ADDRSTRLEN];
        char zone[1 + 10 + 1] = "";

        switch (endpoint->any.sa_family) {
        case AF_INET:
                inet_ntop(AF_INET, &endpoint->ipv4.sin_addr, address, sizeof address);
                snprintf(text, ENDPOINT_TEXT_SIZE, "%s:%hu", address,
                         ntohs(endpoint->ipv4.sin_port));
                break;
        case AF_INET6:
                inet_ntop(AF_INET6, &endpoint->ipv6.sin6_addr, address, sizeof address);
                if (endpoint->ipv6.sin6_scope_id != 0)
                        snprintf(zone, sizeof zone, "%%%u", endpoint->ipv6.sin6_scope_id);
                snprintf(text, ENDPOINT_TEXT_SIZE, "[%s%s]:%hu", address, zone,
                         ntohs(endpoint->ipv6.sin6_port));
                break;
        case AF_UNIX:
                endpoint_format_local(endpoint, text);
                break;
        case AF_VSOCK:
                endpoint_format_vsock(endpoint, text);
                break;
        default:
                snprintf(text, ENDPOINT_TEXT_SIZE, "family %hu", endpoint->any.sa_family);
        }
}
