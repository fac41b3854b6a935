# SPDX-License-Identifier: MIT
"""More connections than there may be, as fast as they can come: the limits hold, others notice not.

Bounds are ratios of medians of interleaved measurements, and wide: what they have to tell is
whether clients wait for the flood, which is a matter of orders of magnitude."""

import contextlib
import json
import signal
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import client as program
import clients
from processes import DEADLINE, wait_for
from service import SANITIZED, accounted

LIMIT = 20
FLOOD = 1_000 if SANITIZED else 10_000
ROUNDS, PINGS = 15, 150


class Crowd:
    """Clients of 127.0.0.1, ten times as many as are let in; they rest until told to press."""

    def __init__(self, service):
        command = [sys.executable, "-IS", str(Path(__file__).with_name("crowd.py"))]
        self._process = subprocess.Popen(
            [*command, *address(service), str(10 * LIMIT), "0.1"], stdout=subprocess.PIPE)
        self._process.stdout.readline()
        self._process.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def pressing(self):
        self._process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate(timeout=DEADLINE)


def address(service):
    return service.listeners()[0].split(":")


def round_trips(service, *options):
    """The latencies of another source's round trips, none of which may fail."""
    status, output, errors = program.run(
        "--ping", f"--count={PINGS}", "--interval=0.001", "--json", "--source=127.0.0.2", *options,
        *address(service), data=b"")
    assert (status, errors) == (0, []), output
    return json.loads(output)["latency"]


@pytest.mark.parametrize("options", [[], ["--connect"]], ids=["open", "new"])
def test_another_source_does_not_wait(start, options):
    """A source at ten times its limit delays no other one: not its round trips, nor its connects.

    The crowd at another service's door takes as much processor time, so round trips are held against
    those beside it, and against those without a crowd: the medians of the rounds that other programs
    of the machine disturbed least, and of all rounds the slowest in a hundred."""
    service, elsewhere = (start(f"--max-per-source={LIMIT}") for _ in range(2))
    found = {"calm": [], "pressed": [], "elsewhere": []}
    with Crowd(service) as crowd, Crowd(elsewhere) as other:
        for _ in range(ROUNDS):
            found["calm"].append(round_trips(service, *options))
            with crowd.pressing():
                found["pressed"].append(round_trips(service, *options))
            with other.pressing():
                found["elsewhere"].append(round_trips(service, *options))
        with crowd.pressing():
            refused = service.totals().number("MPECHO_REFUSED")
            wait_for(lambda: service.totals().number("MPECHO_REFUSED") > refused + 10 * LIMIT,
                     "the crowd turned away")
        totals = service.totals()
    p50, p99 = ({name: typical(latency[which] for latency in latencies)
                 for name, latencies in found.items()}
                for which, typical in (("p50", min), ("p99", statistics.median)))
    print(f"p50 {p50}, p99 {p99}, in microseconds")
    assert p50["pressed"] < 5 * max(p50["calm"], p50["elsewhere"])
    assert p99["pressed"] < 10 * max(p99["calm"], p99["elsewhere"])
    # The crowd's connections that were let in, and ours: nobody else had a handler.
    expected = LIMIT + 3 * ROUNDS * (PINGS if options else 1)
    assert totals.number("MPECHO_SERVED") == expected


def connect_and_close(listener, count):
    """Connects and closes as fast as that goes, every other time with a reset."""
    for index in range(count):
        client, name = clients.prepare((listener.family, listener.getsockname()))
        # It may have been refused already.
        with client, contextlib.suppress(ConnectionResetError):
            client.connect(name)
            if index % 2:
                clients.reset(client)


@pytest.mark.parametrize("options, refusing", [
    ([f"--max-connections={LIMIT}", "--max-per-source=0"], False),
    ([f"--max-per-source={LIMIT}"], True)], ids=["total", "source"])
def test_ten_thousand_connect_and_close(start, network, options, refusing):
    """10,000 connections that close at once: never more handlers than allowed, and none is left.

    Each is served, or refused where that is the limit's way, and counted once."""
    inside = network()
    inside.execute("sysctl", "-q", f"net.core.somaxconn={2 * FLOOD}")
    # All of them have room in the backlog, or else the kernel would drop some unseen.
    listener = inside.run(clients.listen, backlog=2 * FLOOD)
    service = start(*options, passed=[listener], network=inside)
    handlers = Path(f"/proc/{service.pid}/task/{service.pid}/children")
    flood = threading.Thread(target=inside.run, args=(connect_and_close, listener, FLOOD))
    flood.start()
    most = 0

    def counted():
        """The counts in the records, once they are complete; and how many handlers there are."""
        nonlocal most
        most = max(most, len(handlers.read_text().split()))
        counts = accounted(service.journal)
        return counts if counts["closed"] + counts["refused"] == FLOOD else None

    try:
        while flood.is_alive():
            counted()
    finally:
        flood.join()
    listener.close()
    counts = wait_for(counted, f"{FLOOD} connections in the records", 3 * DEADLINE)
    service.wait_until_idle()
    totals = service.totals()
    assert most <= LIMIT and totals.number("MPECHO_PEAK") <= LIMIT
    assert counts["crashed"] == 0 and bool(counts["refused"]) <= refusing
    assert totals.number("MPECHO_SERVED") == counts["accepted"] == counts["closed"]
    assert totals.number("MPECHO_REFUSED") == counts["refused"]
    assert totals.number("MPECHO_LIVE") == totals.number("MPECHO_BYTES") == 0
    assert {record["MPECHO_REASON"] for record in service.journal.records("closed")} == {
        "closed by peer", "reset by peer"}
