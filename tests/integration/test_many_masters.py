# SPDX-License-Identifier: MIT
"""Several masters that share a port, as mpecho(8) has it for machines with many cores."""

import os
import shutil
import subprocess

import pytest

import clients
from chatter import chat  # noqa: F401
from journald import ROOT
from manager import unit  # noqa: F401
from service import MPECHO, documented

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def shared(network, unit):
    """A network, and two units whose listeners have the same port there."""
    place = network()
    return place, *(
        unit(listener=place.run(clients.listen, address=("127.0.0.1", 7), shared=True))
        for _ in range(2))


def connect(place, count):
    return [place.run(clients.connect, "127.0.0.1:7") for _ in range(count)]


def accepted(service):
    """The names of the clients in a log."""
    return {record["MPECHO_PEER"] for record in service.journal.records("accepted")}


@needs_root
def test_restarts(shared, chat):
    """Each master serves and counts some of the clients, and restarts of one after the other cost no
    connection."""
    place, *services = shared
    connected = connect(place, 40)
    chatter = chat(connected)
    chatter.go_on()
    for service in services:
        count = len(service.handlers())
        assert service.totals().number("MPECHO_SERVED") == len(accepted(service)) == count > 0
        assert service.restart() == count
        chatter.go_on()
    chatter.stop()
    names = {clients.peer_text(client) for client in connected}
    for client in connected:
        client.close()
    first, second = map(accepted, services)
    assert first | second == names and not first & second


@needs_root
@pytest.mark.parametrize("migrate", [False, True])
def test_stopped_socket(shared, migrate):
    """When a socket stops, clients that wait for it are reset, or go to the other one if the kernel
    is to migrate them."""
    place, stays, stops = shared
    place.execute("sysctl", "-q", "-w", f"net.ipv4.tcp_migrate_req={migrate:d}")
    stops.terminate()
    connected = connect(place, 40)
    stops.listener.close()
    reset = 0
    for client in connected:
        with client:
            try:
                clients.ping(client)
            except ConnectionError:
                reset += 1
    stays.journal.wait_for("accepted", len(connected) - reset)
    assert reset == 0 if migrate else 0 < reset < len(connected)


def settings(path):
    """The lines of a unit that set something."""
    return {line for line in path.read_text().splitlines() if "=" in line and line[0] != "#"}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
def test_units(tmp_path):
    """The commands of mpecho(8) make units without a fault, for sockets that can share a port."""
    commands = documented("A template for them").replace("\\e", "\\")
    for path, place in (("/etc/systemd/system", tmp_path), ("/lib/systemd/system", ROOT / "systemd"),
                        ("systemctl daemon-reload", "")):
        assert path in commands
        commands = commands.replace(path, str(place))
    subprocess.run(["sh", "-ec", commands], check=True, umask=0o022)
    unit = tmp_path / "mpecho-core@.socket"
    assert settings(unit) ^ settings(ROOT / "systemd/mpecho.socket") == {
        "ReusePort=yes", "FileDescriptorName=core-%i", "FileDescriptorName=echo",
        "WantedBy=sockets.target mpecho-core@%i.service", "WantedBy=sockets.target mpecho.service"}
    service = tmp_path / "mpecho-core@.service"
    service.write_text(service.read_text().replace("/usr/sbin/mpecho", str(MPECHO)))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "mpecho-core@0.socket", "mpecho-core@0.service"],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    assert said == ""
