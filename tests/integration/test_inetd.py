# SPDX-License-Identifier: MIT
"""Being started by an inetd, by the real ones: openbsd-inetd and xinetd, `wait` and `nowait`.

install-peers fetches them."""

import os
import signal
import socket

import pytest

import clients
import processes
from journald import ROOT
from service import MPECHO
from supervisors import ADDRESS

PEERS = ROOT / "build" / "peers" / "usr" / "sbin"
PORT = ADDRESS.rpartition(":")[2]


def openbsd_inetd(directory, wait):
    configuration = directory / "inetd.conf"
    configuration.write_text(f"{PORT} stream tcp {'wait' if wait else 'nowait'} root"
                             f" {MPECHO} mpecho --idle-timeout=60\n")
    return [str(PEERS / "inetd"), "-i", str(configuration)]


def xinetd(directory, wait):
    configuration = directory / "xinetd.conf"
    configuration.write_text(f"""
service mpecho
{{
        type = UNLISTED
        socket_type = stream
        protocol = tcp
        port = {PORT}
        wait = {'yes' if wait else 'no'}
        user = root
        server = {MPECHO}
        server_args = --idle-timeout=60
        instances = UNLIMITED
        cps = 0 0
}}
""")
    return [str(PEERS / "xinetd"), "-dontfork", "-f", str(configuration),
            "-pidfile", str(directory / "pid"), "-filelog", str(directory / "xinetd.log")]


pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="an inetd needs root"),
    pytest.mark.skipif(not (PEERS / "xinetd").exists(), reason="no inetds: run make deps check"),
    pytest.mark.parametrize("inetd", [openbsd_inetd, xinetd]),
]


def test_nowait(supervise, inetd):
    """nowait: each connection is served by a process of its own, which ends with it."""
    supervisor = supervise(lambda directory: inetd(directory, wait=False))
    connected = [supervisor.connect() for _ in range(5)]
    for client in connected:
        clients.ping(client)
    assert len(supervisor.started()) == 5
    for client in connected:
        assert clients.exchange(client, clients.RANDOM, 1_500_000) == 1_500_000
    closed = supervisor.journal.wait_for("closed", 5)
    assert {record["MPECHO_PEER"] for record in closed} == {
        clients.peer_text(client) for client in connected}
    assert {record.number("MPECHO_BYTES") for record in closed} == {1_500_004}


def test_nowait_sends_nothing_but_the_echo(supervise, inetd):
    """Log lines never reach the peer, though its connection is also standard error."""
    supervisor = supervise(lambda directory: inetd(directory, wait=False))
    silent = supervisor.connect()
    silent.shutdown(socket.SHUT_WR)
    assert clients.receive_all(silent) == b""
    reset = supervisor.connect()
    clients.ping(reset)
    clients.reset(reset)
    told = supervisor.connect()
    clients.ping(told)
    supervisor.journal.wait_for("closed", 2)
    handler, = processes.wait_for(
        lambda: len(supervisor.started()) == 1 and supervisor.started(), "one left")
    os.kill(handler, signal.SIGTERM)
    assert clients.receive_all(told) == b""
    reasons = [record["MPECHO_REASON"] for record in supervisor.journal.wait_for("closed", 3)]
    assert reasons == ["closed by peer", "reset by peer", "stopped"]


def test_wait(supervise, inetd):
    """wait: one mpecho takes the listener over and serves all until it is stopped; then another."""
    supervisor = supervise(lambda directory: inetd(directory, wait=True))
    for _ in range(2):
        connected = [supervisor.connect() for _ in range(5)]
        for client in connected:
            clients.ping(client)
        master, = supervisor.started()
        assert len(processes.children(master)) == 5
        for client in connected:
            assert clients.exchange(client, clients.RANDOM, 1_500_000) == 1_500_000
            client.close()
        processes.wait_for(lambda: not processes.children(master), "all handlers reaped")
        os.kill(master, signal.SIGTERM)
        processes.wait_for(lambda: not supervisor.started(), "the master reaped")
    supervisor.journal.wait_for("stopped", 2)
    assert len(supervisor.journal.records("started")) == 2
    assert len(supervisor.journal.records("closed")) == 10
