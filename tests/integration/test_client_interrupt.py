# SPDX-License-Identifier: MIT
"""mpecho-client and the wish to end: the first signal ends a run with what it found, wherever it
waits, and the second one ends the program."""

import contextlib
import ipaddress
import os
import pathlib
import re
import signal
import socket
import threading

import pytest

import servers
from client import DEADLINE, Client, command, descendants, run, state, until
from network import Network
from processes import sleeps
from test_client_json import parse

MODES = [["--check"], ["--ping"], ["--load"], []]


def waits(client, where):
    """Waits until the client sleeps in a kernel function of that name."""
    wchan = pathlib.Path(f"/proc/{client.process.pid}/wchan")
    until(lambda: where in wchan.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_output_that_nobody_reads(number):
    """A full pipe behind the output does not keep a ping from ending."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "-i0.001", *server.address) as client:
            waits(client, "pipe_write")
            client.process.send_signal(number)
            status = client.process.wait(DEADLINE)
            client.end()
    assert status == 1


def fill(process):
    """Writes to the pipe behind a process's output until nothing more fits."""
    pipe = os.open(f"/proc/{process.pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x")
    os.close(pipe)


@contextlib.contextmanager
def frozen(client):
    """Meanwhile no process of the client gets a processor. A signal waits for it at the end, and
    reaches the workers of a load first by its parent."""
    pid = client.process.pid
    until(lambda: {state(each) for each in [pid, *descendants(pid)]} == {"S"})
    client.freeze()
    yield
    client.process.send_signal(signal.SIGINT)
    before = sleeps(pid)
    client.process.send_signal(signal.SIGCONT)
    if descendants(pid):
        until(lambda: sleeps(pid) >= before + 3)
    client.thaw()


@pytest.mark.parametrize("mode", [["--ping", "-c1"], ["--ping", "-c1", "--flows=2", "-i0.002"],
                                  command("requests", "-P2", "-w60", "-W60")], ids=" ".join)
def test_an_answer_that_came_before_the_signal(mode):
    """It counts, although the client has not read it when the signal comes."""
    begun, count = [], 1 + ("=2" in " ".join(mode) or "-P2" in mode)

    with servers.tcp(servers.hold(begun)) as server, Client(
            "--json", *mode, "-s64", *server.address) as client:
        until(lambda: len(begun) == count)
        with frozen(client):
            for connection, data in begun:
                connection.sendall(data)
                until(lambda connection=connection: servers.queues(connection)[1][1] == len(data))
        status, output, _ = client.end()
    result = parse(output.decode())
    assert result[result["mode"]]["errors"] == {}
    assert status == 0 and result["latency"]["count"] == count


@pytest.mark.parametrize("is_read", [True, False])
def test_the_line_of_an_answer_that_came_before_the_signal(is_read):
    """It is printed, unless the pipe behind the output is full: then nobody waits for a reader."""
    begun = []

    with servers.tcp(servers.hold(begun)) as server, Client(
            "--ping", "-s64", *server.address) as client:
        until(lambda: begun)
        with frozen(client):
            (connection, data), = begun
            connection.sendall(data)
            until(lambda: servers.queues(connection)[1][1] == len(data))
            if not is_read:
                fill(client.process)
        if is_read:
            status, output, _ = client.end()
            assert status == 0 and b"seq=1 time=" in output
        else:
            assert client.process.wait(DEADLINE) == 1


@pytest.mark.parametrize("damage", [0, 1])
def test_a_stream_that_came_before_the_signal(damage):
    """The receiver compares it, although it has not read it when the signal comes."""
    begun = []

    with servers.tcp(servers.hold(begun, 30000)) as server, Client(
            "--json", *command("streams", "-P1"), *server.address) as client:
        until(lambda: begun)
        with frozen(client):
            (connection, data), = begun
            connection.sendall(bytes([data[0] ^ damage]) + data[1:])
            until(lambda: servers.queues(connection)[1][1] == len(data))
        status, output, _ = client.end()
    result = parse(output.decode())
    assert (status, result["bytes_received"]) == (damage, len(data))
    assert result["load"]["errors"] == ({"differs": 1} if damage else {})


@pytest.mark.parametrize("damage, kind, message", [
    (0, "interrupted", "ended early, intact so far"),
    (1, "differs", "the byte at offset 0 came back as 0x.. instead of 0x.., 1 bit changed")])
def test_an_echo_that_came_before_the_signal(damage, kind, message):
    """A check compares it, although the client has not read it when the signal comes."""
    begun = []

    with servers.tcp(servers.hold(begun, 30000)) as server, Client(
            "--check", "--json", "-s30000", *server.address) as client:
        until(lambda: begun and state(client.process.pid) == "S")
        client.freeze()
        (connection, data), = begun
        connection.sendall(bytes([data[0] ^ damage]) + data[1:])
        until(lambda: servers.queues(connection)[1][1] == len(data))
        client.process.send_signal(signal.SIGTERM)
        client.thaw()
        status, output, _ = client.end()
    result = parse(output.decode())
    assert (status, result["bytes_received"], result["failure"]["kind"]) == (1, len(data), kind)
    assert re.fullmatch(message, result["failure"]["message"])


@contextlib.contextmanager
def full_queue(tmp_path, family):
    """The words for a server that answers no request for a connection."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind(f"{tmp_path}/s" if family == socket.AF_UNIX else ("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(1 if family == socket.AF_UNIX else 2):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield [address] if family == socket.AF_UNIX else address


@pytest.mark.parametrize("mode", MODES, ids=" ".join)
@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_while_connecting(mode, family, tmp_path):
    """There is an object of a run that never had a connection."""
    with full_queue(tmp_path, family) as address:
        with Client("--json", *mode, "--connect-timeout=0", *address) as client:
            waits(client, "poll")
            client.process.send_signal(signal.SIGINT)
            status, output, errors = client.end()
    result = parse((output or errors[0].encode() + b"\n").decode())
    assert status == result["status"] == 1 and result["peer"] is None
    assert result["failure"]["kind"] == "interrupted"


@pytest.fixture
def silent_names():
    """A network whose name servers, those of this machine, do not answer."""
    found = re.findall(r"^nameserver\s+(\S+)", pathlib.Path("/etc/resolv.conf").read_text(), re.M)
    network = Network(*(f"{address}/{128 if ':' in address else 32}" for address in found
                        if not ipaddress.ip_address(address).is_loopback))
    with contextlib.ExitStack() as stack:
        for address in found or ["127.0.0.1"]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sink = stack.enter_context(network.run(socket.socket, family, socket.SOCK_DGRAM))
            sink.bind((address, 53))
        yield network
    network.close()


@pytest.mark.parametrize("mode", MODES, ids=" ".join)
def test_while_a_name_is_looked_up(mode, silent_names):
    """Name servers that do not answer hold up nobody who wants to end; the child goes."""
    with silent_names.run(Client, "--json", *mode, "host.example") as client:
        waits(client, "poll")
        client.process.send_signal(signal.SIGTERM)
        status, output, errors = client.end()
    result = parse((output or errors[0].encode() + b"\n").decode())
    assert status == 1 and result["failure"]["kind"] == "interrupted"
    assert "host.example" in result["failure"]["message"] or mode == ["--ping"]


def test_the_plugin_and_silent_names(silent_names):
    """-t holds for looking up the name, too."""
    status, output, _ = silent_names.run(run, "--monitor", "-H", "host.example", "-t", "0.5")
    assert status in (2, 3) and output.startswith((b"ECHO CRITICAL - ", b"ECHO UNKNOWN - "))


@pytest.fixture
def hanging_gnuplot(tmp_path):
    """An environment in which gnuplot never ends."""
    (tmp_path / "gnuplot").write_text("#!/bin/sh\nexec /bin/sleep 1000\n")
    (tmp_path / "gnuplot").chmod(0o755)
    return {"PATH": str(tmp_path)}


def children(client):
    return pathlib.Path(f"/proc/{client.process.pid}/task/{client.process.pid}/children").read_text()


def test_a_gnuplot_that_hangs(hanging_gnuplot, tmp_path):
    """It is killed, and the results are printed."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "-c3", "-i0.001", f"--plot={tmp_path}/p.svg", *server.address,
                    env=hanging_gnuplot) as client:
            until(lambda: children(client))
            waits(client, "poll")
            client.process.send_signal(signal.SIGINT)
            status, output, errors = client.end()
    assert status == 1 and b"3 answered" in output
    assert errors == [f"mpecho-client: Interrupted while gnuplot drew '{tmp_path}/p.svg'"]


