/* SPDX-License-Identifier: MIT */
/* The kernel's figures of connections, also of one that never came about. */

#include "client/network/kernel.h"

#include <netinet/in.h>
#include <unistd.h>

#include "unit.h"

/* Connects two sockets through a listener, and sets @ret_client and @ret_server. */
static void connect_pair(int *ret_client, int *ret_server) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int listener = socket(AF_INET, SOCK_STREAM, 0);

        assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
        assert_return_code(listen(listener, 1), 0);
        assert_return_code(getsockname(listener, (struct sockaddr *)&address,
                                       &(socklen_t){ sizeof address }),
                           0);
        *ret_client = socket(AF_INET, SOCK_STREAM, 0);
        assert_return_code(connect(*ret_client, (struct sockaddr *)&address, sizeof address), 0);
        *ret_server = accept(listener, NULL, NULL);
        assert_return_code(*ret_server, 0);
        close(listener);
}

/* A socket without a connection has figures in TCP_INFO, but nobody has measured them: those of an
 * earlier connection remain, and only the sums grow. */
static void test_no_connection(void **state) {
        int client, server, unconnected = socket(AF_INET, SOCK_STREAM, 0);
        Kernel kernel = {}, first;

        (void)state;
        kernel_note(&kernel, unconnected);
        assert_false(kernel.known);
        assert_int_equal(kernel.segments, 1);

        connect_pair(&client, &server);
        kernel_note(&kernel, client);
        assert_true(kernel.known);
        assert_int_not_equal(kernel.rtt, 0);
        assert_int_equal(kernel.segments, 2);

        first = kernel;
        kernel_note(&kernel, unconnected);
        assert_int_equal(kernel.segments, 3);
        kernel.segments = first.segments;
        assert_memory_equal(&kernel, &first, sizeof kernel);
        close(client);
        close(server);
        close(unconnected);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_connection) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
