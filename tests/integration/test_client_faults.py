# SPDX-License-Identifier: MIT
"""mpecho-client with a kernel that interrupts its system calls, or refuses them."""

import os
import shutil
import signal
import subprocess
import threading

import pytest

import servers
from client import CLIENT, DEADLINE, command, descendants, patient
from test_client_datagrams import Peer, silent
from test_client_datagrams import echo as echo_datagrams

# Those that a signal can interrupt; some machines lack the older ones.
INTERRUPTIBLE = ("?poll,?ppoll,?epoll_wait,?epoll_pwait,?epoll_pwait2,wait4,?waitid,"
                 "recvfrom,recvmsg,sendto,sendmsg,clock_nanosleep")
FORK = "?clone,?clone3"
POLL = "?poll,?ppoll"
LOAD = ["-t0.1", "-P2"]
REQUESTS = command("requests", *LOAD)
CONNECTIONS = command("connections", *LOAD)
STREAMS = command("streams", *LOAD)
CHECK = command("check", size="1M")
PING = command("ping", "-i0.01", count=3)
FLOWS = command("ping", "-i0.02", "--flows=2", count=3)
DATAGRAMS = [*PING, "--udp", "-W0"]
FLOWS_OF_DATAGRAMS = [*FLOWS, "--udp", "-W0"]
LOAD_OF_DATAGRAMS = ["--load", "--udp", *LOAD, f"-W{DEADLINE}"]
CHECK_OF_DATAGRAMS = ["--check", "--udp", "-s64K", "-l1000", "-W0"]
MTU = ["--mtu", f"-W{DEADLINE}"]
NAMED = ["-4", "localhost"]


def tampering(words, injection):
    """The command line of the client, with strace(1)'s `injection` in all of its processes."""
    calls = injection.partition(":")[0]
    # The sanitizer cannot look for leaks in a process that is traced.
    return ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-q", "-o/dev/null",
            f"-etrace={calls}", f"-einject={injection}", CLIENT, *patient(*words)]


def tampered(words, injection, behave=echo_datagrams):
    """Runs the client with an echo and `injection`. The host follows the words where they do not end
    with it."""
    datagrams = "--udp" in words or "--mtu" in words
    with Peer(behave) if datagrams else servers.tcp(servers.echo) as server:
        host, port = server.address
        address = [port] if words[-1:] == ["localhost"] else [host, port]
        result = subprocess.run(tampering([*words, *address], injection), input=b"hello",
                                capture_output=True, timeout=DEADLINE, check=False)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("words", [
    [], CHECK, PING, [*PING, "--connect"], FLOWS, REQUESTS, [*REQUESTS, "-R100"], CONNECTIONS,
    STREAMS, [*STREAMS, "-b1M"], DATAGRAMS, FLOWS_OF_DATAGRAMS, CHECK_OF_DATAGRAMS,
    LOAD_OF_DATAGRAMS, [*LOAD_OF_DATAGRAMS, "-R100"], MTU, NAMED], ids=" ".join)
def test_interrupted_calls(words, first):
    """A system call that a signal interrupts is made again, in every mode: the run succeeds."""
    result = tampered(words, f"{INTERRUPTIBLE}:error=EINTR:when={first}..40+2")
    assert result[0] == 0 and result[2] == "", result


