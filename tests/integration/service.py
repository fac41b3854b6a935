# SPDX-License-Identifier: MIT
"""Starts mpecho, collects what it says, and checks that it leaves nothing behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import clients
import processes
from journald import ROOT, Journal, catalog
from processes import DEADLINE, wait_for

BUILD = Path(os.environ.get("MPECHO_BUILD", ROOT / "build"))
MPECHO = BUILD / "mpecho"
PROGRAM = MPECHO.read_bytes() if MPECHO.exists() else b""
SANITIZED = b"__asan_init" in PROGRAM
# By `make coverage`: libgcov writes to a file for each source when a process exits.
COUNTED = b"__gcov_dump" in PROGRAM
WARNING = 4
# The sanitizer cannot look for leaks in a process that is traced.
TRACED = {"ASAN_OPTIONS": "detect_leaks=0"}


def with_journal(journal):
    """The start of a command line: what follows sees the directory journal.run as /run.

    It runs in a mount namespace of its own, and with the pid of the command that was started."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    return [*unshare, "sh", "-c", 'mount --bind "$0" /run && exec "$@"', str(journal.run)]


def with_sockets(sockets):
    """The start of a command line: what follows is passed these sockets as systemd does it."""
    activate = str(Path(__file__).with_name("activate.py"))
    numbers = ["-" if passed is None else str(number(passed)) for passed in sockets]
    return [sys.executable, "-IS", activate, *numbers, "--"]


def number(passed):
    return passed if isinstance(passed, int) else passed.fileno()


def variables(changes):
    """The test's environment without what systemd may have put there, and with changes."""
    values = {name: value for name, value in os.environ.items()
              if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")
              and not name.startswith("LISTEN_")}
    return values | {name: str(value) for name, value in changes.items()}


def accounted(journal):
    """How many connections were accepted, closed, crashed and refused.

    Told one by one, in summaries, and in confessions of what was lost."""
    sums = journal.records("summary") + journal.records("lost")
    return {
        kind: len(journal.records(kind)) + sum(
            record.number(f"MPECHO_{kind.upper()}") for record in sums)
        for kind in ("accepted", "closed", "crashed", "refused")
    }


def check_records(journal, expected=(), balanced=True):
    """No unexpected warning, every record whole, every connection accounted for if balanced."""
    texts = catalog()
    for record in journal.records():
        assert record.priority > WARNING or record.kind in expected, record
        assert record["SYSLOG_IDENTIFIER"] == "mpecho", record
        assert record["MESSAGE"], record
        for field in re.findall("@([A-Z_]+)@", texts[record["MESSAGE_ID"]]):
            assert field in record, f"the catalog has {field} for {record}"
    counts = accounted(journal)
    assert not balanced or counts["accepted"] == counts["closed"] + counts["crashed"], counts


def documented(beginning):
    """The literal example after the text that begins so, in mpecho(8)."""
    text = (ROOT / "packaging" / "mpecho.8").read_text().partition(beginning)[2]
    return re.search(r"\.Bd -literal -offset indent\n(.*?)\.Ed\n", text, re.S)[1]


