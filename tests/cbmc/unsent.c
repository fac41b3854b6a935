/* SPDX-License-Identifier: MIT */
/* cbmc: src/restart/unsent.c --unwind 2 --conversion-check */
/* Whatever file a peer's handler passes, unsent_take() writes no byte beyond the buffer, and it
 * returns bytes only of a regular file that it has emptied. */
#include "restart/unsent.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mapping.h"
#include "prove.h"

enum {
        SIZE = 8, /* of the buffer */
};

static struct stat file;
static bool emptied;
static int open_files;

static int fail(void) {
        errno = nondet_int();
        assume(errno > 0 && errno < 200);
        return -1;
}

int fstat(int fd, struct stat *status) {
        (void)fd;
        file.st_mode = nondet_unsigned();
        file.st_size = nondet_off();
        assume(file.st_size >= 0);
        *status = file;
        return nondet_bool() ? 0 : fail();
}

/* The file can have become shorter meanwhile: the handler that passed it may still write to it. */
ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
        const size_t n = nondet_size();

        (void)fd;
        (void)offset;
        assume(n <= size);
        prove(size <= SIZE, "unsent_take() reads no more than the buffer holds");
        fill(buffer, n);
        return nondet_bool() ? (ssize_t)n : fail();
}

int ftruncate(int fd, off_t size) {
        (void)fd;
        prove(size == 0, "unsent_take() empties the file");
        emptied = nondet_bool();
        return emptied ? 0 : fail();
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
        const size_t n = nondet_size();

        (void)fd;
        (void)offset;
        assume(n <= size);
        prove(__CPROVER_r_ok(data, size), "unsent_new() writes what it is given");
        return nondet_bool() ? (ssize_t)n : fail();
}

int mapping_new_file(const char *name) {
        (void)name;
        if (nondet_bool())
                return -EMFILE;
        open_files++;
        return 3;
}

int close(int fd) {
        (void)fd;
        open_files--;
        return 0;
}

void harness(void) {
        char buffer[SIZE];
        const size_t size = nondet_size();
        ssize_t n;
        int fd;

        assume(size > 0 && size <= SIZE);
        n = unsent_take(3, buffer, size);
        prove(n != 0 && n <= (ssize_t)size, "unsent_take() returns bytes or an error");
        prove(n < 0 || (S_ISREG(file.st_mode) && n == file.st_size && emptied),
              "unsent_take() returns all bytes of a regular file that it has emptied, or none");

        fill(buffer, sizeof buffer);
        fd = unsent_new(buffer, size);
        prove(open_files == (fd >= 0),
              "unsent_new() leaves no descriptor open that it does not return");
}
