# SPDX-License-Identifier: MIT
"""Clients of an echo service."""

import random
import select
import socket
import struct
import threading

from processes import DEADLINE, wait_until_waiting

RANDOM = random.Random(862).randbytes(1 << 20)


def pattern(kind, size):
    """size bytes of "zeros", "ones" (0xFF) or "random"."""
    if kind == "random":
        return (RANDOM * (size // len(RANDOM) + 1))[:size]
    return {"zeros": b"\0", "ones": b"\xff"}[kind] * size


def parse_address(text):
    """(family, address) of a listener as the service writes it: the way to connect to it."""
    text = text.removeprefix("metrics:").removeprefix("proxy:")
    if text.startswith("@"):
        return socket.AF_UNIX, "\0" + text[1:]
    if text.startswith("/"):
        return socket.AF_UNIX, text
    if text.startswith("vsock:"):
        return socket.AF_VSOCK, tuple(map(int, text.split(":")[1:]))
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        host = host.strip("[]")
        return socket.AF_INET6, ("::1" if host == "::" else host, int(port))
    return socket.AF_INET, ("127.0.0.1" if host == "0.0.0.0" else host, int(port))


def peer_text(client):
    """How the service names the peer that this client is."""
    host, port = client.getsockname()[:2]
    return f"[{host}]:{port}" if client.family == socket.AF_INET6 else f"{host}:{port}"


def prepare(address, source=None):
    """A socket that is bound to a source, not connected yet; and the address to connect it to."""
    family, address = parse_address(address) if isinstance(address, str) else address
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(DEADLINE)
    if source:
        client.bind((source, 0))
    return client, address


def connect(address, source=None):
    """Connects to a listener's address, given as text or as (family, address), from a source."""
    client, address = prepare(address, source)
    try:
        client.connect(address)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        client.close()
        raise
    return client


def knock(address):
    """Begins to connect, as a client that may be refused, and does not wait what comes of it."""
    client, address = prepare(address)
    client.setblocking(False)
    client.connect_ex(address)
    return client


def connect_refused(address, source=None):
    """Connects over TCP, must be reset at once or a moment later, and returns who it was."""
    family, address = parse_address(address)
    source = source or ("::1" if family == socket.AF_INET6 else "127.0.0.1")
    client, address = prepare((family, address), source)
    with client:
        name = peer_text(client)
        try:
            client.connect(address)
            rest = client.recv(1)
        except ConnectionResetError:
            return name
    raise AssertionError(f"{name} was not reset but got {rest!r}")


def listen(family=socket.AF_INET, address=None, backlog=4096, shared=False):
    """A listening socket, as systemd would make one, with ReusePort= if it is shared; on a port that
    the kernel chooses."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    if address is None:
        address = ("127.0.0.1" if family == socket.AF_INET else "::1", 0)
    listener.bind(address)
    listener.listen(backlog)
    return listener


def accept(listener):
    """Accepts a connection. The service has made the listener non-blocking, and who connects may be
    told a moment before the listener is that the connection is there."""
    assert is_readable(listener, DEADLINE)
    return listener.accept()[0]


def receive(client, size):
    """Receives exactly size bytes."""
    parts = []
    while size:
        part = client.recv(min(size, 1 << 20))
        assert part, f"end of stream with {size} bytes missing"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive_all(client):
    """Receives up to the end of the stream."""
    parts = []
    while part := client.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def ping(client, data=b"ping"):
    """One round trip: what was sent comes back."""
    client.sendall(data)
    assert receive(client, len(data)) == data


def reset(client):
    """Closes with a TCP RST instead of a FIN."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def is_readable(client, seconds):
    poll = select.poll()
    poll.register(client, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def fill(client, handlers, flags=0, sent=0):
    """Writes RANDOM over and over, never reading, until nothing can be written for a moment, not
    even after each of handlers was seen to wait: they are not just late.

    Goes on after `sent` bytes. Returns the number of bytes written, with these."""
    client.setblocking(False)
    poll = select.poll()
    poll.register(client, select.POLLOUT)
    before = None
    while sent != before:
        wait_until_waiting(handlers)
        before = sent
        while poll.poll(100):
            try:
                sent += client.send(memoryview(RANDOM)[sent % len(RANDOM):], flags)
            except BlockingIOError:
                pass
    client.settimeout(DEADLINE)
    return sent


def drain(client, block=RANDOM, received=0):
    """Receives to the end and checks each byte against what fill() wrote; returns how many came.

    Goes on after `received` bytes, which count."""
    twice = memoryview(block + block)
    while part := client.recv(len(block)):
        start = received % len(block)
        assert part == twice[start:start + len(part)], f"wrong after {received} bytes"
        received += len(part)
    return received


def exchange(client, block, total, piece=1 << 18, more=lambda: False):
    """Sends total bytes, block over and over, at most piece bytes a call, and as many again for as
    long as more() says so; then half-closes.

    Receives at the same time, to the end, and checks each byte and that all came; returns how many.
    """
    failures, sent = [], 0

    def send():
        nonlocal sent
        view, goal = memoryview(block), total
        try:
            while sent < goal:
                start = sent % len(block)
                sent += client.send(view[start:start + min(piece, goal - sent)])
                if sent == goal and more():
                    goal += total
            client.shutdown(socket.SHUT_WR)
        except OSError as error:
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        received = drain(client, block)
    except BaseException:
        reset(client)
        raise
    finally:
        sender.join()
    assert not failures, failures
    assert received == sent
    return received
