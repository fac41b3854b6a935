# SPDX-License-Identifier: MIT
"""mpecho-client --json: one object for each run, as the schema in the repository says."""

import datetime
import json
import pathlib
import re
import signal
import threading
import time

import jsonschema
import pytest

import servers
from client import DEADLINE, Client, command, patient, run
from network import Network

SCHEMA = json.loads(
    (pathlib.Path(__file__).parents[2] / "packaging" / "mpecho-client.schema.json").read_text()
)


def parse(text):
    """The one object in `text`, valid by the schema."""
    assert text.count("\n") == 1
    report = json.loads(text)
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(report, SCHEMA, cls=jsonschema.Draft7Validator)
    return report


def report(*arguments, data=b"", status=0):
    """What a run prints on standard output, whose exit status is also in it."""
    found, output, errors = run("--json", *arguments, data=data)
    result = parse(output.decode())
    assert errors == [] and found == result["status"] == status
    return result


def test_check():
    """An intact path: sizes, rates, no fault."""
    with servers.tcp(servers.echo) as server:
        result = report("--check", "-s1M", *server.address)
    assert result["mode"] == "check" and result["peer"] == ":".join(server.address)
    assert result["bytes_sent"] == result["bytes_received"] == result["check"]["size"] == 1 << 20
    assert result["check"]["send_rate"] > 0 and result["check"]["receive_rate"] > 0
    assert result["failure"] is result["check"]["fault"] is result["latency"] is None
    assert result["phases"]["first_byte"] is result["phases"]["last_byte"] is None


def test_the_rates_of_a_check():
    """Sending ends with the last byte that was sent, not with that which came back."""

    def behaviour(connection):
        data = b"".join(iter(lambda: connection.recv(1 << 18), b""))
        time.sleep(0.2)
        connection.sendall(data)

    with servers.tcp(behaviour) as server:
        result = report("--check", "-s100000", *server.address)
    assert result["check"]["receive_rate"] < 100_000 / 0.2
    assert result["check"]["receive_rate"] < result["check"]["send_rate"]


def invert(data):
    return bytes(byte ^ 0xFF for byte in data)


@pytest.mark.parametrize(
    "behaviour, kind, fault",
    [
        (servers.flip(1000, 3), "differs", ("changed", 1, 2)),
        (servers.drop(1000, 10), "missing", ("dropped", 10, 0)),
        (servers.duplicate(1000, 100), "differs", ("duplicated", 100, 0)),
        (servers.swap(1000, 100, 100), "differs", ("reordered", 100, 0)),
        (servers.insert(1000, b"x" * 10), "differs", ("inserted", 10, 0)),
        (servers.truncate(1000), "missing", ("truncated", 99_000, 0)),
        (servers.edited(invert), "differs", ("unrecognized", None, 0)),
    ],
)
def test_faults(behaviour, kind, fault):
    """Each fault has its word, its place and its size."""
    with servers.tcp(behaviour) as server:
        result = report("--check", "-s100000", *server.address, status=1)
    assert result["failure"]["kind"] == kind
    found = result["check"]["fault"]
    assert found["kind"] == fault[0] and found["bits"] == fault[2]
    if fault[1] is not None:
        assert found["bytes"] == fault[1]
        assert found["offset"] in range(1000, 1104)


def test_ping():
    """Counts and latencies in microseconds; no lines of text beside the object."""
    with servers.tcp(servers.echo) as server:
        result = report("--ping", "-c10", "--interval=0.01", "--size=100", *server.address)
    assert result["ping"] == {"size": 100, "sent": 10, "answered": 10, "lost": 0, "errors": {},
                              "flows": None}
    latency = result["latency"]
    assert latency["count"] == 10
    assert 1 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["max"] < 10_000_000
    assert latency["p99"] is latency["p99_9"] is None
    now = datetime.datetime.now(datetime.timezone.utc)
    began = datetime.datetime.strptime(result["time"], "%Y-%m-%dT%H:%M:%S%z")
    assert began <= now < began + datetime.timedelta(seconds=DEADLINE)
    assert result["arguments"] == patient("--json", "--ping", "-c10", "--interval=0.01",
                                          "--size=100", *server.address)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", result["local"]) and result["local"] != result["peer"]


