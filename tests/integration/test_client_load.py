# SPDX-License-Identifier: MIT
"""mpecho-client --load: its numbers are the service's own."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import processes
import servers
from client import DEADLINE, Client, command, descendants, gone, run, until
from network import Network
from test_client_datagrams import Peer, echo
from test_client_interrupt import children, waits
from test_client_json import parse

MPECHO = str(pathlib.Path(os.environ["MPECHO_BUILD"]) / "mpecho")
PERIOD = 32749  # bytes of a turn of a stream
SHIFT = 13933  # bytes from the beginning of a turn to that of the next one
TOTALS = re.compile(r"(\d+) live \(peak \d+\), (\d+) served, \d+ refused, (\d+) bytes? echoed")


def load(kind, *arguments, status=0, **options):
    """The object that a load of that kind prints."""
    found, output, errors = run("--json", *command(kind, *arguments), data=b"", **options)
    assert errors == [] and found == status, (found, output, errors)
    return parse(output.decode())


def turn(first, number):
    """The bytes of a turn of a stream, from those of its first one."""
    start = number * SHIFT % PERIOD
    return first[start:] + first[:start]


class Service:
    """mpecho on an abstract Unix socket or a TCP port, whose totals can be asked for."""

    def __init__(self, network):
        self.process = subprocess.Popen(
            [MPECHO, "--log=stderr", "--max-connections=4096", "--max-per-source=0",
             f"@mpecho-load-{os.getpid()}" if network == "unix" else "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )

    def __enter__(self):
        first = next(line for line in self.process.stderr if " on " in line)
        where = re.search(r" on (\S+?),", first)[1]
        self.address = [where] if where.startswith("@") else where.rsplit(":", 1)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))
        self.reader.start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)

    def totals(self):
        """Connections served and bytes echoed, once no connection is live."""

        def idle():
            seen = len(self.lines)
            self.process.send_signal(signal.SIGUSR1)
            until(lambda: any(TOTALS.search(line) for line in self.lines[seen:]))
            self.found = [m for line in self.lines[seen:] if (m := TOTALS.search(line))][-1]
            return self.found[1] == "0"

        until(idle)
        return int(self.found[2]), int(self.found[3])


@pytest.mark.parametrize("network", ["tcp", "unix"])
@pytest.mark.parametrize("rate", [[], ["--rate=300"]])
def test_the_numbers_are_the_services_own(network, rate):
    """Connections and bytes are as many as the service counts, of every kind of load."""
    with Service(network) as service:
        result = load("connections", "--duration=1", *rate, *service.address)
        served, echoed = service.totals()
        assert result["load"]["answered"] == served > 0
        assert result["bytes_sent"] == result["bytes_received"] == echoed == 64 * served

        result = load(
            "requests", "--duration=1", "--connections=7", "--size=1000", *rate, *service.address
        )
        before, (served, echoed) = (served, echoed), service.totals()
        assert served - before[0] == 7
        assert result["bytes_received"] == echoed - before[1]
        assert result["load"]["answered"] * 1000 == result["bytes_received"]
        assert result["latency"]["count"] == result["load"]["answered"]
        if rate:
            return
        result = load("streams", "--duration=1", "--connections=5", *service.address)
        before, (served, echoed) = (served, echoed), service.totals()
        assert served - before[0] == 5
        assert result["bytes_sent"] == result["bytes_received"] == echoed - before[1] > 0


def wait_for_start(client):
    """Waits until all workers wait for the start of a load, which the clock has still to reach."""
    def waiting():
        found = descendants(client.process.pid)
        return found and all("nanosleep" in pathlib.Path(f"/proc/{pid}/wchan").read_text()
                             for pid in found)
    until(waiting)


@contextlib.contextmanager
def stepped(clock, behaviour, *words, form="--json"):
    """The server and the client of a load whose clock stands, half a millisecond after its start."""
    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            form, *words, *server.address, env=os.environ | clock.environment) as client:
        wait_for_start(client)
        # It is a millisecond ahead.
        clock.advance(0.0015)
        yield server, client


def end_of(client, status=0):
    """The object of a load that has ended."""
    found, output, errors = client.end()
    assert (found, errors) == (status, []), output
    return parse(output.decode())


def counting(answered, carried, special=None):
    """An echo that notes in lists the requests of 64 bytes that it has answered and what each
    connection has carried; the first connection may be special."""
    first = threading.Lock()

    def behaviour(connection):
        if special and first.acquire(blocking=False):
            special(connection)
            return
        count = 0
        while data := servers.receive(connection, 64):
            connection.sendall(data)
            answered.append(connection)
            count += len(data)
        carried.append(count)

    return behaviour


def test_a_fixed_rate_is_kept(clock):
    """As many requests as were asked for, spread over the connections."""
    answered = []
    with stepped(clock, counting(answered, []), *command(
            "requests", "--rate=200", "--duration=2", "--connections=4")) as (_, client):
        clock.advance(1.998)
        until(lambda: len(answered) == 400)
        clock.advance(0.01)
        result = end_of(client)
    assert (result["load"]["answered"], result["load"]["overdue"]) == (400, 0)
    assert result["seconds"] >= 399 / 200


def test_a_rate_is_spread_over_all_connections(clock):
    """Each connection carries its part, and a silent one among them is reported."""
    answered, carried = [], []
    with stepped(clock, counting(answered, carried), *command(
            "requests", "--rate=640", "--duration=1", "--connections=16")) as (_, client):
        for step in range(1, 41):
            clock.advance(1 / 40)
            until(lambda step=step: len(answered) == min(640, 16 * step + 1))
        end_of(client)
    assert len(carried) == 16 and sum(carried) == 640 * 64
    assert max(carried) <= 2 * min(carried), carried

    answered, carried = [], []
    with stepped(clock, counting(answered, carried, servers.silent), *command(
            "requests", "--rate=640", "--duration=0.5", "--timeout=60", "--connections=16")) as (
                _, client):
        clock.advance(0.499)
        until(lambda: len(answered) == 319)
        clock.advance(0.01)
        until(lambda: len(carried) == 15)
        clock.run_out(client.process, 60)
        result = end_of(client, 1)
    assert result["load"]["errors"] == {"timeout": 1}


def test_answers_ahead_of_a_stream():
    """A server that repeats the pattern of a stream before it comes is no echo."""
    def behaviour(connection):
        first = servers.receive(connection, PERIOD)
        # More than all buffers on the way hold.
        ahead = 512
        for number in range(1 + ahead):
            connection.sendall(turn(first, number))
        servers.receive(connection, ahead * PERIOD)
        servers.echo(connection)

    with servers.tcp(behaviour) as server:
        result = load("streams", "--duration=1", "--connections=1", *server.address, status=1)
    assert result["load"]["errors"] == {"differs": 1}


def test_answers_a_little_ahead_of_a_slow_stream(clock):
    """Less than one write, and the right bytes: they came before they were sent."""
    judged = []

    def behaviour(connection):
        first = servers.receive(connection, PERIOD)
        # The client ends what it has judged, maybe by a reset.
        with contextlib.suppress(OSError):
            # While the clock stands, the second turn is not sent, however late the receiver is.
            connection.sendall(first + turn(first, 1)[:30000])
            servers.receive(connection, 30000)
        judged.append(connection)

    with stepped(clock, behaviour, *command(
            "streams", "--bandwidth=100K", "--duration=1", "--connections=1")) as (_, client):
        clock.advance(0.33)
        until(lambda: judged)
        clock.run_out(client.process, 1)
        result = end_of(client, 1)
    assert result["load"]["errors"] == {"differs": 1}


@pytest.mark.parametrize("words, least", [
    (command("requests"), 4), (command("connections"), 4), (command("requests", "-R100"), 100),
    (command("streams"), 0), (command("streams", "-b1M"), 0),
    (["--load", "--udp"], 4), (["--load", "--udp", "-R100"], 100)])
def test_a_late_start(clock, words, least):
    """Processes that get no processor until the end send on each connection, and all that was due."""
    clock.stop()
    udp = "--udp" in words
    with (Peer(echo) if udp else servers.tcp(servers.echo)) as server, Client(
            "--json", *words, "-P4", "-w1", *["-W0"] * udp, *server.address,
            env=os.environ | clock.environment) as client:
        wait_for_start(client)
        clock.advance(3600)
        result = end_of(client)
    assert (result["load"]["answered"], result["load"]["overdue"] or 0) == (least, 0)
    assert result["bytes_received"] == result["bytes_sent"] >= 4 * 64


def test_the_lag_of_the_client_is_not_the_services(clock):
    """Datagrams that go out late are answered in time, and their times count from when they were due."""
    answered = []

    def behave(peer):
        for came in peer:
            peer.answer(*came)
            answered.append(came)

    clock.stop()
    with Peer(behave) as peer, Client(
            "--json", "--load", "--udp", "-P2", "-R1", "-w200", "-W60", *peer.address,
            env=os.environ | clock.environment) as client:
        wait_for_start(client)
        clock.advance(150)
        until(lambda: len(answered) >= 149)
        clock.advance(51)
        result = end_of(client)
    assert (result["load"]["answered"], result["load"]["overdue"]) == (200, 0)
    assert result["latency"]["max"] > 100e6


@pytest.mark.parametrize("late, timeout", [(False, 7200), (True, 7200), (False, 1800), (True, 1800)])
@pytest.mark.parametrize("kind", ["requests", "connections"])
def test_the_wait_of_the_client_is_not_the_services(kind, late, timeout, clock):
    """What came while the client got no processor has the time of its arrival, and is
    in time if that is."""
    begun = []
    clock.stop()
    with servers.tcp(servers.hold(begun)) as server, Client(
            *command(kind, "-P1", "-w0.01", f"-W{timeout}"), "--json", *server.address,
            env=os.environ | clock.environment) as client:
        until(lambda: begun or clock.advance(0.001))
        client.freeze()
        if late:
            clock.advance(3600)
        (connection, data), = begun
        connection.sendall(data)
        until(lambda: servers.queues(connection)[1][1] == len(data))
        connection.shutdown(socket.SHUT_WR)
        if not late:
            clock.stall(3600)
        client.thaw()
        status, output, _ = client.end(b"")
    result = parse(output.decode())
    in_time = not late or timeout > 3600
    assert (status, result["load"]["answered"]) == (int(not in_time), int(in_time))
    assert result["load"]["errors"] == ({} if in_time else {"timeout": 1})
    # The time of the machine goes on meanwhile.
    assert result["latency"]["min"] > 1800e6 if late else result["latency"]["max"] < 1800e6


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_rate_beyond_all_measure_ends(clock, interrupted):
    """Billions of datagrams that are due hold up neither the end of a load nor its interrupt."""
    begun = threading.Event()

    def behave(peer):
        for _ in peer:
            begun.set()

    clock.stop()
    with Peer(behave) as peer, Client(
            "--json", "--load", "--udp", "-P2", "-R1M", "-w86400", "-W1", *peer.address,
            env=os.environ | clock.environment) as client:
        wait_for_start(client)
        clock.advance(3599)
        assert begun.wait(DEADLINE)
        if interrupted:
            client.process.send_signal(signal.SIGINT)
            # As long as they send, they do not sleep.
            processes.wait_until_noticed(descendants(client.process.pid))
        clock.run_out(client.process, 0.1 if interrupted else 86400)
        result = end_of(client, 1)
    assert (result["failure"]["kind"] == "interrupted") == interrupted
    assert result["load"]["overdue"] > 0


@pytest.mark.parametrize("kind", ["requests", "connections", "streams"])
def test_answers_of_another_connection_differ(kind):
    """Two connections of one process whose answers change places have nothing in order."""
    with servers.tcp(servers.cross_wired()) as server:
        # Only one process, since another one's pattern is another one.
        result = load(kind, "--duration=0.3", "--connections=2", *server.address, status=1,
                      preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    assert result["load"]["processes"] == (2 if kind == "streams" else 1)
    # A stream is found out by the first bytes that are received.
    assert result["bytes_received"] <= 2 << 18 or kind != "streams"
    assert result["load"]["answered"] == 0 and result["load"]["errors"]["differs"] >= 1
    assert result["failure"]["kind"] == "differs"


@pytest.mark.parametrize("rate", [[], ["--rate=50"]])
@pytest.mark.parametrize("kind", ["requests", "connections"])
def test_late_duplicates_differ(kind, rate):
    """Bytes that come while nothing is owed, or before the end, are an error."""
    with servers.tcp(servers.repeat_later()) as server:
        result = load(kind, "--duration=0.3", "--connections=2", *rate, *server.address, status=1)
    assert result["load"]["errors"]["differs"] >= 1
    assert result["failure"]["kind"] == "differs"


def test_a_duplicate_behind_the_last_answer_differs():
    """A connection is half-closed and read to its end: what comes then is surplus."""
    with servers.tcp(servers.repeat_last(64)) as server:
        for kind in ("requests", "connections"):
            result = load(kind, "--rate=50", "--duration=0.1", "--connections=2",
                          *server.address, status=1)
            assert result["load"]["errors"].keys() == {"differs"}


@pytest.mark.parametrize("behaviour", [servers.repeat_last(128 << 10), servers.endless])
def test_a_surplus_of_streams_differs(behaviour):
    """More than was sent is an error, and does not go on for ever."""
    with servers.tcp(behaviour) as server:
        result = load("streams", "--duration=0.3", "--connections=2", *server.address, status=1)
    assert result["load"]["errors"] == {"differs": 2}
    assert result["bytes_received"] > result["bytes_sent"]


def test_a_surplus_that_fits_differs():
    """It goes on as the stream would; nothing but its number shows that nobody sent it."""
    def behaviour(connection):
        begin, count = bytearray(), 0
        while data := connection.recv(1 << 18):
            connection.sendall(data)
            begin += data[: PERIOD - len(begin)]
            count += len(data)
        connection.sendall(turn(begin, count // PERIOD)[count % PERIOD:] +
                           turn(begin, count // PERIOD + 1))

    with servers.tcp(behaviour) as server:
        result = load("streams", "--duration=0.3", "--connections=1", *server.address, status=1)
    assert result["load"]["errors"] == {"differs": 1}


@pytest.mark.parametrize("edit", [
    lambda data: data[:10_000] + data[10_000 + PERIOD : 400_000] + data[400_000 - PERIOD :],
    lambda data: data[:PERIOD] + data[2 * PERIOD : 3 * PERIOD] + data[PERIOD : 2 * PERIOD] +
                 data[3 * PERIOD :],
    lambda data: data[:1000] + data[1000 + 5 * PERIOD : 1000 + 9 * PERIOD] +
                 data[1000 : 1000 + 5 * PERIOD] + data[1000 + 9 * PERIOD :],
])
def test_turns_of_a_stream_in_another_order_differ(clock, edit):
    """As many bytes as were sent, moved by the sizes of turns, are no echo."""
    # They are found before the end of the duration.
    with stepped(clock, servers.beginning(edit, 1 << 20), *command(
            "streams", "--duration=1", "--connections=1")) as (_, client):
        result = end_of(client, 1)
    assert result["load"]["errors"] == {"differs": 1}


def test_a_lost_block_of_streams_differs(clock):
    """A gap of exactly what the client writes at once is no end of a period."""
    block = 256 << 10

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 3 * block))
        servers.receive(connection, block)
        servers.echo(connection)

    with stepped(clock, behaviour, *command(
            "streams", "--duration=1", "--connections=2")) as (_, client):
        result = end_of(client, 1)
    assert result["load"]["errors"] == {"differs": 2}


@pytest.mark.parametrize("kind", ["requests", "streams"])
def test_a_straggler_does_not_change_the_rates(clock, kind):
    """Rates are those of the duration; the time after it is reported on its own."""
    echoed, ended = [], []

    def behaviour(connection):
        while data := connection.recv(1 << 18):
            connection.sendall(data)
            echoed.append(len(data))
        ended.append(connection)

    straggler = servers.one_of(1000, servers.silent, behaviour)
    words = command(kind, "--duration=1", "--timeout=60", "--connections=4")
    with stepped(clock, straggler, *words) as (_, client):
        # More than fits into what is on the way.
        until(lambda: sum(echoed) > (32 << 20 if kind == "streams" else 4 * 64))
        clock.advance(1)
        until(lambda: len(ended) == 3)
        processes.wait_until_noticed(descendants(client.process.pid))
        clock.run_out(client.process, 60)
        result = end_of(client, 1)
    found = result["load"]
    assert 1 <= found["duration"] < result["seconds"]
    assert found["drain"] == pytest.approx(result["seconds"] - found["duration"], abs=0.01)
    assert found["drain"] > 0 and set(found["errors"]) == {"timeout"}
    received = found["receive_rate"] * found["duration"]
    assert 0 < received <= result["bytes_received"] * 1.002
    if kind == "requests":
        # At most one request of each connection was under way at the end; three digits are known.
        within = found["rate"] * found["duration"]
        assert within == pytest.approx(found["answered"], rel=0.01, abs=4)


def test_answers_after_the_duration_are_not_in_the_rate(clock):
    """They are answers all the same, and in the total."""
    come, answered, ended, over = itertools.count(1), [], [], threading.Event()

    def behaviour(connection):
        while data := connection.recv(64):
            if next(come) > 4:
                over.wait(DEADLINE)
            connection.sendall(data)
            answered.append(connection)
        ended.append(connection)

    with stepped(clock, behaviour, *command(
            "requests", "--rate=8", "--duration=1", "--connections=10")) as (_, client):
        clock.advance(0.998)
        until(lambda: len(answered) == 4 and all(map(servers.is_read, answered)))
        clock.advance(0.01)
        # The connections without a request end with the duration.
        until(lambda: len(ended) == 6)
        over.set()
        found = end_of(client)["load"]
    assert found["answered"] == 8
    assert found["rate"] * found["duration"] == pytest.approx(4, rel=0.01)


def test_time_outs_are_in_the_distribution():
    """What was never answered has waited as long as the timeout, and the percentiles say so."""
    with servers.tcp(servers.one_of(2, servers.silent)) as server:
        result = load("connections", "--rate=100", "--duration=0.5", "--timeout=0.5",
                      "--connections=60", *server.address, status=1)
    lost = result["load"]["errors"]["timeout"]
    assert result["latency"]["count"] == result["load"]["answered"] + lost
    assert lost > 10 and result["latency"]["p90"] >= 500_000


@pytest.mark.parametrize("form", ["--json", "--quiet"])
def test_reconnects_are_counted(clock, form):
    """A connection that its peer ends while it is idle is replaced; that is no error, but told."""
    ended = []

    def behaviour(connection):
        servers.leave_when_idle(64)(connection)
        # The client has seen the end.
        ended.append(connection)

    words = command("requests", "--rate=10", "--duration=2", "--connections=10")
    with stepped(clock, behaviour, *words, form=form) as (server, client):
        for count in range(1, 21):
            until(lambda count=count: len(ended) == count)
            clock.advance(0.1)
        status, output, errors = client.end()
        replaced = server.accepted - 10
    assert (status, errors) == (0, []) and replaced > 0, output
    if form == "--json":
        load = parse(output.decode())["load"]
        assert (load["answered"], load["overdue"], load["errors"]) == (20, 0, {})
        assert load["reconnects"] == replaced
    else:
        assert b"\n0 errors, %d reconnects" % replaced in output


def test_each_process_has_the_rate_of_its_connections(clock):
    """Three connections on two processes: the one that has a process of its own carries a third."""
    answered, carried = [], []
    with stepped(clock, counting(answered, carried), *command(
            "requests", "--rate=90", "--duration=1", "--connections=3")) as (_, client):
        clock.advance(0.998)
        until(lambda: len(answered) == 90)
        clock.advance(0.01)
        end_of(client)
    assert sum(carried) == 90 * 64 and 30 * 64 in carried


def test_a_process_for_each_processor():
    """A load uses all processors that it may, but has no process without a connection."""
    processors = len(os.sched_getaffinity(0))
    with servers.tcp(servers.echo) as server:
        for connections in 1, 2 * processors + 1:
            # On a busy machine, none may have an answer in time.
            _, output, _ = run("--json", *command("requests", f"-P{connections}", "-w0.05"),
                               *server.address)
            assert json.loads(output)["load"]["processes"] == min(connections, processors)


def test_all_processes_begin_together(tmp_path):
    """None sends before the connections of all are open, nor does the time count."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)
        with Client("--json", *command("requests", "-P2", "-w0.2"), f"{tmp_path}/s") as client:
            until(lambda: len(children(client).split()) == 2)
            workers = [int(worker) for worker in children(client).split()]
            for worker in workers:
                until(lambda worker=worker: "poll" in
                      pathlib.Path(f"/proc/{worker}/wchan").read_text())
            # The second one waits for the place of the first, which is connected.
            os.kill(workers[1], signal.SIGSTOP)
            first, _ = listener.accept()
            first.setblocking(False)
            with pytest.raises(BlockingIOError):
                first.recv(1)
            client.process.send_signal(signal.SIGUSR1)
            assert client.process.stderr.readline().startswith(b"0.0-0.0 s: 0 answered, ")
            first.setblocking(True)
            os.kill(workers[1], signal.SIGCONT)
            second, _ = listener.accept()
            with ThreadPoolExecutor(2) as pool, first, second:
                ends = pool.map(lambda one: (servers.echo(one), one.shutdown(socket.SHUT_WR)),
                                (first, second))
                status, output, _ = client.end()
                list(ends)
    assert status == 0 and parse(output.decode())["load"]["answered"] > 0


