/* SPDX-License-Identifier: MIT */
/* Whatever LISTEN is, it is refused with a reason, or is read as what it says: it is written back
 * as text that is read as the same endpoint. */

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "fuzz.h"
#include "lib/endpoint.h"

enum {
        NO_PORT = UINT16_MAX + 1,
};

/* The number that @text is when all of it is digits. */
static unsigned long number_of(const char *text) {
        if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
                return NO_PORT;
        return strtoul(text, NULL, 10);
}

/* What is written for a path is the path, once "\xNN" is a byte again. */
static void check_local_text(const char *text, const char *formatted) {
        for (; *text != '\0'; text++) {
                unsigned byte = (unsigned char)*formatted;
                int length = 1;

                if (*formatted == '\\')
                        FUZZ_CHECK(sscanf(formatted, "\\x%2x%n", &byte, &length) == 1 &&
                                   length == 4);
                FUZZ_CHECK(byte == (unsigned char)*text);
                formatted += length;
        }
        FUZZ_CHECK(*formatted == '\0');
}

static void check_local(const char *text, const Endpoint *endpoint, const char *formatted) {
        const size_t length = endpoint->length - offsetof(struct sockaddr_un, sun_path);
        const size_t expected = strlen(text) + (text[0] == '@' ? 0 : 1);

        FUZZ_CHECK(length == expected && length <= sizeof endpoint->local.sun_path);
        FUZZ_CHECK(endpoint->local.sun_path[0] == (text[0] == '@' ? '\0' : '/'));
        FUZZ_CHECK(memcmp(endpoint->local.sun_path + 1, text + 1, length - 1) == 0);
        check_local_text(text, formatted);
}

static void check_vsock(const char *text, const Endpoint *endpoint, const char *formatted) {
        const bool any = strncmp(text, "vsock::", 7) == 0;
        Endpoint same;
        const char *why;

        FUZZ_CHECK(endpoint->any.sa_family == AF_VSOCK &&
                   endpoint->length == sizeof endpoint->machine);
        FUZZ_CHECK(!any || endpoint->machine.svm_cid == VMADDR_CID_ANY);
        FUZZ_CHECK(endpoint_parse(formatted, &same, &why) == 0);
        FUZZ_CHECK(memcmp(&same.machine, &endpoint->machine, sizeof same.machine) == 0);
}

static void check_internet(const char *text, const Endpoint *endpoint, const char *formatted) {
        const bool ipv4 = endpoint->any.sa_family == AF_INET;
        const char *colon = strrchr(text, ':'), *why;
        char again[ENDPOINT_TEXT_SIZE];
        Endpoint same;

        FUZZ_CHECK(ipv4 || endpoint->any.sa_family == AF_INET6);
        FUZZ_CHECK(endpoint->length == (ipv4 ? sizeof endpoint->ipv4 : sizeof endpoint->ipv6));
        FUZZ_CHECK(number_of(colon != NULL ? colon + 1 : text) ==
                   ntohs(ipv4 ? endpoint->ipv4.sin_port : endpoint->ipv6.sin6_port));
        FUZZ_CHECK(endpoint->wildcard == (colon == NULL));
        FUZZ_CHECK(ipv4 == (colon != NULL && text[0] != '['));
        FUZZ_CHECK(!endpoint->wildcard || IN6_IS_ADDR_UNSPECIFIED(&endpoint->ipv6.sin6_addr));
        FUZZ_CHECK(endpoint_parse(formatted, &same, &why) == 0);
        FUZZ_CHECK(same.length == endpoint->length && !same.wildcard);
        FUZZ_CHECK(memcmp(&same.any, &endpoint->any, same.length) == 0);
        endpoint_format(&same, again);
        FUZZ_CHECK(strcmp(again, formatted) == 0);
}

static void check_taken(const char *text, const Endpoint *endpoint) {
        char formatted[ENDPOINT_TEXT_SIZE];

        fuzz_fill(formatted, sizeof formatted);
        endpoint_format(endpoint, formatted);
        FUZZ_CHECK(memchr(formatted, '\0', sizeof formatted) != NULL);
        for (const char *byte = formatted; *byte != '\0'; byte++)
                FUZZ_CHECK(*byte > ' ' && *byte <= '~');
        FUZZ_CHECK(endpoint_is_local(text) == (endpoint->any.sa_family == AF_UNIX));
        if (endpoint_is_local(text))
                check_local(text, endpoint, formatted);
        else if (!endpoint_is_internet(text))
                check_vsock(text, endpoint, formatted);
        else
                check_internet(text, endpoint, formatted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Endpoint endpoint;
        const char *why = NULL;
        char *text = malloc(size + 1);
        int r;

        FUZZ_CHECK(text != NULL);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        fuzz_fill(&endpoint, sizeof endpoint);
        r = endpoint_parse(text, &endpoint, &why);
        if (r == 0) {
                check_taken(text, &endpoint);
        } else {
                FUZZ_CHECK(r == -EINVAL);
                FUZZ_CHECK(why != NULL && strlen(why) > 10);
                FUZZ_CHECK(fuzz_is_filled(&endpoint, sizeof endpoint));
        }
        free(text);
        return 0;
}
