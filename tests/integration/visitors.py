# SPDX-License-Identifier: MIT
"""Clients that come and go while something goes wrong, and what the service must be like after."""

import contextlib
import random
import socket
import threading

import pytest

import clients
import processes
from service import SANITIZED
from tracing import Tampering

PAGES = 16  # KiB

# More than a peer takes that reads nothing, and less than the kernel takes for it.
UNREAD = clients.RANDOM[:30_000]


class Visitors:
    """Clients that come one after the other, send a message, check what comes back, and leave.

    A thread does it, between start and stop. `served` of them had their echo, of `echoed` bytes in
    all; `refused` were reset instead."""

    def __init__(self, address):
        self.served = self.refused = self.echoed = 0
        self.failures = []
        self._address = address
        self._random = random.Random(862)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set() and not self.failures:
            try:
                self._visit()
            except (OSError, AssertionError) as error:
                self.failures.append(error)

    def _visit(self):
        message = self._random.randbytes(self._random.randint(1, 4096))
        try:
            with clients.connect(self._address) as client:
                clients.ping(client, message)
        except (ConnectionResetError, BrokenPipeError):
            self.refused += 1
        else:
            self.served += 1
            self.echoed += len(message)

    def go_on(self, count=20):
        """Waits until so many more have been served, all of whom came after now but the first."""
        enough = self.served + count + 1
        processes.wait_for(lambda: self.failures or self.served >= enough, "visitors being served")
        assert not self.failures

    def stop(self):
        """Ends with the last one's visit."""
        self._stopping.set()
        self._thread.join()
        assert not self.failures


@pytest.fixture
def visit():
    """Makes visitors of an address; a test that fails leaves none behind."""
    visitors = []

    def begin(address):
        visitors.append(Visitors(address))
        return visitors[-1]

    yield begin
    for one in visitors:
        one._stopping.set()
        one._thread.join()


class Footprint:
    """What the master of a service holds: the files that it had open when it was ready, and memory
    that is its own.

    To be taken when all that happens has happened once, so that all code has been run."""

    def __init__(self, service):
        self._service = service
        self._files = service.descriptors
        self._memory = processes.private_memory(service.pid)

    def check(self):
        """No file has been opened or closed for good, and no memory added."""
        processes.wait_for(lambda: processes.descriptors(self._service.pid) == self._files,
                           f"the same open files: {self._files}")
        # The sanitizer keeps books of memory of its own. Pages that are written for the first time
        # are no leak: what leaks, leaks with each visitor.
        assert SANITIZED or processes.private_memory(self._service.pid) <= self._memory + PAGES


@contextlib.contextmanager
def peer_that_ends_unread(service, address, tmp_path):
    """A peer that has ended its stream and has not read its echo, all of which the kernel has taken.
    The handler waits for it."""
    client, address = clients.prepare(address)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with client:
        client.connect(address)
        clients.ping(client)
        handler, = service.handlers()
        with Tampering(handler, "ppoll", log=tmp_path / "trace") as trace:
            client.sendall(UNREAD)
            client.shutdown(socket.SHUT_WR)
            processes.wait_for(lambda: trace.count("ppoll") >= 5, "the handler waits")
        yield client
