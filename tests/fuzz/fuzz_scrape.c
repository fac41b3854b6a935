/* SPDX-License-Identifier: MIT */
/* Whatever a client of the metrics sends, it gets one of four answers, whole: the text as it is, or
 * a head of HTTP with the text, with OpenMetrics, or with nothing. */

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "handler/scrape.h"

enum {
        REQUEST_MOST = 1 << 16,
};

static const ScrapeTexts texts = { .sizes = { 4, 4 }, .texts = { "text", "open" } };

/* Returns whether @answer is a head for @type with @body. */
static bool is_response(const char *answer, const char *type, const char *body) {
        char expected[256];

        snprintf(expected, sizeof expected,
                 "HTTP/1.0 200 OK\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: 4\r\n"
                 "Connection: close\r\n\r\n%s",
                 type, body);
        return strcmp(answer, expected) == 0;
}

/* The client: a handler waits until it has read the whole answer. */
typedef struct Client {
        int fd;
        char answer[1024];
        ssize_t last; /* what its last read(2) returned */
} Client;

static void *client_read(void *argument) {
        Client *client = argument;
        size_t n = 0;

        while ((client->last = read(client->fd, client->answer + n,
                                    sizeof client->answer - 1 - n)) > 0)
                n += (size_t)client->last;
        client->answer[n] = '\0';
        return NULL;
}

static bool begins_with(const uint8_t *data, size_t size, const char *text) {
        return size >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char text[] = "text/plain; version=0.0.4";
        static const char open[] = "application/openmetrics-text; version=1.0.0";
        const size_t sent = size < REQUEST_MOST ? size : REQUEST_MOST;
        const char *answer;
        Client client;
        pthread_t thread;
        int fds[2];

        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        FUZZ_CHECK(sent == 0 || send(fds[0], data, sent, MSG_DONTWAIT) == (ssize_t)sent);
        FUZZ_CHECK(shutdown(fds[0], SHUT_WR) == 0);
        client.fd = fds[0];
        FUZZ_CHECK(pthread_create(&thread, NULL, client_read, &client) == 0);
        scrape_run(fds[1], &texts);
        close(fds[1]);
        FUZZ_CHECK(pthread_join(thread, NULL) == 0);
        FUZZ_CHECK(client.last == 0);
        close(fds[0]);
        answer = client.answer;

        if (begins_with(data, sent, "GET "))
                FUZZ_CHECK(is_response(answer, text, "text") || is_response(answer, open, "open"));
        else if (begins_with(data, sent, "HEAD "))
                FUZZ_CHECK(is_response(answer, text, "") || is_response(answer, open, ""));
        else
                FUZZ_CHECK(strcmp(answer, "text") == 0);
        return 0;
}
