# SPDX-License-Identifier: MIT
"""Activation by systemd's own program for it, systemd-socket-activate."""

import os
import signal
import socket

import pytest

import clients
import processes
from service import MPECHO
from supervisors import ADDRESS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")


def activate(*options):
    """The function that Supervisor wants."""
    command = ["systemd-socket-activate", f"--listen={ADDRESS}", *options, str(MPECHO),
               "--log=journal"]
    return lambda directory: command


def stop(supervisor):
    """Ends the mpecho that systemd-socket-activate has become."""
    for client in supervisor.clients:
        client.close()
    processes.wait_for(lambda: not supervisor.started(), "all handlers reaped")
    supervisor.process.send_signal(signal.SIGTERM)
    assert supervisor.process.wait(processes.DEADLINE) == 0


def test_listener(supervise):
    """The listener is passed with the first connection, and its name is in the records."""
    supervisor = supervise(activate("--fdname=some-name"))
    connected = [supervisor.connect() for _ in range(5)]
    for client in connected:
        clients.ping(client)
    assert len(supervisor.started()) == 5
    accepted = supervisor.journal.wait_for("accepted", 5)
    assert {record["MPECHO_LISTENER_NAME"] for record in accepted} == {"some-name"}
    assert {record["MPECHO_LISTENER"] for record in accepted} == {ADDRESS}
    stop(supervisor)


def test_listener_as_standard_input(supervise):
    """With StandardInput=socket the listener is descriptor 0, and is served as inetd's wait."""
    supervisor = supervise(activate("--inetd"))
    client, other = supervisor.connect(), supervisor.connect()
    clients.ping(client)
    clients.ping(other)
    assert len(supervisor.started()) == 2
    stop(supervisor)


@pytest.mark.parametrize("options", [["--accept"], ["--accept", "--inetd"]])
def test_connections(supervise, options):
    """Accept=yes: each connection has an mpecho of its own that ends with it, status 0."""
    supervisor = supervise(activate(*options))
    connected = [supervisor.connect() for _ in range(3)]
    for client in connected:
        clients.ping(client)
    assert len(supervisor.started()) == 3
    for client in connected:
        client.shutdown(socket.SHUT_WR)
        assert clients.receive_all(client) == b""
    closed = supervisor.journal.wait_for("closed", 3)
    assert {record["MPECHO_REASON"] for record in closed} == {"closed by peer"}
    processes.wait_for(lambda: not supervisor.started(), "all of them reaped")
    assert "status=0" in supervisor.log() or "exit" not in supervisor.log()
