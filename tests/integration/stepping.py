# SPDX-License-Identifier: MIT
"""Stopping a process at each of its system calls, from the very first one on, by ptrace(2).

A process of `make coverage` runs on from where it begins to write its counts: these are hundreds of
calls that are not its own."""

import contextlib
import ctypes
import os
import signal
import struct
import time

import processes
from service import COUNTED

PTRACE_CONT = 7
PTRACE_SYSCALL = 24
PTRACE_DETACH = 17
PTRACE_GETEVENTMSG = 0x4201
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_GET_SYSCALL_INFO = 0x420E
PTRACE_SYSCALL_INFO_ENTRY = 1

PTRACE_O_TRACESYSGOOD = 1
PTRACE_O_TRACEFORK = 1 << 1
PTRACE_O_EXITKILL = 1 << 20

PTRACE_EVENT_FORK = 1
PTRACE_EVENT_STOP = 128
SYSCALL_STOP = signal.SIGTRAP | 0x80
WALL = 0x40000000
PATH_MAX = 4096

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, pid, address=0, data=0):
    result = LIBC.ptrace(request, pid, address, data)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


class Stepped:
    """A process that stops at the beginning of each system call, before anything of it is done.

    It belongs to the thread that made it, and is killed with it. `status` is that of waitpid(2)
    when it has ended, or else None."""

    def __init__(self, pid):
        self.pid = pid
        self.status = None
        self.held = True
        self._resume = PTRACE_SYSCALL
        self._signal = 0
        self._event = None
        self.calls = self._most = 0
        self._wait()

    @classmethod
    def running(cls, pid):
        """Takes a process that runs, wherever it is."""
        ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
        ptrace(PTRACE_INTERRUPT, pid)
        return cls(pid)

    @classmethod
    def forked_by(cls, parent, provoke):
        """Takes the process that the parent forks when provoke() is called, before its first call.

        The parent runs on."""
        ptrace(PTRACE_SEIZE, parent, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK)
        provoke()
        # Nothing else stops it: it blocks the signals that it gets.
        _, status = os.waitpid(parent, WALL)
        assert os.WIFSTOPPED(status) and status >> 16 == PTRACE_EVENT_FORK, status
        child = ctypes.c_ulong()
        ptrace(PTRACE_GETEVENTMSG, parent, 0, ctypes.addressof(child))
        ptrace(PTRACE_DETACH, parent)
        return cls(child.value)

    def _wait(self):
        """Waits until it stops or ends. Returns the number of the signal that stopped it."""
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            self.status = status
            return None
        self._event = status >> 16
        return os.WSTOPSIG(status)

    def next_call(self):
        """Runs to its next system call. Returns the number of that; None when it has ended."""
        while True:
            ptrace(self._resume, self.pid, 0, self._signal)
            self._signal = 0
            number = self._wait()
            if number is None:
                return None
            if number == SYSCALL_STOP:
                entered = self._entered()
                if entered is not None:
                    return entered
            elif self._event != PTRACE_EVENT_STOP:
                self._signal = number

    def _entered(self):
        """The number of the system call that it has come to; None when it returns from one, or has
        come to its counts."""
        info = ctypes.create_string_buffer(128)
        ptrace(PTRACE_GET_SYSCALL_INFO, self.pid, len(info), ctypes.addressof(info))
        kind, number, _, path = struct.unpack_from("B23xQQQ", info)
        if kind != PTRACE_SYSCALL_INFO_ENTRY:
            return None
        if COUNTED and self._names_counts(path):
            self._resume = PTRACE_CONT
            return None
        return number

    def _names_counts(self, address):
        """Whether the path of a file of counts is there, as openat(2) has it."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory, \
                contextlib.suppress(OSError, OverflowError, ValueError):
            memory.seek(address)
            return memory.read(PATH_MAX).partition(b"\0")[0].endswith(b".gcda")
        return False

    def begin_walk(self, calls):
        """Lets it run until it begins its call of that number from here, the first one being 1."""
        self.calls, self._most = 0, calls
        self.held = False
        self._run()

    def _run(self):
        # The next wait tells of one that somebody has killed.
        with contextlib.suppress(ProcessLookupError):
            ptrace(self._resume, self.pid, 0, self._signal)
        self._signal = 0

    def go_on(self):
        """Goes on with its walk if it has stopped on the way. Returns whether it had stopped or
        ended."""
        if self.held or self.status is not None:
            return False
        pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
        if not pid:
            return False
        if not os.WIFSTOPPED(status):
            self.status = status
            return True
        number, self._event = os.WSTOPSIG(status), status >> 16
        if number == SYSCALL_STOP:
            self.calls += self._entered() is not None
        elif self._event != PTRACE_EVENT_STOP:
            self._signal = number
        self.held = self.calls == self._most
        if not self.held:
            self._run()
        return True

    def detach(self):
        """Lets it run on from where it is, unless somebody has killed it."""
        try:
            if self.status is None and not self.held:
                ptrace(PTRACE_INTERRUPT, self.pid)
                self._wait()
            if self.status is None:
                ptrace(PTRACE_DETACH, self.pid)
        except ProcessLookupError:
            while self.status is None:
                self._wait()

    def end(self):
        """Kills it where it is; again is harmless."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            while self.status is None:
                self._wait()


def walk(calls):
    """Lets processes, Stepped -> number, run side by side until each of them begins that call from
    here, ends, or sleeps because it waits for one that is held already."""
    for process, number in calls.items():
        process.begin_walk(number)
    deadline = time.monotonic() + processes.DEADLINE
    asleep = 0
    while asleep < 3:
        assert time.monotonic() < deadline, "they neither came to their calls nor ended"
        if any([process.go_on() for process in calls]):
            asleep = 0
            continue
        running = [one.pid for one in calls if not one.held and one.status is None]
        if not running:
            break
        # While none is held, they wait for others, which will answer.
        waiting = any(one.held for one in calls) and \
            all(processes.state(pid) == "S" for pid in running)
        asleep = asleep + 1 if waiting else 0
        time.sleep(0.002 * asleep)
