# SPDX-License-Identifier: MIT
"""The service hands connections over as the model of the handover does, in tests/model."""

import re
import signal
import socket

import clients
import model
import processes
import pytest
from manager import send, unit  # noqa: F401
from test_handover_store import pipes, waits_at_barrier


def terminate(service):
    """Stops it, and lets systemd take nothing before each process waits for another one."""
    handlers, before = service.handlers(), pipes(service.pid)
    with service.manager.busy():
        service.signal(signal.SIGTERM)
        send(handlers, signal.SIGTERM)
        processes.wait_for(lambda: processes.state(service.pid) in (None, "Z")
                           or waits_at_barrier(service.pid, before), "the master waiting or gone")
    assert service.process.wait(processes.DEADLINE) == 0
    service.manager.sync()


def crash(service):
    """Kills the master; systemd takes nothing before the keeper waits for it."""
    before = pipes(service.pid)
    handlers = service.abandon_handlers()
    with service.manager.busy():
        send(handlers, signal.SIGTERM)
        processes.wait_for(lambda: processes.state(service.keeper) in (None, "Z")
                           or waits_at_barrier(service.keeper, before), "the keeper waiting or gone")
    service.reap(handlers)


def connections(service):
    """The connections of all handlers, by pid; strace has left another child, which has ended."""
    found = {pid: processes.descriptors(pid).get(3) for pid in service.handlers()}
    return {pid: connection for pid, connection in found.items() if connection}


def has_written(log, pid):
    """Whether a log has a complete line of a handler's write."""
    return re.search(rf"^{pid} .*\bsendto\b.* = \d+$", log.read_text(), re.M)


@pytest.fixture(name="local")
def fixture_local():
    """A Unix socket that listens: the buffers of its connections, once full, stay full."""
    with clients.listen(socket.AF_UNIX, "") as listener:
        yield listener


@pytest.mark.parametrize("stop, flags", [
    (terminate, ["-DCRASHES=0", "-DRESTARTS=1"]), (crash, ["-DCRASHES=1", "-DRESTARTS=0"])])
def test_path_of_the_model(local, unit, tmp_path, stop, flags):
    """What master, handlers and systemd do in a restart is a path of the model, in all its events;
    one connection has unsent bytes."""
    service = unit(start=False)
    logs = [tmp_path / "first", tmp_path / "second"]
    service.others = [("echo", local)]
    service.wrapper = model.tracer(logs[0])
    service.start()
    connected = [service.connect_served() for _ in range(2)]
    full = clients.connect((local.family, local.getsockname()))
    service.clients.append(full)
    clients.ping(full)
    handlers = connections(service)
    written = clients.fill(full, handlers)
    stop(service)
    assert service.manager.unsent() == 1
    service.wrapper = model.tracer(logs[1])
    service.start()
    for client in connected:
        clients.ping(client)
    assert clients.receive(full, written) == clients.pattern("random", written)
    resumed = connections(service)
    for pid in resumed:
        processes.wait_for(lambda: has_written(logs[1], pid), "its write in the log")
    processes.wait_for(lambda: "READY=1" in logs[1].read_text(), "the log written")

    observer = model.Observer(handlers | resumed)
    for log in logs:
        observer.see_calls(log)
    observer.see_manager(service.manager.taken)
    model.check_path(observer.observed(), tmp_path / "model", "-DCONNECTIONS=3", "-DSTRAYS=0",
                     "-DLATE=0", *flags)