@pytest.mark.parametrize("words, injection, message", [
    (REQUESTS, "pipe2:error=EMFILE:when=1", "Cannot start a worker: Too many open files"),
    (REQUESTS, "pipe2:error=EMFILE:when=2", "Cannot start a worker: Too many open files"),
    (REQUESTS, "pipe2:error=EMFILE:when=3", "Cannot start a worker: Too many open files"),
    (REQUESTS, f"{FORK}:error=EAGAIN:when={min(2, len(os.sched_getaffinity(0)))}",
     "Cannot start a worker: Resource temporarily unavailable"),
    (REQUESTS, "epoll_create1:error=EMFILE", "Cannot run a worker: Too many open files"),
    (REQUESTS, "epoll_pwait2:error=ENOMEM", "Cannot run a worker: Cannot allocate memory"),
    # Long enough for a second connection of a worker, however slow.
    (command("connections", "-t3", "-P2"), "socket:error=EMFILE:when=2+", " open files"),
    (CONNECTIONS, "epoll_create1:error=EMFILE", "Cannot run a worker: Too many open files"),
    (STREAMS, "epoll_create1:error=EMFILE", "Cannot run a worker: Too many open files"),
    (STREAMS, "sendmsg:error=ECONNRESET:when=2", "reset: "),
    (STREAMS, "recvfrom:error=ECONNRESET:when=2", "reset: "),
    (LOAD_OF_DATAGRAMS, "epoll_create1:error=EMFILE", "Cannot run a worker: Too many open files"),
    (LOAD_OF_DATAGRAMS, "epoll_ctl:error=ENOSPC", "Cannot run a worker: No space left on device"),
    (LOAD_OF_DATAGRAMS, "epoll_pwait2:error=ENOMEM",
     "Cannot run a worker: Cannot allocate memory"),
    ([], f"{FORK}:error=EAGAIN",
     "Cannot start the sending process: Resource temporarily unavailable"),
    ([], "recvfrom:error=ECONNRESET:when=2", "broke: Connection reset by peer"),
    ([], "sendto:error=ECONNRESET", "broke: Connection reset by peer"),
    # Behind that of connecting. There may be no third: the echo and its end can be there before.
    ([], f"{POLL}:error=ENOMEM:when=2+", "broke: Cannot allocate memory"),
    (CHECK, "pipe2:error=EMFILE", "Cannot start the sending process: Too many open files"),
    (CHECK, "sendto:error=ECONNRESET:when=2", "broke: Connection reset by peer"),
    (CHECK, "sendto:error=EPIPE:when=2", "the connection was closed early"),
    (PING, "fcntl:error=EIO:when=4", ": Input/output error"),
    (PING, f"{POLL}:error=ENOMEM", ": Cannot allocate memory"),
    (NAMED, "pipe2:error=EMFILE", "cannot look up the name: Too many open files"),
    (NAMED, f"{FORK}:error=EAGAIN",
     "cannot look up the name: Resource temporarily unavailable"),
    (NAMED, f"{POLL}:error=ENOMEM", "cannot look up the name: Cannot allocate memory"),
    (FLOWS, "bind:error=EADDRINUSE", ": Address already in use"),
    (FLOWS, "socket:error=EMFILE:when=4+", " local)"),
    (FLOWS, f"{POLL}:error=ENOMEM", " interrupted)"),
    (DATAGRAMS, "socket:error=EMFILE", ": Too many open files"),
    (DATAGRAMS, "setsockopt:error=EPERM:when=5",
     "mpecho-client: Cannot prepare the socket: Operation not permitted\n"),
    (MTU, "setsockopt:error=EPERM:when=5",
     "Cannot prepare the socket: Operation not permitted"),
    (FLOWS_OF_DATAGRAMS, "setsockopt:error=EPERM:when=5", ": Operation not permitted"),
    (FLOWS_OF_DATAGRAMS, "socket:error=EMFILE:when=3", ": Too many open files"),
    (MTU, "socket:error=EMFILE", ": Too many open files"),
], ids=str)
def test_failed_calls(words, injection, message):
    """A run that lacks something of the kernel fails, and says what it lacks."""
    status, output, errors = tampered(words, injection)
    assert status == 1 and message in output + errors, (status, output, errors)


