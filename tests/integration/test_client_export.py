# SPDX-License-Identifier: MIT
"""mpecho-client --csv and --plot: the histogram as a file."""

import csv
import json
import math
import shutil
import xml.etree.ElementTree

import pytest

import servers
from client import run

needs_gnuplot = pytest.mark.skipif(not shutil.which("gnuplot"), reason="gnuplot is not installed")


def ping(*arguments, **options):
    with servers.tcp(servers.echo) as server:
        return run("--ping", "-c50", "--interval=0.001", *arguments, *server.address, **options)


@pytest.mark.parametrize("mode", [["--ping", "-c500", "--flood"], ["--load", "--duration=0.3"]])
def test_csv(mode, tmp_path):
    """The rows are the histogram: they add up, and the percentiles can be read off them."""
    file = tmp_path / "histogram.csv"
    with servers.tcp(servers.echo) as server:
        status, output, _ = run("--json", f"--csv={file}", *mode, *server.address)
    latency = json.loads(output)["latency"]
    assert status == 0
    with file.open() as stream:
        rows = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(stream)]
    assert list(rows[0]) == ["microseconds", "count", "cumulative", "percent"]
    values = [row["microseconds"] for row in rows]
    assert values == sorted(set(values)) and values[-1] == latency["max"]
    assert rows[-1]["percent"] == 100 and rows[-1]["cumulative"] == latency["count"]
    total = 0
    for row in rows:
        total += row["count"]
        assert row["cumulative"] == total and row["count"] > 0
        assert row["percent"] == pytest.approx(100 * total / latency["count"], abs=1e-6)
    for name, percentile in (("p50", 50), ("p90", 90), ("p99", 99), ("p99_9", 99.9)):
        rank = math.ceil(percentile / 100 * latency["count"])
        assert latency[name] == next(r["microseconds"] for r in rows if r["cumulative"] >= rank)


@needs_gnuplot
@pytest.mark.parametrize("name", ["plot.svg", "plot.png", "it's a \"plot\".svg"])
def test_plot(name, tmp_path):
    """gnuplot draws what the name asks for, whatever characters are in it."""
    file = tmp_path / name
    status, _, errors = ping(f"--plot={file}")
    assert (status, errors) == (0, [])
    if name.endswith(".svg"):
        assert xml.etree.ElementTree.parse(file).getroot().tag.endswith("svg")
    else:
        assert file.read_bytes().startswith(b"\x89PNG")


@needs_gnuplot
def test_plot_of_one_time(tmp_path):
    """A single time is drawn without a word."""
    file = tmp_path / "plot.svg"
    with servers.tcp(servers.echo) as server:
        status, _, errors = run("--ping", "-c1", f"--plot={file}", *server.address)
    assert (status, errors) == (0, [])
    assert xml.etree.ElementTree.parse(file).getroot().tag.endswith("svg")


@needs_gnuplot
def test_a_plot_that_cannot_be_written(tmp_path):
    """The file and the reason are named, and no picture gets among the results."""
    file = tmp_path / "no/such/directory/plot.svg"
    status, output, errors = ping("--json", f"--plot={file}")
    assert status == 1 and json.loads(output)["failure"]["kind"] == "local"
    assert errors == [f"mpecho-client: cannot write '{file}': No such file or directory"]


def test_without_gnuplot(tmp_path):
    """A sentence says what is missing; the results are printed all the same."""
    status, output, errors = ping(f"--plot={tmp_path}/plot.svg", env={"PATH": str(tmp_path)})
    assert status == 1 and b"50 answered" in output
    assert errors == [
        f"mpecho-client: cannot draw '{tmp_path}/plot.svg': gnuplot is not installed "
        "(Debian's gnuplot-nox will do)"
    ]


def test_a_gnuplot_that_fails(tmp_path):
    """Its failure is told, and the script that nobody read does no harm."""
    (tmp_path / "gnuplot").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "gnuplot").chmod(0o755)
    status, _, errors = ping(f"--plot={tmp_path}/plot.svg", env={"PATH": str(tmp_path)})
    assert status == 1
    assert errors == [f"mpecho-client: gnuplot could not draw '{tmp_path}/plot.svg'"]


@pytest.mark.parametrize(
    "file, reason", [("/no/such/directory", "No such file or directory"),
                     ("/dev/full", "No space left on device")]
)
def test_a_file_that_cannot_be_written(file, reason):
    """The file and the reason are named; the results are printed all the same."""
    status, output, errors = ping(f"--csv={file}")
    assert status == 1 and b"50 answered" in output
    assert errors == [f"mpecho-client: cannot write '{file}': {reason}"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--ping", "--plot=x.gif"], "ends in .svg or .png, not 'x.gif'"),
        (["--ping", "--plot=.svg"], "ends in .svg or .png, not '.svg'"),
        (["--ping", "--csv="], "--csv takes the name of a file"),
        (["--check", "--csv=x"], "--csv is only valid with --ping and --load"),
        (["--load", "-kstreams", "--csv=x"], "--csv cannot be used with --kind streams"),
    ],
)
def test_wrong_values(arguments, sentence):
    """Status 2 and one sentence that names the wrong value."""
    status, output, errors = run(*arguments, "host", data=b"")
    assert (status, output, len(errors)) == (2, b"", 2)
    assert sentence in errors[0]
