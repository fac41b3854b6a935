# SPDX-License-Identifier: MIT
"""What systemd is told over NOTIFY_SOCKET: READY, STATUS, WATCHDOG and STOPPING."""

import contextlib
import os
import re
import signal
import time

import pytest

import clients
import processes
from journald import Notifications, assert_at_most_one_a_second
from tracing import Tampering

STATUS = re.compile(r"(\d+) live \(peak (\d+)\), (\d+) served, (\d+) refused, (\d+) bytes? echoed")


@pytest.fixture
def manager(tmp_path_factory):
    """systemd's end of NOTIFY_SOCKET."""
    notifications = Notifications(tmp_path_factory.mktemp("notify"))
    yield notifications
    notifications.close()


def environment(manager, **more):
    return {"NOTIFY_SOCKET": manager.path, **more}


def test_ready_when_listening(start, manager, tmp_path):
    """At the moment of READY clients can connect; it is said once, and first."""
    path = str(tmp_path / "echo")
    service = start(path, environment=environment(manager), ready=False)
    manager.wait_for("READY", "1")
    with clients.connect(path) as client:
        clients.ping(client)
    service.wait_until_ready()
    service.wait_until_idle()
    assert service.stop() == 0
    assert len(manager.messages("READY")) == 1
    assert manager.received[0][1] == b"READY=1"


def test_not_ready_when_it_fails(start, manager):
    """A start that fails says why in its status, and nothing of being ready."""
    with clients.listen() as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        service = start(address, ready=False, environment=environment(manager),
                        expected=["failed"])
        assert service.wait() == 1
    manager.wait_for("STATUS", f"Cannot listen on '{address}': Address already in use")
    manager.close()
    assert not manager.messages("READY")


def test_status_is_a_readable_line(start, manager):
    """STATUS tells live, peak, served, refused and bytes, and follows what happens."""
    service = start("--max-per-source=2", environment=environment(manager))
    manager.wait_for("STATUS", "0 live (peak 0), 0 served, 0 refused, 0 bytes echoed")
    first, second = service.connect_served(), service.connect_served()
    service.connect_refused()
    manager.wait_for("STATUS", "2 live (peak 2), 2 served, 1 refused, 8 bytes echoed")
    first.close()
    manager.wait_for("STATUS", "1 live (peak 2), 2 served, 1 refused, 8 bytes echoed")
    clients.ping(second, b"of a live connection")
    manager.wait_for("STATUS", "1 live (peak 2), 2 served, 1 refused, 28 bytes echoed")


def test_status_at_most_once_a_second_and_only_when_changed(start, manager):
    """However much happens STATUS comes once a second; when nothing happens not at all."""
    service = start(environment=environment(manager))
    client = service.connect_served()
    while len(manager.messages("STATUS")) < 4:
        service.connect_served().close()
    count = service.totals().number("MPECHO_SERVED")
    last = manager.wait(lambda: [value for _, value in manager.messages("STATUS")
                                 if f" {count} served" in value and value.startswith("1 live")],
                        "the last status")
    messages = manager.messages("STATUS")
    assert all(STATUS.fullmatch(value) for _, value in messages)
    assert_at_most_one_a_second([when for when, _ in messages])
    time.sleep(2)
    manager.sync()
    assert [value for _, value in manager.messages("STATUS")][-1] == last[-1]
    assert len(manager.messages("STATUS")) == len(messages)
    clients.ping(client)


@pytest.mark.parametrize("full", [False, True])
def test_watchdog(start, manager, tmp_path, full):
    """With WATCHDOG_USEC the loop reports in half the time, also while it accepts nobody."""
    service = start("--max-connections=1", environment=environment(manager, WATCHDOG_USEC=2000000))
    if full:
        service.connect_served()
        service.knock()
    manager.wait_for("WATCHDOG", "1")
    with Tampering(service.pid, "ppoll", log=tmp_path / "trace") as trace:
        # Those that came before strace do not count, however late it is.
        manager.sync()
        first = len(manager.messages("WATCHDOG"))
        times = [when for when, _ in manager.wait_for("WATCHDOG", "1", count=first + 3)]
    # What it waits for, not how late this machine wakes it.
    waits = [line for line in trace.lines() if line.startswith("ppoll(")]
    # The wait before the first of the three may have ended before strace came.
    assert len(waits) >= 2
    assert all(re.search(r"tv_sec=(0, tv_nsec=\d+|1, tv_nsec=0)}, NULL", wait) for wait in waits)
    assert times[-1] - times[0] > 1
    if full:
        service.clients[0].close()


def test_stopped_master_sends_no_watchdog(start, manager):
    """The watchdog is the loop's: a master that hangs is noticed."""
    service = start(environment=environment(manager, WATCHDOG_USEC=200000))
    manager.wait_for("WATCHDOG", count=2)
    service.signal(signal.SIGSTOP)
    processes.wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")
    manager.sync()
    before = len(manager.messages("WATCHDOG"))
    time.sleep(0.5)
    manager.sync()
    assert len(manager.messages("WATCHDOG")) == before
    service.signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG", count=before + 2)


@pytest.mark.parametrize("asked", [{}, {"WATCHDOG_USEC": 200000, "WATCHDOG_PID": 1}])
def test_no_watchdog_unless_asked(start, manager, asked):
    """Without WATCHDOG_USEC, or with another process's WATCHDOG_PID, there is no watchdog."""
    service = start(environment=environment(manager, **asked))
    # That of the start, before there is something else to tell.
    manager.wait_for("STATUS")
    service.connect_served()
    manager.wait(lambda: len(manager.messages("STATUS")) >= 2, "two statuses")
    assert not manager.messages("WATCHDOG")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping(start, manager, number):
    """STOPPING comes when the stop begins, before the handlers are done."""
    service = start(environment=environment(manager))
    service.connect_served()
    handler, = service.handlers()
    os.kill(handler, signal.SIGSTOP)
    processes.wait_for(lambda: processes.state(handler) == "T", "the handler stopped")
    service.signal(number)
    (told, _), = manager.wait_for("STOPPING", "1")
    # Not long, and the master would kill it.
    with contextlib.suppress(ProcessLookupError):
        os.kill(handler, signal.SIGCONT)
    assert service.wait() == 0
    closed, = service.journal.records("closed")
    assert told < closed.when


def test_no_manager(start, tmp_path):
    """A NOTIFY_SOCKET that nobody reads does not disturb the service."""
    service = start(environment={"NOTIFY_SOCKET": tmp_path / "nobody", "WATCHDOG_USEC": 100000})
    service.connect_served()
