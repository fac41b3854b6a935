# SPDX-License-Identifier: MIT
"""mpecho-client --check: what is wrong with a path is named, and only that."""

import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

import servers
from client import DEADLINE, Client, command, run, state, until
from processes import wait_until_noticed

SIZE = 1_000_000


def check(behaviour, *options, size=SIZE, **keywords):
    """Status and verdict of a check of that size against a server of that behaviour.

    What it says before the verdict are the first faults; one alone says the same as the verdict."""
    with servers.tcp(behaviour) as server:
        status, output, errors = run(
            *command("check", *options, size=size), *server.address, data=b"", **keywords)
    *faults, verdict = output.decode().splitlines()
    assert errors == [] and len(faults) <= 10
    if len(faults) == 1 and "in another order" not in verdict:
        assert faults[0] in verdict
    return status, verdict


@pytest.mark.parametrize("size", [1, 7, 65537, "16M"])
def test_an_intact_path(size):
    """Status 0 and one line with the bytes, the time and both rates."""
    status, verdict = check(servers.echo, size=size)
    number = 16 << 20 if size == "16M" else size
    assert status == 0
    assert re.fullmatch(
        rf"127.0.0.1 port \d+: intact: {number} byte{'s' if number > 1 else ''} sent, {number} came back in \d+\.\d{{3}} s, "
        r"\d+(\.\d)? [KMG]?i?B?(bytes)?/s there, \d+(\.\d)? [KMG]?i?B?(bytes)?/s back",
        verdict,
    )


def test_64_mebibytes_without_a_size(tmp_path):
    """The size has a default; a Unix socket is checked as well."""
    with servers.local(servers.echo, f"{tmp_path}/socket") as server:
        status, output, errors = run("--check", *server.address, data=b"")
    assert (status, errors) == (0, [])
    assert f"{64 << 20} bytes sent, {64 << 20} came back" in output.decode()


FAULTS = [
    (servers.flip(0), "the byte at offset 0 came back as 0x.. instead of 0x.., 1 bit changed"),
    (servers.flip(SIZE - 1, 0x80), "the byte at offset 999999 came back .*, 1 bit changed"),
    (servers.flip(12345, 0xFF), "the byte at offset 12345 came back .*, 8 bits changed"),
    (servers.drop(500_000, 1), "1 byte dropped at offset 50000."),
    (servers.drop(500_000, 1460), "1460 bytes dropped at offset 50000."),
    (servers.duplicate(500_000, 1), "1 byte came back twice, the second time at offset 50000."),
    (servers.duplicate(300_000, 1460), "1460 bytes came back twice, .* at offset 30146."),
    (servers.insert(10, b"HTTP/1.1 200 OK"), "15 bytes that nobody sent came at offset 1."),
    (servers.insert(SIZE, b"bye"), "3 bytes that nobody sent came at offset 1000000"),
    (servers.swap(100, 1, 1), "2 bytes from offset 100 on came back in another order"),
    (servers.swap(100_000, 1460, 1460), "1460 bytes from offset 10000. on .* in another order"),
    (servers.truncate(999_990), "truncated: the last 10 bytes did not .*, from offset 999990"),
    (servers.truncate(0), "truncated: the last 1000000 bytes did not come back, from offset 0"),
    (servers.edited(lambda data: bytes(len(data))), "what came back from offset . on is unrecognized"),
]


@pytest.mark.parametrize("behaviour, sentence", FAULTS)
def test_each_fault_is_named(behaviour, sentence):
    """Changed, dropped, duplicated, foreign, reordered and truncated bytes are told apart."""
    status, verdict = check(behaviour)
    assert status == 1
    kind = "missing" if "dropped" in sentence or "truncated" in sentence else "differs"
    assert re.search(f": {kind}: {sentence}", verdict), verdict


def crlf(data):
    return bytes(data).replace(b"\n", b"\r\n")


def other_bytes(data, size):
    """@size bytes from 1 MiB on with all bits turned: a zero could be right by chance."""
    return bytes(byte ^ 0xff for byte in data[1 << 20:(1 << 20) + size])


