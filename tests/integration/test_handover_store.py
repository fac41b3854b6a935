# SPDX-License-Identifier: MIT
"""What there may be in systemd's descriptor store, and what systemd may do, in a handover."""

import fcntl
import os
import signal
import socket
import time
from pathlib import Path

import pytest

import clients
import processes
from journald import Notifications
from manager import CONNECTION, PENDING, ROSTER, unit  # noqa: F401


def memfd(data, seals=0):
    descriptor = os.memfd_create("a roster", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(descriptor, data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@pytest.mark.parametrize("forge", [
    lambda old: memfd(clients.RANDOM[:len(old)], SEALS),
    lambda old: memfd(old[:8] + clients.RANDOM[8:len(old)], SEALS),
    lambda old: memfd(old + bytes(64), SEALS),
    lambda old: memfd(old[:-64], SEALS),
    lambda old: memfd(b"", SEALS),
    lambda old: memfd(old),
    lambda old: os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
    lambda old: os.open("/", os.O_PATH | os.O_CLOEXEC),
    lambda old: clients.listen().detach(),
], ids=["random", "random-version", "larger", "smaller", "empty", "unsealed", "null", "path",
        "socket"])
def test_roster_that_is_none(unit, forge):
    """A stored roster that is not one is told by a record of its own, and everything goes on."""
    service = unit()
    client = service.connect_served()
    service.terminate()
    old, = [stored for stored in service.manager.store if stored.name == ROSTER]
    forged = forge(os.pread(old.descriptor, 1 << 30, 0))
    service.manager.remove(ROSTER)
    service.manager.put(ROSTER, forged)
    service.start()
    clients.ping(client)
    assert len(service.journal.wait_for("recounted")) == 1
    service.check_store()
    service.restart()
    clients.ping(client)
    assert len(service.journal.records("recounted")) == 1


@pytest.mark.parametrize("slots", [100, 10_000])
def test_roster_of_random_slots(unit, slots):
    """A roster whose counts and slots handlers have overwritten is read, and everything goes on."""
    service = unit(f"--max-connections={slots}")
    client = service.connect_served()
    service.terminate()
    old, = [stored for stored in service.manager.store if stored.name == ROSTER]
    content = os.pread(old.descriptor, 1 << 30, 0)
    forged = memfd(content[:16] + clients.pattern("random", len(content))[16:], SEALS)
    service.manager.remove(ROSTER)
    service.manager.put(ROSTER, forged)
    service.start()
    clients.ping(client)
    service.connect_served()
    service.restart()
    clients.ping(client)
    service.balanced = False


@pytest.mark.parametrize("name", [CONNECTION, PENDING])
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
def test_stored_stranger(unit, name, make):
    """What is stored under a connection's name and is none is closed and told; data is dropped."""
    service = unit(expected=["stranger"] if name == CONNECTION else [])
    client = service.connect_served()
    service.terminate()
    service.manager.put(name, make())
    service.start()
    clients.ping(client)
    if name == CONNECTION:
        stranger, = service.journal.wait_for("stranger")
        assert stranger["MPECHO_LISTENER_NAME"] == CONNECTION
    service.check_store()
    assert service.resumed(1) == [1]


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


def test_two_rosters(unit):
    """Of two stored rosters one is taken; afterwards there is one."""
    service = unit(expected=["stranger"])
    client = service.connect_served()
    service.terminate()
    service.manager.put(ROSTER, memfd(b"another"))
    service.start()
    clients.ping(client)
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
    lines = open(f"/proc/{service.pid}/net/unix").read().splitlines()
    inodes = {name for name in processes.descriptors(service.pid).values()}
    name, = [line.split()[7] for line in lines[1:]
             if len(line.split()) > 7 and f"socket:[{line.split()[6]}]" in inodes]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.settimeout(processes.DEADLINE)
        stranger.connect("\0" + name[1:])
        try:
            socket.send_fds(stranger, [b"\0"], [service.clients[0].fileno()])
            assert stranger.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert service.restart() == 1
    clients.ping(client)


def waits_at_barrier(pid):
    """Whether a process waits for systemd: it has a pipe then, whose other end systemd gets."""
    return processes.state(pid) == "S" and any(
        name.startswith("pipe:") for name in processes.descriptors(pid).values())


def waits_for_room(pid):
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
        if stop == "crash":
            handlers = service.abandon_handlers()
        else:
            service.signal(signal.SIGTERM)
        for pid in handlers:
            os.kill(pid, signal.SIGTERM)
        if stop == "terminate":
            processes.wait_for(lambda: waits(service.pid), "the master waiting")
        if stop == "crash":
            processes.wait_for(lambda: any(map(waits, handlers)), "a handler waiting for all")
        elif hung:
            processes.wait_for(lambda: all(map(waits, handlers)), "handlers waiting")
        time.sleep(0.3)
        assert all(processes.state(pid) != "Z" for pid in handlers)
        assert stop == "crash" or service.process.poll() is None
    if stop == "crash":
        service.reap(handlers)
    else:
        assert service.process.wait(processes.DEADLINE) == 0
        service.manager.sync()
    assert service.manager.count(CONNECTION) == len(connected)
    service.start()
    assert len(service.handlers()) == len(connected)
    for client in connected:
        clients.ping(client)


def test_told_again_at_the_barrier(unit):
    """A second SIGTERM while a handler waits for systemd to take its connection loses nothing."""
    service = unit()
    client = service.connect_served()
    with service.manager.busy():
        handlers = service.abandon_handlers()
        for _ in range(3):
            os.kill(handlers[0], signal.SIGTERM)
            processes.wait_for(lambda: waits_at_barrier(handlers[0]), "the barrier")
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


def test_listener_that_is_gone(unit):
    """Stored connections go on when the socket unit was stopped, and the service ends after them."""
    service = unit()
    client, stuck = service.connect_served(), service.connect_served()
    written = clients.fill(stuck, quiet=0.2, handlers=service.handlers())
    service.terminate_with_pending()
    # Whatever order systemd passes them in.
    service.manager.store.sort(key=lambda stored: stored.name != PENDING)
    service.start(listening=False)
    clients.ping(client)
    stuck.shutdown(socket.SHUT_WR)
    assert clients.drain(stuck) == written
    client.close()
    assert service.process.wait(processes.DEADLINE) == 0


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
