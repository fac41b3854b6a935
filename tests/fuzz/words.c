/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <string.h>

#include "fuzz.h"

static char program[] = "mpecho";

void words_init(Words *words, const uint8_t *data, size_t size) {
        char *word;

        words->text = malloc(size + 1);
        words->argv = calloc(size + 3, sizeof *words->argv);
        words->given = calloc(size + 3, sizeof *words->given);
        FUZZ_CHECK(words->text != NULL && words->argv != NULL && words->given != NULL);
        if (size > 0)
                memcpy(words->text, data, size);
        words->text[size] = '\0';
        for (size_t i = 0; i < size; i++)
                if (words->text[i] == '\n')
                        words->text[i] = '\0';
        words->argc = 0;
        words->given[words->argc++] = program;
        /* The last line needs no end. */
        for (word = words->text; word < words->text + size; word += strlen(word) + 1)
                words->given[words->argc++] = word;
        memcpy((void *)words->argv, (const void *)words->given, (size_t)words->argc * sizeof word);
}

void words_deinit(Words *words) {
        free((void *)words->argv);
        free((void *)words->given);
        free(words->text);
}

static int compare_pointers(const void *one, const void *other) {
        const char *const *left = one, *const *right = other;

        return *left < *right ? -1 : *left > *right;
}

bool words_reordered(const Words *words) {
        const size_t size = (size_t)words->argc * sizeof *words->argv;
        char **now = malloc(size), **before = malloc(size);
        bool same;

        FUZZ_CHECK(now != NULL && before != NULL);
        memcpy((void *)now, (const void *)words->argv, size);
        memcpy((void *)before, (const void *)words->given, size);
        qsort((void *)now, (size_t)words->argc, sizeof *now, compare_pointers);
        qsort((void *)before, (size_t)words->argc, sizeof *before, compare_pointers);
        same = memcmp((const void *)now, (const void *)before, size) == 0 &&
               words->argv[words->argc] == NULL && words->argv[0] == program;
        free((void *)now);
        free((void *)before);
        return same;
}

bool words_point(const Words *words, const char *text) {
        for (int i = 1; i < words->argc; i++)
                if (text >= words->given[i] && text <= words->given[i] + strlen(words->given[i]))
                        return true;
        return false;
}

/* Whether @quoted, up to a quote, is @end; or the beginning of it where the sentence is cut behind
 * @room bytes. */
static bool is_quoted(const char *quoted, size_t room, const char *end) {
        const size_t length = strlen(end);

        if (length >= room)
                return strlen(quoted) == room && memcmp(quoted, end, room) == 0;
        return strncmp(quoted, end, length) == 0 && quoted[length] == '\'';
}

bool words_quoted(const Words *words, const char *sentence, size_t size) {
        const char *quoted = strchr(sentence, '\'');

        if (quoted == NULL)
                return false;
        quoted++;
        for (int i = 1; i < words->argc; i++)
                for (const char *end = words->given[i];; end++) {
                        if (is_quoted(quoted, size - 1 - (size_t)(quoted - sentence), end))
                                return true;
                        if (*end == '\0')
                                break;
                }
        return false;
}

bool words_begin(const Words *words, const char *text, size_t length) {
        for (int i = 1; i < words->argc; i++)
                if (strncmp(words->given[i], text, length) == 0)
                        return true;
        return false;
}

bool words_have_letter(const Words *words, char letter) {
        for (int i = 1; i < words->argc; i++)
                if (words->given[i][0] == '-' && words->given[i][1] != '-' &&
                    strchr(words->given[i] + 1, letter) != NULL)
                        return true;
        return false;
}
