/* SPDX-License-Identifier: MIT */
/*
 * The event loop. The master is one thread, and waits in a single ppoll(2) for all: handlers that
 * hand over or announce a peer, signals, news of datagram sockets, the end of the keeper, clients,
 * and the next deadline of its parts.
 *
 * A turn has a fixed order. The master takes what handlers give first and looks at signals next: a
 * handler learns of a stop after the master, so the signal is there when its connection is. Then it
 * settles what it has taken, accepts, takes the news, and ticks its parts.
 *
 * The master must never read from a peer or allocate memory once it runs. It must block nowhere but
 * in ppoll(2), for milliseconds in close(2) (discard.h), in the exchange with systemd's descriptor
 * store and, at its end, for a while in journal_finish() and until the keeper has ended.
 */
#include "server/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "handler/handler.h"
#include "handler/wipe.h"
#include "lib/clock.h"
#include "lib/mapping.h"
#include "lib/ppoll.h"
#include "limits/headroom.h"
#include "report/notify.h"
#include "restart/inbox.h"
#include "server/account.h"
#include "server/answers.h"
#include "server/connections.h"
#include "server/datagrams.h"
#include "server/keeper.h"
#include "server/signals.h"
#include "server/stop.h"
#include "server/takeover.h"

enum {
        /* The order of a turn, see above. */
        POLLED_HANDOVER,
        POLLED_SIGNALS,
        POLLED_DATAGRAMS = POLLED_SIGNALS + SIGNALS_FDS,
        POLLED_KEEPER,
        POLLED_LISTENERS,
};

struct Master {
        size_t size; /* of the whole object, in bytes */
        const Options *options;
        Listeners *listeners;
        Restore *restore; /* or NULL */
        Journal *journal;
        Connections *connections;
        Datagrams *datagrams; /* of the connections, which free it */
        Scrapers *scrapers;   /* the same */
        Inbox inbox;
        Keeper keeper;
        bool keeper_lost; /* it has ended too early */
        Notify notify;
        Stop stop;
        Signals signals;
        uint64_t idle_since;    /* CLOCK_NEVER while there are connections */
        struct pollfd polled[]; /* in the order above */
};

static void master_stop(Master *master, uint64_t now) {
        if (master->stop.begun) {
                connections_kill(master->connections);
                datagrams_kill(master->datagrams);
                return;
        }
        stop_begin(&master->stop, now, STOP_PATIENCE);
        keeper_note_stop(&master->keeper);
        notify_stopping(&master->notify, now);
        listeners_close(master->listeners);
        connections_stop(master->connections);
        datagrams_stop(master->datagrams);
        scrapers_kill(master->scrapers);
}

static bool master_act(void *data, uint32_t signal, uint64_t now) {
        Master *master = data;

        switch (signal) {
        case SIGCHLD:
                return connections_reap(master->connections, now);
        case SIGUSR1:
                datagrams_report(master->datagrams, now);
                account_report(master->connections, now);
                return true;
        case SIGTERM:
        case SIGINT:
                master_stop(master, now);
                return true;
        default:
                return false;
        }
}

/* Chooses the number of this run, and listens for handlers that hand over or announce; the keeper
 * does the same. */
static int master_init_inbox(Master *master) {
        const InboxMaster answers = answers_for_inbox(master->connections);
        const bool stores = master->restore != NULL && notify_has_manager(&master->notify);
        int r;

        if (!stores && listeners_count(master->listeners, LISTENER_PROXY) == 0)
                return 0;
        r = stores ? restore_prepare(master->restore) : 0;
        if (r < 0)
                return r;
        r = inbox_init(&master->inbox, stores ? master->restore->run : 0, &answers);
        if (r == 0 && stores)
                r = keeper_start(&master->keeper, master->restore->run,
                                 roster_ledger(master->connections->roster));
        if (r < 0)
                return r;
        master->inbox.address.keeper = master->keeper.address;
        master->connections->handover = master->inbox.address;
        return 0;
}

