# SPDX-License-Identifier: MIT
"""Leaving when idle: after the time, only then, and without losing a connection."""

import subprocess
import threading
import time

import pytest

import clients
import processes
from journald import Notifications
from service import MPECHO, variables
from stepping import Stepped

ROUNDS, AT_ONCE = 8, 25
SYS_POLL = 7  # of x86-64; the loop itself waits in ppoll(2)


def listener_address(listener):
    return "127.0.0.1:%d" % listener.getsockname()[1]


def test_leaves_when_idle(start):
    """Without a connection it leaves after the time, with status 0; the listener stays."""
    with clients.listen() as listener:
        began = time.monotonic()
        service = start("--exit-idle=1", passed=[listener], ready=False)
        assert service.wait() == 0
        assert time.monotonic() - began >= 1
        assert [record.kind for record in service.journal.records()] == ["started", "stopped"]
        with clients.connect(listener_address(listener)):
            clients.accept(listener).close()


def test_leaves_when_idle_under_an_inetd(start):
    """The listener that an inetd passes as standard input is a passed socket as well."""
    with clients.listen() as listener:
        # It comes first: the service waits a second for it, and no longer.
        client = clients.connect(listener_address(listener))
        service = start("--exit-idle=1", listen=None, stdin=listener, ready=False)
        clients.ping(client)
        client.close()
        assert service.wait() == 0


def test_stays_with_a_connection(start):
    """A connection, however silent, keeps it; the time counts from the end of the last one."""
    with clients.listen() as listener:
        client = clients.connect(listener_address(listener))
        service = start("--exit-idle=1", passed=[listener])
        clients.ping(client)
        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(2)
        clients.ping(client)
        began = time.monotonic()
        client.close()
        assert service.wait() == 0
        assert time.monotonic() - began >= 1


def test_looks_once_more(start, clock):
    """A client that comes when the time has run out is served, not left to the next one.

    It comes when ppoll(2) has found nobody and the time is over, right before the last look."""
    with clients.listen() as listener:
        clock.stop()
        service = start("--exit-idle=1", passed=[listener], environment=clock.environment)
        master = Stepped.running(service.pid)
        clock.advance(1)
        while (call := master.next_call()) != SYS_POLL:
            assert call is not None, "it left without a look"
        client = service.connect(address=listener_address(listener))
        master.detach()
        clients.ping(client)
        assert service.process.poll() is None


class Activator(threading.Thread):
    """Plays systemd for one listener, and a client that comes whenever the service leaves."""

    def __init__(self, directory, index):
        super().__init__()
        self.index = index
        self.listener = clients.listen()
        self.manager = Notifications(directory)
        self.service = None
        self.starts = 0
        self.served = 0

    def run(self):
        for number in range(ROUNDS):
            self.activate()
            self.await_leaving(number)
            with clients.connect(listener_address(self.listener)) as client:
                client.sendall(b"ping")
                while not clients.is_readable(client, 0.01):
                    self.activate()
                assert clients.receive(client, 4) == b"ping"
                self.served += 1

    def activate(self):
        """Starts the service unless it runs, with the listener as descriptor 3."""
        if self.service is None or self.service.poll() is not None:
            self.starts += 1
            become = 'exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
            self.service = subprocess.Popen(
                ["sh", "-c", become, "sh", str(MPECHO), "--exit-idle=1", "--log=stderr"],
                stdin=self.listener, stderr=subprocess.DEVNULL,
                env=variables({"NOTIFY_SOCKET": self.manager.path}))
            self.manager.wait_for("READY", count=self.starts)

    def await_leaving(self, number):
        """Waits until the service says that it leaves, or just until it should."""
        if number % 2:
            # It says so once, and may have done so already.
            self.manager.wait_for("STOPPING", count=self.starts)
        else:
            time.sleep(1 + (self.index - AT_ONCE / 2) / 1000)

    def close(self):
        if self.service.poll() is None:
            self.service.terminate()
            self.service.wait(processes.DEADLINE)
        self.manager.close()
        self.listener.close()


def test_no_connection_is_lost(tmp_path_factory):
    """200 times a client comes at the moment at which the service leaves: each one is served."""
    activators = [Activator(tmp_path_factory.mktemp("idle"), index) for index in range(AT_ONCE)]
    for activator in activators:
        activator.start()
    for activator in activators:
        activator.join()
    for activator in activators:
        activator.close()
    assert sum(activator.served for activator in activators) == ROUNDS * AT_ONCE
    assert sum(activator.starts for activator in activators) > ROUNDS * AT_ONCE / 4
