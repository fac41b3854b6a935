# SPDX-License-Identifier: MIT
"""What make bench measures with: the servers that it compares with echo, its clients notice when
one does not, and its arithmetic is right. Nothing here depends on how fast anything is."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree
from pathlib import Path

import pytest

import clients
import servers
from processes import DEADLINE, children, reap_orphans, wait_for
from service import BUILD

BENCH = Path(__file__).parents[1] / "bench"
sys.path.append(str(BENCH))

import figures  # noqa: E402
import plots  # noqa: E402
import publish  # noqa: E402
import report  # noqa: E402
import surroundings  # noqa: E402

PROGRAMS = BUILD / "tests" / "bench"
ADDRESS = "127.0.0.1"
PORT = 7


@pytest.fixture
def baseline(network):
    """Starts a baseline server in a network of its own. Returns how to connect to it, and its
    process ID."""
    net, started = network(), []

    def begin(name):
        if not (PROGRAMS / name).exists():
            pytest.skip(f"no {name}")
        started.append(net.run(subprocess.Popen, [PROGRAMS / name, ADDRESS, str(PORT)],
                               stdin=subprocess.DEVNULL, start_new_session=True))

        def connect():
            assert started[0].poll() is None
            try:
                return net.run(clients.connect, f"{ADDRESS}:{PORT}")
            except ConnectionRefusedError:
                return None
        return lambda: wait_for(connect, f"{name} listening"), started[0].pid

    yield begin
    for process in started:
        process.kill()
        process.wait(DEADLINE)
        # Whose clients have gone: they are ending.
        reap_orphans(Path(process.args[0]).name)


@pytest.mark.parametrize("name", ["bare", "bare-static", "bare-splice", "nofork", "naive"])
def test_a_baseline_echoes(baseline, name):
    """Everything comes back, also what is under way when the client half-closes; two at once."""
    connect, _ = baseline(name)
    with connect() as first, connect() as second:
        for data in b"hello", clients.RANDOM[:1000]:
            for client in second, first:
                clients.ping(client, data)
        assert clients.exchange(first, clients.RANDOM[:10000], 100000) == 100000
        clients.ping(second)


@pytest.mark.parametrize("name", ["bare", "bare-static", "bare-splice", "nofork"])
def test_a_baseline_waits_for_a_slow_reader(baseline, name):
    """What a client does not read at once is kept for it, and others are served meanwhile."""
    connect, pid = baseline(name)
    with connect() as slow, connect() as other:
        for client in slow, other:
            clients.ping(client)
        sent = clients.fill(slow, [pid, *children(pid)])
        clients.ping(other)
        slow.shutdown(clients.socket.SHUT_WR)
        assert clients.drain(slow) == sent > len(clients.RANDOM)


def crowd(address, count, window, orders=""):
    """What the crowd answers: first of the opening, then of each order."""
    result = subprocess.run([PROGRAMS / "crowd", *address, str(count), str(window)],
                            input=orders, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_crowd_counts_echoes():
    """Each connection has an echo when it is opened, and one for each trip; rounds are on all."""
    with servers.tcp(servers.echo) as server:
        found = crowd(server.address, 20, 7, "trips 50 100\nrounds 3 100\n")
        assert server.accepted == 20
    assert [(answer["right"], answer["lost"]) for answer in found] == [(20, 0), (50, 0), (60, 0)]
    for answer in found:
        assert 0 < answer["p50"] <= answer["p99"] <= answer["max"]


@pytest.mark.parametrize("behaviour", [servers.flip(3), servers.close_after(64 + 3),
                                       servers.reset_after(64)])
def test_the_crowd_loses_what_is_wrong(behaviour):
    """A connection on which something else comes back, or nothing more, is lost."""
    with servers.tcp(behaviour) as server:
        found = crowd(server.address, 5, 5, "rounds 2 100\n")
    assert found[-1]["lost"] == 5


def test_the_crowd_loses_what_nobody_accepts():
    """Refused connects are lost as well."""
    with servers.closed_port() as holder:
        found, = crowd([ADDRESS, str(holder.getsockname()[1])], 3, 3)
    assert (found["right"], found["lost"]) == (0, 3)


def volley(address, flows, window):
    """What the client of datagrams says after a tenth of a second."""
    host, port = address
    result = subprocess.run([PROGRAMS / "volley", host, str(port), str(flows), str(window), "0.1"],
                            stdout=subprocess.PIPE, check=True)
    return json.loads(result.stdout)


@pytest.fixture
def datagrams():
    """Starts a server of datagrams that answers by a function; returns its address."""
    receiver, end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), b"the end"
    receiver.bind((ADDRESS, 0))
    threads = []

    def begin(change):
        def serve():
            while (received := receiver.recvfrom(1 << 16))[0] != end:
                receiver.sendto(change(received[0]), received[1])
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return receiver.getsockname()

    yield begin
    receiver.sendto(end, receiver.getsockname())
    threads[0].join()
    receiver.close()


def like_sockperf(data):
    """What sockperf's server makes of a message: it clears the flag of a client."""
    return data[:9] + bytes([data[9] & ~1]) + data[10:]


@pytest.mark.parametrize("flows, window, change", [(1, 1, bytes), (1, 8, bytes),
                                                   (5, 2, like_sockperf)])
def test_the_volley_counts_answers(datagrams, flows, window, change):
    """Answers come at a rate; one flow with one datagram on its way measures its round trips."""
    server = datagrams(change)
    def answered():
        run = volley(server, flows, window)
        assert run["wrong"] == 0
        return run["rate"] > 0 and run

    found = wait_for(answered, "answers")
    assert (found["p50"] > 0) == (window == 1)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"e",
                                    lambda data: data[:-1] + b"x", lambda data: b"x" + data[1:]])
