# SPDX-License-Identifier: MIT
"""Sockets that systemd passes: identified by what they are, served, refused by name, left alone."""

import os
import select
import signal
import socket

import pytest

import clients
import processes
from journald import Notifications

# Names of Unix sockets are the machine's: nobody else has this one.
ABSTRACT = f"mpecho-test-activation-{os.getpid()}"


def failure(service):
    """Waits for a start that fails, with status 1 and one record; returns its text."""
    assert service.wait() == 1
    record, = service.journal.records("failed")
    return record["MESSAGE"]


def usage_error(service):
    """Waits for a start that fails, with status 2 and one record; returns its text."""
    assert service.wait() == 2
    record, = service.journal.records("failed")
    assert record.priority == 3
    return record["MESSAGE"]


@pytest.fixture
def sockets():
    """Makes sockets that are closed after the test."""
    made = []

    def make(family=socket.AF_INET, kind=socket.SOCK_STREAM, address=None, listening=True):
        one = socket.socket(family, kind)
        made.append(one)
        if address is None and family != socket.AF_UNIX:
            address = ("127.0.0.1" if family == socket.AF_INET else "::1", 0)
        if address is not None:
            one.bind(address)
        if listening:
            one.listen(512)
        return one

    yield make
    for one in made:
        one.close()


def address_of(listener):
    return listener.family, listener.getsockname()


def test_several_families(start, sockets, tmp_path):
    """IPv4, IPv6 and Unix sockets, named alike or not, are all served; records have the names."""
    path = str(tmp_path / "passed")
    listeners = [sockets(), sockets(socket.AF_INET6), sockets(socket.AF_UNIX, address=path),
                 sockets(socket.AF_UNIX, address="\0" + ABSTRACT)]
    names = ["echo", "echo", "unix", ""]
    service = start(passed=listeners, environment={"LISTEN_FDNAMES": ":".join(names)})
    for listener, name in zip(listeners, names):
        client = service.connect_served(address=address_of(listener))
        accepted = service.journal.wait_for("accepted", len(service.clients))[-1]
        assert accepted.get("MPECHO_LISTENER_NAME", "") == name
        client.close()
    for listener in listeners[:2]:
        assert "%s" % listener.getsockname()[1] in " ".join(service.listeners())
    assert path in service.listeners()
    assert "@" + ABSTRACT in service.listeners()
    service.wait_until_idle()
    assert service.stop() == 0
    assert os.path.exists(path)


def test_listeners_survive_the_service(start, sockets):
    """The service closes passed sockets and never shuts them down: the next one can serve them."""
    listener = sockets()
    for _ in range(3):
        service = start(passed=[listener])
        service.connect_served(address=address_of(listener)).close()
        service.wait_until_idle()
        assert service.stop() == 0
    with clients.connect(address_of(listener)) as client:
        clients.accept(listener).close()
        assert client.recv(1) == b""


def test_sixty_four_sockets(start, sockets):
    """64 passed sockets are served, each of them."""
    listeners = [sockets() for _ in range(64)]
    service = start(passed=listeners)
    for listener in listeners:
        service.connect_served(address=address_of(listener))
    assert len(service.handlers()) == 64
    accepted = service.journal.wait_for("accepted", 64)
    assert len({record["MPECHO_LISTENER"] for record in accepted}) == 64


def dev_null(sockets):
    return os.open("/dev/null", os.O_RDWR)


