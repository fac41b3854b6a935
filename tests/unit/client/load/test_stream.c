/* SPDX-License-Identifier: MIT */
/* Streams that are interrupted. */

#include "unit.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/load/stream.h"
#include "lib/clock.h"
#include "lib/mapping.h"
#include "peer.h"

static LoadPage *page;
static pid_t receiver;

/*
 * In the place of the C library's. The receiver is interrupted just after it has looked whether it
 * was, and hears of a connection that has ended by that; the sender never hears that it may send.
 */
int epoll_wait(int epoll, struct epoll_event *events, int size, int timeout) {
        if (getpid() != receiver)
                return 0;
        page->stop = true;
        peer_wait_readable(epoll);
        return (int)syscall(SYS_epoll_pwait, epoll, events, size, timeout, NULL, (size_t)0);
}

/* A connection that ends because of an interrupt is no error of the peer's. */
static void test_interrupt(void **state) {
        LoadSent sent = {};
        const ClientOptions options = { .size = 4096, .duration = 3600 * CLOCK_SECOND };
        LoadPlan plan = { .options = &options, .connections = 1, .workers = 1, .ready = -1 };
        int fds[2], go[2];
        pid_t echo;

        (void)state;
        page = mapping_new_shared(sizeof *page);
        assert_non_null(page);
        page->sent = &sent;
        page->start = clock_now();
        assert_int_equal(pipe(go), 0);
        close(go[1]);
        plan.go = go[0];
        plan.page = page;
        receiver = getpid();
        peer_pair(fds);
        plan.first = fds[1];
        echo = fork();
        if (echo == 0) {
                char byte;

                close(fds[1]);
                _exit(read(fds[0], &byte, 1) == 0 ? 0 : 1);
        }
        close(fds[0]);

        assert_int_equal(stream_run(&plan), 0);
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                assert_int_equal(page->errors[kind], 0);
        assert_int_equal(waitpid(echo, NULL, 0), echo);
        close(go[0]);
        mapping_free(page, sizeof *page);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_interrupt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
