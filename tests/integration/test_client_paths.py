# SPDX-License-Identifier: MIT
"""How mpecho-client comes to a connection, and to the next one."""

import contextlib
import functools
import json
import os
import re
import select
import signal
import socket
import time

import pytest

import servers
from client import Client, run, until
from network import Network, own_hosts
from processes import wait_until_noticed


@pytest.mark.parametrize("arguments", [["--ping", "-c3", "-i0.01", "--connect"],
                                       ["--load", "-kconnections", "-t0.3"],
                                       ["--load", "-t0.3", "-P3"]])
def test_a_unix_socket_that_was_bound_by_another_name(arguments, tmp_path, monkeypatch):
    """Later connections go where the first one went, whatever name the server has for it."""
    monkeypatch.chdir(tmp_path)
    with servers.local(servers.echo, "s"):
        monkeypatch.chdir("/")
        status, output, errors = run("--json", *arguments, f"{tmp_path}/s")
    assert (status, errors) == (0, [])
    result = json.loads(output)
    assert result["peer"] == f"{tmp_path}/s" and result["latency"]["count"] >= 3


def test_the_next_answer_does_not_include_the_new_connection(clock, tmp_path):
    """A connection that takes long after a failure is no slow answer."""
    clock.stop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)
        with Client("--json", "--ping", "-c2", "-i0.001", f"{tmp_path}/s",
                    env=os.environ | clock.environment) as client:
            first, _ = listener.accept()
            with socket.socket(socket.AF_UNIX) as other:
                # There is no room in the queue for the next connection.
                other.connect(f"{tmp_path}/s")
                first.close()
                clock.advance(0.001)
                wait_until_noticed([client.process.pid])
                clock.advance(30)
                listener.accept()[0].close()
                until(lambda: select.select([listener], [], [], 0)[0] or clock.advance(0.01))
                second, _ = listener.accept()
                with second:
                    second.sendall(servers.receive(second, 64))
            status, output, _ = client.end()
    result = json.loads(output)
    assert (result["ping"]["sent"], result["ping"]["answered"]) == (2, 1)
    assert result["seconds"] > 30 > result["latency"]["max"] / 1e6


def test_a_service_that_is_not_there_yet():
    """A ping begins before the service does, and goes on."""
    host = "127.86.2.2"
    with servers.closed_port(host) as holder:
        port = holder.getsockname()[1]
        with Client("--ping", "-i0.05", host, port) as client:
            lines = iter(client.process.stdout.readline, b"")
            assert any(b"Connection refused" in line for line in lines)
            holder.close()
            with servers.tcp(servers.echo, host, port=port):
                assert any(b" time=" in line for line in lines)
                client.process.send_signal(signal.SIGINT)
                status, output, _ = client.end()
    assert status == 1 and re.search(rb"[1-9]\d* answered, [1-9]\d* lost", output)


@pytest.fixture
def half_dead(tmp_path):
    """Runs the client where dual.test has an IPv6 address whose packets vanish, and port 7 is
    served on its IPv4 one."""
    network = Network()
    network.execute("nft", "-f", "-", text="table inet hole { chain output { type filter hook "
                    "output priority 0; meta nfproto ipv6 drop; }\n}\n")
    prepare = own_hosts(tmp_path, "::1 dual.test\n127.0.0.1 dual.test\n")
    with contextlib.ExitStack() as stack:
        network.run(lambda: stack.enter_context(servers.tcp(servers.echo, "127.0.0.1", port=7)))
        yield functools.partial(network.run, functools.partial(run, preexec_fn=prepare))
    network.close()


def test_the_plain_mode_does_not_wait_for_a_dead_address(half_dead):
    """Addresses are asked in parallel: the time of the first one does not have to pass."""
    begin = time.monotonic()
    result = half_dead("--connect-timeout=60", "dual.test", data=b"hello")
    assert result == (0, b"hello", [])
    assert time.monotonic() - begin < 60 / 2


@pytest.mark.parametrize("mode", [["--check", "-s1"], ["--ping", "-c1"], ["--load", "-t0.1"]])
def test_a_dead_address_is_named(mode, half_dead):
    """A mode gives each address its time, and says which did not answer."""
    status, _, errors = half_dead(*mode, "--connect-timeout=0.3", "dual.test")
    assert status == 0 and errors == ["mpecho-client: [::1]:7: no answer within 0.3 s"]
    status, output, errors = half_dead("--json", *mode, "--connect-timeout=0.3", "dual.test")
    assert status == 0 and errors == []
    assert json.loads(output)["warnings"] == ["[::1]:7: no answer within 0.3 s"]


def test_the_plugin_names_a_refused_address(tmp_path):
    """The state is that of the address that answers; the sentence has the one that does not."""
    network = Network()
    prepare = own_hosts(tmp_path, "::1 dual.test\n127.0.0.1 dual.test\n")
    with contextlib.ExitStack() as stack:
        network.run(lambda: stack.enter_context(servers.tcp(servers.echo, "127.0.0.1", port=7)))
        status, output, errors = network.run(functools.partial(
            run, "--monitor", "-H", "dual.test", "-n1", preexec_fn=prepare))
    network.close()
    sentence, _, _ = output.decode().partition(" | ")
    assert (status, errors) == (0, []) and "1 of 1 answered" in sentence
    assert sentence.endswith(", [::1]:7: Connection refused")


def test_the_time_of_a_dead_address_is_not_that_of_an_answer(half_dead):
    """It counts from the start of the connection to the address that answered."""
    _, output, _ = half_dead("--json", "--ping", "-c1", "--connect", "--connect-timeout=0.3",
                             "dual.test")
    result = json.loads(output)
    assert result["latency"]["max"] <= (result["seconds"] - 0.3) * 1e6 + 1000


def greeting(connection):
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    connection.shutdown(socket.SHUT_WR)
    servers.silent(connection)


def web(connection):
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("behaviour, line", [(greeting, "SSH-2.0-OpenSSH_9.2p1"),
                                             (web, "HTTP/1.1 400 Bad Request")])
@pytest.mark.parametrize("mode", [["--check", "-s1000"], ["--ping", "-c1"]])
def test_a_service_of_another_kind_is_named(mode, behaviour, line):
    """What answers in text, before or instead of an echo, is no damaged echo."""
    sentence = f"not an echo service: it answered «{line}»"
    with servers.tcp(behaviour) as server:
        status, output, _ = run("--json", *mode, *server.address)
        assert json.loads(output)["failure"] == {"kind": "differs", "message": sentence}
        _, output, _ = run("-q", *mode, *server.address)
        assert sentence in output.decode()
        host, port = server.address
        status, output, _ = run("--monitor", "-H", host, "-p", port, "-n1")
        assert status == 2 and sentence in output.decode()
