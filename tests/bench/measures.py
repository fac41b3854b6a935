# SPDX-License-Identifier: MIT
"""What mpecho-client measures of a running server. It compares every byte that comes back.

A measure is a function of a Running server that returns figures by the names of METRICS, and raises
Wrong when an answer was missing or different."""

import contextlib
import csv
import json
import statistics
import subprocess

from contenders import DEADLINE, MPECHO, PORT

CLIENT = MPECHO.parent / "mpecho-client"
# No answer for so many seconds is none: far beyond any that a working server gives.
TIMEOUT = 5
LARGE, SMALL = 128 * 1024, 512
SOURCES = 8


class Wrong(Exception):
    """The server did not echo what was sent."""


def begin(server, *arguments):
    """Starts mpecho-client."""
    return subprocess.Popen(
        [*server.enter, CLIENT, "--json", f"--timeout={TIMEOUT}", *arguments, server.address,
         str(PORT)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """What it says, as an object."""
    try:
        output, errors = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        raise Wrong("it hangs") from None
    finally:
        process.kill()
        process.wait()
    if not output:
        raise Wrong(errors.strip())
    return json.loads(output)


def finish_right(process):
    """The same; the server has to have echoed everything."""
    found = finish(process)
    if found["failure"]:
        kinds = found.get("load", {}).get("errors", {})
        counts = ", ".join(f"{count} × {kind}" for kind, count in kinds.items() if count)
        raise Wrong(counts or found["failure"]["message"])
    return found


def client(server, *arguments):
    return finish_right(begin(server, *arguments))


def connections(number, seconds):
    """Connections with one request each, so many at once; and what they cost the server."""
    def measure(server):
        before = server.cpu_seconds()
        found = client(server, "--load", "-kconnections", f"--connections={number}",
                       f"--duration={seconds}")
        spent = server.cpu_seconds() - before
        figures = {f"rate-{number}": found["load"]["rate"]}
        if number == 32:
            figures["cpu"] = spent / found["load"]["answered"] * 1e6
        return figures
    return measure


def stopped(number, seconds):
    """Connections, as far as it matters whether somebody reads the records."""
    def measure(server):
        found = client(server, "--load", "-kconnections", f"--connections={number}",
                       f"--duration={seconds}")
        return {"stopped-rate": found["load"]["rate"],
                "stopped-worst": found["latency"]["max"] / 1000}
    return measure


def connections_of_many(number, seconds):
    """The same from several sources, as none of them may have more than mpecho's default."""
    def measure(server):
        with contextlib.ExitStack() as stack:
            processes = []
            for source in range(SOURCES):
                processes.append(begin(
                    server, "--load", "-kconnections", f"--connections={number // SOURCES}",
                    f"--duration={seconds}", f"--source=127.0.1.{source + 1}"))
                stack.callback(processes[-1].wait)
                stack.callback(processes[-1].kill)
            found = [finish_right(process) for process in processes]
        return {f"rate-{number}": sum(one["load"]["rate"] for one in found)}
    return measure


def first_echo(count, interval):
    """From the beginning of a connection to its first echo, when the server has nothing else."""
    def measure(server):
        found = client(server, "--ping", f"-c{count}", "--connect", f"--interval={interval}")
        return {"first-p50": found["latency"]["p50"], "first-p99": found["latency"]["p99"]}
    return measure


def round_trip(count):
    """A message and its echo on an open connection, one after the other."""
    def measure(server):
        table = server.path / "histogram.csv"
        found = client(server, "--ping", f"-c{count}", "--flood", f"--csv={table}")
        with table.open() as file:
            rows = list(csv.DictReader(file))
        return {"trip-p50": found["latency"]["p50"], "trip-p99": found["latency"]["p99"],
                "trip-histogram": {float(row["microseconds"]): int(row["count"]) for row in rows}}
    return measure


def streams(number, size, seconds, times=1):
    """As many bytes as go both ways at the same time, written in pieces of size: the mean of so many
    loads. One connection may stay at half the speed of the next one to the same server, for as long
    as it lives, by how the two ends happen to take turns."""
    name = f"stream-{number}" + ("-small" if size == SMALL else "")

    def measure(server):
        found = [client(server, "--load", "-kstreams", f"--connections={number}", f"--size={size}",
                        f"--duration={seconds}") for _ in range(times)]
        return {name: statistics.mean(one["load"]["receive_rate"] for one in found) / (1 << 20)}
    return measure
