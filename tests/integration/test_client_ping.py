# SPDX-License-Identifier: MIT
"""mpecho-client --ping: every round trip is counted once, and as what it was."""

import contextlib
import fcntl
import itertools
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

import servers
from client import Client, run, until
from processes import wait_until_noticed
from test_client_interrupt import waits
from test_client_json import parse

LINE = re.compile(r"(\d+) bytes from (\S+): seq=(\d+) time=(\S+ \w+)")
UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}
SUMMARY = re.compile(r".*: (\d+) sent, (\d+) answered, (\d+) lost( \(.*\))? in (\d+\.\d{3}) s")


def milliseconds(text):
    """A time as the client writes it, with three digits and a unit; None for none."""
    if text == "-":
        return None
    number, unit = text.split()
    assert 1 <= len(number.replace(".", "")) <= 4
    return float(number) * UNITS[unit]


class Result:
    """What a run has printed, taken apart."""

    def __init__(self, status, output, errors):
        self.status, self.errors = status, errors
        self.text = output.decode()
        self.trips = [m for line in self.text.splitlines() if (m := LINE.fullmatch(line))]
        self.times = [milliseconds(trip[4]) for trip in self.trips]
        (summary,) = [m for line in self.text.splitlines() if (m := SUMMARY.fullmatch(line))]
        self.sent, self.answered, self.lost = (int(summary[i]) for i in (1, 2, 3))
        self.reasons, self.seconds = summary[4], float(summary[5])

    def values(self, names):
        """The numbers of the line that begins with `names`."""
        (found,) = re.findall(rf"^{re.escape(names)} = (.+)$", self.text, re.MULTILINE)
        return [milliseconds(text) for text in found.split("/")]

    def rows(self):
        """Label and count of each row of the histogram."""
        rows = re.findall(r"^ *([\d.]+ \w+) \|#* *(\d+)$", self.text, re.MULTILINE)
        return [(milliseconds(label), int(count)) for label, count in rows]


def ping(*arguments, **options):
    return Result(*run(*arguments, data=b"", **options))


@pytest.mark.parametrize("options", [[], ["--connect"]])
def test_lines_and_summary_agree(options):
    """A line for each round trip, and the summary is that of the lines."""
    with servers.tcp(servers.echo) as server:
        result = ping("--ping", "-c20", "--interval=0.01", *options, *server.address)
        assert server.accepted == (20 if options else 1)
    assert (result.status, result.errors) == (0, [])
    assert (result.sent, result.answered, result.lost) == (20, 20, 0)
    assert [int(trip[3]) for trip in result.trips] == list(range(1, 21))
    assert {trip[1] for trip in result.trips} == {"64"}
    assert {trip[2] for trip in result.trips} == {":".join(server.address)}
    least, mean, most, deviation = result.values("min/avg/max/stddev")
    assert (least, most) == (min(result.times), max(result.times))
    # Each has three digits.
    assert mean == pytest.approx(sum(result.times) / 20, rel=0.011)
    squares = sum((value - mean) ** 2 for value in result.times)
    assert deviation == pytest.approx((squares / 20) ** 0.5, rel=0.05, abs=0.01 * mean)
    ordered = sorted(result.times)
    *few, lots, most_of_all = result.values("p50/p90/p99/p99.9")
    for value, rank in zip(few, (10, 18)):
        assert value == pytest.approx(ordered[rank - 1], rel=0.011)
    # For these there would have to be a hundred and a thousand.
    assert lots is most_of_all is None
    assert sum(count for _, count in result.rows()) == 20
    assert result.rows()[-1][0] == most


def test_the_interval_is_kept(clock):
    """Round trips begin an interval apart, also when answers take most of it."""

    def behaviour(connection):
        while data := connection.recv(1000):
            clock.advance(0.25)
            connection.sendall(data)
            until(lambda: servers.is_read(connection))
            clock.advance(0.05)

    clock.stop()
    with servers.tcp(behaviour) as server:
        result = ping("--ping", "-c11", "--interval=0.3", *server.address,
                      env=os.environ | clock.environment)
    assert result.status == 0 and min(result.times) >= 250
    assert 10 * 0.3 + 0.25 <= result.seconds <= 11 * 0.3


def test_flood_and_deadline(clock):
    """Without pause until the deadline: many round trips, no lines, all of them counted."""

    def behaviour(connection):
        for count in itertools.count(1):
            connection.sendall(connection.recv(1000))
            if count == 20:
                clock.advance(1)

    clock.stop()
    with servers.tcp(behaviour) as server:
        result = ping("--ping", "--flood", "-w1", *server.address,
                      env=os.environ | clock.environment)
    assert result.status == 0 and result.trips == []
    assert result.answered >= 19 and result.lost <= 1
    assert result.seconds >= 1
    assert sum(count for _, count in result.rows()) == result.answered


