# SPDX-License-Identifier: MIT
"""What there may be in systemd's descriptor store, and what systemd may do, in a handover."""

import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from pathlib import Path

import pytest

import clients
import processes
from journald import Notifications
from manager import CONNECTION, LEDGER, Unit, fixture_door, unit  # noqa: F401
from service import SANITIZED
from tracing import Tampering


SO_COOKIE = 57  # of asm/socket.h
F_SEAL_FUTURE_WRITE = 0x10  # of linux/fcntl.h


def memfd(data, seals=0):
    descriptor = os.memfd_create("a ledger", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(descriptor, data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def bundle(*descriptors):
    """Descriptors in one, which become its, as mpecho stores them."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with writing:
        socket.send_fds(writing, [b"\0"], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return reading.detach()


def unbundle(descriptor):
    """Duplicates of the descriptors in a bundle."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return socket.recv_fds(copy, 1, 253, socket.MSG_PEEK)[1]


class StoredLedger:
    """The two parts of the ledger in the store of a stopped service."""

    def __init__(self, manager):
        self._manager = manager
        self._item, = [one for one in manager.store if one.kind == LEDGER]
        self._parts = unbundle(self._item.descriptor)
        self.shared, self.private = (os.pread(part, 1 << 30, 0) for part in self._parts)

    def replace(self, descriptor):
        """Puts another descriptor in the ledger's place."""
        for part in self._parts:
            os.close(part)
        self._manager.remove(self._item.name)
        self._manager.put(self._item.name, descriptor)

    def replace_parts(self, shared, private):
        self.replace(bundle(shared, private))


@pytest.mark.parametrize("forge", [
    lambda old: memfd(clients.pattern("random", len(old))[:-1], SEALS),
    lambda old: memfd(clients.pattern("random", len(old) + 1), SEALS),
    lambda old: memfd(old + bytes(64), SEALS),
    lambda old: memfd(old[:-64], SEALS),
    lambda old: memfd(b"", SEALS),
    lambda old: memfd(old),
    lambda old: os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
    lambda old: os.open("/", os.O_PATH | os.O_CLOEXEC),
    lambda old: clients.listen().detach(),
], ids=["random", "random-larger", "larger", "smaller", "empty", "unsealed", "null", "path",
        "socket"])
@pytest.mark.parametrize("part", ["shared", "private"])
def test_invalid_ledger(unit, forge, part):
    """An invalid ledger is logged, counting begins at zero, and every connection goes on."""
    service = unit()
    client = service.connect_served()
    service.terminate()
    ledger = StoredLedger(service.manager)
    parts = {"shared": memfd(ledger.shared, SEALS), "private": memfd(ledger.private, SEALS)}
    os.close(parts[part])
    parts[part] = forge(getattr(ledger, part))
    ledger.replace_parts(**parts)
    service.start()
    clients.ping(client)
    service.journal.wait_for("recounted")
    service.check_store()
    service.restart()
    clients.ping(client)
    assert len(service.journal.records("recounted")) == 1
    service.balanced = False


def test_ledger_with_another_seal(unit):
    """A seal that the kernel adds to every memfd (vm.memfd_noexec) does not invalidate a ledger."""
    service = unit()
    client = service.connect_served()
    service.terminate()
    ledger = StoredLedger(service.manager)
    ledger.replace_parts(memfd(ledger.shared, SEALS | F_SEAL_FUTURE_WRITE),
                         memfd(ledger.private, SEALS | F_SEAL_FUTURE_WRITE))
    service.start()
    clients.ping(client)
    assert service.totals().number("MPECHO_SERVED") == 1


@pytest.mark.parametrize("slots", [100, 10_000])
def test_ledger_that_handlers_have_overwritten(unit, slots):
    """Whatever handlers have written to their part, every connection goes on."""
    service = unit(f"--max-connections={slots}")
    client = service.connect_served()
    service.terminate()
    ledger = StoredLedger(service.manager)
    random = clients.pattern("random", len(ledger.shared))
    ledger.replace_parts(memfd(random, SEALS), memfd(ledger.private, SEALS))
    service.start()
    clients.ping(client)
    service.connect_served()
    service.restart()
    clients.ping(client)
    service.balanced = False


@pytest.mark.parametrize("make", [
    lambda: os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
    lambda: memfd(clients.RANDOM),
    lambda: memfd(b""),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(),
    lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).detach(),
    lambda: clients.listen().detach(),
    lambda: os.eventfd(0),
    lambda: os.open("/", os.O_PATH | os.O_CLOEXEC),
], ids=["null", "memfd", "empty", "datagram", "packets", "listener", "event", "path"])
def test_stored_stranger(unit, make):
    """A descriptor that is stored as a connection and is no bundle is closed and logged."""
    service = unit(expected=["stranger"])
    client = service.connect_served()
    service.terminate()
    service.manager.put(f"{CONNECTION}.1", make())
    service.start()
    clients.ping(client)
    stranger, = service.journal.wait_for("stranger")
    assert stranger["MPECHO_LISTENER_NAME"] == f"{CONNECTION}.1"
    assert service.resumed(1) == [1]


def test_bytes_without_a_connection(unit):
    """Unsent bytes that no connection is in front of go into no connection."""
    service = unit()
    client = service.connect_served()
    service.terminate()
    service.manager.put(f"{CONNECTION}.1", bundle(memfd(b"injected")))
    service.start()
    clients.ping(client)
    service.check_store()


def writable_memory(pid):
    """All that the process can write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            places, permissions = line.split()[:2]
            begin, end = (int(place, 16) for place in places.split("-"))
            if "w" in permissions:
                memory.seek(begin)
                yield memory.read(end - begin)


def test_bytes_of_the_first_version(unit):
    """Connections and unsent bytes that mpecho 0.1.0 stored are restored, and fit together. No later
    handler has these bytes in its memory."""
    service = unit()
    client, other = service.connect_served(), service.connect_served()
    service.terminate()
    stored = [one for one in service.manager.store if one.kind == CONNECTION]
    connections = [one for item in stored for one in unbundle(item.descriptor)]
    service.manager.remove()
    cookies = {}
    for connection in connections:
        with socket.socket(fileno=os.dup(connection)) as copy:
            cookies[copy.getpeername()] = copy.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
    service.manager.put("mpecho-connection", bundle(connections[0]))
    service.manager.put("mpecho-connection", connections[1])
    unsent = memfd(cookies[client.getsockname()] + b"of before")
    service.manager.put("mpecho-pending", bundle(unsent))
    service.start()
    assert clients.receive(client, 9) == b"of before"
    clients.ping(client)
    clients.ping(other)
    before = set(service.handlers())
    service.connect_served()
    handler, = set(service.handlers()) - before
    # The sanitizers map terabytes.
    assert SANITIZED or not any(b"of before" in part for part in writable_memory(handler))
    service.check_store()
    service.balanced = False


def take_unread(service, size=200_000):
    """A client that has half-closed and reads nothing: the handler has read all of it."""
    service.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * size)
    service.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    client, address = clients.prepare((socket.AF_INET, service.listener.getsockname()))
    service.clients.append(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.connect(address)
    clients.ping(client)
    handler, = service.handlers()
    os.kill(handler, signal.SIGSTOP)
    processes.wait_for(lambda: processes.state(handler) == "T", "the handler stopped")
    client.sendall(clients.RANDOM[:size])
    client.shutdown(socket.SHUT_WR)
    processes.wait_for(lambda: not fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)).strip(b"\0"),
                       "all of it received")
    os.kill(handler, signal.SIGCONT)
    processes.wait_until_waiting([handler])
    return client


@pytest.mark.parametrize("opened", [None, 0, 2, 3, 4], ids=[
    "stop", "found", "indexed", "readmitted", "served"])
def test_bytes_that_nobody_takes(unit, door, opened):
    """The connection in front of unsent bytes is reset when systemd closes it, and when the next
    master cannot open the bundle any more: as it finds it, or the second to fourth time."""
    service = unit(expected=["stranger", "recounted", "crashed"])
    service.balanced = False
    client = take_unread(service)
    service.terminate()
    assert service.manager.unsent() == 1
    if opened is None:
        service.manager.remove()
        service.start()
    else:
        with contextlib.ExitStack() as stack:
            with service.at_door(door):
                stack.enter_context(Tampering(service.pid, "recvmsg",
                                              f"error=EMFILE:when={opened + 1}+"))
            service.wait_until_ready()
    with pytest.raises(ConnectionResetError):
        clients.receive_all(client)


def test_more_stored_than_allowed(unit):
    """All stored connections are kept, whatever --max-connections says, and new clients wait."""
    service = unit()
    kept = [service.connect_served() for _ in range(5)]
    service.options = ["--max-connections=2", "--max-per-source=1"]
    for stop in (service.terminate, service.crash):
        assert service.restart(stop) == len(kept)
        for client in kept:
            clients.ping(client)
    service.options = ["--max-connections=2"]
    service.restart()
    new = service.connect()
    new.sendall(b"new")
    for client in kept[:3]:
        client.close()
    service.wait_until_idle(2)
    assert not clients.is_readable(new, 0.3)
    kept[3].close()
    assert clients.receive(new, 3) == b"new"
    clients.ping(kept[4])


def test_two_ledgers(unit):
    """Of the ledgers of two runs the newer one counts; afterwards there is one."""
    service = unit()
    client = service.connect_served()
    service.restart()
    service.terminate()
    service.manager.put(f"{LEDGER}.1", bundle(memfd(b"another"), memfd(b"one")))
    service.start()
    clients.ping(client)
    assert service.totals().number("MPECHO_SERVED") == 1
    service.check_store()


def test_one_handler_stopped(unit):
    """SIGTERM to a handler of a running master ends just that connection, cleanly."""
    service = unit()
    client, other = service.connect_served(), service.connect_served()
    accepted, _ = service.journal.wait_for("accepted", 2)
    assert accepted["MPECHO_PEER"] == clients.peer_text(client)
    os.kill(accepted.number("MPECHO_HANDLER_PID"), signal.SIGTERM)
    assert clients.receive_all(client) == b""
    client.shutdown(socket.SHUT_WR)
    assert service.closed(accepted["MPECHO_PEER"])["MPECHO_REASON"] == "stopped"
    clients.ping(other)
    service.check_store()


def test_unknown_process_is_not_listened_to(unit):
    """What another process gives to the master's socket is not stored, and disturbs nothing."""
    service = unit()
    client = service.connect_served()
    for pid in service.pid, processes.keeper(service.pid):
        inodes = set(processes.descriptors(pid).values())
        # The kernel may show a socket twice while other processes open some.
        name, = {line.split()[7] for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]
                 if len(line.split()) > 7 and f"socket:[{line.split()[6]}]" in inodes}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.settimeout(processes.DEADLINE)
            stranger.connect("\0" + name[1:])
            # From Linux 6.16 on the kernel refuses the descriptor: PermissionError.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, PermissionError):
                socket.send_fds(stranger, [b"\0"], [service.clients[0].fileno()])
                assert stranger.recv(1) == b""
    assert service.restart() == 1
    clients.ping(client)


