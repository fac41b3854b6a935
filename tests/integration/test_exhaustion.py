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
WATCHED = 1.6


def assert_calm(service, seconds=WATCHED):
    """For some seconds it takes under 5 % of a processor, and logs at most a line a second."""
    assert processes.cpu_share(service.pid, seconds) < 0.05
    times = [record.when for record in service.journal.records("exhausted")]
    assert_at_most_one_a_second(times)


def assert_recovers(service):
    """A client that comes now is served within the longest back-off, a second, and a bit."""
    begin = time.monotonic()
    service.connect_served()
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("error, limit", [
    ("EMFILE", "descriptors"), ("ENFILE", "descriptors"), ("ENOMEM", "memory"),
    ("ENOBUFS", "memory"), ("ENETDOWN", "network"), ("EINVAL", "listener")])
def test_accept_fails_again_and_again(start, error, limit):
    """accept4 failing without an end, for whatever reason: wait, ever longer, and then go on."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    with Tampering(service.pid, "accept4", f"error={error}"):
        waiting = service.connect()
        waiting.sendall(b"still there?")
        assert_calm(service)
        clients.ping(other)
        assert service.process.poll() is None
    record = service.journal.records("exhausted")[0]
    assert record.number("ERRNO") == getattr(errno, error)
    assert record["MPECHO_LIMIT"] == limit
    assert clients.receive(waiting, 12) == b"still there?"
    assert_recovers(service)


@pytest.mark.parametrize("error", [
    "ENETDOWN", "EPROTO", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP",
    "ENETUNREACH", "ECONNABORTED", "ETIMEDOUT", "EPERM", "EINTR", "EAGAIN"])
def test_accept_errors_of_one_connection(start, error):
    """An error of accept4 that concerns one connection: the next one is taken at once, no word."""
    service = start()
    with Tampering(service.pid, "accept4", f"error={error}:when=1..3"):
        begin = time.monotonic()
        service.connect_served()
        assert time.monotonic() - begin < 1
    service.connect_served()
    service.journal.wait_for("accepted", 2)
    assert {record.kind for record in service.journal.records()} == {"started", "accepted"}


@pytest.mark.parametrize("error, limit", [("EAGAIN", "processes"), ("ENOMEM", "memory")])
def test_fork_fails(start, error, limit):
    """fork failing refuses one client a try, ever more slowly, and ends no other connection."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    with Tampering(service.pid, FORK, f"error={error}"):
        for _ in range(3):
            service.connect_refused()
        for _ in range(10):
            service.knock()
        assert_calm(service)
        clients.ping(other)
    record = service.journal.records("exhausted")[0]
    assert record.number("ERRNO") == getattr(errno, error)
    assert record["MPECHO_LIMIT"] == limit
    assert_recovers(service)


def test_fork_fails_once(start):
    """One failing fork costs one client and a few milliseconds."""
    service = start(expected=["exhausted"])
    with Tampering(service.pid, FORK, "error=EAGAIN:when=1"):
        service.connect_refused()
        begin = time.monotonic()
        service.connect_served()
        assert time.monotonic() - begin < 1


def limit_descriptors(service, more):
    """Lets the service open only this many descriptors more than it has; returns what it had."""
    most = max(processes.descriptors(service.pid)) + 1 + more
    before = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (most, before[1]))
    return before


def test_really_out_of_descriptors(start):
    """With no descriptor left clients are refused with the reserve one; one more and it serves."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    before = limit_descriptors(service, 0)
    for _ in range(4):
        service.connect_refused()
    for _ in range(5):
        service.knock()
    assert_calm(service)
    assert service.journal.records("exhausted")[0]["MPECHO_LIMIT"] == "descriptors"
    clients.ping(other)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, before)
    assert_recovers(service)


def test_a_reaped_handler_ends_the_wait(start):
    """Backing off ends when a handler is reaped, not only when the time is over."""
    service = start(expected=["exhausted"])
    other = service.connect_served()
    with Tampering(service.pid, FORK, "error=EAGAIN:when=1..8"):
        for _ in range(8):
            service.connect_refused()
        begin = time.monotonic()
        waiting = service.connect()
        other.close()
        clients.ping(waiting)
        assert time.monotonic() - begin < 0.9


def test_exhausted_and_stopped(start):
    """A service that is out of descriptors still stops when told to."""
    # The sanitizer cannot look for leaks in a process that is traced.
    service = start(expected=["exhausted"], environment={"ASAN_OPTIONS": "detect_leaks=0"})
    with Tampering(service.pid, "accept4", "error=EMFILE"):
        service.connect()
        service.journal.wait_for("exhausted")
        assert service.stop() == 0
