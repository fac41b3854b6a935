# SPDX-License-Identifier: MIT
"""The rooms of src/ include in one direction, and something notices when they do not."""

import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2]
CHECK = SOURCE / "packaging/rooms"


def test_directions():
    """Each room includes itself and the rooms behind it."""
    subprocess.run([CHECK, SOURCE / "src"], check=True)


@pytest.mark.parametrize("room, include", [
    ("lib", "report/journal.h"), ("report", "restart/handover.h"), ("restart", "server/roster.h"),
    ("handler", "server/master.h"), ("client/run", "start/options.h"),
    ("client/run", "client/load/load.h"), ("client/load", "client/run/check.h"),
    ("client/content", "client/network/path.h"), ("lib", "client/value/pace.h"),
    ("start", "server/master.h"), ("client/value", "client/content/pattern.h"),
    ("server", "client/load/load.h"), ("server", "master.h"), ("elsewhere", "lib/clock.h"),
    ("limits", "server/connections.h"), ("start", "limits/quota.h")])
def test_wrong_directions(tmp_path, room, include):
    """An include to the left, of another program's room, or without a room is named."""
    (tmp_path / room).mkdir(parents=True)
    (tmp_path / room / "file.c").write_text(f'#include <stdio.h>\n#include "{include}"\n')
    result = subprocess.run([CHECK, tmp_path], stdout=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert f"{room}/file.c:2" in result.stdout and include in result.stdout
