# SPDX-License-Identifier: MIT
"""The client as a proxy: the header that it sends in each mode, and what a server makes of it."""

import json

import pytest

import servers
from client import command, run

LISTEN = "proxy:127.0.0.1:0"
HEADER = "--proxy-protocol=2,192.0.2.7:51234,192.0.2.1:7"
WRONG = ["no-cr", "long", "protocol", "address", "port", "signature", "version", "command", "family",
         "short", "tlv", "checksum"]


def target(service):
    """The words for where it listens."""
    return service.listeners()[0].removeprefix("proxy:").split(":")


@pytest.mark.parametrize("mode, options", [
    ("plain", []), ("check", ["-s", "1M"]), ("ping", ["-c", 2]), ("ping", ["-c", 2, "--connect"]),
    ("ping", ["-c", 2, "--flows=2"]),
    ("requests", ["-P", 3, "-w", "50ms"]), ("connections", ["-P", 3, "-w", "50ms"]),
    ("streams", ["-P", 3, "-w", "50ms"])],
    ids=["plain", "check", "ping", "connect", "flows", "requests", "connections", "streams"])
def test_each_connection_has_a_header(start, mode, options):
    """In each mode each connection begins with the header: the server serves all of them, as the
    announced peer, and the client gets back what it sent and no more."""
    service = start(LISTEN, "--max-per-source=0")
    status, output, _ = run(*command(mode, HEADER, "-i", "1ms") if mode == "ping" else
                            command(mode, HEADER), *options, *target(service), data=b"Hello")
    assert status == 0
    assert mode != "plain" or output == b"Hello"
    service.wait_until_idle()
    service.totals()  # the journal has all records before it
    accepted = service.journal.records("accepted") + service.journal.records("summary")
    assert accepted and not service.journal.records("refused")
    for record in service.journal.records("accepted"):
        assert record["MPECHO_PEER"] == "192.0.2.7:51234"


@pytest.mark.parametrize("form", ["1", "2", "unknown", "local"])
def test_own_addresses(start, form):
    """Without addresses the header names those of the connection, or none."""
    service = start(LISTEN)
    assert run(f"--proxy-protocol={form}", *target(service), data=b"Hello")[:2] == (0, b"Hello")
    accepted, = service.journal.wait_for("accepted")
    assert accepted.get("MPECHO_PROXY", accepted["MPECHO_PEER"]) == accepted["MPECHO_PEER"]
    assert ("MPECHO_PROXY" in accepted) == form.isdigit()


def test_wrong_forms(start):
    """The service refuses each of the wrong forms, each for another reason, and the client fails."""
    service = start(LISTEN)
    for number, form in enumerate(WRONG, 1):
        status, output, errors = run("--ping", "-c", 1, f"--proxy-protocol={form}",
                                     *target(service))
        assert status == 1, (form, output, errors)
        service.journal.wait_for("refused", number)
    assert len({record["MPECHO_REASON"] for record in service.journal.records("refused")}) == len(
        WRONG)


@pytest.mark.parametrize("mode, options", [
    ("check", ["-s", "1000"]), ("ping", ["-c", 2]), ("ping", ["-c", 2, "--flows=2", "-i", "1ms"]),
    ("requests", ["-P", 1, "-w", "50ms"]), ("connections", ["-P", 1, "-w", "50ms"]),
    ("streams", ["-P", 1, "-w", "50ms"])],
    ids=["check", "ping", "flows", "requests", "connections", "streams"])
@pytest.mark.parametrize("form", ["1", "2"])
def test_a_service_that_expects_no_header(mode, options, form):
    """An echo service that returns the header is not called another one."""
    with servers.tcp(servers.echo) as server:
        status, output, _ = run("--json", *command(mode, f"--proxy-protocol={form}"), *options,
                                *server.address, data=b"")
    failure = json.loads(output)["failure"]
    assert status == 1 and failure["kind"] == "differs"
    assert "PROXY header" in failure["message"] and "not an echo" not in failure["message"]


@pytest.mark.parametrize("words, sentence", [
    (["--proxy-protocol=3"], "--proxy-protocol takes 1, 2 or another form"),
    (["--ping", "--udp", "--proxy-protocol=2"], "--proxy-protocol cannot be used with --udp")])
def test_wrong_usage(words, sentence):
    """A form that does not exist, and a header before datagrams, are refused."""
    status, _, errors = run(*words, "127.0.0.1", 7)
    assert status == 2
    assert sentence in errors[0]
