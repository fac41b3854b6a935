#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What test_journald.py runs on a machine: something is the matter with journald, under load.

Clients come one after the other all the time. After each fault the records that were written, one
by one or summed up, and those that mpecho says were lost are exactly what the clients did."""

import json
import os
import re
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, "/usr/src/mpecho/debian/tests")

from support import (ACCEPTED, CLOSED, SUMMARY, at_rest, exchange, handlers, run, show,  # noqa: E402
                     wait_until)

LOST = "e3d672cad4084334b7b6c14f208eea73"
SOCKET = "/run/systemd/journal/socket"
HELLO = b"hello"
WARNING = 4

FIELDS = ("MESSAGE", "MESSAGE_ID", "PRIORITY", "MPECHO_ACCEPTED", "MPECHO_BYTES", "MPECHO_CLOSED",
          "MPECHO_LOST")

# For so long there are clients while something is the matter.
SECONDS = 2
# Reading a journal of so many records takes a while.
TOLD_SECONDS = 300


class Visitors:
    """Clients that come one after the other, in a context; each of them has to be served."""

    served = 0

    def __enter__(self):
        self._failures = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        try:
            while not self._over.is_set():
                exchange(data=HELLO)
                Visitors.served += 1
        except Exception as error:
            self._failures.append(error)

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        assert not self._failures, self._failures


def wait_for_more():
    """Wait until another client was served, after some time."""
    time.sleep(SECONDS)
    before = Visitors.served
    wait_until(lambda: Visitors.served > before, "clients are served")


def journald():
    return int(show("systemd-journald.service", "MainPID"))


def records():
    """What tally() needs of each record of mpecho."""
    run("journalctl", "--sync")
    lines = run("journalctl", "--quiet", "--output=json", "--output-fields=" + ",".join(FIELDS),
                "SYSLOG_IDENTIFIER=mpecho")
    return map(json.loads, lines.splitlines())


def lost():
    """How many records were lost, as the metrics say while the journal cannot."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/run/mpecho/metrics")
        client.shutdown(socket.SHUT_WR)
        return int(re.search(r"^mpecho_records_lost_total (\d+)$", client.makefile().read(), re.M)[1])


def tally():
    """What the journal has: how many were accepted and closed, bytes, and how many were lost."""
    found = {"accepted": 0, "closed": 0, "bytes": 0, "lost": 0}
    for record in records():
        kind = record["MESSAGE_ID"]
        assert kind == LOST or int(record["PRIORITY"]) > WARNING, record["MESSAGE"]
        found["accepted"] += kind == ACCEPTED
        found["closed"] += kind == CLOSED
        if kind in (CLOSED, SUMMARY, LOST):
            found["bytes"] += int(record["MPECHO_BYTES"])
        if kind in (SUMMARY, LOST):
            found["accepted"] += int(record["MPECHO_ACCEPTED"])
            found["closed"] += int(record["MPECHO_CLOSED"])
        if kind == LOST:
            found["lost"] += int(record["MPECHO_LOST"])
            assert int(record["MPECHO_LOST"]) == (
                int(record["MPECHO_ACCEPTED"]) + int(record["MPECHO_CLOSED"])), record["MESSAGE"]
    return found


def is_told(found):
    return (found["accepted"], found["closed"], found["bytes"]) == (
        Visitors.served, Visitors.served, Visitors.served * len(HELLO))


def files():
    """The descriptors of the master, of which it has one more while it sends its status."""
    return at_rest(MASTER, lambda: os.listdir(f"/proc/{MASTER}/fd"))


def check_told(fault):
    """All is told and the service is as it was. Returns how many records were lost so far."""
    deadline = time.monotonic() + TOLD_SECONDS
    while not is_told(found := tally()):
        assert time.monotonic() < deadline, f"{fault}: {Visitors.served} were served: {found}"
    # Handlers of the metrics may still go.
    wait_until(lambda: not handlers(MASTER), f"{fault}: there is nobody but the master and the keeper")
    assert files() == FILES
    assert show("mpecho.service", "MainPID") == MASTER
    print(f"{fault}: {Visitors.served} served, {found['lost']} records lost so far", flush=True)
    return found["lost"]


def stop():
    """The service does not wait: clients are served until all queues are full and records are lost, and
    after that; what is lost is told."""
    with Visitors():
        os.kill(journald(), signal.SIGSTOP)
        wait_until(lost, "records are lost")
        wait_for_more()
        os.kill(journald(), signal.SIGCONT)
        wait_for_more()
    assert check_told("stopped") > 0


def kill():
    """Stopped before, while it has nothing to do: what it has taken and not written is its own."""
    before = journald()
    os.kill(before, signal.SIGSTOP)
    with Visitors():
        wait_for_more()
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: journald() not in (0, before), "there is a new journald")
        wait_for_more()
    check_told("killed")


def restart():
    with Visitors():
        for _ in range(3):
            run("systemctl", "restart", "systemd-journald")
            wait_for_more()
    check_told("restarted")


def remove_socket():
    with Visitors():
        os.unlink(SOCKET)
        wait_for_more()
        run("systemctl", "stop", "systemd-journald.socket", "systemd-journald.service")
        run("systemctl", "start", "systemd-journald.socket", "systemd-journald.service")
        wait_for_more()
    check_told("without its socket")


# How much journald takes of a service is not what this is about.
os.makedirs("/etc/systemd/journald.conf.d", exist_ok=True)
with open("/etc/systemd/journald.conf.d/all.conf", "w", encoding="ascii") as settings:
    settings.write("[Journal]\nRateLimitIntervalSec=0\nRuntimeMaxUse=1G\nSystemMaxUse=1G\n")
run("systemctl", "restart", "systemd-journald")
run("systemctl", "start", "mpecho.socket", "mpecho-metrics.socket")
with Visitors():
    wait_for_more()
MASTER = show("mpecho.service", "MainPID")
# The master has closed the last connection, whose handler was faster, when it has told its end.
wait_until(lambda: is_told(tally()), "all is told")
FILES = files()
check_told("at the beginning")
stop()
kill()
restart()
remove_socket()
