# SPDX-License-Identifier: MIT
"""Records: where they go, what they say, how many at once, and that they hold up nobody."""

import os
import pty
import re
import signal
import socket
import statistics
import time

import pytest

import clients
import processes
from processes import DEADLINE, wait_for
from service import accounted

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def stream_of(descriptor, device=0, inode=0):
    """The value of JOURNAL_STREAM for a stderr that is this descriptor, or that many beside it."""
    status = os.fstat(descriptor)
    return f"{status.st_dev + device}:{status.st_ino + inode}"


def lines_of(descriptor):
    """The lines that come in at a pipe or terminal, each in time."""
    rest = b""
    while True:
        assert clients.is_readable(descriptor, DEADLINE)
        *lines, rest = (rest + os.read(descriptor, 65536)).split(b"\n")
        for line in lines:
            yield line.decode().rstrip("\r")


def test_fields_of_a_connection(start):
    """The records of a connection have all that there is to know about it, and a sentence."""
    service = start("127.0.0.1:0", "--max-connections=77")
    began = time.monotonic()
    client = service.connect_served()
    peer, listener = clients.peer_text(client), service.listeners()[0]
    handler, = service.handlers()
    clients.ping(client, b"and more")
    client.close()
    closed, = service.journal.wait_for("closed")
    lasted = time.monotonic() - began
    accepted, = service.journal.records("accepted")
    started, = service.journal.records("started")
    assert started["MPECHO_MAX_CONNECTIONS"] == "77"
    common = {"SYSLOG_IDENTIFIER": "mpecho", "PRIORITY": "6", "MPECHO_PEER": peer,
              "MPECHO_LISTENER": listener, "MPECHO_HANDLER_PID": str(handler)}
    assert accepted.items() >= {**common, "MPECHO_LIVE": "1"}.items()
    assert closed.items() >= {**common, "MPECHO_LIVE": "0", "MPECHO_BYTES": "12",
                              "MPECHO_REASON": "closed by peer"}.items()
    duration = closed.number("MPECHO_DURATION_USEC") / 1e6
    assert 0 < duration < lasted
    for record in (accepted, closed):
        assert peer in record["MESSAGE"]
        assert "\n" not in record["MESSAGE"]


def test_live_counts(start):
    """The live count of each record counts the connections after what it tells."""
    service = start()
    connected = [service.connect_served() for _ in range(5)]
    for client in connected:
        client.close()
        service.journal.wait_for("closed", connected.index(client) + 1)
    for kind, counts in (("accepted", "12345"), ("closed", "43210")):
        assert "".join(record["MPECHO_LIVE"] for record in service.journal.records(kind)) == counts


def test_auto_when_stderr_is_the_journal(start, tmp_path):
    """--log=auto is the journal when JOURNAL_STREAM is what stderr is."""
    with open(tmp_path / "stderr", "w+") as stderr:
        service = start(stderr=stderr, log=None,
                        environment={"JOURNAL_STREAM": stream_of(stderr.fileno())})
        service.connect_served()
        service.journal.wait_for("accepted")
        assert (tmp_path / "stderr").read_text() == ""


@pytest.mark.parametrize("stream", [
    lambda stderr: {},
    lambda stderr: {"JOURNAL_STREAM": ""},
    lambda stderr: {"JOURNAL_STREAM": "x:y"},
    lambda stderr: {"JOURNAL_STREAM": stream_of(stderr, device=1)},
    lambda stderr: {"JOURNAL_STREAM": stream_of(stderr, inode=1)},
], ids=["unset", "empty", "malformed", "other device", "other inode"])
def test_auto_when_stderr_is_not_the_journal(start, stream):
    """--log=auto is lines with the time when JOURNAL_STREAM is not what stderr is."""
    reader, writer = os.pipe()
    with open(reader, "rb"), open(writer, "wb"):
        lines = lines_of(reader)
        service = start(stderr=writer, log=None, ready=False, environment=stream(writer))
        started = next(lines)
        address = re.fullmatch(rf"{TIME} mpecho: Echoing .* on (\S+), .*", started)[1]
        with clients.connect(address) as client:
            clients.ping(client)
            peer = clients.peer_text(client)
        accepted, closed = next(lines), next(lines)
        assert re.fullmatch(rf"{TIME} mpecho: {peer} connected to {address}.*", accepted)
        assert re.fullmatch(
            rf"{TIME} mpecho: {peer} disconnected from {address}, closed by peer.*", closed)
        service.wait_until_idle()
        assert service.stop() == 0
        assert re.match(rf"{TIME} mpecho: Stopped ", next(lines))
    assert not service.journal.records()


