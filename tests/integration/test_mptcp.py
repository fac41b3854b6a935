# SPDX-License-Identifier: MIT
"""Multipath TCP: a connection goes on when one of its two links is cut. Where the kernel lacks it, the
client gives that reason."""

import os
import socket
from pathlib import Path

import pytest

import client as program
import clients
from manager import unit  # noqa: F401
from processes import DEADLINE, wait_for
from test_client_json import parse

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

HERE, THERE = "10.86.2.1", "10.86.2.2"
HERE2, THERE2 = "10.86.3.1", "10.86.3.2"
SIZE = 4 << 20
SOL_MPTCP, MPTCP_INFO = 284, 1  # of linux/mptcp.h


def has_mptcp():
    """Whether the kernel has Multipath TCP, and it is on."""
    try:
        mptcp_socket().close()
        return True
    except OSError:
        return False


def assert_lacking(network):
    """The client names the kernel's lack as the reason, and does not fall back in silence."""
    status, output, errors = network.run(program.run, "--mptcp", "127.0.0.1", "9190", data=b"")
    assert (status, output) == (1, b"")
    assert errors == ["mpecho-client: Cannot connect to 127.0.0.1 port 9190: the kernel of this "
                      "machine lacks Multipath TCP"]


def test_kernel_without(network):
    """A kernel without Multipath TCP is the reason of a failure."""
    off = network()
    if has_mptcp():
        off.execute("sysctl", "-q", "-w", "net.mptcp.enabled=0")
    assert_lacking(off)


def test_option_that_is_not_supported(network):
    """A kernel that takes no --ttl with Multipath TCP is understood."""
    lonely = network()
    if not has_mptcp():
        return assert_lacking(lonely)
    status, _, errors = lonely.run(program.run, "--mptcp", "--ttl=5", "127.0.0.1", "9190", data=b"")
    reason, = (error.rpartition(": ")[2] for error in errors)
    assert status == 1
    assert reason in ("--mptcp excludes --ttl and, over IPv6, --dscp", "Connection refused")


def test_fallback(network, start):
    """To a service without Multipath TCP the client falls back, and says so unless it is quiet."""
    lonely = network()
    if not has_mptcp():
        return assert_lacking(lonely)
    address, = start(network=lonely).listeners()
    said = f"{address}: no Multipath TCP, fell back to TCP"
    for options, expected in ([], [f"mpecho-client: {said}"]), (["--quiet"], []):
        assert lonely.run(program.run, "--mptcp", *options, address, data=b"bytes") == (
            0, b"bytes", expected)
    status, output, errors = lonely.run(program.run, "--mptcp", "--json", "--check", "-s9", address)
    assert (status, errors) == (0, []) and parse(output.decode())["warnings"] == [said]


def mptcp_socket():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP)


def listen():
    """A listener as systemd makes it of SocketProtocol=mptcp."""
    listener = mptcp_socket()
    listener.bind(("", 0))
    listener.listen()
    return listener


def test_restarts(network, unit):
    """A connection of Multipath TCP outlives restarts and a crash, and stays what it is."""
    lonely = network()
    if not has_mptcp():
        return assert_lacking(lonely)
    service = unit(listener=lonely.run(listen))
    with lonely.run(mptcp_socket) as client:
        client.connect(("127.0.0.1", service.listener.getsockname()[1]))
        clients.ping(client)
        for stop in (service.terminate, service.crash):
            assert service.restart(stop) == 1
            clients.ping(client)
        assert client.getsockopt(SOL_MPTCP, MPTCP_INFO, 8)


class Links:
    """The service's namespace, `here`, that of the client, `there`, and two links between them. The
    service announces its second address, and the client may use it."""

    def __init__(self, network):
        self.here, self.there = network(), network()
        self.here.link(self.there, (f"{HERE}/24", f"{THERE}/24"))
        self.here.link(self.there, (f"{HERE2}/24", f"{THERE2}/24"), name="second")
        self.here.execute("ip", "mptcp", "endpoint", "add", HERE2, "signal")
        for end in (self.here, self.there):
            end.execute("ip", "mptcp", "limits", "set", "subflows", "1", "add_addr_accepted", "1")

    def joins(self):
        """How many connections have got a second path."""
        text = self.here.run(Path("/proc/thread-self/net/netstat").read_text)
        names, values = (line.split() for line in text.splitlines() if line.startswith("MPTcpExt:"))
        return int(dict(zip(names, values))["MPJoinAckRx"])


def check(links, service, *options):
    """A check whose first link is cut while the client sends and nothing has come back; returns its
    exit status and its verdict."""
    port = service.listeners()[0].rpartition(":")[2]
    with service.paused():
        client = links.there.run(
            program.Client, "--check", "--quiet", f"-s{SIZE}", *options, HERE, port)
        assert client.sender  # it has connected
        if "--mptcp" in options:
            wait_for(lambda: links.joins() == 1, "the second path")
        links.there.drop("all", "all")
    with client:
        status, output, errors = client.end()
    assert errors == []
    return status, output.decode()


def test_cut_link(network, start):
    """A check is intact over the second link after the first is cut in the middle; a check over TCP
    is not, and so it was the second link that helped."""
    if not has_mptcp():
        return assert_lacking(network())
    links = Links(network)
    with links.here.run(listen) as listener:
        service = start(passed=[listener], network=links.here)
    status, output = check(links, service, "--mptcp", f"-W{DEADLINE}")
    assert status == 0 and f" intact: {SIZE} bytes sent, {SIZE} came back" in output
    record, = service.journal.wait_for("closed")
    assert record.number("MPECHO_BYTES") == SIZE
    links.there.drop()
    status, output = check(links, service, "-W0.3")
    assert status == 1 and ": timeout: 0 bytes came back" in output
    links.there.drop()