@pytest.mark.parametrize("edit, count, sentence", [
    (lambda data: data[:1 << 20] + other_bytes(data, 100_000) + data[(1 << 20) + 100_000:], 1,
     "100000 bytes from offset 1048576 on came back changed, 800000 bits of them: "),
    (lambda data: data[:1 << 20] + other_bytes(data, 70_000) + data[1 << 20:], 1,
     "70000 bytes that nobody sent came at offset 1048576:"),
    # What was sent before a line feed can be a carriage return, too.
    (crlf, None, "([1-9] bytes? that nobody sent came|1 byte came back twice, the second time) "
                 "at offset .*, the first of [0-9]{5} faults:"),
])
def test_damage_of_any_size(edit, count, sentence):
    """However large or frequent, it has its place and its size, and all faults are counted."""
    status, verdict = check(servers.edited(edit), size="4M")
    assert status == 1 and re.search(f": differs: {sentence}", verdict), verdict
    assert ("faults" in verdict) == (count is None)


def test_faults_are_printed_as_they_come():
    """Nobody waits for the end of a check to learn of a fault at its beginning."""
    ended = threading.Event()

    def behaviour(connection):
        data = bytearray(servers.receive(connection, 200_000))
        data[1000] ^= 1
        data[5000] ^= 1
        data[100_000:] = bytes(100_000)
        connection.sendall(data)
        servers.wait_for_end(connection)
        ended.set()

    with servers.tcp(behaviour) as server:
        with Client(*command("check", "--timeout=0", size="1G"), *server.address) as client:
            lines = [client.process.stdout.readline().decode() for _ in range(3)]
            assert not ended.is_set()
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert lines[0].startswith("the byte at offset 1000 came back as ")
    assert lines[1].startswith("the byte at offset 5000 came back as ")
    assert re.fullmatch("what came back from offset 10000. on is unrecognized\n", lines[2])
    assert status == 1 and b"the byte at offset 1000 " in output and b"of 3 faults: " in output
    for quiet in ("--quiet", "--json"):
        with servers.tcp(servers.edited(crlf)) as server:
            _, output, _ = run(*command("check", quiet, size="1M"), *server.address)
        assert output.count(b"\n") == 1


def test_the_end_shows_another_fault():
    """A fault that only the end of the connection shows has its line, behind the one before it."""

    def edit(data):
        data[1000] ^= 1
        return data[:-10]

    with servers.tcp(servers.edited(edit)) as server:
        _, output, _ = run(*command("check", size=SIZE), *server.address)
    first, last, verdict = output.decode().splitlines()
    assert first.startswith("the byte at offset 1000 came back as ")
    assert last == f"truncated: the last 10 bytes did not come back, from offset {SIZE - 10} on"
    assert f"{first}, the first of 2 faults: " in verdict


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("surplus", [b"!", bytes(10), bytes(100)])
def test_a_surplus_without_an_end_in_order(resets, surplus, clock):
    """Bytes behind the last one are no change of it, however the connection ends."""
    silent = threading.Event()

    def behaviour(connection):
        servers.echo(connection)
        connection.sendall(surplus)
        until(lambda: servers.is_read(connection))
        if resets:
            servers.reset(connection)
        else:
            silent.set()
            servers.wait_for_end(connection)

    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            *command("check", "--timeout=60", size=SIZE), *server.address,
            env=os.environ | clock.environment) as client:
        if not resets:
            assert silent.wait(DEADLINE)
            clock.run_out(client.process, 60)
        status, output, _ = client.end()
    verdict = output.decode().splitlines()[-1]
    plural = "s" if len(surplus) > 1 else ""
    assert status == 1
    # By chance, the last byte that was sent may be the same as a single one.
    assert re.search(f": differs: {len(surplus)} byte{plural} (that nobody sent came|"
                     f"came back twice, the second time) at offset {SIZE}", verdict)


def test_one_bit_in_a_gigabyte():
    """One flipped bit far out in a long stream is found, with its place."""
    status, verdict = check(servers.flip((1 << 30) - 77), size="1G")
    assert status == 1
    assert f"the byte at offset {(1 << 30) - 77} came back" in verdict
    assert "1 bit changed" in verdict


def test_a_server_that_closes_early():
    """An end before the client's own is no truncation: it is said to have come early."""
    status, verdict = check(servers.close_after(1000), size="64M")
    assert status == 1
    assert ": closed: the connection was closed early" in verdict or ": reset: " in verdict


def test_a_server_that_ends_its_side_early():
    """A half-close by the server in mid-stream is an early end."""

    def behaviour(connection):
        connection.sendall(servers.receive(connection, 1000))
        connection.shutdown(socket.SHUT_WR)
        servers.wait_for_end(connection)

    status, verdict = check(behaviour, size="64M")
    assert status == 1 and ": closed: the connection was closed early" in verdict