def pipe(sockets):
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def netlink(sockets):
    """A datagram socket, but no network's."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM) as made:
        return made.detach()


def seqpacket(sockets):
    return os.dup(sockets(socket.AF_UNIX, socket.SOCK_SEQPACKET, "\0" + ABSTRACT).fileno())


def unconnected(sockets):
    return os.dup(sockets(listening=False).fileno())


STRANGERS = [dev_null, pipe, netlink, seqpacket, unconnected]


@pytest.mark.parametrize("make", STRANGERS)
def test_stranger_among_listeners(start, sockets, make):
    """What is no listening stream is named, in one warning, and closed; the others are served."""
    first, last, stranger = sockets(), sockets(), make(sockets)
    target = os.readlink(f"/proc/self/fd/{stranger}")
    try:
        service = start(passed=[first, stranger, last], expected=["stranger"],
                        environment={"LISTEN_FDNAMES": "one:odd-one:two"})
    finally:
        os.close(stranger)
    record, = service.journal.records("stranger")
    assert "odd-one" in record["MESSAGE"]
    assert record["MPECHO_DESCRIPTOR"] == "4"
    assert processes.descriptors(service.pid).get(4) != target
    for listener in (first, last):
        service.connect_served(address=address_of(listener))


# One stream socket alone that does not listen is the connection to serve, whatever became of it.
@pytest.mark.parametrize("make", STRANGERS[:-1])
def test_only_strangers(start, sockets, make):
    """With nothing to serve it fails, with a sentence, and status 2: systemd does not try again."""
    stranger = make(sockets)
    try:
        service = start(passed=[stranger], expected=["stranger", "failed"], ready=False,
                        environment={"LISTEN_FDNAMES": "odd-one"})
    finally:
        os.close(stranger)
    assert "listen" in usage_error(service)
    assert "odd-one" in service.journal.records("stranger")[0]["MESSAGE"]


def test_closed_descriptor(start):
    """LISTEN_FDS that promises a descriptor which is closed: a sentence, status 1."""
    service = start(passed=[None], expected=["failed"], ready=False)
    text = failure(service)
    assert "LISTEN_FDS" in text and "3" in text


@pytest.mark.parametrize("names", ["one", "one:two:three"])
def test_wrong_count_of_names(start, sockets, names):
    """LISTEN_FDNAMES with another count than LISTEN_FDS: told, and served without names."""
    listeners = [sockets(), sockets()]
    service = start(passed=listeners, expected=["unnamed"], environment={"LISTEN_FDNAMES": names})
    record, = service.journal.records("unnamed")
    assert "LISTEN_FDNAMES" in record["MESSAGE"]
    assert "MPECHO_DESCRIPTOR" not in record
    for listener in listeners:
        service.connect_served(address=address_of(listener))
    for record in service.journal.wait_for("accepted", 2):
        assert "MPECHO_LISTENER_NAME" not in record


@pytest.mark.parametrize("value", ["x", "-1", "1x", "99999999999"])
def test_malformed_count(start, sockets, value):
    """LISTEN_FDS that is no number: a sentence that names it, status 1."""
    service = start(passed=[sockets()], expected=["failed"], ready=False,
                    environment={"LISTEN_FDS": value})
    assert "LISTEN_FDS" in failure(service)


def test_sockets_for_another_process(start, sockets):
    """LISTEN_PID of another process means that nothing was passed to this one, and is told."""
    service = start(passed=[sockets()], environment={"LISTEN_PID": "1"}, ready=False,
                    expected=["failed"])
    assert "LISTEN_PID is 1" in usage_error(service)


def test_listen_together_with_passed_sockets(start, sockets):
    """LISTEN and passed sockets together are an error: one of the two would go unserved."""
    service = start("127.0.0.1:0", passed=[sockets()], ready=False, expected=["failed"])
    assert "127.0.0.1:0" in usage_error(service)


def test_pid_that_is_no_number(start):
    """LISTEN_PID that is no number, without LISTEN_FDS: a sentence that names both, status 1."""
    service = start(listen=None, environment={"LISTEN_PID": "abc"}, ready=False,
                    expected=["failed"])
    text = failure(service)
    assert "LISTEN_PID is abc" in text and "LISTEN_FDS is not set" in text


@pytest.mark.parametrize("wrong", ["--max-connections=0", "127.0.0.1:0"])
def test_wrong_options_with_waiting_clients(start, sockets, wrong):
    """With wrong options the clients that wait are reset, and each has one start: nothing is left
    that systemd would start the service for again."""
    listeners = [sockets(), sockets()]
    waiting = [clients.connect(address_of(listener)) for listener in listeners for _ in range(3)]
    waiting.pop().close()
    service = start(wrong, passed=listeners, ready=False, expected=["failed"])
    service.clients += waiting
    assert usage_error(service)
    for client in waiting:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert not select.select(listeners, [], [], 0)[0]


def test_nothing_to_listen_on(start):
    """No LISTEN, nothing passed, no socket as standard input: an error that says all three ways."""
    text = usage_error(start(listen=None, ready=False, expected=["failed"]))
    for way in ("LISTEN", "mpecho.socket", "inetd"):
        assert way in text


@pytest.mark.parametrize("make", [netlink, seqpacket])
def test_other_socket_as_standard_input(start, sockets, make):
    """A standard input that is a socket, but no stream: status 1."""
    stranger = make(sockets)
    try:
        service = start(listen=None, stdin=stranger, expected=["failed"], ready=False)
    finally:
        os.close(stranger)
    assert "stdin" in failure(service)


def test_client_that_vanishes_before_accept(start, sockets):
    """A connection that is reset between poll and accept does not hang the master."""
    listener = sockets()
    listener.setblocking(True)
    service = start(passed=[listener])
    for _ in range(20):
        service.signal(signal.SIGSTOP)
        processes.wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")
        clients.reset(clients.connect(address_of(listener)))
        service.signal(signal.SIGCONT)
    service.connect_served(address=address_of(listener))


def test_another_process_takes_the_connection(start, sockets):
    """A passed listener is shared: when somebody else accepts first the master does not block."""
    listener = sockets()
    service = start(passed=[listener])
    for _ in range(20):
        service.signal(signal.SIGSTOP)
        processes.wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")
        with clients.connect(address_of(listener)):
            clients.accept(listener).close()
        service.signal(signal.SIGCONT)
    service.connect_served(address=address_of(listener))


def single(start, sockets, *options, data=b"", prepare=lambda client, accepted: None,
           stdin=False, environment=None):
    """A service that is passed one connected stream, with data in it, as systemd or as an inetd
    does it; and the client's end. Both ends are given to prepare() before."""
    listener = sockets(socket.AF_INET6, address=("::", 0))
    client = clients.connect((socket.AF_INET, ("127.0.0.1", listener.getsockname()[1])))
    accepted, _ = listener.accept()
    client.sendall(data)
    prepare(client, accepted)
    with accepted:
        passed = {"listen": None, "stdin": accepted} if stdin else {"passed": [accepted]}
        service = start(*options, **passed, ready=False,
                        environment={"LISTEN_FDNAMES": "connection", **(environment or {})})
    service.clients.append(client)
    return service, client


