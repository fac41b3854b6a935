/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/fdpass.c --unwind 5 --unwindset memcpy.0:17 --conversion-check */
/* smaller: s/FDPASS_MOST = 253/FDPASS_MOST = 4/ src/lib/fdpass.h */
/* smaller: s/ + 4096\]/ - 8]/;s/union Control/struct Control/ src/lib/fdpass.c */
/* Whatever control messages the kernel returns, fdpass_receive() reads no byte beyond them,
 * notes whether they name a sender, returns either all descriptors of the message or an error, and
 * then has closed those that came. So little room cuts two messages, too. cbmc 6.6 loses what is
 * written to a union of such sizes. */
#include "lib/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prove.h"

enum {
        FIRST_FD = 100, /* of those that arrive */
        MESSAGES = 2,
        SENDER = 99,    /* the descriptor of the sender */
        PIDFD_TYPE = 4, /* SCM_PIDFD, which older headers lack */
};

static int arrived;
static bool attested, sender_came, sender_closed;
static bool cut, closed[FDPASS_MOST + 1];

/* Instead of the one of cbmc 6.6, which loses the bytes where @size is not constant. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
        prove(__CPROVER_w_ok(to, size) && __CPROVER_r_ok(from, size), "memcpy() stays within both");
        for (size_t i = 0; i < size; i++)
                ((char *)to)[i] = ((const char *)from)[i];
        return to;
}

/* What the kernel writes (net/core/scm.c): whole headers, cut data, and never more than there is
 * room for. A peer decides how many descriptors come; whoever has the socket, which other messages
 * do. */
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
        const size_t room = message->msg_controllen;
        const ssize_t bytes = nondet_int();
        size_t used = 0;

        (void)fd;
        (void)flags;
        if (nondet_bool()) {
                errno = nondet_int();
                assume(errno > 0 && errno < 200 && errno != EINTR);
                return -1;
        }
        assume(bytes >= 0 && (flags & MSG_TRUNC) != 0);
        fill(message->msg_iov->iov_base, message->msg_iov->iov_len);
        message->msg_flags = 0;
        for (int i = 0; i < MESSAGES && nondet_bool(); i++) {
                struct cmsghdr *header = (struct cmsghdr *)((char *)message->msg_control + used);
                const bool rights = arrived == 0 && nondet_bool();
                size_t size = rights ? sizeof(int) * (nondet_size() % (FDPASS_MOST + 1))
                                     : nondet_size() % 13;

                if (room < used + CMSG_LEN(0)) {
                        message->msg_flags |= MSG_CTRUNC;
                        break;
                }
                if (room < used + CMSG_LEN(size)) {
                        message->msg_flags |= MSG_CTRUNC;
                        size = room - used - CMSG_LEN(0);
                        size = rights ? size / sizeof(int) * sizeof(int) : size;
                }
                if (rights && nondet_bool())
                        message->msg_flags |= MSG_CTRUNC;
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = rights ? SCM_RIGHTS : nondet_int();
                header->cmsg_len = CMSG_LEN(size);
                assume(rights || header->cmsg_type != SCM_RIGHTS);
                for (size_t n = 0; rights && n < size / sizeof(int); n++) {
                        const int number = FIRST_FD + arrived++;

                        memcpy(CMSG_DATA(header) + n * sizeof(int), &number, sizeof number);
                }
                attested |= header->cmsg_level == SOL_SOCKET &&
                            header->cmsg_type == SCM_CREDENTIALS;
                if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == PIDFD_TYPE &&
                    size == sizeof(int)) {
                        const int number = SENDER;

                        assume(!sender_came);
                        sender_came = true;
                        memcpy(CMSG_DATA(header), &number, sizeof number);
                }
                used += CMSG_SPACE(size);
                used = used < room ? used : room;
        }
        message->msg_controllen = used;
        cut = (message->msg_flags & MSG_CTRUNC) != 0;
        return bytes;
}

/* As glibc has it (sysdeps/unix/sysv/linux/cmsg_nxthdr.c). */
struct cmsghdr *__cmsg_nxthdr(struct msghdr *message, struct cmsghdr *header) {
        const size_t used = (size_t)((char *)header - (char *)message->msg_control);

        if (header->cmsg_len < sizeof *header ||
            used + CMSG_ALIGN(header->cmsg_len) + sizeof *header > message->msg_controllen)
                return NULL;
        return (struct cmsghdr *)((char *)header + CMSG_ALIGN(header->cmsg_len));
}

int close(int fd) {
        if (fd == SENDER && sender_came && !sender_closed) {
                sender_closed = true;
                return 0;
        }
        prove(fd >= FIRST_FD && fd < FIRST_FD + arrived, "a descriptor that came is closed");
        prove(!closed[fd - FIRST_FD], "no descriptor is closed twice");
        closed[fd - FIRST_FD] = true;
        return 0;
}

void harness(void) {
        FdpassNote note;
        int fds[FDPASS_MOST], n;

        n = fdpass_receive(0, &note, fds, nondet_bool() ? MSG_PEEK : 0);

        prove(n <= FDPASS_MOST, "there are at most as many as there is room for");
        prove(n < 0 || (n == arrived && !cut), "all of the message are returned");
        prove(n < 0 || note.attested == attested, "a sender is noted when the kernel attests one");
        prove(sender_came == sender_closed, "the descriptor of the sender is closed");
        for (int i = 0; i < arrived; i++) {
                prove(n < 0 || fds[i] == FIRST_FD + i, "their order stays");
                prove(closed[i] == (n < 0), "they are closed when they are not returned");
        }
}
