# SPDX-License-Identifier: MIT
"""RFC 862 on datagrams: answered once, byte for byte, from the address asked; and who is not."""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import struct
import threading
import time

import pytest

import clients
import inetds
import processes
from journald import Notifications
from processes import DEADLINE, wait_for
from service import TRACED
from tracing import Tampering

SO_RCVBUFFORCE = 33
UNLIMITED = "--max-datagrams-per-source=0"
MOST = {socket.AF_INET: 65507, socket.AF_INET6: 65527}
BURST, RATE = 200, 100
# How many a handler reads at once.
BATCH = 16
# How many sources a handler remembers, how many a flood forges, and how many at once: the kernel
# drops what exceeds net.core.netdev_max_backlog.
REMEMBERED = 16384
FORGED = 1000000 if os.environ.get("MPECHO_FLOWS") == "all" else 100000
AT_ONCE = 500


def receiver(address=("127.0.0.1", 0), family=socket.AF_INET, buffer=4 << 20):
    """A bound datagram socket with room for what comes while nobody reads."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(DEADLINE)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
    made.bind(address)
    return made


def address_of(text):
    """The family and address to send to for a listener as the service writes it."""
    assert text.startswith("udp:")
    return clients.parse_address(text.removeprefix("udp:"))


def ask(client, address, data=b"ping"):
    """One exchange; the answer has to come from the address that was asked."""
    client.sendto(data, address)
    answer, source = client.recvfrom(1 << 17)
    assert (answer, source[:2]) == (data, address[:2])


def reported(service):
    """The counts of the first datagram socket since the start."""
    count = len(service.journal.records("socket"))
    service.signal(signal.SIGUSR1)
    return service.journal.wait_for("socket", count + 1)[count]


def wait_until_counted(service, field, count):
    """Waits until the handler has counted so many of these."""
    return wait_for(lambda: (record := reported(service)).number(field) >= count and record,
                    f"{field} of {count}")


def handler_of(service):
    pid, = service.handlers()
    return pid


def wait_until_told(service):
    """Waits until the handler has counted what it has answered, and the master knows that."""
    processes.wait_until_waiting(service.handlers())
    service.totals()


@pytest.fixture
def client():
    with receiver() as made:
        yield made


@pytest.mark.parametrize("listen", ["udp:0", "udp:127.0.0.1:0"])
def test_answers(start, client, listen):
    """A datagram comes back, and systemctl status shows who does that."""
    service = start(listen)
    port = address_of(service.listeners()[0])[1][1]
    ask(client, ("127.0.0.1", port))
    title = processes.command_line(handler_of(service))
    assert title.rstrip(b"\0") == f"mpecho: {service.listeners()[0]}".encode()


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "192.0.2.7"),
                                             (socket.AF_INET6, "2001:db8::7")])
@pytest.mark.parametrize("make, room", [pytest.param(None, 1 << 16, id="mpecho"),
                                        *inetds.BUFFERS.items()])
def test_sizes(start, network, tmp_path, family, address, make, room):
    """Every size comes back byte for byte, 0 and the largest that the family has as well. Of what is
    longer than their buffers, inetds answer the beginning."""
    here = network(f"{address}/{32 if family == socket.AF_INET else 128}")
    sizes = [0, 1, 1472, 1473, 2048, 2049, 12288, 12289, 32768, MOST[family] - 1, MOST[family]]
    sizes += random.Random(862).choices(range(MOST[family]), k=1000)
    with contextlib.ExitStack() as stack:
        if make and not inetds.PEERS.exists():
            pytest.skip("no inetds: run make deps check")
        elif make:
            pid = stack.enter_context(inetds.datagrams(make, here, address, tmp_path))
        else:
            service = start("udp:7", UNLIMITED, network=here)
        client = stack.enter_context(here.run(receiver, (address, 0), family))
        for size in sizes:
            data = clients.pattern("random", size)
            if make:
                processes.wait_until_waiting([pid])
            client.sendto(data, (address, 7))
            answer, source = client.recvfrom(1 << 17)
            assert (answer, source[:2]) == (data[:room], (address, 7))
    if not make:
        record = wait_until_counted(service, "MPECHO_ANSWERED", len(sizes))
        assert record.number("MPECHO_ANSWERED") == len(sizes)
        assert record.number("MPECHO_BYTES") == sum(sizes)


def count_rules(network):
    """Begins to count the UDP datagrams that come in and go out by the network's cables."""
    chains = "".join(
        f'chain {hook} {{ type filter hook {hook} priority 0; {name} != "lo" meta l4proto udp '
        "counter; }\n" for hook, name in (("input", "iifname"), ("output", "oifname")))
    network.execute("nft", "-f", "-", text=f"table inet datagrams {{\n{chains}}}\n")


