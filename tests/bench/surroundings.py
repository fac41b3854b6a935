# SPDX-License-Identifier: MIT
"""Where the measurements take place: two processors, a network and control groups of their own."""

import ctypes
import os
import pathlib
import platform
import resource
import subprocess
import sys

TESTS = pathlib.Path(__file__).parents[1]
sys.path += [str(TESTS / "integration"), str(TESTS / "system")]

import machine  # noqa: E402

CLONE_NEWNET = 0x40000000
PR_SET_CHILD_SUBREAPER = 36
# For ten thousand connections, at both ends.
DESCRIPTORS = 65536

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
CLIENT_CORE = CORES[min(1, len(CORES) - 1)]


def missing():
    """What keeps this machine from being measured on, as a sentence, or None."""
    if os.geteuid() != 0:
        return "a network and control groups of its own need root"
    group = machine.own_control_group()
    if group is None or not os.access(group, os.W_OK):
        return "there is no unified hierarchy of control groups to be written to"
    if len(CORES) < 2:
        return "server and client need a processor each, and there is only one"
    return None


def enter():
    """Moves this process, and what it will start, onto the clients' core and into an own network.

    In the network every port is free, and its settings are the kernel's own."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        raise OSError("cannot make a network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # What a server leaves behind becomes a child of this process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def description():
    """The machine, as one line."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    distribution = platform.freedesktop_os_release()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return (f"{len(CORES)} cores of {models[0] if models else platform.machine()}, "
            f"{memory:.0f} GiB, {distribution['NAME']} {distribution.get('VERSION_ID', '')}, "
            f"Linux {platform.release()}")