def test_lines_on_a_terminal(start):
    """On a terminal the lines begin with the time and the program's name."""
    terminal, slave = pty.openpty()
    with open(terminal, "rb", buffering=0), open(slave, "wb"):
        service = start(stderr=slave, log=None, ready=False)
        lines = lines_of(terminal)
        started = next(lines)
        assert re.match(rf"{TIME} mpecho: Echoing ", started)
        assert service.stop() == 0
        assert re.match(rf"{TIME} mpecho: Stopped ", next(lines))


def test_failure_on_stderr(start):
    """A failure is a line."""
    with clients.listen() as taken:
        service = start("127.0.0.1:%d" % taken.getsockname()[1], log="stderr", ready=False)
        assert service.wait() == 1
    assert re.match(rf"{TIME} mpecho: Cannot listen on '", service.take_stderr())


@pytest.mark.parametrize("level, kinds", [
    ("debug", {"started", "accepted", "closed", "refused", "crashed", "stopped"}),
    ("info", {"started", "accepted", "closed", "refused", "crashed", "stopped"}),
    ("notice", {"refused", "crashed"}),
    ("warning", {"crashed"}),
    ("err", set()),
])
def test_level(start, level, kinds):
    """--log-level keeps out what matters less."""
    with clients.listen() as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        service = start("--max-per-source=1", f"--log-level={level}", passed=[listener],
                        ready=False, expected=["crashed"], balanced=False)
    with clients.connect(address) as client:
        clients.ping(client)
        clients.connect_refused(address)
        handler, = service.handlers()
        os.kill(handler, signal.SIGKILL)
        assert clients.receive_all(client) == b""
    service.wait_until_idle()
    with clients.connect(address) as client:
        clients.ping(client)
    service.wait_until_idle()
    assert service.stop() == 0
    assert {record.kind for record in service.journal.records()} == kinds


def test_level_of_empty_connections(start):
    """--log-empty gives its priority to a connection that comes, and to one that echoed nothing."""
    service = start("--log-empty=debug", "--log-level=debug")
    service.connect().close()
    service.journal.wait_for("closed")
    service.connect_served().close()
    service.journal.wait_for("closed", 2)
    assert [(record.kind, record.priority) for record in service.journal.records()[1:]] == [
        ("accepted", 7), ("closed", 7), ("accepted", 7), ("closed", 6)]


def timed(service, address=None):
    begin = time.monotonic()
    with clients.connect(address or service.listeners()[0]) as client:
        clients.ping(client)
    return time.monotonic() - begin


def test_many_records_are_summed_up(start, clock):
    """Above a burst of 1,000 and 200 records a second, one summary a second; all counts add up."""
    served, crowd, moves = 50, 1500, []
    clock.stop()
    service = start("--max-per-source=100", environment=clock.environment)

    def has_counted(come):
        totals = service.totals()
        return totals.number("MPECHO_SERVED") + totals.number("MPECHO_REFUSED") == come

    def have(come):
        counts = accounted(service.journal)
        return counts["accepted"] + counts["refused"] == come and \
            counts["accepted"] == counts["closed"]

    for _ in range(served):
        timed(service)
    for come in (served + crowd, served + 2 * crowd):
        service.flood(crowd)
        wait_for(lambda: has_counted(come), "the master has seen all")
        for client in service.clients:
            client.close()
        service.wait_until_idle()
        wait_for(lambda: have(come) or moves.append(clock.advance(0.1)), f"{come} have come")
    summaries = service.journal.records("summary")
    single = [record for kind in ("accepted", "closed", "refused")
              for record in service.journal.records(kind)]
    passed = 0.1 * len(moves)
    assert 1000 <= len(single) <= 1000 + 200 * passed
    durations = [record.number("MPECHO_DURATION_USEC") for record in summaries]
    assert len(durations) >= 2 and min(durations) >= 1_000_000
    assert sum(durations) <= passed * 1_000_000
    assert sum(record.number("MPECHO_BYTES") for record in
               summaries + service.journal.records("closed")) == 4 * served


