# SPDX-License-Identifier: MIT
"""The limits: how many connections at once, and how many from one source."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

import clients
import processes
import visitors
from tracing import Tampering


def leave(service, client):
    """Closes a client and waits until the service knows."""
    left = len(service.journal.records("closed"))
    client.close()
    service.journal.wait_for("closed", left + 1)


def assert_refused(service, source=None, address=None):
    """A client is reset, and one record says so."""
    peer = service.connect_refused(source, address)
    record, = service.journal.wait_for("refused", MPECHO_PEER=peer)
    assert record["MPECHO_LIMIT"] == "max-per-source"
    assert record["MPECHO_LISTENER"] in service.listeners()


@pytest.mark.parametrize("most", [1, 3])
def test_total_limit(start, tmp_path, most):
    """Over --max-connections clients wait in the backlog, at no cost, and are served in turn."""
    service = start(f"--max-connections={most}")
    served = [service.connect_served() for _ in range(most)]
    waiting = [service.connect() for _ in range(3)]
    for client in waiting:
        client.sendall(b"patience")
    with Tampering(service.pid, "ppoll", log=tmp_path / "trace") as trace:
        time.sleep(0.5)
        assert trace.count("ppoll") <= 10, "it turns without a reason"
    assert not any(clients.is_readable(client, 0) for client in waiting)
    assert len(service.handlers()) == most
    for client in served[:1] + waiting:
        if client in waiting:
            assert clients.receive(client, 8) == b"patience"
        leave(service, client)
    for client in served[1:]:
        clients.ping(client)
    assert service.totals().number("MPECHO_PEAK") == most
    assert not service.journal.records("refused")


def test_an_ended_stream_counts_until_it_is_acknowledged(start, tmp_path):
    """A peer that has ended its stream keeps its place, and its handler, until it has its echo."""
    service = start("--max-connections=1")
    with visitors.peer_that_ends_unread(service, service.listeners()[0], tmp_path) as client:
        other = service.connect()
        other.sendall(b"patience")
        assert not clients.is_readable(other, 0.3) and not service.journal.records("closed")
        assert clients.receive_all(client) == visitors.UNREAD
        assert clients.receive(other, 8) == b"patience"
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "closed by peer"
    assert closed.number("MPECHO_BYTES") == len(b"ping") + len(visitors.UNREAD)


def test_a_peer_that_ends_unread_and_goes_away(start, tmp_path):
    """It has broken the connection off: echoes are missing."""
    service = start()
    with visitors.peer_that_ends_unread(service, service.listeners()[0], tmp_path):
        pass
    service.journal.wait_for("closed", MPECHO_REASON="reset by peer")


def test_a_stop_before_an_ended_stream_is_acknowledged(start, tmp_path):
    """A stop does not wait for it, and the peer gets all of its echo."""
    service = start()
    with visitors.peer_that_ends_unread(service, service.listeners()[0], tmp_path) as client:
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        service.journal.wait_for("closed", MPECHO_REASON="stopped")
        assert clients.receive_all(client) == visitors.UNREAD


def test_total_limit_counts_all_listeners(start):
    """The total limit is one for all listeners together."""
    service = start("--max-connections=2", "127.0.0.1:0", "127.0.0.2:0", "[::1]:0")
    first, second = (service.connect_served(address=text) for text in service.listeners()[:2])
    third = service.connect(address=service.listeners()[2])
    third.sendall(b"third")
    assert not clients.is_readable(third, 0.3)
    leave(service, first)
    assert clients.receive(third, 5) == b"third"
    clients.ping(second)


def test_per_source_limit(start):
    """Over --max-per-source a source is reset, without a fork, and another one is unaffected."""
    service = start("--max-per-source=2", "0")
    port = clients.parse_address(service.listeners()[0])[1][1]
    address = f"127.0.0.1:{port}"
    served = [service.connect_served(address=address) for _ in range(2)]
    for _ in range(3):
        assert_refused(service, address=address)
    for _ in range(2):
        service.connect_served(source="127.0.0.2", address=address)
    assert_refused(service, source="127.0.0.2", address=address)
    leave(service, served[0])
    service.connect_served(address=address)
    assert_refused(service, address=address)
    totals = service.totals()
    assert totals.number("MPECHO_REFUSED") == 5
    assert totals.number("MPECHO_SERVED") == 5
    assert len(service.journal.records("refused")) == 5


def test_default_per_source_limit(start):
    """Without an option a source has 256 connections; with 0 as many as it likes."""
    service, unlimited = start(), start("--max-per-source=0")
    for _ in range(256):
        service.connect_served()
        unlimited.connect_served()
    assert_refused(service)
    unlimited.connect_served()


def test_default_total_limit(start):
    """Without an option 1024 connections are served at once, and the next one waits."""
    service = start("--max-per-source=0")
    served = [service.connect() for _ in range(1024)]
    for client in served:
        clients.ping(client)
    waiting = service.connect()
    waiting.sendall(b"one too many")
    assert not clients.is_readable(waiting, 0.3)
    served[0].close()
    assert clients.receive(waiting, 12) == b"one too many"


def test_ipv4_is_one_source_through_both_kinds_of_sockets(start):
    """A mapped IPv4 address on an IPv6 socket counts, and is shown, as the IPv4 address."""
    service = start("--max-per-source=2", "0", "127.0.0.1:0")
    mapped, plain = service.listeners()
    mapped = mapped.replace("[::]", "127.0.0.1")
    service.connect_served(address=mapped)
    service.connect_served(address=plain)
    assert_refused(service, address=mapped)
    assert_refused(service, address=plain)
    service.connect_served(address=mapped, source="127.0.0.9")


def test_ipv6_counts_by_prefix(start, network):
    """IPv6 addresses with the same first 64 bits are one source, others are not."""
    inside = network("fd00:1:2:3::1/64", "fd00:1:2:3:ffff::2/64", "fd00:1:2:4::1/64")
    service = start("--max-per-source=2", "[::]:0", network=inside)
    for source in ("fd00:1:2:3::1", "fd00:1:2:3:ffff::2", "fd00:1:2:4::1", "::1"):
        service.connect_served(source=source)
    for source in ("fd00:1:2:3::1", "fd00:1:2:3:ffff::2"):
        assert_refused(service, source=source)
    service.connect_served(source="fd00:1:2:4::1")
    assert_refused(service, source="fd00:1:2:4::1")


CONNECT = """
import os, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect("\\0" + sys.argv[1])
channel = socket.socket(fileno=0)
socket.send_fds(channel, [b"x"], [client.fileno()])
channel.recv(1)
"""


def connect_as(service, user):
    """A Unix connection that another user's process makes and hands over; with its pid."""
    here, there = socket.socketpair()
    name = service.listeners()[0][1:]
    with here, there:
        child = subprocess.Popen([sys.executable, "-IS", "-c", CONNECT, name], stdin=there,
                                 user=user, group=user, extra_groups=[])
        descriptor, = socket.recv_fds(here, 1, 1)[1]
        here.send(b"x")
        assert child.wait(processes.DEADLINE) == 0
    client = socket.socket(fileno=descriptor)
    client.settimeout(processes.DEADLINE)
    service.clients.append(client)
    return client, child.pid


