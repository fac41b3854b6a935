# SPDX-License-Identifier: MIT
"""mpecho-client --ping --flows: which of many source ports lose packets, on links that are known.

The client and the server are in a network namespace each, with four cables between them. The client
spreads its connections over these by their ports, as routers do (ECMP). MPECHO_FLOWS=all repeats
runs of datagrams with other ports, which take other links: 50 with a lossy one, 100 without."""

import contextlib
import json
import os
import re
import signal
import socket
import threading

import pytest

import servers
from client import DEADLINE, Client, run, until
from processes import wait_until_noticed
from test_client_datagrams import FOREVER, Peer, echo, is_queued
from test_client_json import parse

LINKS = 4
# The length of a network's prefix and of an address, and the network of each link and of both ends.
FAMILIES = {"IPv4": (24, 32, "10.88.{}.{}"), "IPv6": (64, 128, "fd88:{}::{}")}
BAD = "link2"
# Notes the source ports that cross each link; link2 loses every fifth packet at random.
RULES = f"""table inet paths
delete table inet paths
table inet paths {{
    set ports {{ type ifname . inet_service; flags dynamic; size 4096; }}
    chain input {{
        type filter hook prerouting priority -300
        iifname "link*" th dport 7 add @ports {{ iifname . th sport }}
        iifname "{BAD}" th dport 7 RULE
    }}
}}
"""
LOSSY, DEAD = "numgen random mod 100 < 20 counter drop", "counter drop"
PORTS = range(20000, 30000, 100) if os.environ.get("MPECHO_FLOWS") == "all" else [20000]
RUNS = [*((LOSSY, first) for first in PORTS[:50]), *(("accept", first) for first in PORTS)]


@contextlib.contextmanager
def datagrams(network, address):
    """Echoes datagrams in the network; an empty one ends it."""

    def work(service):
        while came := service.recvfrom(1 << 16):
            if not came[0]:
                return
            service.sendto(*came)

    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with network.run(socket.socket, family, socket.SOCK_DGRAM) as service:
        service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        service.bind(address)
        thread = threading.Thread(target=work, args=[service])
        thread.start()
        try:
            yield
        finally:
            with network.run(socket.socket, family, socket.SOCK_DGRAM) as other:
                other.sendto(b"", address)
            thread.join()