def test_large_messages():
    """A message larger than all buffers on the way is sent and received at the same time."""
    with servers.tcp(servers.echo) as server:
        result = ping("--ping", "-c3", "--size=16M", "--interval=0.001", *server.address)
    assert (result.status, result.answered) == (0, 3)


def test_the_header_costs_no_time():
    """It is printed before the client connects: a slow terminal does not lengthen a round trip."""
    reader, writer = os.pipe()
    with servers.tcp(servers.echo) as server, open(reader, "rb") as output:
        os.write(writer, bytes(fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)))
        with Client("--ping", "-c1", "--connect", *server.address, stdout=writer) as client:
            os.close(writer)
            waits(client, "pipe_write")
            assert server.accepted == 0
            assert b"1 answered" in output.read()
            assert client.end()[0] == 0


def test_quiet():
    """Results only."""
    with servers.tcp(servers.echo) as server:
        result = ping("--ping", "-c5", "--interval=0.01", "--quiet", *server.address)
    assert result.trips == [] and result.rows() == [] and len(result.text.splitlines()) == 3


@pytest.mark.parametrize("mode, sentence", [
    ([], b"1 byte to "), (["--flows=2", "-i0.001"], b"1 byte to "), (["--udp"], b"1 byte to "),
    (["--udp", "--json"], b'"lost 1 of 1 datagram"'), (["-w0.001", "--json"], b" of 1 round trip ")])
def test_nouns_follow_their_numbers(mode, sentence):
    """One byte is no bytes, and one round trip or datagram that nobody answers none of several."""
    with servers.tcp(servers.silent) as server, socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", int(server.address[1])))
        _, output, _ = run("--ping", "-c1", "-s1", "-W0.002", *mode, *server.address)
    assert sentence in output and not re.search(rb"\b1 (\w+ )?\w+s\b", output)


def fail_second(behaviour):
    """Serves the second connection by echo, and the first as `behaviour` does."""
    count = itertools.count()

    def serve(connection):
        (behaviour if next(count) == 0 else servers.echo)(connection)

    return serve


FAILURES = [
    (servers.reset_after(64), "Connection reset by peer", "reset"),
    (servers.end_after(64), "the connection was closed", "closed"),
    (servers.flip(64), "the answer differs from what was sent", "differs"),
]


@pytest.mark.parametrize("behaviour, sentence, reason", FAILURES)
def test_a_failure_costs_one_round_trip(behaviour, sentence, reason):
    """The failed one is named and counted, the next goes over a new connection. The summary has one
    sentence about it."""
    with servers.tcp(fail_second(behaviour)) as server:
        result = ping("--ping", "-c4", "--interval=0.05", *server.address)
        assert server.accepted == 2
    assert result.status == 1
    assert (result.sent, result.answered, result.lost) == (4, 3, 1)
    assert result.reasons == f" (1 {reason})"
    assert f"from {':'.join(server.address)}: seq=2 error: {sentence}\n" in result.text
    assert re.findall(r"^\w+: .*", result.text, re.M) == [f"{reason}: 1 of 4 round trips failed"]


@pytest.mark.parametrize("mode", [[], ["--flows=2", "-i0.002"]], ids=" ".join)
def test_the_bytes_of_wrong_answers(mode):
    """What was sent and what came back counts as that, right or wrong."""
    with servers.tcp(servers.flip(63)) as server:
        status, output, _ = run("--ping", "--json", "-c2", "-i0.002", *mode, *server.address)
    result = json.loads(output)
    assert (status, result["ping"]["answered"]) == (1, 0)
    assert result["bytes_sent"] == result["bytes_received"] == 64 * result["ping"]["sent"] > 0


@pytest.mark.parametrize("options, line", [
    (["-c2"], "seq=2 error: bytes came before the message was sent"),
    (["-c2", "--connect"], "seq=2 error: bytes came behind the answer")])
def test_surplus_is_no_other_answer(options, line):
    """Bytes behind an answer do not make another one differ: the line says where they came."""
    with servers.tcp(servers.beginning(lambda data: data + bytes(8))) as server:
        status, output, _ = run("--ping", "-i0.01", *options, *server.address)
    assert status == 1 and line in output.decode()


def banner(connection):
    connection.sendall(servers.receive(connection, 64) + b"SSH-2.0-OpenSSH" * 10)
    servers.wait_for_end(connection)


