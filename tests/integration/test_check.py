# SPDX-License-Identifier: MIT
"""What `make check` runs, and what it leaves of its user's build directory."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from journald import ROOT
from processes import DEADLINE

OWNER = (4242, 2424)
BOOKWORM = {"image-bookworm", "check-bookworm"}
SYSTEM = {"image-trixie", "check-trixie", *BOOKWORM}


def check(make, build, wrapper=(), **environment):
    """Runs the suites with another program instead of make; what they say is in the result."""
    return subprocess.run(
        [*wrapper, sys.executable, "-B", str(ROOT / "tests/check.py"), make, str(build), "check"],
        env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)


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
    result = check(make, build, **dict(zip(("SUDO_UID", "SUDO_GID"), map(str, OWNER))))
    assert (result.returncode == 0) == (make == "true"), result.stdout
    found = owners(build)
    assert {"src/lib/clock.o", "peers", "check/deb"} <= found.keys()
    for name, owner in found.items():
        image = name.partition("/")[0] == "machines"
        assert owner == ((0, 0) if image else OWNER), name
    assert (beside.stat().st_uid, beside.stat().st_gid) == (0, 0)


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
@pytest.mark.parametrize("release, left_out", [
    ("ID=debian\nVERSION_ID=12\n", set()), ("ID=debian\nVERSION_ID=13\n", BOOKWORM),
    ("ID=debian\n", SYSTEM), ("ID=another\nVERSION_ID=13\n", set())],
    ids=["bookworm", "trixie", "newer", "another"])
def test_leaves_out_older_releases(tmp_path, release, left_out):
    """Packages do not install on an older Debian than that which built them: its suite is left out,
    a line says so, and all others run."""
    (tmp_path / "os-release").write_text(release)
    wrapper = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(tmp_path / "os-release"),
               os.path.realpath("/etc/os-release")]
    result = check("true", tmp_path, wrapper=wrapper)
    assert result.returncode == 0, result.stdout
    ran = {path.name for path in (tmp_path / "check").iterdir()}
    assert {"check-integration", *SYSTEM} - ran == left_out
    said = re.findall(r"^LEFT OUT (\S+): packages of a newer Debian do not install on Debian 1[23]$",
                      result.stdout, re.M)
    assert set(said) == left_out & {"check-bookworm", "check-trixie"}, result.stdout
