/* SPDX-License-Identifier: MIT */
/*
 * Stores connections when no master does. A handler whose master was killed, or does not answer,
 * gives its connection to the keeper as it would to the master (handover.h). The keeper puts it
 * into systemd's store.
 *
 * If handlers did that by themselves, a peer that has taken one over could send systemd any
 * message: it could end the service, or keep systemd busy. So the sandbox refuses handlers the
 * sockets for that (confine.h). The keeper reads no byte of a peer. The master forks it before it
 * accepts, so its only connections are those that handlers give it; it closes the listeners.
 *
 * It takes a connection from the handler alone that serves it by the masters' part of the ledger,
 * and once. It notes that there first: when such a connection ends, its master removes it from the
 * store, which would be full some day. It stores it under a name with the handler's process ID; the
 * next master decides by the ledger which bundle counts. It waits once for all handlers that ask
 * meanwhile: for systemd, and a while for those that stay silent. Then it closes their channels.
 * It kills a handler that opens a second one. While the master answers, no handler asks, and the
 * keeper sleeps.
 *
 * After the master it limits the time of handlers (stop.h), once systemd has told them to stop: one
 * that stays would keep systemd from starting the next run. They have less when the master has
 * noted a stop. On a busy machine the keeper finds a signal and the end of the master at once, and
 * cannot see which came first. It kills the process group of the master, which systemd makes for
 * the service (setsid(2)), and which no handler can leave (confine.h). Numbers of processes in the
 * ledger may be others' by then, and handlers of datagrams and metrics are not there. The keeper
 * has a group of its own in the same session, so nothing else gets the number of the master's group
 * while it lives. For lack of memory the kernel kills it last.
 *
 * It blocks all signals, as systemd sends them to each process of the service. It ends when the
 * master asks for it or, when the master was killed, when the last process of that group is reaped.
 * No close(2) of what a handler has sent may make it wait (discard.h).
 */
#include "server/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/handler.h"
#include "handler/proctitle.h"
#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/discard.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "report/notify.h"
#include "restart/fdstore.h"
#include "server/stop.h"

/* How long it waits for a handler that was welcome as long before as a silent one. */
#define SILENT_PATIENCE CLOCK_MILLISECOND

/* How long it waits at least for the first of several, when others were silent before. */
#define LEAST_PATIENCE (CLOCK_SECOND / 32)

/* The master and handlers have this many points more than the keeper, of 1,000 for all memory. */
#define MEMORY_POINTS 100
#define MEMORY_MOST   1000

/* How long handlers may take after a crash of the master. Nobody waits for a stop, and a handler
 * that gets no processor for 4 seconds, as on a busy machine, would lose its connection. */
#define CRASH_PATIENCE (10 * CLOCK_SECOND)

/* The keeper counts a signal of the last 5 seconds as that of this stop. It counts at most 3 of
 * them as passed, so handlers have at least a second. */
#define TOLD_RECENTLY (5 * CLOCK_SECOND)
#define TOLD_BEFORE   (3 * CLOCK_SECOND)

/* Intervals of the search for processes outside the ledger: during a stop, and before it. */
#define OTHERS_INTERVAL (20 * CLOCK_MILLISECOND)
#define OTHERS_UNTOLD   (500 * CLOCK_MILLISECOND)

/* How long it pauses after strangers, while there is a master. */
#define STRANGER_PAUSE CLOCK_SECOND

enum {
        /* Channels of one turn. It waits for systemd once for all their connections. */
        STORED_MOST = 64,
};

/* What the master writes to the pipe. */
enum {
        MASTER_STOPS = 's',
        MASTER_ENDS = 'e', /* the keeper ends, too */
};

/* What the keeper waits for. */
enum {
        POLLED_SOCKET,
        POLLED_OTHER, /* a pipe from the master, then a living handler */
        POLLED_TOLD,  /* the signals that stop handlers */
        POLLED,
};

typedef struct Stored {
        int channel;
        uint32_t slot;
        pid_t handler;
        uint64_t cookie; /* of its connection */
} Stored;

