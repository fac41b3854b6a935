# SPDX-License-Identifier: MIT
"""mpecho-client on a terminal: the line of progress, ^C, narrow windows."""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

import servers
from client import CLIENT, DEADLINE, gone, patient, until
from test_client_datagrams import FOREVER, Peer
from test_client_datagrams import echo as echo_datagrams

CLEAR = b"\r\x1b[K"


class Terminal:
    """The client as the foreground job of a terminal of its own."""

    def __init__(self, columns, *arguments):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", CLIENT, *patient(*arguments)],
            stdin=slave, stdout=slave, stderr=slave,
        )
        os.close(slave)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.master)
        try:
            # The hang-up of the terminal ends what is left.
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def read(self):
        """What the client has written next; nothing at the end."""
        assert select.select([self.master], [], [], DEADLINE)[0], self.seen
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        self.seen += data
        return data

    def until(self, part):
        while part not in self.seen:
            assert self.read(), self.seen

    def end(self):
        """The exit status, once everything has been read."""
        while self.read():
            pass
        return self.process.wait(DEADLINE)


def slow(connection):
    """Passes things on in small pieces, for a second or two."""
    # Not much of that passes while the client gets no processor.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    while data := connection.recv(1 << 16):
        time.sleep(0.05)
        connection.sendall(data)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_progress_fits_the_window(columns):
    """The line is renewed in place, never reaches the last column, and is gone at the end."""
    with servers.tcp(slow) as server:
        with Terminal(columns, "--check", "-s4M", *server.address) as terminal:
            assert terminal.end() == 0
    shown, _, verdict = terminal.seen.rpartition(CLEAR)
    lines = re.findall(rb"\r([^\r\n]+)\x1b\[K", terminal.seen)
    assert len(lines) >= 3 and b"\n" not in shown
    assert all(0 < len(line) < columns for line in lines)
    assert all(re.match(rb"\d+\.\d s  ", line) for line in lines)
    assert b"intact" in verdict and verdict.count(b"\n") == 1
    if columns == 80:
        assert all(re.search(rb"of 4\.0 MiB  .*/s  [\d.]+ s left$", line) for line in lines)


