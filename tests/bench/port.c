/* SPDX-License-Identifier: MIT */
#include "port.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

int port_listen(int argc, char **argv, int backlog) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        int listener = socket(AF_INET, SOCK_STREAM, 0);

        if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
                errx(EXIT_FAILURE, "usage: %s ADDRESS PORT", argv[0]);
        address.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
        /* mpecho.socket sets no delay as well; accepted connections inherit it. */
        if (listener < 0 ||
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
            setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0 ||
            bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
            listen(listener, backlog) < 0)
                err(EXIT_FAILURE, "cannot listen on %s port %s", argv[1], argv[2]);
        return listener;
}
