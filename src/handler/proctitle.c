/* SPDX-License-Identifier: MIT */
#include "handler/proctitle.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Volatile, for the kernel reads it: so the loops that write it stay loops, and a handler does not
 * have to read in the page of memcpy(3). */
static volatile char *title_start;
static size_t title_arguments; /* bytes of the command line */
static size_t title_size;      /* bytes of the command line and, behind it, the environment */

/* The strings of argv and of environ follow one another on the stack. */
static char *title_extend(char **strings, char *end) {
        for (; *strings != NULL && *strings == end; strings++)
                end = *strings + strlen(*strings) + 1;
        return end;
}

/* Into one piece of memory: first the pointers, then the strings. */
static int title_move_environment(void) {
        size_t count = 0, size = sizeof(char *);
        char **pointers, *string;

        for (; environ[count] != NULL; count++)
                size += sizeof(char *) + strlen(environ[count]) + 1;
        pointers = malloc(size);
        if (pointers == NULL)
                return -ENOMEM;
        string = (char *)(pointers + count + 1);
        for (size_t i = 0; i < count; i++) {
                pointers[i] = string;
                string = stpcpy(string, environ[i]) + 1;
        }
        pointers[count] = NULL;
        environ = pointers;
        return 0;
}

int title_init(int argc, char **argv) {
        char *arguments, *end;
        int r;

        if (argc < 1)
                return 0;
        arguments = title_extend(argv, argv[0]);
        end = title_extend(environ, arguments);
        r = title_move_environment();
        if (r < 0)
                return r;
        title_start = argv[0];
        title_arguments = (size_t)(arguments - argv[0]);
        title_size = (size_t)(end - argv[0]);
        return 0;
}

/* What the kernel knows of where this process has what: fields of proc_pid_stat(5), by number. */
static int title_read_map(struct prctl_mm_map *ret_map) {
        enum { FIRST = 3, FIELDS = 52 };
        unsigned long long field[FIELDS] = {};
        FILE *file = fopen("/proc/self/stat", "re");
        char line[2048] = "", *word;
        int number;

        if (file == NULL)
                return -ENOENT;
        if (fgets(line, sizeof line, file) == NULL)
                line[0] = '\0';
        fclose(file);
        /* The second one is the program's name in parentheses. */
        word = strrchr(line, ')');
        if (word == NULL)
                return -ENOENT;
        word = strtok(word + 1, " ");
        for (number = FIRST; number < FIELDS && word != NULL; number++) {
                field[number] = strtoull(word, NULL, 10);
                word = strtok(NULL, " ");
        }
        if (number < FIELDS)
                return -ENOENT;
        *ret_map = (struct prctl_mm_map){ .start_code = field[26],
                                          .end_code = field[27],
                                          .start_stack = field[28],
                                          .start_data = field[45],
                                          .end_data = field[46],
                                          .start_brk = field[47],
                                          .brk = (uintptr_t)sbrk(0),
                                          .arg_start = field[48],
                                          .arg_end = field[49],
                                          .env_start = field[50],
                                          .env_end = field[51],
                                          .exe_fd = -1U };
        return 0;
}

int title_move(char *room, size_t size) {
        struct prctl_mm_map map;
        int r;

        if (title_size == 0)
                return -ENOENT;
        if (size < title_arguments)
                return -ENOSPC;
        r = title_read_map(&map);
        if (r < 0)
                return r;
        memcpy(room, (const char *)title_start, title_arguments);
        map.arg_start = (uintptr_t)room;
        map.arg_end = map.env_start = map.arg_start + title_arguments;
        map.env_end = map.arg_start + size;
        if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0)
                return -errno;
        title_start = room;
        title_size = size;
        return 0;
}

void title_set(const char *title) {
        size_t length = 0;

        if (title_size == 0)
                return;
        while (length < title_size - 1 && title[length] != '\0') {
                title_start[length] = title[length];
                length++;
        }
        /* A shorter title ends where the command line did; no more is touched than that, each page
         * of it would be a copy for a forked process. */
        do
                title_start[length++] = '\0';
        while (length < title_arguments);
}