/* Makes the parts of @master that can fail. */
static int master_init(Master *master) {
        const Options *options = master->options;
        Listeners *listeners = master->listeners;
        const uint32_t n_found = master->restore != NULL ? master->restore->n_found : 0;
        int r;

        r = notify_init(&master->notify);
        if (r == 0)
                r = signals_init(&master->signals, master_act, master);
        if (r == 0)
                r = connections_new(options, listeners, n_found, master->journal,
                                    &master->connections);
        if (r < 0)
                return r;

        master->datagrams = master->connections->datagrams;
        master->scrapers = master->connections->scrapers;
        r = master_init_inbox(master);
        /* Last: in a sandbox, nothing here can listen afterwards. */
        handler_init(master->keeper.pid);
        headroom_lock();
        return r;
}

int master_new(const Options *options, Listeners *listeners, Restore *restore, Journal *journal,
               Master **ret_master) {
        size_t size = sizeof(Master) + (POLLED_LISTENERS + listeners->n) * sizeof(struct pollfd);
        Master *master;
        int r;

        master = mapping_new_unforked(size);
        if (master == NULL)
                return -errno;
        master->size = size;
        master->options = options;
        master->listeners = listeners;
        master->restore = restore;
        master->journal = journal;
        master->stop = STOP_NONE;
        master->idle_since = clock_now();
        master->signals = SIGNALS_NONE;
        master->polled[POLLED_HANDOVER].fd = -1;
        master->polled[POLLED_DATAGRAMS] = (struct pollfd){ .fd = -1, .events = POLLIN };
        master->inbox.fd = master->inbox.socket = -1;
        master->keeper = KEEPER_NONE;
        for (uint32_t i = 0; i < listeners->n; i++)
                master->polled[POLLED_LISTENERS + i].events = POLLIN;
        r = master_init(master);
        if (r < 0) {
                master_free(master);
                return r;
        }
        master->polled[POLLED_HANDOVER] =
                        (struct pollfd){ .fd = master->inbox.fd, .events = POLLIN };
        master->polled[POLLED_KEEPER] =
                        (struct pollfd){ .fd = master->keeper.fd, .events = POLLIN };
        *ret_master = master;
        return 0;
}

Master *master_free(Master *master) {
        if (master == NULL)
                return NULL;
        connections_free(master->connections);
        inbox_deinit(&master->inbox);
        keeper_end(&master->keeper);
        signals_deinit(&master->signals);
        return mapping_free(master, master->size);
}

/* Stops, as the service would lose its connections if it was killed now. systemd starts it again.
 */
static void master_lose_keeper(Master *master, uint64_t now) {
        master->polled[POLLED_KEEPER].fd = -1;
        master->keeper_lost = true;
        if (!master->stop.begun)
                master_stop(master, now);
}

/* Stores what handlers have given, or declines. Handlers get the time of that back, but not that of
 * the rest of a turn, which strangers could make long. */
static void master_settle(Master *master, uint64_t now) {
        const uint64_t begun = clock_now();

        inbox_settle(&master->inbox, master->stop.begun, now);
        stop_extend(&master->stop, clock_now() - begun);
}

static bool master_accepts(const Master *master) {
        return !master->stop.begun && connections_can_accept(master->connections);
}

static bool master_serves(const Master *master, const Listener *listener) {
        switch (listener->kind) {
        case LISTENER_ECHO:
        case LISTENER_PROXY:
                return !master->stop.begun &&
                       connections_can_accept_at(master->connections, listener);
        case LISTENER_METRICS:
                return !master->stop.begun && scrapers_can_accept(master->scrapers);
        default:
                return false;
        }
}

/* Polls the listeners that the master serves now, and no others. */
static void master_poll_listeners(Master *master) {
        for (uint32_t i = 0; i < master->listeners->n; i++) {
                const Listener *listener = &master->listeners->items[i];

                master->polled[POLLED_LISTENERS + i].fd =
                                master_serves(master, listener) ? listener->fd : -1;
                master->polled[POLLED_LISTENERS + i].revents = 0;
        }
}

/* Notes in the ledger what others have counted. */
static void master_count(Master *master) {
        MetricsCounts *counts = account_counts(master->connections);

        datagrams_count(master->datagrams, counts);
        counts->lost += journal_take_lost(master->journal);
}

