# SPDX-License-Identifier: MIT
"""A handler is killed at each of its system calls: its own connection ends, and nothing else."""

import contextlib
import itertools
import os
import signal
import socket

import pytest

import clients
import processes
from manager import send, unit  # noqa: F401
from stepping import Stepped
from visitors import Footprint

HELLO = b"Hello, world."
# No handler does with fewer.
FEWEST_CALLS = 8


def take(client):
    """What comes back up to the end, however it ends."""
    received = b""
    try:
        while part := client.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return received


def kill_at(handler, count):
    """Kills a handler at the beginning of a system call, the first one being 1. Returns whether it
    was killed; it was not when it made fewer calls, and exited."""
    try:
        while count > 0 and handler.next_call() is not None:
            count -= 1
    finally:
        handler.end()
    return os.WIFSIGNALED(handler.status)


@pytest.mark.parametrize("told", [False, True])
def test_killed_from_fork_to_exit(start, told):
    """Killed at any system call, serving or told to stop, a handler leaves the record of a crash.

    It has the bytes that were echoed, the client gets no other ones, and others are served."""
    service = start(expected=["crashed"])
    other = service.connect_served()
    footprint = None
    ends = set()

    def come():
        client = service.connect()
        client.sendall(HELLO)
        client.shutdown(socket.SHUT_WR)

    for count in itertools.count(1):
        handler = Stepped.forked_by(service.pid, come)
        if told:
            os.kill(handler.pid, signal.SIGTERM)
        killed = kill_at(handler, count)
        record, = service.journal.wait_for("crashed" if killed else "closed",
                                           MPECHO_HANDLER_PID=handler.pid)
        echoed = record.number("MPECHO_BYTES")
        received = take(service.clients.pop())
        assert received == HELLO[:len(received)] and len(received) <= echoed
        ends.add((record.get("MPECHO_SIGNAL") or record["MPECHO_REASON"], echoed))
        clients.ping(other)
        service.wait_until_idle(1)
        footprint = footprint or Footprint(service)
        if not killed:
            break
    footprint.check()
    assert count > FEWEST_CALLS
    assert len(service.journal.records("crashed")) == count - 1
    assert ends == ({("9", 0), ("stopped", 0)} if told else
                    {("9", 0), ("9", len(HELLO)), ("closed by peer", len(HELLO))})


def stop_killing(service, stop, victim, count):
    """Stops the service, and kills the victim, a handler, at so many calls from there. Returns
    whether it was killed."""
    handler = Stepped.running(victim)
    if stop == "terminate":
        left = [pid for pid in service.handlers() if pid != victim]
        service.signal(signal.SIGTERM)
    else:
        left = [pid for pid in service.abandon_handlers() if pid != victim]
    send([*left, victim], signal.SIGTERM)
    killed = kill_at(handler, count)
    if stop == "terminate":
        assert service.process.wait(processes.DEADLINE) == 0
        service.manager.sync()
    else:
        service.reap(left)
    return killed


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("stop", ["terminate", "crash"])
def test_killed_while_it_hands_over(unit, stop, stuck, first):
    """Killed at any system call of a handover, to its master or to systemd, a handler loses at most
    its own connection, which has one record of its end; if systemd has it already it goes on, with
    what its peer had not read. Every second call, from the first or from the second one on."""
    service = unit(expected=["crashed"])
    other = service.connect_served()
    service.journal.wait_for("accepted")
    lost = kept = 0
    for count in itertools.count(first, 2):
        before = len(service.journal.records("accepted"))
        client = service.connect_served()
        name = clients.peer_text(client)
        # An earlier connection may have had the same port.
        accepted = service.journal.wait_for("accepted", before + 1)[-1]
        written = clients.fill(client, service.handlers()) if stuck else 0
        killed = stop_killing(service, stop, accepted.number("MPECHO_HANDLER_PID"), count)
        service.start()
        clients.ping(other)
        if len(service.handlers()) == 2:
            client.shutdown(socket.SHUT_WR)
            assert clients.drain(client) == written
            kept += 1
        else:
            with contextlib.suppress(ConnectionResetError):
                assert clients.drain(client) <= written
            lost += 1
        service.wait_until_idle(1)
        # The records before this one have come.
        service.totals()
        ends = [record for kind in ("crashed", "closed")
                for record in service.journal.records(kind, MPECHO_PEER=name)
                if record.when > accepted.when]
        assert len(ends) == 1, ends
        service.check_store()
        if not killed:
            break
    assert lost >= FEWEST_CALLS // 2 and kept > 0
