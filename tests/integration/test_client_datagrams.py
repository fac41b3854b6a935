# SPDX-License-Identifier: MIT
"""mpecho-client --udp: each datagram is counted once, and as what happened to it."""

import contextlib
import json
import math
import os
import random
import re
import select
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from client import DEADLINE, Client, run, step, until
from processes import wait_until_noticed
from test_client_interrupt import frozen
from test_client_json import SCHEMA, parse

COUNTS = ("sent", "answered", "lost", "late", "changed", "rejected", "open", "duplicated",
          "reordered", "unrecognized", "overflow")
FOREVER = ["-W", "0"]
# Of faulty networks: the seeds at once, and how many datagrams to each.
SEEDS, MANY = ([range(3)], 400) if os.environ.get("MPECHO_FLOWS") != "all" else (
    [range(first, first + 10) for first in range(0, 100, 10)], 1000)
IP_RECVERR = 11  # ip(7)
SO_TIMESTAMPNS = 35  # socket(7)


class Peer:
    """A datagram socket whose answers `behave(peer)` sends, in a thread, until it returns."""

    def __init__(self, behave, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(address)
        # The peer's own may hold an error that its client's end left. Both are of one network.
        self._ending = socket.socket(family, socket.SOCK_DGRAM)
        self._ended = False
        self._thread = threading.Thread(target=behave, args=[self])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.sendto(b"end", self.socket.getsockname())
        self._thread.join()
        self._ending.close()
        self.socket.close()

    @property
    def address(self):
        return [str(part) for part in self.socket.getsockname()[:2]]

    def receive(self):
        """The next datagram and its sender; None at the end of the test."""
        if not self._ended:
            data, source = self.socket.recvfrom(1 << 17)
            self._ended = data == b"end"
        return None if self._ended else (data, source)

    def __iter__(self):
        return iter(self.receive, None)

    def answer(self, data, source):
        # The client may be gone.
        with contextlib.suppress(ConnectionError):
            self.socket.sendto(data, source)


def echo(peer):
    for came in peer:
        peer.answer(*came)


def silent(peer):
    for _ in peer:
        pass


def await_datagram(peer, clock, seconds=0.001):
    """Moves the stopped clock on until the next datagram has come, by so many seconds each time."""
    until(lambda: select.select([peer.socket], [], [], 0)[0] or clock.advance(seconds))


def is_queued(port):
    """Whether a datagram waits for the client with that port."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(int(fields[1].partition(":")[2], 16) == port and not fields[4].endswith(":00000000")
               for fields in map(str.split, lines))


@pytest.fixture(name="stamps")
def fixture_stamps():
    """The kernel stamps what comes: it begins with that a moment after the first socket asks for
    it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        own.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

        def is_stamped():
            own.send(b"x")
            sent = time.time_ns()
            _, [(_, _, stamp)], *_ = own.recvmsg(1, 64)
            seconds, nanoseconds = struct.unpack("@ll", stamp)
            return seconds * 10**9 + nanoseconds <= sent

        until(is_stamped)
        yield


@pytest.mark.usefixtures("stamps")
@pytest.mark.parametrize("mode", [["--ping", "-c1"], ["--check", "-s64", "-l64"],
                                  ["--ping", "-c1", "--flows=2", "-i0.002"],
                                  ["--load", "-P2", "-w60"]], ids=" ".join)
def test_a_datagram_that_came_before_the_signal(mode):
    """It counts, although the client has not read it when the signal comes."""
    count = 1 + ("=2" in " ".join(mode) or "-P2" in mode)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        with Client("--json", "--udp", *mode, *FOREVER,
                    *map(str, own.getsockname())) as client:
            begun = [own.recvfrom(1 << 16) for _ in range(count)]
            with frozen(client):
                for answer in begun:
                    own.sendto(*answer)
            status, output, _ = client.end()
    counts = parse(output.decode())["datagrams"]
    # A load goes on until its parent hears of the signal.
    assert status == 0 and counts["answered"] == count


@pytest.mark.usefixtures("stamps")
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("mode", ["ping", "check", "flows", "load", "ping-w30", "flows-w30",
                                  "ping-W7200", "flows-W7200", "load-W7200"])
def test_a_client_that_comes_late(mode, late, clock):
    """What came while the client got no processor is in time, and late if it came after that. After
    the end of the run it does not count. Its own wait for a processor is no part of a time."""
    kind, _, end = mode.partition("-")
    in_time = not late or end == "W7200"
    runs, begun = [], []

    def behave(peer):
        came = [peer.receive() for _ in range(2 if kind == "flows" else 1)]
        begun.append(came)
        until(lambda: runs)
        runs[0].freeze()
        if late:
            clock.advance(3600)
        for data, source in came:
            peer.answer(data, source)
            until(lambda source=source: is_queued(source[1]))
        if not late:
            clock.stall(3600)
        runs[0].thaw()
        echo(peer)

    clock.stop()
    words = {"ping": ["--ping", "-c1"], "check": ["--check", "-s1000", "-l1000"],
             "flows": ["--ping", "--flows=2", "-c1", "-i0.001"], "load": ["--load", "-P1", "-w0.01"]}
    with Peer(behave) as peer, Client(
            "--json", "--udp", *words[kind], "-W60", *([f"-{end}"] if end else []), *peer.address,
            env=os.environ | clock.environment) as client:
        runs.append(client)
        # The start of a load lies ahead.
        until(lambda: begun or clock.advance(0.001))
        status, output, errors = client.end(b"")
    result = parse(output.decode())
    counts = result["datagrams"]
    assert errors == [] and counts["sent"] == counts[
        "answered" if in_time else "open" if end else "late"]
    # A check does not ask for the time.
    assert status == int(not in_time and mode != "check")
    if in_time and mode != "check":
        times = result["latency"]
        # The time of day, by which the kernel stamps, goes on meanwhile.
        assert times["min"] > 1800e6 if late else times["max"] < 1800e6


def spoil(offset, changed=3, lost=None, duplicated=None, after=lambda number: None):
    """Echoes, but changes the byte at `offset` of one datagram, and drops and duplicates others. Calls
    `after` with the number of each."""

    def behave(peer):
        for number, (data, source) in enumerate(peer, 1):
            data = bytearray(data)
            if number == changed:
                data[offset] ^= 4
            for _ in range({lost: 0, duplicated: 2}.get(number, 1)):
                peer.answer(data, source)
            after(number)

    return behave

def icmp_error(peer, data, source, kind=3, code=3, rest=0):
    """Sends the client an ICMP error about its datagram: port unreachable unless told otherwise."""
    host, port = peer.socket.getsockname()
    quoted = struct.pack("!BBHHHBBH4s4sHHHH", 0x45, 0, 28 + len(data), 0, 0x4000, 64, 17, 0,
                         socket.inet_aton(source[0]), socket.inet_aton(host), source[1], port,
                         8 + len(data), 0) + data[:64]
    message = struct.pack("!BBHI", kind, code, 0, rest) + quoted
    total = sum(struct.unpack(f"!{len(message) // 2}H", message[:len(message) & ~1]))
    total += message[-1] << 8 if len(message) % 2 else 0
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    message = message[:2] + struct.pack("!H", total ^ 0xFFFF) + message[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.bind((host, 0))
        raw.sendto(message, (source[0], 0))



def report(*arguments, status=0, **options):
    """The object of a run, in which each datagram is counted once."""
    found, output, errors = run("--json", "--udp", *arguments, data=b"", **options)
    result = parse(output.decode())
    assert errors == [] and found == result["status"] == status
    counts = result["datagrams"]
    assert counts["sent"] == sum(
        counts[name] for name in ("answered", "lost", "late", "changed", "rejected", "open"))
    assert counts["rejected"] == sum(one["count"] for one in counts["rejections"])
    assert result["phases"]["first_byte"] is result["phases"]["last_byte"] is None
    if result["mode"] != "check":
        check_errors(result[result["mode"]], dict(counts))
    return result


def check_errors(result, counts):
    """The errors by kind are those that the counts have."""
    errors = dict(result["errors"])
    assert result["answered"] == counts["answered"]
    if "kind" in result:
        # A load: open datagrams are no errors.
        counts["open"] = 0
    else:
        assert result["lost"] == counts["lost"]
    assert errors.pop("timeout", 0) == counts["lost"] + counts["late"]
    assert errors.pop("differs", 0) == counts["changed"] + counts["unrecognized"]
    assert errors.pop("interrupted", 0) == counts["open"]
    assert sum(errors.values()) == counts["rejected"]


def counts_of(result):
    """Those that are not 0."""
    return {name: result["datagrams"][name] for name in COUNTS if result["datagrams"][name]}


def babble(peer):
    """Echoes, and sends a datagram of its own before each answer."""
    for came in peer:
        peer.answer(b"\xff" * 40, came[1])
        peer.answer(*came)


def test_babble():
    """An unrecognized answer fails each mode, although all datagrams are answered."""
    with Peer(babble) as peer:
        for options in (["--ping", "-c3", "-i1ms"], ["--ping", "-c3", "-i1ms", "--flows=2"],
                        ["--check", "-s3000"], ["--load", "-w0.1", "-P1"]):
            result = report(*options, *FOREVER, *peer.address, status=1)
            assert result["failure"]["kind"] == "differs", options
            counts = result["datagrams"]
            assert counts["answered"] == counts["sent"] <= counts["unrecognized"]


class FaultyNetwork:
    """A network that drops, duplicates, swaps, alters and delays by a seed; it notes what it sends."""

    def __init__(self, seed):
        # Of `received` datagrams those below `late` are late when they are sent from now on.
        self.received = self.late = 0
        self._random = random.Random(seed)
        self._held = []  # the number that releases a datagram, and what to send
        self._sent = []  # the number of a datagram, and how it counts

    def _send(self, peer, number, data, source, altered=False):
        in_time = "late" if number < self.late else "answered"
        self._sent.append((number, "changed" if altered else in_time))
        peer.answer(data, source)

    def _release(self, peer, last):
        due = [one for one in self._held if one[0] <= last]
        self._held = [one for one in self._held if one[0] > last]
        for _, *one in due:
            self._send(peer, *one)

    def __call__(self, peer):
        actions = ["drop", "duplicate", "swap", "alter", "delay", "keep"] + 8 * ["pass"]
        for number, (data, source) in enumerate(peer):
            action = self._random.choice(actions)
            delays = {"swap": 1, "delay": self._random.randint(2, 20), "keep": math.inf}
            if number == self.late:
                self._release(peer, math.inf)
            if action == "alter":
                data = bytearray(data)
                data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
            if action in delays:
                self._held.append((number + delays[action], number, data, source))
            elif action != "drop":
                for _ in range(2 if action == "duplicate" else 1):
                    self._send(peer, number, data, source, action == "alter")
            self._release(peer, number)
            self.received += 1

    def expected(self):
        """What an observer behind it counts."""
        first, result = {}, dict.fromkeys(COUNTS, 0) | {"sent": self.received}
        for number, kind in self._sent:
            if number in first:
                result["duplicated"] += 1
                continue
            result["reordered"] += number < max(first, default=-1)
            first[number] = kind
            result[kind] += 1
        result["lost"] = self.received - len(first)
        return {name: value for name, value in result.items() if value}


@pytest.mark.parametrize("seeds", SEEDS)
def test_faulty_network(network, clock, seeds):
    """Each count is that of the network on the way, for several seeds at once."""
    here, count, timeout = network(), MANY, 60
    faulty = [FaultyNetwork(seed) for seed in seeds]
    clock.stop()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(here.run(Peer, one)) for one in faulty]
        clients = [stack.enter_context(here.run(
            Client, "--json", "--ping", "--udp", f"-c{count}", "-i1ms", f"-W{timeout}",
            *peer.address, env=os.environ | clock.environment)) for peer in peers]
        for point in (count // 2, count):
            # With its clock ahead, a client sends two: what was due, and what is due now.
            until(lambda point=point: all(one.received >= point for one in faulty)
                  or clock.advance(0.002))
            # All that was sent has been read, and timed.
            until(lambda: here.datagrams("InDatagrams") == here.datagrams("OutDatagrams"))
            wait_until_noticed([client.process.pid for client in clients])
            for one in faulty:
                one.late = one.received
            clock.advance(2 * timeout)
        results = []
        for client in clients:
            clock.run_out(client.process, timeout)
            results.append(client.end())
    for one, (status, output, errors) in zip(faulty, results):
        result, expected = parse(output.decode()), one.expected()
        assert (status, errors, counts_of(result)) == (1, [], expected)
        check_errors(result["ping"], dict(result["datagrams"]))
        assert expected["sent"] == count and result["failure"]["kind"] == "differs"
        assert result["datagrams"]["jitter"] > 0


def flood(peer):
    """Sends large datagrams of its own, faster than the client takes them, until that is gone."""
    came = peer.receive()
    peer.socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    with contextlib.suppress(ConnectionError):
        while came is not None:
            peer.socket.sendto(b"\xff" * 65000, came[1])


@pytest.mark.parametrize("words", [["--ping", "--udp", "-c1"], ["--ping", "--udp", "--flows=2", "-c1"],
                                   ["--check", "--udp", "-s1"], ["--mtu"],
                                   ["--load", "--udp", "-P1", "-w0.01"]])
def test_a_flood(words):
    """A run ends in time, however much the peer sends."""
    with Peer(flood) as peer:
        status, output, errors = run(*words, "--json", "-W0.01", *peer.address,
                                     preexec_fn=lambda: os.nice(19))
    result = parse(output.decode())
    assert (status, errors) == (1, []) and result["failure"] is not None


def test_late():
    """An answer after the timeout is late, not lost, and has a line of both kinds."""
    release = threading.Event()

    def behave(peer):
        held = peer.receive()
        release.wait()
        peer.answer(*held)
        echo(peer)

    with Peer(behave) as peer, Client("--ping", "--udp", "-i", "0.01", "-W", "0.05",
                                      *peer.address) as client:
        lines = iter(client.process.stdout)
        assert next(lines).startswith(b"mpecho-client: 64 bytes to")
        assert next(lines).endswith(b": seq=1 error: no answer within 0.05 s\n")
        release.set()
        while not (line := next(lines)).startswith(b"64 bytes from") or b" seq=1 " not in line:
            pass
        assert line.endswith(b" (late)\n")
        client.process.send_signal(signal.SIGINT)
        status, output, _ = client.end()
    assert status == 1
    assert re.search(rb"answered, .*, [1-9]\d* late[, ]", output)


def test_schedule():
    """Answers that do not come hold back no datagram; those that come in another order are
    counted, and are no failure."""

    def behave(peer):
        came = [peer.receive() for _ in range(5)]
        for one in reversed(came):
            peer.answer(*one)
        echo(peer)

    with Peer(behave) as peer:
        result = report("--ping", "-c5", "-i0.01", *FOREVER, *peer.address)
    assert counts_of(result) == {"sent": 5, "answered": 5, "reordered": 4}
    assert (result["ping"]["sent"], result["ping"]["answered"], result["ping"]["lost"]) == (5, 5, 0)
    assert result["ping"]["errors"] == {}
    assert result["latency"]["count"] == 5 and result["failure"] is None


@pytest.mark.parametrize("address, sizes", [("127.0.0.1", [0, 1, 7, 8, 23, 24, 1472, 65507]),
                                            ("::1", [0, 1500, 65527])])
def test_sizes(start, address, sizes):
    """Every size works against the service, the largest of each family too."""
    service = start("udp:0", "--max-datagrams-per-source=0")
    port = service.listeners()[0].rpartition(":")[2]
    for size in sizes:
        result = report("--ping", "-c3", "-f", f"-s{size}", *FOREVER, address, port)
        assert counts_of(result) == {"sent": 3, "answered": 3}
        assert result["bytes_received"] == 3 * size


def test_closed_port():
    """An ICMP error is a rejection, with its sender; nothing is lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        address = [str(part) for part in other.getsockname()]
    result = report("--ping", "-c3", "-i0.001", *FOREVER, *address, status=1)
    assert counts_of(result) == {"sent": 3, "rejected": 3}
    assert result["ping"]["errors"] == {"refused": 3}
    assert result["failure"]["kind"] == "refused"
    assert result["datagrams"]["rejections"] == [
        {"count": 3, "message": "port unreachable from 127.0.0.1", "reason": "port unreachable",
         "sender": "127.0.0.1"}]
    status, output, _ = run("--check", "--udp", "-s", "2800", *FOREVER, *address)
    assert status == 1
    assert output.decode().splitlines()[-1].startswith(
        f"127.0.0.1 port {address[1]}: refused: rejected 2 of 2 datagrams: "
        "port unreachable from 127.0.0.1: 2800 bytes sent, 0 came back in")


REASONS = {
    "icmp": {"net-unreachable": "network unreachable", "host-unreachable": "host unreachable",
             "port-unreachable": "port unreachable",
             "admin-prohibited": "administratively prohibited"},
    "icmpv6": {"no-route": "no route", "addr-unreachable": "address unreachable",
               "port-unreachable": "port unreachable",
               "admin-prohibited": "administratively prohibited"},
}


def test_rejected_by_a_firewall(network):
    """Each rejection has its reason and its sender, in the summary and in the object."""
    here, there = network(), network()
    here.link(there, ("10.0.0.1/24", "10.0.0.2/24"), ("fd00::1/64", "fd00::2/64"))
    # The kernel limits the errors to one machine, to 6 at once and then one a second.
    there.execute("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
    rules = "".join(
        f"meta l4proto udp meta nfproto {family} numgen inc mod {4 - number} 0 "
        f"reject with {protocol} type {name}\n"
        for protocol, family in (("icmp", "ipv4"), ("icmpv6", "ipv6"))
        for number, name in enumerate(REASONS[protocol]))
    there.execute("nft", "-f", "-", text="table inet wall { chain input { type filter hook input "
                  f"priority 0; {rules}\n}}\n}}")
    for protocol, address in (("icmp", "10.0.0.2"), ("icmpv6", "fd00::2")):
        result = here.run(report, "--ping", "-c4", "-i0.001", *FOREVER, address, status=1)
        assert {(one["count"], one["message"], one["reason"], one["sender"])
                for one in result["datagrams"]["rejections"]} == {
            (1, f"{reason} from {address}", reason, address)
            for reason in REASONS[protocol].values()}
    status, output, _ = here.run(run, "--ping", "--udp", "-q", "-c4", "-i0.001", *FOREVER, address)
    assert status == 1
    assert "\n1 rejected: administratively prohibited from fd00::2\n" in output.decode()


def test_rejected_for_two_reasons(network):
    """The verdict has the kind of the reason that it names."""
    here, there = network(), network()
    here.link(there, ("10.0.0.1/24", "10.0.0.2/24"))
    there.execute("nft", "-f", "-", text="table inet wall { chain input { type filter hook input "
                  "priority 0; udp dport 7 numgen inc mod 2 0 reject with icmp type port-unreachable\n"
                  "udp dport 7 reject with icmp type admin-prohibited\n}\n}")
    result = here.run(report, "--ping", "-c2", "-i0.001", *FOREVER, "10.0.0.2", status=1)
    assert counts_of(result) == {"sent": 2, "rejected": 2}
    first = result["datagrams"]["rejections"][0]["message"]
    assert result["failure"] == {
        "kind": "refused" if first.startswith("port") else "unreachable",
        "message": f"rejected 2 of 2 datagrams, most often: {first}"}


@pytest.mark.skipif(os.geteuid() != 0, reason="ICMP errors need root")
@pytest.mark.parametrize("mode", [["--ping", "-c20", "-i1ms"], ["--check", "-s28000"],
                                  ["--ping", "-c10", "-i1ms", "--flows=2"],
                                  ["--load", "-w0.5", "-P2"], ["--load", "-w0.3", "-R100", "-P2"]])
def test_rejected_and_answered(mode):
    """A datagram that is rejected and answered, in either order, counts once: as answered."""
    came, answered = set(), set()

    def behave(peer):
        held = {}
        while one := peer.receive():
            data, source = one
            came.add(data)
            if len(came) % 2:
                # The answer to one before it, so that the client takes the error first.
                if source in held:
                    answered.add(held[source])
                    peer.answer(held[source], source)
                icmp_error(peer, data, source)
                held[source] = data
            else:
                answered.add(data)
                peer.answer(data, source)
                icmp_error(peer, data, source)

    with Peer(behave) as peer:
        result = report(*mode, *FOREVER, *peer.address, status=1)
    counts = result["datagrams"]
    assert (counts["sent"], counts["answered"], counts["rejected"]) == (
        len(came), len(answered), len(came - answered))
    assert {one["message"] for one in counts["rejections"]} <= {"port unreachable from 127.0.0.1"}


def test_this_machine_does_not_send(network):
    """A datagram that this machine drops is rejected, not lost, and the next one is sent."""
    here, there = network(), network()
    here.link(there, ("10.0.0.1/24", "10.0.0.2/24"))
    here.drop(outgoing="udp dport 7")
    status, output, _ = here.run(run, "--ping", "--udp", "-q", "-c2", "-i0.001", *FOREVER,
                                 "10.0.0.2")
    assert status == 1
    assert "2 sent, 0 answered, 0 lost, 2 rejected" in output.decode()
    assert "\n2 rejected: cannot send: Operation not permitted\n" in output.decode()


@pytest.mark.parametrize("words", [["--ping", "-c40", "-i0.001"], ["--ping", "-c40", "--flood"],
                                   ["--check", "-s40K", "-l1K"]], ids=["ping", "flood", "check"])
def test_a_service_that_reads_nothing(words, tmp_path):
    """Its queue on a Unix socket fills up. A run ends nevertheless: what it could not send within the
    timeout is rejected."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        status, output, _ = run("--json", "--udp", "--timeout=0.2", *words, deaf.getsockname())
    result = parse(output.decode())
    found = result["datagrams"]
    assert (status, result["failure"]["kind"]) == (1, "timeout")
    assert found["sent"] == 40 == found["rejected"] + found["lost"] and found["lost"] > 0
    assert [rejection["reason"] for rejection in found["rejections"]] == ["the queue stays full"]


def test_check(start, tmp_path):
    """A check is intact when all came back, over IP and over a Unix socket."""
    with Peer(echo, socket.AF_UNIX, str(tmp_path / "echo")) as local, Peer(echo) as peer:
        for where in (peer.address, [local.socket.getsockname()]):
            status, output, errors = run("--check", "--udp", "-s", "100K", "-l", "1000", *FOREVER,
                                         *where)
            lines = output.decode().splitlines()
            assert (status, errors) == (0, [])
            assert ": 103 sent, 103 answered, 0 lost in " in lines[0]
            assert ": intact: 103000 bytes sent, 103000 came back in " in lines[-1]


@pytest.mark.parametrize("offset", [0, 7, 8, 1399])
def test_check_changed(offset):
    """A changed byte has its datagram and its place, at once and in the verdict."""
    with Peer(spoil(offset)) as peer:
        status, output, _ = run("--check", "--udp", "-s", "7000", *FOREVER, *peer.address)
        result = report("--check", "-s", "1400", *FOREVER, *peer.address)
    lines = output.decode().splitlines()
    change = rf"the byte at offset {offset} came back as 0x\w\w instead of 0x\w\w, 1 bit changed"
    assert status == 1
    assert re.fullmatch(f"datagram 3: {change}", lines[0])
    assert re.search(f": differs: changed 1 of 5 datagrams, first datagram 3: {change}: 7000 bytes",
                     lines[-1])
    assert counts_of(result) == {"sent": 1, "answered": 1}


def test_check_lost(clock):
    """The verdict says how many are missing; the others came back."""

    def behave(peer):
        peer.receive()
        for _ in range(3):
            peer.answer(*peer.receive())
        clock.stall(60)
        echo(peer)

    clock.stop()
    with Peer(behave) as peer:
        result = report("--check", "-s5600", "-W60", *peer.address, status=1,
                        env=os.environ | clock.environment)
    assert result["datagrams"]["lost"] == 1 and result["datagrams"]["loss"] == 0.25
    assert result["failure"] == {"kind": "missing", "message": "lost 1 of 4 datagrams"}
    assert result["check"]["faults"] == 0


def test_other_service(clock):
    """Text is the answer of another service, in a ping and in a check."""

    def behave(peer):
        for _, source in peer:
            peer.answer(b"Thursday, November 26, 2026\n", source)
            # Such an answer belongs to no datagram, which is lost.
            clock.stall(60)

    clock.stop()
    with Peer(behave) as peer:
        for mode in (["--ping", "-c1", "-q"], ["--check", "-s1400"]):
            status, output, _ = run(*mode, "--udp", "-W60", *peer.address,
                                    env=os.environ | clock.environment)
            assert status == 1
            assert output.decode().count(
                "not an echo service: it answered «Thursday, November 26, 2026»") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number):
    """A signal ends a run with its results; open datagrams are not lost."""
    came = threading.Event()

    def behave(peer):
        for _ in range(3):
            peer.receive()
        came.set()
        silent(peer)

    with Peer(behave) as peer, Client("--ping", "--udp", "--json", "-i0.01", *FOREVER,
                                      *peer.address) as client:
        assert came.wait(DEADLINE)
        client.process.send_signal(number)
        status, output, _ = client.end()
    result = parse(output.decode())
    assert status == 1 and result["failure"]["kind"] == "interrupted"
    found = counts_of(result)
    assert found == {"sent": found["sent"], "open": found["sent"]} and found["sent"] >= 3
    assert result["datagrams"]["loss"] is None


@pytest.mark.parametrize("part, name, right, wrong", [
    ("datagrams", "loss", [0, 0.5, 1, None], [-0.1, 1.1, "0"]),
    ("phases", "first_byte", [0, 862.5, None], [-0.1, "0"]),
])
def test_the_schema(part, name, right, wrong):
    """A share is a number from 0 to 1, a time is not negative, and either is null without a value."""
    with Peer(echo) as peer:
        result = report("--ping", "-c1", *FOREVER, *peer.address)
    validator = jsonschema.Draft7Validator(SCHEMA)
    for value in right + wrong:
        result[part][name] = value
        assert validator.is_valid(result) == (value in right), value


def test_a_full_disk_ends_a_ping():
    """Lines that cannot be written end it, although answers go on coming."""
    with Peer(echo) as peer, open("/dev/full", "wb") as full:
        status, _, errors = run("--ping", "--udp", "-i0.001", *peer.address, stdout=full)
    assert status == 1
    assert errors == ["mpecho-client: Cannot write to standard output: No space left on device"]


def test_interrupted_after_the_last():
    """A ping that has sent all, but does not have all answers, has not reached its count."""
    came = threading.Event()

    def behave(peer):
        peer.answer(*peer.receive())
        for _ in range(2):
            peer.receive()
        came.set()
        silent(peer)

    with Peer(behave) as peer, Client("--ping", "--udp", "--json", "-i0.01", "-c3", *FOREVER,
                                      *peer.address) as client:
        assert came.wait(DEADLINE)
        client.process.send_signal(signal.SIGINT)
        status, output, _ = client.end()
    result = parse(output.decode())
    assert status == 1 and counts_of(result) == {"sent": 3, "answered": 1, "open": 2}
    assert result["failure"] == {
        "kind": "interrupted", "message": "the run ended with 1 of 3 datagrams answered"}


def test_check_late(clock):
    """A check does not ask for the time: what comes late is intact."""

    def behave(peer):
        came = []
        for _ in range(3):
            # The first one is 0.6 s old when the third comes.
            await_datagram(peer, clock, 0.1)
            came.append(peer.receive())
        for one in came[1:] + came[:1]:
            peer.answer(*one)
        await_datagram(peer, clock, 0.1)
        peer.answer(*peer.receive())

    clock.stop()
    with Peer(behave) as peer:
        result = report("--check", "-s5600", "-b4666", "-W0.5", *peer.address,
                        env=os.environ | clock.environment)
    assert result["datagrams"]["late"] >= 1 and result["failure"] is None
    assert result["datagrams"]["reordered"] == 1 and result["bytes_received"] == 5600


def test_intervals_of_late_answers(clock):
    """Late answers are no faults of a check, so its reports on the way count none."""

    def behave(peer):
        held = []
        for number in range(10):
            # One datagram is due each quarter of a second.
            await_datagram(peer, clock, 0.1)
            held.append(peer.receive())
            while number >= 2 and held:
                peer.answer(*held.pop(0))

    clock.stop()
    with Peer(behave) as peer, Client(
            "--check", "--udp", "--json", "-s14000", "-b5600", "-i0.2", "-W0.3", *peer.address,
            env=os.environ | clock.environment) as client:
        status, output, _ = client.end()
    *intervals, last = map(json.loads, output.splitlines())
    assert status == 0 and last["datagrams"]["late"] >= 1
    assert [one["interval"]["errors"] for one in intervals] == [0] * len(intervals)
    assert len(intervals) > 1 and last["check"]["faults"] == 0


@pytest.mark.parametrize("option, lines", [("--no-progress", 10), ("--quiet", 0), ("--json", 0)])
def test_check_prints_the_first_faults(option, lines):
    """A check prints the first ten changed datagrams, unless it prints the result alone."""

    def behave(peer):
        for data, source in peer:
            peer.answer(data[:-1] + bytes([data[-1] ^ 1]), source)

    with Peer(behave) as peer:
        status, output, errors = run("--check", "--udp", option, "-s16800", *FOREVER, *peer.address)
    assert (status, errors) == (1, [])
    assert len(re.findall(rb"^datagram \d+: ", output, re.M)) == lines
    assert b"changed 12 of 12 datagrams" in output


def test_inquiry():
    """SIGQUIT prints the time and the counts so far, and the run goes on."""
    started = time.monotonic()
    with Peer(echo) as peer, Client("--ping", "--udp", "-i0.01", "-c50", *FOREVER,
                                    *peer.address) as client:
        lines = iter(client.process.stdout)
        while b"seq=3 " not in next(lines):
            pass
        client.process.send_signal(signal.SIGQUIT)
        status, _, errors = client.end()
    elapsed = re.match(r"0\.0-(\d+\.\d) s: \d+ answered, .*, 0 errors", errors[0])[1]
    assert status == 0 and float(elapsed) <= time.monotonic() - started + 0.05
    assert errors[1].startswith("min/avg/max/stddev = ")


def test_intervals(clock):
    """Reports of a check on the way add up to its result."""
    clock.stop()
    with Peer(echo) as peer, Client(
            "--check", "--udp", "--json", "-s140000", "-b56000", "-i1", *FOREVER, *peer.address,
            env=os.environ | clock.environment) as client:
        output = step(clock, client)
        clock.run_out(client.process, 0.1)
        status, rest, _ = client.end()
    *intervals, last = map(json.loads, (output + rest).splitlines())
    assert status == 0 and len(intervals) > 1
    for name in ("bytes_sent", "bytes_received"):
        assert sum(one["interval"][name] for one in intervals) == last[name] == 140000


def test_plot(tmp_path):
    """The files of the histogram have the round trips of datagrams."""
    with Peer(echo) as peer:
        result = report("--ping", "-f", "-c", "100", *FOREVER, f"--csv={tmp_path}/csv",
                        f"--hgrm={tmp_path}/hgrm", f"--plot={tmp_path}/plot.svg", *peer.address)
    assert result["latency"]["count"] == 100
    assert (tmp_path / "csv").read_text().splitlines()[-1].split(",")[2] == "100"
    assert os.stat(tmp_path / "plot.svg").st_size > 0


@pytest.mark.parametrize("behave", [silent, spoil(9), babble])
def test_monitor(behave):
    """A datagram service that is silent, changes a byte or says more fails the plugin."""
    with Peer(behave) as peer:
        host, port = peer.address
        status, output, errors = run("--monitor", "-H", host, "-p", port, "--udp", "-i", "0.01",
                                     data=b"")
    assert errors == [] and output.decode().startswith("ECHO CRITICAL - ") and status == 2


def test_monitor_of_an_echo(clock):
    """The plugin finds nothing wrong with a datagram service that echoes."""

    def behave(peer):
        for came in peer:
            peer.answer(*came)
            # The next one is due, and none is overdue.
            clock.advance(0.01)

    clock.stop()
    with Peer(behave) as peer:
        host, port = peer.address
        status, output, errors = run("--monitor", "-H", host, "-p", port, "--udp", "-i", "0.01",
                                     data=b"", env=os.environ | clock.environment)
    assert errors == [] and output.decode().startswith("ECHO OK - ") and status == 0


@pytest.mark.parametrize("options", [["-P4"], ["-P3", "-R500"]])
def test_load(options):
    """A load answers for each datagram: those of the service are those of the report."""
    came = []

    def behave(peer):
        for one in peer:
            came.append(one[1])
            peer.answer(*one)

    with Peer(behave) as peer:
        result = report("--load", "-w0.3", *options, *FOREVER, *peer.address)
    counts = counts_of(result)
    assert counts == {"sent": len(came), "answered": len(came)} and result["failure"] is None
    assert len(set(came)) == result["load"]["connections"]
    assert result["load"]["answered"] == result["latency"]["count"] == len(came)
    assert result["bytes_sent"] == result["bytes_received"] == 64 * len(came)
    if "-R500" in options:
        assert len(came) + result["load"]["overdue"] == 150


def test_load_of_empty_datagrams():
    """Answers of no bytes are answers."""
    with Peer(echo) as peer:
        result = report("--load", "-w0.1", "-P1", "-s0", *FOREVER, *peer.address)
    assert result["failure"] is None and result["load"]["answered"] > 0


def test_load_rate_is_kept():
    """At a fixed rate no answer is waited for: the others are sent while none comes."""

    def behave(peer):
        held = [peer.receive() for _ in range(5)]
        for one in held:
            peer.answer(*one)
        echo(peer)

    with Peer(behave) as peer:
        result = report("--load", "-w0.2", "-R100", "-P2", *FOREVER, *peer.address)
        counts = counts_of(result)
        assert counts == {"sent": counts["sent"], "answered": counts["sent"]}
        assert counts["sent"] + result["load"]["overdue"] == 20


def test_load_errors(clock):
    """Lost, changed and duplicated datagrams of a load are counted, and are its failure."""

    def move(number):
        if number == 1:
            # All others are due.
            clock.advance(0.2)
        if number == 20:
            clock.stall(60)

    def behave(peer):
        # The start lies ahead.
        await_datagram(peer, clock)
        spoil(20, changed=5, lost=3, duplicated=7, after=move)(peer)

    clock.stop()
    with Peer(behave) as peer:
        result = report("--load", "-w0.2", "-R100", "-W60", *peer.address, status=1,
                        env=os.environ | clock.environment)
    assert counts_of(result) == {"sent": 20, "answered": 18, "lost": 1, "changed": 1, "duplicated": 1}
    assert result["load"]["errors"] == {"timeout": 1, "differs": 1}
    assert result["failure"]["kind"] == "differs"
    # The run lasts until the timeout of the lost one.
    assert result["seconds"] >= 60


def test_load_of_a_closed_port():
    """Rejections of a load are its errors, with their sender, and it does not spin."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        address = [str(part) for part in other.getsockname()]
    result = report("--load", "-w0.2", "-P2", *FOREVER, *address, status=1)
    counts = counts_of(result)
    # Each port rests after a rejection.
    assert counts == {"sent": counts["sent"], "rejected": counts["sent"]}
    assert 2 <= counts["sent"] <= 20
    assert result["load"]["errors"] == {"refused": counts["sent"]}