def pipes(pid):
    return {name for name in processes.descriptors(pid).values() if name.startswith("pipe:")}


def waits_at_barrier(pid, before):
    """Whether a process waits for systemd: it has a pipe then, whose other end systemd gets."""
    return processes.state(pid) == "S" and pipes(pid) - before


def waits_for_room(pid, before):
    """Whether a process waits for room in systemd's socket."""
    return Path(f"/proc/{pid}/wchan").read_text() == "unix_wait_for_peer"


@pytest.mark.parametrize("waits", [waits_at_barrier, waits_for_room])
@pytest.mark.parametrize("stop, hung", [("terminate", False), ("crash", False), ("terminate", True)])
def test_waits_for_the_manager(unit, stop, hung, waits):
    """No process that has a connection ends before systemd has taken it.

    When that takes so long that the handlers take their master for hung, nothing is served twice."""
    service = unit()
    connected = [service.connect_served() for _ in range(3)]
    with service.manager.busy():
        if waits == waits_for_room:
            service.manager.fill()
        handlers = service.handlers()
        keeper, before = processes.keeper(service.pid), pipes(service.pid)
        if stop == "crash":
            handlers = service.abandon_handlers()
        else:
            service.signal(signal.SIGTERM)
        for pid in handlers:
            os.kill(pid, signal.SIGTERM)
        if stop == "terminate":
            processes.wait_for(lambda: waits(service.pid, before), "the master waiting")
        if stop == "crash" or hung:
            processes.wait_for(lambda: waits(keeper, before), "the keeper waiting")
        time.sleep(0.3)
        assert all(processes.state(pid) != "Z" for pid in handlers)
        assert stop == "crash" or service.process.poll() is None
    if stop == "crash":
        service.reap(handlers)
    else:
        assert service.process.wait(processes.DEADLINE) == 0
        service.manager.sync()
    assert service.manager.connections() == len(connected)
    service.start()
    assert len(service.handlers()) == len(connected)
    for client in connected:
        clients.ping(client)