/* What the keeper's process works with. */
typedef struct Keeping {
        uint64_t run;
        Ledger *ledger;
        uint32_t slot;   /* where the search for a handler begins: most come in this order */
        uint32_t waited; /* slots whose handlers have ended, once the master has */
        uint64_t lack; /* the last pause for want of a descriptor; 0 without one since a channel */
        int n;
        Stored stored[STORED_MOST]; /* of handlers that were welcome; then what systemd was sent */
        uint64_t patience;          /* with the first silent handler of the next turn */
        pid_t group;                /* of the service alone; 0 without one */
        uint64_t told;              /* when the service was told to stop last; or CLOCK_NEVER */
        bool stops;                 /* the master has noted a stop */
        Stop stop;                  /* of handlers without a master */
        uint32_t handed_over;       /* connections stored in all */
        uint64_t blocked;           /* how long systemd had no room, in this turn */
        Discard discard;
        struct pollfd polled[POLLED];
} Keeping;

/* Returns the slot of the connection that the process @handler serves, or the number of slots. A
 * slot has the handler 0 before its connection has one, as has a stranger (handover_accept()). */
static uint32_t keeping_find(Keeping *keeping, pid_t handler) {
        const uint32_t slots = ledger_slots(keeping->ledger);

        for (uint32_t i = 0; i < slots && handler > 0; i++) {
                const uint32_t slot = (keeping->slot + i) % slots;
                const LedgerFacts *facts = ledger_facts(keeping->ledger, slot);

                if (facts->cookie != 0 && facts->handler == handler) {
                        keeping->slot = slot + 1;
                        return slot;
                }
        }
        return slots;
}

/* Takes a channel, and welcomes its handler. Returns false for a stranger. */
static bool keeping_take(Keeping *keeping, int channel, pid_t handler) {
        const uint32_t slot = keeping_find(keeping, handler);
        const bool known = slot < ledger_slots(keeping->ledger);
        const uint64_t cookie = known ? ledger_facts(keeping->ledger, slot)->cookie : 0;

        if (known && ledger_facts(keeping->ledger, slot)->kept != cookie) {
                ledger_facts(keeping->ledger, slot)->kept = cookie;
                handover_welcome(channel);
                keeping->stored[keeping->n++] = (Stored){ channel, slot, handler, cookie };
                return true;
        }
        if (known)
                (void)kill(handler, SIGKILL);
        discard_add_channel(&keeping->discard, channel);
        return known;
}

/* Takes the channels that wait, as many as fit. Returns how long to pause then. */
static uint64_t keeping_take_all(Keeping *keeping) {
        uint64_t pause = 0;
        pid_t handler;
        int channel = 0;

        for (int i = 0; i < STORED_MOST; i++) {
                channel = handover_accept(keeping->polled[POLLED_SOCKET].fd, &handler);
                if (channel < 0)
                        break;
                keeping->lack = 0;
                if (!keeping_take(keeping, channel, handler) && keeping->waited == 0)
                        pause = STRANGER_PAUSE;
        }
        /* The channel that lacks a descriptor still waits. Without a master, handlers cannot wait
         * for long. */
        if (channel < 0 && channel != -EAGAIN)
                pause = keeping->lack = clock_pause(keeping->waited > 0 ? 0 : keeping->lack);
        return pause;
}

/* Receives the connection of @stored, which its handler sends within *@patience, and sends it to
 * systemd. Returns whether it did. */
static bool keeping_put(Keeping *keeping, const Stored *stored, uint64_t *patience) {
        int fds[FDPASS_MOST], n;
        FdpassNote note = {};
        uint64_t begun;
        bool put;

        socket_set_timeout(stored->channel, SO_RCVTIMEO, *patience);
        n = fdpass_receive(stored->channel, &note, fds, 0);
        /* All were welcome before: the others have had this time, too. */
        if (n == -EAGAIN)
                *patience = SILENT_PATIENCE;
        begun = clock_now();
        put = n > 0 && handover_is_gift(fds, n) && socket_cookie(fds[0]) == stored->cookie &&
              fdstore_put_connections(fds, (size_t)n, keeping->run, stored->handler) == 0;
        keeping->blocked += clock_now() - begun;
        for (int i = 0; i < n; i++)
                discard_add(&keeping->discard, fds[i]);
        return put;
}