def banner_later(connection):
    connection.sendall(servers.receive(connection, 64))
    if servers.receive(connection, 64):
        connection.sendall(b"SSH-2.0-OpenSSH" * 10)
        servers.wait_for_end(connection)


@pytest.mark.parametrize("behaviour", [banner, banner_later])
@pytest.mark.parametrize("mode", [[], ["--flows=2"]], ids=" ".join)
def test_damage_is_no_other_service(mode, behaviour):
    """A service that has answered right is one of echo, whatever comes behind that."""
    with servers.tcp(behaviour) as server:
        status, output, _ = run("--ping", "--json", "-c2", "-i0.01", *mode, *server.address)
    result = json.loads(output)
    assert status == 1 and result["ping"]["errors"]["differs"] > 0
    assert re.fullmatch(r"\d of \d round trips failed", result["failure"]["message"])


def test_a_server_that_does_not_answer(clock):
    """The timeout costs one round trip and is named."""

    def behaviour(connection):
        connection.recv(1)
        clock.advance(60)
        servers.silent(connection)

    clock.stop()
    with servers.tcp(fail_second(behaviour)) as server:
        result = ping("--ping", "-c2", "--interval=0.01", "--timeout=60", *server.address,
                      env=os.environ | clock.environment)
    assert (result.status, result.sent, result.answered) == (1, 2, 1)
    assert "seq=1 error: no answer within 60 s\n" in result.text
    assert result.reasons == " (1 timeout)"


def test_each_timeout_has_its_sentence(tmp_path):
    """A connection that does not come about is no answer that does not come."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        # The queue has room for one, and nobody takes it out.
        listener.listen(0)
        status, output, _ = run("--ping", "-c2", "-i0.01", "--connect", "-W0.1",
                                "--connect-timeout=0.1", f"{tmp_path}/s")
    assert status == 1
    assert b"seq=1 error: no answer within 0.1 s\n" in output
    assert b"seq=2 error: no connection in time\n" in output


def test_an_unknown_name_ends_it():
    """No later round trip would find an address."""
    status, output, errors = run("--ping", "-i0.01", "no-such-host.invalid")
    assert status == 1 and b"seq=1" not in output
    assert errors[0].startswith("mpecho-client: Cannot connect to no-such-host.invalid port 7: ")


def test_timestamps():
    """-D begins each line with the time of day, in the form of ping(8)."""
    begin = time.time()
    with servers.tcp(servers.reset_after(64)) as server:
        _, output, _ = run("--ping", "-D", "-c2", "-i0.01", *server.address)
    lines = output.decode().splitlines()[1:3]
    found = [re.match(r"\[(\d+\.\d{6})\] (64 bytes )?from ", line) for line in lines]
    assert begin - 0.001 <= float(found[0][1]) <= float(found[1][1]) <= time.time()
    assert found[0][2] and not found[1][2]


def test_a_server_that_goes_away_and_comes_back():
    """Refused connections are lost round trips; when the server is back, so are the answers."""
    # An address that nobody else takes ports of.
    host = "127.86.2.1"
    with servers.tcp(servers.close_after(64), host) as server:
        port = server.address[1]
        with Client("--ping", "--interval=0.2", *server.address) as client:
            lines = iter(client.process.stdout.readline, b"")
            until_line(lines, b"seq=1 time=")
            server.__exit__()
            until_line(lines, b"Connection refused")
            with servers.tcp(servers.echo, host, port=int(port)):
                until_line(lines, b" time=")
                client.process.send_signal(signal.SIGINT)
                status, output, _ = client.end()
    assert status == 1
    assert re.search(rb"\d+ sent, (?:[2-9]|\d\d+) answered, \d+ lost \(.*\d+ refused", output)


def counts(client):
    """How many round trips were answered and how many were not, so far."""
    client.process.send_signal(signal.SIGUSR1)
    line = client.process.stderr.readline().decode()
    if line.startswith("0.0-"):
        return re.search(r"(\d+) answered, .* (\d+) errors?$", line).groups()
    return counts(client)


@pytest.mark.parametrize("comes", [True, False])
def test_a_server_that_comes_late(comes, tmp_path):
    """The verdict of a run that an interrupt ends counts its round trips, although the first one
    found no service, and whether or not one came later."""
    with Client("--ping", "--json", "--interval=0.01", f"{tmp_path}/s") as client:
        waits(client, "poll")
        until(lambda: counts(client)[1] != "0")
        with servers.local(servers.echo, f"{tmp_path}/s") if comes else contextlib.nullcontext():
            until(lambda: not comes or counts(client)[0] != "0")
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert status == 1
    assert re.fullmatch(r"\d+ of \d+ round trips? failed",
                        parse(output.decode())["failure"]["message"])


def until_line(lines, part):
    for line in lines:
        if part in line:
            return
    raise AssertionError(f"no line with {part}")


@pytest.mark.parametrize("options, answers, kind, sentence", [
    (["-c3"], 1, "interrupted", "1 of 3 round trips"), ([], 0, "interrupted", "0 of 1 round trip"),
    (["-c2", "-w0.1"], 0, "timeout", "0 of 2 round trips")])
def test_what_an_early_end_has_missed(options, answers, kind, sentence):
    """A ping that ends before its count, or before any answer, fails with the numbers of both."""
    asked = threading.Event()

    def behaviour(connection):
        for _ in range(answers):
            connection.sendall(servers.receive(connection, 64))
        servers.receive(connection, 64)
        asked.set()
        servers.silent(connection)

    with servers.tcp(behaviour) as server:
        with Client("--ping", "--json", "-i0.01", "-W0", *options, *server.address) as client:
            if kind == "interrupted":
                assert asked.wait(servers.DEADLINE)
                client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert status == 1 and json.loads(output)["failure"] == {
        "kind": kind, "message": f"the run ended with {sentence} answered"}


def test_an_interrupt_gives_the_summary():
    """^C ends a ping with its summary; all answered is status 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with servers.tcp(servers.echo) as server:
            with Client("--ping", "--interval=0.01", *server.address) as client:
                lines = [client.process.stdout.readline() for _ in range(5)]
                client.process.send_signal(number)
                status, output, errors = client.end()
        result = Result(status, b"".join(lines) + output, errors)
        # The last one may have been under way.
        assert result.status == 0 and result.answered == len(result.trips)
        assert result.sent - result.answered in (0, 1)


