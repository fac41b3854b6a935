/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "client/failure.h"
#include "lib/endpoint.h"

/*
 * The values of the client's options. All of these return 0 and set their return parameter, or
 * return -EINVAL and set @failure, in whose sentence @option, the option's name, and @text are.
 */

/*
 * client_values_parse_port: a number from 1 to 65535, or the name of a TCP service in services(5).
 */
int client_values_parse_port(const char *text, in_port_t *ret_port, Failure *failure);

/*
 * client_values_parse_source: a numeric IPv4 or IPv6 address of this machine.
 */
int client_values_parse_source(const char *text, Endpoint *ret_source, Failure *failure);

/*
 * client_values_parse_size: a number of bytes from @minimum to @maximum, which may end in K, M or
 * G.
 */
int client_values_parse_size(const char *option, const char *text, uint64_t minimum,
                             uint64_t maximum, uint64_t *ret_size, Failure *failure);

/*
 * client_values_parse_number: a number from @minimum to @maximum.
 */
int client_values_parse_number(const char *option, const char *text, uint64_t minimum,
                               uint64_t maximum, uint64_t *ret_number, Failure *failure);

/*
 * client_values_parse_seconds: a number of seconds, which may have a fraction, from @minimum to
 * @maximum nanoseconds.
 */
int client_values_parse_seconds(const char *option, const char *text, uint64_t minimum,
                                uint64_t maximum, uint64_t *ret_time, Failure *failure);

/*
 * client_values_parse_milliseconds: the same, for a number of milliseconds.
 */
int client_values_parse_milliseconds(const char *option, const char *text, uint64_t minimum,
                                     uint64_t maximum, uint64_t *ret_time, Failure *failure);