@pytest.mark.parametrize("kind", ["requests", "streams"])
def test_connections_that_are_not_closed_are_named(clock, kind):
    """All came back, but not the end of the connection: the sentence says so."""
    echoed = []

    def behaviour(connection):
        servers.echo(connection)
        echoed.append(connection)
        servers.wait_for_end(connection)

    words = command(kind, "--duration=1", "--timeout=60", "--connections=3")
    with stepped(clock, behaviour, *words, form="--no-progress") as (_, client):
        clock.advance(1)
        until(lambda: len(echoed) == 3 and all(map(servers.is_read, echoed)))
        clock.run_out(client.process, 60)
        status, output, _ = client.end()
    assert status == 1
    assert b"\n3 errors (3 timeout)\ntimeout: all came back intact, but the service did " \
        b"not close 3 connections within 60 s\n" in output


def test_timers_are_exact():
    """Workers have the least timer slack, which would be half of a latency at a low rate."""
    with servers.tcp(servers.echo) as server:
        arguments = command("requests", "--duration=600", "--connections=2")
        with Client(*arguments, *server.address) as client:
            until(lambda: server.accepted == 2)
            for pid in descendants(client.process.pid):
                assert pathlib.Path(f"/proc/{pid}/timerslack_ns").read_text() == "1\n"
            client.process.send_signal(signal.SIGINT)
            client.end()


