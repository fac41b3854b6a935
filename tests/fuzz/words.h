/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Words Words;

/*
 * A command line: the name of a program and words. In an input each word is a line, so that seeds
 * can be read; a NUL ends a word as well.
 */
struct Words {
        int argc;
        char **argv;  /* reordered by getopt_long(3) */
        char **given; /* the same words in their order */
        char *text;
};

/*
 * words_init: the command line that the @size bytes @data are; the caller frees it with
 * words_deinit(). Aborts where there is no memory.
 */
void words_init(Words *words, const uint8_t *data, size_t size);
void words_deinit(Words *words);

/*
 * words_reordered: whether argv still has each word that was given, once.
 */
bool words_reordered(const Words *words);

/*
 * words_point: whether @text is a word, or the end of one, in the command line's own memory.
 */
bool words_point(const Words *words, const char *text);

/*
 * words_quoted: whether what @sentence, which has room for @size bytes, has in quotes is a word or
 * the end of one; or where the sentence was cut, the beginning of these. Words and sentence may
 * have quotes themselves.
 */
bool words_quoted(const Words *words, const char *sentence, size_t size);

/*
 * words_begin: whether a word begins with the @length bytes @text. words_have_letter: whether a
 * word that begins with one '-' has @letter.
 */
bool words_begin(const Words *words, const char *text, size_t length);
bool words_have_letter(const Words *words, char letter);
