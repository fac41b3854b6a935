# SPDX-License-Identifier: MIT
"""What a handler is made of: its descriptors, its signals, its title; and that it can be ended."""

import os
import pathlib
import select
import signal

import pytest

import clients
import processes
from processes import wait_for
from service import COUNTED, SANITIZED, TRACED
from stepping import Stepped
from tracing import Tampering


def served(service, **options):
    """A served client and the pid of its handler; made by this for all clients of a service."""
    client = service.connect_served(**options)
    accepted = service.journal.wait_for("accepted", len(service.clients))
    return client, accepted[-1].number("MPECHO_HANDLER_PID")


@pytest.mark.parametrize("injection", [None, "error=ENOSYS"], ids=["usual", "old kernel"])
def test_open_files(start, tmp_path, injection):
    """A handler has its connection and the standard three: no listener, nothing of others'.

    The same holds on a kernel without close_range(2)."""
    service = start("127.0.0.1:0", "[::1]:0", environment=TRACED)
    with Tampering(service.pid, "close_range", injection, tmp_path / "trace", True) as trace:
        handlers = [served(service, address=listener)[1] for listener in service.listeners() * 2]
    injected = trace.log.read_text().count("(INJECTED)")
    assert injected == (len(handlers) if injection else 0)
    masters = set(processes.descriptors(service.pid).values())
    connections = set()
    for handler in handlers:
        found = processes.descriptors(handler)
        assert found.pop(0) == "/dev/null"
        standard = {found.pop(1), found.pop(2)}
        assert standard <= masters
        assert len(set(found.values())) == 1, found
        connection = found.popitem()[1]
        assert connection.startswith("socket:")
        assert connection not in masters
        connections.add(connection)
    assert len(connections) == len(handlers)


@pytest.mark.skipif(SANITIZED, reason="the sanitizers have mappings of their own")
@pytest.mark.skipif(COUNTED, reason="handlers inherit more, for libgcov")
def test_mappings(start):
    """A handler has the program, the C library and its loader, the stack and what handlers share:
    no other library and no heap, which a fork would have to copy."""
    service = start()
    _, handler = served(service)
    maps = pathlib.Path(f"/proc/{handler}/maps").read_text().splitlines()
    names = {pathlib.PurePath(words[5]).name for words in map(str.split, maps) if len(words) > 5}
    kernels = {name for name in names if name.startswith("[v")}
    libraries = {name for name in names if name.startswith(("libc.so", "ld-linux", "ld64", "ld.so"))}
    assert len(libraries) == 2
    assert names - kernels - libraries == {"mpecho", "memfd:mpecho-handlers", "[stack]"}


def test_open_files_with_passed_sockets(start):
    """Sockets that were passed do not reach the handlers, and neither do the systemd variables."""
    listeners = [clients.listen() for _ in range(3)]
    service = start(passed=listeners)
    port = listeners[0].getsockname()[1]
    _, handler = served(service, address=f"127.0.0.1:{port}")
    for listener in listeners:
        listener.close()
    found = processes.descriptors(handler)
    assert {found[number] for number in found if number > 2}.isdisjoint(
        processes.descriptors(service.pid).values())


def test_signals(start):
    """A handler blocks no signal, ignores those that should do no harm, and takes SIGTERM."""
    service = start()
    _, handler = served(service)
    status = processes.status(handler)
    assert processes.signal_set(status["SigBlk"]) == set()
    assert processes.signal_set(status["SigIgn"]) >= {
        signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1}
    assert processes.signal_set(status["SigIgn"]).isdisjoint({signal.SIGTERM, signal.SIGINT})