def test_no_coordinated_omission():
    """When the service stalls, everything that became due meanwhile has waited."""
    begin = threading.Event()

    def behaviour(connection):
        while data := connection.recv(1000):
            if not begin.is_set():
                begin.set()
                # The stall is what is measured.
                time.sleep(1)
            connection.sendall(data)

    with servers.tcp(behaviour) as server:
        result = load("requests", "--rate=100", "--duration=2", "--connections=1", *server.address)
    # One request in two hundred was under way in the stall, but half of them were due.
    assert result["latency"]["mean"] > 200_000
    assert 400_000 < result["latency"]["p90"] <= result["latency"]["max"] >= 1_000_000
    assert result["load"]["answered"] + result["load"]["overdue"] == 200


def test_a_rate_that_is_too_high_is_said_to_be():
    """What was due but never begun is counted, and in the text."""

    def slow(connection):
        while data := connection.recv(1000):
            time.sleep(0.05)
            connection.sendall(data)

    with servers.tcp(slow) as server:
        status, output, _ = run(
            "--load", "--rate=1000", "--duration=0.5", "--connections=2", *server.address
        )
    answered = int(re.search(r"^(\d+) answered", output.decode(), re.MULTILINE)[1])
    overdue = int(re.search(r"0 errors, (\d+) overdue", output.decode())[1])
    assert status == 0 and answered + overdue == 500 and answered < 100


