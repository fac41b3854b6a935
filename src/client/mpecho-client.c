/* SPDX-License-Identifier: MIT */
/*
 * The client's main program: reads the command line, runs the mode, prints the report.
 *
 * Before the mode it prepares the process: the standard descriptors, the default action of SIGCHLD,
 * exact timers, and the signals that end a run or print its state. A mode fills in the Report; only
 * this file and report.c decide the output and the exit status.
 *
 * A mode must never print results or exit by itself. A reader that does not read must not hold up a
 * user who has ended the program with a signal.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/command/client_help.h"
#include "client/command/client_options.h"
#include "client/load/load.h"
#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/output/export.h"
#include "client/output/monitor.h"
#include "client/output/report.h"
#include "client/run/check.h"
#include "client/run/exchange.h"
#include "client/run/flows.h"
#include "client/run/mtu.h"
#include "client/run/ping.h"
#include "client/run/relay.h"
#include "lib/failure.h"
#include "lib/stdfds.h"

static int client_refuse(const Failure *failure, bool monitor) {
        if (monitor) {
                monitor_print_unknown(failure->text);
                return fflush(stdout) == EOF ? STATUS_FAILED : MONITOR_UNKNOWN;
        }
        fprintf(stderr,
                "mpecho-client: %s\n"
                "Try 'mpecho-client --help' for more information.\n",
                failure->text);
        return STATUS_USAGE;
}

static int client_fail_to_print(void) {
        perror("mpecho-client: Cannot write to standard output");
        return STATUS_FAILED;
}

static int client_print(const char *text) {
        if (fputs(text, stdout) == EOF || fflush(stdout) == EOF)
                return client_fail_to_print();
        return STATUS_DONE;
}

static void client_run(const ClientOptions *options, Report *report) {
        if (options->action == CLIENT_RELAY)
                relay_run(options, report);
        else if (options->action == CLIENT_LOAD)
                load_run(options, report);
        else if (options->action == CLIENT_MTU)
                mtu_run(options, report);
        else if (options->flows > 0)
                flows_run(options, report);
        else if (options->connection.datagram)
                exchange_run(options, report);
        else if (options->action == CLIENT_CHECK)
                check_run(options, report);
        else
                ping_run(options, report);
}

/* Output that nobody reads would block forever; after a signal nobody waits for it. */
static bool client_can_print(const ClientOptions *options, bool interrupted) {
        struct pollfd polled = { .fd = STDOUT_FILENO, .events = POLLOUT };

        return !interrupted || options->action == CLIENT_RELAY || poll(&polled, 1, 0) > 0;
}

static int client_report(const ClientOptions *options, Report *report) {
        int interrupt = options->connection.interrupt;
        bool interrupted = interrupt_is_due(interrupt);

        interrupt_clear(interrupt);
        export_write(report, options);
        if (!client_can_print(options, interrupted))
                return STATUS_FAILED;
        if (report_print(report, options) < 0)
                return client_fail_to_print();
        return report_status(report, options);
}

int main(int argc, char **argv) {
        static Report report;
        ClientOptions options;
        Failure failure = {};

        if (stdfds_fill() < 0)
                return STATUS_FAILED;
        if (client_options_parse(argc, argv, &options, &failure) < 0)
                return client_refuse(&failure, client_options_is_monitor(argv));
        if (options.action == CLIENT_HELP)
                return client_print(client_options_is_monitor(argv) ? monitor_help : client_help);
        if (options.action == CLIENT_VERSION)
                return client_print(client_options_is_monitor(argv)
                                                    ? "check_mpecho " MPECHO_VERSION "\n"
                                                    : "mpecho-client " MPECHO_VERSION "\n");

        signal(SIGCHLD, SIG_DFL);
        /* The kernel's default lets each timer be 50 microseconds late, which is as long as a round
         * trip on one machine. */
        (void)prctl(PR_SET_TIMERSLACK, 1);
        (void)inquiry_open();
        /* The plain mode is a filter: it ends at once and prints nothing about it. */
        if (options.action != CLIENT_RELAY || options.json)
                options.connection.interrupt = interrupt_open();
        report.time = time(NULL);
        export_prepare(&report, &options);
        if (report.failure.kind == FAILURE_NONE)
                client_run(&options, &report);
        return client_report(&options, &report);
}