@pytest.mark.parametrize("call", ["sendto", "recvfrom"])
def test_reset_after_an_answer(call):
    """A load fails if the kernel reports a reset to a worker that has answers already. The run goes
    on: the service answers over new connections."""
    answers = threading.Semaphore(0)

    def echo(connection):
        while data := connection.recv(1 << 18):
            connection.sendall(data)
            answers.release()

    with servers.tcp(echo) as server, subprocess.Popen(
            tampering(command("requests", f"-t{DEADLINE}", "-P2", *server.address),
                      f"{call}:error=ECONNRESET:when=2"), stdout=subprocess.PIPE) as process:
        # However they share these, one of the two workers has got more than its second call.
        assert all(answers.acquire(timeout=DEADLINE) for _ in range(10))
        os.kill(descendants(process.pid)[0], signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1 and b"\nreset: " in output, output


@pytest.mark.parametrize("words, message", [
    (MTU, "Cannot wait for answers: Cannot allocate memory"),
    (DATAGRAMS, "1 sent, 0 answered, 0 lost, 1 open")], ids=str)
def test_failed_wait(words, message):
    """A run that cannot wait for answers ends, without a loss."""
    status, output, _ = tampered(words, f"{POLL}:error=ENOMEM:when=2+", silent)
    assert status == 1 and message in output, output


@pytest.mark.parametrize("words, message", [
    (NAMED, "cannot look up the name: No child processes"),
    ([], " closed the connection before the end of the input: 0 bytes sent"),
    (CHECK, "the connection was closed early: 0 bytes sent"),
    (REQUESTS, "0 bytes sent"), (STREAMS, "0 bytes sent")], ids=str)
def test_orphans(words, message):
    """A process whose parent has ended before the kernel would tell it sends nothing."""
    status, output, errors = tampered(words, "getppid:retval=1")
    assert status == 1 and message in output + errors, (status, output, errors)


@pytest.mark.skipif(not shutil.which("gnuplot"), reason="gnuplot is not installed")
@pytest.mark.parametrize("injection, message", [
    ("pipe2:error=EMFILE", "Cannot start gnuplot: Too many open files"),
    (f"{FORK}:error=EAGAIN", "Cannot start gnuplot: Resource temporarily unavailable"),
    ("pidfd_open:error=EMFILE", None),
    ("wait4:error=EINTR:when=1", None),
    ("wait4:error=ECHILD:when=1", None),
])
def test_plot(tmp_path, injection, message):
    """A plot that cannot be drawn fails the run, which only a handle of gnuplot's does without."""
    status, output, errors = tampered([*PING, f"--plot={tmp_path}/plot.svg"], injection)
    assert "3 answered" in output and status == (1 if message else 0)
    assert errors == (f"mpecho-client: {message}\n" if message else "")
    assert message or (tmp_path / "plot.svg").stat().st_size > 0


@pytest.mark.parametrize("words, injection", [
    (REQUESTS, "sched_getaffinity:error=ENOSYS"),
    (REQUESTS, "prlimit64:error=EPERM"),
    (REQUESTS, "wait4:error=ECHILD:when=1"),
    (STREAMS, "wait4:error=ECHILD:when=1"),
    (CHECK, "wait4:error=ECHILD:when=1"),
    (NAMED, "wait4:error=ECHILD:when=1"),
    (REQUESTS, f"{POLL}:error=ENOMEM:when=4"),
    (PING, "eventfd2:error=EMFILE:when=2"),
    (PING, "getrandom:error=ENOSYS"),
    (DATAGRAMS, "sendto,sendmsg:error=ENOBUFS:when=2"),
    (DATAGRAMS, "sendto,sendmsg:error=EPERM:when=1"),
    (FLOWS_OF_DATAGRAMS, "sendto,sendmsg:error=EAGAIN:when=1"),
    (LOAD_OF_DATAGRAMS, "sendto,sendmsg:error=EAGAIN:when=1"),
    ([*LOAD_OF_DATAGRAMS, "-R100"], "sendto,sendmsg:error=EAGAIN:when=1"),
    (MTU, "sendto,sendmsg:error=EAGAIN:when=1"),
], ids=str)
def test_calls_that_a_run_can_do_without(words, injection):
    """What only a moment lacks, or nobody needs for the answers, fails no run."""
    result = tampered(words, injection)
    assert result[0] == 0 and result[2] == "", result
