# SPDX-License-Identifier: MIT
"""Stand-ins for the two that a service talks to over datagrams: journald and systemd."""

import contextlib
import ctypes
import os
import re
import select
import socket
import struct
import threading
import time
from pathlib import Path

from processes import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "systemd" / "mpecho.catalog"
CLONE_NEWNET = 0x40000000

# socket(7); Python has no name for it.
SO_TIMESTAMPNS = 35
ROOM_FOR_TIME = socket.CMSG_SPACE(struct.calcsize("qq"))

# The kinds of records, by the message IDs that people may search for: they never change.
KINDS = {
    "0ae4675cb2b44e2b8c671e85e048aa76": "started",
    "62163846d71d4d6793d5a2f47239413a": "stopped",
    "3fa46cf9f5d44603abb23f17bf2f4466": "accepted",
    "a61dff197d014d12a0909924aa7193f4": "closed",
    "572833a52edc43b688a8b0c67689fd9d": "crashed",
    "d28b1d507e924d2ab87bd2576e9806ac": "refused",
    "aeb644031a6048d29938e83747ff1493": "refusals",
    "4d4324fcc8c44bd49d1f09848fea9589": "summary",
    "e3d672cad4084334b7b6c14f208eea73": "lost",
    "b58eeb21f8c342daa1ebd804911cb248": "exhausted",
    "92fa760d360045448998e64e4c67ca38": "connection",
    "61ff95f1aa204e1b9c3f28b6684711c1": "totals",
    "6452a60b4a484f869581d177bda0a448": "limited",
    "e903eaf1a8ce47c5b757d6b83909745c": "stranger",
    "55773c8eb4e043eeaf109bbf3421b4d8": "unnamed",
    "0a530e358e8b4d90863c0baf4f4fd702": "full",
    "31cbd06bfb7149b58e6ec48b56d06a2f": "recounted",
    "41fd567a5a0542cba08ca386718739d8": "resumed",
    "2092b1ad4ceb49a293a2e4eac8298765": "datagrams",
    "7fa223f8d9bb4c03bb48ce9a8050d67e": "socket",
    "c76d66b5eb764056a56a346967efc50c": "restarted",
    "b3ddf1078ad242df99f3dac3eb416890": "unserved",
    "3f3cea449864417c913c66c8a5b4dc35": "failed",
}


def usual_socket():
    """A datagram socket with the kernel's own length of queue."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def roomy_socket():
    """A datagram socket with a long queue, as systemd gives journald; the kernel's default is ten.

    The length is the network namespace's at the time of socket(2), so a thread makes the socket in
    a namespace of its own. Sockets with names in the file system are reached from all namespaces.
    """
    made = []

    def make():
        if ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
            # A container's /proc/sys may be read-only; the tests pass with a short queue as well.
            with contextlib.suppress(OSError):
                Path("/proc/sys/net/unix/max_dgram_qlen").write_text("4096")
        made.append(usual_socket())

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def realtime_of_monotonic():
    """What time(2) shows when the monotonic clock shows 0; nobody pauses between the two looks."""
    looks = []
    for _ in range(5):
        before, real, after = time.monotonic(), time.time(), time.monotonic()
        looks.append((after - before, real - before))
    return min(looks)[1]


def sent_at(control):
    """When a datagram was sent, however late it is read: by its control messages, monotonic."""
    for _, kind, data in control:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data)
            return seconds + nanoseconds / 1e9 - realtime_of_monotonic()
    return time.monotonic()


def assert_at_most_one_a_second(times):
    """Not more of these times of sending than one a second; the first may be a second late."""
    assert len(times) <= times[-1] - times[0] + 2, times


class Datagrams:
    """A bound datagram socket that a thread empties: `received` holds (time of sending, bytes)."""

    def __init__(self, path, reading=True):
        self.received = []
        self.path = Path(path)
        self._arrived = threading.Condition()
        self._socket = None
        self._thread = None
        self._wake, self._waker = os.pipe()
        self.bind(reading)

    def bind(self, reading=True):
        """Makes the socket; with reading=False nobody reads it, and it holds the kernel's ten."""
        self._socket = roomy_socket() if reading else usual_socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(str(self.path))
        self.path.chmod(0o666)
        if reading:
            self.read()

    def read(self):
        """Starts to read what has been sent and will be."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while self._wake not in (descriptor for descriptor, _ in poll.poll()):
            self._empty()

    def _empty(self):
        while True:
            try:
                datagram, control, _, _ = self._socket.recvmsg(1 << 20, ROOM_FOR_TIME)
            except BlockingIOError:
                return
            with self._arrived:
                self.received.append((sent_at(control), datagram))
                self._arrived.notify_all()

    def wait(self, condition, what, seconds=DEADLINE):
        """Returns the first true result of condition(), tried again with each datagram."""
        deadline = time.monotonic() + seconds
        while True:
            seen = len(self.received)
            if result := condition():
                return result
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s: {what}; got: {self.summary()}"
            with self._arrived:
                if len(self.received) == seen:
                    self._arrived.wait(left)

    def summary(self):
        return [datagram for _, datagram in self.received[-20:]]

    def fill(self):
        """Sends until there is no room for another datagram, which holds while nobody reads.
        Returns how many fit."""
        senders, sent, count = [], 1, 0
        try:
            while sent:
                senders.append(usual_socket())
                senders[-1].setblocking(False)
                sent = 0
                # A sender has a limit of its own, which may be lower than the queue is long.
                with contextlib.suppress(BlockingIOError):
                    while True:
                        senders[-1].sendto(b"X_FULL=1", str(self.path))
                        sent += 1
                count += sent
        finally:
            for sender in senders:
                sender.close()
        return count

    def unbind(self):
        """Takes what is still queued; then the socket is gone, and its name.

        Nothing is sent successfully and lost: after the shutdown the kernel takes no more."""
        os.write(self._waker, b"x")
        if self._thread:
            self._thread.join()
        os.read(self._wake, 1)
        self._socket.shutdown(socket.SHUT_RD)
        self._empty()
        self._socket.close()
        self._socket = None
        self.path.unlink()

    def close(self):
        """Takes what is still queued and closes; again is harmless."""
        if self._waker is None:
            return
        if self._socket:
            self.unbind()
        os.close(self._wake)
        os.close(self._waker)
        self._waker = None


class Record(dict):
    """One record of the journal; `kind` is the name that the catalog's MESSAGE_ID stands for."""

    def __init__(self, when, datagram):
        super().__init__(parse(datagram))
        self.when = when
        self.kind = KINDS.get(self.get("MESSAGE_ID"), "unknown")
        self.priority = int(self["PRIORITY"])

    def number(self, field):
        return int(self[field])


