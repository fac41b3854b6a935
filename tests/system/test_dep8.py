# SPDX-License-Identifier: MIT
"""The tests of debian/tests/control, each on a machine that was just booted.

The machines have no network: a test that needs other packages of Debian is left to autopkgtest(1)."""

import pathlib
import re

import pytest

CONTROL = pathlib.Path(__file__).parents[2] / "debian/tests/control"
INSTALLED = {"mpecho", "mpecho-client", "python3"}
TESTS = [name for names, depends in
         re.findall(r"^Tests: *(.*)\nDepends: *(.*)$", CONTROL.read_text(), re.M)
         if INSTALLED.issuperset(depends.split(", ")) for name in names.split(", ")]
SECONDS = 1200


@pytest.mark.parametrize("name", TESTS)
def test_dep8(host, name):
    """What the first lines of the test in debian/tests say."""
    host.check("sh", "-c", "apt-get install -q -y /usr/src/packages/mpecho_*.deb "
                           "/usr/src/packages/mpecho-client_*.deb")
    status, output = host.run("sh", "-c", f"cd /usr/src/mpecho && exec debian/tests/{name}",
                              timeout=SECONDS)
    if status != 0:
        output += host.run("journalctl", "--unit=mpecho*", "--lines=20")[1]
    assert status == 0, output
