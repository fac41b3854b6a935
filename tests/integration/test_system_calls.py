# SPDX-License-Identifier: MIT
"""All that a connection and a message cost in system calls; one more would be seen here."""

import re
from collections import defaultdict

import pytest

import clients
from service import COUNTED, SANITIZED
from tracing import Tampering

CONNECTIONS = 20
MESSAGES = 5

MASTER = [
    "accept4",
    "getsockopt",                              # what tells it from others in systemd's store
    "clone",
    "setitimer", "close", "setitimer",         # however long the handler would have it take
    "accept4",                                 # there is no other
    "read",                                    # the signal that tells of the handler's end
    "wait4",
    "wait4",                                   # there is no other
]
# When these come depends on how fast the others were: a record may wait for the next one, and under
# strace a close(2) can take so long that the timer interrupts it.
UNTIMED = ("ppoll", "sendto", "rt_sigreturn")
RECORDS = 2
WAITS = 4  # at most: for a client, its handler's end, and until each record is due

HANDLER = [
    "dup2",             # the connection goes where only handlers have one,
    "close_range",      # what is the master's goes,
    "dup",              # reading can be ended while writing goes on,
    "prlimit64",        # no fork(2) succeeds from here on,
    "prlimit64", "prlimit64",                  # and the masters keep room for messages
    "setsockopt", "setsockopt", "setsockopt",  # urgent data, the timeouts of read and of write
    "rt_sigprocmask",
    *MESSAGES * ["read", "sendto"],
    "read",
    "ioctl",            # the peer has every byte
    "exit_group",
]


def calls(lines):
    """The names of the system calls in order, by process."""
    names = defaultdict(list)
    for line in lines:
        pid, _, call = line.partition(" ")
        name = re.match(r"(\w+)\(", call.lstrip())
        if name:
            names[int(pid)].append(name[1])
    return names


@pytest.mark.skipif(SANITIZED, reason="the sanitizers have system calls of their own")
@pytest.mark.skipif(COUNTED, reason="libgcov writes files when a handler exits")
def test_system_calls(start, tmp_path):
    """A connection has the master and the handler make these system calls and no others, a message
    one read and one write."""
    service = start()
    # The first fork also settles what children inherit of the stack.
    with service.connect() as client:
        clients.ping(client)
    service.journal.wait_for("closed")
    with Tampering(service.pid, "all", log=tmp_path / "trace", follow=True) as trace:
        # One after the other, and one more, at which the last of the master's turns is over.
        for number in range(1, CONNECTIONS + 2):
            with service.connect() as client:
                for _ in range(MESSAGES):
                    clients.ping(client)
            service.journal.wait_for("closed", 1 + number)
            service.wait_until_idle()
    by_process = calls(trace.lines())
    master = by_process.pop(service.pid)
    # The tracing may begin in the ppoll that waits for the first.
    begin = master.index("accept4")
    end = [at for at, name in enumerate(master) if name == "accept4"][2 * CONNECTIONS]
    whole = master[begin:end]
    assert [name for name in whole if name not in UNTIMED] == CONNECTIONS * MASTER
    assert whole.count("sendto") == CONNECTIONS * RECORDS
    assert whole.count("ppoll") <= CONNECTIONS * WAITS
    assert len(by_process) == CONNECTIONS + 1
    for handler in by_process.values():
        assert handler == HANDLER