def test_told_again_at_the_barrier(unit):
    """A second SIGTERM while a handler waits for systemd to take its connection loses nothing."""
    service = unit()
    client = service.connect_served()
    before = pipes(service.pid)
    with service.manager.busy():
        handlers = service.abandon_handlers()
        for _ in range(3):
            for pid in handlers[0], service.keeper:
                os.kill(pid, signal.SIGTERM)
            processes.wait_for(lambda: waits_at_barrier(service.keeper, before), "the barrier")
    service.reap(handlers)
    service.start()
    assert len(service.handlers()) == 1
    clients.ping(client)


def test_manager_that_is_gone(unit):
    """When systemd cannot be reached connections end as without it: cleanly, and recorded."""
    service = unit()
    client = service.connect_served()
    hidden = service.manager.path.rename(service.manager.path.with_name("hidden"))
    service.signal(signal.SIGTERM)
    assert clients.receive_all(client) == b""
    assert service.process.wait(processes.DEADLINE) == 0
    hidden.rename(service.manager.path)
    assert service.closed(clients.peer_text(client))["MPECHO_REASON"] == "stopped"


@pytest.mark.parametrize("stop", [Unit.terminate, Unit.crash])
def test_listeners_of_one_port(unit, stop):
    """Of several listeners of one port the records of a resumed connection name its own."""
    service = unit(start=False)
    port = service.listener.getsockname()[1]
    with clients.listen(address=("127.0.0.2", port)) as other:
        service.others = [("other", other)]
        service.start()
        for listener, name in (service.listener, "echo"), (other, "other"):
            client = clients.connect((socket.AF_INET, listener.getsockname()))
            service.clients.append(client)
            clients.ping(client)
            service.restart(lambda: stop(service))
            clients.ping(client)
            peer = clients.peer_text(client)
            client.close()
            record = service.closed(peer)
            assert record["MPECHO_LISTENER"] == "{}:{}".format(*listener.getsockname())
            assert record["MPECHO_LISTENER_NAME"] == name


