# SPDX-License-Identifier: MIT
"""mpecho-client's plain mode, against small servers that behave and misbehave."""

import contextlib
import hashlib
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import threading

import pytest

import servers
from client import CLIENT, DEADLINE, Client, gone, run, state, until
from network import Network, own_hosts
from test_client_json import parse


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000_000])
def test_everything_comes_back_and_the_status_is_0(size):
    """What was sent is what comes out, byte for byte, whatever its size."""
    data = (os.urandom(1 << 20) * (size // (1 << 20) + 1))[:size]
    with servers.tcp(servers.echo) as server:
        status, output, errors = run(*server.address, data=data)
    assert (status, errors) == (0, [])
    assert hashlib.sha256(output).digest() == hashlib.sha256(data).digest()


def test_gigabytes_through_a_pipe_with_a_slow_reader_do_not_deadlock():
    """2 GiB flow while the reader of the output pauses; backpressure holds, and all arrives."""
    size = 2 << 30
    with servers.tcp(servers.echo) as server, open("/dev/zero", "rb") as zero:
        feeder = subprocess.Popen(
            ["head", "-c", str(size)], stdin=zero, stdout=subprocess.PIPE
        )
        with Client(*server.address, stdin=feeder.stdout) as client:
            feeder.stdout.close()
            # What is on its way has come to a stop: the receiver sleeps in write(2).
            wchan = pathlib.Path(f"/proc/{client.process.pid}/wchan")
            until(lambda: "pipe_write" in wchan.read_text())
            received = 0
            while part := client.process.stdout.read(1 << 20):
                assert part.count(0) == len(part)
                received += len(part)
            status, _, errors = client.end()
        assert feeder.wait(DEADLINE) == 0
    assert (received, status, errors) == (size, 0, [])


def test_what_the_server_sends_after_the_half_close_still_arrives():
    """The client half-closes at the end of its input and goes on until the server has ended."""

    def late(connection):
        data = b""
        while part := connection.recv(1 << 16):
            data += part
        connection.sendall(data)

    with servers.tcp(late) as server:
        assert run(*server.address, data=b"late\n" * 1000) == (0, b"late\n" * 1000, [])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_addresses_of_both_families(host):
    """IPv4 and IPv6 addresses work, with the port in either place; -4 and -6 restrict."""
    with servers.tcp(servers.echo, host) as server:
        port = server.address[1]
        assert run(host, port, data=b"x") == (0, b"x", [])
        assert run("-p", port, host, data=b"x") == (0, b"x", [])
        assert run(f"--port={port}", "-6" if ":" in host else "-4", host, data=b"x")[0] == 0
        status, _, errors = run("-4" if ":" in host else "-6", host, port, data=b"x")
        assert status == 1 and f"{host} port {port}" in errors[0]


@pytest.mark.parametrize("listening", ["127.0.0.2", "127.0.0.3"])
def test_every_address_of_the_host_is_tried(listening, tmp_path):
    """A name with several addresses is served by whichever of them answers."""
    prepare = own_hosts(tmp_path, "127.0.0.2 two.test\n127.0.0.3 two.test\n")
    with servers.tcp(servers.echo, listening) as server:
        port = server.address[1]
        assert run("two.test", port, data=b"x", preexec_fn=prepare) == (0, b"x", [])


@pytest.mark.parametrize("network", [[], ["--dscp=46", "--ttl=9"], ["-I", "lo"]])
def test_the_service_writes_addresses_so(network):
    """HOST:PORT is a host and its port; marks of packets and the interface do no harm."""
    with servers.tcp(servers.echo) as server:
        assert run(*network, ":".join(server.address), data=b"hello") == (0, b"hello", [])


def test_a_zone_belongs_to_an_address():
    """fe80::1%zone is passed on with its zone, and printed with its name."""
    network = Network("fe80::7/64")
    listener = network.run(socket.socket, socket.AF_INET6)
    listener.bind(("fe80::7", 0, 0, socket.if_nametoindex("lo")))
    listener.listen()
    with servers.Server(servers.echo, listener) as server:
        port = server.address[1]
        for host in "fe80::7%lo", "fe80::7%1":
            _, output, _ = network.run(run, "--json", "--check", "-s1", host, port)
            result = parse(output.decode())
            assert result["failure"] is None
            assert result["peer"] == f"[fe80::7%lo]:{port}"
            assert result["local"].startswith("[fe80::7%lo]:")
    network.close()


def test_a_name_whose_address_lacks_its_zone(tmp_path):
    """The sentence says what is missing; the kernel's would be "Invalid argument"."""
    prepare = own_hosts(tmp_path, "fe80::7 zoneless.test\n")
    status, _, errors = run("zoneless.test", "9", data=b"", preexec_fn=prepare)
    assert status == 1
    assert errors == ["mpecho-client: Cannot connect to zoneless.test port 9: the address needs its "
                      "zone, the interface, as in fe80::1%eth0"]


def test_brackets():
    """An IPv6 address may be in brackets, with the port behind them; a name may not, and neither may
    be half in them."""
    with servers.tcp(servers.echo, "::1") as server:
        port = server.address[1]
        assert run("[::1]", port, data=b"hello") == (0, b"hello", [])
        assert run(f"[::1]:{port}", data=b"hello") == (0, b"hello", [])
        for host in "[localhost]", "[::1", "[]", "[", "[" + 70 * "::1" + "]", "[::1]7", "[:]", "[@:1]:7":
            status, _, errors = run(host, port, data=b"")
            assert status == 2
            assert errors[0] == f"mpecho-client: '{host}' is not an IPv6 address in brackets"
        status, _, errors = run("]", port, data=b"")
        assert status == 1 and errors[0].startswith("mpecho-client: Cannot connect to ")


@pytest.mark.parametrize("name", ["path", "@mpecho-client-test"])
def test_unix_sockets(name, tmp_path):
    """A /path and an @abstract name both reach a Unix socket."""
    name = str(tmp_path / name) if name == "path" else f"{name}-{os.getpid()}"
    with servers.local(servers.echo, name) as server:
        assert server.address == [name]
        assert run(name, data=b"x" * 100_000) == (0, b"x" * 100_000, [])


def test_a_refused_connection_names_host_port_and_error():
    """Status 1 and one sentence when no address answers."""
    with servers.closed_port() as holder:
        port = holder.getsockname()[1]
        status, output, errors = run("127.0.0.1", port, data=b"")
    assert (status, output) == (1, b"")
    assert errors == [
        f"mpecho-client: Cannot connect to 127.0.0.1 port {port}: Connection refused"
    ]


def test_an_unknown_host_is_named():
    """A name without an address is said to be the reason."""
    status, _, errors = run("no-such-host.invalid", data=b"")
    assert status == 1 and len(errors) == 1
    assert errors[0].startswith("mpecho-client: Cannot connect to no-such-host.invalid port 7: ")


def test_missing_bytes_are_counted():
    """Status 1 and one sentence with both numbers when the server keeps bytes for itself."""

    def eat(connection):
        data = servers.receive(connection, 100)
        connection.sendall(data[:90])
        while data := connection.recv(1 << 16):
            connection.sendall(data)

    with servers.tcp(eat) as server:
        status, output, errors = run(*server.address, data=b"x" * 1000)
    assert (status, len(output)) == (1, 990)
    assert len(errors) == 1 and "1000 bytes sent" in errors[0] and "990 came back" in errors[0]


def test_surplus_bytes_are_counted():
    """More than was sent is as wrong as less."""

    def add(connection):
        servers.echo(connection)
        connection.sendall(b"more")

    with servers.tcp(add) as server:
        status, output, errors = run(*server.address, data=b"x")
    assert (status, output) == (1, b"xmore")
    assert "1 byte sent" in errors[0] and "5 came back" in errors[0]


def test_changed_bytes_are_named():
    """As many bytes as were sent, with other values, are status 1 and one sentence."""
    with servers.tcp(servers.flip(3)) as server:
        status, output, errors = run(*server.address, data=b"aaaaa")
        host, port = server.address
    assert (status, len(output)) == (1, 5)
    assert errors == [f"mpecho-client: 5 bytes sent to {host} port {port}, "
                      "but as many different bytes came back"]


def test_bytes_before_they_are_sent():
    """An answer that came before its question is none, even if it is right in the end."""

    def guess(connection):
        connection.sendall(b"aaaa")
        servers.receive(connection, 4)
        servers.echo(connection)

    with servers.tcp(guess) as server, Client(*server.address) as client:
        early = client.process.stdout.read(4)
        status, output, errors = client.end(b"a" * 10)
        host, port = server.address
    assert (status, early + output) == (1, b"a" * 10)
    assert errors == [f"mpecho-client: {host} port {port} returned bytes before it received them"]


def leave_after(ending):
    def behaviour(connection):
        connection.sendall(servers.receive(connection, 5))
        ending(connection)

    return behaviour


@pytest.mark.parametrize("network", ["tcp", "unix"])
@pytest.mark.parametrize("ending", [servers.reset, socket.socket.close])
def test_a_peer_that_dies_ends_a_sender_that_waits_for_input(network, ending, tmp_path):
    """The sender does not hang in its read of standard input; status 1, both processes gone."""
    behaviour = leave_after(ending)
    with (
        servers.tcp(behaviour) if network == "tcp" else servers.local(behaviour, f"{tmp_path}/s")
    ) as server, Client(*server.address) as client:
        client.process.stdin.write(b"hello")
        client.process.stdin.flush()
        assert client.process.stdout.read(5) == b"hello"
        assert client.process.wait(DEADLINE) == 1
        status, _, errors = client.end()
    assert status == 1 and len(errors) == 1
    if ending is servers.reset and network == "tcp":
        assert "broke: Connection reset by peer: 5 bytes sent, 5 came back" in errors[0]
    else:
        assert "closed the connection before the end of the input" in errors[0]


@pytest.mark.parametrize("network", ["tcp", "unix"])
@pytest.mark.parametrize("direction", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_a_peer_that_closes_early_ends_a_sender_that_is_blocked(network, direction, tmp_path):
    """A sender that waits in send(2) for a peer that has ended does not hang."""

    release = threading.Event()

    def behaviour(connection):
        servers.receive(connection, 1 << 16)
        connection.shutdown(direction)
        # Open and unread until the client is gone.
        release.wait(DEADLINE)

    with (
        servers.tcp(behaviour) if network == "tcp" else servers.local(behaviour, f"{tmp_path}/s")
    ) as server, open("/dev/zero", "rb") as zero:
        status, output, errors = run(*server.address, stdin=zero)
        release.set()
    assert (status, output, len(errors)) == (1, b"", 1)


def test_a_reset_in_mid_stream_is_named():
    """A reset while both directions are full is reported as one, never as an orderly end."""

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 1 << 20))
        servers.reset(connection)

    for _ in range(20):
        with servers.tcp(behaviour) as server, open("/dev/zero", "rb") as zero:
            status, _, errors = run(*server.address, stdin=zero)
        assert status == 1 and len(errors) == 1
        assert "broke: Connection reset by peer" in errors[0]


def test_output_closed_by_its_reader():
    """A closed pipe behind the output is said in a sentence, not by SIGPIPE; status 1."""
    with servers.tcp(servers.echo) as server, open("/dev/zero", "rb") as zero:
        with Client(*server.address, stdin=zero) as client:
            assert client.process.stdout.read(10) == bytes(10)
            client.process.stdout.close()
            client.process.stdout = None
            status, _, errors = client.end()
    assert status == 1
    assert errors == ["mpecho-client: Cannot write to standard output: Broken pipe"]


def test_a_full_disk_behind_the_output():
    """No space for the output: one sentence and status 1."""
    with servers.tcp(servers.echo) as server, open("/dev/full", "wb") as full:
        status, _, errors = run(*server.address, data=b"x", stdout=full)
    assert status == 1
    assert errors == ["mpecho-client: Cannot write to standard output: No space left on device"]


def test_unreadable_input(tmp_path):
    """Input that cannot be read: one sentence and status 1."""
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with servers.tcp(servers.echo) as server:
            status, _, errors = run(*server.address, stdin=directory)
    finally:
        os.close(directory)
    assert status == 1
    assert errors == ["mpecho-client: Cannot read standard input: Is a directory"]


def test_a_file_system_that_is_full_at_close(tmp_path):
    """Output that is lost only at close(2) is lost all the same: one sentence and status 1."""
    with servers.tcp(servers.echo) as server, open(tmp_path / "output", "wb") as output:
        result = subprocess.run(
            # The sanitizer cannot look for leaks in a process that is traced.
            ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-q", "-o/dev/null",
             f"-P{output.name}", "-etrace=close", "-einject=close:error=EDQUOT",
             CLIENT, *server.address], input=b"hello", stdout=output, stderr=subprocess.PIPE,
            timeout=DEADLINE, check=False)
    assert result.returncode == 1 and (tmp_path / "output").read_bytes() == b"hello"
    assert result.stderr == b"mpecho-client: Cannot write to standard output: Disk quota exceeded\n"


