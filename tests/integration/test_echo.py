# SPDX-License-Identifier: MIT
"""The echo: whatever a client sends comes back, byte for byte, until the client is done."""

import os
import socket
import threading
import time

import pytest

import clients
from processes import DEADLINE, state, wait_for
from tracing import Tampering

KIB = 1024
BULK = 300_000_000
LISTENERS = {"ipv4": "127.0.0.1:0", "ipv6": "[::1]:0", "any": "0", "unix": "/{}/echo.socket",
             "abstract": f"@mpecho-test-echo-{os.getpid()}"}


def echoed(service, block, total, piece, address=None):
    """Exchanges total bytes on a connection of its own; its record says the same number."""
    known = len(service.journal.records("closed"))
    client = service.connect(address=address)
    assert clients.exchange(client, block, total, piece) == total
    client.close()
    closed = service.journal.wait_for("closed", known + 1)[-1]
    assert closed.number("MPECHO_BYTES") == total
    assert closed["MPECHO_REASON"] == "closed by peer"


@pytest.mark.parametrize("content", ["zeros", "ones", "random"])
def test_all_sizes_in_small_and_large_writes(start, content):
    """0, 1 and 64 KiB ± 1 bytes come back exactly, written at once or byte by byte."""
    service = start()
    for size in (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1):
        block = clients.pattern(content, max(size, 1))
        for piece in (1, 64 * KIB + 1):
            echoed(service, block, size, piece)


@pytest.mark.parametrize("content", ["zeros", "ones", "random"])
def test_hundreds_of_megabytes(start, content):
    """300 MB come back exactly, however often reads and writes are split on the way."""
    echoed(start(), clients.pattern(content, (1 << 20) - 17), BULK, 300 * KIB)


@pytest.mark.parametrize("kind", LISTENERS)
def test_all_kinds_of_listeners(start, kind, tmp_path):
    """Every kind of LISTEN echoes, large writes as well, and its records name it."""
    service = start(LISTENERS[kind].format(str(tmp_path).strip("/")))
    echoed(service, clients.pattern("random", 100_003), 2_000_000, 70_001)
    record = service.journal.records("closed")[0]
    assert record["MPECHO_LISTENER"] == service.listeners()[0]


def test_one_socket_serves_both_families(start):
    """A port alone is IPv4 and IPv6 on one socket, and IPv4 peers are shown as IPv4."""
    service = start("0")
    port = clients.parse_address(service.listeners()[0])[1][1]
    for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
        client = service.connect_served(address=address)
        peer = clients.peer_text(client)
        service.journal.wait_for("accepted", MPECHO_PEER=peer)
    assert len(service.listeners()) == 1


def test_an_ipv6_address_is_ipv6_only(start):
    """[::]:PORT leaves the port's IPv4 side alone."""
    service = start("[::]:0")
    port = clients.parse_address(service.listeners()[0])[1][1]
    service.connect_served(address=f"[::1]:{port}")
    with pytest.raises(ConnectionRefusedError):
        service.connect(address=f"127.0.0.1:{port}")


def test_many_listeners_at_once(start, tmp_path):
    """LISTEN can be repeated, each of another kind, and each is served."""
    service = start("127.0.0.1:0", "[::1]:0", tmp_path / "echo", "127.0.0.2:0")
    assert len(service.listeners()) == 4
    for listener in service.listeners():
        client = service.connect_served(address=listener)
        service.journal.wait_for("accepted", MPECHO_LISTENER=listener)
        client.close()


def test_hundred_clients_at_once(start):
    """100 clients at once get each their own bytes and nobody else's."""
    service = start()
    connected = [service.connect() for _ in range(100)]
    counts = [None] * len(connected)

    def run(index):
        block = clients.pattern("random", 1 << 20)[index * 97:][:50_000]
        counts[index] = clients.exchange(connected[index], block, 500_000 + index, 30_011)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(connected))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [500_000 + index for index in range(len(connected))]
    service.wait_until_idle()
    closed = service.journal.wait_for("closed", len(connected))
    assert sorted(record.number("MPECHO_BYTES") for record in closed) == counts


