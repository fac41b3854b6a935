# SPDX-License-Identifier: MIT
"""Descriptors, processes and memory run out and come back, again and again, under load."""

import contextlib
import os
import resource
import subprocess

import pytest

import processes
from chatter import chat  # noqa: F401
from journald import Notifications
from service import SANITIZED, accounted
from visitors import Footprint, visit  # noqa: F401

ROUNDS = 4
LIVE = 10


@contextlib.contextmanager
def limited(pid, which, most):
    """For as long as it lasts the process may have no more than this."""
    before = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (most, before[1]))
    yield
    resource.prlimit(pid, which, before)


def another_user():
    """A number that hardly any user has, so that no other process counts."""
    return 30000 + os.getpid() % 30000


# The kernel limits only others' processes than root's.
AS_ANOTHER_USER = ["setpriv", f"--reuid={another_user()}", f"--regid={another_user()}",
                   "--clear-groups"]
# It finds the program wherever it is.
SERVES_AS_ANOTHER_USER = [*AS_ANOTHER_USER, "--inh-caps=+dac_read_search",
                          "--ambient-caps=+dac_read_search"]


def limit_descriptors(service):
    # What it has open without a connection that it has just accepted.
    return limited(service.pid, resource.RLIMIT_NOFILE, max(service.descriptors) + 1)


def set_processes(service, most):
    """Sets the soft limit; who is the same user may."""
    subprocess.run([*AS_ANOTHER_USER, "prlimit", f"--pid={service.pid}", f"--nproc={most}:"],
                   check=True)


@contextlib.contextmanager
def limit_processes(service):
    set_processes(service, LIVE + 1)
    yield
    set_processes(service, 100 * LIVE)


@pytest.mark.parametrize("limit, name, wrapper", [
    (limit_descriptors, "descriptors", []),
    pytest.param(limit_processes, "processes", SERVES_AS_ANOTHER_USER, marks=pytest.mark.skipif(
        os.geteuid() != 0, reason="becoming another user needs root")),
])
def test_limit_comes_and_goes(start, visit, chat, limit, name, wrapper):
    """At the limit who comes is reset, and who is there is served; below it everybody is; the
    records count each of them, and nothing is kept in the end."""
    service = start("--max-per-source=0", expected=["exhausted"], wrapper=wrapper)
    chatter = chat([service.connect_served() for _ in range(LIVE)])
    visitors = visit(service.listeners()[0])
    footprint = None
    for _ in range(ROUNDS):
        visitors.go_on()
        before = visitors.refused
        with limit(service):
            processes.wait_for(lambda: visitors.failures or visitors.refused > before + 1, name)
            chatter.go_on()
        visitors.go_on()
        chatter.go_on()
        footprint = footprint or Footprint(service)
    visitors.stop()
    chatter.stop()
    service.wait_until_idle(LIVE)
    footprint.check()
    assert_told(service, visitors, name)


def assert_told(service, visitors, name):
    """The records add up to what the clients have seen, and name the limit."""
    for client in service.clients:
        client.close()
    service.wait_until_idle()
    totals = service.totals()
    count = visitors.served + LIVE
    assert totals.number("MPECHO_SERVED") == count
    assert totals.number("MPECHO_REFUSED") == visitors.refused
    processes.wait_for(lambda: sum(
        record.number("MPECHO_REFUSED") for record in service.journal.records("exhausted")
        ) == visitors.refused, "every refused client in the records")
    # A summary comes up to a second later.
    expected = {"accepted": count, "closed": count, "crashed": 0, "refused": 0}
    processes.wait_for(lambda: accounted(service.journal) == expected, f"{expected}")
    exhausted = service.journal.records("exhausted")
    assert {record["MPECHO_LIMIT"] for record in exhausted} == {name}
    assert {record.kind for record in service.journal.records()} <= {
        "started", "accepted", "closed", "summary", "exhausted", "totals"}


@pytest.mark.skipif(SANITIZED, reason="the sanitizer maps memory all the time")
def test_address_space_comes_and_goes(start, visit, chat):
    """With no address space left everybody is served: nobody asks for memory after the start."""
    service = start("--max-per-source=0")
    chatter = chat([service.connect_served() for _ in range(LIVE)])
    visitors = visit(service.listeners()[0])
    visitors.go_on()
    footprint = Footprint(service)
    for _ in range(ROUNDS):
        with limited(service.pid, resource.RLIMIT_AS, 4096):
            visitors.go_on()
            chatter.go_on()
        visitors.go_on()
    visitors.stop()
    chatter.stop()
    assert visitors.refused == 0
    service.wait_until_idle(LIVE)
    footprint.check()


@pytest.mark.skipif(SANITIZED, reason="the sanitizer opens files by itself")
def test_watchdog_without_descriptors(start, tmp_path):
    """A master that has no descriptor left still gives signs of life: systemd does not end it."""
    manager = Notifications(tmp_path)
    try:
        service = start(expected=["exhausted"], environment={
            "NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": 200000})
        with limit_descriptors(service):
            service.connect_refused()
            manager.wait_for("WATCHDOG", count=len(manager.messages("WATCHDOG")) + 5)
            manager.wait_for("STATUS", "0 live (peak 0), 0 served, 1 refused, 0 bytes echoed")
        service.connect_served()
    finally:
        manager.close()