@pytest.mark.parametrize("kind", ["requests", "connections"])
@pytest.mark.parametrize(
    "behaviour, error",
    [
        (servers.reset_after(0), "reset"),
        (servers.close_after(0), None),
        (servers.flip(3), "differs"),
        (servers.silent, "timeout"),
    ],
)
def test_errors_are_counted_by_kind(kind, behaviour, error):
    """What goes wrong is named; nothing is answered, and the errors do not become a storm."""
    timeout = ["--timeout=0.2"] if error == "timeout" else []
    with servers.tcp(behaviour) as server:
        result = load(
            kind, "--duration=0.5", *timeout, "--connections=4", *server.address, status=1
        )
    errors = result["load"]["errors"]
    assert set(errors) == {error} if error else set(errors) <= {"closed", "reset"}
    assert result["failure"]["kind"] in errors
    assert 4 <= sum(errors.values()) <= 80


@pytest.mark.parametrize(
    "behaviour, error",
    [
        (servers.flip(1000), "differs"),
        (servers.close_after(1000), ("closed", "reset")),
        (servers.silent, "timeout"),
        (servers.stay, "timeout"),
    ],
)
def test_errors_of_streams(behaviour, error):
    """Each broken stream is one error of its kind, and the load ends."""
    timeout = ["--timeout=0.5"] if error == "timeout" else []
    with servers.tcp(behaviour) as server:
        result = load(
            "streams", "--duration=2", *timeout, "--connections=3", *server.address, status=1
        )
    errors = result["load"]["errors"]
    assert set(errors) <= ({error} if isinstance(error, str) else set(error))
    assert sum(errors.values()) == 3


