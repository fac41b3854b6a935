/* SPDX-License-Identifier: MIT */
#pragma once

/* The socket that a server listens on, whose command line says "PROGRAM ADDRESS PORT", with an IPv4
 * address. @backlog connections may wait to be accepted. Ends the program, with a sentence on
 * stderr, when there is no such socket to be had. */
int port_listen(int argc, char **argv, int backlog);

/* The same for a socket that receives datagrams. */
int port_receive(int argc, char **argv);
