/* SPDX-License-Identifier: MIT */
/*
 * Hostile code in a handler: a library that a test preloads into mpecho. When a peer sends
 * "HOSTILE attack argument", the handler that reads it makes the attack and answers with a line: a
 * number, or what it could do, or "nothing".
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
        MOST_DESCRIPTORS = 64,
        MOST_NEEDLE = 64,
        OWN_CONNECTION = 3,
        MASK = 0x5a, /* of what to search for: the question itself must not be found */
};

static char argument[256];
static char could[512];

static void note(const char *what) {
        const size_t length = strlen(could);

        if (strstr(could, what) == NULL)
                snprintf(could + length, sizeof could - length, "%s%s", length > 0 ? ", " : "",
                         what);
}

static double now(void) {
        struct timespec time;

        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Sends a descriptor with @data, to an address or where the socket is connected to. */
static bool send_descriptor(int to, struct sockaddr_un *name, socklen_t length, const void *data,
                            size_t size, int fd) {
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = { 0 };
        struct iovec vector = { (void *)data, size };
        struct msghdr message = { .msg_name = name,
                                  .msg_namelen = length,
                                  .msg_iov = &vector,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof control };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        *header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd),
                                    .cmsg_level = SOL_SOCKET,
                                    .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
        return sendmsg(to, &message, 0) >= 0;
}

/* Opens a channel at the abstract address in the argument. Returns this end of it, or -1. */
static int open_channel(void) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        const size_t length = strlen(argument);
        const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

        memcpy(name.sun_path + 1, argument, length);
        if (connect(fd, (struct sockaddr *)&name,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0)
                return fd;
        close(fd);
        return -1;
}

static void reach_memory(pid_t pid) {
        static char byte;
        struct iovec local = { &byte, 1 }, remote = { &byte, 1 };
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        if (open(path, O_RDONLY) >= 0)
                note("open its memory");
        if (open(path, O_RDWR) >= 0)
                note("open its memory for writing");
        if (syscall(SYS_process_vm_readv, pid, &local, 1L, &remote, 1L, 0L) > 0)
                note("read its memory");
        if (syscall(SYS_process_vm_writev, pid, &local, 1L, &remote, 1L, 0L) > 0)
                note("write its memory");
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0)
                note("trace it");
        snprintf(path, sizeof path, "/proc/%d/environ", pid);
        if (open(path, O_RDONLY) >= 0)
                note("open its environment");
}

static void reach_descriptors(pid_t pid) {
        const int process = (int)syscall(SYS_pidfd_open, pid, 0);
        char path[64], target[64];

        for (int fd = 0; fd < MOST_DESCRIPTORS; fd++) {
                if (process >= 0 && syscall(SYS_pidfd_getfd, process, fd, 0) >= 0)
                        note("take its descriptors");
                snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
                if (readlink(path, target, sizeof target) >= 0)
                        note("see its descriptors");
                if (open(path, O_RDONLY) >= 0)
                        note("open its descriptors");
        }
        if (syscall(SYS_kcmp, pid, getpid(), 0, OWN_CONNECTION, OWN_CONNECTION) >= 0)
                note("compare its descriptors");
}

/* What it can do to the processes in the argument. */
static void attack_processes(void) {
        char *rest = NULL;

        for (char *pid = strtok_r(argument, " ", &rest); pid != NULL;
             pid = strtok_r(NULL, " ", &rest)) {
                reach_memory(atoi(pid));
                reach_descriptors(atoi(pid));
        }
}

/* Which processes in the argument it sees in /proc. */
static void attack_see(void) {
        char path[64], *rest = NULL;

        for (char *pid = strtok_r(argument, " ", &rest); pid != NULL;
             pid = strtok_r(NULL, " ", &rest)) {
                snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
                if (access(path, F_OK) == 0)
                        note(path);
        }
}

#ifdef __x86_64__
static sigjmp_buf unavailable;

static void note_unavailable(int signal) {
        siglongjmp(unavailable, signal);
}

