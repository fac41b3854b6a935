# SPDX-License-Identifier: MIT
"""Servers for the client's tests: each connection is given to a function, in a thread of its own.

A behaviour takes a connected socket and does with it what it likes; the socket is closed when it
returns. Nothing here depends on the service under test.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from pathlib import Path

DEADLINE = 120  # seconds, of a machine that has much else to do


def echo(connection):
    """A correct echo: everything comes back, until the peer has sent everything."""
    while data := connection.recv(1 << 18):
        connection.sendall(data)


def reset(connection):
    """Ends the connection with a reset (TCP RST), as a crashed machine or a firewall does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def receive(connection, size):
    """Exactly `size` bytes, or what came before the end."""
    parts = []
    while size > 0 and (part := connection.recv(min(size, 1 << 18))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def edited(edit):
    """A behaviour that takes everything and then sends what `edit` makes of it."""

    def behaviour(connection):
        data = bytearray()
        while part := connection.recv(1 << 18):
            data += part
        connection.sendall(edit(data))

    return behaviour


def flip(offset, mask=1):
    """An echo that changes the bits of `mask` in the byte at `offset`, and streams all others."""

    def behaviour(connection):
        passed = 0
        while data := bytearray(connection.recv(1 << 18)):
            if passed <= offset < passed + len(data):
                data[offset - passed] ^= mask
            connection.sendall(data)
            passed += len(data)

    return behaviour


def drop(offset, size):
    return edited(lambda data: data[:offset] + data[offset + size :])


def duplicate(offset, size):
    return edited(lambda data: data[: offset + size] + data[offset:])


def insert(offset, foreign):
    return edited(lambda data: data[:offset] + foreign + data[offset:])


def swap(offset, first, second):
    """Two neighbouring blocks change places."""
    middle, end = offset + first, offset + first + second
    return edited(lambda data: data[:offset] + data[middle:end] + data[offset:middle] + data[end:])


def truncate(size):
    return edited(lambda data: data[:size])


def echo_some(connection, size):
    """Echoes the first `size` bytes as they come."""
    while size > 0 and (data := connection.recv(min(size, 1 << 18))):
        connection.sendall(data)
        size -= len(data)


def close_after(size):
    """Echoes `size` bytes and closes, in order as far as it can."""
    return lambda connection: echo_some(connection, size)


def end_after(size):
    """Echoes `size` bytes and ends its side, in order whatever has come by then: closing a
    connection with unread data in it would reset it."""

    def behaviour(connection):
        echo_some(connection, size)
        connection.shutdown(socket.SHUT_WR)
        silent(connection)

    return behaviour


def reset_after(size):
    """Echoes `size` bytes and resets the connection when more comes."""

    def behaviour(connection):
        echo_some(connection, size)
        receive(connection, 1)
        reset(connection)

    return behaviour


def silent(connection):
    """Takes everything and never answers, until the client is gone."""
    while connection.recv(1 << 18):
        pass
    wait_for_end(connection)


def hold(begun, size=64):
    """A behaviour that notes each connection with its first `size` bytes, for the test to answer."""

    def behaviour(connection):
        begun.append((connection, receive(connection, size)))
        wait_for_end(connection)

    return behaviour


def stay(connection):
    """Echoes everything and does not close, until the client is gone."""
    echo(connection)
    wait_for_end(connection)


def queues(connection):
    """Of both ends of a connection over IPv4, ours first: the bytes that it has sent and the other
    has not got, and those that it has got and not read."""
    names = [name[1] for name in (connection.getsockname(), connection.getpeername())]
    found = {}
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(field.partition(":")[2], 16) for field in fields[1:3]]
        found[tuple(ports)] = [int(field, 16) for field in fields[4].split(":")]
    return [found.get(tuple(ports), [0, 0]) for ports in (names, names[::-1])]


def is_read(connection):
    """Whether the peer, over IPv4, has read all that was sent to it, or has ended."""
    (sending, _), (_, coming) = queues(connection)
    return sending == coming == 0


def wait_for_end(connection):
    """Until the peer is gone for good: a hang-up, not only its half-close."""
    poll = select.poll()
    poll.register(connection, 0)
    poll.poll(DEADLINE * 1000)


def endless(connection):
    """Echoes everything, and then goes on sending until the client is gone."""
    echo(connection)
    while True:
        connection.sendall(bytes(1 << 18))