def slow_start(connection):
    """Answers late, and the second half later."""
    data = servers.receive(connection, 100)
    time.sleep(0.1)
    connection.sendall(data[:50])
    time.sleep(0.2)
    connection.sendall(data[50:])


def test_phases():
    """A new connection's time has three parts, which add up to the whole."""
    with servers.tcp(slow_start) as server:
        result = report("--ping", "-c2", "-i0.01", "-s100", "--connect", *server.address)
    phases, latency = result["phases"], result["latency"]
    # A client that was late for the first byte waits less for the last.
    assert phases["first_byte"] >= 100_000 and phases["last_byte"] > 0
    assert phases["first_byte"] + phases["last_byte"] >= 300_000
    assert phases["connect"] > 0 and phases["resolve"] >= 0
    assert sum(phases[name] for name in ("connect", "first_byte", "last_byte")) == pytest.approx(
        latency["mean"], rel=0.01)


@pytest.mark.parametrize("mode", [["--ping", "-c3", "-i0.01"], ["--check", "-s1M"],
                                  ["--ping", "-c2", "-i0.01", "--connect"]])
def test_what_the_kernel_knows(mode, tmp_path):
    """There is TCP_INFO of a TCP connection, and none of a Unix socket."""
    with servers.tcp(servers.echo) as server:
        result = report(*mode, *server.address)
        _, _, errors = run("-v", *mode, *server.address)
    assert result["kernel"]["mss"] > 500 and result["kernel"]["congestion_window"] >= 1
    assert 0 < result["kernel"]["rtt"] < 10_000_000
    # A busy machine may send something twice.
    assert result["kernel"]["retransmits"] < 100
    assert result["phases"]["connect"] > 0
    assert errors[0].startswith("mpecho-client: Connected 127.0.0.1:")
    assert re.fullmatch(r"mpecho-client: kernel: round-trip time .*, \d+ retransmits?, MSS \d+, "
                        r"congestion window \d+", errors[-1])
    with servers.local(servers.echo, f"{tmp_path}/s") as server:
        assert report(*mode, *server.address)["kernel"] is None


def test_ping_with_errors():
    """Errors are counted by kind."""
    with servers.tcp(servers.reset_after(64)) as server:
        result = report("--ping", "-c4", "--interval=0.01", *server.address, status=1)
    assert result["ping"]["lost"] == result["ping"]["errors"]["reset"] == 2
    assert result["failure"] == {"kind": "reset", "message": "2 of 4 round trips failed"}


@pytest.mark.parametrize("mode", [["--ping", "-c4", "-i0.01", "--connect"],
                                  command("connections", "-P4", "-w0.1")])
@pytest.mark.parametrize("rare, kind", [(servers.reset_after(32), "closed"),
                                        (servers.flip(3), "differs")])
def test_the_kind_that_stands_for_all(mode, rare, kind):
    """It is the most frequent one, but for damage, which is the worst."""
    closing = servers.one_of(4, rare, lambda connection: servers.receive(connection, 64))
    with servers.tcp(closing) as server:
        result = report(*mode, *server.address, status=1)
    errors = result[result["mode"]]["errors"]
    assert len(errors) == 2 and errors["closed"] == max(errors.values())
    assert result["failure"]["kind"] == kind


def test_the_plain_mode():
    """Standard output is the peer's, so the object goes to standard error."""
    with servers.tcp(servers.echo) as server:
        status, output, errors = run("--json", *server.address, data=b"hello")
        result = parse(errors[0] + "\n")
        assert (status, output, len(errors)) == (0, b"hello", 1)
        assert result["mode"] == "plain"
        assert result["bytes_sent"] == result["bytes_received"] == 5
        assert result["kernel"]["mss"] > 500
        assert result["phases"]["first_byte"] is result["phases"]["last_byte"] is None
    with servers.tcp(servers.truncate(3)) as server:
        status, output, errors = run("--json", *server.address, data=b"hello")
        assert (status, output) == (1, b"hel")
        assert parse(errors[0] + "\n")["failure"]["kind"] == "missing"


