"""mpecho-client and other people's echo servers: what is right is found right, and what is not is
named. install-peers fetches the inetds."""

import pathlib
import re
import shutil
import socket
import subprocess

import pytest

from client import run
from processes import DEADLINE, wait_for

PEERS = pathlib.Path(__file__).parents[2] / "build" / "peers" / "usr" / "sbin"
HOST, PORT = "127.0.0.1", "7"


def inetd(directory):
    """openbsd-inetd's own echo."""
    configuration = directory / "inetd.conf"
    configuration.write_text("echo stream tcp nowait root internal\n")
    return [PEERS / "inetd", "-i", "-R", "0", configuration]


def xinetd(directory):
    """xinetd's own echo."""
    configuration = directory / "xinetd.conf"
    configuration.write_text("""
service echo
{
        type = INTERNAL
        id = echo-stream
        socket_type = stream
        protocol = tcp
        wait = no
        user = root
        instances = UNLIMITED
        cps = 0 0
}
""")
    return [PEERS / "xinetd", "-dontfork", "-f", configuration,
            "-pidfile", directory / "pid", "-filelog", directory / "log"]


def socat(_):
    return ["socat", f"TCP4-LISTEN:{PORT},bind={HOST},reuseaddr,fork", "EXEC:cat"]


def ncat(_):
    """With a cat so slow that the client has half-closed before anything comes back."""
    return ["ncat", "-4", "-l", "-k", HOST, PORT, "--sh-exec", "sleep 1; exec cat"]


@pytest.fixture
def peer(network, tmp_path):
    """Starts a server on port 7 of a network of its own; returns how to run the client there."""
    started = []
    net = network()

    def begin(make):
        command = [str(word) for word in make(tmp_path)]
        if not shutil.which(command[0]):
            pytest.skip(f"no {command[0]}")
        with (tmp_path / "output").open("wb") as output:
            started.append(net.run(subprocess.Popen, command, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, start_new_session=True))

        def listens():
            assert started[0].poll() is None, (tmp_path / "output").read_text()
            with net.run(socket.socket) as probe:
                return net.run(probe.connect_ex, (HOST, int(PORT))) == 0

        wait_for(listens, f"{command[0]} listening")
        return lambda *arguments, **options: net.run(run, *arguments, **options)

    yield begin
    for process in started:
        process.terminate()
        process.wait(DEADLINE)


@pytest.mark.parametrize("make", [inetd, xinetd, socat])
def test_a_server_that_echoes_is_found_intact(peer, make):
    """Every mode works with it, and finds nothing wrong."""
    client = peer(make)
    status, output, errors = client("--check=8M", HOST, PORT)
    assert (status, errors) == (0, []) and b": intact: " in output
    status, output, _ = client("--ping=20", "--interval=0.001", HOST, PORT)
    assert status == 0 and b"20 answered, 0 lost" in output
    status, output, _ = client("--load", "--duration=0.5", "--connections=4", HOST, PORT)
    assert status == 0 and b"\n0 errors\n" in output
    data = bytes(range(256)) * 1000
    assert client(HOST, PORT, data=data) == (0, data, [])


def test_what_ncat_loses_is_named(peer):
    """ncat 7.93 ends when its client half-closes; what has not come back by then is missing."""
    if not shutil.which("ncat"):
        pytest.skip("no ncat")
    version = subprocess.run(["ncat", "--version"], capture_output=True, text=True, check=True)
    # Newer ones (7.96) have learnt it.
    if "7.93" not in version.stdout + version.stderr:
        pytest.skip("another ncat")
    client = peer(ncat)
    status, output, _ = client("--check=100000", HOST, PORT)
    assert status == 1
    assert re.search(rb": (missing: truncated: the last \d+ bytes|reset: |closed: )", output)
    status, output, errors = client(HOST, PORT, data=b"hello")
    assert (status, output) == (1, b"")
    assert errors == [f"mpecho-client: 5 bytes were sent to {HOST} port {PORT} but 0 came back"]