/* Receives the connections of all welcomed handlers, and closes the channels of those that give
 * none. A silent handler halves the patience of the next turn: others wait meanwhile. */
static void keeping_put_all(Keeping *keeping) {
        uint64_t patience = keeping->patience;
        int n = 0;

        for (int i = 0; i < keeping->n; i++) {
                const Stored stored = keeping->stored[i];

                if (keeping_put(keeping, &stored, &patience))
                        keeping->stored[n++] = stored;
                else
                        discard_add_channel(&keeping->discard, stored.channel);
        }
        keeping->n = n;
        if (patience != keeping->patience && keeping->patience > LEAST_PATIENCE)
                keeping->patience /= 2;
        else if (patience == keeping->patience && keeping->waited == 0)
                keeping->patience = HANDOVER_CHANNEL_PATIENCE;
}

/* Waits until systemd has what was sent, and answers. A master that has reaped a handler meanwhile
 * has asked systemd to forget its connection, maybe before systemd had it. */
static void keeping_answer(Keeping *keeping) {
        const bool taken = keeping->n > 0 && fdstore_barrier() == 0;

        while (keeping->n > 0) {
                const Stored *stored = &keeping->stored[--keeping->n];

                if (ledger_facts(keeping->ledger, stored->slot)->cookie != stored->cookie)
                        fdstore_remove_own(keeping->run, stored->handler);
                else if (taken)
                        handover_answer(stored->channel, HANDOVER_STORED);
                discard_add_channel(&keeping->discard, stored->channel);
        }
}

/* Stores the connections of welcomed handlers. The time that systemd needs extends the deadline;
 * the wait for silent handlers does not. */
static void keeping_store(Keeping *keeping) {
        uint64_t begun;

        keeping->blocked = 0;
        keeping_put_all(keeping);
        keeping->handed_over += (uint32_t)keeping->n;
        begun = clock_now();
        keeping_answer(keeping);
        stop_extend(&keeping->stop, keeping->blocked + clock_now() - begun);
        stop_note_handed_over(&keeping->stop, keeping->handed_over, false, clock_now());
}

/* Serves handlers that wait, as many as fit, and then pauses if strangers came, too. */
static void keeping_serve(Keeping *keeping) {
        const uint64_t pause = keeping_take_all(keeping);

        keeping_store(keeping);
        discard_close(&keeping->discard);
        if (pause > 0)
                (void)poll(&keeping->polled[POLLED_OTHER], 1, clock_timeout(0, pause));
}