def test_the_volley_sees_what_is_wrong(datagrams, change):
    """An answer with other bytes, or of another length, is wrong."""
    server = datagrams(change)
    wait_for(lambda: volley(server, 1, 1)["wrong"] > 0, "an answer that is wrong")


@pytest.mark.skipif(not (PROGRAMS / "bare-datagram").exists(), reason="no bare-datagram")
def test_the_baseline_of_datagrams_echoes(network):
    """A datagram comes back."""
    net = network()
    with net.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as client, \
            net.run(subprocess.Popen, [PROGRAMS / "bare-datagram", ADDRESS, "7"]) as server:
        try:
            client.connect((ADDRESS, 7))
            client.settimeout(0.1)

            def echoed():
                try:
                    client.send(b"ping")
                    return client.recv(100) == b"ping"
                except (ConnectionRefusedError, TimeoutError):
                    return False
            wait_for(echoed, "an answer")
        finally:
            server.kill()


class Measure:
    """A measure's names."""
    title = "stream"

    @staticmethod
    def metrics():
        return ["stream-1"]


@pytest.fixture
def results():
    """Three rounds of two servers; one is missing in the second, and loses bytes."""
    found = figures.Results()
    for bare, mpecho in (100, 70), (1000, None), (10, 9):
        found.begin_round()
        found.add("bare", {"rate-32": bare, "trip-p50": 50.0, "stream-1": 1,
                           "trip-histogram": {10.0: 98, 20.0: 1, 40.0: 1}})
        if mpecho:
            found.add("mpecho", {"rate-32": mpecho, "trip-p50": 60.0, "live-1-cpu": 5.0,
                                 "restart-stall": 600.0})
            found.add("unit-bare", {"start-over": 500.0})
        else:
            found.fail("mpecho", Measure, "1 × differs")
    return found


TITLES = {"mpecho": "mpecho", "bare": "bare loop"}


def test_summaries():
    """Medians and quartiles of the figures that there are."""
    assert figures.summarize([None, None]) is None
    assert figures.summarize([None, 7]) == figures.Summary(7, 7, 7, 1)
    assert figures.summarize([5, 1, None, 4, 2, 3]) == figures.Summary(3, 2, 4, 5)


def test_ratios_are_of_the_same_round(results):
    """A figure is compared with that of its own round, or with none."""
    assert results.series("rate-32", "mpecho") == [70, None, 9]
    assert figures.ratios([1, None, 4], [2, 3, None]) == [0.5, None, None]
    ratio = results.ratio("rate-32", "mpecho", "bare")
    assert (ratio.count, round(ratio.median, 9)) == (2, 0.8)


def test_histograms_are_added_up(results):
    """Percentiles are those of all rounds together."""
    histogram = results.histograms["trip-histogram", "bare"]
    assert histogram == {10.0: 294, 20.0: 3, 40.0: 3}
    assert [figures.percentile(histogram, percent) for percent in (0, 50, 98, 99, 99.9, 100)
            ] == [10.0, 10.0, 10.0, 20.0, 40.0, 40.0]


def test_the_report(results):
    """Ratios to the bare loop, whose figures are told; what is wrong is called so; each target is
    met or not."""
    text = report.text(results, TITLES, "the machine")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "the machine"
    assert "bare loop 100 /s" in lines
    assert "mpecho 0.80 ±0.05" in lines
    assert any(line.startswith("mpecho 1.20 ±0.00 wrong") for line in lines)
    assert "mpecho: stream: 1 × differs" in lines
    assert any(line.startswith("connections/s, 32 at once bare loop ≥ 1 × 0.80")
               and line.endswith("NOT MET") for line in lines)
    assert any(line.startswith("restart with 1,000 live: longest stall")
               and "≤ 1.1 × 1.20" in line and line.endswith("NOT MET") for line in lines)
    summary = report.summary(results, TITLES, "the machine")
    assert "| mpecho | 0.80 ±0.05 |" in summary


def test_the_drawings(results, tmp_path):
    """Each is an SVG with the names of the servers in it."""
    if not shutil.which("gnuplot"):
        pytest.skip("no gnuplot")
    plots.draw_all(results, TITLES, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(plots.PLOTS)
    for path in tmp_path.iterdir():
        xml.etree.ElementTree.parse(path)
        assert "mpecho" in path.read_text() or "bare loop" in path.read_text()


def test_the_readme():
    """The README has a place for the table, whose text is all that changes, as often as it does."""
    text = publish.README.read_text()
    once = publish.replaced(text, "| a table |\n")
    assert text.count(publish.BEGIN) == text.count(publish.END) == 1
    assert once.partition(publish.BEGIN)[0] == text.partition(publish.BEGIN)[0]
    assert once.partition(publish.END)[2] == text.partition(publish.END)[2] != ""
    assert "\n| a table |\n" in once and publish.replaced(once, "| a table |\n") == once


def test_a_run(tmp_path):
    """A short run measures every server, finds nothing wrong, and leaves its figures."""
    if reason := surroundings.missing():
        pytest.skip(reason)
    subprocess.run([sys.executable, BENCH / "bench.py", "--quick", "--rounds=1", "--only=rate-1",
                    f"--output={tmp_path}", BUILD], check=True, stdout=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL, env=os.environ)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["failures"] == {}
    assert {"bare", "mpecho", "bare-splice"} <= set(found["figures"]["rate-1"])
    assert (tmp_path / "table.txt").read_text().startswith(found["heading"])
