# SPDX-License-Identifier: MIT
"""check_mpecho: what monitoring systems expect of a plugin."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import servers
from client import CLIENT, DEADLINE, Client, run, until

SCRIPT = pathlib.Path(__file__).parents[2] / "packaging" / "check_mpecho"
LINE = re.compile(
    r"ECHO (OK|WARNING|CRITICAL|UNKNOWN) - [^|]+"
    r"( \| rta=(?:([0-9.]+)ms|U);([0-9.:@~]*);([0-9.:@~]*);0 rtmin=(?:[0-9.]+ms|U);;;0 "
    r"rtmax=(?:[0-9.]+ms|U);;;0 pl=([0-9.]+)%;([0-9.:@~]*);([0-9.:@~]*);0;100"
    r"(?: resolve=[0-9.]+ms;;;0 connect=[0-9.]+ms;;;0)?"
    r"(?: first_byte=([0-9.]+)ms;;;0 last_byte=([0-9.]+)ms;;;0)?)?"
)
STATES = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
FAST = ["-i", "0.01"]


def probe(*arguments, **options):
    """State and data; one line on standard output, nothing else, the status fits."""
    status, output, errors = run("--monitor", *arguments, data=b"", **options)
    lines = output.decode().splitlines()
    assert len(lines) == 1 and errors == []
    found = LINE.fullmatch(lines[0])
    assert found, lines[0]
    assert STATES[found[1]] == status
    return found[1], found


def ask(server, *arguments, **options):
    """The same of a server."""
    host, port = server.address
    return probe("-H", host, "-p", port, *FAST, *arguments, **options)


def slow(connection):
    while data := connection.recv(1000):
        time.sleep(0.02)
        connection.sendall(data)


@pytest.mark.parametrize(
    "warning, critical, state",
    [
        ("10000", "20000", "OK"),
        ("5", "20000", "WARNING"),
        ("0.5,50%", "5", "CRITICAL"),
        ("", "5,100%", "CRITICAL"),
        ("5,20%", "", "WARNING"),
        ("", "", "OK"),
    ],
)
def test_thresholds(warning, critical, state):
    """The mean round trip, of at least 20 ms here, decides; the thresholds are in the data."""
    given = [word for letter, value in (("-w", warning), ("-c", critical)) if value
             for word in (letter, value)]
    with servers.tcp(slow) as server:
        found, data = ask(server, *given)
    assert found == state
    assert float(data[3]) >= 20 and data[6] == "0"
    times = [value.partition(",")[0] for value in (warning, critical)]
    losses = [value.partition(",")[2].rstrip("%") for value in (warning, critical)]
    assert [data[4], data[5]] == times and [data[7], data[8]] == losses
    assert "5 of 5 answered" in data[0] and " connect=" in data[0]
    assert float(data[9]) >= 20 and float(data[9]) + float(data[10]) <= float(data[3]) + 0.002


@pytest.mark.parametrize(
    "thresholds, state",
    [
        ([], "WARNING"),
        (["-w", "10000"], "WARNING"),
        (["-w", "10000,19%"], "WARNING"),
        (["-w", "10000,20%"], "OK"),
        (["-w", "10000,@20:100%"], "WARNING"),
        (["-c", "10000,19.9%"], "CRITICAL"),
        (["-w", "~:0"], "WARNING"),
        (["-w", "10000:,100%"], "WARNING"),
        (["-w", "@0:10000,100%"], "WARNING"),
        (["-w", "10000,10%", "-c", "10000,60%"], "WARNING"),
    ],
)
def test_loss(thresholds, state):
    """One lost of five is 20 %: what that is worth is up to the thresholds, a warning without."""
    with servers.tcp(servers.reset_after(64 * 3)) as server:
        found, data = ask(server, *thresholds)
    assert found == state
    # The data repeat the ranges as they were given.
    warning = thresholds[1] if thresholds[:1] == ["-w"] else ""
    assert (data[4], data[7]) == (warning.partition(",")[0], warning.partition(",")[2].rstrip("%"))
    assert "4 of 5 answered" in data[0] and "(1 reset)" in data[0] and data[6] == "20"


def test_all_lost_is_critical():
    """No answer at all; the data have the loss, and no time."""
    with servers.tcp(servers.close_after(0)) as server:
        state, data = ask(server, "-n", "2")
    assert state == "CRITICAL" and "0 of 2 answered" in data[0]
    assert data[3] is data[9] is None and data[6] == "100"


def test_a_wrong_answer_is_critical():
    """Damage is worse than loss, whatever the thresholds."""
    with servers.tcp(servers.flip(64)) as server:
        state, data = ask(server, "-w", "10000,90%", "-c", "10000,95%")
    assert state == "CRITICAL" and "differs" in data[0]


def ended(clock, answers, *arguments):
    """The same of a service that answers so many round trips. Then the 60 s of -t are over."""

    def behaviour(connection):
        for _ in range(answers):
            connection.sendall(servers.receive(connection, 64))
            until(lambda: servers.is_read(connection))
            # The pause before the next one.
            clock.advance(0.01)
        if "600" not in arguments:
            servers.receive(connection, 64)
        clock.advance(60)
        servers.silent(connection)

    clock.stop()
    with servers.tcp(behaviour) as server:
        state, data = ask(server, "-t", "60", *arguments, env=os.environ | clock.environment)
    assert ", -t ended the run after 60 s |" in data[0]
    return state, data


@pytest.mark.parametrize("late, state", [(False, "OK"), (True, "CRITICAL")])
def test_the_wait_of_the_plugin_itself(late, state, clock):
    """A plugin that gets no processor for a while does not report a slow service."""
    begun = []

    clock.stop()
    with servers.tcp(servers.hold(begun)) as server, Client(
            "--monitor", "-t7200", "-n1", "-c1200000", "-H", server.address[0], "-p",
            server.address[1], env=os.environ | clock.environment) as client:
        until(lambda: begun)
        client.freeze()
        clock.advance(3600 if late else 600)
        connection, data = begun[0]
        connection.sendall(data)
        until(lambda: servers.queues(connection)[1][1] == len(data))
        if not late:
            clock.stall(3000)
        client.thaw()
        until(lambda: client.process.poll() is not None or clock.advance(0.01))
        status, output, _ = client.end(b"")
    found = LINE.fullmatch(output.decode().rstrip("\n"))
    assert found and found[1] == state and STATES[state] == status, output


def test_silence_is_critical(clock):
    """A service that accepts and says nothing is down; -t is the limit of all, and the reason."""
    state, data = ended(clock, 0)
    assert state == "CRITICAL" and data[6] == "100"
    assert "0 of 1 answered (1 interrupted), -t" in data[0]


def test_silence_of_datagrams_is_critical():
    """The limit of all ends the wait for datagrams as well, and is no signal."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        state, data = probe("--udp", "-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), *FAST,
                            "-n", "2", "-t", "0.2")
    assert state == "CRITICAL" and data[6] == "100"
    assert re.search(r"0 of \d answered \(\d interrupted\), -t ended the run after 0.2 s \|", data[0])


