# SPDX-License-Identifier: MIT
"""Drawings of the figures, made by gnuplot as SVG."""

import math
import subprocess

from figures import PERCENTILES
from metrics import LIVE

WIDTH = 800
# The service and what it is held against stand out; the others share paler colours.
COLOURS = {"mpecho": "#c02020", "bare": "#202020", "nofork": "#2060c0"}
OTHERS = ["#30a050", "#e09020", "#8050b0", "#20a0a0", "#a06040", "#909090", "#c060a0", "#707020",
          "#60a0e0", "#a0c040", "#e07070"]
HEAD = """
set terminal svg size {width},{height} font "sans-serif,13" background rgb "white"
set output "{path}"
set title "{title}"
set border 3
set tics nomirror
set grid ytics lc rgb "#dddddd"
"""


def quoted(text):
    return '"' + text.replace('"', "'") + '"'


def draw(path, title, height, commands):
    """Has gnuplot draw; it has to find nothing wrong."""
    script = HEAD.format(width=WIDTH, height=height, path=path, title=title) + commands
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def colour(name, index):
    return COLOURS.get(name, OTHERS[index % len(OTHERS)])


def block(number, rows):
    """A table of gnuplot's own."""
    lines = [" ".join(map(str, row)) for row in rows]
    return "\n".join([f"$data{number} << EOD", *lines, "EOD", ""])


def curves(series, titles, style):
    """Commands that draw series, name -> rows of x and y, and possibly a range of y."""
    blocks, lines = "", []
    for index, (name, rows) in enumerate(series.items()):
        blocks += block(index, rows)
        width = 3 if name in COLOURS else 1.5
        lines.append(f'$data{index} with {style} lw {width} lc rgb "{colour(name, index)}" '
                     f"title {quoted(titles[name])}")
    key = "set key outside right top noenhanced samplen 2\n"
    return f"{blocks}{key}plot {', '.join(lines)}\n"


def connections(results, titles, path):
    """Connections a second of each server, the fastest first, with the quartiles."""
    found = {name: results.summary("rate-32", name) for name in titles}
    names = sorted((name for name in found if found[name]), key=lambda name: -found[name].median)
    rows = [[i, found[name].median, found[name].low, found[name].high,
             int(colour(name, 5)[1:], 16)] for i, name in enumerate(names)]
    ticks = ", ".join(f"{quoted(titles[name])} {i}" for i, name in enumerate(names))
    draw(path, "Connections a second, 32 at once, on one core (median and quartiles)", 480,
         block(0, rows) + f"set xtics ({ticks}) rotate by -35 noenhanced\n"
         "set yrange [0:*]\nset rmargin 12\nset boxwidth 0.7\nset style fill solid 0.8\n"
         "plot $data0 using 1:2:5 with boxes lc rgb variable notitle, "
         '$data0 using 1:2:3:4 with yerrorbars lc rgb "#000000" pt 0 ps 0 notitle\n')


def percentile_rows(histogram):
    """How many of all are above, as a power of ten; and how long those took."""
    total, seen, rows = sum(histogram.values()), 0, []
    for microseconds, count in sorted(histogram.items()):
        place = -math.log10(1 - seen / total)
        # More than one point for each dot would only be a larger file.
        if not rows or place - rows[-1][0] > 1 / 200:
            rows.append([place, microseconds])
        seen += count
    return rows


def round_trips(results, titles, path):
    """How long the round trips take that so many percent of all are not longer than."""
    series = {name: percentile_rows(results.histograms["trip-histogram", name])
              for name in titles if ("trip-histogram", name) in results.histograms}
    ticks = ", ".join(f'"{p:g}" {-math.log10(1 - p / 100)}' for p in PERCENTILES[:-1])
    draw(path, "Round trips on an open connection", 420,
         f'set xtics ({ticks})\nset xrange [0:4]\nset xlabel "percentile"\n'
         'set ylabel "microseconds"\nset logscale y\n' + curves(series, titles, "lines"))


def live_connections(results, titles, path):
    """What one more connection costs beside others that live."""
    series = {}
    for name in titles:
        found = [(n, results.summary(f"live-{n}-cpu", name)) for n in LIVE]
        if any(summary for _, summary in found):
            series[name] = [[n, summary.median] for n, summary in found if summary]
    draw(path, "Processor time of one connection more", 420,
         'set logscale x\nset xrange [1:10000]\nset format x "%.0f"\nset yrange [0:*]\n'
         'set xlabel "live connections"\nset ylabel "microseconds"\n'
         + curves(series, titles, "linespoints pt 7 ps 0.5"))


PLOTS = {
    "connections.svg": (connections, "rate-32"),
    "round-trips.svg": (round_trips, "trip-p50"),
    "live-connections.svg": (live_connections, "live-1-cpu"),
}


def draw_all(results, titles, directory):
    """All plots that there are figures for."""
    for file, (plot, metric) in PLOTS.items():
        if metric in results.metrics():
            plot(results, titles, directory / file)
