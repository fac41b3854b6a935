# SPDX-License-Identifier: MIT
"""mpecho-client --csv and --plot: the histogram as a file."""

import csv
import json
import os
import re
import shutil
import socket
import time
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
    for name, permille in (("p50", 500), ("p90", 900), ("p99", 990), ("p99_9", 999)):
        rank = -(-permille * latency["count"] // 1000)
        if latency["count"] * (1000 - permille) < 1000:
            assert latency[name] is None
        else:
            assert latency[name] == next(r["microseconds"] for r in rows if r["cumulative"] >= rank)


def test_hgrm(tmp_path):
    """The distribution is that of the CSV file, in HdrHistogram's columns."""
    status, _, errors = ping(f"--csv={tmp_path}/h.csv", f"--hgrm={tmp_path}/h.hgrm")
    assert (status, errors) == (0, [])
    with (tmp_path / "h.csv").open() as stream:
        expected = list(csv.DictReader(stream))
    head, _, *lines = (tmp_path / "h.hgrm").read_text().splitlines()
    assert head.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert [float(row[0]) * 1000 for row in rows] == pytest.approx(
        [float(row["microseconds"]) for row in expected])
    assert [row[2] for row in rows] == [row["cumulative"] for row in expected]
    for value, percentile, seen, *inverse in rows:
        assert float(percentile) == pytest.approx(int(seen) / 50)
        if inverse:
            assert float(inverse[0]) == pytest.approx(50 / (50 - int(seen)), abs=0.01)
    assert len(rows[-1]) == 3 and lines[-3].startswith("#[Mean")


@needs_gnuplot
@pytest.mark.parametrize("name", ["plot.svg", "plot.png", "it's a \"plot\".svg", "two\nlines.png"])
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
def test_a_plot_says_what_it_is_of(tmp_path):
    """One time is a mark in a picture with axes; parameters, date and host are written on it."""
    file = tmp_path / "plot.svg"
    with servers.tcp(servers.echo) as server:
        status, _, errors = run("--ping", "-c1", "-s99", f"--plot={file}", *server.address)
    assert (status, errors) == (0, [])
    texts = " ".join("".join(element.itertext()).strip() for element in
                     xml.etree.ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}text"))
    for part in (" port ".join(server.address), "1 answered", "99 bytes", "every 1 s",
                 socket.gethostname(), time.strftime("%Y"), "percentile", "milliseconds", "50"):
        assert part in texts, texts
    assert "<use xlink:href='#gpPt6'" in file.read_text()


@needs_gnuplot
def test_each_nine_of_a_plot_has_the_same_width(tmp_path):
    """From 0 to 90 % it is as far as from there to 99 %, whatever settings of gnuplot users have."""
    file = tmp_path / "plot.svg"
    (tmp_path / ".gnuplot").write_text("set label 'mine' at graph 0.5,0.5\n")
    status, _, errors = ping(f"--plot={file}", env={**os.environ, "HOME": str(tmp_path)})
    assert (status, errors) == (0, [])
    text = file.read_text()
    marks = re.findall(r"translate\(([0-9.]+),([0-9.]+)\)[^<]*<text>(?:<[^>]*>)*([0-9]+)<", text)
    lowest = max(float(height) for _, height, _ in marks)
    places = {name: float(place) for place, height, name in marks if float(height) == lowest}
    assert places["90"] - places["0"] == pytest.approx(places["99"] - places["90"], abs=0.1)
    assert "mine" not in text


@pytest.mark.parametrize("option", ["--csv", "--hgrm", pytest.param("--plot", marks=needs_gnuplot)])
@pytest.mark.parametrize(
    "directory, reason", [("no/such", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_written(option, directory, reason, tmp_path):
    """The file and the reason are named before anything is measured."""
    file = tmp_path / directory / "p.svg"
    if directory == ".":
        file.mkdir()
    with servers.tcp(servers.echo) as server:
        status, output, errors = run("--json", "--ping", f"{option}={file}", *server.address)
        assert server.accepted == 0
    assert (status, errors) == (1, [])
    assert json.loads(output)["failure"] == {
        "kind": "local", "message": f"Cannot write '{file}': {reason}"}


def test_without_gnuplot(tmp_path):
    """A sentence says what is missing, before anything is measured."""
    with servers.tcp(servers.echo) as server:
        status, output, errors = run("--ping", f"--plot={tmp_path}/plot.svg", *server.address,
                                     env={"PATH": str(tmp_path)})
        assert server.accepted == 0
    assert (status, output) == (1, b"")
    assert errors == [
        f"mpecho-client: Cannot draw '{tmp_path}/plot.svg': gnuplot is not installed "
        "(Debian package gnuplot-nox)"
    ]


def test_a_file_from_before(tmp_path):
    """When nothing is answered, what another run has left does not look like results."""
    file = tmp_path / "histogram.csv"
    file.write_text("old")
    with servers.tcp(servers.silent) as server:
        status, _, _ = run("--ping", "-w0.2", f"--csv={file}", *server.address)
    assert status == 1 and file.read_text() == ""


def test_a_gnuplot_that_fails(tmp_path):
    """Its failure is told, and the script that nobody read does no harm."""
    (tmp_path / "gnuplot").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "gnuplot").chmod(0o755)
    status, _, errors = ping(f"--plot={tmp_path}/plot.svg", env={"PATH": str(tmp_path)})
    assert status == 1
    assert errors == [f"mpecho-client: Cannot draw '{tmp_path}/plot.svg': gnuplot failed"]


def test_a_full_disk():
    """A file that can be opened but not written is named; the results are printed all the same."""
    status, output, errors = ping("--csv=/dev/full")
    assert status == 1 and b"50 answered" in output
    assert errors == ["mpecho-client: Cannot write '/dev/full': No space left on device"]


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
