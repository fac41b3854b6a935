# SPDX-License-Identifier: MIT
"""How fast mpecho-client is, beside other programs that load an echo server.

All of them load the same server, the epoll loop without fork, one after the other, from one
processor; the server has the other. A row of the table is a loader. Processor time is the loader's
own, of user and kernel, with its start."""

import dataclasses
import json
import resource
import subprocess
import time

from contenders import BASELINES, DEADLINE, NOFORK, PORT
from measures import CLIENT, Wrong

PUSHER = BASELINES / "pusher"
REQUESTS, STREAMS = 32, 4


def spent(command):
    """Runs a loader; returns its output, and the processor seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                            capture_output=True, timeout=DEADLINE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode != 0:
        raise Wrong((result.stdout + result.stderr).strip()[-200:])
    return result.stdout, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def figures(kind, rate, seconds, processor):
    """The speed, and of requests and connections the processor time of each."""
    if kind == "streams":
        return {"load-streams": rate}
    return {f"load-{kind}": rate, f"load-{kind}-cpu": processor / (rate * seconds) * 1e6}


def mpecho_client(kind, seconds):
    """mpecho-client, which compares every byte."""
    def measure(server):
        number = STREAMS if kind == "streams" else REQUESTS
        output, processor = spent([*server.enter, CLIENT, "--json", "--load", f"--kind={kind}",
                                   f"--connections={number}", f"--duration={seconds}",
                                   server.address, PORT])
        found = json.loads(output)
        rate = found["load"]["receive_rate"] / (1 << 20) if kind == "streams" else found["load"]["rate"]
        return figures(kind, rate, seconds, processor)
    return measure


def check(size):
    """mpecho-client --check, which also finds out what is wrong, on one connection."""
    def measure(server):
        output, _ = spent([*server.enter, CLIENT, "--json", "--check", f"--size={size}",
                           server.address, PORT])
        return {"load-check": json.loads(output)["check"]["receive_rate"] / (1 << 20)}
    return measure


def one_stream(seconds):
    """The same without a look at faults: one stream of a load."""
    def measure(server):
        output, _ = spent([*server.enter, CLIENT, "--json", "--load", "--kind=streams",
                           "--connections=1", f"--duration={seconds}",
                           server.address, PORT])
        return {"load-check": json.loads(output)["load"]["receive_rate"] / (1 << 20)}
    return measure


def pusher(kind, seconds, number=None, name=None):
    """An epoll loop in C, written for nothing but this."""
    def measure(server):
        connections = number or (STREAMS if kind == "streams" else REQUESTS)
        output, processor = spent([*server.enter, PUSHER, kind, server.address, PORT, connections,
                                   seconds])
        if name:
            return {name: float(output)}
        return figures(kind, float(output), seconds, processor)
    return measure


def trips(seconds):
    """mpecho-client --ping --flood, one request at a time."""
    def measure(server):
        output, processor = spent([*server.enter, CLIENT, "--json", "--ping", "--flood",
                                   f"--duration={seconds}", server.address, PORT])
        count = json.loads(output)["ping"]["answered"]
        return {"load-trips": count / seconds, "load-trips-cpu": processor / count * 1e6}
    return measure


@dataclasses.dataclass(frozen=True)
class Loader:
    """A program that loads a server, and what it measures, by the name of the first figure."""
    name: str
    title: str
    runs: dict


def loaders(seconds):
    """iperf3 and sockperf are not among them: iperf3's client opens a session with its own server, and
    sockperf's ignores messages that do not bear its server's mark."""
    kinds = ["requests", "connections", "streams"]
    return [
        Loader("loader-client", "mpecho-client", {
            **{f"load-{kind}": mpecho_client(kind, seconds) for kind in kinds},
            "load-check": check("2G"), "load-trips": trips(seconds)}),
        Loader("loader-unchecked", "mpecho-client --load -k streams", {
            "load-check": one_stream(seconds)}),
        Loader("loader-pusher", "epoll loop in C", {
            **{f"load-{kind}": pusher(kind, seconds) for kind in kinds},
            "load-check": pusher("streams", seconds, 1, "load-check")}),
    ]


@dataclasses.dataclass(frozen=True)
class LoaderPhase:
    """As plan.Phase, where the loaders go around one server."""
    title: str
    seconds: float
    contenders: list
    measures: list
    least: int = 3

    def run(self, results):
        began, number = time.monotonic(), 0
        while number < self.least or time.monotonic() < began + self.seconds:
            results.begin_round()
            with NOFORK.start(1) as server:
                for measure in self.measures:
                    for loader in self.contenders[number % 2::2] + self.contenders[1 - number % 2::2]:
                        self.measure(results, measure, loader, server)
            number += 1

    @staticmethod
    def measure(results, measure, loader, server):
        run = loader.runs.get(measure.figures[0])
        try:
            if run:
                results.add(loader.name, run(server))
        except Wrong as why:
            results.fail(loader.name, measure, str(why))
