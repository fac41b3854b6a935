# SPDX-License-Identifier: MIT
"""Network namespaces of the tests' own."""

import ctypes
import json
import os
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
LISTENING = "0A"  # in proc_net_tcp(5)


def own_hosts(tmp_path, text):
    """A preexec_fn after which a program finds `text` in /etc/hosts."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    hosts = tmp_path / "hosts"
    hosts.write_text(text)
    libc = ctypes.CDLL(None)

    def prepare():
        assert libc.unshare(CLONE_NEWNS) == 0
        assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
        assert libc.mount(bytes(hosts), b"/etc/hosts", None, MS_BIND, None) == 0

    return prepare


class Network:
    """A network namespace with only a loopback interface, entered by one thread.

    Sockets made and programs started by run() are in it; it goes when the last of them does."""

    def __init__(self, *addresses):
        if os.geteuid() != 0:
            pytest.skip("a network namespace needs root")
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.run(self._enter, addresses)

    @staticmethod
    def _enter(addresses):
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for address in addresses:
            subprocess.run(["ip", "address", "add", address, "dev", "lo", "nodad"], check=True)
            # The kernel makes the local route of an IPv6 address a moment later.
            route = ["ip", "-6", "route", "show", "table", "local", address.partition("/")[0]]
            deadline = time.monotonic() + 120
            while ":" in address and not subprocess.check_output(route):
                assert time.monotonic() < deadline, f"{address} has no route"

    def link(self, other, *pairs, mtu=1500, name="cable"):
        """Connects both namespaces by a cable; a pair is an address here and one there.

        Each packet is on its own: without that, veth(4) carries many in one of 64 KiB."""
        thread = other.run(threading.get_native_id)
        self.execute("ip", "link", "add", name, "type", "veth",
                     "peer", "name", name, "netns", str(thread))
        for network, addresses in zip((self, other), zip(*pairs)):
            network.execute(
                "ip", "link", "set", name, "mtu", str(mtu), "gso_max_segs", "1", "up")
            for address in addresses:
                nodad = ["nodad"] if ":" in address else []
                network.execute("ip", "address", "add", address, "dev", name, *nodad)

    def know(self, neighbour, other, name="cable"):
        """From now on it needs not look for this address at the other end of a cable."""
        end, = json.loads(other.execute("ip", "-json", "link", "show", "dev", name))
        self.execute("ip", "neighbour", "replace", neighbour, "lladdr", end["address"],
                     "dev", name, "nud", "permanent")

    def execute(self, *command, text=None):
        """Runs a command, which has to succeed, in the namespace; returns its output."""
        return self.run(subprocess.run, command, input=text, check=True, text=True,
                        stdout=subprocess.PIPE).stdout

    def drop(self, incoming="", outgoing=""):
        """Drops the packets that match a condition of nft(8), "ip saddr 192.0.2.7", "all", or "".

        It replaces the conditions before; what is on the loopback interface is left alone."""
        rules = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; "
            f'{direction} "cable" {"" if condition == "all" else condition} counter drop; }}\n'
            for hook, direction, condition in (
                ("input", "iifname", incoming), ("output", "oifname", outgoing)) if condition)
        self.execute("nft", "-f", "-", text="table inet faults\ndelete table inet faults\n"
                                            f"table inet faults {{\n{rules}}}\n")

    def dropped(self):
        """How many packets drop() has dropped."""
        rules = json.loads(self.execute("nft", "-j", "list", "table", "inet", "faults"))["nftables"]
        return sum(part["counter"]["packets"] for rule in rules if "rule" in rule
                   for part in rule["rule"]["expr"] if "counter" in part)

    def datagrams(self, name):
        """A count of datagrams in the namespace: OutDatagrams have been sent, InDatagrams have been
        read, and RcvbufErrors had no room in a socket."""
        names, values = (line.split() for line in self.run(
            Path("/proc/thread-self/net/snmp").read_text).splitlines() if line.startswith("Udp:"))
        six = self.run(Path("/proc/thread-self/net/snmp6").read_text)
        six = re.search(rf"^Udp6{name}\s+(\d+)", six, re.M)[1]
        return int(values[names.index(name)]) + int(six)

    def is_listening(self, port):
        """Whether there is a listener at this port."""
        return LISTENING in self._states("tcp", port)

    def is_bound(self, port):
        """Whether there is a datagram socket at this port."""
        return bool(self._states("udp", port))

    def _states(self, protocol, port):
        """Those of the sockets at a local port."""
        lines = [line.split() for name in (protocol, protocol + "6") for line in self.run(
            Path(f"/proc/thread-self/net/{name}").read_text).splitlines()[1:]]
        return [line[3] for line in lines if line[1].endswith(f":{port:04X}")]

    def run(self, function, *arguments, **keywords):
        return self._thread.submit(function, *arguments, **keywords).result()

    def close(self):
        self._thread.shutdown()
