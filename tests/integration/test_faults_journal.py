# SPDX-License-Identifier: MIT
"""journald does not read, dies, comes back, or its socket is gone, under load: nothing waits, and
every connection is told, one by one, in a summary or as lost."""

import contextlib
import subprocess
from pathlib import Path

import processes
from chatter import chat  # noqa: F401
from journald import Journal
from service import MPECHO, accounted, variables, with_journal
from visitors import Footprint, visit  # noqa: F401

LIVE = 20
ROUNDS = 3
# So many that, with all live connections in each, neither socket nor queue holds them.
REPORTS = 400


def stop(journal):
    """Stopped, it does not read: its socket is there, and fills up."""
    journal.unbind()
    journal.bind(reading=False)
    return journal.read


def remove(journal):
    """Killed, and its socket removed."""
    journal.unbind()
    return journal.bind


def test_journal_comes_and_goes(start, visit, chat):
    """Records written and records lost are the events, whatever happens to journald."""
    service = start(expected=["lost"])
    visitors = visit(service.listeners()[0])
    chatter = chat([service.connect_served() for _ in range(LIVE)])
    footprint = None
    for _ in range(ROUNDS):
        for fault in stop, remove:
            mend = fault(service.journal)
            visitors.go_on()
            chatter.go_on()
            mend()
            visitors.go_on()
            service.totals()
            chatter.go_on()
        footprint = footprint or Footprint(service)
    visitors.stop()
    chatter.stop()
    footprint.check()
    for client in service.clients:
        client.close()
    service.wait_until_idle()
    count = visitors.served + LIVE
    expected = {"accepted": count, "closed": count, "crashed": 0, "refused": 0}
    processes.wait_for(lambda: accounted(service.journal) == expected, f"{expected}")
    assert bytes_told(service.journal) == visitors.echoed + LIVE * len(b"ping") + sum(
        chatter.bytes.values())


def bytes_told(journal):
    """The bytes of all connections that have ended."""
    return sum(record.number("MPECHO_BYTES") for kind in ("closed", "summary", "lost")
               for record in journal.records(kind))


def test_records_lost_under_load(start, visit):
    """With the queue full, while clients come and go: the number that is lost is exact."""
    service = start("--max-per-source=0", expected=["lost"])
    address = service.listeners()[0]
    connected = [service.connect_served() for _ in range(LIVE)]
    mend = stop(service.journal)
    service.report(REPORTS)
    visitors = visit(address)
    visitors.go_on(500)
    visitors.stop()
    mend()
    service.journal.wait_for("lost")
    for client in connected:
        client.close()
    service.wait_until_idle()
    count = visitors.served + LIVE
    expected = {"accepted": count, "closed": count, "crashed": 0, "refused": 0}
    # Before it stops, which waits for journald only half a second.
    processes.wait_for(lambda: accounted(service.journal) == expected, f"{expected}")
    assert service.stop() == 0
    records = service.journal.records()
    lost = [record for record in records if record.kind == "lost"]
    summed = sum(record.number(f"MPECHO_{kind}") for record in records if record.kind == "summary"
                 for kind in ("ACCEPTED", "CLOSED"))
    told = len(records) - len(lost) - sum(record.kind == "summary" for record in records)
    assert sum(record.number("MPECHO_LOST") for record in lost) > 0
    assert told + summed + sum(record.number("MPECHO_LOST") for record in lost) == (
        2 + 2 * count + REPORTS * (LIVE + 1))
    assert accounted(service.journal) == expected


def waits(process):
    """Whether mpecho sleeps, or has ended."""
    with contextlib.suppress(FileNotFoundError):
        return (Path(f"/proc/{process.pid}/comm").read_text() == "mpecho\n" and
                processes.state(process.pid) in ("S", "Z"))
    return True


def test_failed_start_while_journald_is_busy(clock, tmp_path):
    """The record of a start that fails has half a second to reach a journald with a full queue."""
    with contextlib.closing(Journal(tmp_path, reading=False)) as journal:
        filled = journal.fill()
        clock.stop()
        with subprocess.Popen(
                [*with_journal(journal), str(MPECHO), "--log=journal", "--max-connections=0"],
                env=variables(clock.environment)) as process:
            processes.wait_for(lambda: waits(process), "mpecho waits for journald")
            journal.read()
            journal.wait(lambda: len(journal.received) >= filled, "room in the queue")
            clock.run_out(process, 0.01)
    assert process.returncode == 2 and b"--max-connections" in journal.received[-1][1]
