/* SPDX-License-Identifier: MIT */
#pragma once

#include "handler/echo.h"
#include "handler/proxy.h"

/*
 * The beginning of a silent connection, before its echo: a PROXY header.
 */

/*
 * preface_read: Reads a PROXY header from echo->in, behind the bytes of it that are unsent already,
 * for at most 5 seconds in all. Leaves the timeout of reads (SO_RCVTIMEO, socket(7)) changed.
 *
 * Returns 0 and sets @ret_header: the unsent bytes are then those behind the header. -ECANCELED
 * when `stopping` ends it: the unsent bytes are all that have come. Otherwise a ProxyError.
 */
int preface_read(Echo *echo, ProxyHeader *ret_header);
