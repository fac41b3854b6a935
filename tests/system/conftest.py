"""Packages built once, and for each test and release a machine of its own."""

import os
import pathlib
import platform
import signal
import subprocess

import machine
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("MPECHO_BUILD", SOURCE / "build"))
RELEASES = {"bookworm": 12, "trixie": 13}


def pytest_configure():
    # Whatever ends the tests, and whatever the shell that started them ignores: fixtures clean up.
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, signal.default_int_handler)


@pytest.fixture(scope="session", name="packages")
def fixture_packages():
    """The directory of the packages, just built."""
    subprocess.run(["packaging/deb", BUILD / "deb"], cwd=SOURCE, check=True)
    return BUILD / "deb"


@pytest.fixture(scope="session", params=RELEASES, name="image")
def fixture_image(request):
    """The tree of a release that the packages can be installed on."""
    reason = machine.missing()
    if reason is not None:
        pytest.skip(reason)
    host = platform.freedesktop_os_release()
    if host["ID"] == "debian" and RELEASES[request.param] < int(host.get("VERSION_ID", "99")):
        pytest.skip(f"packages built on Debian {host['VERSION_ID']} are not for {request.param}")
    return machine.image(request.param, BUILD / "machines")


@pytest.fixture(name="binds")
def fixture_binds(packages):
    """What a machine sees of the host, by its path inside."""
    return {"/usr/src/packages": packages,
            "/usr/src/mpecho/debian": SOURCE / "debian",
            "/usr/src/mpecho/packaging": SOURCE / "packaging"}


@pytest.fixture(name="host")
def fixture_host(image, binds, tmp_path):
    """A booted machine."""
    with machine.Machine(image, binds, tmp_path / "console") as host:
        yield host
