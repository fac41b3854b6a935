# SPDX-License-Identifier: MIT
"""The tests of debian/tests/control, each on a machine that was just booted.

The machines have no network: what tests need of Debian is in the image, installed or fetched."""

import pathlib
import re

import machine
import pytest

CONTROL = pathlib.Path(__file__).parents[2] / "debian/tests/control"
TESTS = {name: depends.split(", ") for names, depends in
         re.findall(r"^Tests: *(.*)\nDepends: *(.*)$", CONTROL.read_text(), re.M)
         for name in names.split(", ")}
SECONDS = 1200


@pytest.mark.parametrize("name", TESTS)
def test_dep8(host, name):
    """What the first lines of the test in debian/tests say."""
    fetched = " ".join(f"{machine.FETCHED[package]}/*.deb" for package in TESTS[name]
                       if package in machine.FETCHED)
    host.check("sh", "-c", "apt-get install -q -y /usr/src/packages/mpecho_*.deb "
                           f"/usr/src/packages/mpecho-client_*.deb {fetched}")
    status, output = host.run("sh", "-c", f"cd /usr/src/mpecho && exec debian/tests/{name}",
                              timeout=SECONDS)
    if status != 0:
        output += host.run("journalctl", "--unit=mpecho*", "--lines=20")[1]
    assert status == 0, output
