# SPDX-License-Identifier: MIT
"""Networks that lose packets, cut them small, or vanish: what arrives is intact, and nobody hangs.

A service in one network namespace and its peers in another, with a cable between them."""

import configparser
import os
import re
import socket
import time
from pathlib import Path

import pytest

import client as program
import clients
import processes
from journald import ROOT
from processes import DEADLINE, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

HERE, THERE = "10.86.2.1", "10.86.2.2"
HERE6, THERE6 = "fd00:862::1", "fd00:862::2"
LOST = 5  # of a hundred packets that come in, at either end
TCP_REPAIR = 19
KEEPALIVE = (2, 1, 3)  # idle, interval, probes


class Cable:
    """The service's namespace, `here`, that of the peers, `there`, and connections between them."""

    def __init__(self, network, mtu=1500):
        self.here, self.there = network(), network()
        pairs = [(f"{HERE}/24", f"{THERE}/24")]
        if mtu >= 1280:
            pairs.append((f"{HERE6}/64", f"{THERE6}/64"))
        self.here.link(self.there, *pairs, mtu=mtu)

    def listen(self, keepalive):
        """A listener as systemd makes it of KeepAliveTimeSec=, KeepAliveIntervalSec=, …Probes=."""
        listener = self.here.run(clients.listen, address=(HERE, 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in zip(
                (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), keepalive):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        return listener

    def connect_served(self, service):
        """A peer's connection that has seen its first echo."""
        client = self.there.run(clients.connect, service.listeners()[0])
        service.clients.append(client)
        clients.ping(client)
        return client

    def connect_small(self, service, room=4096):
        """A peer's connection that takes few bytes before its peer reads."""
        client, address = self.there.run(clients.prepare, service.listeners()[0])
        service.clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.connect(address)
        return client

    def vanish(self):
        """From now on the peers get nothing, and nothing comes from them, not even a refusal."""
        self.there.drop("all", "all")

    def come_back(self):
        self.there.drop()


@pytest.fixture
def served(network, start):
    """A service behind a cable, and a connection to it from the other end."""
    def begin(*options, keepalive=KEEPALIVE):
        cable = Cable(network)
        with cable.listen(keepalive) as listener:
            service = start(*options, passed=[listener], network=cable.here)
        return cable, service, cable.connect_served(service)

    return begin


# Places in tcp(7)'s TCP_INFO.
PROBES, BACKOFF = 3, 4


def tcp_info(pid, place):
    """What the kernel knows of the connection that a handler has."""
    with socket.socket(fileno=processes.duplicate(pid, 3)) as connection:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[place]


def closed(service, reason):
    """The record of the end of the only connection."""
    record, = service.journal.wait_for("closed")
    assert record["MPECHO_REASON"] == reason
    return record


def assert_serving(service):
    """A new client, on the machine of the service, has its echo; and it is the only one."""
    service.connect_served().close()
    service.wait_until_idle()
    totals = service.totals()
    assert totals.number("MPECHO_LIVE") == 0
    assert totals.number("MPECHO_SERVED") == 2


@pytest.mark.parametrize("host, mtu", [(HERE, 576), (HERE6, 1280)])
def test_lost_packets_and_small_ones(network, start, host, mtu):
    """With 5 % of the packets lost each way, and small ones only, every byte is right both ways."""
    size, checks = 300_000, 3
    cable = Cable(network, mtu)
    cable.here.drop(f"meta l4proto tcp numgen random mod 100 < {LOST}")
    cable.there.drop(f"meta l4proto tcp numgen random mod 100 < {LOST}")
    service = start(f"[{host}]:0" if ":" in host else f"{host}:0", network=cable.here)
    port = service.listeners()[0].rpartition(":")[2]
    for count in range(1, checks + 1):
        status, output, errors = cable.there.run(
            program.run, "--check", f"-s{size}", f"--timeout={DEADLINE}",
            f"--connect-timeout={DEADLINE}", host, port, data=b"")
        assert (status, errors) == (0, []), output
        assert f" intact: {size} bytes sent, {size} came back in ".encode() in output
        record = service.journal.wait_for("closed", count)[-1]
        assert record.number("MPECHO_BYTES") == size
        assert record["MPECHO_REASON"] == "closed by peer"
    # Of packets as small as these there are many, of which some were lost.
    assert cable.here.dropped() > 0 and cable.there.dropped() > 0
    assert len(service.journal.records("accepted")) == checks
    client = cable.there.run(clients.connect, service.listeners()[0])
    service.clients.append(client)
    clients.ping(client)
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) < mtu


def documented():
    """What mpecho.socket sets: idle, interval, probes; mpecho(8) has the same numbers."""
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str
    unit.read(ROOT / "systemd" / "mpecho.socket")
    idle, interval, probes = (
        int(unit["Socket"][name].removesuffix("s"))
        for name in ("KeepAliveTimeSec", "KeepAliveIntervalSec", "KeepAliveProbes"))
    page = " ".join((ROOT / "packaging" / "mpecho.8").read_text().split())
    said = re.search(r"After (\d+) seconds without a sign of the peer, the kernel sends probes: (\d+), "
                     r"(\d+) seconds apart. Without an answer the connection ends with the reason "
                     r"failed, (\d+) seconds",
                     page)
    assert [int(number) for number in said.groups()] == [
        idle, probes, interval, idle + probes * interval]
    return idle, interval, probes


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
def test_documented_time_on_an_own_port(start, listen):
    """Connections to a port of mpecho's own have the keepalive times of mpecho.socket."""
    service = start(listen)
    service.connect_served()
    handler, = service.handlers()
    with socket.socket(fileno=processes.duplicate(handler, 3)) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert documented() == tuple(
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT))


