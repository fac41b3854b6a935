/* SPDX-License-Identifier: MIT */
/* The addresses of a name, with a resolver that answers as a test wants, or not at all. */

#include "client/network/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "unit.h"

enum {
        MOST = ADDRESSES_MAXIMUM + 1,
};

static const Target target = { .host = "name.test", .port = 7 };

/* What becomes of the look-up of a name: an error, so many addresses, no answer, or its end. */
static struct {
        int error;
        size_t addresses;
        bool silent;
        bool dies;
} resolver;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret_found) {
        static struct addrinfo found[MOST];
        static struct sockaddr_in peers[MOST];

        assert_string_equal(host, "name.test");
        assert_string_equal(port, "7");
        if ((hints->ai_flags & AI_NUMERICHOST) != 0)
                return EAI_NONAME;
        while (resolver.silent)
                pause();
        if (resolver.dies)
                _exit(0);
        errno = resolver.error;
        if (errno != 0)
                return EAI_SYSTEM;
        for (size_t i = 0; i < resolver.addresses; i++) {
                peers[i] = (struct sockaddr_in){ .sin_family = AF_INET,
                                                 .sin_addr.s_addr = htonl((uint32_t)(i + 1)) };
                found[i] = (struct addrinfo){ .ai_addr = (struct sockaddr *)&peers[i],
                                              .ai_addrlen = sizeof peers[i],
                                              .ai_next = i + 1 < resolver.addresses ? &found[i + 1]
                                                                                    : NULL };
        }
        *ret_found = found;
        return 0;
}

void freeaddrinfo(struct addrinfo *found) {
        (void)found;
}

/* Resolves the target, and leaves no descriptor behind. */
static int resolve(uint64_t end, int interrupt, Addresses *ret_addresses, Failure *ret_failure) {
        int before, after, r;

        *ret_failure = (Failure){ .text = "Cannot connect" };
        before = fcntl(STDERR_FILENO, F_DUPFD, 0);
        close(before);
        r = resolve_target(&target, end, interrupt, ret_addresses, ret_failure);
        after = fcntl(STDERR_FILENO, F_DUPFD, 0);
        close(after);
        assert_int_equal(before, after);
        return r;
}

/* All addresses in their order, as far as there is room for them. */
static void test_addresses(void **state) {
        static const size_t counts[] = { 1, 2, MOST };
        Addresses addresses;
        Failure failure;

        (void)state;
        for (size_t i = 0; i < COUNT(counts); i++) {
                resolver.addresses = counts[i];
                assert_int_equal(resolve(CLOCK_NEVER, -1, &addresses, &failure), 0);
                assert_int_equal(addresses.count, counts[i] < MOST ? counts[i] : MOST - 1);
                for (size_t n = 0; n < addresses.count; n++) {
                        assert_int_equal(addresses.list[n].length, sizeof(struct sockaddr_in));
                        assert_int_equal(ntohl(addresses.list[n].ipv4.sin_addr.s_addr), n + 1);
                }
                assert_int_equal(failure.kind, FAILURE_NONE);
        }
}

/* The child's errno reaches the sentence. */
static void test_error(void **state) {
        Addresses addresses;
        Failure failure;

        (void)state;
        resolver.error = ENETDOWN;
        assert_true(resolve(CLOCK_NEVER, -1, &addresses, &failure) < 0);
        assert_int_equal(failure.kind, FAILURE_RESOLVE);
        assert_string_equal(failure.text, "Cannot connect: Network is down");
        resolver.error = 0;
}

/* The parent waits for no child that ends without an answer. */
static void test_death(void **state) {
        Addresses addresses;
        Failure failure;

        (void)state;
        resolver.dies = true;
        assert_int_equal(resolve(CLOCK_NEVER, -1, &addresses, &failure), -ECHILD);
        assert_int_equal(failure.kind, FAILURE_LOCAL);
        assert_string_equal(failure.text,
                            "Cannot connect: cannot look up the name: No child processes");
        resolver.dies = false;
}

/* The deadline and the interrupt end a look-up without an answer, and the child with it. */
static void test_silence(void **state) {
        Addresses addresses;
        Failure failure;
        int interrupt = eventfd(1, EFD_CLOEXEC);

        (void)state;
        resolver.silent = true;
        assert_int_equal(resolve(clock_now(), -1, &addresses, &failure), -ETIME);
        assert_int_equal(failure.kind, FAILURE_TIMEOUT);
        assert_string_equal(failure.text, "Cannot connect: no name server has answered in time");

        assert_int_equal(resolve(CLOCK_NEVER, interrupt, &addresses, &failure), -EINTR);
        assert_int_equal(failure.kind, FAILURE_INTERRUPTED);
        assert_string_equal(failure.text, "Cannot connect: interrupted while looking up the name");
        resolver.silent = false;
        close(interrupt);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_error),
                cmocka_unit_test(test_death),
                cmocka_unit_test(test_silence),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
