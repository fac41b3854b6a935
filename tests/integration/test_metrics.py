# SPDX-License-Identifier: MIT
"""The metrics: what a scraper gets, however it asks, and what it cannot disturb."""

import json
import os
import re
import select
import signal
import socket

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open)
from prometheus_client.parser import text_string_to_metric_families as parse_text

import clients
import processes
from journald import ROOT
from manager import unit  # noqa: F401
from processes import wait_for

METRICS = "metrics:127.0.0.1:0"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# As Prometheus 2.53 and 3 send it.
ACCEPT = ("Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
          "text/plain;version=0.0.4;q=0.3,*/*;q=0.2")

# More than this many at once wait.
MOST = 16


def receive_all(client):
    """What comes until the end of the stream, which no reset replaces."""
    with client:
        return clients.receive_all(client).decode()


def ask(service, address, data=b"", end=False):
    """A client whose bytes are there before the service accepts it; its answer."""
    with service.paused():
        client = clients.connect(address)
        client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
    return receive_all(client)


def get(service, address, *fields, method="GET"):
    """The head of the response to a request, as a dictionary, and the body."""
    lines = [f"{method} /metrics HTTP/1.1", "Host: here", *fields, "", ""]
    head, _, body = ask(service, address, "\r\n".join(lines).encode()).partition("\r\n\r\n")
    status, *rest = head.split("\r\n")
    assert status == "HTTP/1.0 200 OK"
    return dict(line.split(": ", 1) for line in rest), body


def values(text, parse=parse_text):
    """The value of each metric, by its name and its label: what the text says to a parser of
    Prometheus."""
    return {" ".join([sample.name, *sample.labels.values()]): sample.value
            for family in parse(text) for sample in family.samples}


def scrape(service):
    """The values that a client gets now, of the service's last listener."""
    return values(ask(service, service.listeners()[-1], end=True))


def echo(service):
    """A connection that has come and gone, and is counted."""
    count = len(service.journal.records("closed"))
    service.connect_served().close()
    service.journal.wait_for("closed", count + 1)


@pytest.mark.parametrize("kind", ["unix", "abstract", "ipv4", "ipv6"])
def test_silent(start, tmp_path, kind):
    """A client that sends nothing gets the text and the end, at a socket of any kind."""
    listen = {"unix": tmp_path / "metrics", "abstract": f"@{tmp_path}", "ipv4": "127.0.0.1:0",
              "ipv6": "[::1]:0"}[kind]
    service = start("127.0.0.1:0", f"metrics:{listen}")
    assert service.listeners()[-1].startswith("metrics:")
    text = receive_all(service.connect(address=service.listeners()[-1]))
    assert values(text)["mpecho_connections"] == 0


def test_passed(start, tmp_path):
    """The name of a passed stream socket tells it apart, in any order; no echo comes from it."""
    with clients.listen() as echoing, socket.socket(socket.AF_UNIX) as metrics:
        metrics.bind(str(tmp_path / "metrics"))
        metrics.listen()
        service = start(passed=[metrics, echoing],
                        environment={"LISTEN_FDNAMES": "metrics-unix:echo"})
        assert service.listeners()[0] == f"metrics:{tmp_path}/metrics"
        with service.connect(address=service.listeners()[1]) as client:
            clients.ping(client)
        service.journal.wait_for("closed")
        text = ask(service, service.listeners()[0], b"hello")
    assert values(text)["mpecho_connections_accepted_total"] == 1


