# SPDX-License-Identifier: MIT
"""Figures of many rounds, and what they say: medians, their spread, and ratios.

A figure is only ever compared with one of the same round, taken moments apart."""

import collections
import dataclasses
import statistics

PERCENTILES = [0, 50, 90, 99, 99.9, 99.99, 100]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The median of some figures, and the quartiles around it."""
    median: float
    low: float
    high: float
    count: int


def summarize(values):
    """The summary of the values that there are (the others are None); None if there is none."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    if len(values) == 1:
        return Summary(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(median, low, high, len(values))


def paired(function, *series):
    """function of the figures of each round that has all of them, else None."""
    return [None if None in row else function(*row) for row in zip(*series)]


def ratios(values, base):
    """values / base, round by round."""
    return paired(lambda value, one: value / one if one else None, values, base)


def percentile(histogram, percent):
    """The value that so many percent of all in a histogram, value -> count, are not above."""
    left = sum(histogram.values()) * percent / 100
    for value, count in sorted(histogram.items()):
        left -= count
        if left <= 0:
            return value
    return None


class Results:
    """The figures of all rounds: series(metric, name of the contender) has one for each round."""

    def __init__(self):
        self.rounds = 0
        self.failures = {}
        self.histograms = {}
        self._figures = {}

    def begin_round(self):
        self.rounds += 1

    def add(self, name, figures):
        """The figures of a contender in this round; histograms, which are dicts, are added up."""
        for metric, value in figures.items():
            if isinstance(value, dict):
                total = self.histograms.setdefault((metric, name), collections.Counter())
                total.update(value)
            else:
                self._figures.setdefault((metric, name), {})[self.rounds] = value

    def fail(self, name, measure, why):
        """The contender did not do what the measure is about, in this round."""
        for metric in measure.metrics():
            self.failures.setdefault(name, {})[metric] = f"{measure.title}: {why}"

    def series(self, metric, name):
        """A figure for each round, None for those without."""
        found = self._figures.get((metric, name), {})
        return [found.get(number) for number in range(1, self.rounds + 1)]

    def metrics(self):
        return {metric for metric, _ in self._figures}

    def summary(self, metric, name):
        return summarize(self.series(metric, name))

    def ratio(self, metric, name, base):
        return summarize(ratios(self.series(metric, name), self.series(metric, base)))

    def as_object(self):
        """metric -> name -> its figures in order, or the percentiles of a histogram."""
        found = {}
        for (metric, name), values in self._figures.items():
            found.setdefault(metric, {})[name] = list(values.values())
        for (metric, name), histogram in self.histograms.items():
            found.setdefault(metric, {})[name] = {
                str(percent): percentile(histogram, percent) for percent in PERCENTILES}
        return found
