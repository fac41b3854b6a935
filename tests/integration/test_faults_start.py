# SPDX-License-Identifier: MIT
"""A start for which the kernel lacks something: mpecho names it, and its exit status is not 0."""

import socket
import subprocess

import pytest

from processes import DEADLINE
from service import MPECHO, TRACED, variables

LISTEN = ["127.0.0.1:0"]
PARTS = "Cannot create the master's memory or sockets: "


def start(arguments, injection, program=MPECHO, **keywords):
    """Runs `program` with strace(1)'s `injection` until it ends. Returns its status and its text."""
    calls, _, path = injection.partition(":")[0].partition("@")
    command = ["strace", "-q", "-o/dev/null", f"-etrace={calls}",
               f"-einject={calls}:{injection.partition(':')[2]}", *([f"-P{path}"] if path else []),
               str(program), *arguments]
    done = subprocess.run(command, env=variables(TRACED), stderr=subprocess.PIPE, text=True,
                          timeout=DEADLINE, check=False, **keywords)
    return done.returncode, done.stderr


@pytest.mark.parametrize("injection, message", [
    ("?open,openat@/dev/null:error=ENFILE:when=1",
     "Cannot use /dev/null: Too many open files in system"),
    ("?dup2,dup3:error=EMFILE", "Cannot use /dev/null: Too many open files"),
    ("fcntl:error=EIO:when=4",
     "Cannot create the memory or the descriptor of the log: Input/output error"),
    ("fcntl:error=EIO:when=5", "Cannot listen on '127.0.0.1:0': Input/output error"),
    ("socket:error=EMFILE", "Cannot listen on '127.0.0.1:0': Too many open files"),
    ("getsockname:error=ENOBUFS",
     "Cannot listen on '127.0.0.1:0': No buffer space available"),
    ("listen:error=EADDRINUSE", "Cannot listen on '127.0.0.1:0': Address already in use"),
    ("signalfd4:error=EMFILE", PARTS + "Too many open files"),
    ("memfd_create:error=EMFILE", PARTS + "Too many open files"),
    ("ppoll:error=ENOMEM", "Cannot serve the listeners: Cannot allocate memory"),
])
def test_listeners(injection, message):
    """Without what a master needs there is no service, but status 1 and a sentence."""
    status, text = start(["--log=stderr", *LISTEN], injection, stdin=subprocess.DEVNULL)
    assert status == 1 and text.endswith(message + "\n"), text


def test_no_null():
    """A closed standard file that cannot be replaced ends the start with status 1 and a sentence."""
    assert start(["-c", f"exec {MPECHO} 0<&-"], "?open,openat@/dev/null:error=ENFILE",
                 program="sh") == (1, "mpecho: Cannot open /dev/null: Too many open files in system\n")


@pytest.mark.parametrize("call", [4, 5, 6])
def test_connection(call):
    """A connection that cannot be prepared is not served, and its client sees the end of it."""
    client, passed = socket.socketpair()
    with client:
        with passed:
            status, text = start(["--log=stderr"], f"fcntl:error=EIO:when={call}", stdin=passed,
                                 stdout=passed)
        assert status == 1 and text.endswith(": Input/output error\n"), text
        assert client.recv(1) == b""


def test_no_journal():
    """Without a socket for the journal a start says so on stderr; wrong usage has its status."""
    assert start(["--log=journal", *LISTEN], "socket:error=EMFILE") == (
        1, "mpecho: Cannot create the memory or the descriptor of the log: Too many open files\n")
    assert start(["--log=journal", "--max-connections=0"], "socket:error=EMFILE") == (2, "")
