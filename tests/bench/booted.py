# SPDX-License-Identifier: MIT
"""The real units on a booted machine: mpecho's, Accept=yes with cat, and the bare loop.

The whole machine, with its systemd and its journald, runs on the servers' core. The clients are
outside, on theirs, and enter only its network."""

import contextlib
import dataclasses
import os
import pathlib
import platform
import statistics
import tempfile
import time

from surroundings import CLIENT_CORE, SERVER_CORE

import machine
from contenders import MPECHO, Contender
from crowds import Crowd
from measures import Wrong, begin, client, finish
from plan import Measure, Phase, go_around, progress, turned
from service import ROOT

LIVE = 1000
# Round trips on all of them, so often in so many seconds; a restart falls into them.
RESTART_ROUNDS, RESTART_SECONDS = 40, 4
DEADLINE = 60

SCRIPT = """
set -e
cp /usr/src/build/mpecho /usr/sbin/
cp /usr/src/mpecho/systemd/mpecho.service /usr/src/mpecho/systemd/mpecho.socket /etc/systemd/system/
cp /usr/src/mpecho/packaging/default /etc/default/mpecho
echo 'MPECHO_OPTIONS="--max-connections=4096 --max-per-source=4096"' >>/etc/default/mpecho
mkdir /etc/systemd/system/mpecho.socket.d
cat >/etc/systemd/system/mpecho.socket.d/address.conf <<.
[Socket]
ListenStream=
ListenStream=127.0.0.1:7
.
cat >/etc/systemd/system/cat.socket <<.
[Socket]
ListenStream=127.0.0.2:7
Accept=yes
Backlog=4096
NoDelay=yes
MaxConnections=4096
TriggerLimitIntervalSec=0
.
cat >/etc/systemd/system/cat@.service <<.
[Unit]
CollectMode=inactive-or-failed
[Service]
ExecStart=/bin/cat
StandardInput=socket
.
cat >/etc/systemd/system/bare.service <<.
[Service]
ExecStart=/usr/src/build/tests/bench/bare 127.0.0.3 7
.
systemctl daemon-reload
systemctl start mpecho.socket cat.socket bare.service
"""


def missing():
    """Why there is no machine to be booted, or None."""
    return machine.missing()