class Paths:
    """Four links from the client to the server, of which one may lose packets."""

    def __init__(self, network, family="IPv4"):
        prefix, length, address = FAMILIES[family]
        here, self.address = address.format(9, 1), address.format(9, 2)
        self.client, self.server = network(f"{here}/{length}"), network(f"{self.address}/{length}")
        for machine in (self.client, self.server):
            machine.execute("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        route = ["ip", "route", "add", self.address, "src", here]
        for link in range(LINKS):
            ends = address.format(link, 1), address.format(link, 2)
            self.client.link(self.server, tuple(f"{end}/{prefix}" for end in ends),
                             name=f"link{link}")
            # Until the kernel has found the neighbour of a link, flows take another one.
            self.client.know(ends[1], self.server, f"link{link}")
            route += ["nexthop", "via", ends[1], "dev", f"link{link}"]
        self.client.execute(*route)
        self.client.execute("sysctl", "-qw", *(f"net.{name}.fib_multipath_hash_policy=1"
                                               for name in ("ipv4", "ipv6")))
        # Answers take one way, which may be another than that of the question.
        self.server.execute("ip", "route", "add", here, "via", address.format(0, 1))
        self.server.execute("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0",
                            *(f"net.ipv4.conf.link{link}.rp_filter=0" for link in range(LINKS)))

    def rule(self, rule):
        """What happens to packets on the bad link."""
        self.server.execute("nft", "-f", "-", text=RULES.replace("RULE", rule))

    def ports(self):
        """The source ports that crossed each link."""
        (found,) = [part["set"] for part in json.loads(self.server.execute(
            "nft", "-j", "list", "set", "inet", "paths", "ports"))["nftables"] if "set" in part]
        ports = {f"link{link}": set() for link in range(LINKS)}
        for element in found.get("elem", []):
            link, port = element["concat"]
            ports[link].add(port)
        return ports

    def crossed(self):
        """How many source ports have crossed a link."""
        return sum(map(len, self.ports().values()))

    def lost(self):
        """How many packets the bad link has lost."""
        rules = json.loads(self.server.execute("nft", "-j", "list", "table", "inet", "paths"))
        return sum(part["counter"]["packets"] for rule in rules["nftables"] if "rule" in rule
                   for part in rule["rule"]["expr"] if "counter" in part)

    def ping(self, clock, *arguments, flows=32):
        """What a run reports: its exit status, and the flows. The clock stands but for one move, with
        which the others follow the first flow: no answer is late because the machine stalls."""
        clock.stop()
        with self.server.run(servers.tcp, servers.echo, self.address, port=7), self.client.run(
                Client, "--json", "--ping", "--flood", f"--flows={flows}", *arguments, self.address,
                env=os.environ | clock.environment) as client:
            until(lambda: self.crossed() > 0)
            clock.advance(1)
            return report(*client.end(b""))

    def arrived(self):
        """How many datagrams have come to the server, or were lost on the way."""
        return self.server.datagrams("InDatagrams") + self.lost()

    def ping_by_datagrams(self, clock, count, *options, flows=32):
        """The same of datagrams. The clock exceeds their timeout when all that are not lost are back.
        """
        clock.stop()
        with datagrams(self.server, (self.address, 7)), self.client.run(
                Client, "--json", "--ping", "--udp", f"--flows={flows}", f"-c{count}", "-i10ms",
                "-W60", *options, self.address, env=os.environ | clock.environment) as client:
            # The queue of a server that does not run would lose what comes too fast.
            until(lambda: self.arrived() == flows * count or
                  (self.arrived() == self.client.datagrams("OutDatagrams") and clock.advance(0.01)))
            until(lambda: self.client.datagrams("InDatagrams")
                  == self.server.datagrams("OutDatagrams")
                  == self.server.datagrams("InDatagrams"))
            # The last one has been read, but perhaps not timed.
            wait_until_noticed([client.process.pid])
            clock.run_out(client.process, 60)
            return report(*client.end())


def report(status, output, errors):
    """The object of a run, and its flows."""
    assert errors == []
    result = parse(output.decode())
    assert result["status"] == status
    return result, result["ping"]["flows"]


@pytest.fixture
def paths(network):
    return Paths(network)


def named(flows):
    return {flow["port"] for flow in flows["list"] if flow["named"]}


def test_the_flows_of_a_lossy_link(paths, clock):
    """Exactly the flows on the link that loses 20 % are named, and the next run repeats them."""
    paths.rule(LOSSY)
    # With so many, hardly one run in 50,000 has a flow that loses less than three packets.
    result, flows = paths.ping(clock, "-c80")
    bad = paths.ports()[BAD]
    assert bad and named(flows) == bad
    assert result["failure"] == {"kind": "loss", "message": flows["verdict"]}
    assert flows["verdict"].startswith(f"{len(bad)} of 32 flows lose")
    assert 0.1 < flows["loss"] < 0.3 and flows["other_loss"] < 0.01
    assert flows["probability"] <= 0.01 and flows["named"] == len(bad)
    # TCP has repeated what was lost.
    assert result["ping"]["answered"] == result["ping"]["sent"] == 32 * 80
    for flow in flows["list"]:
        assert flow["sent"] == flow["answered"] == 80 and flow["segments"] >= 81
    # The same ports are the same flows, in a run that begins at once.
    first = min(flow["port"] for flow in flows["list"])
    paths.rule("accept")
    result, flows = paths.ping(clock, "-c40", f"--source-port={first}")
    assert {flow["port"] for flow in flows["list"]} == set(range(first, first + 32))
    assert paths.ports()[BAD] == bad
    # Without loss none is named, and the packets are enough to say so. The kernel of a busy machine
    # may send something twice.
    assert result["status"] == 0 and named(flows) == set()
    assert flows["enough"] or flows["other_loss"] > 0


@pytest.mark.parametrize("rule, first", RUNS)
def test_ports(paths, clock, rule, first):
    """Whichever links the ports take, exactly the flows on a lossy one are named; without loss,
    none."""
    paths.rule(rule)
    result, flows = paths.ping_by_datagrams(clock, 100, f"--source-port={first}")
    bad = paths.ports()[BAD] if rule == LOSSY else set()
    assert {flow["port"] for flow in flows["list"]} == set(range(first, first + 32))
    assert named(flows) == bad and result["status"] == bool(bad)


@pytest.mark.parametrize("family, rule, loss", [("IPv4", LOSSY, 0.2), ("IPv6", LOSSY, 0.2),
                                                ("IPv4", DEAD, 1)])
def test_datagrams(network, clock, family, rule, loss):
    """Exactly the flows whose datagrams the link loses are named, by the losses that it counted; no
    loss holds back the next datagram."""
    paths = Paths(network, family)
    paths.rule(rule)
    result, flows = paths.ping_by_datagrams(clock, 100)
    bad = paths.ports()[BAD]
    assert bad and named(flows) == bad
    assert result["failure"] == {"kind": "loss", "message": flows["verdict"]}
    assert loss / 2 < flows["loss"] <= loss * 1.5 and flows["other_loss"] < 0.01
    assert result["datagrams"]["sent"] == result["ping"]["sent"] == 32 * 100
    assert result["datagrams"]["lost"] == sum(flow["lost"] for flow in flows["list"])
    for flow in flows["list"]:
        assert flow["sent"] == 100 and flow["segments"] is flow["rtt"] is None


def test_the_flows_of_a_dead_link(paths, clock):
    """Flows that never connect are lost and named; the run goes on with the others and ends."""
    echoed = []

    def echo_and_note(connection):
        while data := servers.receive(connection, 64):
            connection.sendall(data)
            echoed.append(connection)

    paths.rule(DEAD)
    clock.stop()
    with paths.server.run(servers.tcp, echo_and_note, paths.address, port=7), paths.client.run(
            Client, "--json", "--ping", "--flood", "--flows=32", "-c10", "--connect-timeout=10",
            paths.address, env=os.environ | clock.environment) as client:
        until(lambda: paths.crossed() > 0)
        # The others follow the first one. While the clock stands, no answer is late.
        clock.advance(1)
        until(lambda: paths.crossed() == 32)
        bad = paths.ports()[BAD]
        until(lambda: len(echoed) == 10 * (32 - len(bad)))
        wait_until_noticed([client.process.pid])
        clock.run_out(client.process, 1)
        result, flows = report(*client.end(b""))
    assert bad and named(flows) == bad and result["status"] == 1
    assert flows["loss"] == 1
    for flow in flows["list"]:
        assert flow["answered"] == (0 if flow["port"] in bad else 10)


def test_too_few_packets(clock):
    """A verdict of few packets says that they are few, and how many are enough."""
    clock.stop()
    with servers.tcp(servers.echo) as server, Client(
            "--ping", "--flood", "--flows=8", "-c2", *server.address,
            env=os.environ | clock.environment) as client:
        until(lambda: server.accepted > 0)
        # The others follow the first one. While the clock stands, no answer is late.
        clock.advance(1)
        status, output, _ = client.end()
    assert status == 0
    verdict = output.decode().splitlines()[-1]
    found = re.fullmatch(r"No flow loses more than the others, which lose .*, but these are too few "
                         r"packets: a path that loses 20 % shows from (\d+) of each flow on", verdict)
    assert found, verdict
    assert int(found[1]) > 3


def test_rows():
    """A row for each flow, with its port and counts, from the given port on."""
    with servers.tcp(servers.echo) as server:
        status, output, _ = run("--ping", "--flows=3", "-c5", "-i10ms", "--source-port=61000",
                                *server.address)
    lines = output.decode().splitlines()
    assert status == 0 and lines[0].endswith(", 3 flows, --source-port=61000")
    rows = [re.fullmatch(r"(\d+) +5 +0 +[\d.]+ \w+ +- +\d+ +(\d+) +\d+ +[\d.]+ \w+", line)
            for line in lines[2:5]]
    assert [row[1] for row in rows] == ["61000", "61001", "61002"]
    assert all(int(row[2]) >= 6 for row in rows)
    assert "15 sent, 15 answered, 0 lost" in output.decode()


def test_the_first_line_of_datagrams():
    """It names the target, the kind of the flows, their number and the first port."""
    with Peer(echo) as peer:
        host, port = peer.address
        _, output, _ = run("--ping", "--udp", "--flows=2", "-c1", "-i2ms", host, port)
    assert re.match(rf"mpecho-client: 64 bytes to {host} port {port}, in datagrams, 2 flows, "
                    r"--source-port=\d+\n", output.decode())


@pytest.mark.parametrize("form, timeout, lost", [("--json", 0, 0), ("--json", 30, 1), ("-q", 0, 0)])
def test_rows_of_datagrams(form, timeout, lost, clock):
    """The rows count as lost what the whole does: no datagram that came back changed, or is open."""
    runs, begun, read = [], [], []

    def behave(peer):
        begun.extend(sorted((peer.receive() for _ in range(3)), key=lambda came: came[1]))
        until(lambda: runs)
        runs[0].freeze()
        for (data, source), change in zip(begun, (0, 1)):
            peer.answer(data[:-1] + bytes([data[-1] ^ change]), source)
            until(lambda source=source: is_queued(source[1]))
        runs[0].thaw()
        until(lambda: not any(is_queued(source[1]) for _, source in begun))
        read.append(True)

    clock.stop()
    with Peer(behave) as peer, Client(
            form, "--ping", "--udp", "--flows=3", "-c1", "-i0.003", f"-W{timeout}", "-w60",
            *peer.address, env=os.environ | clock.environment) as client:
        runs.append(client)
        until(lambda: begun or clock.advance(0.001))
        until(lambda: read)
        clock.run_out(client.process, 1)
        status, output, _ = client.end(b"")
    assert status == 1
    if form == "--json":
        counts = parse(output.decode())
        rows = [flow["lost"] for flow in counts["ping"]["flows"]["list"]]
        assert (counts["datagrams"]["lost"], counts["datagrams"]["changed"]) == (lost, 1)
    else:
        rows = [int(line.split()[2]) for line in re.findall(r"^ *\d{5} .*", output.decode(), re.M)]
    assert rows == [0, 0, lost]


@pytest.mark.parametrize("late", [False, True])
def test_answers_at_the_end(late, clock):
    """An answer that came before the end of the run counts, however late the client looks; one that
    came later does not."""
    begun = []

    clock.stop()
    with servers.tcp(servers.hold(begun)) as server, Client(
            "--json", "--ping", "--flows=2", "-c1", "-i0.002", *FOREVER, "-w30", *server.address,
            env=os.environ | clock.environment) as client:
        until(lambda: len(begun) == 2 or clock.advance(0.001))
        client.freeze()
        if late:
            clock.advance(3600)
        for connection, data in begun:
            connection.sendall(data)
            until(lambda connection=connection: servers.queues(connection)[1][1] == len(data))
        if not late:
            clock.stall(3600)
        client.thaw()
        status, output, _ = client.end(b"")
    assert status == int(late)
    assert parse(output.decode())["ping"]["errors"] == ({"interrupted": 2} if late else {})


@pytest.mark.parametrize("words", [[], ["--udp"]])
def test_the_interval(words):
    """A flow begins its round trips at the instants of the interval, not as fast as it has answers."""
    with Peer(echo) if words else servers.tcp(servers.echo) as server:
        status, output, _ = run("--ping", *words, "--json", "--flows=2", "-c4", "-i0.05", *FOREVER,
                                *server.address)
    result = json.loads(output)
    assert (status, result["ping"]["answered"]) == (0, 8) and result["seconds"] >= 0.15


@pytest.mark.parametrize("kind, options", [(socket.SOCK_STREAM, []), (socket.SOCK_DGRAM, ["--udp"])])
def test_a_busy_port(kind, options):
    """One sentence names the port that another program has."""
    with servers.tcp(servers.echo) as server, socket.socket(type=kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        result = run("--ping", "--flows=2", f"--source-port={port}", *options, *server.address)
    assert result == (1, b"", [f"mpecho-client: Cannot use source port {port}: Address already in use"])


def test_nobody_answers():
    """Without a connection there is no peer, no time to connect, and nothing that the kernel measured."""
    with socket.socket() as holder:
        # A port where nobody listens, and that nobody else gets.
        holder.bind(("127.0.0.1", 0))
        status, output, _ = run("--json", "--ping", "--flows=2", "-c2", "-i10ms",
                                "127.0.0.1", str(holder.getsockname()[1]))
    result = parse(output.decode())
    assert (status, result["ping"]["errors"]) == (1, {"refused": 4})
    assert result["peer"] is result["phases"]["connect"] is result["kernel"] is None


def test_a_failure_costs_one_round_trip():
    """A flow whose connection is reset goes on from the same port, and none is named for it."""
    with servers.tcp(servers.reset_after(640)) as server:
        status, output, _ = run("--json", "--ping", "--flows=4", "-c12", "-i20ms", *server.address)
        assert server.accepted == 8
    result = parse(output.decode())
    assert status == 1 and result["failure"]["kind"] == "reset"
    assert (result["ping"]["sent"], result["ping"]["errors"]) == (48, {"reset": 4})
    for flow in result["ping"]["flows"]["list"]:
        assert (flow["sent"], flow["answered"], flow["lost"]) == (12, 11, 1)


def test_a_wrong_answer():
    """Each answer is compared with what its own connection sent."""
    with servers.tcp(servers.flip(100)) as server:
        status, output, _ = run("--json", "--ping", "--flows=2", "-c2", "-i10ms", *server.address)
    result = parse(output.decode())
    assert status == 1 and result["ping"]["errors"] == {"differs": 2}


def test_more_than_the_answer():
    """An answer that comes twice, both at once, is none."""
    with servers.tcp(servers.beginning(lambda data: data + data)) as server:
        status, output, _ = run("--json", "--ping", "--flows=2", "-c1", "-i10ms", *server.address)
    result = parse(output.decode())
    assert status == 1 and result["ping"]["errors"] == {"differs": 2}


def test_an_interrupt():
    """^C ends the run with its results."""
    with servers.tcp(servers.echo) as server:
        with Client("--ping", "--flows=2", "-i10ms", *server.address) as client:
            assert b"2 flows" in client.process.stdout.readline()
            until_answered(client)
            client.process.send_signal(signal.SIGINT)
            status, output, _ = client.end()
    assert status == 0 and b"No flow loses more" in output


def until_answered(client):
    """Asks until both flows have an answer."""
    while True:
        client.process.send_signal(signal.SIGUSR1)
        line = client.process.stderr.readline()
        answered = re.search(rb"s: (\d+) answered", line)
        if answered and int(answered[1]) >= 2:
            return


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--flows=1"], "--flows takes a number from 2 to 512, not '1'"),
        (["--flows=513"], "--flows takes a number from 2 to 512, not '513'"),
        (["--flows=4", "--connect"], "--connect and --flows cannot be combined"),
        (["--flows=4", "--mptcp"], "--mptcp and --flows cannot be combined"),
        (["--flows=4", "-D"], "--timestamps and --flows cannot be combined"),
        (["--flows=4", "-s65K"], "--size is at most 64K with --flows"),
        (["--source-port=4"], "--source-port needs --flows"),
        (["--flows=4", "--source-port=65533"], "--source-port and --flows exceed port 65535"),
        (["--flows=4", "/run/socket"], "--flows cannot be used with the Unix socket '/run/socket'"),
    ],
)
def test_wrong_values(arguments, sentence):
    """Status 2 and one sentence that names the wrong value."""
    host = [] if arguments[-1].startswith("/") else ["host"]
    status, output, errors = run("--ping", *arguments, *host, data=b"")
    assert (status, output, len(errors)) == (2, b"", 2)
    assert sentence in errors[0]


