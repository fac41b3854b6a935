# SPDX-License-Identifier: MIT
"""Tracing and tampering with a process's system calls by strace(1), from the moment it runs."""

import signal
import subprocess
from pathlib import Path

from processes import DEADLINE, state, wait_for


class Tampering:
    """strace attached to a process, as a context manager.

    calls      names of system calls, "accept4,clone"
    injection  what to do to them, strace(1)'s --inject without the names: "error=EMFILE:when=2+"
    follow     whether to do it to the processes that it forks from now on as well; each of them
               counts its calls by itself
    log        where they are written, a line for each
    also       names of system calls that are written, too, and left as they are
    """

    def __init__(self, pid, calls, injection=None, log="/dev/null", follow=False, also=()):
        self.log = Path(log)
        names = ",".join([calls, *also])
        self._command = ["strace", "-q", "-o", str(log), "-p", str(pid), "-e", f"trace={names}"]
        if injection:
            self._command += ["-e", f"inject={calls}:{injection}"]
        if follow:
            self._command.append("-f")
        self._pid = pid

    def __enter__(self):
        self._strace = subprocess.Popen(self._command, stderr=subprocess.PIPE)
        try:
            wait_for(self._attached, "strace attached")
        except BaseException:
            self._end()
            raise
        return self

    def _attached(self):
        assert self._strace.poll() is None, self._strace.stderr.read()
        text = Path(f"/proc/{self._pid}/status").read_text()
        # The process is strace's before it is stopped; from then on strace waits for its calls.
        return f"TracerPid:\t{self._strace.pid}\n" in text and state(self._strace.pid) == "S"

    def _end(self):
        if self._strace.poll() is None:
            self._strace.send_signal(signal.SIGINT)
        self._strace.wait(DEADLINE)
        self._strace.stderr.close()

    def __exit__(self, *exception):
        self._end()

    def lines(self):
        """The calls so far, without the signals: a slow close(2) gets one."""
        return [line for line in self.log.read_text().splitlines() if " --- SIG" not in f" {line}"]

    def count(self, call):
        """How often a system call was made so far."""
        return sum(line.startswith(f"{call}(") for line in self.lines())