def parse(datagram):
    """The fields of a datagram in journald's native protocol, as its documentation has them."""
    fields = {}
    while datagram:
        line, newline, rest = datagram.partition(b"\n")
        assert newline, f"a line without an end: {line!r}"
        name, equals, value = line.partition(b"=")
        if not equals:
            length = struct.unpack_from("<Q", rest)[0]
            value = rest[8:8 + length]
            assert rest[8 + length:9 + length] == b"\n", f"no newline after the value of {name!r}"
            rest = rest[9 + length:]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name), f"bad field name {name!r}"
        assert name.decode() not in fields, f"{name!r} twice"
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields


class Journal(Datagrams):
    """journald as a service sees it that runs with `run` of this object mounted over /run."""

    def __init__(self, directory, reading=True):
        self.run = Path(directory) / "run"
        path = self.run / "systemd" / "journal" / "socket"
        path.parent.mkdir(parents=True)
        super().__init__(path, reading)
        # Tests look for few records among thousands, again and again.
        self._parsed = {None: []}

    def records(self, kind=None, **fields):
        """The records so far, of one kind, whose fields have these values."""
        for when, datagram in self.received[len(self._parsed[None]):]:
            record = Record(when, datagram)
            self._parsed[None].append(record)
            self._parsed.setdefault(record.kind, []).append(record)
        wanted = {name: str(value) for name, value in fields.items()}
        return [record for record in self._parsed.get(kind, ())
                if not wanted or wanted.items() <= record.items()]

    def wait_for(self, kind, count=1, seconds=DEADLINE, **fields):
        """Waits for this many records of a kind and returns them all."""
        def enough():
            found = self.records(kind, **fields)
            return found if len(found) >= count else None
        return self.wait(enough, f"{count} × {kind} {fields}", seconds)

    def summary(self):
        return [(record.kind, record.get("MESSAGE")) for record in self.records()[-20:]]


class Notifications(Datagrams):
    """systemd as a service of Type=notify sees it: a socket whose path is in NOTIFY_SOCKET."""

    def __init__(self, directory, reading=True):
        self._syncs = 0
        # As with a journal's records.
        self._read, self._assignments = 0, {}
        super().__init__(Path(directory) / "notify", reading)

    def messages(self, name):
        """(time, value) of each assignment to name so far."""
        for when, datagram in self.received[self._read:]:
            self._read += 1
            for line in datagram.decode().splitlines():
                of, equals, value = line.partition("=")
                if equals:
                    self._assignments.setdefault(of, []).append((when, value))
        return list(self._assignments.get(name, ()))

    def wait_for(self, name, value=None, count=1, seconds=DEADLINE):
        """Waits for count assignments to name (of this value); returns them."""
        def enough():
            found = [item for item in self.messages(name) if value in (None, item[1])]
            return found if len(found) >= count else None
        return self.wait(enough, f"{count} × {name}={value or '…'}", seconds)

    def sync(self):
        """Waits until everything that was sent so far has been taken."""
        self._syncs += 1
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(f"X_SYNC={self._syncs}".encode(), str(self.path))
        self.wait_for("X_SYNC", str(self._syncs))


def catalog():
    """MESSAGE_ID -> text of the catalog entry."""
    parts = re.split(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))
