# SPDX-License-Identifier: MIT
"""Live connections go on, byte for byte, whatever happens to the service, and the counts add up."""

import json
import os
import select
import subprocess
import time

import machine
import pytest
from administrator import Administrator
from conftest import SOURCE

PINGS, STREAMS, STUCK = 1000, 20, 3
ARRIVALS_PER_SECOND = 100
RESTARTS = 10
CRASHES = 5
# For more of them: MPECHO_IDLE_RESTARTS=1000 make check-system.
IDLE_RESTARTS = int(os.environ.get("MPECHO_IDLE_RESTARTS", "150"))
PARTS = 5
DEADLINE = 300  # seconds, of a machine that has much else to do
DROP_INS = "/run/systemd/system/mpecho.service.d"

ACCEPTED = "3fa46cf9f5d44603abb23f17bf2f4466"
CLOSED = "a61dff197d014d12a0909924aa7193f4"
STOPPED = "62163846d71d4d6793d5a2f47239413a"
SUMMARY = "4d4324fcc8c44bd49d1f09848fea9589"
# Those that are looked at: all are several times as much to read.
FIELDS = ("MESSAGE_ID", "MPECHO_ACCEPTED", "MPECHO_BYTES", "MPECHO_CLOSED", "MPECHO_LIVE",
          "MPECHO_REASON", "MPECHO_SERVED")


@pytest.fixture(scope="module", name="installed")
def fixture_installed(image, packages, previous, tmp_path_factory):
    """A machine on which the packages are installed: one for all tests of a release."""
    binds = {"/usr/src/packages": packages, "/usr/src/previous": previous,
             "/usr/src/mpecho/system": SOURCE / "tests/system"}
    with machine.Machine(image, binds, tmp_path_factory.mktemp("continuity") / "console") as host:
        service = Service(host)
        # How much journald takes and keeps is not what this is about.
        service.shell("mkdir -p /etc/systemd/journald.conf.d; printf '[Journal]\n"
                      "RateLimitIntervalSec=0\nRuntimeMaxUse=1G\nSystemMaxUse=1G\n' "
                      ">/etc/systemd/journald.conf.d/all.conf; systemctl restart systemd-journald")
        service.install("packages")
        service.shell("echo MPECHO_OPTIONS=--max-connections=4000 >/etc/default/mpecho")
        yield service


@pytest.fixture(name="service")
def fixture_service(installed):
    """The service, listening and not yet started, whose counts begin at nothing."""
    installed.begin()
    yield installed
    installed.end()