def counted(network):
    """How many came in and went out since then."""
    rules = json.loads(network.execute("nft", "-j", "list", "table", "inet", "datagrams"))
    packets = {rule["rule"]["chain"]: part["counter"]["packets"] for rule in rules["nftables"]
               if "rule" in rule for part in rule["rule"]["expr"] if "counter" in part}
    return packets["input"], packets["output"]


def test_source_of_answers(start, network):
    """On a machine with six addresses, and a default route that leads elsewhere, each of 30,000
    answers comes from the address that was asked."""
    server, here, elsewhere = network(), network(), network()
    server.link(here, *((f"10.0.{i}.1/24", f"10.0.{i}.2/24") for i in range(3)),
                *((f"fd00:{i}::1/64", f"fd00:{i}::2/64") for i in range(1, 4)))
    server.link(elsewhere, ("10.9.0.1/24", "10.9.0.2/24"), name="other")
    server.execute("ip", "route", "add", "default", "via", "10.9.0.2", "dev", "other")
    # A client whose address is behind the network: its answers come by the routing table.
    here.execute("ip", "address", "add", "10.8.0.2/32", "dev", "lo")
    server.execute("ip", "route", "add", "10.8.0.2", "via", "10.0.0.2", "dev", "cable")
    service = start("udp:9190", UNLIMITED, network=server)
    count_rules(server)
    asked = [*(f"10.0.{i}.1" for i in range(3)), *(f"fd00:{i}::1" for i in range(1, 4))]
    with here.run(receiver, ("10.8.0.2", 0)) as four, \
            here.run(receiver, ("::", 0), socket.AF_INET6) as six:
        pending = []
        for number, address in zip(range(30000), itertools.cycle(asked)):
            client = six if ":" in address else four
            client.sendto(struct.pack("!I", number), (address, 9190))
            pending.append((client, address, number))
            if len(pending) < 60:
                continue
            for client in (four, six):
                expected = {(number, address) for one, address, number in pending if one is client}
                got = {(struct.unpack("!I", data)[0], source[0])
                       for data, source in (client.recvfrom(100) for _ in expected)}
                assert got == expected
            pending = []
    wait_until_counted(service, "MPECHO_ANSWERED", 30000)
    came, left = counted(server)
    # Out of their order, some can leave together and count as one.
    assert came == 30000 and left <= 30000


def test_way_of_answers(start, network):
    """The routing table chooses the way of an answer: a client that reaches the service by one
    network, and is reached by another one, gets its answers."""
    server, there = network(), network()
    server.link(there, ("10.1.0.1/24", "10.1.0.2/24"), name="there")
    server.link(there, ("10.2.0.1/24", "10.2.0.2/24"), name="back")
    there.execute("ip", "address", "add", "10.8.0.2/32", "dev", "lo")
    for one in (server, there):
        one.execute("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.there.rp_filter=0", "net.ipv4.conf.back.rp_filter=0")
    # As behind a router: nobody finds the client's address by ARP.
    there.execute("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1",
                  "net.ipv4.conf.all.arp_announce=2")
    server.execute("ip", "route", "add", "10.8.0.2", "via", "10.2.0.2", "dev", "back")
    start("udp:9190", network=server)
    with there.run(receiver, ("10.8.0.2", 0)) as client:
        ask(client, ("10.1.0.1", 9190))


def test_link_local(start, network):
    """A client on the same link is answered from the link-local address that it asked."""
    server, there = network(), network()
    server.link(there, ("fe80::1/64", "fe80::2/64"), ("fd00::1/64", "fd00::2/64"))
    start("udp:9190", network=server)
    scope = there.run(socket.if_nametoindex, "cable")
    for source in ("fe80::2", "fd00::2"):
        with there.run(receiver, (source, 0, 0, scope if source == "fe80::2" else 0),
                       socket.AF_INET6) as client:
            client.sendto(b"ping", ("fe80::1", 9190, 0, scope))
            assert client.recvfrom(9) == (b"ping", ("fe80::1", 9190, 0, scope))