/* Returns a descriptor of the next handler that lives, or -1 after the last. */
static int keeping_next(Keeping *keeping) {
        int fd = -1;

        while (fd < 0 && keeping->waited < ledger_slots(keeping->ledger)) {
                const LedgerFacts *facts = ledger_facts(keeping->ledger, keeping->waited++);

                if (facts->cookie == 0 || facts->handler == 0 ||
                    (keeping->group > 0 && getpgid(facts->handler) != keeping->group))
                        continue;
                while ((fd = pidfd_open(facts->handler, 0)) < 0 &&
                       (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
                        (void)poll(NULL, 0, clock_timeout(0, clock_pause(0)));
        }
        return fd;
}

/* Returns whether processes of the service are left that are not in the ledger. */
static bool keeping_has_others(const Keeping *keeping) {
        return keeping->waited > 0 && keeping->group > 0 && kill(-keeping->group, 0) == 0;
}

/* Returns the milliseconds to the handlers' deadline. After the last handler in the ledger the
 * keeper polls: no descriptor reports the end of others. */
static int keeping_timeout(const Keeping *keeping) {
        if (keeping->polled[POLLED_OTHER].fd < 0)
                return clock_timeout(0, keeping->stop.begun ? OTHERS_INTERVAL : OTHERS_UNTOLD);
        return clock_timeout(clock_now(), keeping->stop.deadline);
}

/* Notes when the service was told to stop, the last time. */
static void keeping_note_told(Keeping *keeping) {
        struct signalfd_siginfo signals[HANDLER_STOPS];

        if (keeping->polled[POLLED_TOLD].revents == 0)
                return;
        (void)!read(keeping->polled[POLLED_TOLD].fd, signals, sizeof signals);
        keeping->told = clock_now();
}

/* Begins the time of handlers without a master, when they were told to stop. The first silent one
 * has a quarter of it. */
static void keeping_begin_stop(Keeping *keeping, uint64_t now) {
        if (keeping->stop.begun || keeping->told == CLOCK_NEVER ||
            now - keeping->told > TOLD_RECENTLY)
                return;
        stop_begin(&keeping->stop,
                   now - keeping->told < TOLD_BEFORE ? keeping->told : now - TOLD_BEFORE,
                   keeping->stops ? STOP_PATIENCE : CRASH_PATIENCE);
        keeping->stop.handed_over = keeping->handed_over;
        keeping->patience = (keeping->stop.deadline - now) / 4;
}

/* Limits the time of handlers without a master. At its end it serves those that wait, and kills the
 * rest. Returns false then. */
static bool keeping_limit(Keeping *keeping) {
        const uint64_t now = clock_now();
        uint32_t before;

        if (keeping->waited == 0)
                return true;
        keeping_begin_stop(keeping, now);
        if (!stop_expire(&keeping->stop, now))
                return true;
        keeping->patience = LEAST_PATIENCE;
        do {
                before = keeping->handed_over;
                keeping_serve(keeping);
        } while (keeping->handed_over != before);
        if (keeping->group > 0)
                (void)kill(-keeping->group, SIGKILL);
        return keeping->group == 0;
}

/* When the master or a handler has ended, waits for the next one. Returns false when the master
 * wants the keeper to end. */
static bool keeping_go_on(Keeping *keeping) {
        struct pollfd *other = &keeping->polled[POLLED_OTHER];
        char byte;

        if (other->revents == 0)
                return true;
        if (keeping->waited == 0 && read(other->fd, &byte, 1) > 0) {
                keeping->stops = true;
                return byte == MASTER_STOPS;
        }
        close(other->fd);
        other->fd = keeping_next(keeping);
        return true;
}

/* Strangers can open channels all the time: everything has its place in each turn. */
static void keeping_run(Keeping *keeping) {
        while (keeping->polled[POLLED_OTHER].fd >= 0 || keeping_has_others(keeping)) {
                if (poll(keeping->polled, POLLED, keeping_timeout(keeping)) < 0)
                        continue;
                if (!keeping_go_on(keeping))
                        return;
                keeping_note_told(keeping);
                if (!keeping_limit(keeping))
                        return;
                keeping_serve(keeping);
        }
}

/* Moves @socket and @end behind the standard descriptors, closes everything else, and watches for
 * the signals that stop handlers. Returns whether there was room. */
static bool keeping_take_descriptors(Keeping *keeping, int socket, int end) {
        const int first = STDERR_FILENO + 1;
        struct pollfd *polled = keeping->polled;
        sigset_t told;

        notify_close();
        socket = fcntl(socket, F_DUPFD, first + 2);
        end = fcntl(end, F_DUPFD, first + 2);
        polled[POLLED_SOCKET] = (struct pollfd){ .fd = dup2(socket, first), .events = POLLIN };
        polled[POLLED_OTHER] = (struct pollfd){ .fd = dup2(end, first + 1), .events = POLLIN };
        closefrom(first + 2);

        (void)sigemptyset(&told);
        for (int i = 0; i < HANDLER_STOPS; i++)
                (void)sigaddset(&told, handler_stops[i]);
        polled[POLLED_TOLD] =
                        (struct pollfd){ .fd = signalfd(-1, &told, SFD_CLOEXEC), .events = POLLIN };
        return polled[POLLED_SOCKET].fd >= 0 && polled[POLLED_OTHER].fd >= 0 &&
               polled[POLLED_TOLD].fd >= 0;
}

static _Noreturn void keeper_main(int socket, int end, uint64_t run, Ledger *ledger, pid_t group) {
        static Keeping keeping;

        keeping.run = run;
        keeping.ledger = ledger;
        keeping.patience = HANDOVER_CHANNEL_PATIENCE;
        if (group > 0 && setpgid(0, 0) == 0)
                keeping.group = group;
        keeping.told = CLOCK_NEVER;
        keeping.stop = STOP_NONE;
        if (!keeping_take_descriptors(&keeping, socket, end))
                _exit(EXIT_FAILURE);

        (void)prctl(PR_SET_DUMPABLE, 0);
        /* The kernel reaps what discard_close() leaves. */
        (void)signal(SIGCHLD, SIG_IGN);
        proctitle_set("mpecho: keeper of connections");
        keeping_run(&keeping);
        _exit(EXIT_SUCCESS);
}

/* Forks the keeper with all signals blocked. Returns its process ID, or a negative errno. */
static pid_t keeper_fork(int socket, int end, uint64_t run, Ledger *ledger) {
        const pid_t group = getsid(0) == getpid() ? getpid() : 0;
        sigset_t all, before;
        pid_t pid;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &before);
        pid = fork();
        if (pid == 0)
                keeper_main(socket, end, run, ledger, group);
        if (pid < 0)
                pid = -errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return pid;
}

/* The same, with the memory that the keeper needs. Returns 0 or a negative errno; in both cases
 * there can be a keeper from then on. */
static int keeper_fork_sharing(Keeper *keeper, int socket, int end, uint64_t run, Ledger *ledger) {
        pid_t pid;
        int r;

        r = ledger_share(ledger, true);
        if (r < 0)
                return r;
        pid = keeper_fork(socket, end, run, ledger);
        if (pid > 0)
                keeper->pid = pid;
        r = ledger_share(ledger, false);
        return pid < 0 ? pid : r;
}

/* Raises the score of this process and its later children: for lack of memory the kernel kills them
 * before the keeper (/proc/pid/oom_score_adj in proc(5)). */
static void keeper_spare(void) {
        FILE *file = fopen("/proc/self/oom_score_adj", "r+e");
        int points;

        if (file == NULL)
                return;
        if (fscanf(file, "%d", &points) == 1 && fseek(file, 0, SEEK_SET) == 0)
                (void)fprintf(file, "%d",
                              points < MEMORY_MOST - MEMORY_POINTS ? points + MEMORY_POINTS
                                                                   : MEMORY_MOST);
        (void)fclose(file);
}

int keeper_start(Keeper *keeper, uint64_t run, Ledger *ledger) {
        int socket, ends[2], r;

        socket = handover_listen(&keeper->address);
        if (socket < 0)
                return socket;
        if (pipe2(ends, O_CLOEXEC) < 0) {
                r = -errno;
                close(socket);
                return r;
        }
        keeper->end = ends[1];
        r = keeper_fork_sharing(keeper, socket, ends[0], run, ledger);
        close(ends[0]);
        close(socket);
        if (r < 0)
                return r;
        keeper_spare();
        keeper->fd = pidfd_open(keeper->pid, 0);
        return keeper->fd < 0 ? -errno : 0;
}

/* Writes @byte to the pipe, which has room: there are two at most. */
static void keeper_tell(const Keeper *keeper, char byte) {
        if (keeper->end >= 0)
                (void)!write(keeper->end, &byte, 1);
}

void keeper_note_stop(const Keeper *keeper) {
        keeper_tell(keeper, MASTER_STOPS);
}

void keeper_end(Keeper *keeper) {
        keeper_tell(keeper, MASTER_ENDS);
        while (keeper->pid > 0 && waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        keeper->fd = descriptor_close(keeper->fd);
        keeper->end = descriptor_close(keeper->end);
        keeper->pid = 0;
}
