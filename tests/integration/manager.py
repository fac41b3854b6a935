# SPDX-License-Identifier: MIT
"""A stand-in for systemd's part in a handover: its descriptor store, and restarting a service."""

import contextlib
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

import clients
import processes
from journald import ROOM_FOR_TIME, Journal, Notifications, sent_at
from processes import DEADLINE
from service import MPECHO, check_records, variables, with_journal, with_sockets

MOST_IN_A_MESSAGE = 253
ROOM_FOR_CONTROL = (
    socket.CMSG_SPACE(4 * MOST_IN_A_MESSAGE) + socket.CMSG_SPACE(12) + ROOM_FOR_TIME)

# The names in the store, which end in a dot and the number of the run.
CONNECTION, LEDGER = "mpecho-connection", "mpecho-ledger"


def parse(control):
    """The sender's pid and the descriptors of a message."""
    sender, descriptors = 0, []
    for _, kind, data in control:
        if kind == socket.SCM_RIGHTS:
            descriptors += struct.unpack(f"{len(data) // 4}i", data)
        elif kind == socket.SCM_CREDENTIALS:
            sender = struct.unpack("3i", data)[0]
    return sender, descriptors


def identity(descriptor):
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def kind_of(name):
    """A name in the store without the number of the run; h.RUN.PID is a connection as well."""
    kind = name.partition(".")[0]
    return CONNECTION if kind == "h" else kind


class Stored:
    """A descriptor in the store, by its name; unless told not to, systemd removes what hangs up."""

    def __init__(self, name, descriptor, watched=False):
        self.name = name
        self.descriptor = descriptor
        self.watched = watched

    @property
    def kind(self):
        return kind_of(self.name)

    def files(self):
        """The files in a bundle, a message that waits in a socket: identity and whether each one is
        a socket."""
        with socket.socket(fileno=os.dup(self.descriptor)) as copy:
            _, control, _, _ = copy.recvmsg(1, ROOM_FOR_CONTROL, socket.MSG_PEEK)
        _, bundled = parse(control)
        files = {(identity(one), stat.S_ISSOCK(os.fstat(one).st_mode)) for one in bundled}
        for descriptor in bundled:
            os.close(descriptor)
        return files

    def hung_up(self):
        poll = select.poll()
        poll.register(self.descriptor, 0)
        return self.watched and poll.poll(0)


class Manager(Notifications):
    """The socket of NOTIFY_SOCKET, and the store; sd_pid_notify_with_fds(3) has the protocol."""

    def __init__(self, directory):
        self.store = []
        self.taken = []  # of each message: when it was taken, its sender and what it says
        self.keeping = False  # to be set where removing is to come too late
        self.room = 1000  # for descriptors in the store
        self._pause = threading.Lock()
        super().__init__(directory)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def _empty(self):
        while True:
            with self._pause:
                try:
                    datagram, control, _, _ = self._socket.recvmsg(1 << 16, ROOM_FOR_CONTROL)
                except BlockingIOError:
                    return
                sender, descriptors = parse(control)
                self._take(dict(line.split("=", 1) for line in datagram.decode().splitlines()),
                           sender, descriptors)
            with self._arrived:
                self.received.append((sent_at(control), datagram))
                self._arrived.notify_all()

    def _take(self, message, sender, descriptors):
        self.taken.append((time.time(), sender, message))
        name = message.get("FDNAME", "stored")
        if message.get("FDSTOREREMOVE") == "1" and not self.keeping:
            self.remove(name)
        # systemd cannot tell the service of a process that is no more.
        if message.get("FDSTORE") == "1" and processes.state(sender) not in (None, "Z"):
            for descriptor in descriptors:
                self.put(name, descriptor, message.get("FDPOLL") != "0")
        else:
            for descriptor in descriptors:
                os.close(descriptor)

    def put(self, name, descriptor, watched=False):
        """Stores a descriptor, which becomes the store's; what is there already, or has no room, is
        not stored."""
        stored = Stored(name, descriptor, watched)
        if (len(self.store) >= self.room or
                identity(descriptor) in [identity(other.descriptor) for other in self.store]):
            os.close(descriptor)
        else:
            self.store.append(stored)

    def remove(self, name=None):
        """Removes and closes what has this name, or everything."""
        for stored in self.store:
            if name in (None, stored.name):
                os.close(stored.descriptor)
        self.store = [stored for stored in self.store if name not in (None, stored.name)]

    def files(self, sockets):
        """The different files in all bundles of connections: sockets, or memfds with bytes."""
        bundles = [one.files() for one in self.store if one.kind == CONNECTION]
        return [file for file, is_socket in set().union(*bundles) if is_socket == sockets]

    def connections(self):
        """How many different connections are stored."""
        return len(self.files(sockets=True))

    def unsent(self):
        """How many of them have unsent bytes behind them."""
        return len(self.files(sockets=False))

    def passed(self):
        """What the next process of the service gets: names and descriptors."""
        self.sync()
        for stored in [one for one in self.store if one.hung_up()]:
            os.close(stored.descriptor)
            self.store.remove(stored)
        return list(self.store)

    @contextlib.contextmanager
    def busy(self):
        """Nothing that is sent is taken in the meantime."""
        with self._pause:
            yield

    def close(self):
        super().close()
        self.remove()