static void master_accept(Master *master, const Listener *listener, uint64_t now) {
        Metrics metrics;

        if (!master_serves(master, listener))
                return;
        if (listener->kind != LISTENER_METRICS) {
                connections_accept(master->connections, listener, now);
                notify_changed(&master->notify, now);
                return;
        }
        master_count(master);
        metrics = account_metrics(master->connections);
        scrapers_accept(master->scrapers, listener, &metrics, now);
        /* A service that ended between two scrapes would begin its counts again each time. */
        if (master->idle_since != CLOCK_NEVER)
                master->idle_since = now;
}

/* Returns whether no connection, datagram or scrape came for the time of --exit-idle. A client that
 * connects after this check waits at the listener; systemd holds it too and starts the service
 * again. */
static bool master_is_idle(Master *master, uint64_t now) {
        if (master->options->exit_idle == 0 || !master_accepts(master) ||
            master->idle_since == CLOCK_NEVER ||
            now - master->idle_since < master->options->exit_idle)
                return false;
        master_poll_listeners(master);
        return poll(master->polled + POLLED_LISTENERS, master->listeners->n, 0) == 0;
}

/* Sends the sentence of the totals record as STATUS=. */
static void master_send_status(Master *master, uint64_t now) {
        const Record totals = account_totals(master->connections, RECORD_TOTALS, now);
        char status[NOTIFY_STATUS_SIZE];

        record_format_sentence(&totals, status, sizeof status);
        notify_status(&master->notify, status, now);
        /* Handlers go on counting bytes, so the next status differs. */
        if (totals.live > 0)
                notify_changed(&master->notify, now);
}

static uint64_t master_deadline(const Master *master) {
        uint64_t deadline = clock_earlier(master->stop.deadline,
                                          connections_deadline(master->connections));

        deadline = clock_earlier(deadline, signals_deadline(&master->signals));
        deadline = clock_earlier(deadline, datagrams_deadline(master->datagrams));
        deadline = clock_earlier(deadline, scrapers_deadline(master->scrapers));
        deadline = clock_earlier(deadline, inbox_deadline(&master->inbox));
        deadline = clock_earlier(deadline, journal_deadline(master->journal));
        deadline = clock_earlier(deadline, notify_deadline(&master->notify));
        /* While the master cannot accept, a client may be waiting, and the service is not idle. */
        if (master->options->exit_idle != 0 && master->idle_since != CLOCK_NEVER &&
            master_accepts(master))
                deadline = clock_earlier(deadline, master->idle_since + master->options->exit_idle);
        return deadline;
}

static void master_tick(Master *master, uint64_t now) {
        const bool quiet = datagrams_are_quiet(master->datagrams);

        connections_tick(master->connections, now);
        datagrams_tick(master->datagrams, now);
        scrapers_tick(master->scrapers, now);
        master_count(master);
        if (datagrams_are_quiet(master->datagrams) != quiet)
                notify_changed(&master->notify, now);
        journal_tick(master->journal, now);
        notify_tick(&master->notify, now);
        if (master->notify.status_deadline <= now)
                master_send_status(master, now);
        signals_tick(&master->signals, now);
        stop_note_handed_over(&master->stop, connections_handed_over(master->connections),
                              connections_are_stored(master->connections), clock_now());
        if (stop_expire(&master->stop, now)) {
                connections_kill(master->connections);
                datagrams_kill(master->datagrams);
        }
        if (roster_live(master->connections->roster) > 0 || !datagrams_are_quiet(master->datagrams))
                master->idle_since = CLOCK_NEVER;
        else if (master->idle_since == CLOCK_NEVER)
                master->idle_since = now;
}

static int master_wait(Master *master, uint64_t patience) {
        const nfds_t n = POLLED_LISTENERS + master->listeners->n;
        const uint64_t now = clock_now(), deadline = master_deadline(master);
        uint64_t wait = deadline > now ? clock_earlier(deadline - now, patience) : 0;
        const struct timespec timeout = clock_timespec(wait);

        for (uint32_t i = 0; i < POLLED_LISTENERS; i++)
                master->polled[i].revents = 0;
        master_poll_listeners(master);
        signals_poll(&master->signals, &master->polled[POLLED_SIGNALS]);
        master->polled[POLLED_DATAGRAMS].fd = datagrams_are_quiet(master->datagrams)
                                                              ? datagrams_fd(master->datagrams)
                                                              : -1;
        if (deadline == CLOCK_NEVER)
                wait = patience;
        if (ppoll(master->polled, n, wait == CLOCK_NEVER ? NULL : &timeout, NULL) < 0 &&
            errno != EINTR)
                return -errno;
        return 0;
}