def test_a_server_that_resets():
    """A reset is named as one."""
    status, verdict = check(servers.reset_after(1000), size="64M")
    assert status == 1 and ": reset: the connection broke: Connection reset by peer" in verdict


def test_a_server_that_never_answers():
    """The timeout ends the wait, and the verdict says what did not come."""
    status, verdict = check(servers.silent, "--timeout=2", size=1000)
    assert status == 1
    assert ": timeout: 0 bytes came back within 2 s: 1000 bytes sent, 0 came" in verdict


def test_a_server_that_never_closes(clock):
    """All is back but the end of the connection: that is what is said."""
    ended = threading.Event()

    def behaviour(connection):
        servers.echo(connection)
        until(lambda: servers.is_read(connection))
        ended.set()
        servers.wait_for_end(connection)

    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            *command("check", "--timeout=60", size=1000), *server.address,
            env=os.environ | clock.environment) as client:
        assert ended.wait(DEADLINE)
        clock.run_out(client.process, 60)
        status, output, _ = client.end()
    assert status == 1
    assert b"all came back intact, but the connection was not closed within 60 s" in output


def test_a_server_that_never_stops_sending():
    """A check reads a bounded number of bytes beyond those that it sent, however many come."""
    with servers.tcp(servers.endless) as server:
        status, output, errors = run(*command("check", "--timeout=0", size=1000), *server.address)
        found = run(*command("plain"), *server.address, data=b"x")
    received = int(re.search(rb"1000 bytes sent, (\d+) came back", output)[1])
    assert (status, errors) == (1, []) and b": differs: " in output
    assert 1000 < received < 4 << 20
    assert found[0] == 1 and re.search(r"returned more bytes than it received: 1 byte sent", found[2][0])


def test_a_trickle_of_foreign_bytes_does_not_hold_up_the_timeout(clock):
    """Bytes that nobody owes are no progress: the timeout ends a run in which only they come."""
    rounds = []

    def behaviour(connection):
        servers.echo(connection)
        while len(rounds) < 20:
            until(lambda: servers.is_read(connection))
            clock.advance(20)
            connection.sendall(b"x")
            rounds.append(connection)

    clock.stop()
    status, verdict = check(behaviour, "--timeout=60", size=1000,
                            env=os.environ | clock.environment)
    assert status == 1 and ": differs: " in verdict and 1 <= len(rounds) < 20


def socket_queue(connection, request):
    """The bytes that wait in one of the queues of a socket."""
    return struct.unpack("i", fcntl.ioctl(connection, request, bytes(4)))[0]


@pytest.mark.parametrize("surplus", [0, 200_000])
@pytest.mark.parametrize("mode", ["plain", "check"])
def test_a_surplus_from_a_peer_that_reads_nothing(mode, surplus, clock, tmp_path):
    """A peer that blocks the sender has the timeout, also once it has sent as much as it was sent,
    or more."""
    sent = threading.Event()

    def behaviour(connection):
        # The client sends pieces of 512 KiB, and the buffers of a Unix socket are smaller.
        until(lambda: socket_queue(connection, termios.FIONREAD) > 0)
        connection.sendall(bytes((1 << 19) + surplus))
        until(lambda: socket_queue(connection, termios.TIOCOUTQ) == 0)
        sent.set()
        servers.wait_for_end(connection)

    clock.stop()
    with open("/dev/zero", "rb") as zeros, servers.local(
            behaviour, f"{tmp_path}/s") as server, Client(
            *command(mode, "--timeout=60", size="64M" if mode == "check" else None),
            *server.address, stdin=zeros, env=os.environ | clock.environment,
            stdout=subprocess.DEVNULL if mode == "plain" else subprocess.PIPE) as client:
        assert sent.wait(DEADLINE)
        clock.run_out(client.process, 60)
        status, output, errors = client.end()
    # The bytes are the right ones of a stream of zeros.
    assert status == 1 and (
        b": differs: " in output if mode == "check" else
        re.search("returned more bytes than it received: [0-9]+ bytes sent, ", errors[0])), (output, errors)


