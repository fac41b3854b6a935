# SPDX-License-Identifier: MIT
"""crowd.py HOST PORT COUNT PAUSE: COUNT clients of one source that all want to be connected.

One that is turned away tries again PAUSE seconds later, without an end. They come evenly spread. A
line on standard output says that the first of them is about to come.
"""

import collections
import select
import socket
import sys
import time

host, port, count, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
poll = select.epoll()
connected = {}
begin = time.monotonic()
due = collections.deque(begin + pause * index / count for index in range(count))
print("here", flush=True)
while True:
    wait = due[0] - time.monotonic() if due else 1
    for descriptor, _ in poll.poll(max(0, wait)):
        connected.pop(descriptor).close()
        due.append(time.monotonic() + pause)
    if due and due[0] <= time.monotonic():
        due.popleft()
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((host, port))
        connected[client.fileno()] = client
        poll.register(client, select.EPOLLIN | select.EPOLLRDHUP)
