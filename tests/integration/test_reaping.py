# SPDX-License-Identifier: MIT
"""Reaping: every handler's end is noticed and recorded once, whole, however many come at once."""

import os
import signal

import clients
import processes
from processes import wait_for
from service import accounted


def test_five_hundred_exits_while_the_master_is_stopped(start):
    """SIGCHLDs that coalesce lose nothing: all are reaped, counts exact, no zombie."""
    count = 500
    service = start("--max-per-source=0", expected=["lost"])
    connected = [service.connect_served() for _ in range(count)]
    handlers = service.handlers()
    assert len(handlers) == count
    service.signal(signal.SIGSTOP)
    wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")
    for client in connected:
        client.close()
    processes.wait_until_dead(handlers)
    assert {processes.state(pid) for pid in handlers} == {"Z"}
    service.signal(signal.SIGCONT)
    service.wait_until_idle()
    totals = service.totals()
    expected = {"accepted": count, "closed": count, "crashed": 0, "refused": 0}
    wait_for(lambda: accounted(service.journal) == expected, f"counts are {expected}")
    assert totals.number("MPECHO_SERVED") == count
    assert totals.number("MPECHO_LIVE") == 0
    assert totals.number("MPECHO_PEAK") == count
    assert totals.number("MPECHO_BYTES") == count * len(b"ping")
    for record in service.journal.records("closed"):
        assert record.number("MPECHO_BYTES") == len(b"ping")


def test_two_hundred_killed_handlers(start):
    """A handler killed with -9 gives one crash record, with its signal and its bytes."""
    count = 200
    service = start(expected=["crashed"])
    connected = {}
    for index in range(count):
        client = service.connect()
        clients.ping(client, b"x" * (index + 1))
        connected[clients.peer_text(client)] = index + 1
    service.wait_until_counted()
    for record in service.journal.wait_for("accepted", count):
        os.kill(record.number("MPECHO_HANDLER_PID"), signal.SIGKILL)
    service.wait_until_idle()
    crashed = service.journal.wait_for("crashed", count)
    assert {record["MPECHO_PEER"]: record.number("MPECHO_BYTES") for record in crashed} == connected
    assert {record["MPECHO_SIGNAL"] for record in crashed} == {str(int(signal.SIGKILL))}
    assert not service.journal.records("closed")
    survivor = service.connect_served()
    survivor.close()
    service.journal.wait_for("closed")


def test_a_crash_ends_one_connection(start):
    """A handler that is killed takes its own connection with it and nobody else's."""
    service = start(expected=["crashed"])
    other, victim = service.connect_served(), service.connect_served()
    record = service.journal.wait_for("accepted", MPECHO_PEER=clients.peer_text(victim))[0]
    os.kill(record.number("MPECHO_HANDLER_PID"), signal.SIGKILL)
    assert victim.recv(1) == b""
    clients.ping(other)
    crashed, = service.journal.wait_for("crashed")
    assert crashed["MPECHO_HANDLER_PID"] == record["MPECHO_HANDLER_PID"]
    assert crashed.number("MPECHO_LIVE") == 1


def test_stopped_and_continued_handler_goes_on(start):
    """SIGSTOP and SIGCONT, which interrupt reads with a timeout, do not end a handler."""
    service = start("--idle-timeout=60")
    client = service.connect_served()
    handler, = service.handlers()
    for _ in range(20):
        os.kill(handler, signal.SIGSTOP)
        wait_for(lambda: processes.state(handler) == "T", "the handler stopped")
        client.sendall(b"while stopped")
        os.kill(handler, signal.SIGCONT)
        assert clients.receive(client, 13) == b"while stopped"
        wait_for(lambda: processes.state(handler) == "S", "the handler waits again")