/* kill(2) as a 32-bit program calls it. A kernel without such programs sends SIGSEGV instead. */
static long kill_32(pid_t pid, int signal) {
        struct sigaction before;
        long result = -1;

        (void)sigaction(SIGSEGV, &(struct sigaction){ .sa_handler = note_unavailable }, &before);
        if (sigsetjmp(unavailable, 1) == 0)
                __asm__ volatile("int $0x80"
                                 : "=a"(result)
                                 : "a"(37), "b"(pid), "c"(signal)
                                 : "memory", "r8", "r9", "r10", "r11");
        (void)sigaction(SIGSEGV, &before, NULL);
        return result;
}
#endif

/* How it reaches the master without its memory. */
static void attack_control(void) {
        const pid_t master = getppid();
        const int process = (int)syscall(SYS_pidfd_open, master, 0);
        siginfo_t forged = { .si_code = SI_QUEUE };
        int owner = master;

        if (kill(master, 0) == 0 || kill(0, 0) == 0 || kill(-1, 0) == 0 ||
            kill(-getpgrp(), 0) == 0 || syscall(SYS_tkill, master, 0) == 0 ||
            syscall(SYS_tgkill, master, master, 0) == 0 ||
            syscall(SYS_rt_sigqueueinfo, master, 0, &forged) == 0 ||
            syscall(SYS_rt_tgsigqueueinfo, master, master, 0, &forged) == 0 ||
            syscall(SYS_pidfd_send_signal, process, 0, NULL, 0) == 0)
                note("signal it");
        if (fcntl(OWN_CONNECTION, F_SETOWN, master) == 0 ||
            fcntl(OWN_CONNECTION, F_SETOWN_EX, &(struct f_owner_ex){ F_OWNER_PID, master }) == 0 ||
            ioctl(OWN_CONNECTION, FIOSETOWN, &owner) == 0 ||
            ioctl(OWN_CONNECTION, SIOCSPGRP, &owner) == 0)
                note("have it signalled");
        if (prlimit(master, RLIMIT_NOFILE, NULL, NULL) == 0)
                note("limit it");
}

/* How it leaves the sandbox by its own connection, which belongs to the network of the machine;
 * takes an address in its own network; and gets a socket for datagrams to others of the machine. */
static void attack_leave(void) {
        static const struct {
                int level, option;
        } routes[] = {
                { IPPROTO_IPV6, IPV6_RTHDR },          { IPPROTO_IP, IP_OPTIONS },
                { IPPROTO_IPV6, IPV6_2292PKTOPTIONS }, { SOL_SOCKET, SO_BINDTODEVICE },
                { SOL_SOCKET, SO_BINDTOIFINDEX },      { IPPROTO_IP, IP_UNICAST_IF },
                { IPPROTO_IPV6, IPV6_UNICAST_IF },
        };
        struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0hostile" };
        const struct sockaddr *any = (const struct sockaddr *)&name;
        const socklen_t size = sizeof name.sun_family + sizeof "\0hostile";
        const int own = dup(OWN_CONNECTION), listening = socket(AF_UNIX, SOCK_STREAM, 0),
                  other = socket(AF_UNIX, SOCK_STREAM, 0);
        int ends[2];

        if (bind(listening, any, size) == 0)
                note("bind");
        if (listen(listening, 1) == 0 || errno != EPERM)
                note("listen");
        if (connect(other, any, size) == 0 || errno != EPERM)
                note("connect");
        for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
                if (setsockopt(own, routes[i].level, routes[i].option, NULL, 0) == 0 ||
                    errno != EPERM)
                        note("choose a route");
        if (sendto(own, "x", 1, MSG_FASTOPEN, any, size) >= 0 || errno != EPERM)
                note("send without a connection");
        if (socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 || socket(AF_UNIX, SOCK_RAW, 0) >= 0 ||
            socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) >= 0 ||
            socketpair(AF_UNIX, SOCK_RAW | SOCK_CLOEXEC, 0, ends) >= 0)
                note("send datagrams");
        if (syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno == EFAULT)
                note("queue system calls");
        close(own);
        close(listening);
        close(other);
}