def test_missing_bytes_of_streams():
    """A stream that ends in order but with less than was sent misses something."""

    def eat(connection):
        connection.sendall(servers.receive(connection, 1000))
        while connection.recv(1 << 18):
            pass

    with servers.tcp(eat) as server:
        result = load(
            "streams", "--duration=2", "--connections=2", *server.address, status=1
        )
    assert result["load"]["errors"] == {"missing": 2}
    assert result["bytes_received"] == 2 * 1000 < result["bytes_sent"]


def test_text():
    """Rate, errors, percentiles and histogram for people."""
    with servers.tcp(servers.echo) as server:
        status, output, errors = run("--load", "--duration=0.3", "--connections=2", *server.address)
    assert (status, errors) == (0, [])
    lines = output.decode().splitlines()
    assert re.fullmatch(
        r".*: load of requests, 2 at once, from (1 process|2 processes), for \d+\.\d+ s, "
        r"drained in \d+\.\d+ s", lines[0]
    )
    assert re.fullmatch(r"\d+ answered, \d+\.\d/s, 64 bytes each", lines[1])
    assert lines[3] == "0 errors" and lines[4].startswith("connect/first byte/last byte = ")
    assert lines[5].startswith("min/avg/max/stddev = ") and len(lines) > 7


# The bytes of the first of 32 requests or connections, or of what is on the way in streams.
@pytest.mark.parametrize("kind, first", [
    ("requests", 32 * 64), ("connections", 32 * 64), ("streams", 32 << 20)])
