# SPDX-License-Identifier: MIT
"""How long systemd waits before it starts the service again: what ExecStopPost= of the unit does.
systemctl, which nsenter runs, and sleep are stand-ins here."""

import os
import shlex
import subprocess

import pytest

from journald import ROOT

SECOND = 1000000
BOOTED = 1000 * SECOND  # when the start that failed began

SYSTEMCTL = """#!/bin/sh
. "$PROPERTIES"
while [ $# -gt 0 ]; do
    [ "$1" != -p ] || eval "echo $2=\\$$2"
    shift
done
"""
SLEEP = """#!/bin/sh
echo "$1"
"""


def command():
    """The arguments of ExecStopPost=, as systemd passes them."""
    unit = (ROOT / "systemd/mpecho.service").read_text().replace("\\\n", " ")
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStopPost=-+")]
    return [word.replace("$$", "$").replace("%n", "mpecho.service")
            for word in shlex.split(line.partition("+")[2])]


@pytest.fixture(name="wait")
def fixture_wait(tmp_path):
    """Runs it; the seconds that it waits, or 0."""
    for name, text in ("nsenter", SYSTEMCTL), ("sleep", SLEEP):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    properties = tmp_path / "properties"

    def run(restarts, away=None, result="signal", ready=False):
        """After so many restarts, in microseconds since the service last ran, or None."""
        properties.write_text(
            f"NRestarts={restarts}\n"
            f"ExecMainStartTimestampMonotonic={BOOTED}\n"
            f"ActiveEnterTimestampMonotonic={BOOTED + 1 if ready else 0}\n"
            f"ActiveExitTimestampMonotonic={0 if away is None else BOOTED - away}\n")
        variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SERVICE_RESULT": result,
                     "PROPERTIES": str(properties)}
        done = subprocess.run(command(), env=variables, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return int(done.stdout or 0)

    return run


def test_ran(wait):
    """A service that stops, or crashes after its start, does not wait."""
    assert wait(0, result="success") == wait(19, 0, ready=True) == 0


def test_never_ran(wait):
    """A service that has never run waits a second longer each time, up to 20."""
    assert [wait(restarts) for restarts in (0, 1, 2, 18, 19, 20, 1000)] == [1, 2, 3, 19, 20, 20, 20]


def test_ran_before(wait):
    """However often systemd has restarted it, a service that crashes and then fails to start waits
    for a second, then for as long as it has been away, up to 20."""
    away = [0, SECOND - 1, SECOND, 4 * SECOND, 18 * SECOND, 19 * SECOND, 900 * SECOND]
    assert [wait(1000, time) for time in away] == [1, 1, 2, 5, 19, 20, 20]
    # The last stop was an administrator's, long ago.
    assert [wait(restarts, 900 * SECOND) for restarts in (0, 1, 2)] == [1, 2, 3]