/* The same by a system call of another architecture, if this machine has one. */
static void attack_control_32(void) {
#ifdef __x86_64__
        if (kill_32(getppid(), 0) == 0)
                note("signal it");
#endif
}

static int count(const unsigned char *start, size_t size, const unsigned char *masked,
                 size_t length) {
        int found = 0;

        for (size_t i = 0; i + length <= size; i++) {
                size_t n = 0;

                while (n < length && (start[i + n] ^ MASK) == masked[n])
                        n++;
                found += n == length;
        }
        return found;
}

/* Reads a line of a file; 0 at its end. Handlers have no heap, as stdio(3) needs. */
static int read_line(int fd, char *line, size_t size) {
        size_t length = 0;

        while (length < size - 1 && syscall(SYS_read, fd, line + length, 1) == 1)
                if (line[length++] == '\n')
                        break;
        line[length] = '\0';
        return length > 0;
}

/* In which parts of its own memory the bytes in the argument are, masked and in hexadecimal. */
static void attack_search(void) {
        unsigned char masked[MOST_NEEDLE];
        const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        char line[512], where[512], mode[8];
        void *start, *end;
        size_t length = 0;

        while (length < sizeof masked &&
               sscanf(argument + 2 * length, "%2hhx", &masked[length]) == 1)
                length++;
        while (read_line(maps, line, sizeof line)) {
                where[0] = '\0';
                if (sscanf(line, "%p-%p %7s %*s %*s %*s %511s", &start, &end, mode, where) < 3 ||
                    mode[0] != 'r' || strncmp(where, "[v", 2) == 0)
                        continue;
                if (count(start, (size_t)((char *)end - (char *)start), masked, length) > 0)
                        note(where[0] != '\0' ? where : "anonymous memory");
        }
}

static uint64_t cookie(int fd) {
        uint64_t cookie = 0;
        socklen_t size = sizeof cookie;

        (void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
        return cookie;
}

/* Which sockets it has but its own connection, and the output and errors of the service. */
static void attack_inherited(void) {
        char what[32];

        for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
                snprintf(what, sizeof what, "descriptor %d", fd);
                if (cookie(fd) != 0 && cookie(fd) != cookie(OWN_CONNECTION))
                        note(what);
        }
}

/* Returns only if it cannot: the program would not answer the peer. */
static void try_to_execute(int fd, const char *path) {
        char *const arguments[] = { "mpecho", "--version", NULL }, *const environment[] = { NULL };

        if (fd >= 0)
                (void)syscall(SYS_execveat, fd, "", arguments, environment, AT_EMPTY_PATH);
        else if (path != NULL)
                (void)execve(path, arguments, environment);
}

/* Forks a process that does not stop. */
static void attack_fork(void) {
        /* fork(3) would run code of libraries that handlers do not have. */
        const pid_t pid = _Fork();
        sigset_t all;

        if (pid > 0)
                note("fork");
        if (pid != 0)
                return;
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_BLOCK, &all, NULL);
        closefrom(0);
        for (;;)
                (void)pause();
}

/* Which programs in the argument, and a copy of this one in memory, it can execute. */
static void attack_execute(void) {
        const int own = open("/proc/self/exe", O_RDONLY), copy = memfd_create("copy", 0);
        static char block[1 << 16];
        char *rest = NULL;
        ssize_t n;

        while (own >= 0 && (n = syscall(SYS_read, own, block, sizeof block)) > 0)
                (void)!write(copy, block, (size_t)n);
        try_to_execute(own, NULL);
        try_to_execute(copy, NULL);
        close(own);
        close(copy);
        for (char *path = strtok_r(argument, " ", &rest); path != NULL;
             path = strtok_r(NULL, " ", &rest))
                try_to_execute(-1, path);
}