def test_an_interrupt_gives_what_was_measured(kind, first):
    """^C ends a load soon, with its results; no process is left."""
    echoed = []

    def behaviour(connection):
        while data := connection.recv(1 << 18):
            echoed.append(len(data))
            connection.sendall(data)

    with servers.tcp(behaviour) as server:
        with Client("--json", "--load", f"-k{kind}", "--duration=600", *server.address) as client:
            # An answer has come back by then.
            until(lambda: sum(echoed) > first)
            client.process.send_signal(signal.SIGINT)
            status, output, errors = client.end()
    result = parse(output.decode())
    assert errors == [] and result["seconds"] < 600
    # What was under way is no error.
    assert status == result["status"] == 0, result


def test_a_killed_worker_is_named():
    """The other's results are printed, and that a part is missing."""
    with servers.tcp(servers.echo) as server:
        arguments = ["--json", "--load", "--duration=600", "--connections=2"]
        with Client(*arguments, *server.address) as client:
            pid = client.process.pid
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
            until(lambda: children.read_text().split())
            os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert status == 1
    assert "Signal 9 (Killed) ended a worker" in json.loads(output)["failure"]["message"]


def test_a_killed_sender_is_named():
    """A stream whose sending process was killed ends at once, and says so."""
    with servers.tcp(servers.echo) as server:
        arguments = command("streams", "--duration=600", "--connections=1")
        with Client(*arguments, *server.address) as client:
            until(lambda: len(descendants(client.process.pid)) == 2)
            os.kill(descendants(client.process.pid)[1], signal.SIGKILL)
            status, output, _ = client.end()
    assert status == 1
    assert (b"\nlocal: Signal 9 (Killed) ended the sending process of a worker; "
            b"its figures are incomplete" in output)


def test_a_worker_that_is_missing_is_a_sentence():
    """In the text, too: one that was killed, and one that the machine could not start."""
    with servers.tcp(servers.echo) as server:
        arguments = command("requests", "--duration=600", "--connections=2")
        with Client(*arguments, *server.address) as client:
            until(lambda: server.accepted == 2)
            os.kill(descendants(client.process.pid)[0], signal.SIGKILL)
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
        assert status == 1
        assert b"\nlocal: Signal 9 (Killed) ended a worker; its figures are incomplete" in output
        status, output, _ = run(*arguments, *server.address, preexec_fn=without_processes)
    assert status == 1
    assert b"\nlocal: Cannot start a worker: Resource temporarily unavailable\n" in output


def without_processes():
    """Becomes a user that nobody else is, with as many processes as it has."""
    os.setgid(58620)
    os.setuid(58620)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def test_the_path_of_a_unix_socket_is_the_clients(tmp_path):
    """All connections go where the command line says, whatever name the server bound."""
    with servers.local(servers.echo, f"{tmp_path}/other") as server:
        os.rename(f"{tmp_path}/other", f"{tmp_path}/socket")
        result = load("connections", "--duration=0.2", "--connections=4", f"{tmp_path}/socket")
    # The first connection is made before the load.
    assert server.accepted == result["load"]["answered"] >= 4


@pytest.mark.parametrize("kind", ["requests", "streams"])
def test_no_process_outlives_the_first(kind):
    """All workers, and the senders of streams, go when the process that started them is killed."""
    with servers.tcp(servers.echo) as server:
        with Client("--load", f"-k{kind}", "--duration=600", *server.address) as client:
            until(lambda: server.accepted == 32)
            found = descendants(client.process.pid)
            assert len(found) >= 1
            client.process.kill()
            client.process.wait(DEADLINE)
            until(lambda: all(gone(pid) for pid in found))