def test_an_interrupt_while_an_answer_is_due():
    """What is under way is lost; without any answer the status is 1."""
    with servers.tcp(servers.silent) as server:
        with Client("--ping", *server.address) as client:
            assert client.process.stdout.readline().startswith(b"mpecho-client: 64 bytes to ")
            client.process.send_signal(signal.SIGINT)
            result = Result(*client.end())
    assert result.status == 1 and (result.sent, result.lost) == (1, 1)
    assert result.reasons == " (1 interrupted)"


@pytest.mark.parametrize("answers", [0, 3])
def test_a_deadline(clock, answers):
    """The deadline holds against a server that never answers, too. A run that was to make more round
    trips than it could has failed, as with ping(8)."""

    def behaviour(connection):
        for _ in range(answers):
            connection.sendall(servers.receive(connection, 64))
            until(lambda: servers.is_read(connection))
            clock.advance(1)
        servers.receive(connection, 64)
        clock.advance(60)
        servers.silent(connection)

    clock.stop()
    with servers.tcp(behaviour) as server:
        result = ping("--ping", "-c100", "-i1", "-w60", *server.address,
                      env=os.environ | clock.environment)
    assert result.status == 1 and (result.sent, result.answered) == (answers + 1, answers)
    assert result.lost == 1 and result.seconds >= 60
    assert f"\ntimeout: the run ended with {answers} of 100 round trips answered\n" in result.text


def test_a_time_out_before_the_deadline(clock):
    """A round trip that timed out before the deadline is no victim of it, however late the client
    looks."""
    def behaviour(connection):
        connection.sendall(servers.receive(connection, 64))
        until(lambda: servers.is_read(connection))
        clock.advance(1)
        servers.receive(connection, 64)
        clock.advance(60)
        servers.silent(connection)

    clock.stop()
    with servers.tcp(behaviour) as server:
        result = ping("--ping", "-i1", "-W5", "-w30", *server.address,
                      env=os.environ | clock.environment)
    assert (result.status, result.answered, result.reasons) == (1, 1, " (1 timeout)")
    assert result.text.count("\ntimeout: 1 of 2 round trips failed\n") == 1


@pytest.mark.parametrize("option", ["-w60", "-W60"])
def test_a_surplus_that_is_found_after_the_deadline(option, clock):
    """A wrong answer that came before the end is one, however late the client looks."""
    runs = []

    def behaviour(connection):
        servers.echo(connection)
        until(lambda: runs)
        runs[0].freeze()
        connection.sendall(bytes(8))
        until(lambda: servers.queues(connection)[1][1] == 8)
        clock.advance(61)
        runs[0].thaw()
        servers.wait_for_end(connection)

    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            "--ping", "-c1", option, *server.address, env=os.environ | clock.environment) as client:
        runs.append(client)
        result = Result(*client.end())
    assert (result.status, result.lost, result.reasons) == (1, 1, " (1 differs)")