class Unit:
    """mpecho as a unit of systemd that is stopped and started: one listener, journal and manager.

    `options` may be changed between two starts, `manager.store` as well, `others`, further sockets
    by name, and `wrapper`, the start of a command line that becomes mpecho; `listener` becomes the
    unit's, and `name` is its FileDescriptorName=."""

    def __init__(self, *options, expected=(), listener=None, name="echo"):
        self.options = options
        self.name = name
        self.wrapper = []
        self.others = []
        self.expected = set(expected)
        self.balanced = True
        self.clients = []
        self.process = None
        self.started = 0
        self._directory = tempfile.TemporaryDirectory(prefix="mpecho-")
        path = Path(self._directory.name)
        path.chmod(0o755)
        self.listener = listener or clients.listen()
        self.journal = Journal(path)
        self.manager = Manager(path)
        self._stderr = (path / "stderr").open("a+b")

    @property
    def pid(self):
        return self.process.pid

    def start(self, listening=True):
        """Starts the program with the listener and what is stored; returns when it is ready."""
        self.launch(listening)
        self.wait_until_ready()

    def wait_until_ready(self):
        self.manager.wait_for("READY", "1", count=self.started)

    def launch(self, listening=True):
        """The same, and returns at once."""
        stored = self.manager.passed()
        passed = [(self.name, self.listener), *self.others] if listening else []
        passed += [(one.name, one.descriptor) for one in stored]
        names, sockets = zip(*passed)
        command = [*with_journal(self.journal), *with_sockets(sockets), *self.wrapper, str(MPECHO),
                   "--log=journal", *self.options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=self._stderr,
            env=variables({"NOTIFY_SOCKET": self.manager.path, "LISTEN_FDNAMES": ":".join(names)}),
            pass_fds=[one if isinstance(one, int) else one.fileno() for one in sockets])
        self.started += 1

    @contextlib.contextmanager
    def at_door(self, door):
        """Launches the process, which becomes the program afterwards."""
        self.wrapper = ["sh", "-c", 'read -r _ <"$0"; exec "$@"', str(door)]
        self.launch()
        self.wrapper = []
        with door.open("w"):
            yield

    def trace(self, log, *options):
        """Lets strace(1) run the program from the next start on. Its own words do not count: of a
        process that is being killed it may tell that it could not tamper with a call."""
        # The sanitizer cannot look for leaks in a process that is traced.
        self.wrapper = ["env", "ASAN_OPTIONS=detect_leaks=0",
                        "sh", "-c", 'exec 2>"$0.words"; exec "$@"', str(log),
                        "strace", "-q", "-D", "-f", "-o", str(log), *options,
                        "sh", "-c", 'exec 2>>"$0"; exec "$@"', self._stderr.name]

    def handlers(self):
        return processes.handlers(self.pid)

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self):
        """Stops it as systemd stops what has KillMode=control-group, the main process first."""
        others = processes.children(self.pid)
        self.signal(signal.SIGTERM)
        send(others, signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0
        self.manager.sync()

    def terminate_with_unsent(self):
        """Stops it while there is data that a peer does not read: a socket may still have had room
        for it, but not again and again."""
        for _ in range(10):
            self.terminate()
            if self.manager.unsent():
                return
            self.start()
            # They have read what there was to read, and wait for their peers to read it.
            processes.wait_until_waiting(self.handlers())
        raise AssertionError("nothing is unsent")

    def crash(self):
        """The main process is killed; systemd tells the rest to stop before it starts it again."""
        handlers = self.abandon_handlers()
        send([*handlers, self.keeper], signal.SIGTERM)
        self.reap(handlers)

    def abandon_handlers(self):
        """Kills the main process, once it has told of all that it has accepted and reaped. Returns
        the handlers that it leaves."""
        self.totals()
        before = set(processes.children(os.getpid()))
        self.keeper = processes.keeper(self.pid)
        self.process.kill()
        self.process.wait(DEADLINE)
        return [pid for pid in processes.children(os.getpid())
                if pid not in before and pid != self.keeper]

    def reap(self, handlers):
        """Waits until these handlers, whose master is gone, have ended, and the keeper after them."""
        left = [*handlers, self.keeper]
        processes.wait_until_dead(left)
        for pid in left:
            os.waitpid(pid, 0)
        self.manager.sync()

    def restart(self, stop=None):
        """Stops it, as a rule by terminate(), and starts it again. Returns how many were stored."""
        (stop or self.terminate)()
        stored = self.manager.connections()
        self.start()
        return stored

    def resumed(self, count):
        """How many connections were resumed, as at least count records of that say."""
        return [record.number("MPECHO_LIVE") for record in self.journal.wait_for("resumed", count)]

    def closed(self, name):
        """The record of the end of the connection of the peer with this name."""
        record, = self.journal.wait_for("closed", MPECHO_PEER=name)
        return record

    def check_store(self):
        """While it runs the store holds one ledger, and no connection."""
        self.manager.sync()
        only, = self.manager.store
        assert only.kind == LEDGER

    def totals(self):
        """The record with the totals that SIGUSR1 asks for."""
        count = len(self.journal.records("totals"))
        self.signal(signal.SIGUSR1)
        return self.journal.wait_for("totals", count + 1)[-1]

    def connect(self, source=None):
        """A client's connection; closed with the unit."""
        client = clients.connect((socket.AF_INET, self.listener.getsockname()), source)
        self.clients.append(client)
        return client

    def connect_served(self, source=None):
        """A connection that has seen its first echo, so that it has a handler."""
        client = self.connect(source)
        clients.ping(client)
        return client

    def wait_until_idle(self, handlers=0):
        processes.wait_for(lambda: len(self.handlers()) == handlers, f"{handlers} handlers")

    def finish(self):
        """Ends it as the test left it, and checks what every test promises."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.wait_until_idle()
            self.check_store()
            self.terminate()
        self.journal.close()
        check_records(self.journal, self.expected, self.balanced)
        self._stderr.seek(0)
        assert self._stderr.read() == b""

    def close(self):
        """Ends whatever is left, and frees what the object holds."""
        for client in self.clients:
            client.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.listener.close()
        self.journal.close()
        self.manager.close()
        self._stderr.close()
        self._directory.cleanup()


def send(pids, number):
    """Sends a signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.fixture(name="door")
def fixture_door(tmp_path):
    """A FIFO at which a process waits before it becomes the program."""
    path = tmp_path / "door"
    os.mkfifo(path)
    return path


@pytest.fixture
def unit(request):
    """Starts units and, after the test, ends them and checks what they leave."""
    units = []

    def begin(*options, start=True, **keywords):
        units.append(Unit(*options, **keywords))
        if start:
            units[-1].start()
        return units[-1]

    yield begin
    try:
        if not getattr(request.node, "test_failed", True):
            for one in units:
                one.finish()
    finally:
        for one in units:
            one.close()
