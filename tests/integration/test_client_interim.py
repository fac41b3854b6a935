# SPDX-License-Identifier: MIT
"""mpecho-client while it runs: reports of intervals, answers to SIGQUIT and SIGUSR1, and --bandwidth."""

import fcntl
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import jsonschema
import pytest

import servers
from client import CLIENT, DEADLINE, Client, command, descendants, run, state, step, until
from test_client_faults import tampered
from test_client_interrupt import full_queue, waits
from test_client_json import SCHEMA, parse

MODES = ["plain", "check", "ping", "requests", "connections", "streams"]


def queued(connection):
    """The bytes that the peer, over a Unix socket, has not read yet."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]


def reports(output):
    """The reports of the intervals and the object of the run, one on each line, all valid."""
    objects = [json.loads(line) for line in output.decode().splitlines()]
    for found in objects:
        jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft7Validator)
    return [found["interval"] for found in objects[:-1]], objects[-1]


def stepped_reports(clock, behaviour, *words, status=0):
    """The reports of two intervals of a second and of the rest, and the object of the run."""
    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            "--json", "-i1", *words, *server.address, env=os.environ | clock.environment) as client:
        lines = step(clock, client)
        clock.run_out(client.process, 0.1)
        found, output, errors = client.end()
    assert (found, errors) == (status, [])
    parts, whole = reports(lines + output)
    assert len(parts) >= 2
    return parts, whole


@pytest.mark.parametrize("kind", ["requests", "connections", "streams"])
def test_the_reports_of_a_load_add_up(clock, kind):
    """Each interval begins where the last one ended, and their counts are those of the run."""
    parts, whole = stepped_reports(clock, servers.echo, *command(kind, "-w3"))
    assert [part["from"] for part in parts] == [0] + [part["to"] for part in parts[:-1]]
    for name in ("bytes_sent", "bytes_received"):
        assert sum(part[name] for part in parts) == whole[name]
    if kind == "streams":
        assert all("answered" not in part for part in parts)
    else:
        assert sum(part["answered"] for part in parts) == whole["load"]["answered"]
    assert sum(part["errors"] for part in parts) == 0


def test_the_reports_of_a_check_add_up(clock):
    """Bytes and faults, of a check whose speed is known."""
    parts, whole = stepped_reports(clock, servers.flip(5), *command("check", "-b100K", size="300K"),
                                   status=1)
    for name in ("bytes_sent", "bytes_received"):
        assert sum(part[name] for part in parts) == whole[name]
    assert sum(part["errors"] for part in parts) == whole["check"]["faults"] == 1


def test_errors_are_in_the_reports():
    """A service that resets shows in the report of that interval."""
    with servers.tcp(servers.reset_after(10)) as server:
        _, output, _ = run("--json", "-i0.1", *command("connections", "-w0.3"), *server.address)
    parts, whole = reports(output)
    assert sum(part["errors"] for part in parts) == sum(whole["load"]["errors"].values()) > 0


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_reports_in_text(clock, quiet):
    """A line for each, in front of the results; --quiet leaves them out."""
    clock.stop()
    with servers.tcp(servers.echo) as server, Client(
            "-i1", *quiet, *command("requests", "-w3"), *server.address,
            env=os.environ | clock.environment) as client:
        output = step(clock, client, 0 if quiet else 2)
        clock.run_out(client.process, 0.1)
        lines = (output + client.end()[1]).decode().splitlines()
    pattern = re.compile(r"\d+\.\d-\d+\.\d s: \d+ answered, [\d.]+/s, .* there, .* back, 0 errors$")
    first = next(i for i, line in enumerate(lines) if "load of requests" in line)
    assert all(pattern.match(line) for line in lines[:first])
    assert first == 0 if quiet else first >= 2


def test_a_ping_has_no_reports():
    """Its --interval is that of round trips."""
    with servers.tcp(servers.echo) as server:
        _, output, _ = run("--json", "--ping", "-c3", "-i0.01", *server.address)
    parse(output.decode())


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1])
@pytest.mark.parametrize("mode", MODES)
def test_an_inquiry_is_answered(mode, number):
    """Standard error says how far it is, even while the service is silent; the run goes on, and its
    results are the same."""
    asked = threading.Event()
    begun = threading.Event()

    def behaviour(connection):
        data = servers.receive(connection, 1)
        begun.set()
        asked.wait(servers.DEADLINE)
        connection.sendall(data)
        servers.echo(connection)

    options = ["-c1"] if mode == "ping" else ["-s64K"] if mode == "check" else []
    options = ["-w0.3", "-P1"] if mode in MODES[3:] else options
    started = time.monotonic()
    with servers.tcp(behaviour) as server:
        with Client("--no-progress", *command(mode, *options), *server.address) as client:
            if mode == "plain":
                client.process.stdin.write(b"hello")
            begun.wait(servers.DEADLINE)
            # The terminal sends it to the children as well.
            os.killpg(client.process.pid, number)
            line = client.process.stderr.readline().decode()
            longest = time.monotonic() - started
            asked.set()
            status, output, errors = client.end(b"")
    # Rounded to a tenth.
    assert float(re.match(r"0\.0-(\d+\.\d) s: ", line)[1]) <= longest + 0.05, line
    # An answer may be there when its times are printed.
    assert status == 0 and all(re.match("min/|p50/", error) for error in errors)
    assert output == b"hello" if mode == "plain" else b"0.0-" not in output


@pytest.mark.parametrize("mode", ["plain", "check"])
def test_an_inquiry_while_the_peer_blocks_the_sender(mode, tmp_path):
    """What the kernel has taken of a piece counts before it has taken the rest: no more comes back
    than was sent."""
    echoed = threading.Event()

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 100_000))
        until(lambda: queued(connection) == 0)
        echoed.set()
        servers.wait_for_end(connection)

    # The buffers of a Unix socket are smaller than the pieces.
    with open("/dev/zero", "rb") as zeros, servers.local(behaviour, f"{tmp_path}/s") as server:
        with Client("--no-progress", *command(mode), *server.address, stdin=zeros,
                    stdout=subprocess.DEVNULL) as client:
            echoed.wait(servers.DEADLINE)
            until(lambda: state(client.sender) == "S")
            client.process.send_signal(signal.SIGUSR1)
            line = client.process.stderr.readline().decode()
    sent, received = map(int, re.search(r" (\d+) bytes sent, (\d+) came back", line).groups())
    assert sent >= received == 100_000, line


@pytest.mark.parametrize("words, call", [
    (command("check", "-b1000", size="100"), "sendto"),
    (command("streams", "-P1", "-b1000", "-w0.3"), "sendmsg")], ids=["check", "streams"])
def test_an_echo_before_its_bytes_count(words, call):
    """A report has no byte that came back before the sender has counted it; a later one has it."""
    status, output, errors = tampered(["--json", "-i0.02", *words],
                                      f"{call}:delay_exit=200000:when=1")
    assert (status, errors) == (0, "")
    parts, whole = reports(output.encode())
    sent = list(itertools.accumulate(part["bytes_sent"] for part in parts))
    received = list(itertools.accumulate(part["bytes_received"] for part in parts))
    assert all(there >= back for there, back in zip(sent, received)), parts
    assert (sent[-1], received[-1]) == (whole["bytes_sent"], whole["bytes_received"])


def test_an_inquiry_about_an_echo_before_its_bytes_count():
    """Bytes that came back were sent, also while the sender is still in send(2)."""
    with servers.tcp(servers.echo) as server, subprocess.Popen(
            ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-q", "-o/dev/null",
             "-etrace=sendto", "-einject=sendto:delay_exit=300000", CLIENT, *server.address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tracer:
        tracer.stdin.write(b"hello")
        tracer.stdin.flush()
        assert tracer.stdout.read(5) == b"hello"
        os.kill(descendants(tracer.pid)[0], signal.SIGUSR1)
        line = tracer.stderr.readline()
        output = tracer.communicate(timeout=DEADLINE)
    assert b" 5 bytes sent, 5 came back" in line
    assert (tracer.returncode, *output) == (0, b"", b"")


def test_an_inquiry_in_a_row_of_round_trips():
    """It has the times so far, and says nothing on standard output."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "-c1000000", "-i3600", *server.address) as client:
            while b"seq=1" not in client.process.stdout.readline():
                pass
            client.process.send_signal(signal.SIGQUIT)
            lines = [client.process.stderr.readline().decode() for _ in range(3)]
            client.process.send_signal(signal.SIGINT)
            client.end()
    assert "1 answered" in lines[0] and lines[1].startswith("min/avg/max/stddev = ")
    assert lines[2].startswith("p50/p90/p99/p99.9 = -/")


