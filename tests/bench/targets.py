# SPDX-License-Identifier: MIT
"""What mpecho and mpecho-client are held to: ratios and differences, each within one run."""

import dataclasses
from collections.abc import Callable

import figures


@dataclasses.dataclass(frozen=True)
class Target:
    """value(results) gives a figure a round, whose median has to be at least or at most bound."""
    title: str
    against: str
    value: Callable
    bound: float
    at_least: bool = False
    unit: str = "×"

    def judge(self, results):
        """(Summary, whether it is met), or (None, None) when it was not measured."""
        found = figures.summarize(self.value(results))
        if found is None:
            return None, None
        met = found.median >= self.bound if self.at_least else found.median <= self.bound
        return found, met


def ratio(metric, base, name="mpecho"):
    return lambda results: figures.ratios(results.series(metric, name),
                                          results.series(metric, base))


def best(metric, *bases):
    """Against the best of some: the best over all rounds, as the best of each is the luckiest."""
    def value(results):
        found = {base: figures.summarize(results.series(metric, base)) for base in bases}
        return ratio(metric, max(found, key=lambda base: found[base].median if found[base] else 0))(
            results)
    return value


def difference(metric, base):
    return lambda results: figures.paired(lambda one, other: one - other,
                                          results.series(metric, "mpecho"),
                                          results.series(metric, base))


def plain(metric, name="mpecho"):
    return lambda results: results.series(metric, name)


def restart_stall(results):
    """The longest stall over a restart, against the bare loop that ends and forks as many."""
    return figures.ratios(results.series("restart-stall", "mpecho"),
                          results.series("start-over", "unit-bare"))


TARGETS = [
    Target("connections/s, 32 at once", "bare loop", ratio("rate-32", "bare"), 1.00, True),
    Target("connections/s, 1 at once", "bare loop", ratio("rate-1", "bare"), 1.00, True),
    Target("connections/s, 32 at once", "xinetd's echo", ratio("rate-32", "xinetd"), 2.7, True),
    Target("connections/s, 32 at once", "Accept=yes + cat",
           ratio("unit-rate", "unit-cat"), 13, True),
    Target("processor time of a connection", "bare loop", ratio("cpu", "bare"), 1.00),
    Target("connect to first echo, p50", "bare loop", ratio("first-p50", "bare"), 1.00),
    Target("connect to first echo, p99", "bare loop", ratio("first-p99", "bare"), 1.05),
    Target("round trip, p50", "bare loop", ratio("trip-p50", "bare"), 1.00),
    Target("one stream both ways", "best of copy and splice",
           best("stream-1", "bare", "bare-splice"), 0.97, True),
    Target("memory of an idle connection", "bare loop",
           difference("live-1000-memory", "bare"), 0, unit="KiB more"),
    Target("journald stopped, connections/s", "running",
           ratio("stopped-rate", "mpecho", "mpecho-unread"), 0.95, True),
    *(Target(f"datagrams/s, {title}", against, ratio(metric, base), bound, True)
      for metric, title in (("datagrams-1", "1 flow"), ("datagrams-64", "64 flows"))
      for against, base, bound in (("bare loop", "bare-datagram", 1.3),
                                   ("xinetd's echo", "xinetd", 2),
                                   ("sockperf's server", "sockperf", 1))),
    Target("round trip of a datagram, p50", "bare loop", ratio("datagram-p50", "bare-datagram"),
           1.05),
    Target("restart with 1,000 live: lost", "", plain("restart-lost"), 0, unit=""),
    Target("restart with 1,000 live: failed connects", "", plain("restart-failed"), 0, unit=""),
    Target("restart with 1,000 live: longest stall", "bare loop, ended and forked anew",
           restart_stall, 1.1),
    *(Target(f"mpecho-client: {title}", "epoll loop in C",
             ratio(metric, "loader-pusher", "loader-client"), 0.95, True)
      for metric, title in (("load-requests", "requests/s"),
                            ("load-connections", "connections/s"), ("load-streams", "4 streams"))),
    Target("mpecho-client: one stream, checked", "not checked",
           ratio("load-check", "loader-unchecked", "loader-client"), 0.9, True),
]
