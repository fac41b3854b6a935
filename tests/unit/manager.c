/* SPDX-License-Identifier: MIT */
#include "manager.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"
#include "report/notify.h"
#include "restart/bundle.h"
#include "unit.h"

void manager_start(Manager *manager) {
        /* A test that fails does not stop it. */
        static int started;
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        int length = snprintf(name.sun_path, sizeof name.sun_path, "@mpecho-unit-manager-%d-%d",
                              getpid(), started++);

        notify_close();
        assert_int_equal(setenv("NOTIFY_SOCKET", name.sun_path, 1), 0);
        name.sun_path[0] = '\0';
        *manager = (Manager){ .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
        assert_int_equal(bind(manager->fd, (struct sockaddr *)&name,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)),
                         0);
}

void manager_stop(Manager *manager) {
        manager_forget(manager);
        manager_expect_none(manager);
        notify_close();
        close(manager->fd);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

void manager_forget(Manager *manager) {
        while (manager->n_fds > 0)
                close(manager->fds[--manager->n_fds]);
}

void manager_expect(Manager *manager, const char *text, size_t n_fds) {
        union {
                char room[CMSG_SPACE(FDPASS_MOST * sizeof(int))];
                struct cmsghdr alignment;
        } control;
        struct iovec data = { .iov_base = manager->text, .iov_len = sizeof manager->text - 1 };
        struct msghdr message = { .msg_iov = &data,
                                  .msg_iovlen = 1,
                                  .msg_control = control.room,
                                  .msg_controllen = sizeof control.room };
        const struct cmsghdr *header;
        ssize_t n;

        manager_forget(manager);
        peer_wait_readable(manager->fd);
        n = recvmsg(manager->fd, &message, MSG_CMSG_CLOEXEC);
        assert_true(n > 0);
        manager->text[n] = '\0';
        header = CMSG_FIRSTHDR(&message);
        if (header != NULL) {
                assert_int_equal(header->cmsg_type, SCM_RIGHTS);
                manager->n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(manager->fds, CMSG_DATA(header), manager->n_fds * sizeof(int));
        }
        assert_string_equal(manager->text, text);
        assert_int_equal(manager->n_fds, n_fds);
}

void manager_expect_stored(Manager *manager, const char *name) {
        char text[256];

        snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        manager_expect(manager, text, 1);
}

void manager_expect_bundle(Manager *manager, const char *name, size_t n_fds) {
        int bundle;

        manager_expect_stored(manager, name);
        bundle = manager->fds[0];
        assert_int_equal(bundle_open(bundle, manager->fds), n_fds);
        manager->n_fds = n_fds;
        close(bundle);
}

void manager_expect_removed(Manager *manager, const char *name) {
        char text[256];

        snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
        manager_expect(manager, text, 0);
}

void manager_expect_barrier(Manager *manager) {
        manager_expect(manager, "BARRIER=1", 1);
        manager_forget(manager);
}

void manager_expect_none(const Manager *manager) {
        char byte;

        assert_int_equal(recv(manager->fd, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
}
