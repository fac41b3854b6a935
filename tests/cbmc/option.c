/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/option.c src/lib/number.c --unwind 9 --unwindset option_read.0:3 -D__NO_CTYPE */
/* Whatever words the command line has and getopt_long(3) makes of them, option_read() reads no byte
 * beyond them, sets only fields of rows, and returns an index, or a sentence. */
#include "lib/option.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "prove.h"

enum {
        WORDS = 1,
        SIZE = 5,
};

typedef struct Fields {
        bool flag;
        uint64_t number;
        int name;
} Fields;

static const char *const names[] = { "ab", "c" };
static const OptionRow rows[] = {
        { "f", "f", false, option_take_flag, offsetof(Fields, flag), .hint = "h" },
        { "n", "nm", true, option_take_number, offsetof(Fields, number), 2, 70, .unit = 1000 },
        { "w", NULL, true, option_take_name, offsetof(Fields, name), .maximum = 2, .names = names },
};
static bool explained;

int optind, opterr, optopt;
char *optarg;

/* What getopt_long(3) promises: a value of a row, '?' or ':' with optopt, and optarg where a value
 * follows. */
int getopt_long(int argc, char *const *argv, const char *letters, const struct option *longs,
                int *index) {
        const int found = nondet_int();

        (void)index;
        prove(letters[0] == ':' && __CPROVER_r_ok(longs, sizeof *longs), "the rows are described");
        optind = optind == 0 ? 2 : optind + 1;
        if (optind > argc || nondet_bool()) {
                optind = 1 + (int)(nondet_unsigned() % (unsigned)argc);
                return -1;
        }
        assume(found == '?' || found == ':' || found == 'f' || found == 'n' || found == 'm' ||
               found == 256 || found == 257 || found == 258);
        optopt = nondet_int();
        assume(found == ':' ? optopt == 'n' || optopt == 'm' || optopt == 257 || optopt == 258
                            : optopt >= 0 && optopt < 259);
        optarg = found == 'f' || found == 256 ? NULL : argv[optind - 1];
        return found;
}

/* In place of the C library's table. */
int isgraph(int byte) {
        return byte > ' ' && byte <= '~';
}

int failure_set(Failure *failure, int error, const char *format, ...) {
        (void)failure;
        (void)format;
        explained = true;
        return error;
}

int snprintf(char *restrict text, size_t size, const char *restrict format, ...) {
        (void)format;
        prove(__CPROVER_w_ok(text, size), "snprintf() has as much room as it is said");
        text[0] = '\0';
        return 0;
}

size_t strcspn(const char *text, const char *rejected) {
        size_t length = 0;

        while (text[length] != '\0' && text[length] != rejected[0])
                length++;
        return length;
}

void harness(void) {
        char first[] = "m", words[WORDS][SIZE];
        char *argv[WORDS + 2] = { first };
        const int argc = 1 + (int)(nondet_unsigned() % (WORDS + 1));
        Failure failure;
        Fields fields = { .number = 2000 };
        OptionParse parse = { .rows = rows, .count = 3, .options = &fields, .failure = &failure };
        int r;

        for (int i = 1; i < argc; i++) {
                fill_text(words[i - 1], SIZE);
                argv[i] = words[i - 1];
        }
        r = option_read(&parse, argc, argv);
        prove(r == -EINVAL || (r >= 1 && r <= argc), "option_read() returns an index or an error");
        prove((r < 0) == explained, "option_read() explains what is wrong");
        prove(fields.number >= 2000 && fields.number <= 70000, "a number lies in its row's range");
        prove(fields.name == 0 || fields.name == 1, "a name is one of its row's");
}
