/* SPDX-License-Identifier: MIT */
/*
 * Distinguishes another service from a damaged echo.
 *
 * A wrong port and a damaged path look alike to a comparison of bytes. Services other than echo
 * speak text, and the client sends pseudo-random bytes. So an answer that begins with printable
 * bytes, most of them different from the sent ones, is no damage.
 *
 * A service that expects no header of the PROXY protocol returns it before the echo. Random bytes
 * are never such a header.
 *
 * It must never excuse damage: a few equal bytes, or one that is not printable, and the answer
 * counts as an echo.
 */
#include "client/content/foreign.h"

#include <stdio.h>
#include <string.h>

enum {
        /* The number of bytes to examine: pseudo-random ones are all printable once in 3000
         * times. */
        FOREIGN_BYTES = 8,
        FOREIGN_BYTES_MINIMUM = 6,
        FOREIGN_LINE_MAXIMUM = 60,
};

/* Also excludes the character that ends the text of a monitoring plugin. */
static bool foreign_is_printable(unsigned char byte) {
        return byte >= ' ' && byte <= '~' && byte != '|';
}

/* Returns whether the answer begins as a header of either version of the PROXY protocol does. */
static bool foreign_is_header(const void *answer, size_t size) {
        static const char version1[] = "PROXY ", version2[] = "\r\n\r\n\0\r\nQUIT\n";

        return (size >= sizeof version1 - 1 &&
                memcmp(answer, version1, sizeof version1 - 1) == 0) ||
               (size >= sizeof version2 - 1 && memcmp(answer, version2, sizeof version2 - 1) == 0);
}

bool foreign_describe(const void *answer, const void *message, size_t size,
                      char text[static FOREIGN_TEXT_SIZE]) {
        const unsigned char *got = answer, *sent = message;
        size_t looked = size < FOREIGN_BYTES ? size : FOREIGN_BYTES, same = 0, length = 0;

        if (foreign_is_header(answer, size)) {
                snprintf(text, FOREIGN_TEXT_SIZE, "the answer begins with a PROXY header");
                return true;
        }
        for (size_t i = 0; i < looked; i++) {
                if (!foreign_is_printable(got[i]))
                        return false;
                same += got[i] == sent[i];
        }
        if (looked < FOREIGN_BYTES_MINIMUM || same > looked / 2)
                return false;
        while (length < size && length < FOREIGN_LINE_MAXIMUM && foreign_is_printable(got[length]))
                length++;
        snprintf(text, FOREIGN_TEXT_SIZE, "not an echo service: it answered «%.*s»", (int)length,
                 (const char *)answer);
        return true;
}