def test_a_sender_without_a_processor(clock, tmp_path):
    """The peer owes nothing while the client's own sender stands still and all that it sent is back."""
    runs = []

    def look(pid):
        """Lets the client see that time has passed."""
        clock.advance(60)
        wait_until_noticed([pid])

    def behaviour(connection):
        # The client sends pieces of 512 KiB, and the buffers of a Unix socket are smaller.
        until(lambda: runs and socket_queue(connection, termios.FIONREAD) > 0)
        client, sender = runs[0], runs[0].sender
        os.kill(sender, signal.SIGSTOP)
        until(lambda: state(sender) == "T")
        while socket_queue(connection, termios.FIONREAD) > 0:
            connection.sendall(connection.recv(1 << 18))
        until(lambda: socket_queue(connection, termios.TIOCOUTQ) == 0)
        for _ in range(4):
            look(client.process.pid)
        os.kill(sender, signal.SIGCONT)
        servers.echo(connection)

    clock.stop()
    with servers.local(behaviour, f"{tmp_path}/s") as server, Client(
            *command("check", "--timeout=60", size="1M"), *server.address,
            env=os.environ | clock.environment) as client:
        runs.append(client)
        status, output, errors = client.end()
    assert (status, errors) == (0, []) and b"intact" in output, output


def test_the_timeout_is_for_silence_not_for_the_whole(clock):
    """A slow server that goes on answering is waited for."""

    def behaviour(connection):
        while data := connection.recv(1000):
            clock.advance(40)
            connection.sendall(data)
            until(lambda: servers.is_read(connection))

    clock.stop()
    status, verdict = check(behaviour, "--timeout=60", size=10_000,
                            env=os.environ | clock.environment)
    assert status == 0 and "intact" in verdict


@pytest.mark.parametrize("mode, late", [
    *((mode, False) for mode in ("plain", "check", "ping", "requests", "connections", "streams")),
    *((mode, True) for mode in ("ping", "flows", "requests", "connections"))])
def test_a_client_that_comes_late(mode, late, clock):
    """What came while the client got no processor came in time, however long that was; what came
    after the timeout of a round trip is late, although the client finds it at once as well."""
    runs, begun = [], []

    def behaviour(connection):
        data = connection.recv(1 << 18)
        if begun:
            connection.sendall(data)
        else:
            begun.append(connection)
            until(lambda: runs)
            runs[0].freeze()
            if late:
                clock.advance(3600)
            connection.sendall(data)
            until(lambda: servers.queues(connection)[1][1] == len(data))
            if not late:
                clock.stall(3600)
            runs[0].thaw()
        servers.echo(connection)

    clock.stop()
    words = {"ping": ["--ping", "-c1"], "flows": ["--ping", "--flows=2", "-c1", "-i0.001"],
             "check": ["--check", "-s1000"], "plain": []}.get(mode, command(mode, "-P1", "-w0.01"))
    with servers.tcp(behaviour) as server, Client(
            *words, *(["--json"] if late else []), "--timeout=60", *server.address,
            env=os.environ | clock.environment) as client:
        runs.append(client)
        if mode == "plain":
            client.process.stdin.write(b"late")
        # The start of a load lies ahead.
        until(lambda: begun or clock.advance(0.001))
        status, output, errors = client.end(b"")
    assert (status, errors) == (int(late), []), output
    if late:
        # Another flow may be late as well.
        found = json.loads(output)["ping" if "--ping" in words else "load"]["errors"]
        assert set(found) == {"timeout"}


def test_an_answer_that_is_still_coming_is_late(clock):
    """Bytes that wait at each deadline do not hold it up for ever: only a whole answer is in time."""
    rounds, size, piece = [], 4 << 20, 1 << 18

    def behaviour(connection):
        message = servers.receive(connection, size)
        for place in range(0, size, piece):
            rounds.append(place)
            client.freeze()
            connection.sendall(message[place:place + piece])
            clock.stall(3600)
            client.thaw()
            until(lambda: servers.is_read(connection))
        servers.echo(connection)

    clock.stop()
    with servers.tcp(behaviour) as server, Client(
            "--json", *command("requests", "-P1", "-w0.01", "--timeout=60", size=size),
            *server.address, env=os.environ | clock.environment) as client:
        # The start of a load lies ahead.
        until(lambda: rounds or clock.advance(0.001))
        status, output, _ = client.end(b"")
    assert status == 1 and json.loads(output)["load"]["errors"] == {"timeout": 1}
    assert len(rounds) < size // piece


def test_a_server_that_answers_one_byte_at_a_time():
    """However the bytes are cut, they are the same bytes."""
    status, verdict = check(servers.trickle, size=20_000)
    assert status == 0 and "intact" in verdict