class Service:
    """A running mpecho. With nothing said of sockets it serves a port of 127.0.0.1.

    arguments    its options and LISTENs
    listen       the LISTEN to add when there is none and no socket is passed, or None
    passed       sockets, or descriptors, to pass as systemd does; None leaves a number closed
    environment  variables on top of the test's
    expected     kinds of records, of warning or worse, that the test is about
    balanced     whether the records will tell the beginning and the end of each connection
    reading      whether the stand-in of journald reads
    network      the network namespace to run in
    wrapper      the start of a command line that becomes mpecho
    stdin, stderr  as for subprocess.Popen; without stderr it has to stay empty
    log          the value of --log=, or None to leave the option out
    program      the mpecho to start
    """

    def __init__(self, *arguments, listen="127.0.0.1:0", passed=(), environment=None, expected=(),
                 balanced=True, reading=True, network=None, wrapper=(), stdin=subprocess.DEVNULL,
                 stderr=None, log="journal", program=MPECHO):
        self.expected = set(expected)
        self.balanced = balanced
        self.network = network
        self.clients = []
        self.descriptors = None
        self._directory = tempfile.TemporaryDirectory(prefix="mpecho-")
        self.path = Path(self._directory.name)
        self.path.chmod(0o755)
        self.journal = Journal(self.path, reading)
        self._stderr = (self.path / "stderr").open("a+b")
        options = [str(argument) for argument in arguments]
        if log:
            options.insert(0, f"--log={log}")
        if listen and not passed and all(option.startswith("-") for option in options):
            options.append(listen)
        command = [*wrapper, str(program), *options]
        if passed:
            command = with_sockets(passed) + command
        self.process = self._inside(
            subprocess.Popen, with_journal(self.journal) + command,
            env=variables(environment or {}), stdin=stdin, stderr=stderr or self._stderr,
            pass_fds=[number(one) for one in passed if one is not None], start_new_session=True)
        self.pid = self.process.pid

    def _inside(self, function, *arguments, **keywords):
        if self.network:
            return self.network.run(function, *arguments, **keywords)
        return function(*arguments, **keywords)

    def wait_until_ready(self):
        """Waits for the record that it has started."""
        def started():
            code = self.process.poll()
            assert code is None, f"exit status {code}: {self.stderr()} {self.journal.summary()}"
            return self.journal.records("started")
        wait_for(started, "the started record")
        self.descriptors = processes.descriptors(self.pid)

    def listeners(self):
        """The addresses that it serves, as it wrote them in its started record."""
        return self.journal.wait_for("started")[0]["MPECHO_LISTENER"].split(", ")

    def datagram_sockets(self):
        """How many datagram sockets it has told that it serves, each with a handler of its own."""
        return sum(text.startswith(("udp:", "datagram:")) for record in
                   self.journal.records("started") for text in record["MPECHO_LISTENER"].split(", "))

    def connect(self, source=None, address=None):
        """A client's connection, to the first listener unless told; closed with the service."""
        client = self._inside(clients.connect, address or self.listeners()[0], source)
        self.clients.append(client)
        return client

    def connect_refused(self, source=None, address=None):
        """Connects, must be reset, and returns how the service names that peer."""
        return self._inside(clients.connect_refused, address or self.listeners()[0], source)

    def knock(self):
        """Begins to connect and does not wait for what comes of it."""
        self.clients.append(clients.knock(self.listeners()[0]))

    @contextlib.contextmanager
    def paused(self):
        """Stops the master in the meantime: what comes waits until afterwards."""
        self.signal(signal.SIGSTOP)
        wait_for(lambda: processes.state(self.pid) == "T", "the master stopped")
        yield
        self.signal(signal.SIGCONT)

    def flood(self, count):
        """Has clients knock while it is stopped, so that all of them come at once."""
        with self.paused():
            for _ in range(count):
                self.knock()

    def connect_served(self, source=None, address=None):
        """A connection that has seen its first echo, so that it has a handler."""
        client = self.connect(source, address)
        clients.ping(client)
        return client

    def handlers(self):
        """The pids of the handlers, zombies included."""
        return processes.handlers(self.pid)

    def wait_until_counted(self):
        """Waits until all handlers wait for their peers: what came back before is counted then."""
        processes.wait_until_waiting(self.handlers())

    def wait_until_idle(self, handlers=0):
        """Waits until this many handlers are left; a zombie is one."""
        wait_for(lambda: len(self.handlers()) == handlers, f"{handlers} handlers")

    def signal(self, signal_number):
        self.process.send_signal(signal_number)

    def totals(self):
        """The record with the totals that SIGUSR1 asks for."""
        count = len(self.journal.records("totals"))
        self.signal(signal.SIGUSR1)
        return self.journal.wait_for("totals", count + 1)[-1]

    def report(self, times):
        """Lets it log all its live connections, and the totals, that often."""
        for _ in range(times):
            self.signal(signal.SIGUSR1)
            wait_for(lambda: signal.SIGUSR1 not in processes.signal_set(
                processes.status(self.pid)["ShdPnd"]), "the signal taken")

    def stop(self):
        """SIGTERM; returns the exit status, and all records are in."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds=DEADLINE):
        code = self.process.wait(seconds)
        self.journal.close()
        return code

    def stderr(self):
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def take_stderr(self):
        """What it wrote to stderr, which the test is about: the check at the end finds nothing."""
        text = self.stderr()
        self._stderr.truncate(0)
        return text

    def finish(self):
        """Ends the service as the test left it, and checks what every test promises."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.wait_until_idle(self.datagram_sockets())
            if self.descriptors:
                # sd_notify(3) has a socket for a moment.
                before = self.descriptors.items()
                wait_for(lambda: processes.descriptors(self.pid).items() <= before,
                         f"no descriptor more than at the start: {before}")
            assert self.stop() == 0
        self.journal.close()
        check_records(self.journal, self.expected, self.balanced)
        assert self.stderr() == ""

    def close(self):
        """Ends whatever is left, and frees what the object holds."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.journal.close()
        self._stderr.close()
        self._directory.cleanup()
