/* SPDX-License-Identifier: MIT */
/*
 * The main program: reads options, takes passed sockets, then serves one connection or runs the
 * master. The order matters: closed standard descriptors are filled before anything opens a file,
 * and passed descriptors are taken before another descriptor can land in their place.
 *
 * Every failure ends in a message and an exit status: 1 failed, 2 wrong usage. On wrong usage the
 * waiting clients are reset, or systemd would start the service again for them without end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "handler/proctitle.h"
#include "lib/clock.h"
#include "lib/failure.h"
#include "lib/stdfds.h"
#include "report/journal.h"
#include "report/notify.h"
#include "restart/fdstore.h"
#include "server/master.h"
#include "start/inetd.h"
#include "start/inherited.h"
#include "start/listeners.h"
#include "start/options.h"
#include "start/resources.h"

/* Logs @failure, and reports it to systemd. A busy journald looks for the unit of this process when
 * that has gone, and `systemctl status` then lacks the record, but not the status. */
static Status fail(Journal *journal, const Failure *failure) {
        const Record record = { .kind = RECORD_FAILED, .sentence = failure->text };
        char message[FAILURE_TEXT_SIZE] = "STATUS=";
        const size_t length = strlen(message);

        record_format_sentence(&record, message + length, sizeof message - length);
        (void)notify_once(message, NULL, 0, MSG_DONTWAIT);
        journal_write(journal, &record, clock_now());
        return STATUS_FAILED;
}

/* Reports wrong usage to the person who called mpecho: on stderr, or in the journal where records
 * go there or a client reads stderr. */
static Status fail_usage(const Options *options, const Inherited *inherited,
                         const Failure *failure) {
        Journal *journal;

        if (journal_target(options->log) == LOG_TARGET_STDERR && !stdfds_stderr_is_stdin()) {
                fprintf(stderr, "mpecho: %s\nTry 'mpecho --help' for more information.\n",
                        failure->text);
        } else if (journal_new(LOG_TARGET_JOURNAL, LOG_ERR, JOURNAL_SOCKET, &journal) == 0) {
                fail(journal, failure);
                journal_finish(journal, JOURNAL_PATIENCE);
                journal_free(journal);
        }
        inherited_refuse(inherited);
        return STATUS_USAGE;
}

/* Logs a @limit that allows fewer than @needed connections. */
static void check_limit(const char *name, uint64_t limit, uint64_t needed, const Options *options,
                        Journal *journal) {
        if (limit < needed)
                journal_write(journal,
                              &(Record){ .kind = RECORD_LIMITED,
                                         .limit = name,
                                         .limit_value = limit,
                                         .max_connections = options->max_connections },
                              clock_now());
}

static Status serve_listeners(const Options *options, Inherited *inherited, Listeners *listeners,
                              Journal *journal) {
        const Resource resource = resources_scarcest();
        Restore *restore = inherited->manager ? &inherited->restore : NULL;
        Failure failure = {};
        Master *master = NULL;
        int r;

        check_limit(resource.name, resource.limit, options->max_connections, options, journal);
        /* Each connection, and the ledgers of two runs. */
        if (restore != NULL)
                check_limit("FileDescriptorStoreMax", fdstore_limit(), options->max_connections + 2,
                            options, journal);
        r = master_new(options, listeners, restore, journal, &master);
        if (r < 0) {
                failure_set(&failure, r, "Cannot create the master's memory or sockets: %s",
                            strerrordesc_np(-r));
                return fail(journal, &failure);
        }
        r = master_run(master);
        master_free(master);
        if (r < 0) {
                failure_set(&failure, r, "Cannot serve the listeners: %s",
                            r == -ECHILD ? "the keeper of connections was killed"
                                         : strerrordesc_np(-r));
                return fail(journal, &failure);
        }
        return STATUS_DONE;
}

static Status serve(const Options *options, Inherited *inherited, Listeners *listeners,
                    Journal *journal) {
        Failure failure = {};
        int r;

        r = stdfds_detach();
        if (r < 0) {
                failure_set(&failure, r, "Cannot use /dev/null: %s", strerrordesc_np(-r));
                return fail(journal, &failure);
        }
        if (inherited->connection < 0)
                return serve_listeners(options, inherited, listeners, journal);
        r = inetd_serve(inherited->connection, options, journal, &failure);
        return r < 0 ? fail(journal, &failure) : STATUS_DONE;
}

static Status run(const Options *options, Inherited *inherited) {
        Listeners *listeners = NULL;
        Failure failure = {};
        Journal *journal;
        Status status;
        int r;

        r = journal_new(options->log, options->log_level, JOURNAL_SOCKET, &journal);
        if (r < 0) {
                if (!stdfds_stderr_is_stdin())
                        fprintf(stderr,
                                "mpecho: Cannot create the memory or the descriptor of the log: "
                                "%s\n",
                                strerrordesc_np(-r));
                return STATUS_FAILED;
        }
        journal_set_empty_level(journal, options->log_empty);
        resources_raise();
        r = listeners_check(options, inherited, &failure);
        if (r == 0 && (inherited->n != 0 || options->n_listen == 0))
                r = inherited_sort(inherited, journal, &failure);
        if (r == 0)
                r = listeners_new(options, inherited, &listeners, &failure);
        if (r == 0) {
                status = serve(options, inherited, listeners, journal);
                listeners_free(listeners);
        } else {
                status = r == WRONG_USAGE ? fail_usage(options, inherited, &failure)
                                          : fail(journal, &failure);
        }
        journal_finish(journal, JOURNAL_PATIENCE);
        journal_free(journal);
        return status;
}

static Status print(const char *text) {
        if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
                return STATUS_DONE;
        fprintf(stderr, "mpecho: Cannot write to stdout: %s\n", strerrordesc_np(errno));
        return STATUS_FAILED;
}

static Status test(const Options *options, const Inherited *inherited) {
        Failure failure = {};

        /* Under systemd or an inetd, LISTEN would be one socket too many. */
        if (listeners_check(options, inherited, &failure) == 0)
                return print(options->n_listen == 0 ? "The options are valid.\n"
                                                    : "The options are valid without passed "
                                                      "sockets.\n");
        fprintf(stderr, "mpecho: %s\n", failure.text);
        return STATUS_USAGE;
}

int main(int argc, char **argv) {
        Failure failure = {};
        Options options;
        Inherited inherited;
        Status status = STATUS_DONE;
        int r;

        r = stdfds_fill();
        if (r < 0) {
                fprintf(stderr, "mpecho: Cannot open /dev/null: %s\n", strerrordesc_np(-r));
                return STATUS_FAILED;
        }
        r = proctitle_init(argc, argv);
        if (r < 0) {
                fprintf(stderr, "mpecho: Cannot make room for the process title: %s\n",
                        strerrordesc_np(-r));
                return STATUS_FAILED;
        }
        inherited_take(&inherited);
        switch (options_parse(argc, argv, &options, &failure)) {
        case OPTIONS_RUN:
                status = run(&options, &inherited);
                break;
        case OPTIONS_TEST:
                status = test(&options, &inherited);
                break;
        case OPTIONS_HELP:
                status = print(options_help());
                break;
        case OPTIONS_VERSION:
                status = print("mpecho " MPECHO_VERSION "\n");
                break;
        default:
                status = fail_usage(&options, &inherited, &failure);
        }
        inherited_deinit(&inherited);
        return status;
}