/* Sends a descriptor to systemd's store, under the name in the argument. */
static void store(int fd) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        char text[512];

        snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", argument);
        strncpy(name.sun_path, path != NULL ? path : "", sizeof name.sun_path - 1);
        if (send_descriptor(socket(AF_UNIX, SOCK_DGRAM, 0), &name, sizeof name, text, strlen(text),
                            fd))
                note("store");
}

/* Stores a bundle of bytes that no connection is in front of, and the bytes alone. */
static void attack_store(void) {
        const int bytes = memfd_create("injected", 0);
        int pair[2];

        if (write(bytes, "INJECTED", 8) != 8 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 ||
            !send_descriptor(pair[1], NULL, 0, "x", 1, bytes))
                return;
        store(pair[0]);
        store(bytes);
}

/* Overwrites all that it shares with the master. */
static int attack_scribble(void) {
        const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        char line[512];
        int written = 0;

        while (read_line(maps, line, sizeof line)) {
                void *start, *end;

                if (strstr(line, "rw-s") == NULL || sscanf(line, "%p-%p", &start, &end) != 2)
                        continue;
                for (volatile unsigned char *at = start; at != end; at++)
                        *at = (unsigned char)((uintptr_t)at * 2654435761UL >> 16);
                written++;
        }
        return written;
}

/* Knocks at the door in the argument, or sends the master a signal, the number in the argument, all
 * the time: as itself, or under any name. Returns how often that succeeds. */
static int attack_master(const char *name) {
        const double end = now() + 3;
        int n = 0;

        /* Twice at least, also when the time passes without this process. */
        for (int i = 0; i < 2 || now() < end; i++) {
                if (strcmp(name, "knock") == 0)
                        n += open_channel() >= 0;
                else if (strcmp(name, "queue") == 0)
                        n += sigqueue(getppid(), atoi(argument), (union sigval){ 0 }) == 0;
                else
                        n += kill(getppid(), atoi(argument)) == 0;
        }
        return n;
}

static void ignore_signals(sigset_t *ret_all) {
        (void)sigfillset(ret_all);
        (void)sigprocmask(SIG_BLOCK, ret_all, NULL);
}

/* Does not stop when it is told to, and looks at its clock by and by. */
static void attack_hang(void) {
        sigset_t all;

        ignore_signals(&all);
        for (;;)
                (void)poll(NULL, 0, 1000);
}

/* Waits until it is told to stop, which it does not. */
static void wait_for_stop(void) {
        sigset_t all;

        ignore_signals(&all);
        while (sigpending(&all) == 0 && !sigismember(&all, SIGTERM))
                (void)poll(NULL, 0, 10);
}

/* Has its connection stored by whoever listens at the address in the argument, and ends as if its
 * peer had closed the connection; or had reset it, if this process gets a processor too late. */
static void attack_deposit(void) {
        const int channel = open_channel();
        char answer;

        (void)recv(channel, &answer, 1, 0);
        (void)send_descriptor(channel, NULL, 0, "x", 1, OWN_CONNECTION);
        _exit(recv(channel, &answer, 1, 0) == 1 ? 0 : 1);
}

/* Does not stop when it is told to, and from then on knocks once a second. */
static void attack_deaf(void) {
        wait_for_stop();
        for (;;) {
                (void)open_channel();
                (void)poll(NULL, 0, 1000);
        }
}

/* Hands its connection over late when it is told to stop, and stays: after as many milliseconds as
 * stand behind the address in the argument. */
static void attack_late(void) {
        char *const delay = strchr(argument, ' ');
        char answer;
        int channel;

        *delay = '\0';
        wait_for_stop();
        (void)poll(NULL, 0, atoi(delay + 1));
        channel = open_channel();
        /* Since Linux 6.16 a descriptor that comes before the welcome is refused. */
        (void)recv(channel, &answer, 1, 0);
        (void)send_descriptor(channel, NULL, 0, "x", 1, OWN_CONNECTION);
        attack_hang();
}

