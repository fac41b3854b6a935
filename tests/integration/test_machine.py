# SPDX-License-Identifier: MIT
"""Limits of the machine: raised where possible, told where --max-connections is more."""

import os
import resource
import time
from pathlib import Path

import pytest

import clients


def test_soft_limits_are_raised(start):
    """A soft limit of open files below the hard one is no limit."""
    service = start("--max-connections=300", "--max-per-source=0",
                    wrapper=["prlimit", "--nofile=32:4096"])
    assert resource.prlimit(service.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    for _ in range(300):
        service.connect_served()


def assert_limited(service, limit, value, most):
    """One record, of warning, has both numbers; and clients are served nevertheless."""
    record, = service.journal.wait_for("limited")
    assert record["MPECHO_LIMIT"] == limit
    assert record["MPECHO_LIMIT_VALUE"] == str(value)
    assert record["MPECHO_MAX_CONNECTIONS"] == str(most)
    assert str(value) in record["MESSAGE"] and str(most) in record["MESSAGE"]
    service.connect_served()


def test_too_few_descriptors(start):
    """RLIMIT_NOFILE below --max-connections is told with both numbers."""
    service = start("--max-connections=100", expected=["limited"],
                    wrapper=["prlimit", "--nofile=64:64"])
    assert_limited(service, "RLIMIT_NOFILE", 64, 100)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_too_few_processes(start):
    """RLIMIT_NPROC below --max-connections is told with both numbers; but it holds not for root."""
    most = 20_000
    limit = ["prlimit", "--nproc=1000:1000"]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    service = start(f"--max-connections={most}", expected=["limited"], wrapper=[*limit, *user])
    assert_limited(service, "RLIMIT_NPROC", 1000, most)
    unlimited = start(f"--max-connections={most}", wrapper=limit)
    assert not unlimited.journal.records("limited")


@pytest.fixture
def group(tmp_path):
    """The service's control group, in a directory that stands in for /sys/fs/cgroup, and the start
    of a command line that makes it so."""
    path = next(line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().split("\n")
                if line.startswith("0::"))
    place = tmp_path / "cgroup" / path.strip("/")
    place.mkdir(parents=True)
    script = 'mount --bind "$0" /sys/fs/cgroup && exec "$@"'
    return place, ["sh", "-c", script, str(tmp_path / "cgroup")]


def test_too_few_tasks(start, group):
    """pids.max of the service's control group is told with both numbers."""
    place, mount = group
    (place / "pids.max").write_text("70\n")
    service = start("--max-connections=100", expected=["limited"], wrapper=mount)
    assert_limited(service, "pids.max", 70, 100)
    service = start("--max-connections=50", wrapper=mount)
    assert not service.journal.records("limited")


def use_memory(service, place, used):
    """Changes what the service's control group uses, in place as the kernel does, and waits until it
    looks again: it does so once in 10 ms. The turn that refused a client must have ended: it judges
    further ones by what it has seen."""
    service.totals()
    with (place / "memory.current").open("r+") as file:
        file.write(f"{used}\n")
    time.sleep(0.03)


@pytest.mark.parametrize("limits", [("1000", "max"), ("max", "1000"), ("1000", "2000")])
def test_too_much_memory(start, group, limits):
    """At three quarters of a limit on memory the service refuses clients, each with a record and
    without a handler, from whatever listener. Those that it has go on, and it accepts as soon as
    there is memory, or it is the cache of files that uses it."""
    place, mount = group
    for name, text in zip(("current", "high", "max"), ("0749", *limits)):
        (place / f"memory.{name}").write_text(f"{text}\n")
    (place / "memory.stat").write_text("anon 700\n")
    service = start("127.0.0.1:0", "proxy:127.0.0.1:0", wrapper=mount)
    stream = service.connect_served()
    use_memory(service, place, "0750")
    for address in service.listeners():
        peer = service.connect_refused(address=address.removeprefix("proxy:"))
        record, = service.journal.wait_for("refused", MPECHO_PEER=peer)
        assert record["MPECHO_LIMIT"] == "memory" and "memory" in record["MESSAGE"]
        assert record["MPECHO_LISTENER"] == address
    assert len(service.handlers()) == 1
    clients.ping(stream)
    use_memory(service, place, "0749")
    service.connect_served()
    use_memory(service, place, "0760")
    service.connect_refused()
    (place / "memory.stat").write_text("active_file 10\ninactive_file 1\n")
    use_memory(service, place, "0760")
    service.connect_served()
    clients.ping(stream)
    assert service.totals().number("MPECHO_REFUSED") == 3


def test_a_flood_beyond_memory(start, group):
    """The refusals of a flood are one record for a source, with the reason."""
    place, mount = group
    for name, text in (("current", "1000"), ("high", "1000")):
        (place / f"memory.{name}").write_text(f"{text}\n")
    service = start(wrapper=mount)
    service.flood(1300)
    record, = service.journal.wait_for("refusals")
    assert record["MPECHO_LIMIT"] == "memory" and "memory" in record["MESSAGE"]
    assert not service.handlers()


def test_enough_is_not_told(start):
    """Limits that suffice are not mentioned."""
    service = start("--max-connections=50", wrapper=["prlimit", "--nofile=100:100"])
    assert not service.journal.records("limited")
