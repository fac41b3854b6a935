# SPDX-License-Identifier: MIT
"""systemd does not read what it is told, or its socket is gone: the service goes on.

The service has a stand-in for systemd that can be both, and clients all the time."""

import signal
import time

import pytest

import clients
from chatter import chat  # noqa: F401
from journald import Notifications
from tracing import Tampering
from visitors import Footprint, visit  # noqa: F401

WATCHDOG_USEC = 200000


@pytest.fixture
def told(tmp_path_factory):
    """systemd's end of NOTIFY_SOCKET; nobody reads there yet."""
    notifications = Notifications(tmp_path_factory.mktemp("notify"), reading=False)
    yield notifications
    notifications.close()


@pytest.fixture
def watched(start, told):
    """Starts a service that systemd watches, and that was passed its socket."""
    listeners = []

    def begin(**keywords):
        listeners.append(clients.listen())
        return start(passed=listeners, environment=environment(told), **keywords)

    yield begin
    for listener in listeners:
        listener.close()


def environment(told):
    return {"NOTIFY_SOCKET": told.path, "WATCHDOG_USEC": WATCHDOG_USEC}


def wait_for_news(told, name, condition=lambda value: True):
    """Waits until something is told that has not been told before; returns its value."""
    before = len(told.messages(name))
    return told.wait(lambda: [value for _, value in told.messages(name)[before:]
                              if condition(value)], f"news of {name}")[-1]


def test_start_while_systemd_does_not_read(start, told, visit):
    """A service that cannot say that it is ready serves, and says so when it can."""
    told.fill()
    service = start(environment=environment(told))
    visitors = visit(service.listeners()[0])
    visitors.go_on()
    visitors.stop()
    told.read()
    told.wait_for("READY", "1")
    told.wait_for("WATCHDOG", count=2)
    told.wait(lambda: [value for _, value in told.messages("STATUS")
                       if f" {visitors.served} served" in value], "the status as it is")
    assert len(told.messages("READY")) == 1


def test_start_with_a_store_while_systemd_does_not_read(watched, told):
    """With the descriptor store a start waits until systemd has emptied it, and then serves."""
    told.fill()
    service = watched(ready=False)
    told.read()
    service.wait_until_ready()
    service.connect_served()
    told.wait_for("READY", "1")


def goes_on(service, visitors, chatter):
    """New clients and those that are there are served, and the master does not hang."""
    visitors.go_on()
    chatter.go_on()
    service.totals()


def test_systemd_comes_and_goes(watched, told, visit, chat):
    """Full, gone and back, again and again under load: nobody waits, and when systemd reads it
    hears that the service lives, and how many it has served; nothing is kept in the end."""
    told.read()
    service = watched()
    visitors = visit(service.listeners()[0])
    chatter = chat([service.connect_served() for _ in range(10)])
    footprint = None
    for _ in range(4):
        told.unbind()
        goes_on(service, visitors, chatter)
        told.bind(reading=False)
        told.fill()
        goes_on(service, visitors, chatter)
        told.read()
        wait_for_news(told, "WATCHDOG")
        goes_on(service, visitors, chatter)
        least = visitors.served
        wait_for_news(told, "STATUS", lambda value: int(value.split()[4]) >= least)
        footprint = footprint or Footprint(service)
    footprint.check()
    visitors.stop()
    chatter.stop()
    assert len(told.messages("READY")) == 1
    assert {record.kind for record in service.journal.records()} <= {
        "started", "accepted", "closed", "summary", "connection", "totals"}


@pytest.mark.parametrize("fault", ["full", "gone"])
def test_stop_while_systemd_is_away(watched, told, fault):
    """A service without connections stops, whether systemd hears of it or not."""
    told.read()
    service = watched()
    told.wait_for("READY")
    service.connect_served().close()
    service.wait_until_idle()
    told.unbind()
    if fault == "full":
        told.bind(reading=False)
        told.fill()
    service.signal(signal.SIGTERM)
    assert service.wait() == 0


def test_systemd_that_never_was(start, visit, tmp_path):
    """A NOTIFY_SOCKET that points to nothing changes nothing, and does not keep the loop turning."""
    service = start(environment={"NOTIFY_SOCKET": tmp_path / "nobody"})
    visitors = visit(service.listeners()[0])
    visitors.go_on()
    visitors.stop()
    service.wait_until_idle()
    footprint = Footprint(service)
    with Tampering(service.pid, "ppoll", log=tmp_path / "trace") as trace:
        time.sleep(1)
    assert trace.count("ppoll") <= 10, "it turns without a reason"
    footprint.check()
    assert service.connect_served()
