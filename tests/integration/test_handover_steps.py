# SPDX-License-Identifier: MIT
"""A service that is stopped while it resumes connections, at each step, again and again."""

import itertools
import os
import signal

import pytest

import clients
import processes
from manager import fixture_door, send, unit  # noqa: F401
from service import SANITIZED
from stepping import Stepped

PEERS = 3
STRIDE = 3
CHECKED = 20  # steps after which all connections are looked at
FEWEST_STEPS = 100
RECEIVED = 1 << 16

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizers make calls of their own")


class Crowd:
    """Peers in conversation, and one that reads little of what it has sent."""

    def __init__(self, service):
        self.service = service
        self.talking = [service.connect_served() for _ in range(PEERS)]
        self.stuck = service.connect_served()
        self.written = clients.fill(self.stuck, service.handlers())
        self.received = 0
        service.terminate_with_unsent()

    def speak(self, message):
        for client in self.talking:
            client.sendall(message)

    def check(self, message):
        """All of them are served, by a handler each, and nothing is stored or recorded."""
        for client in self.talking:
            assert clients.receive(client, len(message)) == message
        part = clients.receive(self.stuck, RECEIVED)
        assert part == clients.RANDOM[self.received % len(clients.RANDOM):][:RECEIVED]
        self.received += RECEIVED
        assert len(self.service.handlers()) == PEERS + 1
        self.service.check_store()
        assert not self.service.journal.records("closed")

    def finish(self):
        """Every byte came, once."""
        self.stuck.shutdown(1)
        assert clients.drain(self.stuck, received=self.received) == self.written


def resume(service, door, enough):
    """Starts the service up to the first system call at which enough(steps) is true, where `steps`
    counts those since its master has blocked SIGTERM. None if it is ready before that."""
    with service.at_door(door):
        master = Stepped.running(service.pid)
    while signal.SIGTERM not in processes.signal_set(processes.status(service.pid)["SigBlk"]):
        master.next_call()
    steps = 0
    while not enough(steps):
        if len(service.manager.messages("READY")) == service.started:
            master.detach()
            return None
        master.next_call()
        steps += 1
    return master


def stop(service, master, until_handlers_have_ended=False):
    """Stops the service and its handlers; the master goes on at once, or later."""
    handlers = service.handlers()
    service.signal(signal.SIGTERM)
    send(handlers, signal.SIGTERM)
    if until_handlers_have_ended:
        processes.wait_until_dead(handlers)
    master.detach()
    assert service.process.wait(processes.DEADLINE) == 0
    service.manager.sync()


@pytest.mark.parametrize("first", range(STRIDE))
def test_stopped_at_each_step(unit, door, first):
    """Stopped at any system call of a resume, started, and stopped again a few calls later, and so
    on, the service loses no connection and no byte. Every third call, from the first three on."""
    service = unit()
    crowd = Crowd(service)
    for step in itertools.count(first, STRIDE):
        master = resume(service, door, lambda steps: steps == step)
        if master is None:
            break
        stop(service, master)
        if step % (CHECKED * STRIDE) == first:
            crowd.speak(b"hello")
            service.start()
            crowd.check(b"hello")
            service.terminate()
    assert step > FEWEST_STEPS
    crowd.speak(b"goodbye")
    crowd.check(b"goodbye")
    crowd.finish()


@pytest.mark.parametrize("forked", range(1, PEERS + 2))
def test_slow_forks(unit, door, forked):
    """When the forks of a resume take so long that the handlers forked so far, which are told to
    stop, give up on their master, no connection and no byte is lost."""
    service = unit()
    crowd = Crowd(service)
    crowd.speak(b"slow")
    master = resume(service, door, lambda _: len(service.handlers()) == forked)
    stop(service, master, until_handlers_have_ended=True)
    assert service.manager.connections() == PEERS + 1
    service.start()
    crowd.check(b"slow")
    crowd.finish()