@pytest.mark.parametrize("end, kind", [("duration", "timeout"), ("signal", "interrupted")])
@pytest.mark.parametrize("datagrams", [False, True])
def test_the_end_before_an_answer(datagrams, end, kind, clock):
    """A run without an answer fails, by what ended it: its time, or a signal."""
    came = threading.Event()

    def swallow(connection):
        connection.recv(1)
        came.set()
        servers.silent(connection)

    def swallow_datagrams(peer):
        for _ in peer:
            came.set()

    words = ["--ping", "--json", "--flows=2", "-w9", *FOREVER, *(["--udp"] if datagrams else [])]
    clock.stop()
    with Peer(swallow_datagrams) if datagrams else servers.tcp(swallow) as server:
        with Client(*words, *server.address, env=os.environ | clock.environment) as client:
            assert came.wait(DEADLINE)
            if end == "signal":
                client.process.send_signal(signal.SIGINT)
            else:
                clock.run_out(client.process, 1)
            status, output, errors = client.end()
    result = json.loads(output)
    failure = result["failure"]
    assert (status, errors, failure["kind"]) == (1, [], kind)
    assert re.fullmatch(r"the run ended with 0 of \d+ round trips? answered", failure["message"])
    assert result["bytes_sent"] == result["ping"]["sent"] * result["ping"]["size"]
    assert result["bytes_received"] == 0


@pytest.mark.parametrize("datagrams", [False, True])
def test_a_flood(datagrams):
    """Each flow of a flood makes as many round trips as are asked for, one behind the other."""
    with Peer(echo) if datagrams else servers.tcp(servers.echo) as server:
        status, output, errors = run(
            "--ping", "--json", "--flood", "--flows=3", "-c20", *FOREVER,
            *(["--udp"] if datagrams else []), *server.address)
    result = json.loads(output)
    assert (status, errors, result["failure"]) == (0, [], None)
    assert [flow["sent"] for flow in result["ping"]["flows"]["list"]] == [20, 20, 20]
    assert result["latency"]["count"] == 60