def prepare(build):
    """The tree of a machine like this one, made if there is none yet."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    return machine.image(release, build / "machines")


class Unit:
    """A socket unit of a booted machine, as a running server."""

    def __init__(self, contender, host, address, path, name):
        self.contender = contender
        self.host = host
        self.address = address
        self.path = path
        self.name = name
        self.enter = ["nsenter", f"--net=/proc/{host.leader}/ns/net"]

    def rest(self):
        """Waits until systemd has cleared away the last connections."""
        deadline = time.monotonic() + DEADLINE
        while self.host.check("systemctl", "show", "--property=NConnections", "--value",
                              "cat.socket").strip() != "0":
            assert time.monotonic() < deadline, "connections do not end"
            time.sleep(0.1)

    def spread(self, cores):
        """Has everything in the machine run on these cores."""
        for processes in self.host.group.rglob("cgroup.procs"):
            for pid in processes.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(pid), cores)

    def main_pid(self):
        return self.host.check("systemctl", "show", "--property=MainPID", "--value",
                               f"{self.name}.service").strip()

    def cool(self):
        """Nothing runs that would serve the next connection."""
        self.host.check("systemctl", "stop", f"{self.name}.service")


def rate(seconds):
    def measure(unit):
        found = client(unit, "--load", "-kconnections", "--connections=32", f"--duration={seconds}")
        unit.rest()
        return {"unit-rate": found["load"]["rate"]}
    return measure


def first_echo(count, interval):
    def measure(unit):
        found = client(unit, "--ping", f"-c{count}", "--connect", f"--interval={interval}")
        unit.rest()
        return {"unit-first-p50": found["latency"]["p50"],
                "unit-first-p99": found["latency"]["p99"]}
    return measure


def cold(count):
    """The first echo of a service that the connection starts."""
    def measure(unit):
        found = []
        for _ in range(count):
            unit.cool()
            found.append(client(unit, "--ping", "-c1", "--connect")["latency"]["max"] / 1000)
        return {"unit-cold": statistics.median(found)}
    return measure


def restart(unit):
    """Messages on all live connections, and connects, while the service is restarted.

    The machine has both cores for that: the clients have little to do."""
    unit.spread({SERVER_CORE, CLIENT_CORE})
    crowd = Crowd(unit, LIVE)
    try:
        before = unit.main_pid()
        crowd.tell("rounds", RESTART_ROUNDS, RESTART_SECONDS * 1000000 // RESTART_ROUNDS)
        connects = begin(unit, "--load", "-kconnections", "--connections=16", "--rate=100",
                         f"--duration={RESTART_SECONDS}", f"--timeout={DEADLINE}")
        time.sleep(RESTART_SECONDS / 4)
        unit.host.check("systemctl", "restart", "mpecho.service")
        failed = sum(finish(connects)["load"]["errors"].values())
        found = crowd.answer(allowed=LIVE)
        if unit.main_pid() == before:
            raise Wrong("it was not restarted")
    finally:
        crowd.close()
        unit.spread({SERVER_CORE})
    return {"restart-usual": found["p50"] / 1000, "restart-stall": found["max"] / 1000,
            "restart-lost": found["lost"], "restart-failed": failed}


def start_over(unit):
    """What a restart takes that hands nothing over: all handlers end, the clients connect anew."""
    unit.spread({SERVER_CORE, CLIENT_CORE})
    try:
        with contextlib.closing(Crowd(unit, LIVE)):
            began = time.monotonic()
            unit.host.check("systemctl", "restart", f"{unit.name}.service")
        with contextlib.closing(Crowd(unit, LIVE, LIVE)):
            return {"start-over": (time.monotonic() - began) * 1000}
    finally:
        unit.spread({SERVER_CORE})


MPECHO_UNIT = Contender("mpecho", "mpecho, logging on", None,
                        only=["unit-rate", "unit-first-", "unit-cold", "restart-"])
CAT_UNIT = Contender("unit-cat", "Accept=yes + cat", None,
                     only=["unit-rate", "unit-first-", "unit-cold"])
BARE_UNIT = Contender("unit-bare", "bare loop as a service", None,
                      only=["unit-rate", "unit-first-", "start-over"])
MEASURES = [
    Measure("cold start", ("unit-cold",), cold(3)),
    Measure("first echo in a machine", ("unit-first-",), first_echo(50, 0.02)),
    Measure("connections in a machine", ("unit-rate",), rate(0.5)),
    Measure("restart", ("restart-",), restart),
    Measure("restart without handing over", ("start-over",), start_over),
]


@dataclasses.dataclass(frozen=True)
class BootedPhase(Phase):
    """Rounds on one booted machine; tree is what it boots."""
    tree: pathlib.Path = None

    def run(self, results):
        with tempfile.TemporaryDirectory(prefix="mpecho-bench-") as directory:
            path = pathlib.Path(directory)
            binds = {"/usr/src/mpecho": ROOT, "/usr/src/build": MPECHO.parent}
            # The machine inherits the core.
            os.sched_setaffinity(0, {SERVER_CORE})
            host = machine.Machine(self.tree, binds, path / "console")
            os.sched_setaffinity(0, {CLIENT_CORE})
            with host:
                host.check("sh", "-c", SCRIPT)
                units = [Unit(MPECHO_UNIT, host, "127.0.0.1", path, "mpecho"),
                         Unit(CAT_UNIT, host, "127.0.0.2", path, "cat@*"),
                         Unit(BARE_UNIT, host, "127.0.0.3", path, "bare")]
                began, number = time.monotonic(), 0
                while number < self.least or time.monotonic() < began + self.seconds:
                    progress(f"{self.title}: round {number + 1}")
                    results.begin_round()
                    go_around(results, turned(units, number), self.measures)
                    number += 1
        progress("")


def phase(tree):
    return BootedPhase("booted machine", 50, [BARE_UNIT, MPECHO_UNIT, CAT_UNIT], MEASURES,
                       tree=tree)