def test_the_second_signal_ends_the_program(hanging_gnuplot, tmp_path):
    """The first has ended the run, which is not drawn at once; whoever insists need not wait."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "-i0.01", f"--plot={tmp_path}/p.svg", *server.address,
                    env=hanging_gnuplot) as client:
            for _ in range(3):
                client.process.stdout.readline()
            client.process.send_signal(signal.SIGINT)
            until(lambda: children(client))
            client.process.send_signal(signal.SIGTERM)
            assert client.process.wait(DEADLINE) == -signal.SIGTERM
            os.killpg(client.process.pid, signal.SIGKILL)


@pytest.mark.parametrize("mode", [*MODES[1:3], ["--check", "-b1K"]], ids=" ".join)
def test_a_signal_that_comes_twice(mode):
    """timeout(1) signals its child and then the group of both: that is one wish to end, which leaves
    the results."""
    begun = threading.Event()

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 1))
        begun.set()
        servers.echo(connection)

    with servers.tcp(behaviour) as server, Client("--json", *mode, *server.address) as client:
        assert begun.wait(DEADLINE)
        os.kill(client.process.pid, signal.SIGTERM)
        os.killpg(client.process.pid, signal.SIGTERM)
        status, output, _ = client.end()
    assert status >= 0 and parse(output.decode())["status"] == status


@pytest.mark.parametrize("mode", MODES[1:3], ids=" ".join)
def test_signals_that_are_ignored(mode):
    """A shell's job in the background ignores ^C, and goes on doing so."""
    with servers.tcp(servers.echo) as server:
        with Client("--json", *mode, "-w1", *server.address,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as client:
            until(lambda: server.accepted)
            client.process.send_signal(signal.SIGINT)
            _, output, _ = client.end()
    assert parse(output.decode())["seconds"] >= 1


def test_a_reader_that_leaves_unnoticed():
    """Where SIGPIPE is ignored, a ping that nobody reads ends all the same."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "-i0.01", *server.address,
                    preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
                    restore_signals=False) as client:
            client.process.stdout.readline()
            client.process.stdout.close()
            client.process.stdout = None
            status, _, errors = client.end()
    assert (status, errors) == (1, ["mpecho-client: Cannot write to standard output: Broken pipe"])


def test_a_full_disk_ends_a_ping():
    """Lines that cannot be written end it: nobody would see the next ones."""
    with servers.tcp(servers.echo) as server, open("/dev/full", "wb") as full:
        status, _, errors = run("--ping", "-i0.01", *server.address, stdout=full)
    assert status == 1
    assert errors == ["mpecho-client: Cannot write to standard output: No space left on device"]