def test_an_inquiry_while_connecting(tmp_path):
    """A service that accepts nobody is no reason not to answer, nor does the answer end the wait."""
    with full_queue(tmp_path, socket.AF_INET) as address:
        with Client("--ping", "-q", "--no-progress", "-W0", "--connect-timeout=0", *address) as client:
            waits(client, "poll")
            for _ in range(2):
                client.process.send_signal(signal.SIGUSR1)
                assert b"s: 0 answered" in client.process.stderr.readline()
            client.process.send_signal(signal.SIGINT)
            status, _, _ = client.end()
    assert status == 1


def test_ignored_inquiries():
    """What ignores SIGQUIT, as nohup(1) and shells without job control do, goes on doing so."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "-c2", "-i0.3", *server.address,
                    preexec_fn=lambda: signal.signal(signal.SIGQUIT, signal.SIG_IGN)) as client:
            while b"seq=1" not in client.process.stdout.readline():
                pass
            client.process.send_signal(signal.SIGQUIT)
            status, _, errors = client.end()
    assert (status, errors) == (0, [])


@pytest.mark.parametrize("speed", ["1M", "8.388608Mbit"])
def test_the_bandwidth_of_a_check(speed):
    """No more bytes than the time allows, sent evenly: the first report has its part."""
    with servers.tcp(servers.echo) as server:
        status, output, _ = run("--json", "--check", "-s512K", f"-b{speed}", "-i0.1", *server.address)
    parts, whole = reports(output)
    assert status == 0 and whole["seconds"] >= 0.49
    for part in parts:
        # A piece is the 200th part of a second's bytes.
        assert part["bytes_sent"] <= (part["to"] - part["from"] + 0.02) * (1 << 20) or part["from"] > 0
    assert parts[0]["bytes_sent"] <= (parts[0]["to"] + 0.02) * (1 << 20)


# The second is less than a byte per millisecond and connection.
@pytest.mark.parametrize("speed", [300 << 10, 1500])
def test_the_bandwidth_of_streams(speed):
    """It is that of all connections together, and each has its part."""
    with servers.tcp(servers.echo) as server:
        _, output, _ = run("--json", *command("streams", "-w0.5", "-P3", f"-b{speed}"), *server.address)
    result = parse(output.decode())
    assert 0 < result["bytes_sent"] <= (result["load"]["duration"] + 0.05) * speed
    assert result["bytes_received"] == result["bytes_sent"] and result["failure"] is None


def test_a_paced_check_can_be_ended():
    """^C does not wait for the bytes that are due."""
    with servers.tcp(servers.echo) as server:
        with Client("--json", "--check", "-s1M", "-b1", *server.address) as client:
            until(lambda: server.accepted)
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert status == 1 and parse(output.decode())["failure"]["kind"] == "interrupted"
