# SPDX-License-Identifier: MIT
"""What `make check` leaves of its user's build directory."""

import os
import subprocess
import sys

import pytest

from journald import ROOT
from processes import DEADLINE

OWNER = (4242, 2424)


def owners(directory):
    """The owners of a directory and of all that is in it, by their path from there."""
    return {str(path.relative_to(directory)): (path.lstat().st_uid, path.lstat().st_gid)
            for path in (directory, *directory.rglob("*"))}


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("make", ["true", "false"])
def test_gives_back(tmp_path, make):
    """What root builds in `sudo make check` becomes the user's, whether or not a suite fails: a plain
    make works afterwards. In the images, and behind links, nothing changes its owner."""
    build, beside = tmp_path / "build", tmp_path / "beside"
    for name in "src/lib/clock.o", "mpecho", "machines/trixie/etc/passwd":
        (build / name).parent.mkdir(parents=True, exist_ok=True)
        (build / name).touch()
    beside.touch()
    (build / "peers").symlink_to(beside)
    result = subprocess.run(
        [sys.executable, "-B", str(ROOT / "tests/check.py"), make, str(build), "check"],
        env=os.environ | dict(zip(("SUDO_UID", "SUDO_GID"), map(str, OWNER))),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=DEADLINE)
    assert (result.returncode == 0) == (make == "true"), result.stdout
    found = owners(build)
    assert {"src/lib/clock.o", "peers", "check/deb"} <= found.keys()
    for name, owner in found.items():
        image = name.partition("/")[0] == "machines"
        assert owner == ((0, 0) if image else OWNER), name
    assert (beside.stat().st_uid, beside.stat().st_gid) == (0, 0)
