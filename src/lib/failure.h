/* SPDX-License-Identifier: MIT */
#pragma once

typedef struct Sentence Sentence;

/*
 * What a function that fails has to tell a person: one sentence, without a full stop, that names
 * what was wrong.
 */
struct Sentence {
        char text[512];
};

/*
 * sentence_set: writes a sentence as printf(3) would, cut to the room there is. Returns @error, so
 * that a function can fail and say why in one statement.
 */
__attribute__((format(printf, 3, 4))) int sentence_set(Sentence *sentence, int error,
                                                       const char *format, ...);
