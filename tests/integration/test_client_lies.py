# SPDX-License-Identifier: MIT
"""mpecho-client and servers that lie: each mode gives each lie its name.

An answer is what this connection sent, all of it, once, in order, in time. Anything else is an
error with a name, an exit status of 1 and an object that says so. Each test is one lie, told to all
modes at the same time, so that they share the time that they wait."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

import servers
from client import DEADLINE, command, run
from test_client_json import parse

BULK = 100_000  # bytes of the modes that send a stream: more than a segment, less than the buffers

MODES = {
    "plain": command("plain"),
    "check": command("check", size=BULK),
    "ping": command("ping", "--interval=0.001", count=3),
    "fresh": command("ping", "--interval=0.001", "--connect", count=3),
    "requests": command("requests", "--duration=0.3", "--connections=4"),
    "rate": command("requests", "--duration=0.3", "--connections=4", "--rate=60"),
    "connections": command("connections", "--duration=0.3", "--connections=4"),
    "streams": command("streams", "--duration=0.3", "--connections=4"),
    "flows": command("ping", "--interval=0.001", "--flows=2", count=3),
}
LOADS = ["requests", "rate", "connections", "streams"]


def each(word):
    """All modes say the same."""
    return " ".join(len(MODES) * [word])


# The server, and what each mode says, in the order of MODES. "a|b": whichever is seen first.
LIES = {
    "nothing": (servers.echo, each("ok")),
    "flip": (
        servers.beginning(lambda data: bytes([data[0] ^ 1]) + data[1:]), each("differs")),
    "exchange": (
        servers.beginning(lambda data: data[8:16] + data[:8] + data[16:]), each("differs")),
    "drop": (
        servers.beginning(lambda data: data[:20] + data[25:]),
        # A round trip ends with the first byte that is not the one that was sent.
        "missing missing differs differs differs differs differs differs differs",
    ),
    "duplicate": (servers.beginning(lambda data: data + data), each("differs")),
    "late-duplicate": (servers.repeat_later(), each("differs")),
    "surplus": (
        # Flows end by a reset.
        servers.repeat_last(10),
        "differs differs differs differs differs differs differs differs ok"),
    "banner": (
        lambda connection: (connection.sendall(b"SSH-2.0-x\r\n"), servers.echo(connection)),
        each("differs")),
    "cross-wired": (
        # A partner that ends first takes the connection with it.
        servers.cross_wired,
        "differs|closed|missing differs differs differs differs differs differs differs "
        "differs|closed|reset"),
    "from-before": (servers.from_before, each("differs")),
    "one-behind": (
        # A connection with one request has none before; judge() wants to see that.
        servers.one_behind, "differs differs differs ok differs|ok differs|ok ok differs differs"),
    "stall": (servers.stall_after(32), each("timeout")),
    "silent": (servers.silent, each("timeout")),
    "one-silent": (lambda: servers.one_of(4, servers.silent), each("timeout")),
    "closes-when-idle": (
        # It is idle where nothing is owed: between round trips that are spaced, or at the end. A
        # load of one request for each connection, on a slow machine, is over before.
        servers.leave_when_idle(64),
        "missing|closed missing|closed closed ok closed|ok ok|closed ok missing|closed closed",
    ),
    "endless": (
        servers.endless, "differs differs differs differs differs differs differs differs ok"),
    "never-closes": (
        # A round trip is no more than its answer.
        servers.stay, "timeout timeout ok ok timeout timeout timeout timeout ok"),
    "byte-by-byte": (lambda connection: servers.trickle(connection, 2000), each("ok")),
    "reset": (
        servers.reset_after(32), "reset reset reset reset reset reset reset reset|closed reset"),
    "urgent": (servers.urgent, each("differs")),
    "slow-accept": (servers.echo, each("ok")),
}

EXPECTED = {lie: dict(zip(MODES, row[1].split(), strict=True)) for lie, row in LIES.items()}
MAKERS = {"cross-wired", "from-before", "one-silent"}
FAULTS = {
    "flip": {"changed"}, "exchange": {"reordered"}, "drop": {"dropped"},
    "duplicate": {"duplicated"}, "late-duplicate": {"duplicated"}, "surplus": {"duplicated"},
    "banner": {"inserted"}, "cross-wired": {"unrecognized"}, "from-before": {"changed"},
    # Of 256 bytes that are inserted, one is the same as that before it.
    "one-behind": {"duplicated"}, "urgent": {"inserted", "duplicated"},
    "closes-when-idle": {"truncated"}, "endless": {"inserted", "unrecognized"},
}


def kind(result):
    return result["failure"]["kind"] if result["failure"] else "ok"


def start(lie, mode, address):
    # What nothing but the timeout finds; all else has all the time that it needs.
    timeout = 1 if EXPECTED[lie][mode] == "timeout" else DEADLINE
    words = list(MODES[mode])
    if lie == "cross-wired" and mode in ("ping", "fresh"):
        # A second round trip would find no partner.
        words = command("ping", "--connect", count=1) if mode == "fresh" else command(
            "ping", count=1)
    data = os.urandom(BULK) if mode == "plain" else b""
    status, output, errors = run("--json", f"--timeout={timeout}", *words, *address, data=data)
    if mode == "plain":
        assert len(errors) == 1, errors
        return status, parse(errors[0] + "\n"), output == data
    assert errors == []
    return status, parse(output.decode()), None


def tell(lie, mode):
    """What the client says of the lie in that mode: the last of as many runs as it takes."""
    make = LIES[lie][0]
    behaviour = make() if lie in MAKERS else make
    with servers.tcp(behaviour, delay=0.05 if lie == "slow-accept" else 0) as server:
        with ThreadPoolExecutor(2) as pool:
            if lie == "cross-wired" and mode not in [*LOADS, "flows"]:
                other = pool.submit(start, lie, mode, server.address)
                pair = [start(lie, mode, server.address), other.result()]
                assert pair[0][0] == pair[1][0]
                # One that gets the other's bytes before it has sent its own ends at once, and the other
                # gets nothing.
                return max(pair, key=lambda found: kind(found[1]) == "differs")
            if lie == "from-before":
                start(lie, mode, server.address)
            return start(lie, mode, server.address)


def judge(lie, mode, expected, status, result, same):
    """The exit status, the kind, and what else the object says must be of one mind."""
    assert kind(result) in expected.split("|")
    expected = kind(result)
    assert status == result["status"] == (0 if expected == "ok" else 1)
    if mode == "plain":
        assert same or expected != "ok"
    elif mode == "check":
        fault = result["check"]["fault"]
        assert (fault is not None) == (expected in ("differs", "missing"))
        if fault:
            assert fault["kind"] in FAULTS[lie] and result["check"]["faults"] >= 1
    elif mode in LOADS:
        load = result["load"]
        assert (expected in load["errors"]) == (expected != "ok")
        assert load["errors"] == {} or expected != "ok"
        if lie == "cross-wired":
            assert result["bytes_received"] <= result["bytes_sent"]
        if lie == "one-behind" and mode in ("requests", "rate"):
            # On a slow machine the time may be over before any of the four has a second one.
            assert expected == "differs" or load["answered"] <= 4
        if mode != "streams":
            lost = result["latency"]["count"] - load["answered"] if result["latency"] else 0
            assert 0 <= lost <= load["errors"].get("timeout", 0)
    else:
        ping = result["ping"]
        assert ping["lost"] == sum(ping["errors"].values()) == ping["sent"] - ping["answered"]
        assert (ping["lost"] > 0) == (expected != "ok")


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_has_its_name_in_each_mode(lie):
    """Verdict, exit status and object of every mode are those of the table."""
    with ThreadPoolExecutor(len(MODES)) as pool:
        found = {mode: pool.submit(tell, lie, mode) for mode in MODES}
    wrong = {}
    for mode, run_ in found.items():
        try:
            judge(lie, mode, EXPECTED[lie][mode], *run_.result())
        except AssertionError as error:
            wrong[mode] = f"{error} in {json.dumps(run_.result() if not run_.exception() else 0)}"
    assert not wrong, "\n".join(f"{mode}: {text}" for mode, text in wrong.items())