def test_single_connection(start, sockets):
    """The one connection of Accept=yes is echoed and recorded, and the service ends with it. On a
    socket that also accepts IPv4, both of its addresses are those of IPv4."""
    service, client = single(start, sockets)
    listener = "%s:%u" % client.getpeername()
    assert clients.exchange(client, clients.RANDOM, 3_000_000) == 3_000_000
    assert service.wait() == 0
    closed, = service.journal.records("closed")
    assert closed.number("MPECHO_BYTES") == 3_000_000
    assert closed["MPECHO_REASON"] == "closed by peer"
    assert closed["MPECHO_PEER"] == clients.peer_text(client)
    assert closed["MPECHO_LISTENER"] == listener


def test_single_connection_times_out(start, sockets):
    """The timeouts hold for a single connection."""
    service, client = single(start, sockets, "--idle-timeout=1", data=b"early")
    assert clients.receive_all(client) == b"early"
    assert service.wait() == 0
    assert service.journal.records("closed")[0]["MPECHO_REASON"] == "idle"


def test_single_connection_stops(start, sockets):
    """SIGTERM ends a single connection cleanly: what was read comes back."""
    service, client = single(start, sockets)
    clients.ping(client)
    service.signal(signal.SIGTERM)
    assert clients.receive_all(client) == b""
    assert service.wait() == 0
    assert service.journal.records("closed")[0]["MPECHO_REASON"] == "stopped"


@pytest.mark.parametrize("stdin", [False, True])
def test_single_connection_reset_before(start, sockets, stdin):
    """A peer that was gone before mpecho began is no failure: reset by peer, status 0."""
    def reset(client, accepted):
        clients.reset(client)
        processes.wait_for(lambda: select.select([accepted], [], [], 0)[0], "the reset arrived")

    service, _ = single(start, sockets, prepare=reset, stdin=stdin)
    assert service.wait() == 0
    closed, = service.journal.records("closed")
    assert (closed["MPECHO_REASON"], closed["MPECHO_BYTES"]) == ("reset by peer", "0")


@pytest.mark.parametrize("stdin", [False, True])
def test_single_connection_that_does_not_wait(start, sockets, stdin):
    """A connection with O_NONBLOCK, as NonBlocking=yes passes it, is echoed like any other."""
    service, client = single(start, sockets, stdin=stdin,
                             prepare=lambda client, accepted: accepted.setblocking(False))
    service.journal.wait_for("accepted")
    processes.wait_until_waiting([service.pid])
    assert clients.exchange(client, clients.RANDOM, 3_000_000) == 3_000_000
    assert service.wait() == 0
    assert service.journal.records("closed")[0]["MPECHO_REASON"] == "closed by peer"


@pytest.mark.parametrize("stdin", [False, True])
def test_single_connection_is_ready(start, sockets, tmp_path, stdin):
    """systemd is told at once that the service has started, and that once."""
    notifications = Notifications(tmp_path)
    try:
        service, client = single(start, sockets, stdin=stdin,
                                 environment={"NOTIFY_SOCKET": notifications.path})
        notifications.wait_for("READY", "1")
        clients.ping(client)
        client.close()
        assert service.wait() == 0
        assert [datagram for _, datagram in notifications.received] == [b"READY=1"]
    finally:
        notifications.close()