static bool master_is_done(Master *master, uint64_t now) {
        if (master_is_idle(master, now))
                master_stop(master, now);
        return (master->stop.begun || master->listeners->n == 0) &&
               roster_live(master->connections->roster) == 0 &&
               datagrams_live(master->datagrams) == 0 && scrapers_live(master->scrapers) == 0;
}

int master_turn(Master *master, uint64_t patience) {
        bool handed, due;
        uint64_t now;
        int r;

        r = master_wait(master, patience);
        if (r < 0)
                return r;
        now = clock_now();
        handed = master->polled[POLLED_HANDOVER].revents != 0 ||
                 inbox_deadline(&master->inbox) <= now;
        if (handed)
                inbox_take(&master->inbox, master->stop.begun, now);
        /* Before the calls below, which decide differently while the service stops. */
        due = handed || connections_deadline(master->connections) <= now;
        if (signals_take(&master->signals, &master->polled[POLLED_SIGNALS], due, now))
                notify_changed(&master->notify, now);
        if (handed)
                master_settle(master, now);
        if (master->polled[POLLED_KEEPER].revents != 0)
                master_lose_keeper(master, now);
        /* The calls above left addresses of other peers on the stack. */
        wipe_stack();
        for (uint32_t i = 0; i < master->listeners->n; i++)
                if (master->polled[POLLED_LISTENERS + i].revents != 0)
                        master_accept(master, &master->listeners->items[i], now);
        if (master->polled[POLLED_DATAGRAMS].revents != 0) {
                datagrams_take_news(master->datagrams, now);
                notify_changed(&master->notify, now);
        }
        /* A tick may fork as well. */
        wipe_stack();
        master_tick(master, now);
        return master_is_done(master, now) ? 0 : MASTER_RUNNING;
}

/* Logs the start with as many listeners as fit, separated by commas. */
static void master_log_started(const Master *master) {
        char text[1024] = "";

        for (uint32_t i = 0; i < master->listeners->n; i++) {
                const char *listener = master->listeners->items[i].text;

                if (strlen(text) + strlen(", ") + strlen(listener) >= sizeof text)
                        break;
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? ", " : "",
                         listener);
        }
        journal_write(master->journal,
                      &(Record){ .kind = RECORD_STARTED,
                                 .listener = text,
                                 .max_connections = master->options->max_connections },
                      clock_now());
}

/* Waits for the journal, and leaves the counts of what it does not accept to the next master. */
static void master_finish_journal(Master *master) {
        LedgerCounts *counts = ledger_counts(roster_ledger(master->connections->roster));

        journal_finish(master->journal, JOURNAL_PATIENCE);
        journal_abandon(master->journal, &counts->lost);
        counts->metrics.lost += journal_take_lost(master->journal);
}

int master_run(Master *master) {
        uint64_t now;
        Record stopped;
        int r;

        /* Without a manager, no process could store the connections again. */
        if (handover_stores(&master->inbox.address)) {
                r = takeover_readmit(master->connections, master->restore, clock_now());
                if (r < 0)
                        return r;
                wipe_stack();
                takeover_start(master->connections, master->restore, clock_now());
        }
        now = clock_now();
        datagrams_tick(master->datagrams, now);
        notify_ready(&master->notify, now);
        notify_changed(&master->notify, now);
        master_log_started(master);
        wipe_stack();
        do
                r = master_turn(master, CLOCK_NEVER);
        while (r == MASTER_RUNNING);

        now = clock_now();
        notify_stopping(&master->notify, now);
        /* The record of the stop comes last. */
        journal_finish(master->journal, 0);
        stopped = account_totals(master->connections, RECORD_STOPPED, now);
        journal_write(master->journal, &stopped, now);
        master_finish_journal(master);
        return r == 0 && master->keeper_lost ? -ECHILD : r;
}
