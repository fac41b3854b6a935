# SPDX-License-Identifier: MIT
"""mpecho-client and other people's echo servers: what is right is found right, and what is not is
named; and other people's instruments. install-peers fetches the inetds, and irtt."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

import inetds
from client import Client, gone, run, until
from processes import DEADLINE, children, state, wait_for, wait_until_waiting

IRTT = inetds.PEERS.parent / "bin" / "irtt"
HOST, PORT = "127.0.0.1", "7"


def socat(*_):
    return ["socat", f"TCP4-LISTEN:{PORT},bind={HOST},reuseaddr,fork", "EXEC:cat"]


def ncat(_, directory):
    """With a cat that waits for a file: the client has half-closed before anything comes back."""
    begin = directory / "begin"
    return ["ncat", "-4", "-l", "-k", HOST, PORT,
            "--sh-exec", f"until test -e {begin}; do sleep 0.05; done; exec cat"]


@pytest.fixture
def peer(network, tmp_path):
    """Starts a server on port 7 of a network of its own; returns how to call a function there."""
    started = []
    net = network()

    def begin(make):
        command = [str(word) for word in make(HOST, tmp_path)]
        if not shutil.which(command[0]):
            pytest.skip(f"no {command[0]}")
        with (tmp_path / "output").open("wb") as output:
            started.append(net.run(subprocess.Popen, command, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, start_new_session=True))

        def listens():
            assert started[0].poll() is None, (tmp_path / "output").read_text()
            with net.run(socket.socket) as probe:
                return net.run(probe.connect_ex, (HOST, int(PORT))) == 0

        wait_for(listens, f"{command[0]} listening")
        return net.run

    def working(process):
        found = children(process.pid) + children(os.getpid())
        return any(state(pid) != "Z" for pid in found if pid != process.pid)

    yield begin
    for process in started:
        wait_for(lambda: not working(process), "the end of what served connections")
        process.terminate()
        process.wait(DEADLINE)


@pytest.mark.parametrize("make", [inetds.inetd, inetds.xinetd, socat])
def test_a_server_that_echoes_is_found_intact(peer, make):
    """Every mode works with it, and finds nothing wrong."""
    inside = peer(make)
    status, output, errors = inside(run, "--check", "-s8M", HOST, PORT)
    assert (status, errors) == (0, []) and b": intact: " in output
    status, output, _ = inside(run, "--ping", "-c20", "--interval=0.001", HOST, PORT)
    assert status == 0 and b"20 answered, 0 lost" in output
    status, output, _ = inside(run, "--load", "--duration=0.5", "--connections=4", HOST, PORT)
    assert status == 0 and b"\n0 errors\n" in output
    data = bytes(range(256)) * 1000
    assert inside(run, HOST, PORT, data=data) == (0, data, [])


@pytest.mark.skipif(not inetds.PEERS.exists(), reason="no inetds: run make deps check")
@pytest.mark.parametrize("make, room", inetds.BUFFERS.items())
def test_datagrams_that_an_inetd_cuts_are_changed(network, tmp_path, make, room):
    """Datagrams that fit into the buffer of an inetd are answered, longer ones come back changed."""
    address = "192.0.2.7"
    here = network(f"{address}/32")
    with inetds.datagrams(make, here, address, tmp_path) as pid:
        for size, fate in (room, "answered"), (room + 1, "changed"):
            wait_until_waiting([pid])
            _, output, errors = here.run(run, "--json", "--ping", "--udp", "-c1", "-W0", f"-s{size}",
                                         address)
            counts = json.loads(output)["datagrams"]
            assert (counts["sent"], counts[fate], errors) == (1, 1, [])


def has_read_the_end(inside):
    """Whether the servers have read all that clients sent which have half-closed."""
    table = inside(pathlib.Path("/proc/thread-self/net/tcp").read_text)
    rows = [line.split() for line in table.splitlines()[1:]]
    # proc(5): the state, of which CLOSE_WAIT is the eighth, and the bytes to be sent and read.
    return all(row[4].endswith(":00000000") for row in rows if row[3] == "08")


def ncat_version():
    version = subprocess.run(["ncat", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"Version (\d+)\.(\d+)", version.stdout + version.stderr)
    return tuple(map(int, found.groups()))


def test_what_ncat_loses_is_named(peer, tmp_path):
    """Up to 7.95, ncat ends when its client half-closes; what has not come back by then is missing.
    Newer ones lose nothing, and the client finds that."""
    if not shutil.which("ncat"):
        pytest.skip("no ncat")
    inside, begin = peer(ncat), tmp_path / "begin"
    loses = ncat_version() < (7, 96)
    with inside(Client, "--check", "-s100000", "--timeout=0", HOST, PORT) as client:
        sender = client.sender
        until(lambda: gone(sender))
        begin.touch()
        status, output, _ = client.end()
    begin.unlink()
    assert status == int(loses)
    assert re.search(rb": (missing: truncated: the last \d+ bytes|reset: |closed: )" if loses
                     else rb": intact: 100000 bytes sent", output)
    with inside(Client, HOST, PORT) as client:
        client.process.stdin.write(b"hello")
        client.process.stdin.close()
        client.process.stdin = None
        sender = client.sender
        until(lambda: gone(sender) and has_read_the_end(inside))
        begin.touch()
        status, output, errors = client.end()
    lost = f"mpecho-client: 5 bytes sent to {HOST} port {PORT}, but 0 came back"
    assert (status, output, errors) == ((1, b"", [lost]) if loses else (0, b"hello", []))


# Counts the datagrams of 200 bytes to each of both services, and loses a fifth of them.
LOSS = "".join(f"udp dport {port} udp length 208 counter numgen random mod 100 < 20 counter drop\n"
               for port in (7, 2112))


@contextlib.contextmanager
def irtt_server(network):
    server = network.run(subprocess.Popen, [IRTT, "server", "-b", "10.0.0.2:2112", "-i", "0"],
                         stdout=subprocess.PIPE)
    try:
        while b"listener on" not in (line := server.stdout.readline()):
            assert line, "irtt does not listen"
        yield
    finally:
        server.terminate()
        server.communicate(timeout=DEADLINE)


def counted(network):
    """How many datagrams came to mpecho and to irtt by the lossy path, and how many it lost."""
    rules = json.loads(network.execute("nft", "-j", "list", "table", "inet", "loss"))["nftables"]
    counts = [part["counter"]["packets"] for rule in rules if "rule" in rule
              for part in rule["rule"]["expr"] if "counter" in part]
    return counts[::2], counts[1::2]


@pytest.mark.skipif(not IRTT.exists(), reason="no irtt: run make deps check")
def test_the_same_loss_as_irtt(start, network, clock):
    """Over one lossy path, at once, the client counts exactly what that path loses, and so does
    irtt, but for answers that come to it too late."""
    count = 200
    here, there = network(), network()
    here.link(there, ("10.0.0.1/24", "10.0.0.2/24"))
    there.execute("nft", "-f", "-", text="table inet loss {\nchain input { type filter hook input "
                  f"priority 0\n{LOSS}}}\n}}\n")
    start("udp:7", "--max-datagrams-per-source=0", network=there)
    clock.stop()
    with irtt_server(there), here.run(
            subprocess.Popen, [IRTT, "client", "-i", "2ms", "-d", "399ms", "-l", "200", "--wait=1s",
                               f"--timeouts={DEADLINE}s", "-Q", "-o", "-", "10.0.0.2:2112"],
            stdout=subprocess.PIPE) as irtt, here.run(
                Client, "--ping", "--udp", f"-c{count}", "-i2ms", "-s200", "-W60", "10.0.0.2",
                env=os.environ | clock.environment) as client:
        until(lambda: counted(there)[0][0] == count or clock.advance(0.01))
        answered = count - counted(there)[1][0]
        # The clock passes the timeout when each answer has its line, behind one of the run.
        for _ in range(1 + answered):
            assert client.process.stdout.readline()
        clock.run_out(client.process, 60)
        _, output, _ = client.end()
        theirs, _ = irtt.communicate(timeout=DEADLINE)
    assert 0 < answered < count
    assert re.search(
        rf": {count} sent, {answered} answered, {count - answered} lost \([\d.]+ %\) in ".encode(),
        output)
    theirs = json.loads(theirs)
    sent = theirs["stats"]["packets_sent"]
    until(lambda: counted(there)[0][1] == sent)
    lost = counted(there)[1][1]
    # Why it lost a datagram: its server tells with the answers which of them have come there.
    reasons = [one["lost"] for one in theirs["round_trips"]]
    assert 0 < reasons.count("true_up") <= lost <= sent - reasons.count("false")