def test_listener_that_is_gone(unit):
    """Stored connections go on when the socket unit was stopped, and the service ends after them."""
    service = unit()
    client, stuck = service.connect_served(), service.connect_served()
    written = clients.fill(stuck, service.handlers())
    service.terminate_with_unsent()
    # Whatever order systemd passes them in.
    service.manager.store.reverse()
    service.start(listening=False)
    started = service.journal.wait_for("started", service.started)[-1]
    assert started["MESSAGE"].startswith("Echoing (RFC 862) on no listening socket, ")
    clients.ping(client)
    stuck.shutdown(socket.SHUT_WR)
    assert clients.drain(stuck) == written
    client.close()
    assert service.process.wait(processes.DEADLINE) == 0


def test_too_little_room_in_the_store(unit):
    """A record warns of a store without room for all connections and the ledgers of two runs."""
    for room, warnings in (101, ["limited"]), (102, []):
        service = unit("--max-connections=100", expected=warnings, start=False)
        service.wrapper = ["env", f"FDSTORE={room}"]
        service.start()
        # The record comes before this one, and both may come after the service is ready.
        service.journal.wait_for("started")
        assert [record["MPECHO_LIMIT_VALUE"] for record in
                service.journal.records("limited", MPECHO_LIMIT="FileDescriptorStoreMax")] == \
            ["101" for _ in warnings]


@pytest.mark.parametrize("room", [0, 1])
def test_no_room_in_the_store(unit, room):
    """A connection that has no room in the store ends, and the next run logs it as crashed. Without
    room for its ledger it logs nothing: a master that finds nothing takes its start for the first."""
    service = unit(expected=["crashed"] * room, start=False)
    plenty, service.manager.room = service.manager.room, room
    service.start()
    client = service.connect_served()
    service.terminate()
    assert clients.receive_all(client) == b""
    service.manager.room = plenty
    service.start()
    assert service.totals().number("MPECHO_SERVED") == room
    assert [(record["MPECHO_SIGNAL"], record["MESSAGE"].partition(",")[0]) for record in
            service.journal.records("crashed")] == \
        [("0", f"systemd's store lacks the connection of {clients.peer_text(client)}")] * room
    assert not service.journal.records("recounted")
    service.balanced = room == 1


@pytest.mark.parametrize("passed, told", [(True, False), (False, True), (False, False)])
def test_without_a_manager(start, tmp_path, passed, told):
    """With an own port, or nobody to tell, SIGTERM ends all connections cleanly."""
    manager = Notifications(tmp_path)
    try:
        with clients.listen() as listener:
            service = start(passed=[listener] if passed else (),
                            environment={"NOTIFY_SOCKET": manager.path} if told else {})
            connected = [service.connect_served() for _ in range(3)]
            service.signal(signal.SIGTERM)
            for client in connected:
                assert clients.receive_all(client) == b""
            assert service.wait() == 0
            assert len(service.journal.records("closed", MPECHO_REASON="stopped")) == 3
    finally:
        manager.close()
    assert not manager.messages("FDSTORE")
