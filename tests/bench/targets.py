# SPDX-License-Identifier: MIT
"""What mpecho is held to: ratios and differences, each within one run."""

import dataclasses
from collections.abc import Callable

import figures


@dataclasses.dataclass(frozen=True)
class Target:
    """value(results) gives a figure a round, whose median has to be at least or at most bound.

    floor(results) gives the figures of the bare loop doing the same: what the machine leaves to a
    server with a fork for each connection."""
    title: str
    against: str
    value: Callable
    bound: float
    at_least: bool = False
    unit: str = "×"
    floor: Callable | None = None

    def judge(self, results):
        """(Summary, whether it is met), or (None, None) when it was not measured."""
        found = figures.summarize(self.value(results))
        if found is None:
            return None, None
        met = found.median >= self.bound if self.at_least else found.median <= self.bound
        return found, met

    def judge_floor(self, results):
        """The Summary of the bare loop, or None."""
        return figures.summarize(self.floor(results)) if self.floor else None


def ratio(metric, base, name="mpecho"):
    return lambda results: figures.ratios(results.series(metric, name),
                                          results.series(metric, base))


def best(metric, *bases):
    """Against the best of some, each round."""
    return lambda results: figures.ratios(
        results.series(metric, "mpecho"),
        figures.paired(max, *(results.series(metric, base) for base in bases)))


def difference(metric, base):
    return lambda results: figures.paired(lambda one, other: one - other,
                                          results.series(metric, "mpecho"),
                                          results.series(metric, base))


def within(metric, base, name="mpecho"):
    """A figure of a contender against another one of its own."""
    return lambda results: figures.ratios(results.series(metric, name),
                                          results.series(base, name))


def plain(metric, name="mpecho"):
    return lambda results: results.series(metric, name)


TARGETS = [
    Target("connections/s, 32 at once", "bare loop", ratio("rate-32", "bare"), 0.95, True),
    Target("connections/s, 1 at once", "bare loop", ratio("rate-1", "bare"), 0.95, True),
    Target("connections/s, 32 at once", "static loop",
           ratio("rate-32", "bare-static"), 0.85, True),
    Target("connections/s, 32 at once", "xinetd's echo", ratio("rate-32", "xinetd"), 2.5, True),
    Target("connections/s, 32 at once", "Accept=yes + cat",
           ratio("unit-rate", "unit-cat"), 6, True),
    Target("connect to first echo, p50", "bare loop", ratio("first-p50", "bare"), 1.05),
    Target("connect to first echo, p99", "bare loop", ratio("first-p99", "bare"), 1.05),
    Target("round trip, p50", "bare loop", ratio("trip-p50", "bare"), 1.03),
    Target("one stream both ways", "best of copy and splice",
           best("stream-1", "bare", "bare-splice"), 0.97, True),
    Target("memory of an idle connection", "bare loop",
           difference("live-1000-memory", "bare"), 8, unit="KiB more"),
    Target("round trip with 10,000 live, p99", "with one",
           within("live-10000-p99", "live-1-p99"), 2,
           floor=within("live-10000-p99", "live-1-p99", "bare")),
    Target("journald stopped, connections/s", "running",
           ratio("stopped-rate", "mpecho", "mpecho-unread"), 0.95, True),
    Target("journald stopped, longest stall", "",
           plain("stopped-worst", "mpecho-unread"), 100, unit="ms"),
    Target("restart with 1,000 live: lost", "", plain("restart-lost"), 0, unit=""),
    Target("restart with 1,000 live: failed connects", "", plain("restart-failed"), 0, unit=""),
    Target("restart with 1,000 live: longest stall", "", plain("restart-stall"), 300, unit="ms",
           floor=plain("start-over", "unit-bare")),
]