def test_more_connections_than_descriptors():
    """A limit of the machine's is said with both numbers."""
    with servers.tcp(servers.echo) as server:
        status, _, errors = run(
            "--load", "--connections=1000", *server.address,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
        )
    assert status == 1 and len(errors) == 1
    assert re.search(r"Cannot open 1000 connections: each process needs \d+ descriptors, .* allows 100$", errors[0])


def test_a_rate_with_a_fraction():
    """Half a request a second: one in the first two seconds, and each other one later."""
    with servers.tcp(servers.echo) as server:
        result = load("requests", "-R0.5", "-w1", "-P2", *server.address)
    assert result["load"]["answered"] == 1 and result["load"]["wanted_rate"] == 0.5


def test_singular(tmp_path):
    """One of a thing has no plural; streams have a process for sending, too."""
    with servers.tcp(servers.reset_after(0)) as server:
        _, output, _ = run(*command("requests", "-P1", "-s1", "-w0.04"), *server.address)
    assert re.search(r"from 1 process, ", output.decode()) and ", 1 byte each" in output.decode()
    assert re.search(r"^1 error |^(?!1 )\d+ errors ", output.decode(), re.M)
    with servers.tcp(servers.echo) as server:
        assert load("streams", "-P1", "-w0.1", *server.address)["load"]["processes"] == 2
        _, output, _ = run(*command("streams", "-P1", "-w0.1"), *server.address)
        assert b"\nconnect = " in output
        _, output, _ = run("--ping", "-c1", "--connect", *server.address)
        assert b"\nconnect/first byte/last byte = " in output


def test_a_pause_of_a_stream_is_not_timed(clock):
    """While all that was sent has come back, the timeout does not run; 0 is none."""
    echoed = []

    def behaviour(connection):
        while data := connection.recv(1 << 18):
            connection.sendall(data)
            echoed.append(len(data))

    for limit in "--timeout=60", "--timeout=0":
        clock.stop()
        words = ["--json", *command("streams", "-P1", "-b1", "-w150", limit)]
        with servers.tcp(behaviour) as server, Client(
                *words, *server.address, env=os.environ | clock.environment) as client:
            wait_for_start(client)
            for seconds, count in (1.1, 1), (100, 101):
                clock.advance(seconds)
                until(lambda count=count: sum(echoed) == count)
                until(lambda: servers.is_read(server.connections[-1]))
            clock.advance(50)
            status, output, _ = client.end()
        result = parse(output.decode())
        assert (status, result["load"]["errors"]) == (0, {})
        assert result["bytes_received"] == sum(echoed) >= 101
        echoed.clear()


def test_a_failed_connection_is_replaced_again_and_again(clock):
    """It rests for a moment each time, a twentieth of a second, and not for long."""
    ended = []

    def behaviour(connection):
        servers.reset_after(0)(connection)
        ended.append(connection)

    def noticed(count):
        until(lambda: len(ended) == count)
        processes.wait_until_noticed(descendants(client.process.pid))
        return server.accepted == count

    with stepped(clock, behaviour, *command("requests", "-P1", "-w1")) as (server, client):
        for count in range(1, 11):
            assert noticed(count)
            clock.advance(0.04)
            assert noticed(count), "it did not rest"
            clock.advance(0.01)
        assert noticed(11)
        clock.advance(1)
        result = end_of(client, 1)
    assert result["load"]["errors"] == {"reset": 11}


def test_the_time_of_the_first_connection_counts(tmp_path):
    """The connection that finds the address is made before the load; what it took is in its time."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/s")
    listener.listen(0)
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(f"{tmp_path}/s")
        with Client("--json", *command("connections", "-P1", "-w0.1"), f"{tmp_path}/s") as client:
            waits(client, "poll")
            begin = time.monotonic()
            time.sleep(0.3)
            took = time.monotonic() - begin
            with servers.Server(servers.echo, listener):
                waiting.close()
                status, output, _ = client.end()
    assert status == 0 and parse(output.decode())["latency"]["max"] / 1e6 >= took


def test_an_interrupt_while_workers_connect():
    """^C ends a load whose connections never come about."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        host, port = listener.getsockname()
        with Client("--json", "--load", "-P16", "--connect-timeout=0", host, port) as client:
            until(lambda: len(children(client).split()) > 0)
            for worker in children(client).split():
                until(lambda worker=worker: "poll" in
                      pathlib.Path(f"/proc/{worker}/wchan").read_text())
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert status == 1 and parse(output.decode())["failure"]["kind"] == "interrupted"


def test_phases():
    """A late connection, a late first byte and a late last byte are told apart."""

    def behaviour(connection):
        data = servers.receive(connection, 64)
        time.sleep(0.02)
        connection.sendall(data[:1])
        # A client that comes late to the first byte would wait so much less for the last one.
        until(lambda: servers.is_read(connection))
        time.sleep(0.05)
        connection.sendall(data[1:])
        servers.echo(connection)

    with servers.tcp(behaviour) as server:
        result = load("connections", "-P2", "-w0.3", *server.address)
        phases = result["phases"]
        assert phases["first_byte"] >= 20000 and phases["last_byte"] >= 10000
        assert phases["first_byte"] + phases["last_byte"] >= 69000
        assert 0 < phases["connect"] and 0 < phases["resolve"]
        # The phases are the whole, but for the time between connecting and sending.
        whole = phases["connect"] + phases["first_byte"] + phases["last_byte"]
        assert whole <= result["latency"]["mean"] * 1.2
        assert load("streams", "-P2", "-w0.1", *server.address)["phases"]["first_byte"] is None


