/* SPDX-License-Identifier: MIT */
/*
 * Writes the process title over the command line, as everybody does: the kernel places the strings
 * of argv and of the environment next to each other on the stack, and reads the title from there
 * for ps(1). proctitle_init() moves the environment, where the keeper looks for the service
 * manager, to make room for a long title: to a mapping, as handlers have no heap (fork.c).
 *
 * A handler sets its title after the fork, so proctitle_set() must not allocate, and must write
 * little (fork.c).
 */
#include "handler/proctitle.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Volatile keeps the compiler from calling memcpy(3): a loop costs a new process less. */
static volatile char *title_start;
static size_t title_arguments; /* bytes of the command line */
static size_t title_size;      /* bytes of the command line and, behind it, the environment */

/* Returns the end of those @strings that follow one another from @end on. */
static char *title_extend(char **strings, char *end) {
        for (; *strings != NULL && *strings == end; strings++)
                end = *strings + strlen(*strings) + 1;
        return end;
}

/* Copies the environment into one piece of memory: first the pointers, then the strings. */
static int title_move_environment(void) {
        size_t count = 0, size = sizeof(char *);
        char **pointers, *string;

        for (; environ[count] != NULL; count++)
                size += sizeof(char *) + strlen(environ[count]) + 1;
        pointers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pointers == MAP_FAILED)
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

int proctitle_init(int argc, char **argv) {
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

void proctitle_set(const char *title) {
        size_t length = 0;

        if (title_size == 0)
                return;
        while (length < title_size - 1 && title[length] != '\0') {
                title_start[length] = title[length];
                length++;
        }
        /* Clears the rest of the command line, which the kernel would show. */
        do
                title_start[length++] = '\0';
        while (length < title_arguments);
}
