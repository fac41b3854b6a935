# SPDX-License-Identifier: MIT
"""What all integration tests share: starting services, and leaving nothing behind."""

import ctypes
import fcntl
import os
import resource
import signal
import sys

import pytest

pytest.register_assert_rewrite(
    "service", "clients", "processes", "journald", "network", "supervisors", "manager", "chatter",
    "visitors")

from moved_clock import clock, clock_library  # noqa: E402, F401
from network import Network  # noqa: E402
from processes import children, command_line, is_ending  # noqa: E402
from service import BUILD, Service  # noqa: E402
from supervisors import Supervisor  # noqa: E402

CACHE = BUILD / "pycache"
PR_SET_CHILD_SUBREAPER = 36
MOST_DESCRIPTORS = 8192
LONGEST_TEST = 1800


def pytest_configure():
    """Makes this process the parent of orphans, so that a test's last handler is found, and lets
    programs inherit no ^C, ^\\ and hang-up that a shell or nohup(1) has had this process ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """Keeps the compiled tests below build/: pytest takes most of its time to collect them for
    rewriting their assertions. One of its processes does that, the others wait for it. Programs
    that tests start do not look there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    before = sys.pycache_prefix, sys.dont_write_bytecode
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sys.pycache_prefix, sys.dont_write_bytecode = str(CACHE), False
        yield
        sys.pycache_prefix, sys.dont_write_bytecode = before


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.test_failed = outcome.get_result().failed


def end_children():
    """Kills and reaps all children, and those that become children by that; returns the killed."""
    killed = []
    while found := children(os.getpid()):
        for pid in found:
            if not is_ending(pid):
                killed.append(command_line(pid))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return killed


def give_up(number, frame):
    raise TimeoutError(f"a test takes longer than {LONGEST_TEST} s")


@pytest.fixture(autouse=True)
def in_time():
    """No test hangs."""
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST_TEST)
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def nothing_left(request):
    """No process and no descriptor of a test outlives it."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    left = end_children()
    if not getattr(request.node, "test_failed", True):
        assert not left, "processes left behind"
        after = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                 if os.path.lexists(f"/proc/self/fd/{name}")}
        assert set(after) <= before, after


@pytest.fixture
def start(request):
    """Starts services and, after the test, ends them and checks what they leave."""
    services = []

    def begin(*arguments, ready=True, **keywords):
        service = Service(*arguments, **keywords)
        services.append(service)
        if ready:
            service.wait_until_ready()
        return service

    yield begin
    try:
        if not getattr(request.node, "test_failed", True):
            for service in services:
                service.finish()
    finally:
        for service in services:
            service.close()


@pytest.fixture
def network():
    """Makes network namespaces; the arguments are addresses with their prefix lengths."""
    networks = []

    def make(*addresses):
        networks.append(Network(*addresses))
        return networks[-1]

    yield make
    for one in networks:
        one.close()


@pytest.fixture
def supervise(request):
    """Starts supervisors and, after the test, ends them and checks what they leave."""
    supervisors = []

    def begin(command):
        supervisors.append(Supervisor(command))
        return supervisors[-1]

    yield begin
    try:
        if not getattr(request.node, "test_failed", True):
            for supervisor in supervisors:
                supervisor.finish()
    finally:
        for supervisor in supervisors:
            supervisor.close()