@pytest.mark.parametrize("kind", ["requests", "connections", "streams"])
def test_the_kernels_view(kind):
    """TCP_INFO of the last connection; a Unix socket has none."""
    with servers.tcp(servers.echo) as server:
        kernel = load(kind, "-P2", "-w0.1", *server.address)["kernel"]
    assert kernel["rtt"] > 0 and kernel["mss"] > 500 and kernel["congestion_window"] > 0
    with servers.local(servers.echo, f"@mpecho-kernel-{os.getpid()}") as server:
        assert load(kind, "-P2", "-w0.1", *server.address)["kernel"] is None


@pytest.mark.parametrize("rate", [[], ["-R100"]])
@pytest.mark.parametrize("kind", ["requests", "connections", "streams"])
def test_a_service_of_another_kind(kind, rate):
    """It is named by its greeting, which comes before the first request or instead of the answer."""
    if kind == "streams" and rate:
        return

    def ssh(connection):
        connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
        servers.silent(connection)

    sentence = "not an echo service: it answered «SSH-2.0-OpenSSH_9.2p1 Debian-2»"
    with servers.tcp(ssh) as server:
        result = load(kind, "-P4", "-w0.2", *rate, *server.address, status=1)
        _, output, _ = run(*command(kind, "-P4", "-w0.2", *rate), *server.address)
    assert result["failure"] == {"kind": "differs", "message": sentence}
    assert f"differs: {sentence}\n" in output.decode()


def test_damage_is_no_other_service():
    """A service that has answered right is one of echo, whatever comes later."""
    def behaviour(connection):
        connection.sendall(servers.receive(connection, 64))
        connection.sendall(b"SSH-2.0-OpenSSH" * 10)
        servers.silent(connection)

    with servers.tcp(behaviour) as server:
        result = load("requests", "-P2", "-w0.2", *server.address, status=1)
    assert "not an echo" not in result["failure"]["message"]


@pytest.mark.parametrize("option, status", [("--reset", 0), ("--json", 1)])
def test_ports_in_time_wait(clock, option, status):
    """Each connection takes a port for a minute; with --reset none does. The sentence says so."""
    ended = []

    def behaviour(connection):
        # A reset ends it, too.
        with contextlib.suppress(OSError):
            servers.echo(connection)
        connection.close()
        ended.append(connection)

    network = Network("192.0.2.1/32")
    network.run(pathlib.Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text, "0")
    network.run(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text, "40001 40100")
    clock.stop()
    with network.run(servers.tcp, behaviour, "192.0.2.1", 7) as server, network.run(
            Client, "--json", option, *command("connections", "-P4", "-w4"), *server.address,
            env=os.environ | clock.environment) as client:
        wait_for_start(client)
        clock.advance(0.0015)
        until(lambda: len(ended) >= (100 if status else 200))
        # Where no port is free, they have looked for one.
        processes.wait_until_noticed(descendants(client.process.pid))
        clock.advance(4)
        result = end_of(client, status)
    network.close()
    if status:
        assert result["load"]["answered"] == 100
        assert "no local port is free" in result["failure"]["message"]
        assert "--reset" in result["failure"]["message"]
    else:
        assert result["load"]["answered"] >= 200 and result["load"]["errors"] == {}


@pytest.mark.parametrize("kind", ["requests", "connections", "streams"])
def test_a_full_queue_does_not_block(kind, tmp_path):
    """A Unix socket with room for one connection at a time gets all of them, and a load that waits
    for it still ends when it should."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/s")
    listener.listen(0)
    with servers.Server(servers.echo, listener, delay=0.005) as server:
        result = load(kind, "-P6", "-w0.5", *server.address)
    assert result["load"]["errors"] == {} and result["bytes_received"] > 0
    assert server.accepted >= 6


def test_a_full_queue_and_the_timeout(tmp_path, clock):
    """Who never gets a place is an error after --connect-timeout; the others go on."""
    echoed = threading.Event()
    clock.stop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)

        def answer():
            with listener.accept()[0] as connection:
                connection.sendall(connection.recv(64))
                echoed.set()
                servers.echo(connection)

        thread = threading.Thread(target=answer)
        thread.start()
        with Client("--json", *command("requests", "-P3", "-w1", "-W2", "--connect-timeout=0.1"),
                    f"{tmp_path}/s", env=os.environ | clock.environment) as client:
            until(lambda: echoed.is_set() or clock.advance(0.001))
            processes.wait_until_noticed(descendants(client.process.pid))
            clock.run_out(client.process, 0.1)
            result = end_of(client, 1)
        thread.join(DEADLINE)
    # The queue has one place, whose connection nobody accepts.
    assert result["load"]["answered"] > 0 and result["load"]["errors"]["timeout"] >= 1
