# SPDX-License-Identifier: MIT
"""Signals to the master: how it stops, what it tells, and what does it no harm."""

import os
import re
import signal
import socket
import sys
import time

import pytest

import clients
import processes
from service import TRACED
from tracing import Tampering

# The program in its arguments belongs to the terminal that is its standard input.
TAKE_TERMINAL = """import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(start, number):
    """SIGTERM and SIGINT close all connections cleanly: what was read comes back, then the end."""
    service = start()
    connected = [service.connect_served() for _ in range(20)]
    service.signal(number)
    for client in connected:
        assert clients.receive_all(client) == b""
    assert service.wait() == 0
    closed = service.journal.records("closed", MPECHO_REASON="stopped")
    assert len(closed) == len(connected)
    stopped, = service.journal.records("stopped")
    assert stopped.number("MPECHO_SERVED") == len(connected)
    assert stopped is service.journal.records()[-1]


def test_stop_by_a_key(start):
    """^C in its terminal stops it: the kernel sends that signal, and no process."""
    terminal, own = os.openpty()
    service = start(stdin=own, wrapper=[sys.executable, "-c", TAKE_TERMINAL])
    client = service.connect_served()
    os.write(terminal, b"\x03")
    assert clients.receive_all(client) == b""
    assert service.wait() == 0
    os.close(own)
    os.close(terminal)


def test_watchdog(start):
    """SIGABRT, which systemd sends a master that hangs, ends it."""
    service = start()
    service.signal(signal.SIGABRT)
    assert service.wait() == 128 + signal.SIGABRT


def test_stop_in_mid_stream(start, clock):
    """What handlers have read when SIGTERM comes is written to peers that go on reading."""
    service = start(environment=clock.environment)
    client = service.connect_served()
    written = clients.fill(client, service.handlers())
    # However late the peer reads on, it is in time.
    clock.stop()
    service.signal(signal.SIGTERM)
    received = clients.drain(client)
    assert service.wait() == 0
    closed, = service.journal.records("closed")
    assert received == closed.number("MPECHO_BYTES") - len(b"ping") <= written
    assert closed["MPECHO_REASON"] == "stopped"


def test_stop_accepts_no_more(start):
    """After SIGTERM a new connection is refused, or waits for the next one at a passed socket."""
    with clients.listen() as listener:
        services = [start("127.0.0.1:0"), start(passed=[listener])]
        for service in services:
            stuck = service.connect_served()
            clients.fill(stuck, service.handlers())
            service.signal(signal.SIGTERM)
        own, passed = (clients.parse_address(service.listeners()[0]) for service in services)
        processes.wait_for(lambda: not is_listening(own), "the own socket closed")
        waiting = clients.connect(passed)
        waiting.sendall(b"for the next one")
        assert not clients.is_readable(waiting, 0.5)
        for service in services:
            assert service.wait() == 0
        listener.settimeout(processes.DEADLINE)
        accepted, _ = listener.accept()
        with accepted, waiting:
            assert accepted.recv(100) == b"for the next one"


def is_listening(address):
    try:
        clients.connect(address).close()
    except (ConnectionRefusedError, ConnectionResetError):
        # Refused, or reset when the socket was closed in just this moment.
        return False
    return True


def is_stopping(handler):
    """Whether a handler has got the signal to stop: it reads from /dev/null."""
    return os.readlink(f"/proc/{handler}/fd/3") == "/dev/null"


def test_stop_with_stalled_peers(start, clock):
    """Peers that read nothing do not keep the service: their handlers give up after 3 s, before the
    master would kill them."""
    service = start(environment=clock.environment)
    stuck = [service.connect_served() for _ in range(3)]
    for client in stuck:
        clients.fill(client, service.handlers())
    handlers = service.handlers()
    clock.stop()
    service.signal(signal.SIGTERM)
    processes.wait_for(lambda: all(map(is_stopping, handlers)), "the handlers told")
    processes.wait_until_noticed(handlers)
    clock.advance(3)
    assert service.wait() == 0
    assert len(service.journal.records("closed", MPECHO_REASON="failed")) == len(stuck)


def hang_handlers(service):
    """Stops all handlers, so that they do nothing when they are told to finish. The master has seen
    by then that nobody else has come."""
    service.totals()
    service.wait_until_counted()
    for pid in service.handlers():
        os.kill(pid, signal.SIGSTOP)
        processes.wait_for(lambda: processes.state(pid) == "T", "the handler stopped")


class Waits(Tampering):
    """Says how the loop waited until the service ended: the machine may be as slow as it likes."""

    def __init__(self, service, directory):
        super().__init__(service.pid, "ppoll", log=directory / "trace")

    def ran_out(self):
        """How often there was nothing but the time."""
        return sum("= 0 (Timeout)" in line for line in self.lines())

    def longest(self):
        """Seconds that it would have waited for at most."""
        asked = [re.search(r"{tv_sec=(\d+), tv_nsec=(\d+)}, NULL", line) for line in self.lines()]
        return max(int(one[1]) + int(one[2]) / 1e9 for one in asked if one)


def test_stop_with_handlers_that_hang(start, tmp_path):
    """Handlers that do not finish are killed after 4 s, and recorded as stopped."""
    service = start(environment=TRACED)
    for _ in range(3):
        service.connect_served()
    hang_handlers(service)
    with Waits(service, tmp_path) as waits:
        begin = time.monotonic()
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    assert time.monotonic() - begin >= 4
    # A machine that stalls may have it wait for the rest of a millisecond once more.
    assert waits.longest() <= 4 and waits.ran_out() >= 1
    closed = service.journal.records("closed", MPECHO_REASON="stopped")
    assert [record["MPECHO_BYTES"] for record in closed] == ["4"] * 3


@pytest.mark.parametrize("first, second", [
    (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT),
    (signal.SIGTERM, signal.SIGINT)])
def test_second_stop_ends_at_once(start, clock, first, second):
    """A second SIGTERM or SIGINT does not wait for the handlers: the clock stands still."""
    service = start(environment=clock.environment)
    service.connect_served()
    hang_handlers(service)
    address = clients.parse_address(service.listeners()[0])
    clock.stop()
    service.signal(first)
    processes.wait_for(lambda: not is_listening(address), "it stops")
    service.signal(second)
    assert service.wait() == 0
    closed, = service.journal.records("closed")
    assert closed["MPECHO_REASON"] == "stopped"


def test_stop_with_nobody_connected(start, tmp_path):
    """Without handlers there is nothing to wait for."""
    service = start(environment=TRACED)
    with Waits(service, tmp_path) as waits:
        assert service.stop() == 0
    assert waits.ran_out() == 0
    assert [record.kind for record in service.journal.records()] == ["started", "stopped"]


def test_harmless_signals(start):
    """SIGHUP and SIGPIPE do the service no harm, and change nothing."""
    service = start()
    client = service.connect_served()
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP, signal.SIGPIPE):
        service.signal(number)
        clients.ping(client)
        service.connect_served()
    service.journal.wait_for("accepted", 5)
    assert {record.kind for record in service.journal.records()} == {"started", "accepted"}


def test_stopped_and_continued(start):
    """SIGSTOP and SIGCONT of the master lose nothing."""
    service = start()
    for _ in range(5):
        service.signal(signal.SIGSTOP)
        processes.wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")
        client = service.connect()
        client.sendall(b"queued")
        service.signal(signal.SIGCONT)
        assert clients.receive(client, 6) == b"queued"


def test_usr1_tells_each_connection_and_the_totals(start):
    """SIGUSR1 logs one record per live connection, and one with the totals that adds up."""
    service = start()
    begin = time.monotonic()
    gone = service.connect_served()
    gone.close()
    service.journal.wait_for("closed")
    connected = {}
    for index in range(10):
        client = service.connect()
        clients.ping(client, b"x" * (index + 1))
        connected[clients.peer_text(client)] = index + 1
    service.wait_until_counted()
    totals = service.totals()
    records = service.journal.records("connection")
    assert {record["MPECHO_PEER"]: record.number("MPECHO_BYTES") for record in records} == connected
    handlers = {record["MPECHO_PEER"]: record["MPECHO_HANDLER_PID"] for record in records}
    for accepted in service.journal.records("accepted")[1:]:
        assert handlers[accepted["MPECHO_PEER"]] == accepted["MPECHO_HANDLER_PID"]
    for record in records:
        assert record["MPECHO_LISTENER"] == service.listeners()[0]
        assert 0 < record.number("MPECHO_DURATION_USEC") / 1e6 < time.monotonic() - begin
    assert totals.number("MPECHO_LIVE") == 10
    assert totals.number("MPECHO_PEAK") == 10
    assert totals.number("MPECHO_SERVED") == 11
    assert totals.number("MPECHO_REFUSED") == 0
    assert totals.number("MPECHO_BYTES") == 4 + sum(connected.values())


def test_usr1_without_connections(start):
    """SIGUSR1 with nobody connected is the totals alone; several at once do no harm."""
    service = start()
    for _ in range(5):
        os.kill(service.pid, signal.SIGUSR1)
    totals = service.journal.wait_for("totals")[0]
    assert totals.number("MPECHO_LIVE") == 0
    assert not service.journal.records("connection")
    assert isinstance(service.connect_served(), socket.socket)