def test_nobody_there():
    """No connection, no verdict: the sentence goes to standard error."""
    with servers.closed_port() as holder:
        status, output, errors = run("--check", "127.0.0.1", holder.getsockname()[1], data=b"")
    assert (status, output, len(errors)) == (1, b"", 1)
    assert errors[0].endswith("Connection refused")


def test_an_interrupt_gives_the_verdict_so_far():
    """^C and SIGTERM end a check with what is known by then; both processes go."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with servers.tcp(servers.silent) as server:
            with Client("--check", "-s1G", "--timeout=0", *server.address) as client:
                sender = client.sender
                until(lambda: server.accepted == 1)
                client.process.send_signal(number)
                status, output, errors = client.end()
        assert (status, errors) == (1, [])
        assert b": interrupted: ended early, 0 bytes came back: " in output
        assert sender


def test_a_full_disk_behind_the_verdict():
    """A verdict that cannot be written is an error of its own."""
    with servers.tcp(servers.echo) as server, open("/dev/full", "wb") as full:
        status, _, errors = run("--check", "-s10", *server.address, stdout=full)
    assert status == 1
    assert errors == ["mpecho-client: Cannot write to standard output: No space left on device"]


def test_the_source_address():
    """--source is where the connection comes from; another family than the host's is named."""
    seen = []

    def behaviour(connection):
        seen.append(connection.getpeername()[0])
        servers.echo(connection)

    with servers.tcp(behaviour) as server:
        assert run("--check", "-s10", "--source=127.0.0.77", *server.address)[0] == 0
        status, _, errors = run("--check", "-s10", "--source=::1", *server.address)
    assert seen == ["127.0.0.77"]
    assert status == 1 and errors[0].endswith(": the address family differs from that of --source")


def test_an_address_of_another_machine_as_the_source():
    """The error names the source address, not the host."""
    assert run("--check", "-s10", "--source=192.0.2.1", "127.0.0.1", "9")[::2] == (
        1, ["mpecho-client: Cannot use source address 192.0.2.1: Cannot assign requested address"])


def test_the_connect_timeout_names_itself(tmp_path):
    """A server whose queue is full does not answer; the sentence says for how long."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(f"{tmp_path}/full")
        listener.listen(0)
        first.connect(f"{tmp_path}/full")
        status, _, errors = run("--check", "--connect-timeout=0.3", f"{tmp_path}/full", data=b"")
    assert status == 1
    assert errors == [
        f"mpecho-client: Cannot connect to {tmp_path}/full: no answer within 0.3 s"
    ]


def test_the_connect_timeout_over_tcp():
    """The same over TCP, where it is the packets that nobody answers."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        status, _, errors = run("--check", "--connect-timeout=0.3", "127.0.0.1", port, data=b"")
    assert status == 1
    assert errors == [
        f"mpecho-client: Cannot connect to 127.0.0.1 port {port}: no answer within 0.3 s"
    ]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--check", "-s0"], "--size 0 needs --udp with --ping or --load"),
        (["--check", "-s1X"], "not '1X'"),
        (["--check", "--size="], "not ''"),
        (["--check", "-s-1"], "not '-1'"),
        (["--check", "-s99999999G"], "not '99999999G'"),
        (["--check", "-s20000000000000000000000"], "not '20000000000000000000000'"),
        (["--check", "--check"], "--check cannot be combined with another mode"),
        (["--timeout=x"], "--timeout takes a time from 0 to 86400 seconds, as 2, 0.5, 200ms or 1m, not 'x'"),
        (["--timeout=86400.1", "--check"], "not '86400.1'"),
        (["--timeout=1.", "--check"], "not '1.'"),
        (["--timeout=.", "--check"], "not '.'"),
        (["--timeout=1e3", "--check"], "not '1e3'"),
        (["--timeout=1.0000000001", "--check"], "not '1.0000000001'"),
        (["--connect-timeout=-1"], "--connect-timeout takes a time"),
        (["--source=host.example"], "--source takes an IPv4 or IPv6 address or an interface, not 'host.example'"),
    ],
)
def test_wrong_values(arguments, sentence):
    """Status 2 and one sentence that names the wrong value."""
    status, output, errors = run(*arguments, "host", data=b"")
    assert (status, output, len(errors)) == (2, b"", 2)
    assert sentence in errors[0]