def test_a_caller_that_ignores_sigchld(tmp_path):
    """The sender's end is known all the same."""
    directory = os.open(tmp_path, os.O_RDONLY)
    with servers.tcp(servers.echo) as server:
        status, _, errors = run(*server.address, stdin=directory,
                                preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    os.close(directory)
    assert (status, errors) == (1, ["mpecho-client: Cannot read standard input: Is a directory"])


@pytest.mark.parametrize("closed", [0, 1])
def test_closed_standard_descriptors_are_not_mistaken_for_the_connection(closed):
    """A client started with standard input or output closed fails with a sentence that says so."""
    with servers.tcp(servers.echo) as server:
        status, _, errors = run(
            *server.address, data=b"x" if closed else None, preexec_fn=lambda: os.close(closed)
        )
    assert status == 1
    assert errors == [
        "mpecho-client: Cannot "
        + ["read standard input", "write to standard output"][closed]
        + ": Bad file descriptor"
    ]


def test_nonblocking_input_and_output():
    """Pipes that somebody made non-blocking are waited for, not given up on."""
    input_end, feed = os.pipe()
    drain, output_end = os.pipe()
    for end in (input_end, output_end):
        os.set_blocking(end, False)
    data = os.urandom(10_000_000)
    with servers.tcp(servers.echo) as server:
        with Client(*server.address, stdin=input_end, stdout=output_end) as client:
            os.close(input_end)
            os.close(output_end)
            with open(feed, "wb") as writer, open(drain, "rb") as reader:
                # The sender finds nothing to read yet, and later the receiver no room to write.
                until(lambda: state(client.sender) == "S")
                thread = threading.Thread(target=lambda: (writer.write(data), writer.close()))
                thread.start()
                output = reader.read()
                thread.join(DEADLINE)
            status, _, errors = client.end()
    assert (status, errors) == (0, []) and output == data


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_parent_ends_both_processes(number):
    """The sender never outlives its parent, whatever ended that."""
    with servers.tcp(servers.echo) as server, Client(*server.address) as client:
        sender = client.sender
        client.process.send_signal(number)
        assert client.process.wait(DEADLINE) == -number
        until(lambda: gone(sender))


def test_a_killed_sender_is_named():
    """The parent does not wait for ever when its sender was killed: status 1 and the signal."""
    with servers.tcp(servers.echo) as server, Client(*server.address) as client:
        os.kill(client.sender, signal.SIGKILL)
        assert client.process.wait(DEADLINE) == 1
        status, _, errors = client.end()
    assert status == 1
    assert errors == ["mpecho-client: Signal 9 (Killed) ended the sending process"]


def test_stopped_and_continued():
    """The job control of a shell does no harm: the client goes on where it was."""
    with servers.tcp(servers.echo) as server, Client(*server.address) as client:
        sender = client.sender
        os.killpg(client.process.pid, signal.SIGSTOP)
        until(lambda: state(client.process.pid) == "T" and state(sender) == "T")
        os.killpg(client.process.pid, signal.SIGCONT)
        assert client.end(b"on it goes") == (0, b"on it goes", [])


def test_typed_into_on_a_terminal():
    """Each line comes back as it is typed; ^D ends the input, and the status is 0."""
    master, slave = pty.openpty()
    try:
        with servers.tcp(servers.echo) as server:
            with Client(*server.address, stdin=slave) as client:
                for line in (b"first\n", b"second\n"):
                    os.write(master, line)
                    assert select.select([client.process.stdout], [], [], DEADLINE)[0]
                    assert os.read(client.process.stdout.fileno(), 100) == line
                os.write(master, b"\4")
                assert client.end() == (0, b"", [])
    finally:
        os.close(master)
        os.close(slave)


def test_the_interrupt_key_ends_both_processes():
    """^C on the terminal ends sender and receiver at once."""
    master, slave = pty.openpty()
    try:
        with servers.tcp(servers.echo) as server:
            client = subprocess.Popen(
                ["setsid", "--ctty", "--wait", CLIENT, *server.address],
                stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            os.write(master, b"x\n")
            assert client.stdout.read(2) == b"x\n"
            os.write(master, b"\3")
            client.communicate(timeout=DEADLINE)
            assert client.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    finally:
        os.close(master)
        os.close(slave)


def test_a_service_name_is_a_port():
    """"echo" is port 7, as services(5) says."""
    status, _, errors = run("no-such-host.invalid", "echo", data=b"")
    assert status == 1 and "no-such-host.invalid port 7:" in errors[0]


def test_help_and_version():
    """Both go to standard output with status 0, and say so when they cannot be written. The lines of
    --help fit a terminal."""
    status, output, errors = run("--help", data=b"")
    assert (status, errors) == (0, []) and output.startswith(b"Usage: mpecho-client ")
    assert max(len(line) for line in output.splitlines()) <= 80
    assert b" ^\\ or SIGUSR1 " in output
    status, output, errors = run("-V", data=b"")
    assert (status, errors) == (0, []) and output.startswith(b"mpecho-client ")
    # One is larger than the buffer, the other smaller.
    for option in "--help", "-V":
        with open("/dev/full", "wb") as full:
            status, _, errors = run(option, data=b"", stdout=full)
        assert status == 1
        assert errors == ["mpecho-client: Cannot write to standard output: No space left on device"]
