# SPDX-License-Identifier: MIT
"""Runs mpecho-client and sees to it that no process of it is left."""

import os
import pathlib
import select
import signal
import subprocess
import time

import pytest

CLIENT = str(pathlib.Path(os.environ["MPECHO_BUILD"]) / "mpecho-client")
DEADLINE = 120  # seconds, of a machine that has much else to do


def patient(*arguments):
    """The words of a command line. A run that is not about the limits of its waits gets longer ones
    than a server of this process, which may have to wait for a processor, can reach."""
    words = [str(argument) for argument in arguments]
    mode, names = [], []
    if words[:1] == ["--monitor"]:
        mode, words, names = words[:1], words[1:], ["-t"]
    elif "--udp" not in words and {"--check", "--ping", "--load"} & set(words):
        names = ["--timeout", "--connect-timeout"]
    spellings = {"-t": ("-t",), "--timeout": ("-W", "--timeout"),
                 "--connect-timeout": ("--connect-timeout",)}
    limits = [f"{name}={DEADLINE}".replace("-t=", "-t") for name in names
              if not any(word.startswith(spellings[name]) for word in words)]
    return [*mode, *limits, *words]


class Client:
    """The client as a leader of its own process group, so that what it leaves behind shows."""

    def __init__(self, *arguments, **options):
        options = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        self.process = subprocess.Popen(
            [CLIENT, *patient(*arguments)], process_group=0,
            # communicate() does not see what a buffer has read ahead.
            bufsize=0, **options
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=DEADLINE)

    @property
    def sender(self):
        """The pid of the sending process, once it is there."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        until(children.read_text)
        return int(children.read_text())

    def freeze(self):
        """Stops all its processes; those that have ended are no more."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        until(lambda: {state(pid) for pid in [self.process.pid, *descendants(self.process.pid)]} <=
              {"T", "Z", None})

    def thaw(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def end(self, data=None):
        """Exit status, output and lines of error; nothing of the process group may be left."""
        output, errors = self.process.communicate(data, timeout=DEADLINE)
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        return self.process.returncode, output, (errors or b"").decode().splitlines()


def run(*arguments, data=None, **options):
    with Client(*arguments, **options) as client:
        return client.end(data)


def command(mode, *options, size=None, count=None):
    """The words for a mode: "plain", "check", "ping" or a kind of load, with its size and count."""
    words = [*options, *([f"--size={size}"] if size else []), *([f"--count={count}"] if count else [])]
    if mode in ("check", "ping"):
        return [f"--{mode}", *words]
    return words if mode == "plain" else ["--load", f"--kind={mode}", *words]


def until(condition):
    """Waits for what no descriptor tells: the state of another process in /proc."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.005)


def step(clock, client, count=2):
    """Moves the stopped clock on until a run has printed so many reports. Returns these."""
    lines = b""
    for _ in range(count):
        until(lambda: select.select([client.process.stdout], [], [], 0)[0] or clock.advance(0.1))
        lines += client.process.stdout.readline()
    return lines


def state(pid):
    """The process state as proc(5) has it: S sleeping, Z zombie, … or None for no process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return None


def descendants(pid):
    """The pids of its children, and of theirs."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in children] + [
        grandchild for child in children for grandchild in descendants(child)
    ]


def gone(pid):
    return state(pid) in (None, "Z")
