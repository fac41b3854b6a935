# SPDX-License-Identifier: MIT
"""The echo that other people's inetds have themselves: the command line of each, for port 7 of an
address. install-peers unpacks them."""

import contextlib
import pathlib
import subprocess

from processes import DEADLINE, wait_for

PEERS = pathlib.Path(__file__).parents[2] / "build" / "peers" / "usr" / "sbin"
# inetd.conf(5): the type of the socket, and who reads from it.
TYPES = {"tcp": ("stream", "nowait"), "udp": ("dgram", "wait")}


def inetd(address, directory, protocol="tcp"):
    """openbsd-inetd, without a limit of starts."""
    configuration = directory / "inetd.conf"
    kind, wait = TYPES[protocol]
    family, host = (6, f"[{address}]") if ":" in address else (4, address)
    configuration.write_text(f"{host}:echo {kind} {protocol}{family} {wait} root internal\n")
    return [PEERS / "inetd", "-i", "-R", "0", configuration]


def xinetd(address, directory, protocol="tcp"):
    """xinetd, without its limits."""
    configuration = directory / "xinetd.conf"
    kind, wait = TYPES[protocol]
    configuration.write_text(f"""
service echo
{{
        type = INTERNAL
        id = echo-{kind}
        socket_type = {kind}
        protocol = {protocol}
        flags = {"IPv6" if ":" in address else "IPv4"}
        bind = {address}
        wait = {"yes" if wait == "wait" else "no"}
        user = root
        instances = UNLIMITED
        per_source = UNLIMITED
        cps = 0 0
}}
""")
    return [PEERS / "xinetd", "-dontfork", "-f", configuration,
            "-pidfile", directory / "pid", "-filelog", directory / "log"]


# How many bytes of a datagram each has room for: it answers the beginning of a longer one.
BUFFERS = {inetd: 4096, xinetd: 2048}


@contextlib.contextmanager
def datagrams(make, network, address, directory):
    """The echo of datagrams of one of them, on a network; the process.

    xinetd throws away what comes between its answer and its next wait: send when it waits."""
    words = [str(word) for word in make(address, directory, "udp")]
    log = directory / "output"
    with log.open("wb") as output:
        process = network.run(subprocess.Popen, words, stdin=subprocess.DEVNULL, stdout=output,
                              stderr=output, start_new_session=True)

    def is_bound():
        assert process.poll() is None, log.read_text()
        return network.is_bound(7)

    try:
        wait_for(is_bound, f"{words[0]} at its port")
        yield process.pid
    finally:
        process.terminate()
        process.wait(DEADLINE)
