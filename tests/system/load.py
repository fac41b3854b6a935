#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""load.py PINGS STREAMS STUCK ARRIVALS: conversations with the echo service of this machine that
look at every byte and go on through whatever happens to the service.

PINGS connections send a message, and the next one a moment after all of it came back. STREAMS send
a block every so often, whatever has come back. STUCK send as much as they can and read nothing
until the end. ARRIVALS connections a second are new ones, with one message each; fewer where the
machine does not keep up with them, so that all find room in the listener's backlog.

Writes the line "ready" when all but the last have been served. Answers each line of its input when
everybody who reads has got back something that was sent after that. At the end of its input has
everything come back, ends all connections and writes what it saw as a JSON object: what went wrong
is there.
"""

import errno
import heapq
import itertools
import json
import os
import random
import resource
import select
import socket
import sys
import time

PORT = 7
MESSAGE = 64
BLOCK = 1 << 18
# Between a message that came back and the next one, and between two blocks of a stream.
PAUSE = 0.5
# For so long nothing more could be sent: all buffers are full.
QUIET = 1
# For so long nothing came back that is waited for: nothing will.
DEADLINE = 240
# Arrivals that are not over: fewer than the 4096 for which Backlog= of mpecho.socket has room. The
# kernel ends others that find no room for a minute: ETIMEDOUT, ECONNRESET.
COMING = 1000
# Prime: what is dropped or duplicated shifts the rest.
PERIOD = 65521


class Conversation:
    """One connection. It sends an endless pattern of its own, by bytes from 0 to `goal`."""

    reads = True

    def __init__(self, load, name, number, source):
        self.load = load
        self.name = f"{name} {number}"
        self.sent = self.received = self.goal = 0
        self.asked = sys.maxsize
        self.finishing = self.half_closed = False
        self.offset = load.random.randrange(PERIOD)
        self.connection = socket.socket()
        self.connection.setblocking(False)
        # Sources of their own: none comes near the limit for one.
        self.connection.bind((source, 0))
        self.waits_to_write = True
        load.conversations[self.connection.fileno()] = self
        load.poll.register(self.connection, self.wanted())
        self.connection.connect_ex(("127.0.0.1", PORT))

    def wanted(self):
        return select.EPOLLIN * self.reads | select.EPOLLOUT * self.waits_to_write

    def pattern(self, position, size):
        start = (self.offset + position) % PERIOD
        return self.load.pattern[start:start + size]

    def send(self, size):
        """Send `size` bytes more, as soon as they go."""
        self.goal += size
        if not self.waits_to_write:
            self.write()

    def write(self):
        waits = False
        try:
            while self.sent < self.goal:
                size = min(self.goal - self.sent, BLOCK)
                self.sent += self.connection.send(self.pattern(self.sent, size))
        except BlockingIOError:
            waits = True
        if waits != self.waits_to_write:
            self.waits_to_write = waits
            self.load.poll.modify(self.connection, self.wanted())
        if not waits:
            self.wrote_all()

    def wrote_all(self):
        if self.finishing and not self.half_closed:
            self.half_closed = True
            self.connection.shutdown(socket.SHUT_WR)

    def read(self):
        data = self.connection.recv(BLOCK)
        if not data:
            complete = self.half_closed and self.received == self.sent
            self.end(None if complete else f"ended after {self.received} of {self.sent} bytes")
        elif data != self.pattern(self.received, len(data)):
            self.load.wrong += 1
            self.end(f"{len(data)} bytes after {self.received} of {self.sent} are not those sent")
        else:
            self.received += len(data)
            self.load.progress = self.load.now
            if self.received > self.asked:
                self.going_on()
            if self.received == self.goal:
                self.answered()

    def answered(self):
        """All that was to be sent is back."""

    def ask(self):
        """Have the load know when something comes back that is sent after now."""
        self.asked = self.sent
        self.load.asked += 1

    def going_on(self):
        self.asked = sys.maxsize
        self.load.asked -= 1

    def finish(self):
        """Send nothing more but the end, and read."""
        self.finishing = self.reads = True
        self.waits_to_write = False
        self.goal = self.sent
        self.load.poll.modify(self.connection, self.wanted())
        self.wrote_all()

    def turn(self, events):
        try:
            if events & select.EPOLLOUT:
                self.write()
            if events & ~select.EPOLLOUT and self.connection.fileno() >= 0:
                self.read()
        except OSError as error:
            self.end(f"after {self.received} of {self.sent} bytes: {errno.errorcode[error.errno]}")

    def end(self, failure):
        if self.asked < sys.maxsize:
            self.going_on()
        if failure is not None:
            self.load.failures.append(f"{self.name}: {failure}")
            self.failed()
        self.load.sent += self.sent
        self.load.received += self.received
        del self.load.conversations[self.connection.fileno()]
        self.connection.close()

    def failed(self):
        self.load.lost += 1


class Ping(Conversation):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.begin()

    def begin(self):
        if not self.finishing and self.connection.fileno() >= 0:
            self.since = time.monotonic()
            self.send(MESSAGE)

    def answered(self):
        self.load.trip(time.monotonic() - self.since, first=self.received == MESSAGE)
        if self.finishing:
            self.wrote_all()
        else:
            self.load.after(PAUSE, self.begin)

    def finish(self):
        # What is under way comes back first.
        self.finishing = True
        if self.received == self.goal:
            self.wrote_all()

    def wrote_all(self):
        if self.received == self.goal:
            super().wrote_all()


class Stream(Conversation):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.served = False
        self.begin()

    def begin(self):
        if self.finishing or self.connection.fileno() < 0:
            return
        # As much as the sockets take, and no more kept back.
        if self.goal - self.sent < BLOCK:
            self.send(BLOCK)
        self.load.after(PAUSE, self.begin)

    def read(self):
        super().read()
        # A slow machine never has all back at once.
        if not self.served and self.received > 0:
            self.served = True
            self.load.unserved -= 1


class Stuck(Conversation):
    reads = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.goal = sys.maxsize
        self.before = 0
        self.load.after(QUIET, self.look)

    def ask(self):
        """It does not read."""

    def look(self):
        if self.sent > self.before or self.sent == 0:
            self.before = self.sent
            self.load.after(QUIET, self.look)
        else:
            self.load.unserved -= 1


class Arrival(Conversation):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.load.coming += 1
        self.since = time.monotonic()
        self.send(MESSAGE)

    def end(self, failure):
        self.load.coming -= 1
        super().end(failure)

    def answered(self):
        self.load.longest_arrival = max(self.load.longest_arrival, time.monotonic() - self.since)
        self.finishing = True
        self.wrote_all()

    def ask(self):
        """It ends by itself."""

    def finish(self):
        """It ends by itself."""

    def failed(self):
        self.load.failed += 1


class Load:
    def __init__(self, pings, streams, stuck, arrivals):
        self.poll = select.epoll()
        self.timers = []
        self.order = itertools.count()
        self.random = random.Random(862)
        self.pattern = self.random.randbytes(PERIOD) * (BLOCK // PERIOD + 2)
        self.conversations = {}
        self.failures = []
        self.sent = self.received = self.round_trips = self.arrived = self.coming = 0
        self.lost = self.wrong = self.failed = 0
        self.longest_stall = self.longest_arrival = 0.0
        self.finishing = False
        self.asked = 0
        self.asking = False
        self.arrivals = arrivals
        self.unserved = pings + streams + stuck
        self.kept = self.unserved
        self.now = self.progress = time.monotonic()
        for kind, number in (Ping, pings), (Stream, streams), (Stuck, stuck):
            for i in range(number):
                kind(self, kind.__name__.lower(), i, f"127.0.1.{i % 250 + 1}")

    def after(self, seconds, callback):
        heapq.heappush(self.timers, (self.now + seconds, next(self.order), callback))

    def trip(self, seconds, first):
        self.round_trips += 1
        if first:
            self.unserved -= 1
        else:
            self.longest_stall = max(self.longest_stall, seconds)

    def arrive(self):
        """The connections that are due, however late it is, as far as there is room for them."""
        due = int((self.now - self.ready) * self.arrivals)
        while self.arrived < due and self.coming < COMING and not self.finishing:
            Arrival(self, "arrival", self.arrived, f"127.0.2.{self.arrived % 250 + 1}")
            self.arrived += 1

    def turn(self):
        wait = 0.05 if self.arrivals == 0 else min(0.05, 1 / self.arrivals)
        if self.timers:
            wait = max(0, min(wait, self.timers[0][0] - time.monotonic()))
        for number, events in self.poll.poll(wait):
            if number == sys.stdin.fileno():
                self.listen()
            elif number in self.conversations:
                self.conversations[number].turn(events)
        self.now = time.monotonic()
        while self.timers and self.timers[0][0] <= self.now:
            heapq.heappop(self.timers)[2]()

    def listen(self):
        self.progress = time.monotonic()
        if os.read(sys.stdin.fileno(), 1024):
            self.asking = True
            for conversation in self.conversations.values():
                conversation.ask()
        else:
            self.poll.unregister(sys.stdin)
            self.finish()

    def answer(self):
        if self.asking and (self.asked == 0 or self.now > self.progress + DEADLINE):
            self.asking = False
            print("going on" if self.asked == 0 else f"{self.asked} do not go on", flush=True)

    def finish(self):
        self.finishing = True
        self.progress = time.monotonic()
        for conversation in list(self.conversations.values()):
            conversation.finish()

    def run(self):
        while self.unserved > 0 and not self.failures:
            self.turn()
        print("ready", flush=True)
        self.ready = self.now
        self.poll.register(sys.stdin, select.EPOLLIN)
        while not self.finishing:
            self.turn()
            self.arrive()
            self.answer()
        while self.conversations and self.now < self.progress + DEADLINE:
            self.turn()
        for conversation in list(self.conversations.values()):
            conversation.end(f"only {conversation.received} of {conversation.sent} bytes came back")

    def result(self):
        return {"connections": self.kept + self.arrived, "lost": self.lost, "wrong": self.wrong,
                "failed": self.failed, "sent": self.sent, "received": self.received,
                "round_trips": self.round_trips, "longest_stall": round(self.longest_stall, 3),
                "longest_arrival": round(self.longest_arrival, 3), "failures": self.failures[:10]}


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    load = Load(*map(int, sys.argv[1:]))
    load.run()
    print(json.dumps(load.result()), flush=True)


if __name__ == "__main__":
    main()
