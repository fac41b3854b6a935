"""Idle and stalled peers are ended at the timeout, and nobody else is."""

import fcntl
import socket
import struct
import termios
import time

import pytest

import clients

TIMEOUT = 4
TOLERANCE = TIMEOUT / 10


def wait_for_end(client, since):
    """Seconds since `since` until the service ended the stream."""
    assert clients.receive_all(client) == b""
    return time.monotonic() - since


def waiting_bytes(client):
    """How many bytes have come in at a client that does not read them."""
    return struct.unpack("i", fcntl.ioctl(client, termios.FIONREAD, b"0000"))[0]


@pytest.mark.parametrize("listener, sip", [
    ("127.0.0.1:0", 400_000), ("@mpecho-test-timeouts", 60_000)])
def test_idle_stalled_and_busy_peers_at_once(start, listener, sip):
    """The idle and the stalled peer end within 10 % of the timeout; busy and slow ones go on.

    What was echoed before still arrives, all of it: also at the peer that had stopped reading."""
    service = start(f"--idle-timeout={TIMEOUT}", listener)
    busy, slow, idle, stalled = (service.connect_served() for _ in range(4))
    idle_data = clients.pattern("random", 30_000)
    idle.sendall(idle_data)
    begin = idle_since = stalled_since = slow_since = time.monotonic()
    written = clients.fill(stalled, quiet=0.1)
    clients.fill(slow, quiet=0.1)
    come = 0
    while not service.journal.records("closed", MPECHO_REASON="stalled"):
        now = time.monotonic()
        assert now < begin + 2 * TIMEOUT, "not ended"
        clients.ping(busy)
        if now - slow_since > TIMEOUT / 8:
            assert slow.recv(sip)
            slow_since = now
        if waiting_bytes(stalled) != come:
            come, stalled_since = waiting_bytes(stalled), now
        time.sleep(0.02)
    idle_closed, = service.journal.wait_for("closed", MPECHO_REASON="idle")
    stalled_closed, = service.journal.wait_for("closed", MPECHO_REASON="stalled")
    assert idle_closed.when - idle_since == pytest.approx(TIMEOUT, abs=TOLERANCE)
    assert stalled_closed.when - stalled_since == pytest.approx(TIMEOUT, abs=TOLERANCE)
    assert clients.receive_all(idle) == idle_data
    assert idle_closed.number("MPECHO_BYTES") == len(b"ping") + len(idle_data)
    echoed = stalled_closed.number("MPECHO_BYTES") - len(b"ping")
    assert clients.drain(stalled) == echoed <= written
    clients.ping(busy)
    assert len(service.handlers()) == 2


def test_slow_peer_is_not_stalled(start):
    """A peer that reads little, but again and again, is not stalled, however long a write takes."""
    service = start("--idle-timeout=2", "@mpecho-test-slow")
    client = service.connect()
    written = clients.fill(client, quiet=0.1)
    client.shutdown(socket.SHUT_WR)
    block, read = clients.RANDOM, 0
    while part := client.recv(25_000):
        assert part == block[read:read + len(part)]
        read += len(part)
        time.sleep(0.25)
    assert read == written
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "closed by peer"


def test_a_peer_that_never_sends_is_idle(start):
    """For a peer that never sends the timeout counts from the accept; Unix sockets as well."""
    service = start("--idle-timeout=3", "127.0.0.1:0", "@mpecho-test-idle")
    silent = [service.connect(address=listener) for listener in service.listeners()]
    since = time.monotonic()
    for client in silent:
        assert wait_for_end(client, since) == pytest.approx(3, abs=0.3)
    for record in service.journal.wait_for("closed", 2):
        assert record["MPECHO_REASON"] == "idle"
        assert record.number("MPECHO_DURATION_USEC") / 1e6 == pytest.approx(3, abs=0.3)


def test_half_closed_peer_that_does_not_read_is_stalled(start):
    """A peer that has sent everything and does not read its echo does not stay for ever."""
    service = start("--idle-timeout=1")
    client = service.connect()
    clients.fill(client, quiet=0.2)
    client.shutdown(socket.SHUT_WR)
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "stalled"


def test_zero_is_never(start):
    """--idle-timeout=0 ends nobody: handlers set no timeout on their sockets."""
    service = start("--idle-timeout=0")
    others = start("--idle-timeout=1")
    client = service.connect_served()
    others.connect_served()
    others.journal.wait_for("closed", MPECHO_REASON="idle")
    assert not clients.is_readable(client, 0.5)
    clients.ping(client)