def test_vanished_peer(served):
    """A silent peer that vanishes ends by keepalive: idle + probes × interval after its last sign.

    Then it has failed; the idle timeout would have come later."""
    idle, interval, probes = KEEPALIVE
    begin = time.monotonic()
    cable, service, _ = served("--idle-timeout=600")
    cable.vanish()
    record = closed(service, "failed")
    assert record.number("MPECHO_BYTES") == len(b"ping")
    # The kernel counts in ticks.
    assert record.when - begin > idle + probes * interval - 0.1
    assert_serving(service)


def test_peer_that_comes_back(served):
    """A peer that is back before the last question was asked goes on as if nothing had been."""
    cable, service, client = served("--idle-timeout=600", keepalive=(1, 1, 60))
    handler, = service.handlers()
    cable.vanish()
    wait_for(lambda: tcp_info(handler, PROBES) >= 1, "a question that is not answered")
    cable.come_back()
    wait_for(lambda: tcp_info(handler, PROBES) == 0, "a question that is answered")
    clients.ping(client)
    assert not service.journal.records("closed")


def test_peer_that_forgot_the_connection(served):
    """A half-open connection, whose peer's machine has restarted, ends with the first question."""
    cable, service, client = served("--idle-timeout=600")
    # The socket is gone without a word on the wire.
    client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    client.close()
    closed(service, "reset by peer")
    assert_serving(service)


def test_vanished_peer_with_an_echo_on_its_way(network, start):
    """While the kernel waits for an acknowledgement, it is the idle timeout that ends a peer: once
    to see that nothing comes, and once more to see that nothing is acknowledged."""
    timeout = 2
    cable = Cable(network)
    service = start(f"--idle-timeout={timeout}", f"{HERE}:0", network=cable.here)
    begin = time.monotonic()
    # Its data waits for the handler, so that no stall makes it idle before.
    with service.paused():
        client = cable.there.run(clients.connect, service.listeners()[0])
        service.clients.append(client)
        # What it sends arrives, but it gets nothing any more.
        cable.there.drop(incoming="all")
        client.sendall(b"to be echoed")
    record = closed(service, "stalled")
    assert record.when - begin > 2 * timeout - 0.1
    assert record.number("MPECHO_BYTES") == len(b"to be echoed")
    assert_serving(service)


def test_vanished_peer_without_an_idle_timeout(served):
    """Without an idle timeout the kernel's tcp_retries2 ends it, and it has failed."""
    cable, service, client = served("--idle-timeout=0")
    cable.here.execute("sysctl", "-q", "net.ipv4.tcp_retries2=3")
    cable.there.drop(incoming="all")
    client.sendall(b"to be echoed")
    closed(service, "failed")
    assert_serving(service)