def test_echo_of_a_byte_does_not_wait(start):
    """A byte comes back before the next one is sent: nothing is gathered or delayed."""
    client = start().connect()
    for _ in range(1000):
        clients.ping(client, b"x")


def test_half_close_brings_back_everything(start):
    """What was written before a half-close comes back, and then the end of the stream."""
    service = start()
    for size in (0, 5, 4_000_000):
        client = service.connect()
        data = clients.pattern("random", size)
        received = []
        reader = threading.Thread(target=lambda: received.append(clients.receive_all(client)))
        reader.start()
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reader.join()
        assert received == [data]


@pytest.mark.parametrize("listener", ["127.0.0.1:0", f"@mpecho-test-half-close-{os.getpid()}"],
                         ids=["tcp", "unix"])
@pytest.mark.parametrize("timeout", [0, 64])
def test_client_that_reads_only_after_it_blocked(start, tmp_path, listener, timeout):
    """A client that writes until it blocks, half-closes and then reads gets every byte.

    A timeout makes the handler's writes short ones: it looks once each 64th part of it. More it
    does not do meanwhile."""
    service = start(f"--idle-timeout={timeout}", listener)
    client = service.connect_served()
    handler, = service.handlers()
    written = clients.fill(client, [handler])
    assert written > 100_000
    begin = time.monotonic()
    with Tampering(handler, "read,sendto", log=tmp_path / "trace") as trace:
        if timeout:
            wait_for(lambda: trace.count("sendto") >= 3, "short writes")
        else:
            time.sleep(0.5)
        assert len(trace.lines()) <= 10 + time.monotonic() - begin
    client.shutdown(socket.SHUT_WR)
    assert clients.drain(client) == written
    closed, = service.journal.wait_for("closed")
    assert closed.number("MPECHO_BYTES") == written + len("ping")
    assert closed["MPECHO_REASON"] == "closed by peer"


def test_many_half_closed_clients_do_not_starve_others(start):
    """Clients that neither read nor close hold up nobody else."""
    service = start()
    stuck = [service.connect() for _ in range(5)]
    for client in stuck:
        clients.fill(client, service.handlers())
    echoed(service, clients.pattern("random", 9973), 1_000_000, 65536)


def reset_idle(service, client):
    clients.ping(client, b"12345")
    return 5


def reset_reading_handler(service, client):
    client.sendall(clients.pattern("random", 3_000_000)[:400_000])
    return None


def reset_blocked_handler(service, client):
    clients.fill(client, service.handlers())
    return None


@pytest.mark.parametrize("prepare", [reset_idle, reset_reading_handler, reset_blocked_handler])
def test_reset_by_the_peer(start, prepare):
    """A reset in mid-stream, also while the handler writes, has its reason and disturbs nobody."""
    service = start()
    other = service.connect_served()
    client = service.connect()
    echoed_bytes = prepare(service, client)
    clients.reset(client)
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "reset by peer"
    if echoed_bytes is not None:
        assert closed.number("MPECHO_BYTES") == echoed_bytes
    clients.ping(other, b"undisturbed")
    assert wait_for(lambda: len(service.handlers()) == 1, "one handler left")


def test_close_with_unread_echoes_is_a_reset(start):
    """A peer that closes without reading what came back is a reset, over a Unix socket as well."""
    for listener in ("127.0.0.1:0", f"@mpecho-test-unread-{os.getpid()}"):
        service = start(listener)
        client = service.connect()
        client.sendall(b"never read")
        assert clients.is_readable(client, DEADLINE)
        client.close()
        closed, = service.journal.wait_for("closed")
        assert closed["MPECHO_REASON"] == "reset by peer"
        assert closed.number("MPECHO_BYTES") == len(b"never read")

