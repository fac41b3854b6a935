# SPDX-License-Identifier: MIT
"""mpecho-echoping: what SmokePing's probe EchoPing passes, and what it reads.

debian/tests/smokeping runs SmokePing itself."""

import os
import pathlib
import re
import subprocess

import pytest

import servers
from client import CLIENT, DEADLINE
from test_client_datagrams import Peer, echo

SCRIPT = pathlib.Path(__file__).parents[2] / "packaging" / "mpecho-echoping"
# The expression of lib/Smokeping/probes/EchoPing.pm, in SmokePing 2.7.3 and 2.8.2.
TIME = re.compile(r"Elapsed time: (\d+\.\d+) seconds")


@pytest.fixture(name="script")
def fixture_script(tmp_path):
    """The script as it is installed, with the client of the build."""
    path = tmp_path / "mpecho-echoping"
    path.write_text(SCRIPT.read_text().replace("/usr/bin/mpecho-client", CLIENT))
    path.chmod(0o755)

    def run(words, environment=None):
        # As EchoPing.pm does: by a shell.
        return subprocess.run(f"{path} {words}", shell=True, capture_output=True, text=True,
                              timeout=DEADLINE, env=os.environ | (environment or {}))

    return run


def times(result):
    """The seconds of each line; there is no other."""
    return [float(TIME.fullmatch(line)[1]) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("options", [
    "-t 120", "-w 0 -t 120 -s 510 -P 0xa0 -p 6 -f A -4", "-t 99.5 -w 0.01 -P 160 -v", "-4 -s 1"])
def test_each_answer_has_a_line(script, options):
    """All options of the probe work, and each answer on a connection of its own has a line."""
    with servers.tcp(servers.echo) as server:
        result = script(f"{options} -n 2 {':'.join(server.address)}")
        assert server.accepted == 2
    assert (result.returncode, result.stderr) == (0, "")
    assert len(times(result)) == 2 and all(time > 0 for time in times(result))


def test_datagrams(script):
    """The options of udp = yes work, and each answer has a line."""
    with Peer(echo) as peer:
        result = script(f"-u -t 120 -w 0.01 -n 2 {':'.join(peer.address)}")
    assert (result.returncode, result.stderr, len(times(result))) == (0, "", 2)


def test_only_answers_in_time_have_lines(script, clock):
    """Neither a second answer nor one behind its timeout is a round trip."""
    def behave(peer):
        held = peer.receive()
        for _ in range(4):
            clock.advance(20)
            came = peer.receive()
            peer.answer(*came)
            peer.answer(*came)
        # 80 seconds after the first one, whose time is over.
        peer.answer(*held)
        clock.advance(20)
        echo(peer)

    clock.stop()
    with Peer(behave) as peer:
        result = script(f"-u -t 60 -w 20 -n 6 {':'.join(peer.address)}", clock.environment)
    assert result.returncode == 1 and len(times(result)) == 5
    assert "no answer within 60 s" in result.stderr


def test_the_unit_of_times():
    """Times of any unit of mpecho-client become seconds."""
    program = SCRIPT.read_text().partition("awk '\n")[2].rpartition("'")[0]
    lines = "".join(f"64 bytes from 192.0.2.7:7: seq={number} time={time}\n" for number, time in
                    enumerate(["512 ns", "31.8 us", "5.12 ms", "1.48 s", "120 s"], 1))
    result = subprocess.run(["awk", program], input=lines, capture_output=True, text=True,
                            timeout=DEADLINE)
    assert times(result) == [0.000001, 0.000032, 0.00512, 1.48, 120]


@pytest.mark.parametrize("options", ["", "-t 60"])
def test_losses(script, options):
    """A failure has no line on standard output, but one with its reason, and the status 1."""
    with servers.closed_port() as holder:
        port = holder.getsockname()[1]
        result = script(f"-n 2 -w 0.01 {options} 127.0.0.1:{port}")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"mpecho-echoping: Cannot connect to 127.0.0.1 port {port}: "
                             "Connection refused\n") * 2


def test_a_silent_service(script, clock):
    """A run takes no longer than its round trips may."""

    def behaviour(connection):
        connection.recv(1)
        clock.advance(60)
        servers.silent(connection)

    clock.stop()
    with servers.tcp(behaviour) as server:
        result = script(f"-n 3 -t 60 -w 0.01 {':'.join(server.address)}", clock.environment)
    assert result.returncode == 1 and times(result) == []
    assert "no answer within 60 s" in result.stderr


@pytest.mark.parametrize("words", ["", "a b", "-n x host", "-n '' host", "-P y host", "-h /url host"])
def test_wrong_usage(script, words):
    """Status 2 and one line."""
    result = script(words)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage: mpecho-echoping" in result.stderr


def test_a_greeting_is_no_answer(script):
    """A host that sends what looks like a line of the client has no line."""
    with servers.tcp(lambda connection: connection.sendall(b"220 x: seq=1 time=1.00 us")) as server:
        result = script(f"-n 2 -w 0.01 {':'.join(server.address)}")
    assert (result.returncode, result.stdout) == (1, "")
