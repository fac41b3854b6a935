# SPDX-License-Identifier: MIT
"""Many live connections: what they take, and whether they slow down one more.

`crowd` holds them; it compares every byte as well."""

import contextlib
import json
import pathlib
import subprocess

from contenders import BASELINES, DEADLINE, PORT
from measures import Wrong, client
from metrics import LIVE

CROWD = BASELINES / "crowd"
BURST = 4096
# Connections that are opened at once, where a burst is not what is measured.
WINDOW = 64
TRIPS = 1000


class Crowd:
    """A number of connections to a server; all of them have had an echo."""

    def __init__(self, server, count, window=WINDOW):
        self.process = subprocess.Popen(
            [*server.enter, CROWD, server.address, str(PORT), str(count), str(window)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.opened = self.answer()
        except BaseException:
            self.close()
            raise

    def answer(self, allowed=0):
        """The object that it says next; no more connections than allowed may be lost."""
        line = self.process.stdout.readline()
        if not line:
            raise Wrong("the crowd failed")
        found = json.loads(line)
        if found["lost"] > allowed:
            raise Wrong(f"{found['lost']} connections lost")
        return found

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def trips(self, count, period):
        self.tell("trips", count, period)
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait(DEADLINE)
        self.process.stdin.close()
        self.process.stdout.close()


def memory(pids):
    """KiB that these processes have: their proportional shares, and their page tables."""
    total = 0
    for pid in pids:
        directory = pathlib.Path(f"/proc/{pid}")
        for file, field in (("smaps_rollup", "Pss:"), ("status", "VmPTE:")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                lines = (directory / file).read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith(field))
    return total


def available():
    """KiB that the machine has left."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def one_more(server, count):
    """What a connection costs beside the live ones."""
    before = server.cpu_seconds()
    found = client(server, "--ping", f"-c{count}", "--connect", "--interval=0.001")
    spent = server.cpu_seconds() - before
    return {"cpu": spent / count * 1e6, "first": found["latency"]["p50"]}


def live(most):
    """Up to so many live connections, in steps; the figures of each step."""
    def measure(server):
        figures = {}
        start, start_available = memory(server.processes()), available()
        with contextlib.ExitStack() as stack:
            held = 0
            for count in (step for step in LIVE if step <= most):
                crowd = Crowd(server, count - held)
                stack.callback(crowd.close)
                held = count
                taken = start_available - available(), memory(server.processes()) - start
                trips = crowd.trips(TRIPS, 500)
                found = {"available": taken[0] / count, "memory": taken[1] / count,
                         "p50": trips["p50"], "p99": trips["p99"], **one_more(server, 200)}
                # What few take is lost in what else goes on.
                if count < 100:
                    del found["memory"]
                if count < 1000:
                    del found["available"]
                figures.update({f"live-{count}-{name}": value for name, value in found.items()})
        return figures
    return measure


def burst(server):
    """So many connects at the same time, until each has had its echo."""
    crowd = Crowd(server, BURST, BURST)
    crowd.close()
    return {"burst": crowd.opened["seconds"]}
