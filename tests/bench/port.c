/* SPDX-License-Identifier: MIT */
#include "port.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

static struct sockaddr_in port_address(int argc, char **argv) {
        struct sockaddr_in address = { .sin_family = AF_INET };

        if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
                errx(EXIT_FAILURE, "usage: %s ADDRESS PORT", argv[0]);
        address.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
        return address;
}

int port_listen(int argc, char **argv, int backlog) {
        const struct sockaddr_in address = port_address(argc, argv);
        int listener = socket(AF_INET, SOCK_STREAM, 0);

        /* mpecho.socket sets no delay as well; accepted connections inherit it. */
        if (listener < 0 ||
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
            setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0 ||
            bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
            listen(listener, backlog) < 0)
                err(EXIT_FAILURE, "cannot listen on %s port %s", argv[1], argv[2]);
        return listener;
}

int port_receive(int argc, char **argv) {
        const struct sockaddr_in address = port_address(argc, argv);
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                err(EXIT_FAILURE, "cannot receive at %s port %s", argv[1], argv[2]);
        return fd;
}
