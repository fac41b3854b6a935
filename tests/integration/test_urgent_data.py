# SPDX-License-Identifier: MIT
"""Urgent data (RFC 6093) is a part of the stream: it comes back in its place, no more urgent."""

import os
import select
import signal
import socket
import threading

import pytest

import clients
import processes
from processes import wait_for

LISTENERS = {"ipv4": "127.0.0.1:0", "ipv6": "[::1]:0",
             "unix": f"@mpecho-test-urgent-{os.getpid()}"}


def stop(service):
    service.signal(signal.SIGSTOP)
    wait_for(lambda: processes.state(service.pid) == "T", "the master stopped")


def send_urgently(client, data, longest=3000):
    """Sends data in pieces of many lengths; the last byte of every other one is urgent."""
    view, sent, turn = memoryview(data), 0, 0
    while sent < len(data):
        turn += 1
        piece = view[sent:sent + 1 + turn * 997 % longest]
        sent += client.send(piece, socket.MSG_OOB if turn % 2 else 0)
    client.shutdown(socket.SHUT_WR)


def is_urgent(client):
    """Whether urgent data has come in at a client."""
    poll = select.poll()
    poll.register(client, select.POLLPRI)
    return any(events & select.POLLPRI for _, events in poll.poll(0))


@pytest.mark.parametrize("listener", LISTENERS.values(), ids=LISTENERS)
def test_urgent_bytes_that_come_before_the_handler(start, listener):
    """What is sent urgently before the connection is even accepted comes back whole.

    In the kernel a second urgent byte deletes a first one that nobody wants in the stream yet."""
    service = start(listener)
    stop(service)
    client = service.connect()
    for byte in b"abc":
        client.send(bytes([byte]), socket.MSG_OOB)
    client.send(b"def")
    client.send(b"ghi", socket.MSG_OOB)
    service.signal(signal.SIGCONT)
    client.shutdown(socket.SHUT_WR)
    assert clients.receive_all(client) == b"abcdefghi"
    closed, = service.journal.wait_for("closed")
    assert closed.number("MPECHO_BYTES") == 9
    assert closed["MPECHO_REASON"] == "closed by peer"


@pytest.mark.parametrize("listener", LISTENERS.values(), ids=LISTENERS)
def test_urgent_bytes_in_mid_stream(start, listener):
    """A thousand urgent bytes in a long stream come back in their places; none of them urgently."""
    service = start(listener)
    client, other = service.connect_served(), service.connect_served()
    data = clients.pattern("random", 3_000_017)
    sender = threading.Thread(target=send_urgently, args=(client, data))
    sender.start()
    try:
        received = clients.receive_all(client)
    finally:
        sender.join()
    assert received == data
    assert not is_urgent(client)
    clients.ping(other)
    closed, = service.journal.wait_for("closed")
    assert closed.number("MPECHO_BYTES") == len(b"ping") + len(data)


def test_urgent_bytes_to_a_handler_that_cannot_write(start):
    """Urgency does not get past an echo that the peer does not read, nor does it change a byte."""
    service = start()
    client = service.connect_served()
    written = clients.fill(client, service.handlers(), flags=socket.MSG_OOB)
    assert written > 100_000
    client.shutdown(socket.SHUT_WR)
    assert clients.drain(client) == written
    closed, = service.journal.wait_for("closed")
    assert closed["MPECHO_REASON"] == "closed by peer"
