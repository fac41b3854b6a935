# SPDX-License-Identifier: MIT
"""The PROXY protocol: connections that begin with a header, and whom they are served as."""

import contextlib
import os
import signal
import socket
import threading

import pytest

import clients
import processes
import proxies
from manager import unit  # noqa: F401
from processes import wait_for

LISTEN = "proxy:127.0.0.1:0"
ANNOUNCED = "192.0.2.7:51234"


@contextlib.contextmanager
def stopped(service):
    """Stops the master in the meantime. The time for a header begins when it accepts: a test that
    comes late is no peer that does."""
    service.signal(signal.SIGSTOP)
    wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")
    yield
    service.signal(signal.SIGCONT)


def send(service, data, source=None):
    """A connection whose bytes are there before the service accepts it."""
    with stopped(service):
        client = service.connect(source)
        client.sendall(data)
    return client


def introduce(service, header=None, source=None, data=b"ping"):
    """A connection with a header that was served."""
    client = send(service, proxies.text() if header is None else header, source)
    clients.ping(client, data)
    return client


def assert_reset(client):
    with pytest.raises(ConnectionResetError):
        rest = client.recv(1)
        raise AssertionError(f"it was not reset but got {rest!r}")


@pytest.mark.parametrize("header, peer", [
    (proxies.text(), "192.0.2.7:51234"),
    (proxies.text(proxies.SOURCE6, proxies.DESTINATION6), "[2001:db8::7]:51234"),
    (proxies.binary(), "192.0.2.7:51234"),
    (proxies.binary(proxies.SOURCE6, proxies.DESTINATION6), "[2001:db8::7]:51234"),
    (proxies.binary(("::ffff:192.0.2.7", 7), ("::1", 7)), "192.0.2.7:7"),
    (proxies.checked(), "192.0.2.7:51234"),
    (proxies.LOCAL, None), (proxies.UNKNOWN, None), (proxies.UNIX, None),
], ids=["v1", "v1-ipv6", "v2", "v2-ipv6", "v2-mapped", "v2-checksum", "local", "unknown", "unix"])
def test_whom_it_serves(start, header, peer):
    """All records and the title name the announced peer, and its proxy; without one the real."""
    service = start(LISTEN)
    client = introduce(service, header)
    real = clients.peer_text(client)
    handler, = service.handlers()
    assert processes.command_line(handler).rstrip(b"\0").decode() == f"mpecho: {peer or real}"
    service.totals()
    client.close()
    service.journal.wait_for("closed")
    for kind in "accepted", "connection", "closed":
        record, = service.journal.records(kind)
        assert record["MPECHO_PEER"] == (peer or real)
        assert record["MPECHO_PEER_ADDRESS"] == (peer or real).rpartition(":")[0].strip("[]")
        assert record["MPECHO_LISTENER"].startswith("proxy:127.0.0.1:")
        assert record.get("MPECHO_PROXY") == (real if peer else None)


def is_read(address):
    """Whether the service at this address has accepted all peers and read all that they have sent.
    """
    port = clients.parse_address(address)[1][1]
    with open("/proc/net/tcp", encoding="ascii") as table:
        lines = [line.split() for line in table.readlines()[1:]]
    return not any(int(fields[4].partition(":")[2], 16) for fields in lines
                   if int(fields[1].partition(":")[2], 16) == port)


@pytest.mark.parametrize("header", [proxies.text(), proxies.checked()], ids=["v1", "v2"])
def test_split(start, clock, header):
    """Wherever a header is split, nothing comes back before it is complete, and then all bytes
    behind it do."""
    service = start(LISTEN, environment=clock.environment)
    clock.stop()
    split = {size: service.connect() for size in range(1, len(header))}
    for size, client in split.items():
        client.sendall(header[:size])
    wait_for(lambda: is_read(service.listeners()[0]), "the handlers have read")
    for size, client in split.items():
        client.sendall(header[size:] + b"Hello")
        assert clients.receive(client, 5) == b"Hello"


@pytest.mark.parametrize("header", [
    proxies.text(), proxies.binary(), proxies.binary(tlvs=b"\xea\x3f\xe1" + bytes(16353))],
    ids=["v1", "v2", "v2-longest"])
