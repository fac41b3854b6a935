# SPDX-License-Identifier: MIT
"""The servers that are measured: how each is started, and what is known of it while it runs.

Each has an address of its own, port 7 of 127.0.0.N, and runs on the servers' core in a control
group of its own, which knows all its processes, their processor time, and how to end them."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from surroundings import SERVER_CORE

# Found by what surroundings adds to the path.
import clients
import machine
from journald import Notifications
from service import MPECHO, Service, accounted

BASELINES = MPECHO.parent / "tests" / "bench"
PORT = 7
BACKLOG = 4096
# More connections at once than any measure makes, for those that want to be told.
MANY = 12000
DEADLINE = 60


class Group:
    """A control group. A command line that begins with `command` runs in it."""

    def __init__(self, name):
        self.path = machine.own_control_group() / f"mpecho-bench-{os.getpid()}-{name}"
        self.path.mkdir()
        self.command = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.path / "cgroup.procs"),
                        "taskset", "-c", str(SERVER_CORE)]

    def processes(self):
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    def cpu_seconds(self):
        """Processor time of all that are in it or were."""
        lines = (self.path / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def close(self):
        """Ends what is left in it."""
        (self.path / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + DEADLINE
        while self.processes():
            assert time.monotonic() < deadline, "a server does not end"
            time.sleep(0.005)
        self.path.rmdir()
        # Orphans come to this process.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


class Running:
    """A server that runs.

    address  where it does; its port is 7
    enter    the start of a client's command line, which takes it to where the address is
    path     a directory for the files of who measures it"""

    enter = []

    def __init__(self, contender, number):
        self.contender = contender
        self.address = f"127.0.0.{number}"
        self.group = Group(contender.name)
        self._directory = tempfile.TemporaryDirectory(prefix="mpecho-bench-")
        self.path = pathlib.Path(self._directory.name)
        try:
            self.start()
            self.wait_until_it_echoes()
        except BaseException:
            self.close()
            raise

    def start(self):
        command = [str(word) for word in self.contender.command(self.address, self.path)]
        with (self.path / "output").open("wb") as output:
            self.process = subprocess.Popen(
                self.group.command + command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True)

    def wait_until_it_echoes(self):
        deadline = time.monotonic() + DEADLINE
        while True:
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, f"{self.contender.name} does not echo"
            try:
                with clients.connect((socket.AF_INET, (self.address, PORT))) as client:
                    clients.ping(client)
                    return
            except ConnectionRefusedError:
                time.sleep(0.005)

    def output(self):
        return (self.path / "output").read_text()

    def processes(self):
        return self.group.processes()

    def cpu_seconds(self):
        return self.group.cpu_seconds()

    def close(self):
        self.group.close()
        if getattr(self, "process", None):
            self.process.wait()
        self._directory.cleanup()


class RunningMpecho(Running):
    """mpecho with a socket, a journal and a place for its status, as from systemd.

    In the end its records have to account for every connection."""

    def start(self):
        self.service = self.notifications = None
        self.notifications = Notifications(self.path)
        with socket.create_server((self.address, PORT), backlog=BACKLOG) as listener:
            # As mpecho.socket has them.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.service = Service(
                *self.contender.options, passed=[listener], wrapper=self.group.command,
                program=self.contender.path, reading=self.contender.reading,
                expected={"lost"}, balanced=False,
                environment={"NOTIFY_SOCKET": self.notifications.path})
        self.process = self.service.process

    def output(self):
        return self.service.stderr()

    def check_accounts(self):
        """What was accepted was closed, or handed over in the end: clients that gave up may have
        left connections that are accepted so late."""
        counts = accounted(self.service.journal)
        left = sum(record.number("MPECHO_LIVE")
                   for record in self.service.journal.records("stopped"))
        assert counts["accepted"] == counts["closed"] + counts["crashed"] + left, (counts, left)

    def close(self):
        try:
            if self.service:
                if not self.contender.reading:
                    self.service.journal.read()
                self.service.finish()
                self.check_accounts()
        finally:
            if self.service:
                self.service.close()
            if self.notifications:
                self.notifications.close()
            super().close()


class Contender:
    """A server that can be started. command(address, directory) is its command line.

    name     what its figures are filed under
    title    what people read
    only     the measures that it is there for, or None for all"""

    def __init__(self, name, title, command, only=None):
        self.name = name
        self.title = title
        self.command = command
        self.only = only

    def start(self, number):
        return contextlib.closing(Running(self, number))

    def program(self):
        """The program that has to be installed for it."""
        with tempfile.TemporaryDirectory() as directory:
            return str(self.command("127.0.0.1", pathlib.Path(directory))[0])

    def is_there(self):
        return shutil.which(self.program()) is not None


class Mpecho(Contender):
    """mpecho with its defaults but for these options.

    Nobody reads its journal while it is measured if reading is False."""

    def __init__(self, name, title, *options, path=MPECHO, reading=True, only=None):
        super().__init__(name, title, None, only)
        self.options = options
        self.path = path
        self.reading = reading

    def program(self):
        return str(self.path)

    def start(self, number):
        return contextlib.closing(RunningMpecho(self, number))


def baseline(name):
    return lambda address, directory: [BASELINES / name, address, PORT]


MPECHO_DEFAULT = Mpecho("mpecho", "mpecho, logging on")
MPECHO_SILENT = Mpecho("mpecho-silent", "mpecho, logging off", "--log-level=emerg",
                       only=["rate-32"])
MPECHO_ROOMY = Mpecho("mpecho", "mpecho, logging on", f"--max-connections={MANY}",
                      f"--max-per-source={MANY}")
MPECHO_UNREAD = Mpecho("mpecho-unread", "mpecho, journald stopped", reading=False)
BARE = Contender("bare", "bare loop: accept, fork, echo", baseline("bare"))
STATIC = Contender("bare-static", "bare loop, linked statically", baseline("bare-static"))
SPLICE = Contender("bare-splice", "bare loop with splice", baseline("bare-splice"))
NOFORK = Contender("nofork", "epoll loop without fork", baseline("nofork"))
NAIVE = Contender("naive", "naive forking server", baseline("naive"))