def kept(network):
    """The connections of a network that have bytes to send and no process, in /proc/net/tcp."""
    lines = network.run(lambda: Path("/proc/thread-self/net/tcp").read_text()).splitlines()[1:]
    return [line for line in lines if int(line.split()[4].partition(":")[0], 16) > 0]


def test_vanished_peer_that_did_not_read(network, start, clock):
    """A peer that has closed its window and then vanishes has stalled, by the idle timeout."""
    timeout = 3
    cable = Cable(network)
    service = start(f"--idle-timeout={timeout}", f"{HERE}:0", network=cable.here,
                    environment=clock.environment)
    clock.stop()
    # The kernel measures the time of reads by its own clock. More data than the buffers take waits
    # for the handler, so that it soon waits in a write.
    with service.paused():
        client = cable.connect_small(service)
        written = clients.fill(client, [])
    assert clients.is_readable(client, DEADLINE)
    handler, = service.handlers()
    wait_for(lambda: tcp_info(handler, BACKOFF) >= 1, "a window that stays closed")
    processes.wait_until_noticed([handler])
    cable.vanish()
    clock.advance(0.9 * timeout)
    processes.wait_until_noticed([handler])
    assert not processes.has_ended(handler)
    clock.advance(0.1 * timeout)
    service.wait_until_idle()
    # The record may wait a moment for others.
    clock.advance(1)
    assert 0 < closed(service, "stalled").number("MPECHO_BYTES") < written
    assert_serving(service)


def test_ended_connection_that_nobody_reads(network, start):
    """A connection that its peer has ended is live while the kernel has bytes of it, at most for
    the idle timeout: nothing stays there that nobody counts."""
    cable = Cable(network)
    service = start("--idle-timeout=2", f"{HERE}:0", network=cable.here)
    # Its data and its end wait for the handler, so that no stall makes it idle before.
    with service.paused():
        client = cable.connect_small(service)
        # More than the peer takes, and less than the kernel takes here.
        client.sendall(bytes(30_000))
        client.shutdown(socket.SHUT_WR)
    assert closed(service, "stalled").number("MPECHO_BYTES") == 30_000
    assert not kept(cable.here)


def test_window_that_is_closed_for_long(served):
    """A peer that lets the window stay closed over many probes, and then reads, gets all of it."""
    cable, service, client = served("--idle-timeout=60")
    handler, = service.handlers()
    written = clients.fill(client, service.handlers())
    wait_for(lambda: tcp_info(handler, BACKOFF) >= 3, "a window that stays closed")
    client.shutdown(socket.SHUT_WR)
    assert clients.drain(client) == written
    assert closed(service, "closed by peer").number("MPECHO_BYTES") == len(b"ping") + written
    client.close()
    assert_serving(service)


def test_tiny_window(network, start):
    """A peer with the smallest receive buffer that there is gets its bytes, and holds up nobody."""
    cable = Cable(network, 576)
    service = start(f"{HERE}:0", network=cable.here)
    client = cable.connect_small(service, 1)
    other = cable.connect_served(service)
    assert clients.exchange(client, clients.RANDOM, 500_003, 10_007) == 500_003
    clients.ping(other)


def test_handshakes_that_are_never_finished(served):
    """Clients that never answer the handshake get no handler and no record, and bar nobody."""
    cable, service, client = served()
    # The peers send the first packet of a connection and do not see the second one.
    cable.there.drop("tcp flags & (syn | ack) == syn | ack")
    address = (socket.AF_INET, (HERE, int(service.listeners()[0].rpartition(":")[2])))
    half_open = [cable.there.run(clients.knock, address) for _ in range(500)]
    wait_for(lambda: cable.there.dropped() >= len(half_open), "the handshakes begun")
    clients.ping(client)
    service.connect_served().close()
    service.wait_until_idle(1)
    for one in half_open:
        one.close()
    totals = service.totals()
    assert totals.number("MPECHO_SERVED") == 2
    assert totals.number("MPECHO_PEAK") == 2
    assert len(service.journal.records("accepted")) == 2
    assert len(service.journal.records("refused")) == 0