def cross_wired():
    """A behaviour that wires connections to one another in pairs: each gets what the other sent, and
    its end, which may be a reset before it has sent anything. One that finds no partner is closed
    when it is alone, after pairs."""
    lock, waiting, pairs = threading.Lock(), [], {"live": 0, "ended": 0}

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def leaves(mine, poll):
        """Whether a connection that waits for its partner has no more to wait for."""
        with lock:
            if mine not in waiting:
                return False
            alone = pairs["ended"] > 0 and pairs["live"] == 0
            if alone or poll.poll(0):
                waiting.remove(mine)
                return True
        return False

    def behaviour(connection):
        with lock:
            partner = waiting.pop() if waiting else None
            if partner is None:
                mine = (connection, threading.Event())
                waiting.append(mine)
            else:
                pairs["live"] += 1
        if partner is None:
            # The second of the pair does the work of both.
            poll = select.poll()
            poll.register(connection, 0)
            while not mine[1].wait(0.02) and not leaves(mine, poll):
                pass
            return
        other, done = partner
        back = threading.Thread(target=pump, args=[other, connection])
        back.start()
        pump(connection, other)
        back.join(DEADLINE)
        with lock:
            pairs["live"] -= 1
            pairs["ended"] += 1
        done.set()

    return behaviour


def repeat_later(delay=0.005):
    """Echoes, and sends what it answered once more a little later."""

    def behaviour(connection):
        while data := connection.recv(1 << 18):
            connection.sendall(data)
            # That it comes late is what the client has to notice.
            time.sleep(delay)
            connection.sendall(data)

    return behaviour


def urgent(connection):
    """Echoes, and sends an urgent byte of its own behind the beginning."""
    connection.sendall(receive(connection, 64))
    connection.send(b"!", socket.MSG_OOB)
    echo(connection)


def repeat_last(size):
    """Echoes, and sends the last `size` bytes once more at the end."""

    def behaviour(connection):
        last = b""
        while data := connection.recv(1 << 18):
            connection.sendall(data)
            last = (last + data)[-size:]
        connection.sendall(last)

    return behaviour


def one_of(number, special, common=echo):
    """The first of `number` connections in a row behaves otherwise than the others."""
    lock, count = threading.Lock(), [0]

    def behaviour(connection):
        with lock:
            first = count[0] % number == 0
            count[0] += 1
        (special if first else common)(connection)

    return behaviour


def leave_when_idle(size):
    """Answers one request of that size, and then ends its side as an idle timeout does."""

    def behaviour(connection):
        connection.sendall(receive(connection, size))
        connection.shutdown(socket.SHUT_WR)
        wait_for_end(connection)

    return behaviour


def beginning(edit, size=64):
    """Sends what `edit` makes of the first `size` bytes, and echoes all others."""

    def behaviour(connection):
        connection.sendall(edit(receive(connection, size)))
        echo(connection)

    return behaviour


def stall_after(size):
    """Echoes `size` bytes and takes all others without an answer."""

    def behaviour(connection):
        echo_some(connection, size)
        silent(connection)

    return behaviour


def from_before():
    """Answers the beginning of a connection with that of the connection before, if there was one,
    and echoes all else."""
    lock, before = threading.Lock(), [b""]

    def behaviour(connection):
        data = receive(connection, 64)
        with lock:
            answer, before[0] = before[0] or data, data
        connection.sendall(answer[: len(data)])
        echo(connection)

    return behaviour


def one_behind(connection, size=64):
    """Answers each request but the first with the one before it."""
    before = b""
    while data := receive(connection, size):
        connection.sendall((before or data)[: len(data)])
        before = data


def trickle(connection, size=1 << 30):
    """Sends each of the first `size` bytes by itself."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while size > 0 and (data := connection.recv(min(size, 1 << 18))):
        for byte in data:
            connection.sendall(bytes([byte]))
        size -= len(data)
    echo(connection)


class Server:
    """Serves one listening socket until the `with` block ends."""

    def __init__(self, behaviour, listener, delay=0):
        self.listener = listener
        self.behaviour = behaviour
        # Before each connection is accepted.
        self.delay = delay
        self.connections = []
        self.threads = []
        self.accepted = 0
        # The words that name this server on the client's command line.
        name = listener.getsockname()
        if listener.family == socket.AF_UNIX:
            self.address = [name if isinstance(name, str) else "@" + name[1:].decode()]
        else:
            self.address = [name[0], str(name[1])]

    def serve(self, connection):
        with contextlib.suppress(OSError), connection:
            self.behaviour(connection)

    def accept(self):
        while True:
            try:
                time.sleep(self.delay)
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(DEADLINE)
            self.accepted += 1
            self.connections.append(connection)
            thread = threading.Thread(target=self.serve, args=[connection])
            self.threads.append(thread)
            thread.start()

    def __enter__(self):
        self.acceptor = threading.Thread(target=self.accept)
        self.acceptor.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        # Closed earlier, its number might already be another descriptor's.
        self.acceptor.join(DEADLINE)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a test server did not end"


def tcp(behaviour, host="127.0.0.1", port=0, delay=0):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=4096)
    return Server(behaviour, listener, delay)


def local(behaviour, name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0" + name[1:] if name.startswith("@") else name)
    listener.listen(4096)
    return Server(behaviour, listener)


def closed_port(host="127.0.0.1"):
    """A port that refuses connections: bound, so that nobody else gets it, but not listening."""
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    holder.bind((host, 0))
    return holder