/* Sends a message with as many descriptors as fit: the connection is the last. */
static bool send_many(int to) {
        int fds[253];
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)] = { 0 };
        struct iovec data = { "x", 1 };
        struct msghdr message = { .msg_iov = &data,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof control };

        for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
                fds[i] = STDIN_FILENO;
        fds[sizeof fds / sizeof fds[0] - 1] = OWN_CONNECTION;
        *CMSG_FIRSTHDR(&message) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fds),
                                                     .cmsg_level = SOL_SOCKET,
                                                     .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, sizeof fds);
        return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Puts its connection into a message of a socket, that into one of another, and so on, and sends
 * the last socket. */
static void send_nested(int to, int levels) {
        int inner = dup(OWN_CONNECTION);

        for (int i = 0; i < levels; i++) {
                int pair[2];

                if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                        return;
                (void)send_descriptor(pair[1], NULL, 0, "x", 1, inner);
                close(inner);
                close(pair[1]);
                inner = pair[0];
        }
        (void)send_descriptor(to, NULL, 0, "x", 1, inner);
        close(inner);
}

/* Fills its connection and makes it linger for longer than a test takes. */
static void fill(void) {
        static char block[1 << 16];

        while (send(OWN_CONNECTION, block, sizeof block, MSG_DONTWAIT) > 0)
                ;
        (void)setsockopt(OWN_CONNECTION, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 1000 },
                         sizeof(struct linger));
}

/* When it is told to stop, fills its connection, makes it linger, and gives the last descriptor of
 * it to the master. */
static void attack_bequeath(void) {
        int channel;

        wait_for_stop();
        fill();
        channel = open_channel();
        (void)send_descriptor(channel, NULL, 0, "x", 1, OWN_CONNECTION);
        for (int fd = OWN_CONNECTION; fd < MOST_DESCRIPTORS; fd++)
                if (fd != channel)
                        close(fd);
        attack_hang();
}

/* Fills its connection, makes it linger, and leaves it to the master. */
static void attack_abandon(void) {
        fill();
        _exit(0);
}

/* Fills its connection, makes it linger, and gives the last descriptor of it to the master: alone,
 * behind another message, behind empty ones, as the last of many, or nested in messages, as stands
 * behind the address in the argument. */
static void attack_linger(void) {
        char *const how = strchr(argument, ' ');
        int channel;

        *how = '\0';
        fill();
        channel = open_channel();
        for (int i = 0; i < 3 && strcmp(how + 1, "empty") == 0; i++)
                (void)send(channel, NULL, 0, MSG_NOSIGNAL);
        if (strcmp(how + 1, "behind") == 0)
                (void)send_descriptor(channel, NULL, 0, "x", 1, STDIN_FILENO);
        if (strcmp(how + 1, "among") == 0)
                (void)send_many(channel);
        else if (strcmp(how + 1, "nested") == 0)
                send_nested(channel, 8000);
        else
                (void)send_descriptor(channel, NULL, 0, "x", strcmp(how + 1, "empty") != 0,
                                      OWN_CONNECTION);
        for (int fd = OWN_CONNECTION; fd < MOST_DESCRIPTORS; fd++)
                if (fd != channel)
                        close(fd);
        (void)pause();
        _exit(0);
}

/* Stops the process in the argument. */
static int attack_stop(void) {
        const pid_t pid = atoi(argument);
        int n = 0;

        for (int number = 1; number < 32; number++)
                if (number == SIGSTOP || number == SIGTSTP || number == SIGTTIN ||
                    number == SIGTTOU)
                        n += kill(pid, number) == 0 || syscall(SYS_tkill, pid, number) == 0 ||
                             syscall(SYS_tgkill, pid, pid, number) == 0;
        return n;
}

/* The timers of blink(): to stop, and to go on. */
static timer_t blinks[2];
static int blinking;

/* Each time anew: an interval would end with the first signal that the other one cancels. The stop
 * always comes first, so nothing cancels the other. */