def test_slow_records_are_told_one_by_one(start):
    """Up to the burst nothing is summed up."""
    service = start()
    for _ in range(400):
        timed(service)
    service.journal.wait_for("closed", 400)
    assert len(service.journal.records("accepted")) == 400
    assert not service.journal.records("summary")


def test_journal_that_does_not_read(start):
    """Nobody waits for a journald that does not read, and what it did not get is counted exactly.

    Beside it runs a service whose journald reads: that tells how long this machine takes."""
    count, live, reports = 300, 100, 40
    usual = start()
    with clients.listen() as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        service = start(passed=[listener], reading=False, ready=False, expected=["lost"])
    timed(service, address)
    usual_times, times = [], []
    for _ in range(count):
        usual_times.append(timed(usual))
        times.append(timed(service, address))
    service.wait_until_idle()
    assert statistics.median(times) < 4 * statistics.median(usual_times)
    connected = [service.connect_served(address=address) for _ in range(live)]
    service.report(reports)
    timed(service, address)
    service.journal.read()
    service.journal.wait_for("lost")
    for client in connected:
        client.close()
    service.wait_until_idle()
    served = 1 + count + live + 1
    expected = {"accepted": served, "closed": served, "crashed": 0, "refused": 0}
    # Before it stops, which waits for journald only half a second.
    wait_for(lambda: accounted(service.journal) == expected, f"{expected}")
    assert service.stop() == 0
    lost = sum(record.number("MPECHO_LOST") for record in service.journal.records("lost"))
    told = [record for record in service.journal.records() if record.kind != "lost"]
    assert told[0].kind == "started" and told[-1].kind == "stopped"
    assert len(told) + lost == 2 + 2 * served + reports * (live + 1)
    assert accounted(service.journal) == expected


def test_stop_while_the_journal_does_not_read(start):
    """A journald that does not read does not keep the service from leaving."""
    with clients.listen() as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        service = start(passed=[listener], reading=False, ready=False)
    for _ in range(20):
        timed(service, address)
    service.signal(signal.SIGTERM)
    assert service.process.wait(DEADLINE) == 0
    service.balanced = False


def test_journal_that_is_started_anew(start):
    """Without a journald the service goes on; a new one gets what it has missed, in order."""
    service = start()
    address = service.listeners()[0]
    timed(service)
    service.journal.wait_for("closed")
    service.journal.unbind()
    for _ in range(10):
        timed(service, address)
        service.wait_until_idle()
    service.journal.bind()
    service.journal.wait_for("closed", 11)
    assert [record.kind for record in service.journal.records()] == [
        "started", *["accepted", "closed"] * 11]


def test_pipe_that_nobody_reads(start):
    """A full pipe as stderr holds up nobody, and what did not fit is counted exactly."""
    live, reports = 100, 150
    reader, writer = os.pipe()
    with clients.listen() as listener, open(reader, "rb"):
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        with open(writer, "wb"):
            service = start(passed=[listener], log="stderr", stderr=writer, ready=False)
        connected = [service.connect_served(address=address) for _ in range(live)]
        service.report(reports)
        timed(service, address)
        service.wait_until_idle(live)
        told, lost = 0, None
        for line in lines_of(reader):
            if lost := re.match(rf"{TIME} mpecho: Lost (\d+) records?,", line):
                break
            told += 1
        assert told + int(lost[1]) == 1 + live + reports * (live + 1) + 2
        for client in connected:
            client.close()
        service.wait_until_idle()
        assert service.stop() == 0


def test_pipe_whose_reader_is_gone(start):
    """A closed pipe as stderr ends neither the service nor a connection."""
    reader, writer = os.pipe()
    with clients.listen() as listener, open(writer, "wb"):
        os.close(reader)
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        service = start(passed=[listener], log="stderr", stderr=writer, ready=False)
    for _ in range(10):
        timed(service, address)
    service.wait_until_idle()
    assert service.stop() == 0


def test_peer_cannot_forge_fields(start, tmp_path):
    """Bytes of a socket's name that would begin another field, or colour a terminal, are shown."""
    path = f"{tmp_path}/a\nPRIORITY=0\x1b[31m"
    service = start(path)
    with clients.connect((socket.AF_UNIX, path)) as client:
        clients.ping(client)
    closed, = service.journal.wait_for("closed")
    assert closed["PRIORITY"] == "6"
    assert closed["MPECHO_LISTENER"].endswith("/a\\x0aPRIORITY=0\\x1b[31m")