def test_progress_begins_with_the_load(tmp_path):
    """Nothing is shown while processes connect: the time counts from their start on."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)
        with Terminal(80, "--load", "-P2", "-w600", f"{tmp_path}/s") as terminal:
            # Longer than the line of progress needs to be renewed.
            time.sleep(0.5)
            with servers.Server(servers.echo, listener):
                terminal.until(b" left\x1b[K")
                os.write(terminal.master, b"\3")
                terminal.end()
    found = re.findall(rb"\r(\d+\.\d) s  .*? left\x1b\[K", terminal.seen)
    assert found and float(found[0]) > 0


def test_progress_of_streams():
    """A load of streams shows the rate of the bytes that come back."""
    with servers.tcp(servers.echo) as server, Terminal(
            80, "--load", "--kind=streams", "-P1", "-w600", *server.address) as terminal:
        terminal.until(b" left\x1b[K")
        os.write(terminal.master, b"\3")
        terminal.end()
    lines = re.findall(rb"\r([^\r\n]+ left)\x1b\[K", terminal.seen)
    assert all(re.fullmatch(rb"\d+\.\d s  [\d.]+ (?:bytes|[KMG]iB)/s  \d+\.\d s left", line)
               for line in lines), lines


def test_progress_of_datagrams():
    """A check by datagrams shows how many of them are sent, and the rate."""
    with Peer(echo_datagrams) as peer, Terminal(
            80, "--check", "--udp", "-s28000", "-b400", *FOREVER, *peer.address) as client:
        client.until(b"\x1b[K")
        os.write(client.master, b"\3")
        client.end()
    assert re.search(rb"\d+\.\d s  \d+ of 20  \d+/s", client.seen), client.seen


@pytest.mark.parametrize("option", ["--no-progress", "--quiet"])
def test_progress_can_be_refused(option):
    """Neither option leaves a trace of it."""
    with servers.tcp(slow) as server:
        with Terminal(80, "--check", "-s2M", option, *server.address) as terminal:
            assert terminal.end() == 0
    assert b"\x1b" not in terminal.seen and terminal.seen.count(b"\n") == 1


@pytest.mark.parametrize("option", ["--no-progress", "--quiet"])
def test_progress_of_datagrams_can_be_refused(option):
    """Nor does a check by datagrams, which lasts longer than the first line takes to come."""
    with Peer(echo_datagrams) as peer, Terminal(
            80, "--check", "--udp", "-s2800", "-b2800", option, *FOREVER, *peer.address) as client:
        assert client.end() == 0
    assert b"\x1b" not in client.seen and b"intact" in client.seen


def test_progress_of_a_flood():
    """The line is renewed five times a second at most, however many round trips there are."""
    with servers.tcp(servers.echo) as server:
        begin = time.monotonic()
        with Terminal(80, "--ping", "--flood", "-c1000", *server.address) as terminal:
            assert terminal.end() == 0
            took = time.monotonic() - begin
    lines = re.findall(rb"\r\d+\.\d s  \d+ of 1000  ", terminal.seen)
    assert 1 <= len(lines) <= 1 + 5 * took


@pytest.mark.parametrize(
    "arguments", [["--ping", "--flood"], ["--load", "--duration=600"], ["--check", "-s1G"]]
)
def test_the_interrupt_key_gives_the_summary(arguments):
    """^C takes the progress away and prints what was measured; no process is left."""
    with servers.tcp(slow if "--check" in arguments else servers.echo) as server:
        with Terminal(80, *arguments, *server.address) as terminal:
            terminal.until(b"\x1b[K")
            os.write(terminal.master, b"\3")
            status = terminal.end()
    summary = terminal.seen.rpartition(CLEAR)[2].decode()
    # The first progress of a busy machine can be one of no bytes.
    judged = re.search("ended early, (intact so far|0 bytes came back)", summary) is not None
    assert (status, judged) in ((0, False), (1, True)), summary
    assert re.search(r"(answered|came back)", summary)
    with pytest.raises(ProcessLookupError):
        os.killpg(terminal.process.pid, 0)


def test_ping_prints_lines_instead_of_progress():
    """Lines as they come, no line of progress between them."""
    seen = threading.Event()

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 64))
        # The second answer comes when the line of the first has.
        seen.wait(DEADLINE)
        servers.echo(connection)

    with servers.tcp(behaviour) as server:
        with Terminal(80, "--ping", "-c5", "--interval=0.1", *server.address) as terminal:
            terminal.until(b"seq=1 ")
            seen.set()
            assert terminal.end() == 0
    assert b"\x1b" not in terminal.seen and terminal.seen.count(b"time=") == 5


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_histogram_fits_the_window(columns):
    """No row of it is wider than the window."""
    with servers.tcp(servers.echo) as server:
        with Terminal(columns, "--ping", "-c200", "--flood", *server.address) as terminal:
            assert terminal.end() == 0
    rows = re.findall(r"^ +[\d.]+ [mnu]?s \|.*$", terminal.seen.decode().replace("\r", ""), re.MULTILINE)
    assert len(rows) in (9, 10)
    assert all(len(row) < columns for row in rows)


def widths(terminal):
    """How long the lines of progress are that were seen."""
    return [len(line) for line in re.findall(rb"\r([^\r\n]+)\x1b\[K", terminal.seen)]


def test_a_window_that_changes_its_width():
    """The next line of progress fits the new width."""
    with servers.tcp(slow) as server:
        with Terminal(80, "--check", "-s1G", *server.address) as terminal:
            terminal.until(b"\x1b[K")
            fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
            terminal.seen = b""
            # Lines that were written before are read first.
            while widths(terminal)[-1:] != [29]:
                assert terminal.read()
            narrow = len(widths(terminal))
            while len(widths(terminal)) < narrow + 3:
                assert terminal.read()
            os.write(terminal.master, b"\3")
            terminal.end()
    assert set(widths(terminal)[narrow:narrow + 3]) == {29}


def test_a_terminal_that_goes_away():
    """A hang-up ends the client, both processes of it."""
    with servers.tcp(slow) as server:
        terminal = Terminal(80, "--check", "-s1G", *server.address)
        terminal.until(b"\x1b[K")
        pid = terminal.process.pid
        sender = int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text())
        os.close(terminal.master)
        terminal.process.wait(DEADLINE)
        until(lambda: gone(sender))
    assert terminal.process.returncode in (-signal.SIGHUP, 128 + signal.SIGHUP)
