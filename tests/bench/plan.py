# SPDX-License-Identifier: MIT
"""Who is measured, what, and how often.

A Phase is a number of rounds. In each round every contender runs, started anew, and each measure
goes once around all of them, so that what changes on the machine changes it for all."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable

from contenders import (BARE, MPECHO_DEFAULT, MPECHO_ROOMY, MPECHO_SILENT, MPECHO_UNREAD, NAIVE,
                        NOFORK, SPLICE, STATIC, Mpecho)
from crowds import burst, live
from datagrams import DATAGRAM_CONTENDERS, datagram_trip, replies
from loaders import LoaderPhase, loaders
from measures import (LARGE, SMALL, Wrong, connections, connections_of_many, first_echo, round_trip,
                      stopped, streams)
from metrics import LIVE, METRICS
from others import OTHERS


@dataclasses.dataclass(frozen=True)
class Measure:
    """run(server) gives the figures of these names, or, of a name that ends in "-", all that begin
    with it."""
    title: str
    figures: tuple
    run: Callable

    def gives(self, metric):
        return any(metric == name or name.endswith("-") and metric.startswith(name)
                   for name in self.figures)

    def metrics(self):
        return [metric for metric in METRICS if self.gives(metric)]


@dataclasses.dataclass(frozen=True)
class Phase:
    """Rounds of measures that go around contenders.

    seconds   how long: a round that has begun is ended
    least     how many rounds there are however long they take
    every     contenders by name that take part only in each second, third, ... round
    together  whether all contenders run at the same time, idle but when they are measured
    anew      whether they are started for each round, or once"""
    title: str
    seconds: float
    contenders: list
    measures: list
    least: int = 3
    every: dict = dataclasses.field(default_factory=dict)
    together: bool = True
    anew: bool = True

    def run(self, results):
        began, number = time.monotonic(), 0
        with contextlib.ExitStack() as stack:
            kept = [] if self.anew else start(stack, self.contenders)
            while number < self.least or time.monotonic() < began + self.seconds:
                progress(f"{self.title}: round {number + 1}, {time.monotonic() - began:.0f} s")
                results.begin_round()
                if self.anew:
                    self._run_anew(results, number)
                else:
                    go_around(results, turned(kept, number), self.measures)
                number += 1
        progress("")

    def _run_anew(self, results, number):
        there = turned([contender for contender in self.contenders
                        if number % self.every.get(contender.name, 1) == 0], number)
        for group in [there] if self.together else [[contender] for contender in there]:
            with contextlib.ExitStack() as stack:
                go_around(results, start(stack, group), self.measures)


def start(stack, contenders):
    """The running servers, which end with the stack."""
    return [stack.enter_context(contender.start(number))
            for number, contender in enumerate(contenders, 1)]


def turned(items, number):
    """In another order each time: who comes first may have an advantage."""
    turn = number % len(items)
    return items[turn:] + items[:turn]


def go_around(results, servers, measures):
    """Each measure of all servers, before the next one; of those that are there for it."""
    for measure in measures:
        for server in servers:
            contender = server.contender
            if contender.only is not None and not set(contender.only) & set(measure.figures):
                continue
            try:
                results.add(contender.name, measure.run(server))
            except Wrong as why:
                results.fail(contender.name, measure, str(why))


def progress(line):
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


RATE_1 = Measure("connections, 1 at once", ("rate-1",), connections(1, 0.3))
RATE_32 = Measure("connections, 32 at once", ("rate-32", "cpu"), connections(32, 0.4))
RATE_256 = Measure("connections, 256 at once", ("rate-256",), connections_of_many(256, 0.4))
# So rare that the server has nothing else to do, where a fork takes a millisecond as well.
FIRST = Measure("first echo", ("first-",), first_echo(200, 0.004))
TRIP = Measure("round trip", ("trip-",), round_trip(4000))
STREAM = Measure("one stream", ("stream-1",), streams(1, LARGE, 0.1, times=8))
STREAMS = [
    Measure("16 streams", ("stream-16",), streams(16, LARGE, 0.3)),
    Measure("one stream, small writes", ("stream-1-small",), streams(1, SMALL, 0.1, times=3)),
    Measure("16 streams, small writes", ("stream-16-small",), streams(16, SMALL, 0.3)),
]
STOPPED = Measure("connections beside a journald that is stopped", ("stopped-",), stopped(32, 1))
LOADS = [Measure(f"load of {kind}", (f"load-{kind}", f"load-{kind}-cpu"), None)
         for kind in ("requests", "connections", "streams", "check", "trips")]
DATAGRAMS = [
    Measure("datagrams of one flow", ("datagrams-1", "datagrams-1-cpu"), replies(1, 32, 0.4)),
    Measure("datagrams of 64 flows", ("datagrams-64", "datagrams-64-cpu"), replies(64, 4, 0.4)),
    Measure("round trip of a datagram", ("datagram-p50",), datagram_trip(0.4)),
]
MEASURE_BURST = Measure("a burst of connects", ("burst",), burst)


def measure_live(most):
    return Measure("live connections", tuple(f"live-{count}-" for count in LIVE if count <= most),
                   live(most))


def quick(before=None):
    """About a minute."""
    chosen = [BARE, MPECHO_DEFAULT]
    if before:
        chosen.append(Mpecho("before", f"mpecho of {before}", path=before))
    chosen += [MPECHO_SILENT, SPLICE]
    # Not there where the programs were built in a way that cannot be linked statically.
    chosen += [STATIC] if STATIC.is_there() else []
    return [Phase("baselines", 55, chosen, [RATE_32, RATE_1, FIRST, TRIP, STREAM], least=5)]


def full(before=None):
    """Ten to fifteen minutes."""
    there = [contender for contender in OTHERS if contender.is_there()]
    others = [NOFORK, NAIVE, *there]
    chosen = quick(before)[0].contenders
    rare = {contender.name: 3 for contender in others}
    return [
        Phase("connections and streams", 240, chosen + others,
              [RATE_32, RATE_1, RATE_256, FIRST, TRIP, STREAM, *STREAMS], every=rare),
        Phase("10,000 live connections", 90, [BARE, MPECHO_ROOMY, NOFORK],
              [measure_live(10000)], together=False),
        Phase("1,000 live connections", 30, there, [measure_live(1000)], least=1, together=False),
        # Of servers that have nothing else to do: not what ends thousands of others.
        Phase("a burst of connects", 30, [BARE, MPECHO_ROOMY, NOFORK, *there], [MEASURE_BURST],
              every=rare, together=False),
        LoaderPhase("programs that load a server", 60, loaders(1), LOADS),
        Phase("datagrams", 40, [one for one in DATAGRAM_CONTENDERS if one.is_there()], DATAGRAMS),
        # Stopped all the time, and busy half of it.
        Phase("journald stopped", 60, [MPECHO_DEFAULT, MPECHO_UNREAD], [STOPPED], anew=False),
    ]


def titles(phases):
    """What people read for the names of all contenders, in the order of the tables."""
    return {contender.name: contender.title
            for phase in phases for contender in phase.contenders}
