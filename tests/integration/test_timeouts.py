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


def ping_again(client, since):
    """A round trip of a peer that has begun its last one at `since`. Returns when it began; or None
    once this process came so late that the service may have ended the connection."""
    begin = time.monotonic()
    if since is None:
        return None
    try:
        clients.ping(client)
    except (AssertionError, ConnectionError):
        assert time.monotonic() - since >= TIMEOUT
        return None
    return begin


@pytest.mark.parametrize("listener, sip", [
    ("127.0.0.1:0", 400_000), (f"@mpecho-test-timeouts-{os.getpid()}", 60_000)],
    ids=["tcp", "unix"])
def test_idle_stalled_and_busy_peers_at_once(start, clock, listener, sip):
    """The idle and the stalled peer end, not before the timeout; busy and slow ones go on.

    What was echoed before still arrives, all of it. The peer that had stopped reading is reset: bytes
    of its stream are missing."""
    service = start(f"--idle-timeout={TIMEOUT}", listener, environment=clock.environment)
    idle_data = clients.pattern("random", 30_000)
    # The kernel measures the time of reads, by its own clock; the handlers that of writes.
    clock.stop()
    begin = time.monotonic()
    # What is sent first waits for the handlers, so that no stall makes a peer idle before.
    with service.paused():
        idle, busy, slow, stalled = (service.connect() for _ in range(4))
        # Its buffer does not grow as it reads: the handler goes on waiting for it.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        busy.sendall(b"ping")
        idle.sendall(idle_data)
        written, count = (clients.fill(client, []) for client in (stalled, slow))
    assert clients.receive(busy, 4) == b"ping"
    # The peer of a Unix socket acknowledges what it reads.
    before = clients.receive(idle, len(idle_data)) if listener.startswith("@") else b""
    # The master has accepted all of them. Records may wait a moment for others.
    assert all(clients.is_readable(client, processes.DEADLINE) for client in (slow, stalled))
    clock.advance(0.01)
    idle_handler, _, slow_handler, stalled_handler = (
        record.number("MPECHO_HANDLER_PID") for record in service.journal.wait_for("accepted", 4))
    written = clients.fill(stalled, [stalled_handler], sent=written)
    count = clients.fill(slow, [slow_handler], sent=count)
    slow_data, come, busy_since = clients.pattern("random", count), 0, begin
    for _ in range(3):
        part = slow.recv(sip)
        assert part == slow_data[come:come + len(part)] != b""
        come += len(part)
        busy_since = ping_again(busy, busy_since)
        processes.wait_until_noticed([slow_handler, stalled_handler])
        assert not processes.has_ended(stalled_handler)
        clock.advance(0.49 * TIMEOUT)
    while not (processes.has_ended(idle_handler) and processes.has_ended(stalled_handler)):
        assert time.monotonic() < begin + processes.DEADLINE, "not ended"
        busy_since = ping_again(busy, busy_since)
        time.sleep(0.02)
    processes.wait_until_noticed([slow_handler])
    assert not processes.has_ended(slow_handler)
    slow.shutdown(socket.SHUT_WR)
    assert clients.drain(slow, received=come) == len(slow_data)
    idle_closed, stalled_closed, slow_closed = (
        processes.wait_for(lambda: service.journal.records("closed", MPECHO_HANDLER_PID=handler) or
                           clock.advance(0.01), "its record")[0]
        for handler in (idle_handler, stalled_handler, slow_handler))
    assert idle_closed["MPECHO_REASON"] == "idle"
    assert idle_closed.when - begin >= TIMEOUT
    assert before + clients.receive_all(idle) == idle_data
    assert idle_closed.number("MPECHO_BYTES") == len(idle_data)
    assert stalled_closed["MPECHO_REASON"] == "stalled"
    assert stalled_closed.number("MPECHO_BYTES") < written
    with pytest.raises(ConnectionResetError):
        clients.drain(stalled)
    assert slow_closed["MPECHO_REASON"] == "closed by peer"
    ping_again(busy, busy_since)


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
