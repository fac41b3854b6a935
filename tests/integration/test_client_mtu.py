# SPDX-License-Identifier: MIT
"""mpecho-client --mtu: the largest datagram that passes a path of four machines, both ways."""

import collections
import contextlib
import json
import os
import re
import select
import signal
import socket
import threading

import pytest

from client import DEADLINE, Client, run, until
from test_client_datagrams import Peer, babble, echo, icmp_error
from test_client_json import parse

# Where no size is lost: as long as the peer needs to get a processor.
PATIENT = f"-W{DEADLINE}"
NO_ERRORS = """table inet wall { chain output { type filter hook output priority 0
icmp type destination-unreachable drop
icmpv6 type packet-too-big drop
}
}
"""


class Line:
    """Four machines in a line, whose second cable has a smaller MTU."""

    def __init__(self, network, middle):
        self.machines = [network() for _ in range(4)]
        for machine in self.machines:
            machine.execute("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        for number, mtu in enumerate((1500, middle, 1500)):
            self.machines[number].link(
                self.machines[number + 1], (f"10.0.{number}.1/24", f"10.0.{number}.2/24"),
                (f"fd00:{number}::1/64", f"fd00:{number}::2/64"), mtu=mtu, name=f"cable{number}")
        for router in self.machines[1:3]:
            router.execute("sysctl", "-qw", "net.ipv4.ip_forward=1",
                           "net.ipv6.conf.all.forwarding=1")
        for machine, destination, way in (
                (0, "10.0.2.0/24", "10.0.0.2"), (0, "fd00:2::/64", "fd00::2"),
                (1, "10.0.2.0/24", "10.0.1.2"), (1, "fd00:2::/64", "fd00:1::2"),
                (2, "10.0.0.0/24", "10.0.1.1"), (2, "fd00::/64", "fd00:1::1"),
                (3, "10.0.0.0/24", "10.0.2.1"), (3, "fd00::/64", "fd00:2::1")):
            self.machines[machine].execute("ip", "route", "add", destination, "via", way)

    def peer(self, behave, family=socket.AF_INET6):
        """A service on the last machine."""
        address = "::" if family == socket.AF_INET6 else "10.0.2.2"
        return self.machines[3].run(Peer, behave, family, (address, 7))

    def search(self, address, *options):
        """Status and object of a search from the first machine, once the path works: machines
        need time to find their neighbours."""
        until(lambda: self.machines[0].run(
            run, "--ping", "--udp", "-q", "-c1", "-W0.5", address)[0] == 0)
        status, output, errors = self.machines[0].run(run, "--mtu", "--json", *options, address)
        assert errors == []
        return status, parse(output.decode())


@pytest.fixture(name="line")
def fixture_line(network):
    return lambda middle: Line(network, middle)


def test_with_errors(line):
    """With ICMP errors the search finds the MTU in the middle, of both families, and says who
    announced it."""
    narrow = line(1280)
    with narrow.peer(echo):
        for address, headers, name, router in (
                ("10.0.2.2", 28, "fragmentation needed", "10.0.0.2"),
                ("fd00:2::2", 48, "packet too big", "fd00::2")):
            status, result = narrow.search(address, PATIENT)
            assert (status, result["failure"]) == (0, None)
            mtu = result["mtu"]
            assert (mtu["payload"], mtu["packet"], mtu["interface"]) == (1280 - headers, 1280, 1500)
            rejection, = mtu["rejections"]
            assert rejection["message"] == f"{name}, MTU 1280 from {router}"
        status, output, _ = narrow.machines[0].run(run, "--mtu", PATIENT, "10.0.2.2")
        assert status == 0
        assert output.decode().splitlines()[0] == (
            "10.0.2.2 port 7: 1252 bytes pass both ways, in packets of 1280 bytes; "
            "the MTU of the interface is 1500")
        # A ping without fragments has the same error.
        status, output, _ = narrow.machines[0].run(
            run, "--ping", "--udp", "--dont-fragment", "-q", "-c1", "-W0", "-s1253", "10.0.2.2")
        assert status == 1
        assert "1 rejected: fragmentation needed, MTU 1280 from 10.0.0.2" in output.decode()


def test_without_errors(line):
    """Where larger packets vanish the size is found as well, and that is a failure of the path."""
    hole = line(1499)
    hole.machines[1].execute("nft", "-f", "-", text=NO_ERRORS)
    with hole.peer(echo):
        for address, headers in (("10.0.2.2", 28), ("fd00:2::2", 48)):
            status, result = hole.search(address)
            mtu = result["mtu"]
            assert (mtu["payload"], mtu["packet"], mtu["interface"]) == (1499 - headers, 1499, 1500)
            assert mtu["rejections"] == [] and status == 1
            assert result["failure"] == {
                "kind": "missing", "message": "larger datagrams vanish without an ICMP error"}


def test_errors_before_a_hole(line):
    """The error of another router about another size does not excuse a hole behind it."""
    hole = line(1300)
    hole.machines[2].execute("nft", "-f", "-", text="table inet hole { chain forward { type filter "
                             "hook forward priority 0; udp dport 7 meta length > 1200 drop\n}\n}\n")
    with hole.peer(echo):
        status, result = hole.search("10.0.2.2")
    assert result["mtu"]["packet"] == 1200
    assert result["mtu"]["rejections"][0]["message"].startswith("fragmentation needed, MTU 1300")
    assert status == 1 and result["failure"]["kind"] == "missing"


def test_the_whole_interface(line):
    """Where nothing is smaller the MTU is that of the interface, although a network loses some."""
    wide = line(1500)
    wide.machines[2].execute("nft", "-f", "-", text="table inet loss { chain forward { type filter "
                             "hook forward priority 0; udp dport 7 numgen inc mod 3 0 drop\n}\n}\n")
    with wide.peer(echo):
        status, result = wide.search("10.0.2.2")
    assert status == 0 and result["failure"] is None
    assert (result["mtu"]["payload"], result["mtu"]["packet"]) == (1472, 1500)


def test_fragments_do_not_pass(line):
    """An answer in fragments is none: the way back is too narrow for it."""
    back = line(1500)
    back.machines[2].execute("ip", "route", "change", "10.0.0.0/24", "via", "10.0.1.1", "mtu",
                             "lock", "1400")
    with back.peer(echo):
        status, result = back.search("10.0.2.2")
    assert (status, result["mtu"]["payload"], result["mtu"]["packet"]) == (0, 1372, 1400)


def forged(peer):
    """Sends before each answer an ICMP error that tells of an MTU of 600."""
    while came := peer.receive():
        icmp_error(peer, *came, code=4, rest=600)
        peer.answer(*came)


def test_forged_errors(line):
    """An error about a size that passes changes nothing."""
    lied = line(1500)
    with lied.peer(lambda peer: lied.machines[3].run(forged, peer), socket.AF_INET):
        status, result = lied.search("10.0.2.2", PATIENT)
    assert (status, result["mtu"]["packet"]) == (0, 1500)
    assert json.dumps(result["mtu"]["rejections"]).count("MTU 600 from 10.0.2.2") <= 1


def test_changed_answers_have_come_back():
    """They count as received."""
    def flip(peer):
        for data, source in peer:
            peer.answer(data[:-1] + bytes([data[-1] ^ 1]), source)

    with Peer(flip) as peer:
        status, output, _ = run("--mtu", "--json", PATIENT, *peer.address)
    result = parse(output.decode())
    assert status == 1 and 0 < result["bytes_received"] <= result["bytes_sent"]


def test_a_service_that_cuts():
    """Datagrams that come back shorter do not vanish."""

    def cut(peer):
        while came := peer.receive():
            peer.answer(came[0][:65505], came[1])

    with Peer(cut) as peer:
        status, output, _ = run("--mtu", PATIENT, *peer.address)
    assert status == 1 and output.decode().endswith(
        ": 65505 bytes pass both ways, in packets of 65533 bytes; "
        "differs: larger datagrams come back changed\n")


@pytest.mark.parametrize("changes, verdict", [
    (lambda number, size: number % 2 == 1, "65507 bytes pass both ways, in packets of 65535 bytes; "
     "differs: an answer to 40 bytes came back changed"),
    (lambda number, size: size > 2000 and number <= 4,
     r"(.*; )?differs: an answer to \d+ bytes came back changed")], ids=["every-other", "first-four"])
def test_changes_that_a_repetition_hides(changes, verdict, clock):
    """A changed answer fails the search, even if a repetition passes, and is no loss."""

    def behave(peer):
        counts = collections.Counter()
        for data, source in peer:
            counts[len(data)] += 1
            changed = changes(counts[len(data)], len(data))
            peer.answer(data[:-1] + bytes([data[-1] ^ changed]), source)
            # The client sends the next one.
            until(lambda: not changed or select.select([peer.socket], [], [], 0)[0]
                  or clock.advance(0.5))

    clock.stop()
    with Peer(behave) as peer:
        status, output, _ = run("--mtu", *peer.address, env=os.environ | clock.environment)
    assert status == 1 and re.fullmatch(
        rf"127\.0\.0\.1 port \d+: {verdict}\n", output.decode())


def test_a_change_that_comes_late(clock):
    """A changed answer fails the search, even if it comes after a repetition and a larger size."""

    def behave(peer):
        held = []
        for number, (data, source) in enumerate(peer):
            if number == 1:
                held = [data[:-1] + bytes([data[-1] ^ 1])]
                # The client sends the next one.
                until(lambda: select.select([peer.socket], [], [], 0)[0] or clock.advance(0.5))
                continue
            if len(data) > 40 and held:
                peer.answer(held.pop(), source)
            peer.answer(data, source)

    clock.stop()
    with Peer(behave) as peer:
        status, output, _ = run("--mtu", *peer.address, env=os.environ | clock.environment)
        port = peer.address[1]
    assert (status, output.decode()) == (
        1, f"127.0.0.1 port {port}: 65507 bytes pass both ways, in packets of 65535 bytes; "
        "differs: an answer to 40 bytes came back changed\n")


def lose_patience(peer, clock):
    """Moves the stopped clock on until the client sends the next datagram, or the test ends."""
    until(lambda: select.select([peer.socket], [], [], 0)[0] or clock.advance(0.5))


def test_an_unlucky_size(clock):
    """A size that passes, but whose repetitions a busy path has all lost, does not end the search."""

    def unlucky(peer):
        lost = 0
        while came := peer.receive():
            if 40 < len(came[0]) <= 65505 and lost < 4:
                lost += 1
            elif len(came[0]) <= 65505:
                peer.answer(*came)
                continue
            lose_patience(peer, clock)

    clock.stop()
    with Peer(unlucky) as peer:
        status, output, _ = run("--mtu", *peer.address, env=os.environ | clock.environment)
    assert status == 1 and ": 65505 bytes pass both ways, in packets of 65533 bytes; missing" in (
        output.decode())


def test_an_irregular_path(clock):
    """Where each size passes only at the fifth time, the search ends all the same, and says so."""

    def irregular(peer):
        counts = collections.Counter()
        for data, source in peer:
            counts[len(data)] += 1
            if len(data) <= 65480 or counts[len(data)] > 4:
                peer.answer(data, source)
                continue
            lose_patience(peer, clock)

    clock.stop()
    with Peer(irregular) as peer:
        status, output, _ = run("--mtu", *peer.address, env=os.environ | clock.environment)
    assert status == 1 and re.fullmatch(
        r"127\.0\.0\.1 port \d+: missing: the path answers irregularly: 65\d+ bytes and other sizes "
        r"passed only after 4 losses\n", output.decode())


@pytest.mark.skipif(os.geteuid() != 0, reason="ICMP errors need root")
@pytest.mark.parametrize(
    "rejects, code, result",
    [
        # A moment without a service: at the beginning, and at the largest size.
        (lambda number, size: number == 1, 3, "65507 bytes pass both ways, in packets of 65535 bytes"),
        (lambda number, size: number in (3, 4), 3,
         "65507 bytes pass both ways, in packets of 65535 bytes"),
        # No service, and a service that ends.
        (lambda number, size: True, 3, "refused: port unreachable from 127.0.0.1"),
        (lambda number, size: number > 2, 3, "refused: port unreachable from 127.0.0.1"),
        # A firewall that rejects by size, and others for a moment.
        (lambda number, size: size > 65505 or number in (9, 14), 13,
         "65505 bytes pass both ways, in packets of 65533 bytes; unreachable: larger datagrams are "
         "rejected: administratively prohibited from 127.0.0.1"),
    ], ids=["first", "later", "never", "ends", "by-size"])
def test_rejected(rejects, code, result):
    """An error for a moment does not end the search; an error that stays is its result."""

    def behave(peer):
        number = 0
        while came := peer.receive():
            number += 1
            if rejects(number, len(came[0])):
                icmp_error(peer, *came, code=code)
            else:
                peer.answer(*came)

    with Peer(behave) as peer:
        status, output, _ = run("--mtu", PATIENT, *peer.address)
        port = peer.address[1]
    assert (status, output.decode().splitlines()[0]) == (
        int(": " in result), f"127.0.0.1 port {port}: {result}")


@pytest.mark.skipif(os.geteuid() != 0, reason="ICMP errors need root")
def test_a_size_that_answered_right_before():
    """A changed answer is the result, although the size passed before and others are rejected."""

    def behave(peer):
        changed = False
        for data, source in peer:
            if len(data) > 40:
                changed = True
                icmp_error(peer, data, source, code=3)
            else:
                peer.answer(data[:-1] + bytes([data[-1] ^ changed]), source)

    with Peer(behave) as peer:
        status, output, _ = run("--mtu", PATIENT, *peer.address)
        port = peer.address[1]
    assert (status, output.decode().splitlines()[0]) == (
        1, f"127.0.0.1 port {port}: differs: an answer to 40 bytes came back changed")


def test_duplicates_of_another_size():
    """A copy of an answer to an earlier size is no failure."""

    def repeat(peer):
        last = b""
        for data, source in peer:
            if last:
                peer.answer(last, source)
            peer.answer(data, source)
            last = data

    with Peer(repeat) as peer:
        status, output, _ = run("--mtu", PATIENT, *peer.address)
        port = peer.address[1]
    assert (status, output.decode()) == (
        0, f"127.0.0.1 port {port}: 65507 bytes pass both ways, in packets of 65535 bytes\n")


@pytest.mark.parametrize("family, address, prefix, payload", [
    (socket.AF_INET, "127.0.0.1", "", 65507), (socket.AF_INET6, "::1", "", 65488),
    (socket.AF_INET, "127.0.0.1", "::ffff:", 65507)])
def test_loopback(family, address, prefix, payload):
    """The largest datagram of a family needs no search; a mapped address is one of IPv4."""
    with Peer(echo, family, (address, 0)) as peer:
        status, output, _ = run("--mtu", PATIENT, prefix + address, peer.address[1])
        assert status == 0 and f": {payload} bytes pass both ways, in" in output.decode()


def test_unrecognized_answers():
    """Unrecognized answers fail a search although others pass."""
    with Peer(babble) as peer:
        status, output, _ = run("--mtu", PATIENT, *peer.address)
        port = peer.address[1]
    assert (status, output.decode()) == (
        1, f"127.0.0.1 port {port}: 65507 bytes pass both ways, in packets of 65535 bytes; "
        "differs: 3 unrecognized answers\n")


class Tags:
    """The first bytes of datagrams: a bijective mix (SplitMix64) of their numbers, from that of one
    on."""

    INCREMENT, FACTORS, SIZE = 0x9e3779b97f4a7c15, (0xbf58476d1ce4e5b9, 0x94d049bb133111eb), 1 << 64

    def __init__(self, data):
        word = int.from_bytes(data[:8], "little")
        word ^= word >> 31 ^ word >> 62
        word = word * pow(self.FACTORS[1], -1, self.SIZE) % self.SIZE
        word ^= word >> 27 ^ word >> 54
        word = word * pow(self.FACTORS[0], -1, self.SIZE) % self.SIZE
        self.key = word ^ word >> 30 ^ word >> 60

    def __getitem__(self, number):
        word = (self.key + number * self.INCREMENT) % self.SIZE
        word = (word ^ word >> 30) * self.FACTORS[0] % self.SIZE
        word = (word ^ word >> 27) * self.FACTORS[1] % self.SIZE
        return (word ^ word >> 31).to_bytes(8, "little")


def test_an_answer_to_what_was_refused(network):
    """A service can calculate the number of a datagram that this machine refused. Its answer leaves
    no rejection."""

    def guess(peer):
        for data, source in peer:
            if len(data) == 40:
                # The first two are the smallest; the third has been refused.
                tags = Tags(data)
            elif data.startswith(tags[2]):
                peer.answer(tags[1], source)
            peer.answer(data, source)

    machine = network()
    machine.execute("ip", "link", "set", "lo", "mtu", "1500")
    with machine.run(Peer, guess) as peer:
        output = machine.run(run, "--mtu", "--json", "-W1", *peer.address)[1]
    assert parse(output.decode())["mtu"]["rejections"] == []


def test_another_service(clock):
    """Where no others come, they are the result."""

    def greet(peer):
        for _, source in peer:
            peer.answer(b"220 mail.example ESMTP\r\n", source)
            lose_patience(peer, clock)

    clock.stop()
    with Peer(greet) as peer:
        status, output, _ = run("--mtu", *peer.address, env=os.environ | clock.environment)
        port = peer.address[1]
    assert (status, output.decode()) == (
        1, f"127.0.0.1 port {port}: differs: not an echo service: it answered "
        "«220 mail.example ESMTP»\n")


def test_no_service():
    """Without a service the verdict is the reason, and no size."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", 0))
        port = str(other.getsockname()[1])
        status, output, _ = run("--mtu", "-W", "0.1", "127.0.0.1", port)
        assert status == 1
        assert output.decode() == f"127.0.0.1 port {port}: timeout: no answer to 40 bytes\n"
    status, output, _ = run("--mtu", "127.0.0.1", port)
    assert status == 1
    assert output.decode().splitlines()[0] == (
        f"127.0.0.1 port {port}: refused: port unreachable from 127.0.0.1")


@pytest.mark.parametrize("answers, wrong, kind, sentence", [
    (0, "", "interrupted", "the search ended early, before a datagram passed"),
    (1, "", "interrupted", "the search ended early, 40 bytes passed"),
    (2, "", "interrupted", "the search ended early, 40 bytes passed"),
    (1, "changed", "differs", "an answer to 40 bytes came back changed"),
    (2, "changed", "differs", "an answer to 40 bytes came back changed"),
    (1, "unrecognized", "differs", "1 unrecognized answer"),
    (2, "unrecognized", "differs", "2 unrecognized answers")])
def test_an_interrupt(answers, wrong, kind, sentence):
    """A signal ends the search, which names wrong answers, or else the size that passed until
    then, if any did."""
    came = threading.Event()

    def behave(peer):
        for number, (data, source) in enumerate(peer):
            if number < answers:
                if wrong == "unrecognized":
                    peer.answer(b"\xff" * 40, source)
                peer.answer(data[:-1] + bytes([data[-1] ^ (wrong == "changed")]), source)
            else:
                came.set()

    with Peer(behave) as peer, Client("--mtu", "--json", "-W600", *peer.address) as client:
        assert came.wait(DEADLINE)
        client.process.send_signal(signal.SIGINT)
        status, output, errors = client.end()
    assert (status, errors) == (1, [])
    assert json.loads(output)["failure"] == {"kind": kind, "message": sentence}


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1])
def test_an_inquiry(number):
    """Standard error says how far the search is, even while no answer comes; the search goes on."""
    came, asked = threading.Event(), threading.Event()

    def behave(peer):
        for count, (data, source) in enumerate(peer):
            if count == 2:
                came.set()
                asked.wait(DEADLINE)
            peer.answer(data, source)

    with Peer(behave) as peer:
        with Client("--mtu", "--no-progress", PATIENT, *peer.address) as client:
            assert came.wait(DEADLINE)
            client.process.send_signal(number)
            line = client.process.stderr.readline().decode()
            asked.set()
            status, output, errors = client.end()
    assert re.fullmatch(r"0\.0-\d+\.\d s: \d+ datagrams, 40 to 65507 bytes\n", line)
    assert (status, errors) == (0, []), output