def forged(source, destination, data=b"forged"):
    """A datagram from an address and port that are somebody else's, with its headers."""
    (source, source_port), (destination, port) = source, destination
    return struct.pack("!BBHHHBBH4s4sHHHH", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(destination), source_port, port,
                       8 + len(data), 0) + data


def forger(network):
    """A socket that sends datagrams with their headers."""
    return network.run(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def forge(network, source, destination):
    with forger(network) as raw:
        raw.sendto(forged(source, destination), (destination[0], 0))


@pytest.fixture(name="pair")
def fixture_pair(network):
    """Two networks with a cable, and what goes out of the first is counted."""
    first, second = network(), network()
    first.link(second, ("10.0.0.1/24", "10.0.0.2/24"), ("10.0.1.1/24", "10.0.1.2/24"))
    count_rules(first)
    return first, second


def test_services_are_not_answered(start, pair):
    """A forged packet from the port of a service, another echo above all, gets no answer."""
    first, second = pair
    service = start("udp:7", network=first)
    other = start("udp:7", network=second)
    for port in (7, 19, 1023, 2049):
        forge(second, ("10.0.0.2", port), ("10.0.0.1", 7))
    wait_until_counted(service, "MPECHO_REFUSED_PORT", 4)
    assert counted(first) == (4, 0)
    assert reported(other).number("MPECHO_ANSWERED") == 0


def test_forged_sources_are_not_answered(start, pair):
    """No answer goes to the service itself, to broadcast or to multicast addresses, nor to those
    that were asked by these."""
    first, second = pair
    # The kernel itself drops most of them.
    for name in ("all", "cable"):
        first.execute("sysctl", "-qw", f"net.ipv4.conf.{name}.route_localnet=1",
                      f"net.ipv4.conf.{name}.rp_filter=0", f"net.ipv4.conf.{name}.accept_local=1")
    service = start("udp:9190", network=first)
    forge(second, ("10.0.0.2", 9190), ("10.0.0.1", 9190))
    wait_until_counted(service, "MPECHO_REFUSED_SELF", 1)
    forge(second, ("127.0.0.1", 40000), ("10.0.0.1", 9190))
    forge(second, ("10.0.0.1", 40000), ("10.0.0.1", 9190))
    wait_until_counted(service, "MPECHO_REFUSED_SOURCE", 2)
    with second.run(receiver, ("10.0.0.2", 0)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in ("10.0.0.255", "255.255.255.255"):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"cable")
            client.sendto(b"ping", (address, 9190))
        wait_until_counted(service, "MPECHO_REFUSED_DESTINATION", 2)
        assert counted(first)[1] == 0
        ask(client, ("10.0.0.1", 9190))


class Reflector:
    """A service that answers everybody, without a limit, and counts."""

    def __init__(self, network, address):
        self._socket = network.run(receiver, address)
        self.count = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            data, source = self._socket.recvfrom(1 << 16)
            if data == b"end":
                return
            self.count += 1
            self._socket.sendto(data, source)

    def close(self):
        self._socket.sendto(b"end", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def test_loop_with_a_reflector_ends(start, pair, clock):
    """A reflector on a high port and the service answer each other as often as the limit allows at
    once, and then no more; never is there an answer more than there were requests. Who begins anew
    as soon as the limit allows it costs less than 2 % of a processor."""
    first, second = pair
    # A machine that is too slow for the rate would never come to the limit.
    clock.stop()
    service = start("udp:9190", network=first, environment=clock.environment)
    handler, costs = [handler_of(service)], []
    reflector = Reflector(second, ("10.0.0.2", 30006))
    try:
        for loops in range(1, 11):
            processes.wait_until_waiting(handler)
            before = processes.usage(*handler)[1]
            forge(second, ("10.0.0.2", 30006), ("10.0.0.1", 9190))
            wait_until_counted(service, "MPECHO_REFUSED_RATE", loops)
            processes.wait_until_waiting(handler)
            costs.append(processes.usage(*handler)[1] - before)
            assert counted(first) == (loops * (BURST + 1), loops * BURST)
            clock.advance(BURST / RATE)
        assert reflector.count == 10 * BURST
    finally:
        reflector.close()
    # The host of a virtual machine can take the processor away, but not each time.
    assert min(costs) < 0.02 * BURST / RATE, costs


def test_cost_of_what_the_limit_refuses(start, client, clock, tmp_path):
    """For a source beyond its limit the handler does no more than read, sixteen datagrams at once
    when they come faster than that: a reflector that never stops costs no answer."""
    flood = 4000
    clock.stop()
    with receiver() as passed:
        service = start(passed=[passed], environment={**clock.environment, **TRACED})
        for _ in range(BURST):
            ask(client, passed.getsockname())
        wait_until_told(service)
        handler = handler_of(service)
        os.kill(handler, signal.SIGSTOP)
        wait_for(lambda: processes.state(handler) == "T", "the handler stopped")
        for _ in range(flood):
            client.sendto(b"flood", passed.getsockname())
        with Tampering(handler, "all", log=tmp_path / "calls") as calls:
            os.kill(handler, signal.SIGCONT)
            wait_until_counted(service, "MPECHO_REFUSED_RATE", flood)
        assert reported(service).number("MPECHO_ANSWERED") == BURST
    names = {line.partition("(")[0] for line in calls.lines() if line[0].isalpha()}
    assert names <= {"recvmmsg", "write"}
    # Once more where the stop interrupted it, and where it waits for the next one.
    assert calls.count("recvmmsg") <= flood / BATCH + 2
    assert calls.count("write") <= 1


def test_loop_of_two_services_ends(start, pair, clock):
    """A forged packet makes two services at high ports answer each other until the limit of one of
    them ends it."""
    first, second = pair
    clock.stop()
    services = [start(f"udp:{port}", network=one, environment=clock.environment)
                for port, one in zip((9190, 9191), pair)]
    forge(second, ("10.0.0.2", 9191), ("10.0.0.1", 9190))
    wait_for(lambda: counted(first) == (BURST + 1, BURST), "the end of the loop")
    clock.resume()
    wait_until_counted(services[0], "MPECHO_REFUSED_RATE", 1)


def test_two_services_at_one_port_make_no_loop(start, pair):
    """A service does not answer the port that it has itself."""
    first, second = pair
    services = [start("udp:9190", network=one) for one in pair]
    forge(second, ("10.0.0.2", 9190), ("10.0.0.1", 9190))
    wait_for(lambda: reported(services[0]).number("MPECHO_REFUSED_SELF") == 1, "the refusal")
    assert counted(first) == (1, 0)


def test_limit_of_a_source(start, pair):
    """A source that floods gets as many answers as the limit allows; another one gets all."""
    first, second = pair
    service = start("udp:9190", network=first)
    with second.run(receiver, ("10.0.0.2", 0)) as flood, \
            second.run(receiver, ("10.0.1.2", 0)) as other:
        began = time.monotonic()
        for _ in range(10):
            for _ in range(200):
                flood.sendto(b"flood", ("10.0.0.1", 9190))
            ask(other, ("10.0.1.1", 9190))
        record = wait_for(
            lambda: (now := reported(service)).number("MPECHO_ANSWERED") +
            now.number("MPECHO_REFUSED") == 2010 and now, "all of the flood counted")
        assert BURST + 10 <= record.number("MPECHO_ANSWERED") <= (
            BURST + RATE * (time.monotonic() - began) + 10)
        assert record.number("MPECHO_REFUSED_RATE") == record.number("MPECHO_REFUSED")


class Forgery:
    """Sends datagrams to a service, each from another source."""

    def __init__(self, raw, network, address):
        self._raw, self._network, self._address = raw, network, address
        self._packet = bytearray(forged(("11.0.0.0", 40000), address))
        self.sent = 0

    def send(self, between=lambda: None):
        """As many as the kernel takes at once; between() in the midst of them."""
        for number in range(AT_ONCE):
            if number == AT_ONCE // 2:
                between()
            struct.pack_into("!I", self._packet, 12, (11 << 24) + self.sent)
            self._raw.sendto(self._packet, self._address)
            self.sent += 1

    def wait_until_read(self, others):
        """Waits until the service has read them, and those of others."""
        wait_for(lambda: self._network.datagrams("InDatagrams") == self.sent + others, "all read")


def test_flood_of_forged_sources(start, pair, clock):
    """However many sources are forged, each for one of 50,000 datagrams a second, the memory of the
    handler does not grow, and a source that sends ten a second gets all its answers."""
    first, second = pair
    first.execute("ip", "route", "add", "default", "via", "10.0.0.2")
    clock.stop()
    with first.run(receiver, ("10.0.0.1", 9190)) as passed, forger(second) as raw, \
            second.run(receiver, ("10.0.0.2", 0)) as client:
        service = start(passed=[passed], network=first, environment=clock.environment)
        handler, forgery, asked = handler_of(service), Forgery(raw, first, ("10.0.0.1", 9190)), 0
        # Once the table is full: all of these get answers.
        while forgery.sent <= REMEMBERED:
            forgery.send()
            forgery.wait_until_read(0)
            clock.advance(AT_ONCE / (10 * RATE))
        memory = processes.private_memory(handler)
        for number in range(FORGED // AT_ONCE):
            begins = number % 10 == 0
            forgery.send(lambda: begins and ask(client, ("10.0.0.1", 9190)))
            asked += begins
            forgery.wait_until_read(asked)
            clock.advance(0.01)
        # What a larger batch than all before touches is less than a byte for each of them.
        assert processes.private_memory(handler) - memory < FORGED / 1024
        record = wait_for(
            lambda: (now := reported(service)).number("MPECHO_ANSWERED") +
            now.number("MPECHO_REFUSED") == forgery.sent + asked and now, "all counted")
    assert record.number("MPECHO_REFUSED_OVERALL") == record.number("MPECHO_REFUSED") > FORGED / 2
    assert counted(first) == (forgery.sent + asked, record.number("MPECHO_ANSWERED"))


class Load:
    """Sends numbered datagrams at a rate and notes which came back."""

    def __init__(self, client, address, rate):
        self.sent, self.back = 0, set()
        self._client, self._address, self._rate = client, address, rate
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        began = time.monotonic()
        while not self._ended.wait(0.005):
            while self.sent < self._rate * (time.monotonic() - began):
                self._client.sendto(struct.pack("!I", self.sent), self._address)
                self.sent += 1

    def _receive(self):
        while (data := self._client.recv(100)) != b"end":
            number, = struct.unpack("!I", data)
            assert number not in self.back, "answered twice"
            self.back.add(number)

    def end(self, service):
        """Stops sending, and returns how many did not come back; all others are answered first."""
        self._ended.set()
        self._threads[0].join()
        # What has no room in the socket is lost, the end as well.
        processes.wait_until_waiting(service.handlers())
        self._client.sendto(b"end", self._address)
        self._threads[1].join()
        return self.sent - len(self.back)


def test_restarts_lose_nothing(start, network):
    """Over 20 restarts at 5,000 datagrams a second no more are lost than the socket has no room
    for, and none is answered twice."""
    here = network()
    with here.run(receiver) as passed, here.run(receiver) as client:
        load = Load(client, passed.getsockname(), 5000)
        for _ in range(20):
            service = start(UNLIMITED, passed=[passed], network=here)
            wait_until_counted(service, "MPECHO_ANSWERED", 500)
            assert service.stop() == 0
        service = start(UNLIMITED, passed=[passed], network=here)
        assert load.end(service) <= here.datagrams("RcvbufErrors")


def test_killed_handler(start, client):
    """When a handler is killed, the next one answers what came meanwhile, and what comes then."""
    service = start("udp:127.0.0.1:0", expected=["restarted"])
    address = address_of(service.listeners()[0])[1]
    for count in range(1, 4):
        pid = handler_of(service)
        ask(client, address)
        os.kill(pid, signal.SIGKILL)
        # Until then it may read what it does not live to answer.
        processes.wait_until_dead([pid])
        ask(client, address)
        record = service.journal.wait_for("restarted", count)[-1]
        assert record.number("MPECHO_HANDLER_PID") == pid
        assert record.number("MPECHO_SIGNAL") == signal.SIGKILL
        assert reported(service).number("MPECHO_HANDLER_PID") == handler_of(service) != pid


def test_next_handler_of_a_spoilt_socket(start, client):
    """A handler that was taken over can make reads of its socket not wait: those of the next one
    do."""
    with receiver() as passed:
        service = start(passed=[passed], expected=["restarted"])
        address = passed.getsockname()
        ask(client, address)
        processes.wait_until_waiting(service.handlers())
        passed.setblocking(False)
        os.kill(handler_of(service), signal.SIGKILL)
        service.journal.wait_for("restarted")
        ask(client, address)
        assert os.get_blocking(passed.fileno())


def test_time_without_a_handler(start, client, clock):  # noqa: F811
    """The next handler of a socket answers 10 ms after the last one was killed, by the clock of the
    service: not before, and for three in a row within 100 ms."""
    clock.stop()
    service = start("udp:127.0.0.1:0", expected=["restarted"], environment=clock.environment)
    address = address_of(service.listeners()[0])[1]
    for count, pause in enumerate((0.01, 0.02, 0.04), 1):
        os.kill(handler_of(service), signal.SIGKILL)
        service.journal.wait_for("restarted", count)
        client.sendto(b"ping", address)
        clock.advance(pause / 2)
        # The master's turn with the first record is over when it writes the second one.
        service.totals()
        service.totals()
        assert service.handlers() == []
        clock.advance(pause / 2)
        assert client.recvfrom(100) == (b"ping", address)


def test_killed_master(start):
    """A handler ends when its master does: the next master's handler has the socket for itself."""
    with receiver() as passed:
        service = start(passed=[passed])
        handler = handler_of(service)
        service.process.kill()
        processes.wait_until_dead([handler])
        service.wait()
        processes.reap_orphans("mpecho")


def test_stopped_while_busy(start, client):
    """A handler that is asked to stop answers what it has read, and leaves the rest to the socket."""
    with receiver() as passed:
        service = start(UNLIMITED, passed=[passed])
        handler = handler_of(service)
        os.kill(handler, signal.SIGSTOP)
        wait_for(lambda: processes.state(handler) == "T", "the handler stopped")
        for number in range(1000):
            client.sendto(struct.pack("!I", number), passed.getsockname())
        service.signal(signal.SIGTERM)
        os.kill(handler, signal.SIGCONT)
        assert service.wait() == 0
        stopped, = service.journal.records("stopped")
        answered = stopped.number("MPECHO_DATAGRAMS_ANSWERED")
        left = 0
        passed.setblocking(False)
        try:
            while passed.recv(100):
                left += 1
        except BlockingIOError:
            pass
        assert answered + left == 1000
        for number in range(answered):
            assert client.recv(100) == struct.pack("!I", number)


def test_unix_socket(start, tmp_path):
    """A passed Unix socket is served: whoever has an abstract name is answered. Nobody else is: the
    handler would look for a path in its own file system, where it can be systemd's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as passed, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as path, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
        passed.bind(str(tmp_path / "echo"))
        client.bind(f"\0mpecho-test-{os.getpid()}")
        client.settimeout(DEADLINE)
        service = start(passed=[passed])
        assert service.listeners() == [f"datagram:{tmp_path}/echo"]
        nobody.sendto(b"nobody", str(tmp_path / "echo"))
        path.bind(str(tmp_path / "client"))
        path.sendto(b"path", str(tmp_path / "echo"))
        client.sendto(b"ping", str(tmp_path / "echo"))
        assert client.recvfrom(100) == (b"ping", str(tmp_path / "echo"))
        record = reported(service)
        assert record.number("MPECHO_REFUSED_SOURCE") == 2
        assert record["MPECHO_LISTENER"] == f"datagram:{tmp_path}/echo"
        assert not clients.is_readable(path, 0)


def test_descriptors_of_others(start):
    """A handler does not keep the descriptors that a peer passes with a datagram."""
    name = f"\0mpecho-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as passed, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        passed.bind(name)
        client.bind(name + "-client")
        client.settimeout(DEADLINE)
        service = start(passed=[passed])
        client.sendto(b"first", name)
        assert client.recv(100) == b"first"
        handler, = service.handlers()
        before = processes.descriptors(handler)
        for _ in range(3):
            rights = struct.pack("50i", *[passed.fileno()] * 50)
            try:
                client.sendmsg([b"ping"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, name)
            except PermissionError:  # from Linux 6.16 on
                client.sendto(b"ping", name)
            assert client.recv(100) == b"ping"
        assert processes.descriptors(handler) == before


def test_standard_input(start, client):
    """The datagram socket that an inetd passes as standard input is served."""
    with receiver() as passed:
        start(listen=None, stdin=passed)
        ask(client, passed.getsockname())


def test_leaves_when_idle(start, client):
    """--exit-idle ends a service that nobody asks; what comes afterwards waits in the socket."""
    with receiver() as passed:
        began = time.monotonic()
        # It comes first: the service waits a second for it, and no longer.
        client.sendto(b"early", passed.getsockname())
        service = start("--exit-idle=1", passed=[passed], ready=False)
        assert client.recv(100) == b"early"
        assert service.wait() == 0
        assert time.monotonic() - began >= 1
        client.sendto(b"late", passed.getsockname())
        assert passed.recv(100) == b"late"


def test_stays_while_asked(start, client, clock):
    """--exit-idle ends nobody that datagrams come for."""
    clock.stop()
    with receiver() as passed:
        service = start("--exit-idle=1", passed=[passed], environment=clock.environment)
        for _ in range(5):
            ask(client, passed.getsockname())
            wait_until_told(service)
            clock.advance(0.9)
            service.totals()
        clock.advance(1)
        service.totals()
        clock.advance(1)
        service.signal(signal.SIGUSR1)
        assert service.wait() == 0


def test_status(start, client, tmp_path):
    """The status has the counts, a second later at the latest, and an end."""
    manager = Notifications(tmp_path)
    try:
        service = start("udp:127.0.0.1:0", environment={"NOTIFY_SOCKET": manager.path})
        address = address_of(service.listeners()[0])[1]
        for count in range(1, 4):
            ask(client, address)
            manager.wait_for("STATUS", "0 live (peak 0), 0 served, 0 refused, 0 bytes echoed; "
                                       f"{count} datagram{'s' * (count != 1)} answered, 0 refused, 0 dropped")
    finally:
        service.stop()
        manager.close()


def test_summary(start, client, clock):
    """One record a minute has the counts, and none comes when no datagram has."""
    clock.stop()
    service = start("udp:127.0.0.1:0", environment=clock.environment)
    address = address_of(service.listeners()[0])[1]
    for count in range(1, 4):
        for _ in range(count):
            ask(client, address)
        # The master rests for a second after the first one, and logs a minute later.
        wait_until_told(service)
        clock.advance(1)
        service.totals()
        clock.advance(60)
        service.totals()
        record = service.journal.wait_for("datagrams", count)[-1]
        assert record.number("MPECHO_ANSWERED") == count
        clock.advance(600)
        service.totals()
        assert len(service.journal.records("datagrams")) == count


def test_at_rest(start, tmp_path, client):
    """A socket on which nothing comes wakes neither its handler nor the master."""
    manager = Notifications(tmp_path)
    try:
        service = start("udp:127.0.0.1:0", environment={"NOTIFY_SOCKET": manager.path})
        pids = {"master": service.pid, "handler": handler_of(service)}
        manager.wait_for("STATUS")
        processes.wait_until_waiting(pids.values())
        before = {name: processes.usage(pid) for name, pid in pids.items()}
        time.sleep(3)
        assert {name: processes.usage(pid) for name, pid in pids.items()} == before
    finally:
        service.stop()
        manager.close()


def test_streams_beside(start, client):
    """Connections and datagrams are served side by side, at the same port."""
    service = start("127.0.0.1:0", "udp:127.0.0.1:0")
    stream, datagrams = service.listeners()
    with clients.connect(stream) as connection:
        for _ in range(10):
            clients.ping(connection)
            ask(client, address_of(datagrams)[1])
        wait_until_counted(service, "MPECHO_ANSWERED", 10)
        totals = service.totals()
        assert totals.number("MPECHO_LIVE") == 1
        assert totals.number("MPECHO_DATAGRAMS_ANSWERED") == 10


@pytest.mark.parametrize("listen", ["udp:", "udp:localhost:7", "udp:/run/echo", "udp:70000"])
def test_wrong_names(start, listen):
    """A LISTEN that names no port is wrong usage."""
    service = start(listen, ready=False, log="stderr")
    assert service.wait() == 2
    assert f"Cannot listen on '{listen}'" in service.take_stderr()
