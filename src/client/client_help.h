/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What --help shows.
 */
extern const char client_help[];