static void blink(int number) {
        (void)number;
        blinking = 0;
        for (int i = 0; i < 2; i++)
                blinking += timer_settime(blinks[i], 0,
                                          &(struct itimerspec){ .it_value.tv_nsec = (i + 1L) *
                                                                                    50000000 },
                                          NULL) == 0;
}

/* Has the kernel stop it and let it go on, ten times a second, as long as it lives. Returns how
 * many of its two timers run. */
static int attack_blink(void) {
        static const int numbers[] = { SIGSTOP, SIGCONT };

        (void)sigaction(SIGCONT, &(struct sigaction){ .sa_handler = blink, .sa_flags = SA_RESTART },
                        NULL);
        for (int i = 0; i < 2; i++) {
                struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = numbers[i] };

                if (timer_create(CLOCK_MONOTONIC, &event, &blinks[i]) < 0)
                        return 0;
        }
        blink(SIGCONT);
        return blinking;
}

/* Opens a channel and fills it with messages. */
static int attack_chatter(void) {
        const int channel = open_channel();

        while (send(channel, "x", 1, MSG_DONTWAIT) > 0)
                ;
        return channel;
}

/* Stores a socket by the name in the argument, and puts as many descriptors on their way to it, and
 * to others, as the kernel lets it. Returns how many. */
static int attack_flood(void) {
        int ends[2], n = 0;

        for (errno = EAGAIN; errno == EAGAIN;) {
                if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
                        break;
                if (n == 0)
                        store(ends[0]);
                while (send_many(ends[1]))
                        n += 253;
        }
        return n;
}

static const struct {
        const char *name;
        void (*attack)(void);
} attacks[] = {
        { "processes", attack_processes }, { "see", attack_see },
        { "control", attack_control },     { "search", attack_search },
        { "inherited", attack_inherited }, { "execute", attack_execute },
        { "fork", attack_fork },           { "store", attack_store },
        { "hang", attack_hang },           { "deaf", attack_deaf },
        { "late", attack_late },           { "control-32", attack_control_32 },
        { "linger", attack_linger },       { "leave", attack_leave },
        { "abandon", attack_abandon },     { "bequeath", attack_bequeath },
        { "deposit", attack_deposit },
};

/* Makes an attack. Returns the number that answers it, or -1 when its answer is text. */
static int attack(const char *name) {
        for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++)
                if (strcmp(name, attacks[i].name) == 0) {
                        attacks[i].attack();
                        return -1;
                }
        if (strcmp(name, "scribble") == 0)
                return attack_scribble();
        if (strcmp(name, "exit") == 0)
                _exit(atoi(argument));
        if (strcmp(name, "chatter") == 0)
                return attack_chatter();
        if (strcmp(name, "flood") == 0)
                return attack_flood();
        if (strcmp(name, "stop") == 0)
                return attack_stop();
        if (strcmp(name, "blink") == 0)
                return attack_blink();
        if (strcmp(name, "end") == 0)
                return kill(atoi(argument), SIGKILL) == 0 ||
                       syscall(SYS_tgkill, atoi(argument), atoi(argument), SIGKILL) == 0;
        if (strcmp(name, "silent") == 0)
                return open_channel();
        /* For the other attacks to find what they look for. */
        if (strcmp(name, "undress") == 0)
                return prctl(PR_SET_DUMPABLE, 1);
        return attack_master(name);
}

ssize_t read(int fd, void *buffer, size_t size) {
        const ssize_t n = syscall(SYS_read, fd, buffer, size);
        char text[512] = "", name[32] = "";
        int number;

        if (n < 8 || n >= (ssize_t)sizeof text || memcmp(buffer, "HOSTILE ", 8) != 0)
                return n;
        memcpy(text, buffer, (size_t)n);
        could[0] = '\0';
        (void)sscanf(text, "HOSTILE %31s %255[^\n]", name, argument);
        number = attack(name);
        if (number >= 0)
                return snprintf(buffer, size, "%d\n", number);
        return snprintf(buffer, size, "%s\n", could[0] != '\0' ? could : "nothing");
}
