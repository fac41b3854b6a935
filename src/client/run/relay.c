/* SPDX-License-Identifier: MIT */
/*
 * The plain mode: a filter that sends standard input to the service and writes the echo to standard
 * output.
 *
 * The child reads standard input and sends; this process receives and writes, so neither waits for
 * the other. Both hash their stream; at the end the hashes reveal damage that the number of bytes
 * does not. An error of standard output counts even at close(2), when some file systems report that
 * they are full.
 *
 * Standard output belongs to the peer: all other text must go to standard error.
 */
#include "client/run/relay.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "client/content/digest.h"
#include "client/network/inquiry.h"
#include "client/run/receiver.h"
#include "client/run/sender.h"
#include "client/value/quantity.h"
#include "lib/clock.h"
#include "lib/mapping.h"

/* The data for an inquiry. */
typedef struct RelayProgress {
        const ClientOptions *options;
        const Receiver *receiver;
        uint64_t start;
} RelayProgress;

/* Terminals and pipes may be non-blocking because of another process that shares them. */
static int relay_wait(int fd, short events) {
        struct pollfd polled = { .fd = fd, .events = events };

        return poll(&polled, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t relay_fill(void *userdata, void *buffer, size_t size) {
        for (;;) {
                ssize_t n = read(STDIN_FILENO, buffer, size);
                int r = n < 0 ? -errno : 0;

                if (n >= 0) {
                        digest_add(userdata, buffer, (size_t)n);
                        return n;
                }
                if (r == -EAGAIN)
                        r = relay_wait(STDIN_FILENO, POLLIN);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

static int relay_take(void *userdata, const void *data, size_t size) {
        digest_add(userdata, data, size);
        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, data, size);
                int r = n < 0 ? -errno : 0;

                if (r == -EAGAIN)
                        r = relay_wait(STDOUT_FILENO, POLLOUT);
                if (r < 0 && r != -EINTR)
                        return r;
                if (n > 0) {
                        data = (const char *)data + n;
                        size -= (size_t)n;
                }
        }
        return 0;
}

static void relay_add_counts(const Receiver *receiver, Failure *failure) {
        const uint64_t sent = sender_bytes(receiver->sender);

        failure_append(failure, ": %" PRIu64 " byte%s sent, %" PRIu64 " came back", sent,
                       quantity_plural(sent), receiver->bytes);
}

static void relay_set_broken(const Receiver *receiver, const char *target, int error,
                             Failure *failure) {
        failure_set_kind(failure, failure_kind_from_errno(error), 0,
                         "The connection to %s broke: %s", target, strerror(error));
        relay_add_counts(receiver, failure);
}

/* Judges the sender's end, after the peer has ended in order. */
static void relay_judge_sender(const Receiver *receiver, const Digest *sent, const char *target,
                               Failure *failure) {
        const Sender *sender = receiver->sender;

        if (sender->end == SENDER_SOURCE_FAILED)
                failure_set(failure, 0, "Cannot read standard input: %s", strerror(sender->error));
        else if (sender->end == SENDER_KILLED)
                failure_set(failure, 0, "Signal %d (%s) ended the sending process", sender->error,
                            strsignal(sender->error));
        else if (sender->end == SENDER_CONNECTION_FAILED && sender->error != EPIPE)
                relay_set_broken(receiver, target, sender->error, failure);
        else if (sender->end != SENDER_FINISHED) {
                failure_set_kind(failure, FAILURE_CLOSED, 0,
                                 "%s closed the connection before the end of the input", target);
                relay_add_counts(receiver, failure);
        } else if (sender_bytes(sender) != receiver->bytes) {
                failure_set_kind(failure,
                                 sender_bytes(sender) > receiver->bytes ? FAILURE_MISSING
                                                                        : FAILURE_DIFFERS,
                                 0, "%" PRIu64 " byte%s sent to %s, but %" PRIu64 " came back",
                                 sender_bytes(sender), quantity_plural(sender_bytes(sender)),
                                 target, receiver->bytes);
        } else if (digest_get(sent) != digest_get(receiver->sink.userdata)) {
                failure_set_kind(failure, FAILURE_DIFFERS, 0,
                                 "%" PRIu64
                                 " byte%s sent to %s, but as many different bytes came back",
                                 receiver->bytes, quantity_plural(receiver->bytes), target);
        } else if (receiver->early) {
                failure_set_kind(failure, FAILURE_DIFFERS, 0,
                                 "%s returned bytes before it received them", target);
        }
}

static void relay_judge(const Receiver *receiver, int r, const Digest *sent,
                        const ClientOptions *options, Failure *failure) {
        const bool surplus = receiver->bytes > sender_bytes(receiver->sender);
        char target[TARGET_TEXT_SIZE], seconds[QUANTITY_TEXT_SIZE];

        target_format(&options->target, target);
        if (r == RECEIVER_SINK_FAILED) {
                failure_set(failure, 0, "Cannot write to standard output: %s",
                            strerror(-receiver->error));
        } else if (r == RECEIVER_ENDLESS || (r == RECEIVER_TIMEOUT && surplus)) {
                failure_set_kind(failure, FAILURE_DIFFERS, 0,
                                 "%s returned more bytes than it received", target);
                relay_add_counts(receiver, failure);
        } else if (r == RECEIVER_TIMEOUT) {
                failure_set_kind(failure, FAILURE_TIMEOUT, 0, "%s came back from %s within %s s",
                                 receiver->bytes == 0 ? "0 bytes" : "Nothing more", target,
                                 quantity_format_time(options->timeout, seconds));
                relay_add_counts(receiver, failure);
        } else if (r == RECEIVER_INTERRUPTED) {
                failure_set_kind(failure, FAILURE_INTERRUPTED, 0,
                                 "Interrupted while connected to %s", target);
                relay_add_counts(receiver, failure);
        } else if (r < 0) {
                relay_set_broken(receiver, target, -r, failure);
        } else {
                relay_judge_sender(receiver, sent, target, failure);
        }
}

static void relay_answer(void *userdata) {
        const RelayProgress *progress = userdata;
        const Receiver *receiver = progress->receiver;
        /* Before the time, as the sender goes on. It counts bytes when send(2) returns: those that
         * came back before were sent, and others were not. */
        const uint64_t begun = sender_begun(receiver->sender),
                       counted = sender_bytes(receiver->sender);
        const uint64_t echoed = receiver->bytes < begun ? receiver->bytes : begun;
        const Interim count = { .elapsed = clock_now() - progress->start,
                                .bytes_sent = counted > echoed ? counted : echoed,
                                .bytes_received = receiver->bytes };

        interim_print(stderr, &(Interim){ 0 }, &count, progress->options);
}

/* Exchanges the bytes. The sender hashes into @sent, which is shared memory. */
static void relay_exchange(int fd, Digest *sent, const ClientOptions *options, Report *report) {
        uint64_t start = clock_now();
        Digest received = {};
        Sender sender;
        Receiver receiver = { .fd = fd,
                              .sender = &sender,
                              .sink = { .take = relay_take, .userdata = &received },
                              .timeout = options->timeout,
                              .interrupt = options->connection.interrupt };
        int r;

        r = sender_start(&sender, fd, &(Source){ .fill = relay_fill, .userdata = sent });
        if (r < 0) {
                failure_set(&report->failure, 0, "Cannot start the sending process: %s",
                            strerror(-r));
                return;
        }
        inquiry_set(relay_answer, &(RelayProgress){ options, &receiver, start });
        r = receiver_run(&receiver);
        inquiry_set(NULL, NULL);
        /* A peer that ends early leaves a sender that waits for its input. */
        sender_stop(&sender);
        report->elapsed = clock_now() - start;
        report->bytes_sent = sender_bytes(&sender);
        report->bytes_received = receiver.bytes;
        relay_judge(&receiver, r, sent, options, &report->failure);
        sender_deinit(&sender);
}

void relay_run(const ClientOptions *options, Report *report) {
        Digest *sent;
        int fd;

        /* The report names a reader that has closed the pipe. */
        signal(SIGPIPE, SIG_IGN);
        fd = path_open(&options->target, &options->connection, &report->path, &report->failure);
        if (fd < 0)
                return;
        sent = mapping_new_shared(sizeof *sent);
        if (sent == NULL)
                failure_set(&report->failure, 0, "Cannot allocate shared memory: %s",
                            strerror(errno));
        else
                relay_exchange(fd, sent, options, report);
        mapping_free(sent, sizeof *sent);
        kernel_note(&report->kernel, fd);
        close(fd);
        /* Some file systems report only now that they are full. */
        if (close(STDOUT_FILENO) < 0 && report->failure.kind == FAILURE_NONE)
                failure_set(&report->failure, 0, "Cannot write to standard output: %s",
                            strerror(errno));
}
