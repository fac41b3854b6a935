# SPDX-License-Identifier: MIT
"""Sockets that mpecho binds itself: where they are, what they are, and what they leave behind."""

import os
import re
import socket
import subprocess

import pytest

import clients
import processes
from service import MPECHO


def run_failing(*arguments):
    """Runs mpecho, which has to fail with status 1 and one sentence; returns that."""
    result = subprocess.run([MPECHO, "--log=stderr", *arguments], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=processes.DEADLINE)
    assert result.returncode == 1
    assert result.stdout == ""
    line, end, rest = result.stderr.partition("\n")
    assert (end, rest) == ("\n", "")
    return line


def test_port_in_use(start):
    """A port that is taken is one sentence with the address and the reason, and status 1."""
    with clients.listen() as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        text = run_failing(address)
    assert address in text and "in use" in text


def test_address_of_another_machine():
    """An address that the machine does not have is named, with the reason."""
    text = run_failing("192.0.2.1:9190")
    assert "192.0.2.1:9190" in text and "assign" in text


def test_quick_restart(start):
    """The port of a service that just left, with connections in TIME_WAIT, can be bound again."""
    # An address that nobody else takes ports of.
    service = start("127.86.2.1:0")
    client = service.connect_served()
    service.stop()
    assert clients.receive_all(client) == b""
    again = start(service.listeners()[0])
    again.connect_served()


@pytest.mark.skipif(os.geteuid() != 0, reason="pidfd_getfd(2) of another process needs root")
def test_options_of_own_sockets(start):
    """Own listeners can be bound again at once; connections don't gather writes, and notice dead
    peers; they block, and the listener does not."""
    service = start("[::1]:0")
    service.connect_served()
    handler, = service.handlers()
    listener = listening_socket(service)
    with listener, socket.socket(fileno=processes.duplicate(handler, 3)) as connection:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not os.get_blocking(listener.fileno())
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert os.get_blocking(connection.fileno())


def listening_socket(service):
    """A duplicate of the service's only listening socket."""
    for number, target in processes.descriptors(service.pid).items():
        if target.startswith("socket:"):
            one = socket.socket(fileno=processes.duplicate(service.pid, number))
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return one
            one.close()
    raise AssertionError("no listening socket")


def test_unix_path(start, tmp_path):
    """A Unix socket is made, serves, and is gone after the service."""
    path = tmp_path / "echo"
    service = start(path)
    service.connect_served()
    assert path.is_socket()
    service.stop()
    assert not os.path.lexists(path)


def test_stale_unix_path(start, tmp_path):
    """The socket file of a service that was killed is replaced."""
    path = tmp_path / "echo"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    assert path.is_socket()
    start(path).connect_served()


def test_live_unix_path(start, tmp_path):
    """The socket of a live server is left alone: one sentence, status 1."""
    path = tmp_path / "echo"
    service = start(path)
    text = run_failing(str(path))
    assert str(path) in text and "in use" in text
    service.connect_served()


@pytest.mark.parametrize("make", [lambda path: path.write_text("precious"),
                                  lambda path: path.mkdir(), os.mkfifo])
def test_unix_path_that_is_something_else(tmp_path, make):
    """What is not a socket is never removed."""
    path = tmp_path / "echo"
    make(path)
    before = os.lstat(path)
    assert str(path) in run_failing(str(path))
    assert os.lstat(path).st_ino == before.st_ino


def test_unix_path_in_missing_directory(tmp_path):
    """A path that cannot be bound is named, with the reason."""
    text = run_failing(f"{tmp_path}/missing/echo")
    assert "missing/echo" in text and "No such file" in text


def test_failure_of_one_listener_leaves_nothing(tmp_path):
    """When the second LISTEN cannot be bound the first one's socket file is removed again."""
    path = tmp_path / "echo"
    run_failing(str(path), "192.0.2.1:9190")
    assert not path.exists()


def under_strace(log, *options):
    """The start of a command line: strace beside the program that follows, with the same pid."""
    return ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-D", "-qq", "-o", str(log),
            "-e", "trace=socket", *options]


def test_no_ipv6_falls_back_to_ipv4(start, tmp_path):
    """A bare port on a machine without IPv6 is served over IPv4."""
    log = tmp_path / "sockets"
    usual = start("0", wrapper=under_strace(log))
    assert usual.stop() == 0
    processes.reap_orphans("strace")
    index = next(index for index, line in enumerate(log.read_text().splitlines(), 1)
                 if "AF_INET6" in line)
    inject = f"inject=socket:error=EAFNOSUPPORT:when={index}"
    service = start("0", wrapper=under_strace(os.devnull, "-e", inject))
    assert re.fullmatch(r"0\.0\.0\.0:\d+", service.listeners()[0])
    service.connect_served().close()
    service.wait_until_idle()
    assert service.stop() == 0
    processes.reap_orphans("strace")
