# SPDX-License-Identifier: MIT
"""Servers that echo datagrams, and what is measured of them.

`volley` is their client; it compares every byte. What is lost for want of room is not wrong."""

import contextlib
import functools
import json
import socket
import struct
import subprocess
import time

from contenders import BASELINES, DEADLINE, MPECHO, PORT, Contender, Running, baseline
from inetds import xinetd
from measures import Wrong

VOLLEY = BASELINES / "volley"
# As those of `volley`: sockperf's server ignores others.
MESSAGE = struct.pack("!QHI", 1, 3, 64).ljust(64, b"e")


class RunningDatagrams(Running):
    """A server that is there when a datagram comes back."""

    def wait_until_it_echoes(self):
        deadline = time.monotonic() + DEADLINE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.05)
            client.connect((self.address, PORT))
            while True:
                assert self.process.poll() is None, self.output()
                assert time.monotonic() < deadline, f"{self.contender.name} does not echo"
                with contextlib.suppress(ConnectionRefusedError, TimeoutError):
                    client.send(MESSAGE)
                    assert client.recv(100)[10:] == MESSAGE[10:]
                    return


class DatagramContender(Contender):
    def start(self, number):
        return contextlib.closing(RunningDatagrams(self, number))


def mpecho(address, _):
    # The limits are in force, but beyond what one machine can send.
    return [MPECHO, "--log=stderr", "--max-datagrams-per-source=1000000", f"udp:{address}:{PORT}"]


def sockperf(address, _):
    return ["sockperf", "server", "-i", address, "-p", PORT]


def volley(server, flows, window, seconds):
    """What the client says, as an object."""
    command = [*server.enter, VOLLEY, server.address, str(PORT), str(flows), str(window),
               str(seconds)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=DEADLINE)
    if result.returncode != 0:
        raise Wrong(result.stderr.strip())
    found = json.loads(result.stdout)
    if found["wrong"]:
        raise Wrong(f"{found['wrong']} datagrams came back changed")
    if not found["rate"]:
        raise Wrong("nothing came back")
    return found


def replies(flows, window, seconds):
    """Answers a second, and the processor time of each."""
    def measure(server):
        before = server.cpu_seconds()
        found = volley(server, flows, window, seconds)
        spent = server.cpu_seconds() - before
        return {f"datagrams-{flows}": found["rate"],
                f"datagrams-{flows}-cpu": spent / (found["rate"] * seconds) * 1e6}
    return measure


def datagram_trip(seconds):
    """One datagram and its answer, one after the other."""
    return lambda server: {"datagram-p50": volley(server, 1, 1, seconds)["p50"]}


DATAGRAM_CONTENDERS = [
    DatagramContender("bare-datagram", "bare loop: recvfrom, sendto", baseline("bare-datagram")),
    DatagramContender("mpecho", "mpecho, logging on", mpecho),
    DatagramContender("xinetd", "xinetd's echo", functools.partial(xinetd, protocol="udp")),
    DatagramContender("sockperf", "sockperf's server", sockperf),
]
