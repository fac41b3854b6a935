/* SPDX-License-Identifier: MIT */
/*
 * Answers one client of a metrics socket: a monitoring system that speaks HTTP, or a person with
 * socat(1) who says nothing. The first bytes decide: the handler reads a request up to its empty
 * line, and nothing else to any end. It ignores the path of a request and all of its fields but
 * Accept.
 *
 * One buffer holds the request. When it is full, the handler answers a longer request, too.
 *
 * A client may read nothing. After the end of the handler the kernel would keep the answer, and
 * nobody counts such clients. So until the client has acknowledged all of it, the end of this
 * process, whatever its cause, resets the connection.
 *
 * Nothing here may allocate memory, change the texts, or send a client anything else of this
 * process.
 */
#include "handler/scrape.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handler/echo.h"
#include "lib/socket.h"

enum {
        REQUEST_SIZE = 8192,
        HEAD_SIZE = 256,
        /* How long a client may be silent, in milliseconds: longer than one lost segment needs. */
        SILENCE = 500,
};

static const char *const content_types[METRICS_FORMATS] = {
        [METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [METRICS_OPEN] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/* Returns whether @request begins with @method, or may yet do so. */
static bool request_may_be(const char *request, const char *method) {
        const size_t size = strlen(request), most = strlen(method);

        return strncmp(request, method, size < most ? size : most) == 0;
}

static bool request_is_whole(const char *request) {
        return strstr(request, "\r\n\r\n") != NULL || strstr(request, "\n\n") != NULL;
}

/* Reads a request, or the beginning of something else, and ends it with a NUL. */
static void request_read(int fd, char request[static REQUEST_SIZE]) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        size_t size = 0;
        ssize_t n;

        request[0] = '\0';
        if (poll(&ready, 1, SILENCE) != 1)
                return;
        while (size < REQUEST_SIZE - 1 && !request_is_whole(request) &&
               (request_may_be(request, "GET ") || request_may_be(request, "HEAD "))) {
                n = read(fd, request + size, REQUEST_SIZE - 1 - size);
                if (n <= 0)
                        return;
                size += (size_t)n;
                request[size] = '\0';
        }
}

/* Returns the format that the Accept field of @request asks for; cuts @request into lines. */
static MetricsFormat request_format(char *request) {
        char *line;

        while ((line = strsep(&request, "\n")) != NULL)
                if (strncasecmp(line, "Accept:", strlen("Accept:")) == 0 &&
                    strcasestr(line, "application/openmetrics-text") != NULL)
                        return METRICS_OPEN;
        return METRICS_TEXT;
}

/* Writes until all is written, or the client is gone. */
static void write_all(int fd, const char *data, size_t size) {
        ssize_t n;

        while (size > 0 && (n = send(fd, data, size, MSG_NOSIGNAL)) > 0) {
                data += n;
                size -= (size_t)n;
        }
}

/* Ends the stream, and waits until the client has acknowledged the whole answer and ended its own.
 */
static void scrape_finish(int fd, char request[static REQUEST_SIZE]) {
        static const volatile sig_atomic_t never;
        const Echo echo = {
                .out = fd, .buffer = request, .buffer_size = REQUEST_SIZE, .stopping = &never
        };

        if (echo_drain(&echo) != END_CLOSED_BY_PEER)
                return;
        socket_unset_reset(fd);
        echo_finish(&echo);
}

void scrape_run(int fd, const ScrapeTexts *texts) {
        char request[REQUEST_SIZE], head[HEAD_SIZE];
        MetricsFormat format = METRICS_TEXT;
        bool get, http;
        int n;

        socket_set_reset(fd);
        request_read(fd, request);
        get = strncmp(request, "GET ", strlen("GET ")) == 0;
        http = get || strncmp(request, "HEAD ", strlen("HEAD ")) == 0;
        if (http) {
                format = request_format(request);
                n = snprintf(head, sizeof head,
                             "HTTP/1.0 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                             "Connection: close\r\n\r\n",
                             content_types[format], texts->sizes[format]);
                write_all(fd, head, (size_t)n);
        }
        if (get || !http)
                write_all(fd, texts->texts[format], texts->sizes[format]);
        scrape_finish(fd, request);
}