def test_refused_client_that_lingers(start):
    """A client of a Unix socket that is refused has sent the last descriptor of a full connection,
    which lingers for longer than this test waits: the service goes on."""
    name = f"@mpecho-test-linger-{os.getpid()}"
    service = start("--max-per-source=1", name, "127.0.0.1:0")
    kept = service.connect_served(address=name)
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as full:
        peer = server.accept()[0]
        full.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                full.send(clients.RANDOM)
        full.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
        service.signal(signal.SIGSTOP)
        client = service.connect(address=name)
        try:
            socket.send_fds(client, [b"x"], [full.fileno()])
        except PermissionError:  # from Linux 6.16 on; then this process has the last one
            full.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        full.close()
        service.signal(signal.SIGCONT)
        service.journal.wait_for("refused")
        clients.ping(kept)
        service.connect_served(address=service.listeners()[1])
        peer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming other users needs root")
def test_unix_counts_by_user(start):
    """Over a Unix socket a source is a user, whatever the process; the record names both."""
    service = start("--max-per-source=2", f"@mpecho-test-users-{os.getpid()}")
    for user in (1001, 1001, 1002):
        client, pid = connect_as(service, user)
        clients.ping(client)
        service.journal.wait_for("accepted", MPECHO_PEER=f"uid {user} pid {pid}")
    client, pid = connect_as(service, 1001)
    assert clients.receive_all(client) == b""
    refused, = service.journal.wait_for("refused")
    assert refused["MPECHO_PEER"] == f"uid 1001 pid {pid}"
    assert refused["MPECHO_LIMIT"] == "max-per-source"
    service.connect_served()

