# SPDX-License-Identifier: MIT
"""The time of day set back and forth while the service runs: no timeout, no record notices.

A preloaded library tells the program under test another time than the machine's, which stays."""

import json
import os
import socket
import subprocess
import time

import pytest

import client as program
import clients
from chatter import chat  # noqa: F401
from journald import Notifications
from moved_clock import YEAR
from processes import wait_for
from service import accounted

def test_what_programs_see(clock):
    """The tests' own tool: what asks for the time of day is told the one that was set."""
    for offset in (0, -YEAR, 10 * YEAR):
        clock.set(offset)
        text = subprocess.run(["date", "+%s"], env=os.environ | clock.environment, check=True,
                              stdout=subprocess.PIPE).stdout
        assert int(text) - offset - time.time() == pytest.approx(0, abs=YEAR / 2)


def stall(service):
    """A client that reads nothing. It has sent more than fits by the time the service accepts it, so
    that the service waits for it and never the other way round."""
    with service.paused():
        client, address = clients.prepare(service.listeners()[0])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect(address)
        clients.fill(client, [])
    service.clients.append(client)
    return client


def test_timeouts_and_records(start, chat, clock):
    """Idle and stalled peers end not before the timeout, busy ones go on; durations are true.

    True is what another clock has measured around them: at least the timeout, at most all."""
    timeout = 2
    begin = time.monotonic()
    service = start(f"--idle-timeout={timeout}", environment=clock.environment)
    # A stall of the machine is shorter than this timeout, and jumps of the clock are longer.
    patient = start("--idle-timeout=600", environment=clock.environment)
    with clock.moving():
        busy = chat([patient.connect_served() for _ in range(3)])
        stalled, idle = stall(service), service.connect()
        records = [service.journal.wait_for("closed", MPECHO_REASON=reason)[0]
                   for reason in ("idle", "stalled")]
        busy.go_on()
        totals = patient.totals()
        busy.stop()
        patient.wait_until_counted()
    # A stalled peer is found to the tenth, in either direction.
    least = 0.9 * timeout
    for record in [*records, totals]:
        assert least < record.number("MPECHO_DURATION_USEC") / 1e6 < record.when - begin
    assert {record["MPECHO_PEER"] for record in records} == {
        clients.peer_text(idle), clients.peer_text(stalled)}
    assert totals.number("MPECHO_LIVE") == 3
    for client in busy.bytes:
        client.close()
    for record in patient.journal.wait_for("closed", 3):
        assert record["MPECHO_REASON"] == "closed by peer"
        assert least < record.number("MPECHO_DURATION_USEC") / 1e6 < record.when - begin


def test_many_connections(start, clock):
    """Above the rate of single records they are summed up, and no count is wrong."""
    count = 2000
    service = start("--max-per-source=0", environment=clock.environment)
    begin = time.monotonic()
    with clock.moving():
        for _ in range(count):
            service.connect_served().close()
        service.wait_until_idle()
        expected = {"accepted": count, "closed": count, "crashed": 0, "refused": 0}
        wait_for(lambda: accounted(service.journal) == expected, f"counts are {expected}")
    service.clients.clear()
    for record in service.journal.records("summary"):
        assert record.number("MPECHO_DURATION_USEC") / 1e6 < record.when - begin
    for record in service.journal.records("closed"):
        assert record.number("MPECHO_DURATION_USEC") / 1e6 < record.when - begin
        assert record.number("MPECHO_BYTES") == len(b"ping")


def test_watchdog_and_idle_exit(start, tmp_path, clock):
    """systemd's watchdog is told that all is well, and an idle service leaves, not too early."""
    manager = Notifications(tmp_path)
    try:
        with clients.listen() as listener, clock.moving():
            begin = time.monotonic()
            # It is not idle before this one has gone.
            client = clients.connect((socket.AF_INET, listener.getsockname()))
            service = start("--exit-idle=3", passed=[listener],
                            environment={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": 1_000_000,
                                         **clock.environment})
            manager.wait_for("WATCHDOG", "1", count=2)
            left = time.monotonic()
            client.close()
            assert service.wait() == 0
            assert time.monotonic() - left >= 3
    finally:
        manager.close()
    stopped, = service.journal.records("stopped")
    assert 3 <= stopped.number("MPECHO_DURATION_USEC") / 1e6 < stopped.when - begin


def test_client(start, clock):
    """Round trips take what they take; the client is not early, late or at a loss."""
    service = start()
    host, port = service.listeners()[0].split(":")
    count, interval = 50, 0.02
    with clock.moving():
        begin = time.monotonic()
        status, output, errors = program.run(
            "--ping", f"--count={count}", f"--interval={interval}", "--json", host, port, data=b"",
            env=os.environ | clock.environment)
        elapsed = time.monotonic() - begin
    assert (status, errors) == (0, [])
    result = json.loads(output)
    assert result["ping"]["answered"] == count
    assert (count - 1) * interval <= result["seconds"] < elapsed
    assert 0 < result["latency"]["min"] <= result["latency"]["max"] < 1e6 * elapsed
