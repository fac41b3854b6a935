# SPDX-License-Identifier: MIT
"""What /proc says about processes, and waiting for it to say something else."""

import contextlib
import ctypes
import math
import os
import select
import signal
import time
from pathlib import Path

DEADLINE = 120  # seconds, of a machine that has much else to do
SYS_PIDFD_GETFD = 438
PF_EXITING = 4  # of the flags in proc_pid_stat(5)
WAKEUPS = 3  # a second, at most, of a master at rest
BUSY = 0.02  # seconds of processor time a second, at most, of a master at rest


def wait_for(condition, what, seconds=DEADLINE):
    """Returns the first true result of condition(); fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def stat_fields(pid):
    """The fields of proc_pid_stat(5) from the third, the state, on; None without such a process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2:].split()


def state(pid):
    fields = stat_fields(pid)
    return fields[0] if fields else None


def has_ended(pid):
    """Whether a process has begun to exit: it closes its files a while before it is a zombie."""
    fields = stat_fields(pid)
    return not fields or fields[0] == "Z" or bool(int(fields[6]) & PF_EXITING)


def is_killed(pid):
    """Whether SIGKILL is on its way to a process."""
    try:
        return signal.SIGKILL in signal_set(status(pid)["SigPnd"])
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return False


def is_ending(pid):
    """Whether a process ends without help, however late it gets a processor: it has begun to exit,
    or was killed. One that runs may be between the two."""
    def found():
        return has_ended(pid) or is_killed(pid)
    wait_for(lambda: found() or state(pid) != "R", f"{pid} sleeps or ends")
    return found()


def threads_children(pid):
    """The children of all threads of a process, as the kernel lists them at this moment."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{pid}/task/{thread}/children") as file:
                    found += [int(child) for child in file.read().split()]
    return sorted(found)


def children(pid):
    """The processes whose parent is pid, zombies included."""
    # A list leaves one out when another is reaped meanwhile, see proc_pid_task(5).
    before, found = None, threads_children(pid)
    while found != before:
        before, found = found, threads_children(pid)
    return found


def has_keeper(pid):
    """Whether a master has a keeper of connections: its environment names a service manager, which
    has passed it sockets."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return b"LISTEN_PID=%d" % pid in variables and \
            any(one.startswith(b"NOTIFY_SOCKET=") for one in variables)
    return False


def oldest(pids):
    """The process that was started first, as proc_pid_stat(5) has it, of those that have not ended;
    None without one."""
    found = [(int(fields[19]), pid) for pid in pids
             if (fields := stat_fields(pid)) and fields[0] != "Z"]
    return min(found)[1] if found else None


def keeper(pid):
    """The keeper of a master, which starts it before all handlers. Nothing else is sure from its
    fork on: a handler may block all signals, too. None without a keeper."""
    return oldest(children(pid)) if has_keeper(pid) else None


def handlers(pid):
    """The children of a master but the keeper, zombies included."""
    kept = keeper(pid)
    return [child for child in children(pid) if child != kept]


def descriptors(pid):
    """The open files of a process: number -> what it links to."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def status(pid):
    """/proc/PID/status as a dict."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def private_memory(pid):
    """Kilobytes of memory that are no file's; what files are in core changes all the time."""
    lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Anonymous:", "Swap:")))


def signal_set(mask):
    """The signal numbers of a mask in /proc/PID/status."""
    bits = int(mask, 16)
    return {number for number in range(1, 65) if bits >> (number - 1) & 1}


def sleeps(pid):
    """How often a process has gone to sleep; infinitely often once it has ended."""
    try:
        return math.inf if has_ended(pid) else int(status(pid)["voluntary_ctxt_switches"])
    except (FileNotFoundError, ProcessLookupError):
        return math.inf


def wait_until_noticed(pids):
    """Waits until each process that looks at its clock by and by has gone to sleep, looked, and gone
    to sleep again, or has ended: it has seen all that this process did before."""
    before = {pid: sleeps(pid) for pid in pids}
    for pid, count in before.items():
        wait_for(lambda: sleeps(pid) >= count + 3, f"{pid} has looked")


def usage(pid):
    """How often a process has gone to sleep, and its processor time in seconds.

    The first misses a loop that never sleeps, the second one that wakes up often and does little.
    """
    nanoseconds = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return sleeps(pid), nanoseconds / 1e9


def assert_at_rest(pids, seconds=3):
    """Watches processes, name -> pid, all during the same seconds: each of them sleeps."""
    began = time.monotonic()
    before = {name: usage(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    restless = {}
    for name, pid in pids.items():
        wakeups, processor = (after - first for after, first in zip(usage(pid), before[name]))
        elapsed = time.monotonic() - began
        # Two periodic wake-ups can each have one more than their rate in this time.
        if wakeups > WAKEUPS * elapsed + 2 or processor > BUSY * elapsed:
            restless[name] = f"{wakeups} wake-ups, {processor:.3f} s busy in {elapsed:.3f} s"
    assert not restless, restless


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def duplicate(pid, descriptor):
    """A descriptor of this process's own for an open file of another one, pidfd_getfd(2)."""
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return copy


def reap_orphans(name):
    """Waits for the programs of this name that were left to this process as their reaper."""
    for pid in children(os.getpid()):
        if Path(f"/proc/{pid}/comm").read_text() == f"{name}\n":
            os.waitpid(pid, 0)


def wait_until_waiting(pids):
    """Waits until each of pids was seen to sleep in a system call, or has ended."""
    for pid in pids:
        wait_for(lambda: state(pid) in ("S", "Z", None), f"{pid} waits")


def wait_until_dead(pids, seconds=DEADLINE):
    """Waits until all of pids have ended; being a zombie is enough."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(1000 * max(0, deadline - time.monotonic())), f"{pid} did not end"
        finally:
            os.close(descriptor)
