# SPDX-License-Identifier: MIT
"""Clients that keep connections busy while the service is restarted."""

import random
import select
import threading
import time

import pytest

import processes


class Chatter:
    """Clients that send a message, wait for all of it, check it, send the next one, and so on.

    A thread does it, between start and stop. `bytes` says how much came back to each client."""

    def __init__(self, connected, longest=4096):
        self.bytes = dict.fromkeys(connected, 0)
        self.turns = dict.fromkeys(connected, 0)
        self.failures = []
        self._longest = longest
        self._random = random.Random(862)
        self._awaited = {}
        self._stopping = threading.Event()
        self._poll = select.epoll()
        self._clients = {client.fileno(): client for client in connected}
        for client in connected:
            self._poll.register(client, select.EPOLLIN)
            self._send(client)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _send(self, client):
        message = self._random.randbytes(self._random.randint(1, self._longest))
        self._awaited[client] = message
        client.sendall(message)

    def _run(self):
        while self._awaited and not self.failures:
            for number, _ in self._poll.poll(0.05):
                try:
                    self._receive(self._clients[number])
                except OSError as error:
                    self.failures.append(error)
            if self._stopping.is_set() and time.monotonic() > self._deadline:
                self.failures.append(f"{len(self._awaited)} echoes are missing")

    def _receive(self, client):
        part, awaited = client.recv(1 << 16), self._awaited[client]
        if not part or not awaited.startswith(part):
            self.failures.append(f"{len(part)} wrong bytes where {len(awaited)} are missing")
            return
        self.bytes[client] += len(part)
        self._awaited[client] = awaited[len(part):]
        if len(part) == len(awaited):
            self.turns[client] += 1
            if self._stopping.is_set():
                del self._awaited[client]
            else:
                self._send(client)

    def go_on(self):
        """Waits until each client has had an answer to something that it sent after now."""
        before = dict(self.turns)
        processes.wait_for(
            lambda: self.failures or all(self.turns[one] > before[one] + 1 for one in before),
            "every connection going on")
        assert not self.failures

    def stop(self):
        """Ends with every message answered."""
        self._deadline = time.monotonic() + processes.DEADLINE
        self._stopping.set()
        self._thread.join()
        self._poll.close()
        assert not self.failures


@pytest.fixture
def chat():
    """Makes chatters; a test that fails leaves none behind."""
    chatters = []

    def begin(connected, **keywords):
        chatters.append(Chatter(connected, **keywords))
        return chatters[-1]

    yield begin
    for chatter in chatters:
        chatter.failures.append("the test has ended")
        chatter._thread.join()