def test_http(start):
    """GET gets one response of HTTP, in OpenMetrics where the request accepts that, HEAD its head;
    both formats say the same to the parsers of Prometheus."""
    service = start("127.0.0.1:0", METRICS)
    address = service.listeners()[-1]
    echo(service)
    plain, text = get(service, address)
    assert plain == {"Content-Type": TEXT, "Content-Length": str(len(text)), "Connection": "close"}
    head, body = get(service, address, ACCEPT)
    assert head == {"Content-Type": OPEN, "Content-Length": str(len(body)), "Connection": "close"}
    assert get(service, address, ACCEPT.upper())[0] == head
    assert get(service, address, method="HEAD") == (plain, "")
    assert get(service, address, "X-Accept: application/openmetrics-text")[0] == plain
    expected = values(text)
    assert expected["mpecho_connections_accepted_total"] == 1
    assert expected["mpecho_connections_closed_total closed by peer"] == 1
    assert expected["mpecho_connections_echoed_bytes_total"] == len("ping")
    assert expected["mpecho_connection_duration_seconds_count"] == 1
    assert values(body, parse_open) == expected
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize("data", [
    b"hello\n", b"\0\1\2", b"\x16\x03\x01\x02\x00\x01", b"GET\t/ HTTP/1.0\r\n\r\n",
    b"get / HTTP/1.0\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"G", b"HEA", b"x" * 100000])
def test_garbage(start, data):
    """What is no request of these two gets the text as it is, whole, however much the client sends
    unasked."""
    service = start("127.0.0.1:0", METRICS)
    client = clients.connect(service.listeners()[-1])
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    assert values(receive_all(client))["mpecho_connections"] == 0


def test_split_request(start, clock):
    """A request counts as one wherever it is split, and when its lines end in newlines alone. The
    title of its handler names its work."""
    service = start("127.0.0.1:0", METRICS, environment=clock.environment)
    # A handler has ten seconds, which a test that comes late may exceed.
    clock.stop()
    request = f"GET / HTTP/1.1\n{ACCEPT}\n\n".encode()
    for at in 1, 3, 4, 14, len(request) - 2, len(request) - 1:
        with service.paused():
            client = clients.connect(service.listeners()[-1])
            client.sendall(request[:at])
        wait_for(service.handlers, "a handler")
        # It has read the beginning, and waits for the rest.
        processes.wait_until_waiting(service.handlers())
        handler, = service.handlers()
        assert processes.command_line(handler).rstrip(b"\0") == b"mpecho: metrics"
        client.sendall(request[at:])
        answer = receive_all(client)
        assert answer.startswith("HTTP/1.0 200 OK\r\n") and OPEN in answer, at
        client.close()
        # It looks again and again whether the client has acknowledged the answer.
        wait_for(lambda: not service.handlers() or clock.advance(0.01), "no handler")


def test_long_request(start):
    """A request without an end, longer than any, gets its response."""
    service = start("127.0.0.1:0", METRICS)
    answer = ask(service, service.listeners()[-1], b"GET / HTTP/1.0\r\nX: " + b"x" * 20000)
    assert answer.startswith("HTTP/1.0 200 OK\r\n")


def test_beside_echoes(start):
    """A hundred scrapers that come at once all get their answers, and disturb no echo; no record
    and no count of connections tells of them."""
    service = start("127.0.0.1:0", METRICS)
    echoing = service.connect_served()
    with service.paused():
        scrapers = [clients.connect(service.listeners()[-1]) for _ in range(100)]
        for scraper in scrapers:
            scraper.sendall(b"GET / HTTP/1.0\r\n\r\n")
    for scraper in scrapers:
        clients.ping(echoing)
        _, _, text = receive_all(scraper).partition("\r\n\r\n")
        counts = values(text)
        assert counts["mpecho_connections"] == counts["mpecho_connections_accepted_total"] == 1
    service.wait_until_idle(1)
    assert service.totals().number("MPECHO_SERVED") == 1
    assert len(service.journal.records("accepted")) == 1


def test_limit_of_scrapers(start, clock):
    """Scrapers that do not finish hold up other scrapers beyond the sixteenth, but no echo; one
    that leaves makes room."""
    service = start("127.0.0.1:0", METRICS, environment=clock.environment)
    clock.stop()
    with service.paused():
        slow = [service.connect(address=service.listeners()[-1]) for _ in range(MOST)]
        for client in slow:
            client.sendall(b"GET ")
        next_one = service.connect(address=service.listeners()[-1])
        next_one.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
    service.wait_until_idle(MOST)
    echoing = service.connect_served()
    assert len(service.handlers()) == MOST + 1
    slow[0].close()
    # Its handler may look more than once whether a client has acknowledged its answer.
    wait_for(lambda: select.select([next_one], [], [], 0)[0] or clock.advance(0.01), "an answer")
    assert receive_all(next_one).startswith("HTTP/1.0 200 OK\r\n")
    clients.ping(echoing)


def test_time_of_scrapers(start):
    """The handler of a scraper that says nothing, reads nothing and stays ends by itself."""
    service = start("127.0.0.1:0", METRICS)
    client = service.connect(address=service.listeners()[-1])
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    assert poll.poll(1000 * processes.DEADLINE)
    service.wait_until_idle()
    service.connect_served()


def test_stop(start):
    """A scraper, even one whose handler hangs, does not delay the end of the service."""
    service = start("127.0.0.1:0", METRICS)
    # The handler finds the beginning of a request when it looks, and waits for the rest.
    with service.paused():
        service.connect(address=service.listeners()[-1]).sendall(b"GET ")
    os.kill(*wait_for(service.handlers, "a handler"), signal.SIGSTOP)
    assert service.stop() == 0


def test_stays_while_scraped(start, clock):
    """--exit-idle does not end a service between two scrapes, and ends one that nobody scrapes."""
    clock.stop()
    with clients.listen() as echoing, clients.listen() as metrics:
        service = start("--exit-idle=1", passed=[echoing, metrics],
                        environment={"LISTEN_FDNAMES": "echo:metrics", **clock.environment})
        for _ in range(3):
            scrape(service)
            clock.advance(0.9)
            service.totals()
        clock.advance(1)
        service.signal(signal.SIGUSR1)
        assert service.wait() == 0


def test_at_the_limit(start):
    """A service that accepts no more connections says so."""
    service = start("--max-connections=1", "127.0.0.1:0", METRICS)
    service.connect_served()
    service.knock()
    counts = scrape(service)
    assert counts["mpecho_connections"] == counts["mpecho_connections_limit"] == 1
    assert counts["mpecho_connections_accepted_total"] == 1


def test_counts(start):
    """What was refused and what crashed is counted, and accepted is live, closed and crashed."""
    service = start("--max-per-source=2", "127.0.0.1:0", METRICS, expected=["crashed"])
    first, _ = service.connect_served(), service.connect_served()
    service.connect_refused()
    first.close()
    service.journal.wait_for("closed")
    service.wait_until_idle(1)
    os.kill(*service.handlers(), signal.SIGKILL)
    service.journal.wait_for("crashed")
    counts = scrape(service)
    assert counts["mpecho_connections_refused_total max-per-source"] == 1
    assert counts["mpecho_connections_crashed_total"] == 1
    assert counts["mpecho_connections_closed_total closed by peer"] == 1
    assert counts["mpecho_connections_accepted_total"] == 2
    assert counts["mpecho_connection_duration_seconds_bucket +Inf"] == 2


@pytest.mark.parametrize("stop", ["terminate", "crash"])
def test_counts_go_on(unit, stop):
    """Counts go on over a restart and a crash, that of resumed connections as well; a scraper does
    not survive either, and the start is another one."""
    service = unit(start=False)
    with clients.listen() as metrics:
        service.others = [("metrics", metrics)]
        service.start()

        def counts():
            # A handler counts what it has echoed before it waits again.
            processes.wait_until_waiting(service.handlers())
            with clients.connect((socket.AF_INET, metrics.getsockname())) as client:
                client.shutdown(socket.SHUT_WR)
                return values(receive_all(client))

        live, left = service.connect_served(), service.connect_served()
        name = clients.peer_text(left)
        left.close()
        service.closed(name)
        before = counts()
        assert before["mpecho_connections_accepted_total"] == 2
        unfinished = clients.connect((socket.AF_INET, metrics.getsockname()))
        unfinished.sendall(b"GET ")
        wait_for(lambda: len(service.handlers()) == 2, "its handler")
        assert service.restart(getattr(service, stop)) == 1
        unfinished.close()
        clients.ping(live)
        after = counts()
        changed = {metric for metric in before if before[metric] != after[metric]}
        assert changed - {"mpecho_start_time_seconds"} == {
            "mpecho_connections_resumed_total", "mpecho_connections_echoed_bytes_total"}
        assert after["mpecho_connections_resumed_total"] == 1
        assert after["mpecho_connections_echoed_bytes_total"] == 3 * len("ping")
        assert after["mpecho_start_time_seconds"] >= before["mpecho_start_time_seconds"]
        service.wait_until_idle(1)


def test_datagrams_go_on(unit):
    """Answered datagrams stay counted over a restart, also where nobody had asked for the counts."""
    service = unit(start=False)
    with clients.listen() as metrics, socket.socket(type=socket.SOCK_DGRAM) as datagrams, \
            socket.socket(type=socket.SOCK_DGRAM) as client:
        datagrams.bind(("127.0.0.1", 0))
        client.settimeout(processes.DEADLINE)
        service.others = [("metrics", metrics), ("udp", datagrams)]
        service.start()
        client.sendto(b"hello", datagrams.getsockname())
        assert client.recv(9) == b"hello"
        # The handler counts what it has answered before it waits again.
        processes.wait_until_waiting(service.handlers())
        service.restart()
        with clients.connect((socket.AF_INET, metrics.getsockname())) as scraper:
            scraper.shutdown(socket.SHUT_WR)
            assert values(receive_all(scraper))["mpecho_datagrams_total answered"] == 1
        # Without its socket there is no handler left.
        service.others.pop()
        service.restart()


def test_lost_records_go_on(unit):
    """Records that journald did not accept until the end of a run are counted in the next, which
    logs their number as soon as journald is back."""
    service = unit(start=False, expected=["lost"])
    with clients.listen() as metrics:
        service.others = [("metrics", metrics)]
        service.start()
        client = service.connect_served()
        service.journal.wait_for("accepted")
        service.journal.unbind()
        client.close()
        service.wait_until_idle()
        service.restart()
        with clients.connect((socket.AF_INET, metrics.getsockname())) as scraper:
            scraper.shutdown(socket.SHUT_WR)
            assert values(receive_all(scraper))["mpecho_records_lost_total"] == 2
        service.journal.bind()
        lost, = service.journal.wait_for("lost")
        assert (lost.number("MPECHO_LOST"), lost.number("MPECHO_CLOSED")) == (2, 1)
        service.journal.wait_for("started", 2)
        service.restart()
        assert service.journal.wait_for("started", 3)
        assert service.journal.records("lost") == [lost]
        service.wait_until_idle()


def test_datagrams(start):
    """Datagrams count by their result."""
    service = start("127.0.0.1:0", "udp:127.0.0.1:0", METRICS)
    host, port = service.listeners()[1].removeprefix("udp:").split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(processes.DEADLINE)
        client.connect((host, int(port)))
        client.send(b"hello")
        assert client.recv(100) == b"hello"
    # The handler counts what it has answered.
    wait_for(lambda: scrape(service)["mpecho_datagrams_total answered"] == 1, "it is counted")
    counts = scrape(service)
    assert counts["mpecho_datagrams_total rate"] == 0
    assert counts["mpecho_datagrams_echoed_bytes_total"] == len("hello")


def test_documented(start):
    """mpecho(8) and the dashboard name metrics that there are; the manual names all."""
    service = start("127.0.0.1:0", METRICS)
    text = ask(service, service.listeners()[-1], end=True)
    families = {family.name for family in parse_text(text)}
    samples = {sample.name for family in parse_text(text) for sample in family.samples}
    manual = (ROOT / "packaging/mpecho.8").read_text()
    named = set(re.findall(r"^\.It Li (mpecho_\w+)$", manual, re.M))
    assert named == set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    assert families <= samples | {name.removesuffix("_total") for name in named} | named
    dashboard = json.loads((ROOT / "packaging/mpecho-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in expressions:
        used = set(re.findall(r"mpecho_\w+", expression))
        assert used and used <= samples, expression
