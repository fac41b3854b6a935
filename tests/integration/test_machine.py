# SPDX-License-Identifier: MIT
"""Limits of the machine: raised where possible, told where --max-connections is more."""

import os
import resource
from pathlib import Path

import pytest


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


def test_too_few_tasks(start, tmp_path):
    """pids.max of the service's control group is told with both numbers.

    A directory stands in for /sys/fs/cgroup.
    """
    group = next(line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().split("\n")
                 if line.startswith("0::"))
    place = tmp_path / "cgroup" / group.strip("/")
    place.mkdir(parents=True)
    (place / "pids.max").write_text("70\n")
    mount = ["sh", "-c", 'mount --bind "$0" /sys/fs/cgroup && exec "$@"', str(tmp_path / "cgroup")]
    service = start("--max-connections=100", expected=["limited"], wrapper=mount)
    assert_limited(service, "pids.max", 70, 100)
    service = start("--max-connections=50", wrapper=mount)
    assert not service.journal.records("limited")


def test_enough_is_not_told(start):
    """Limits that suffice are not mentioned."""
    service = start("--max-connections=50", wrapper=["prlimit", "--nofile=100:100"])
    assert not service.journal.records("limited")
