# SPDX-License-Identifier: MIT
"""mpecho as the first process of a container: no systemd, no journal, no /proc, no file to write."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import clients
import processes
from journald import ROOT
from processes import DEADLINE, wait_for
from service import COUNTED, MPECHO, SANITIZED, variables

pytestmark = [
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="entering a container needs root"),
    pytest.mark.skipif(SANITIZED, reason="the sanitizers need /proc")]

USER = 65532


class Container:
    """mpecho as process 1 in the root that packaging/container-root makes, with a network of its own
    if a socket is passed."""

    def __init__(self, directory, *arguments, passed=None):
        self.root = directory / "root"
        subprocess.run([ROOT / "packaging/container-root", MPECHO, self.root], check=True)
        # To append: this process moves the offset, which it shares with the writers.
        self._stderr = (directory / "stderr").open("a+")
        read, write = os.pipe()
        # The number that systemd gives to a passed socket stays free.
        moved = fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(write)
        descriptors, wrapper, network = [moved], [], ["--share-net"]
        if passed:
            descriptors.append(passed.fileno())
            wrapper = ["bash", "-c", f'exec 3<&{passed.fileno()} "$@"', "bash"]
            network = ["--setenv", "LISTEN_FDS", "1", "--setenv", "LISTEN_PID", "1"]
        self._monitor = subprocess.Popen(
            [*wrapper, "bwrap", "--unshare-all", "--as-pid-1", "--die-with-parent",
             "--uid", str(USER), "--gid", str(USER), "--ro-bind", self.root, "/", "--dev", "/dev",
             "--clearenv", *network, "--json-status-fd", str(moved), "/usr/sbin/mpecho",
             *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._stderr,
            pass_fds=descriptors, env=variables({}))
        os.close(moved)
        self._status = os.fdopen(read)
        self.pid = json.loads(self._status.readline())["child-pid"]

    def log(self):
        """The lines on standard error."""
        self._stderr.seek(0)
        return self._stderr.read().splitlines()

    def logged(self, pattern):
        """Waits for a line; returns the match."""
        return wait_for(lambda: next(filter(None, (re.search(pattern, line)
                                                   for line in self.log())), None), pattern)

    def wait(self):
        """The exit status of process 1."""
        return self._monitor.wait(DEADLINE)

    def close(self):
        if self._monitor.poll() is None:
            # The monitor ends when it has reaped it.
            os.kill(self.pid, signal.SIGKILL)
            self._monitor.wait()
        self._status.close()
        self._stderr.close()


@pytest.fixture(name="contain")
def fixture_contain(tmp_path):
    """Starts containers and ends them."""
    containers = []

    def begin(*arguments, **keywords):
        containers.append(Container(tmp_path, *arguments, **keywords))
        return containers[-1]

    yield begin
    for one in containers:
        one.close()


def test_contents(contain):
    """The container has mpecho and its libraries, and no other program."""
    container = contain("127.0.0.1:0")
    files = [str(path.relative_to(container.root)) for path in container.root.rglob("*")
             if path.is_file()]
    assert "usr/sbin/mpecho" in files
    for name in files:
        assert name == "usr/sbin/mpecho" or re.search(r"(^|/)(lib\w[\w.+-]*|ld-?\w[\w.-]*)\.so", name)
    container.logged("Echoing")


@pytest.mark.skipif(COUNTED, reason="libgcov finds no file to write, and says so")
def test_first_process(contain):
    """It echoes and logs on standard error as process 1, reaps orphans that are not its own, and
    SIGTERM stops it at once, with the connections."""
    container = contain("127.0.0.1:0")
    address = container.logged(r"Echoing \(RFC 862\) on (127\.0\.0\.1:\d+),")[1]
    assert processes.status(container.pid)["NSpid"].split()[-1] == "1"
    with clients.connect(address) as client:
        clients.ping(client)
        container.logged(re.escape(f"{clients.peer_text(client)} connected to {address}, process "))

        # Its parent in the namespace ends first.
        subprocess.run(["nsenter", "--target", str(container.pid), "--pid", "sh", "-c",
                        "sh -c 'kill -STOP $$' </dev/null >/dev/null 2>&1 &"], check=True)
        handlers = wait_for(lambda: len(processes.children(container.pid)) == 2
                            and processes.children(container.pid), "the orphan")
        orphan, = [pid for pid in handlers if processes.command_line(pid).startswith(b"sh")]
        os.kill(orphan, signal.SIGKILL)
        wait_for(lambda: len(processes.children(container.pid)) == 1, "the orphan reaped")
        clients.ping(client)

        os.kill(container.pid, signal.SIGTERM)
        assert container.wait() == 0
        assert clients.receive_all(client) == b""
    assert container.logged("disconnected from .*: 8 bytes").string.count("stopped") == 1
    assert " mpecho: Stopped " in container.log()[-1]
    assert all(" mpecho: " in line for line in container.log())


def backlog(listener):
    """How many connections may wait there, which each listen(2) sets."""
    port = listener.getsockname()[1]
    line = subprocess.run(["ss", "--no-header", "--listening", "--tcp", "--numeric",
                           f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return int(line.split()[2])


def test_passed_socket(contain):
    """A socket that was passed into a container without a network knows its clients' addresses. The
    service does not listen on it again, which SELinux refuses to containers."""
    with clients.listen() as listener:
        listener.listen(7)
        container = contain(passed=listener)
        with clients.connect((socket.AF_INET, listener.getsockname())) as client:
            clients.ping(client)
            container.logged(re.escape(f"{clients.peer_text(client)} connected to 127.0.0.1:"))
        assert backlog(listener) == 7
        container.logged("disconnected")


def test_containerfile():
    """packaging/Containerfile copies files that there are, and starts the program of the root as a
    user that is not root."""
    text = (ROOT / "packaging/Containerfile").read_text()
    build, image = text.split("\nFROM scratch\n")
    for source in re.findall(r"^COPY (\S+) /mpecho/", build, re.M):
        assert (ROOT / source).exists(), source
    assert "packaging/container-root build/mpecho /image" in build
    assert f"USER {USER}:{USER}\n" in image
    assert 'ENTRYPOINT ["/usr/sbin/mpecho"]' in image