class Load:
    """Conversations, see load.py, from when all have been accepted and told."""

    def __init__(self, service, start, program, *numbers):
        self.service = service
        self.kept = sum(numbers[:3])
        self.process = start(program, *map(str, numbers), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, bufsize=1)

    def expect(self, line):
        readable, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        assert readable, f"waited {DEADLINE} seconds for: {line}"
        assert self.process.stdout.readline() == line + "\n"

    def go_on(self):
        """Wait until each connection has got back something that was sent after now."""
        self.process.stdin.write("?\n")
        self.expect("going on")

    def finish(self):
        """End it; what it saw."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        return json.loads(output)

    def __enter__(self):
        try:
            self.expect("ready")
            self.service.wait_for_count(ACCEPTED, "MPECHO_ACCEPTED", self.kept)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Service(Administrator):
    """The installed service."""

    def begin(self):
        """Have it listen, not yet started; its records are those from now on."""
        self.shell("systemctl start mpecho.socket")
        self.cursor = self.shell("journalctl --sync; journalctl --lines=0 --show-cursor | "
                                 "sed -n 's/^-- cursor: //p'").strip()

    def configure(self, *settings):
        """Settings of the unit's section Service, for this test."""
        self.shell(f"mkdir -p {DROP_INS}; echo [Service] >{DROP_INS}/test.conf")
        for setting in settings:
            self.shell(f"echo '{setting}' >>{DROP_INS}/test.conf")
        self.shell("systemctl daemon-reload")

    def end(self):
        self.shell("systemctl stop mpecho.socket mpecho.service; "
                   f"rm -rf {DROP_INS}; systemctl daemon-reload")

    def load(self, pings, streams, stuck, arrivals=0):
        return Load(self, self.host.start, "/usr/src/mpecho/system/load.py",
                    pings, streams, stuck, arrivals)

    def master(self):
        return self.show("mpecho.service", "MainPID")

    def kill(self, master):
        """Kill a master, and wait for the next one; its process ID. Until systemd has noticed,
        handlers of the killed one go on, and systemd still takes it for the master."""
        self.shell(f"kill -KILL {master}")
        return self.new_master(master)

    def new_master(self, old):
        """Wait for another master; its process ID."""
        deadline = time.monotonic() + DEADLINE
        while (new := self.master()) in ("0", old):
            assert time.monotonic() < deadline, f"waited {DEADLINE} seconds for a new master"
        return new

    def restart_often(self, times):
        """Restart it so often; how many descriptors are stored then."""
        self.shell(f"set -e; for i in $(seq {times}); do systemctl restart mpecho.service; done")
        return self.show("mpecho.service", "NFileDescriptorStore")

    def processes(self):
        group = self.show("mpecho.service", "ControlGroup")
        return self.shell(f"cat /sys/fs/cgroup{group}/cgroup.procs").split()

    def footprint(self):
        """Descriptors and memory in KiB of systemd, the master, the keeper and the one handler."""
        master = self.master()
        keeper, handler = self.shell(f"cat /proc/{master}/task/{master}/children").split()
        whose = {"systemd": "1", "master": master, "keeper": keeper, "handler": handler}
        return {who: tuple(map(int, self.shell(
            f"ls /proc/{pid}/fd | wc -l; sed -n 's/^Pss: *\\([0-9]*\\).*/\\1/p' "
            f"/proc/{pid}/smaps_rollup").split())) for who, pid in whose.items()}

    def records(self):
        """The records since the beginning."""
        output = self.shell("journalctl --sync; journalctl --quiet --output=json "
                            f"--output-fields={','.join(FIELDS)} "
                            f"--after-cursor='{self.cursor}' SYSLOG_IDENTIFIER=mpecho")
        return [json.loads(line) for line in output.splitlines()]

    def wait_for_count(self, kind, field, number):
        deadline = time.monotonic() + DEADLINE
        while (found := count(self.records(), kind, field)) < number:
            assert time.monotonic() < deadline, f"{found} of {number} records {kind}"
            time.sleep(0.1)

    def check(self, load):
        """No connection was lost, no byte, and records and totals have what the clients counted."""
        seen = load.finish()
        # Without what is as it should be.
        assert (seen["lost"], seen["wrong"], seen["failed"]) == (0, 0, 0), \
            (seen, self.shell("journalctl --sync; journalctl -o short-monotonic -u mpecho.service | "
                              "grep -v -e ' connected' -e 'closed by peer' | tail -n 100"))
        assert seen["sent"] == seen["received"]
        self.wait_for_count(CLOSED, "MPECHO_CLOSED", seen["connections"])
        assert self.show("mpecho.service", "NFileDescriptorStore") == "1"
        self.shell("systemctl stop mpecho.service")
        records = self.records()
        for kind, field in (ACCEPTED, "MPECHO_ACCEPTED"), (CLOSED, "MPECHO_CLOSED"):
            assert count(records, kind, field) == seen["connections"]
        closed = [one for one in records if one["MESSAGE_ID"] in (CLOSED, SUMMARY)]
        assert sum(int(one["MPECHO_BYTES"]) for one in closed) == seen["received"]
        assert {one["MPECHO_REASON"] for one in closed if one["MESSAGE_ID"] == CLOSED} == {
            "closed by peer"}
        totals = [one for one in records if one["MESSAGE_ID"] == STOPPED][-1]
        assert int(totals["MPECHO_LIVE"]) == 0
        assert int(totals["MPECHO_SERVED"]) == seen["connections"]
        assert int(totals["MPECHO_BYTES"]) == seen["received"]
        return seen


def count(records, kind, field):
    """How many connections met this, one by one or counted in a summary."""
    return (sum(one["MESSAGE_ID"] == kind for one in records) +
            sum(int(one[field]) for one in records if one["MESSAGE_ID"] == SUMMARY))


