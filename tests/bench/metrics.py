# SPDX-License-Identifier: MIT
"""The names of all figures, what they are, and the tables that they are shown in."""

import dataclasses

# Numbers of live connections.
LIVE = [1, 100, 1000, 10000]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure's name for people, as the head of a column, its unit, and its name among others."""
    title: str
    unit: str
    alone: str = ""


METRICS = {
    "rate-1": Metric("1 at once", "/s"),
    "rate-32": Metric("32 at once", "/s", "connections a second, 32 at once"),
    "rate-256": Metric("256 at once", "/s"),
    "cpu": Metric("CPU of each", "µs", "CPU time of a connection"),
    "first-p50": Metric("first echo p50", "µs", "connect to first echo, p50"),
    "first-p99": Metric("first echo p99", "µs"),
    "trip-p50": Metric("round trip p50", "µs", "round trip, p50"),
    "trip-p99": Metric("round trip p99", "µs"),
    "stream-1": Metric("1 stream", "MiB/s", "one stream"),
    "stream-16": Metric("16 streams", "MiB/s"),
    "stream-1-small": Metric("1, by 512 B", "MiB/s"),
    "stream-16-small": Metric("16, by 512 B", "MiB/s"),
    "burst": Metric("4,096 connects", "s"),
    "stopped-rate": Metric("32 at once", "/s"),
    "stopped-worst": Metric("longest", "ms"),
    **{f"live-{n}-{name}": Metric(f"{n:,} live", unit, f"{name} of one, {n:,} live")
       for name, unit in [("memory", "KiB"), ("available", "KiB"), ("p50", "µs"), ("p99", "µs"),
                          ("cpu", "µs"), ("first", "µs")]
       for n in LIVE},
    "load-requests": Metric("requests, 32 at once", "/s"),
    "load-requests-cpu": Metric("CPU of each", "µs"),
    "load-connections": Metric("connections, 32 at once", "/s"),
    "load-connections-cpu": Metric("CPU of each", "µs"),
    "load-trips": Metric("one at a time", "/s"),
    "load-trips-cpu": Metric("CPU of each", "µs"),
    "load-streams": Metric("4 streams", "MiB/s"),
    "load-check": Metric("1 stream", "MiB/s"),
    "unit-rate": Metric("32 at once", "/s"),
    "unit-first-p50": Metric("first echo p50", "µs"),
    "unit-first-p99": Metric("first echo p99", "µs"),
    "unit-cold": Metric("cold start", "ms"),
    "restart-usual": Metric("usual trip, ms", "ms"),
    "restart-stall": Metric("longest stall, ms", "ms"),
    "restart-lost": Metric("connections lost", ""),
    "restart-failed": Metric("connects failed", ""),
    "datagrams-1": Metric("1 flow", "/s", "datagrams a second, 1 flow"),
    "datagrams-64": Metric("64 flows", "/s", "datagrams a second, 64 flows"),
    "datagrams-1-cpu": Metric("CPU of each, 1 flow", "µs"),
    "datagrams-64-cpu": Metric("CPU of each, 64 flows", "µs"),
    "datagram-p50": Metric("round trip p50", "µs", "round trip of a datagram, p50"),
    "start-over": Metric("1,000 ended and forked anew, ms", "ms"),
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Figures side by side: as ratios to those of the base, which are shown, or as they are."""
    title: str
    metrics: list
    base: str | None = None


def live_table(title, name):
    return Table(title, [f"live-{n}-{name}" for n in LIVE])


TABLES = [
    Table("Connections with one request each, a second; and paced, from connect to first echo",
          ["rate-1", "rate-32", "rate-256", "cpu", "first-p50", "first-p99"], "bare"),
    Table("Round trips and streams",
          ["trip-p50", "trip-p99", "stream-1", "stream-16", "stream-1-small", "stream-16-small"],
          "bare"),
    live_table("Memory of a live connection: PSS and page tables, KiB", "memory"),
    live_table("Memory of a live connection: what the machine has less, at both ends, KiB",
               "available"),
    live_table("Processor time of one connection more, µs", "cpu"),
    live_table("Connect to first echo of one connection more, p50, µs", "first"),
    live_table("Round trip on any of the live connections, p50, µs", "p50"),
    live_table("Round trip on any of the live connections, p99, µs", "p99"),
    Table("4,096 connects at once, until each has its echo, seconds", ["burst"]),
    Table("Connections a second, and the longest in milliseconds, journald stopped for a minute",
          ["stopped-rate", "stopped-worst"], "mpecho"),
    Table("Programs that load one epoll loop without fork: speed, and their own processor time",
          ["load-requests", "load-requests-cpu", "load-connections", "load-connections-cpu",
           "load-trips", "load-trips-cpu", "load-streams", "load-check"], "loader-pusher"),
    Table("Datagrams a second, and round trips of one",
          ["datagrams-1", "datagrams-64", "datagrams-1-cpu", "datagrams-64-cpu", "datagram-p50"],
          "bare-datagram"),
    Table("In a booted machine: connections a second, and from connect to first echo",
          ["unit-rate", "unit-first-p50", "unit-first-p99"], "unit-bare"),
    Table("In a booted machine: the first echo of a service that the connection starts, ms",
          ["unit-cold"]),
    Table("In a booted machine: 1,000 live connections over a restart",
          ["restart-usual", "restart-stall", "restart-lost", "restart-failed", "start-over"]),
]

# For tests/bench/README.md.
SUMMARY = Table("", ["rate-32", "cpu", "first-p50", "trip-p50", "stream-1", "live-1000-memory"],
                "bare")
