# SPDX-License-Identifier: MIT
"""Live connections go on after a soft reboot, with the drop-in that mpecho(8) has for it."""

import pathlib
import subprocess
import sys
import time

import machine
import pytest
from conftest import SOURCE
from test_continuity import DEADLINE, DROP_INS, Load, Service, describe

sys.path.append(str(SOURCE / "debian/tests"))
from support import documented  # noqa: E402

PINGS, STREAMS, STUCK = 94, 3, 3


def name(pid):
    """The name of a process, or None if it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def masters(host):
    """The processes of mpecho that systemd has started. While the machine reboots, this does not
    enter it: systemd stops all processes there for a moment, and nsenter(1) would stop for good."""
    return [pid for pid in machine.children(host.leader) if name(pid) == "mpecho"]


# systemd 252 of Debian 12 has no soft reboot.
@pytest.mark.releases("trixie")
def test_soft_reboot(host, tell):
    """A hundred connections from outside of the machine, some with bytes on their way, go on."""
    service = Service(host)
    service.install("packages")
    drop_in = documented("With systemd 254 and later") + documented("With these lines too")
    service.shell(f"mkdir -p {DROP_INS}; cat >{DROP_INS}/test.conf <<'end'\n{drop_in}end\n"
                  "systemctl daemon-reload; systemctl enable mpecho.socket mpecho.service")
    service.begin()
    with Load(service, host.start_beside, SOURCE / "tests/system/load.py",
              PINGS, STREAMS, STUCK, 0) as load:
        before = masters(host)
        with host.start("systemctl", "soft-reboot", stdin=subprocess.DEVNULL) as command:
            deadline = time.monotonic() + DEADLINE
            while not (now := masters(host)) or now == before:
                assert time.monotonic() < deadline, f"waited {DEADLINE} seconds for a new master"
                time.sleep(0.1)
            command.kill()
        load.go_on()
        assert service.shell("systemctl show --property SoftRebootsCount") == "SoftRebootsCount=1\n"
        tell(describe(service.check(load)))