def test_header_and_a_megabyte(start, header):
    """Header and a megabyte in one write: the megabyte comes back, byte by byte, and no more."""
    service = start(LISTEN)
    with stopped(service):
        client = service.connect()
        sender = threading.Thread(target=lambda: (client.sendall(header + clients.RANDOM),
                                                  client.shutdown(socket.SHUT_WR)))
        sender.start()
        wait_for(lambda: not is_read(service.listeners()[0]), "the header sent")
    assert clients.receive_all(client) == clients.RANDOM
    sender.join()
    closed, = service.journal.wait_for("closed")
    assert closed.number("MPECHO_BYTES") == len(clients.RANDOM)


WRONG = {
    "missing": (b"Hello", "the first bytes are no PROXY header"),
    "line": (b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 7\n", "the line does not end with CR and LF"),
    "command": (proxies.block(2, 0x11, bytes(12)), "the command is unknown"),
    "checksum": (proxies.checked(wrong=1), "the checksum is wrong"),
    "tlv": (proxies.binary(tlvs=b"\4\0\7"), "a TLV is malformed"),
}


@pytest.mark.parametrize("bytes_, reason", WRONG.values(), ids=WRONG)
def test_wrong_header(start, bytes_, reason):
    """A wrong header is not echoed: a reset, and a record that gives the reason. Other connections
    go on."""
    service = start(LISTEN)
    other = introduce(service)
    client = send(service, bytes_)
    assert_reset(client)
    refused, = service.journal.wait_for("refused")
    assert refused["MPECHO_LIMIT"] == "proxy-header"
    assert refused["MPECHO_REASON"] == reason
    assert refused["MESSAGE"].endswith(reason)
    assert refused["MPECHO_PEER"] == clients.peer_text(client)
    assert "MPECHO_PROXY" not in refused
    service.wait_until_idle(1)
    totals = service.totals()
    assert [totals.number(f"MPECHO_{name}") for name in ("LIVE", "SERVED", "REFUSED")] == [1, 1, 1]
    clients.ping(other)


def test_closed_before(start):
    """A peer that ends the connection within the header, or without any, is refused."""
    service = start(LISTEN)
    for number, data in enumerate((b"", b"PROXY TCP4"), 1):
        with stopped(service), service.connect() as client:
            client.sendall(data)
        refused = service.journal.wait_for("refused", number)[-1]
        assert refused["MPECHO_REASON"] == "the connection ended before its PROXY header"


def test_time_for_the_header(start, clock):
    """Five seconds after it was accepted, a connection without a whole header is reset, however
    many bytes of it have come meanwhile; not before. With the header, it has all the time."""
    service = start(LISTEN, environment=clock.environment)
    clock.stop()
    client, trickle = introduce(service), service.connect()
    for byte in b"PROXY ":
        trickle.sendall(bytes([byte]))
        wait_for(lambda: is_read(service.listeners()[0]), "the handler has read")
        clock.advance(0.99 if byte != ord(" ") else 0.06)
    trickle.sendall(b"T")
    assert_reset(trickle)
    refused, = service.journal.wait_for("refused")
    assert refused["MPECHO_REASON"] == "no PROXY header came in time"
    clients.ping(client)


def test_who_may_speak(start):
    """Only the networks of --proxy-from may speak, by default those of loopback: others are reset
    before they have said anything."""
    service = start(LISTEN, "--proxy-from=127.0.0.8/29,::1")
    for source in "127.0.0.7", "127.0.0.16":
        name = service.connect_refused(source)
        refused = service.journal.wait_for("refused", MPECHO_PEER=name)[0]
        assert refused["MPECHO_LIMIT"] == "proxy-from"
        assert "--proxy-from" in refused["MESSAGE"]
    for source in "127.0.0.8", "127.0.0.15":
        introduce(service, source=source)
    introduce(start(LISTEN), source="127.1.2.3")


@pytest.mark.parametrize("who, served", [(None, False), ("--proxy-from=0.0.0.0/0,::/0", False),
                                         ("--proxy-from=unix", True)])
def test_unix_socket(start, tmp_path, who, served):
    """Unix sockets may speak only when --proxy-from names them."""
    path = tmp_path / "socket"
    service = start(f"proxy:{path}", *[who] * bool(who))
    if served:
        client = introduce(service)
        accepted, = service.journal.wait_for("accepted")
        assert accepted["MPECHO_PEER"] == ANNOUNCED
        assert accepted["MPECHO_PROXY"].startswith(f"uid {os.getuid()} pid ")
        assert accepted["MPECHO_LISTENER"] == f"proxy:{path}"
    else:
        assert clients.receive_all(service.connect()) == b""
        assert service.journal.wait_for("refused")[0]["MPECHO_LIMIT"] == "proxy-from"


def test_limit_of_the_announced_source(start):
    """--max-per-source counts announced sources, not the proxy's: beyond it a reset and a record
    that names both."""
    service = start(LISTEN, "--max-per-source=2")
    first = [introduce(service, proxies.binary((f"2001:db8::{host}", 7), ("::1", 7)))
             for host in (1, 2)]
    for other in "2001:db8:0:1::1", "192.0.2.7", "192.0.2.8":
        introduce(service, proxies.text((other, 7), ("::1" if ":" in other else "127.0.0.1", 7)))
    refused_client = send(service, proxies.text(("2001:db8::3", 4242), ("::1", 7)) + b"Hello")
    assert_reset(refused_client)
    refused, = service.journal.wait_for("refused")
    assert refused["MPECHO_LIMIT"] == "max-per-source"
    assert refused["MPECHO_PEER"] == "[2001:db8::3]:4242"
    assert refused["MPECHO_PROXY"] == clients.peer_text(refused_client)
    service.wait_until_idle(5)
    first[0].close()
    service.wait_until_idle(4)
    introduce(service, proxies.text(("2001:db8::3", 4242), ("::1", 7)))
    # Of LOCAL the proxy is the source.
    for _ in range(2):
        introduce(service, proxies.LOCAL)
    client = send(service, proxies.LOCAL)
    assert_reset(client)
    assert service.journal.wait_for("refused", 2)[1]["MPECHO_PEER"] == clients.peer_text(client)


def test_silent_connections(start, clock):
    """Silent connections are a quarter of --max-connections at most: more wait, others are served;
    the next one is accepted when one has sent its header or has ended."""
    service = start("127.0.0.1:0", LISTEN, "--max-connections=8", environment=clock.environment)
    plain, proxied = service.listeners()
    clock.stop()
    silent = [service.connect(address=proxied) for _ in range(2)]
    service.wait_until_idle(2)
    waiting = [service.connect(address=proxied) for _ in range(2)]
    for client in waiting:
        client.sendall(proxies.text() + b"ping")
    served = [service.connect_served(address=plain) for _ in range(5)]
    served.pop().close()
    service.wait_until_idle(6)
    # The master has had a turn in which it left them waiting.
    service.totals()
    assert not any(clients.is_readable(client, 0) for client in waiting)
    silent[0].sendall(proxies.text())
    assert clients.receive(waiting[0], 4) == b"ping"
    assert clients.receive(waiting[1], 4) == b"ping"
    served.pop().close()
    clients.ping(silent[0])
    silent[1].sendall(proxies.text())
    clients.ping(silent[1])


def test_rest(start):
    """Connections with a header cost no wake-up."""
    service = start(LISTEN)
    introduce(service)
    service.wait_until_counted()
    handler, = service.handlers()
    processes.assert_at_rest({"the master": service.pid, "the handler": handler}, 1)


def test_crash_before_the_header(start, clock):
    """A handler that is killed before its header leaves two records, so that the counts add up."""
    service = start(LISTEN, expected=["crashed"], environment=clock.environment)
    clock.stop()
    client = service.connect()
    service.wait_until_idle(1)
    os.kill(service.handlers()[0], signal.SIGKILL)
    service.wait_until_idle()
    # The journal has the records before this one.
    assert service.totals().number("MPECHO_SERVED") == 1
    crashed, = service.journal.records("crashed")
    assert crashed["MPECHO_PEER"] == clients.peer_text(client)


def test_handlers_that_do_not_end(start, clock):
    """The master kills the handlers of a silent connection and of a scraper that do not end by
    themselves, each after 30 seconds, and others get their places."""
    clock.stop()
    service = start(LISTEN, "metrics:127.0.0.1:0", "--max-connections=1",
                    environment=clock.environment, expected=["crashed"])
    with service.paused():
        for address, data in zip(service.listeners(), (b"PROXY ", b"GET ")):
            service.connect(address=address).sendall(data)
    wait_for(lambda: len(service.handlers()) == 2, "two handlers")
    for handler in service.handlers():
        os.kill(handler, signal.SIGSTOP)
        wait_for(lambda: processes.state(handler) == "T", "a handler stopped")
    clock.advance(29)
    service.totals()
    assert len(service.handlers()) == 2
    clock.advance(1)
    wait_for(lambda: not service.handlers(), "none")
    # Records wait for others for a moment.
    clock.advance(1)
    crashed, = service.journal.wait_for("crashed")
    assert crashed["MPECHO_SIGNAL"] == str(int(signal.SIGKILL))
    introduce(service)


def test_stop(start, clock):
    """A stop ends silent connections too, and resets one that has sent a part of its header."""
    service = start(LISTEN, environment=clock.environment)
    clock.stop()
    client = service.connect()
    client.sendall(b"PROXY ")
    service.wait_until_idle(1)
    wait_for(lambda: is_read(service.listeners()[0]), "the handler has read")
    assert service.stop() == 0
    assert_reset(client)
    assert service.journal.wait_for("refused")[0]["MPECHO_REASON"] == "failed"


@pytest.mark.parametrize("stop", ["terminate", "crash"])
def test_restart(unit, clock, stop):
    """Over a restart and a crash a connection keeps its announced peer and is counted by it, and a
    silent one what it has sent of its header."""
    service = unit("--max-per-source=1", name="proxy", start=False)
    service.wrapper = clock.wrapper
    service.start()
    served = introduce(service)
    clock.stop()
    silent, fresh = service.connect(), service.connect()
    header = proxies.binary(proxies.SOURCE6, proxies.DESTINATION6)
    silent.sendall(header[:20])
    address = f"127.0.0.1:{service.listener.getsockname()[1]}"
    wait_for(lambda: is_read(address), "the handlers have read")
    for _ in range(2):
        assert service.restart(getattr(service, stop)) == 3
        clients.ping(served)
    silent.sendall(header[20:])
    clients.ping(silent)
    fresh.sendall(proxies.text())
    assert_reset(fresh)
    # They have their headers, and their records wait for the clock.
    clock.resume()
    refused, = service.journal.wait_for("refused")
    assert refused["MPECHO_PEER"] == ANNOUNCED
    assert [accepted["MPECHO_PEER"] for accepted in service.journal.records("accepted")] == [
        ANNOUNCED, "[2001:db8::7]:51234"]
    for client, peer in (served, ANNOUNCED), (silent, "[2001:db8::7]:51234"):
        name = clients.peer_text(client)
        client.close()
        assert service.closed(peer)["MPECHO_PROXY"] == name
    totals = service.totals()
    assert [totals.number(f"MPECHO_{name}") for name in ("LIVE", "SERVED", "REFUSED")] == [0, 2, 1]


def test_ended_while_there_was_no_master(unit, clock):
    """A silent connection that ends while there is no master is refused by the next one."""
    service = unit(name="proxy", start=False)
    service.wrapper = clock.wrapper
    service.start()
    clock.stop()
    client = service.connect()
    service.wait_until_idle(1)
    handlers = service.abandon_handlers()
    client.sendall(b"Hello")
    service.reap(handlers)
    clock.resume()
    service.start()
    refused, = service.journal.wait_for("refused")
    assert refused["MPECHO_REASON"] == "the first bytes are no PROXY header"
    assert refused["MPECHO_PEER"] == clients.peer_text(client)
    assert service.totals().number("MPECHO_REFUSED") == 1


def test_names(start):
    """A passed socket is a PROXY one when its name begins with proxy, and by nothing else."""
    names = ["proxy", "proxy-9190", "echo-proxy", "echo"]
    with clients.listen() as one, clients.listen() as two, clients.listen() as three, \
            clients.listen() as four, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.bind(("127.0.0.1", 0))
        service = start(passed=[one, two, three, four, datagram], expected=["stranger"],
                        environment={"LISTEN_FDNAMES": ":".join([*names, "proxy-udp"])})
        stranger, = service.journal.records("stranger")
        assert stranger["MPECHO_LISTENER_NAME"] == "proxy-udp"
        for name, address in zip(names, service.listeners()):
            assert address.startswith("proxy:") == name.startswith("proxy")
            with stopped(service):
                client = service.connect(address=address)
                client.sendall(proxies.text())
            if name.startswith("proxy"):
                clients.ping(client)
            else:
                assert clients.receive(client, len(proxies.text())) == proxies.text()