def test_the_wait_for_the_end_has_the_deadline(clock):
    """A service that keeps its connection open does not hold up the end of the run."""

    def behaviour(connection):
        servers.echo(connection)
        clock.advance(0.5)
        servers.wait_for_end(connection)

    clock.stop()
    with servers.tcp(behaviour) as server:
        result = ping("--ping", "-c1", "-w0.5", *server.address, env=os.environ | clock.environment)
    assert (result.status, result.answered, result.seconds) == (0, 1, 0.5)


@pytest.mark.parametrize("form", ["--no-progress", "--json"])
@pytest.mark.parametrize("how", ["deadline", "signal"])
def test_a_surplus_behind_the_last_answer(how, form, clock):
    """Bytes that come when no round trip is left to notice them fail the run all the same."""
    runs = []

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 64))
        until(lambda: servers.is_read(connection) and runs)
        runs[0].freeze()
        connection.sendall(b"more")
        until(lambda: servers.queues(connection)[1][1] == 4)
        if how == "deadline":
            clock.advance(60)
        else:
            runs[0].process.send_signal(signal.SIGINT)
        runs[0].thaw()
        servers.wait_for_end(connection)

    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            "--ping", form, "-i3600", "-w60", *server.address,
            env=os.environ | clock.environment) as client:
        runs.append(client)
        status, output, _ = client.end()
    assert status == 1
    if form == "--json":
        result = json.loads(output)
        assert (result["ping"]["sent"], result["ping"]["answered"]) == (1, 1)
        assert result["failure"] == {
            "kind": "differs", "message": "bytes came behind the last answer"}
    else:
        assert b": 1 sent, 1 answered, 0 lost in " in output
        assert output.count(b"bytes came behind the last answer\n") == 1
        assert b"\ndiffers: bytes came behind the last answer\n" in output


def test_a_deadline_while_connecting(tmp_path, clock):
    """The deadline holds for a connection that does not come about, too."""
    clock.stop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)
        arguments = ["--ping", "--interval=0.1", "-w4", "--connect-timeout=0"]
        with Client(*arguments, f"{tmp_path}/s", env=os.environ | clock.environment) as client:
            first, _ = listener.accept()
            with socket.socket(socket.AF_UNIX) as other:
                # The queue is full now, and the next connection waits in it.
                other.connect(f"{tmp_path}/s")
                first.close()
                for seconds in 0, 0.1, 4:
                    clock.advance(seconds)
                    wait_until_noticed([client.process.pid])
                result = Result(*client.end())
    assert result.status == 1 and result.lost == 2 and result.seconds >= 4


def test_a_reader_that_leaves_ends_it():
    """A closed pipe behind the output ends a ping that would go on for ever."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "--interval=0.01", *server.address) as client:
            client.process.stdout.readline()
            client.process.stdout.close()
            client.process.stdout = None
            status, _, _ = client.end()
    assert status == -signal.SIGPIPE


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--ping", "-c0"], "--count takes a number from 1 to 4294967295, not '0'"),
        (["--ping", "-cx"], "not 'x'"),
        (["--ping", "--check"], "--check cannot be combined with another mode"),
        (["--ping", "--interval=0"], "--interval takes a time from 0.001 to 86400 seconds"),
        (["--ping", "--size=0"], "--size 0 needs --udp"),
        (["--ping", "--size=17M"], "--size is at most 16M with --ping"),
        (["--ping", "-w0"], "--duration takes a time from 0.001"),
        (["--ping", "--flood", "--interval=1"], "--flood and --interval cannot be combined"),
        (["--connect"], "--connect is only valid with --ping"),
        (["--check", "--flood"], "--flood is only valid with --ping"),
        (["--check", "-w", "5"], "--duration is only valid with --ping and --load"),
        (["--con"], "Unknown or ambiguous option '--con'"),
    ],
)
def test_wrong_values(arguments, sentence):
    """Status 2 and one sentence that names the wrong value."""
    status, output, errors = run(*arguments, "host", data=b"")
    assert (status, output, len(errors)) == (2, b"", 2)
    assert sentence in errors[0]


def test_a_stall_is_not_caught_up_with():
    """What was due meanwhile is left out: the next round trips have their interval again."""
    stalled = []

    def stall_once(connection):
        while data := connection.recv(64):
            if not stalled:
                stalled.append(time.sleep(0.5))
            connection.sendall(data)

    with servers.tcp(stall_once) as server:
        _, output, _ = run("--json", "--ping", "-c6", "-i0.1", *server.address)
    # The first trip takes the stall, the second is due at its end, and four intervals follow.
    assert json.loads(output)["seconds"] >= 0.9
