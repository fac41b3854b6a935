# SPDX-License-Identifier: MIT
"""Idle and stalled peers are ended at the timeout, not before, and nobody else is."""

import os
import socket
import struct
import time

import pytest

import clients
import processes

TIMEOUT = 8


@pytest.mark.parametrize("listener, sip", [
    ("127.0.0.1:0", 400_000), (f"@mpecho-test-timeouts-{os.getpid()}", 60_000)],
    ids=["tcp", "unix"])
def test_idle_stalled_and_busy_peers_at_once(start, listener, sip):
    """The idle and the stalled peer end, not before the timeout; busy and slow ones go on.

    What was echoed before still arrives, all of it. The peer that had stopped reading is reset: bytes
    of its stream are missing."""
    service = start(f"--idle-timeout={TIMEOUT}", listener)
    busy, slow, idle, stalled = (service.connect_served() for _ in range(4))
    idle_data = clients.pattern("random", 30_000)
    begin = slow_since = time.monotonic()
    idle.sendall(idle_data)
    # The peer of a Unix socket acknowledges what it reads.
    before = clients.receive(idle, len(idle_data)) if listener.startswith("@") else b""
    written, count = (clients.fill(client, service.handlers())
                      for client in (stalled, slow))
    slow_data, come = clients.pattern("random", count), 0
    while len(service.journal.records("closed")) < 2:
        now = time.monotonic()
        assert now < begin + processes.DEADLINE, "not ended"
        clients.ping(busy)
        if now - slow_since > TIMEOUT / 8 and come + sip < len(slow_data):
            part = slow.recv(sip)
            assert part == slow_data[come:come + len(part)] != b""
            come, slow_since = come + len(part), now
        time.sleep(0.02)
    idle_closed, = service.journal.records("closed", MPECHO_REASON="idle")
    stalled_closed, = service.journal.records("closed", MPECHO_REASON="stalled")
    assert idle_closed.when - begin >= TIMEOUT
    assert stalled_closed.when - begin >= TIMEOUT
    assert before + clients.receive_all(idle) == idle_data
    assert idle_closed.number("MPECHO_BYTES") == len(b"ping") + len(idle_data)
    assert stalled_closed.number("MPECHO_BYTES") - len(b"ping") < written
    with pytest.raises(ConnectionResetError):
        clients.drain(stalled)
    clients.ping(busy)
    assert len(service.handlers()) == 2
    slow.shutdown(socket.SHUT_WR)
    assert clients.drain(slow, received=come) == len(slow_data)
    assert service.journal.wait_for("closed", 3)[-1]["MPECHO_REASON"] == "closed by peer"


def test_a_peer_that_never_sends_is_idle(start):
    """For a peer that never sends the timeout counts from the accept; Unix sockets as well."""
    service = start("--idle-timeout=2", "127.0.0.1:0", f"@mpecho-test-idle-{os.getpid()}")
    listeners, since = service.listeners(), time.monotonic()
    silent = [service.connect(address=listener) for listener in listeners]
    for client in silent:
        assert clients.receive_all(client) == b""
        assert time.monotonic() - since >= 2
    for record in service.journal.wait_for("closed", 2):
        assert record["MPECHO_REASON"] == "idle"
        assert record.number("MPECHO_DURATION_USEC") >= 2_000_000


@pytest.mark.skipif(os.geteuid() != 0, reason="pidfd_getfd(2) of another process needs root")
@pytest.mark.parametrize("timeout", [0, 640])
def test_the_kernel_keeps_the_time(start, timeout):
    """A read waits for the timeout and no longer, a write for a 64th of it; 0 is for ever."""
    service = start(f"--idle-timeout={timeout}")
    service.connect_served()
    handler, = service.handlers()
    with socket.socket(fileno=processes.duplicate(handler, 3)) as connection:
        times = [struct.unpack("ll", connection.getsockopt(socket.SOL_SOCKET, option, 16))
                 for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)]
    assert times == [(timeout, 0), (timeout // 64, 0)]


def test_half_closed_peer_that_does_not_read_is_stalled(start):
    """A peer that has sent everything and does not read its echo does not stay for ever."""
    service = start("--idle-timeout=5")
    # All of it waits for the handler, so that no stall makes the peer idle before.
    with service.paused():
        client = service.connect()
        clients.fill(client, [])
        client.shutdown(socket.SHUT_WR)
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "stalled"


def test_zero_is_never(start):
    """--idle-timeout=0 ends nobody: handlers set no timeout on their sockets."""
    service = start("--idle-timeout=0")
    others = start("--idle-timeout=1")
    client = service.connect_served()
    others.connect()
    others.journal.wait_for("closed", MPECHO_REASON="idle")
    assert not clients.is_readable(client, 0.5)
    clients.ping(client)
