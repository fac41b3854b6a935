# SPDX-License-Identifier: MIT
"""mpecho-client on a path that completes the handshake and then loses what is larger than that.

The client, a router and a server in a network namespace each, with a cable between neighbours."""

import json
import os
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import servers
from client import Client, command, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

SERVER = "10.87.2.2"
TIMEOUT = "--timeout=1"
RULES = """table inet path {
    chain forward { type filter hook forward priority 0; tcp dport != 0 meta length > 80 drop; }
}
"""


class Path:
    """The namespaces of the client and the server, and the router that loses large packets."""

    def __init__(self, network):
        self.client, self.router, self.server = network(), network(), network()
        self.client.link(self.router, ("10.87.1.1/24", "10.87.1.2/24"), name="west")
        self.router.link(self.server, ("10.87.2.1/24", f"{SERVER}/24"), name="east")
        self.client.execute("ip", "route", "add", "10.87.2.0/24", "via", "10.87.1.2")
        self.server.execute("ip", "route", "add", "10.87.1.0/24", "via", "10.87.2.1")
        self.router.run(pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text, "1")

    def lose_large_packets(self):
        self.router.execute("nft", "-f", "-", text=RULES)


@pytest.fixture
def path(network):
    return Path(network)


def runs():
    """Every mode and kind with sizes below and above what the buffers of the kernel hold."""
    for size in (1000, "64K", "1M", "16M"):
        yield command("check", TIMEOUT, size=size), None
    for size in (1000, 200_000, 20_000_000):
        yield command("plain", TIMEOUT), bytes(size)
    for size in (64, "1M"):
        yield command("ping", TIMEOUT, size=size, count=1), b""
        for kind in ("requests", "connections"):
            yield command(kind, TIMEOUT, "--duration=2", "--connections=2", size=size), b""
    yield command("streams", TIMEOUT, "--duration=2", "--connections=2"), b""


def test_every_mode_ends_after_its_timeout(path):
    """However much was to be sent: the timeout runs from the first byte that the kernel took."""
    path.lose_large_packets()
    with path.server.run(servers.tcp, servers.echo, SERVER) as server:
        started = [
            (arguments, data, path.client.run(Client, "--json", *arguments, *server.address))
            for arguments, data in runs()
        ]
        with ThreadPoolExecutor(len(started)) as pool:
            ends = [pool.submit(client.end, data) for _, data, client in started]
        for (arguments, _, _), end in zip(started, ends):
            status, output, errors = end.result()
            result = json.loads(errors[0] if errors else output)
            assert (status, result["failure"]["kind"]) == (1, "timeout"), (arguments, result)
            assert result["bytes_received"] == 0


@pytest.mark.parametrize("size", ["64K", "8M"])
def test_nothing_back_is_never_intact(path, size):
    """The verdict of a check says how many bytes came back: none, at its end or interrupted."""
    path.lose_large_packets()
    with path.server.run(servers.tcp, servers.echo, SERVER) as server:
        status, output, errors = path.client.run(
            run, *command("check", TIMEOUT, size=size), *server.address)
        assert (status, errors) == (1, [])
        assert re.search(rb": timeout: 0 bytes came back within 1 s: \d+ bytes sent, 0 ", output)
        assert b"intact" not in output
        with path.client.run(
                Client, *command("plain", TIMEOUT), *server.address) as client:
            status, output, errors = client.end(bytes(8 << 20))
        assert (status, output) == (1, b"")
        assert re.search(r": 0 bytes came back from .* within 1 s: \d+ bytes sent, 0 ", errors[0])


def test_a_slow_source_is_not_timed(path, clock):
    """In the plain mode the timeout does not run while all that was sent has come back."""
    clock.stop()
    with path.server.run(servers.tcp, servers.echo, SERVER) as server:
        with path.client.run(Client, *command("plain", "--timeout=60"), *server.address,
                             env=os.environ | clock.environment) as client:
            client.process.stdin.write(b"one")
            assert client.process.stdout.read(3) == b"one"
            clock.advance(3600)
            assert client.end(b"two") == (0, b"two", [])


def lose_handshakes(path):
    """After the first connection no further one comes about."""
    path.router.execute("nft", "-f", "-", text="""table inet path {
        chain forward { type filter hook forward priority 0;
            tcp flags & (syn | ack) == syn limit rate over 1/day burst 1 packets drop; }
    }
    """)


@pytest.mark.parametrize("kind", ["requests", "connections", "streams"])
def test_the_connect_timeout_of_a_load(path, kind):
    """All connections of a load have this time, each, and at the same time."""
    lose_handshakes(path)
    with path.server.run(servers.tcp, servers.echo, SERVER) as server:
        status, output, errors = path.client.run(
            run, "--json", *command(kind, "--connect-timeout=3", "--timeout=0", "--duration=0.5",
                                    "--connections=200"), *server.address)
    result = json.loads(output)
    assert (status, errors, result["failure"]["kind"]) == (1, [], "timeout")
    assert result["load"]["errors"]["timeout"] >= 199
    if kind == "requests":
        # Not one after the other: that would be ten minutes before the first request.
        assert result["load"]["answered"] > 0 and result["load"]["reconnects"] >= 199