@pytest.mark.parametrize("count", [4, 5])
def test_a_service_that_falls_silent_is_critical(clock, count):
    """Answers at first do not help, even if only the last one is missing."""
    state, data = ended(clock, 3, "-n", count, "-w", "10000,90%")
    assert state == "CRITICAL" and "3 of 4 answered" in data[0]


def test_a_run_without_the_time_for_all_is_critical(clock):
    """The pause before the next round trip counts, too."""
    state, data = ended(clock, 1, "-i", "600")
    assert state == "CRITICAL" and "1 of 1 answered, " in data[0]


def test_nobody_there_is_critical():
    """A refused connection says something about the service; the data are there."""
    with servers.closed_port() as holder:
        state, data = probe("-H", "127.0.0.1", "-p", holder.getsockname()[1], *FAST)
    assert state == "CRITICAL" and "refused" in data[0] and data[6] == "100"


def test_what_cannot_be_known():
    """A name without an address says nothing about the service."""
    state, data = probe("-H", "no-such-host.invalid", "-n", "1")
    assert state == "UNKNOWN" and "no-such-host.invalid" in data[0] and data[6] == "100"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-H", "host", "-w", "x"],
        ["-H", "host", "-w", "5,20"],
        ["-H", "host", "-w", "5,101%"],
        ["-H", "host", "-w", "2:1"],
        ["-H", "host", "--nonsense"],
        ["-H", "host", "-c", "20ms"],
        ["-H", "host", "extra"],
        ["-w", "1"],
        ["-H"],
        [],
    ],
)
def test_a_wrong_command_line_is_unknown(arguments):
    """The state is unknown, in one line, and never one of the others."""
    assert probe(*arguments)[0] == "UNKNOWN"


def test_a_signal_is_unknown():
    """A plugin that is ended early does not know."""
    sent = threading.Event()

    def behaviour(connection):
        servers.receive(connection, 1)
        sent.set()
        servers.silent(connection)

    with servers.tcp(behaviour) as server:
        host, port = server.address
        with Client("--monitor", "-H", host, "-p", port) as client:
            assert sent.wait(DEADLINE)
            client.process.send_signal(signal.SIGTERM)
            status, output, _ = client.end()
    assert (status, output.split(b" - ")[0]) == (3, b"ECHO UNKNOWN")
    assert b", a signal ended the run |" in output and b"-t" not in output


def test_the_name():
    """--help and -V print the plugin's name."""
    assert run("--monitor", "--help", data=b"")[1].startswith(b"Usage: check_mpecho ")
    status, output, errors = run("--monitor", "-V", data=b"")
    assert (status, errors) == (0, []) and re.fullmatch(rb"check_mpecho \S+\n", output)


def test_the_script(tmp_path):
    """What is installed hands all words to the client next to it."""
    script = tmp_path / "check_mpecho"
    script.write_text(SCRIPT.read_text().replace("/usr/bin/mpecho-client", CLIENT))
    script.chmod(0o755)
    with servers.tcp(servers.echo) as server:
        host, port = server.address
        result = subprocess.run([script, "-H", host, "-p", port, "-n1"], capture_output=True,
                                text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (0, "")
    assert LINE.fullmatch(result.stdout.rstrip("\n"))[1] == "OK"