def test_signals_that_were_blocked_or_ignored_by_the_caller(start):
    """What the caller of mpecho had blocked or ignored makes no handler immortal, nor unseen."""
    ignoring = ["env", "--ignore-signal=TERM,INT,CHLD", "--block-signal=TERM,INT,CHLD"]
    service = start(wrapper=ignoring)
    client, handler = served(service)
    os.kill(handler, signal.SIGTERM)
    assert clients.receive_all(client) == b""
    service.journal.wait_for("closed", MPECHO_REASON="stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_told_handler_ends_cleanly(start, number):
    """SIGTERM ends one handler after it has written what it read; the others go on."""
    service = start()
    other, _ = served(service)
    client, handler = served(service)
    written = clients.fill(client, service.handlers())
    os.kill(handler, number)
    received = clients.drain(client)
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "stopped"
    assert received == closed.number("MPECHO_BYTES") - len(b"ping") <= written
    clients.ping(other)


def test_killed_master(start):
    """Without sockets from systemd, a handler whose master was killed serves its connection to the
    end, or until SIGTERM; no record reports that."""
    service = start(balanced=False)
    (client, _), (other, handler) = served(service), served(service)
    service.process.kill()
    service.wait()
    clients.ping(client)
    clients.ping(other)
    os.kill(handler, signal.SIGTERM)
    assert clients.receive_all(other) == b""
    clients.ping(client)
    for left in service.clients:
        left.close()
    processes.reap_orphans("mpecho")
    assert {record.kind for record in service.journal.records()} == {"started", "accepted"}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1])
def test_harmless_signals(start, number):
    """SIGHUP, SIGPIPE and SIGUSR1 do a handler no harm, idle or in mid-stream."""
    service = start()
    client, handler = served(service)
    for _ in range(5):
        os.kill(handler, number)
        clients.ping(client)


@pytest.mark.parametrize("listener, peer", [
    ("127.0.0.1:0", r"127.0.0.1:{port}"),
    ("[::1]:0", r"[::1]:{port}"),
    ("0", "127.0.0.1:{port}"),
    # Whoever runs the tests is root in the namespaces of the service.
    (f"@mpecho-test-title-{os.getpid()}", "uid 0 pid {pid}"),
], ids=["ipv4", "ipv6", "any", "unix"])
def test_title(start, listener, peer):
    """ps shows whom a handler serves; the master keeps its own title."""
    service = start(listener)
    address = service.listeners()[0].replace("[::]", "127.0.0.1")
    client, handler = served(service, address=address)
    names = client.getsockname()
    port = names[1] if isinstance(names, tuple) else None
    title = "mpecho: " + peer.format(port=port, pid=os.getpid())
    wait_for(lambda: processes.command_line(handler).rstrip(b"\0") == title.encode(), title)
    assert b"--log=journal" in processes.command_line(service.pid)
    record, = service.journal.records("accepted")
    assert "mpecho: " + record["MPECHO_PEER"] == title


def test_title_of_a_long_command_line(start):
    """A command line that is longer than the room where handlers have theirs is replaced as well."""
    service = start(*100 * ["--max-connections=1024"])
    port = service.connect_served().getsockname()[1]
    handler, = processes.handlers(service.pid)
    title = f"mpecho: 127.0.0.1:{port}"
    wait_for(lambda: processes.command_line(handler).rstrip(b"\0") == title.encode(), title)


@pytest.mark.skipif(SANITIZED, reason="the sanitizers make calls of their own")
@pytest.mark.parametrize("kind", ["", "metrics:"])
def test_local_clients_wait(start, kind):
    """The handler of a client of a Unix socket begins when the master has closed the connection: so
    the master never closes what the client has left in its queue."""
    name = f"@mpecho-test-gate-{os.getpid()}"
    service = start(kind + name)
    client = clients.prepare(name)[0]
    service.clients.append(client)
    master = Stepped.running(service.pid)
    client.connect(f"\0{name[1:]}")
    client.sendall(b"x")
    while not service.handlers():
        assert master.next_call() is not None
    processes.wait_until_waiting(service.handlers())
    assert not select.select([client], [], [], 0)[0]
    master.detach()
    assert clients.receive(client, 1)
