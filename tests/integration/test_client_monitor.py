# SPDX-License-Identifier: MIT
"""mpecho-client --warn --critical: what monitoring systems expect of a plugin."""

import re
import signal
import threading
import time

import pytest

import servers
from client import DEADLINE, Client, run

LINE = re.compile(
    r"ECHO (OK|WARNING|CRITICAL|UNKNOWN) - [^|]+"
    r"( \| rta=([0-9.]+)ms;([0-9.]*);([0-9.]*);0 rtmin=[0-9.]+ms;;;0 rtmax=[0-9.]+ms;;;0 "
    r"p99=[0-9.]+ms;;;0 pl=([0-9.]+)%;;;0;100)?"
)
STATES = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}


def probe(*arguments):
    """State and whole line; one line on standard output, nothing else, the status fits."""
    status, output, errors = run(*arguments, data=b"")
    lines = output.decode().splitlines()
    assert len(lines) == 1 and errors == []
    found = LINE.fullmatch(lines[0])
    assert found, lines[0]
    assert STATES[found[1]] == status
    return found[1], lines[0]


def slow(connection):
    while data := connection.recv(1000):
        time.sleep(0.02)
        connection.sendall(data)


@pytest.mark.parametrize(
    "thresholds, state",
    [
        (["--warn=10000", "--critical=20000"], "OK"),
        (["--warn", "5", "--critical", "20000"], "WARNING"),
        (["--warn=0.5", "--critical=5"], "CRITICAL"),
        (["--critical=5"], "CRITICAL"),
        (["--warn=5"], "WARNING"),
    ],
)
def test_thresholds(thresholds, state):
    """The average round trip, of at least 20 ms here, decides; the thresholds are in the data."""
    with servers.tcp(slow) as server:
        found, line = probe(*thresholds, "--interval=0.01", *server.address)
    assert found == state
    data = LINE.fullmatch(line)
    assert float(data[3]) >= 20 and data[6] == "0"
    given = dict(zip(["--warn", "--critical"], ["", ""]))
    words = " ".join(thresholds).replace("=", " ").split()
    given.update(zip(words[::2], words[1::2]))
    assert [data[4], data[5]] == [given["--warn"], given["--critical"]]
    assert "5 of 5 answered" in line


def test_some_lost_is_a_warning():
    """A round trip that fails is worth a warning, however fast the others are."""
    with servers.tcp(servers.reset_after(64 * 3)) as server:
        state, line = probe("--warn=10000", "--ping", "-c5", "--interval=0.01", *server.address)
    assert state == "WARNING"
    assert "4 of 5 answered" in line and "(1 reset)" in line and " pl=20%" in line


def test_all_lost_is_critical():
    """No answer at all."""
    with servers.tcp(servers.close_after(0)) as server:
        state, line = probe("--warn=1", "--ping", "-c2", "--interval=0.01", *server.address)
    assert state == "CRITICAL" and "0 of 2 answered" in line


def test_nobody_there_is_critical():
    """A refused connection says something about the service."""
    with servers.closed_port() as holder:
        state, line = probe("--warn=1", "127.0.0.1", holder.getsockname()[1])
    assert state == "CRITICAL" and "Connection refused" in line


def test_what_cannot_be_known():
    """A name without an address says nothing about the service."""
    state, line = probe("--warn=1", "no-such-host.invalid")
    assert state == "UNKNOWN" and "no-such-host.invalid" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--warn=x", "host"],
        ["--warn=0", "host"],
        ["--nonsense", "--warn=1", "host"],
        ["--critical=1"],
        ["--warn=2", "--critical=1", "host"],
        ["--warn=2", "--json", "host"],
        ["--warn=2", "--check", "host"],
        ["--warn"],
    ],
)
def test_a_wrong_command_line_is_unknown(arguments):
    """The state is unknown, in one line, and never one of the others."""
    assert probe(*arguments)[0] == "UNKNOWN"


def test_interrupted_before_the_first_answer():
    """A plugin that is ended early does not know."""
    sent = threading.Event()

    def behaviour(connection):
        servers.receive(connection, 1)
        sent.set()
        servers.silent(connection)

    with servers.tcp(behaviour) as server:
        with Client("--critical=1", *server.address) as client:
            assert sent.wait(DEADLINE)
            client.process.send_signal(signal.SIGTERM)
            status, output, _ = client.end()
    assert (status, output.split(b" - ")[0]) == (3, b"ECHO UNKNOWN")
