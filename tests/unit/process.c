/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

/* Ends this process when a test hangs; alarm(2) belongs to the code. */
static void process_limit_time(void) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
        const struct itimerspec time = { .it_value.tv_sec = 5L * PATIENCE_SECONDS };
        timer_t timer;

        assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        assert_int_equal(timer_settime(timer, 0, &time, NULL), 0);
}

pid_t process_fork(void (*function)(void *data), void *data) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        process_limit_time();
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        /* cmocka would go on with the next test here. */
        (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
        function(data);
        /* libgcov writes files. */
        process_set_limit(RLIMIT_NOFILE, RLIM_INFINITY);
        process_set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
        _exit(0);
}

int process_wait(pid_t pid) {
        int status = 0;
        pid_t r;

        do
                r = waitpid(pid, &status, 0);
        while (r < 0 && errno == EINTR);
        assert_int_equal(r, pid);
        return status;
}

void process_wait_exit(pid_t pid, int code) {
        int status = process_wait(pid);

        if (WIFSIGNALED(status))
                fail_msg("process %d was killed by signal %d", pid, WTERMSIG(status));
        assert_int_equal(WEXITSTATUS(status), code);
}

void process_run(void (*function)(void *data), void *data) {
        process_wait_exit(process_fork(function, data), 0);
}

const char *process_status(pid_t pid, const char *name) {
        static char line[1024];
        size_t length = strlen(name);
        char path[64];
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/status", pid);
        file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof line, file) != NULL)
                if (strncmp(line, name, length) == 0 && line[length] == ':') {
                        fclose(file);
                        line[strcspn(line, "\n")] = '\0';
                        return line + length + 1 + strspn(line + length + 1, "\t ");
                }
        fclose(file);
        fail_msg("process %d has no %s", pid, name);
        return NULL;
}

int process_count_descriptors(void) {
        int n = 0;

        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

void process_wait_asleep(pid_t pid) {
        /* The test may have stopped the clock. */
        for (int waited = 0; strchr("SZ", process_status(pid, "State")[0]) == NULL; waited++) {
                assert_true(waited < PATIENCE_SECONDS * 1000);
                (void)poll(NULL, 0, 1);
        }
}

void process_wait_ended(pid_t pid) {
        siginfo_t info;

        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

void process_set_limit(int resource, rlim_t limit) {
        struct rlimit both;

        assert_int_equal(getrlimit(resource, &both), 0);
        both.rlim_cur = limit < both.rlim_max ? limit : both.rlim_max;
        assert_int_equal(setrlimit(resource, &both), 0);
}
