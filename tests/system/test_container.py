# SPDX-License-Identifier: MIT
"""The container of mpecho(8), made and run by podman."""

import machine
import pytest
from conftest import SOURCE


@pytest.fixture(name="binds")
def fixture_binds():
    """The source that the image is made from, and the tests."""
    return {f"/usr/src/mpecho/{name}": SOURCE / name
            for name in ("Makefile", "debian", "packaging", "src", "systemd", "tests")}


# podman 4.3 of Debian 12 does not know units of containers.
@pytest.mark.releases("trixie")
def test_container(host):
    """What the first lines of inside_container.py say."""
    host.check("sh", "-c", f"apt-get install -q -y {machine.FETCHED['podman']}/*.deb")
    host.check("/usr/src/mpecho/tests/system/inside_container.py", timeout=1200)
