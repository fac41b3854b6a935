# SPDX-License-Identifier: MIT
"""Out of descriptors, processes or memory, and errors of accept: the service goes on."""

import errno
import resource
import time

import pytest

import clients
import processes
from journald import assert_at_most_one_a_second
from tracing import Tampering

FORK = "clone,clone3,fork,vfork"


class Watch(Tampering):
    """Tampering that also counts how often the loop turns."""

    def __init__(self, service, directory, calls="accept4", injection=None):
        super().__init__(service.pid, calls, injection, directory / "trace", also=["ppoll"])
        self._service = service
        self._begin = time.monotonic()

    def assert_calm(self):
        """It turned a few times at each of its tries, which come after 10 ms, twice as much and so
        on up to a second, and logs at most a line a second."""
        lines = self._service.journal.wait_for("exhausted", 3)
        turns = self.count("ppoll")
        tries = 8 + time.monotonic() - self._begin
        assert turns <= 5 * tries, f"{turns} turns where {tries} tries were due"
        assert_at_most_one_a_second([line.when for line in lines])


@pytest.mark.parametrize("error, limit", [
    ("EMFILE", "descriptors"), ("ENFILE", "descriptors"), ("ENOMEM", "memory"),
    ("ENOBUFS", "memory"), ("ENETDOWN", "network"), ("EINVAL", "listener")])
def test_accept_fails_again_and_again(start, tmp_path, error, limit):
    """accept4 failing without an end, for whatever reason: wait, ever longer, and then go on."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    with Watch(service, tmp_path, "accept4", f"error={error}") as watch:
        waiting = service.connect()
        waiting.sendall(b"still there?")
        watch.assert_calm()
        clients.ping(other)
        assert service.process.poll() is None
    record = service.journal.records("exhausted")[0]
    assert record.number("ERRNO") == getattr(errno, error)
    assert record["MPECHO_LIMIT"] == limit
    assert clients.receive(waiting, 12) == b"still there?"
    service.connect_served()


@pytest.mark.parametrize("error", [
    "ENETDOWN", "EPROTO", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP",
    "ENETUNREACH", "ECONNABORTED", "ETIMEDOUT", "EPERM", "EINTR", "EAGAIN"])
def test_accept_errors_of_one_connection(start, error):
    """An error of accept4 that concerns one connection: the next one is taken at once, no word.

    Otherwise it would wait, and tell why."""
    service = start()
    with Tampering(service.pid, "accept4", f"error={error}:when=1..3"):
        service.connect_served()
    service.connect_served()
    service.journal.wait_for("accepted", 2)
    assert {record.kind for record in service.journal.records()} == {"started", "accepted"}


@pytest.mark.parametrize("error, limit", [("EAGAIN", "processes"), ("ENOMEM", "memory")])
def test_fork_fails(start, tmp_path, error, limit):
    """fork failing refuses one client a try, ever more slowly, and ends no other connection."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    with Watch(service, tmp_path, FORK, f"error={error}") as watch:
        for _ in range(3):
            service.connect_refused()
        for _ in range(10):
            service.knock()
        watch.assert_calm()
        clients.ping(other)
    record = service.journal.records("exhausted")[0]
    assert record.number("ERRNO") == getattr(errno, error)
    assert record["MPECHO_LIMIT"] == limit
    service.connect_served()


def test_fork_fails_once(start):
    """One failing fork costs one client."""
    service = start(expected=["exhausted"])
    with Tampering(service.pid, FORK, "error=EAGAIN:when=1"):
        service.connect_refused()
        service.connect_served()
    record, = service.journal.wait_for("exhausted")
    assert record["MPECHO_REFUSED"] == "1"


def limit_descriptors(service, more):
    """Lets the service open only this many descriptors more than it has; returns what it had."""
    most = max(processes.descriptors(service.pid)) + 1 + more
    before = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (most, before[1]))
    return before


def test_really_out_of_descriptors(start, tmp_path):
    """With no descriptor left clients are refused with the reserve one; one more and it serves."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    # By then the master has closed its descriptor of that connection.
    service.journal.wait_for("accepted")
    before = limit_descriptors(service, 0)
    with Watch(service, tmp_path) as watch:
        for _ in range(4):
            service.connect_refused()
        for _ in range(8):
            service.knock()
        watch.assert_calm()
    assert service.journal.records("exhausted")[0]["MPECHO_LIMIT"] == "descriptors"
    clients.ping(other)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, before)
    service.connect_served()


def test_exhausted_and_stopped(start):
    """A service that is out of descriptors still stops when told to."""
    # The sanitizer cannot look for leaks in a process that is traced.
    service = start(expected=["exhausted"], environment={"ASAN_OPTIONS": "detect_leaks=0"})
    with Tampering(service.pid, "accept4", "error=EMFILE"):
        service.connect()
        service.journal.wait_for("exhausted")
        assert service.stop() == 0