def describe(seen):
    return (f"{seen['connections']} connections, {seen['received'] >> 20} MiB, "
            f"longest round trip {seen['longest_stall']:.3f} s, "
            f"longest new connection {seen['longest_arrival']:.3f} s")


def test_restart(service, tell):
    """Ten restarts: a thousand connections in conversation, streams, and peers that read
    nothing, go on; a hundred a second come, and none fails."""
    with service.load(PINGS, STREAMS, STUCK, ARRIVALS_PER_SECOND) as load:
        begun = time.monotonic()
        for _ in range(RESTARTS):
            service.shell("systemctl restart mpecho.service")
            load.go_on()
        seconds = time.monotonic() - begun
        tell(f"{RESTARTS} in {seconds:.0f} s: {describe(service.check(load))}")


def test_crash(service, tell):
    """The master is killed five times, and each new one as well while it takes the connections back:
    all go on."""
    # Without a master, the keeper stores each connection in a bundle of its own.
    with service.load(PINGS // 4, STREAMS, STUCK) as load:
        master = service.master()
        for _ in range(CRASHES):
            master = service.kill(service.kill(master))
            load.go_on()
            # The pause before a start grows with the restarts in a row.
            service.shell("systemctl reset-failed mpecho.service")
        tell(f"{CRASHES} times two: {describe(service.check(load))}")


def test_upgrade(service, tell):
    """Installing a newer version, and the older one again, is a restart like any other."""
    service.install("previous")
    with service.load(PINGS, STREAMS, STUCK, ARRIVALS_PER_SECOND) as load:
        for directory in "packages", "previous", "packages":
            master = service.master()
            service.install(directory)
            load.go_on()
            assert service.master() != master
            version = service.shell(f"/proc/{service.master()}/exe --version").split()[1]
            assert f"/mpecho_{version}-" in service.shell(f"ls /usr/src/{directory}/mpecho_*.deb")
        tell(describe(service.check(load)))


def test_watchdog(service, tell):
    """A master that hangs is replaced when the watchdog finds out, and all go on."""
    with service.load(PINGS, STREAMS, STUCK) as load:
        # A watchdog so short can also end a master that is only late, with records that it has not
        # sent. Here it has none.
        service.configure("WatchdogSec=3s")
        service.shell("systemctl restart mpecho.service")
        load.go_on()
        master = service.master()
        # The watchdog may have just ended a late master, which does as well.
        service.shell(f"kill -STOP {master} || ! test -e /proc/{master}")
        service.new_master(master)
        service.configure()
        service.shell("systemctl restart mpecho.service")
        load.go_on()
        tell(describe(service.check(load)))
    assert "Watchdog timeout" in service.shell(
        f"journalctl --unit=mpecho.service --after-cursor='{service.cursor}' --output=cat")


def test_nothing_accumulates(service, tell):
    """Over hundreds of restarts with one quiet connection the store holds nothing but the roster; in
    the end nobody has more descriptors or memory than after the first ones."""
    with service.load(1, 0, 0) as load:
        # What systemd needs only once.
        service.restart_often(10)
        footprints = [service.footprint()]
        begun = time.monotonic()
        for _ in range(PARTS):
            stores = {service.restart_often(10) for _ in range(IDLE_RESTARTS // PARTS // 10)}
            footprints.append(service.footprint())
            assert stores == {"1"}
        seconds = time.monotonic() - begun
        load.go_on()
        for who, (descriptors, _) in footprints[0].items():
            sizes = [footprint[who][1] for footprint in footprints]
            steps = [after - before for before, after in zip(sizes, sizes[1:])]
            # systemd has business of its own, less than a KiB a restart. Its heap grows and shrinks at
            # once by megabytes, and how much memory processes share varies: what leaks with each
            # restart, leaks in each part. Each of them has another socket while it sends a message.
            more_descriptors, more_kibibytes = (20, IDLE_RESTARTS) if who == "systemd" else (1, 256)
            assert footprints[-1][who][0] <= descriptors + more_descriptors, footprints
            assert PARTS * min(steps) <= more_kibibytes, footprints
        tell(f"{IDLE_RESTARTS} in {seconds:.0f} s, descriptors and KiB before {footprints[0]}, "
             f"after {footprints[-1]}")
        service.check(load)