@pytest.fixture(name="island", scope="module")
def fixture_island():
    """A network with no way to anywhere else."""
    network = Network()
    yield network
    network.close()


@pytest.mark.parametrize("mode", ["plain", "check", "ping", "requests", "connections", "streams"])
def test_failures(mode, island, tmp_path):
    """There is an object when there was no connection, too."""
    quoted = f'{tmp_path}/"quoted"\\\n\u00e9'

    def fail(*arguments):
        words = command(mode, *arguments, count=1 if mode == "ping" else None)
        status, output, errors = island.run(run, "--json", *words, data=b"")
        if mode != "plain":
            assert errors == []
        result = parse(output.decode() if mode != "plain" else errors[0] + "\n")
        assert result["status"] == status == 1 and result["peer"] is None
        assert set(result["phases"].values()) == {None}
        assert result["mode"] == (mode if mode in ("plain", "check", "ping") else "load")
        return result["failure"]["kind"], result["host"], result["port"]

    assert fail("127.0.0.1", 9) == ("refused", "127.0.0.1", 9)
    assert fail("192.0.2.1") == ("unreachable", "192.0.2.1", 7)
    assert fail("-I192.0.2.7", "127.0.0.1") == ("local", "127.0.0.1", 7)
    assert fail("no-such-host.invalid") == ("resolve", "no-such-host.invalid", 7)
    assert fail(quoted) == ("unreachable", quoted, None)
    assert fail("@" + quoted) == ("refused", "@" + quoted, None)


def test_a_name_outside_of_ascii(tmp_path):
    """The name of a Unix socket is the file's own in all members, whichever mode prints it."""
    words = ["-t0.05", "-P1"]
    modes = [command("plain"), command("check", "-s9"), command("ping", "-c1"),
             command("ping", "-c1", "--connect"), *(command(kind, *words) for kind in
                                                    ("requests", "connections", "streams"))]
    for name in (f'{tmp_path}/\u00fc "\\\n', f"@{tmp_path}/\u00fc"):
        with servers.local(servers.echo, name):
            for mode in modes:
                _, output, errors = run("--json", *mode, name, data=b"")
                result = parse(output.decode() or errors[0] + "\n")
                assert result["host"] == result["peer"] == name
                assert result["local"] == "unnamed"
        _, output, _ = run("--json", "--ping", "-c1", name)
        assert parse(output.decode())["warnings"] == [f"{name}: Connection refused"]


@pytest.mark.parametrize("mode", ["ping", "requests", "connections"])
def test_a_file_that_cannot_be_written(mode, tmp_path):
    """What fails before the run is in the object, too."""
    words = command(mode, f"--csv={tmp_path}", "127.0.0.1")
    assert report(*words, status=1)["failure"]["kind"] == "local"


def test_an_interrupt():
    """^C gives an object of what was measured so far."""
    sent = threading.Event()

    def behaviour(connection):
        data = servers.receive(connection, 64)
        sent.set()
        connection.sendall(data)
        servers.echo(connection)

    with servers.tcp(behaviour) as server:
        with Client("--json", "--ping", "--flood", *server.address) as client:
            # Nothing shows that it has begun to catch signals but that it has sent something.
            assert sent.wait(DEADLINE)
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    result = parse(output.decode())
    assert result["ping"]["sent"] - result["ping"]["answered"] in (0, 1)
    assert status == result["status"]


def test_a_wrong_command_line_is_none():
    """There is no run to report."""
    status, output, errors = run("--json", "--check", "-sx", "host")
    assert (status, output, len(errors)) == (2, b"", 2)
