# SPDX-License-Identifier: MIT
"""Packages built once, and for each test and release a machine of its own."""

import os
import pathlib
import platform
import shutil
import signal
import subprocess

import machine
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("MPECHO_BUILD", SOURCE / "build"))
RELEASES = {"bookworm": 12, "trixie": 13}
PREVIOUS = "0.0.1"


FIGURES = pytest.StashKey()


def pytest_configure(config):
    config.stash[FIGURES] = []
    # Whatever ends the tests, and whatever the shell that started them ignores: fixtures clean up.
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash[FIGURES]:
        terminalreporter.write_line(line)


@pytest.fixture(name="tell")
def fixture_tell(request):
    """Says something that was measured, at the end of all tests: figures for readers."""
    return lambda text: request.config.stash[FIGURES].append(f"{request.node.name}: {text}")


@pytest.fixture(scope="session", name="packages")
def fixture_packages():
    """The directory of the packages, just built."""
    subprocess.run(["packaging/deb", BUILD / "deb"], cwd=SOURCE, check=True)
    return BUILD / "deb"


@pytest.fixture(scope="session", name="previous")
def fixture_previous(packages, tmp_path_factory):
    """The directory of the packages of a previous version: the same files under a lower number, but
    for a program that was built with that number."""
    directory = tmp_path_factory.mktemp("previous")
    program = directory / "build/mpecho"
    # Not with the options and variables of the make that runs the tests.
    subprocess.run(["env", "--unset=MAKEFLAGS", "make", f"BUILD={program.parent}",
                    f"VERSION={PREVIOUS}", program], cwd=SOURCE, check=True,
                   stdout=subprocess.DEVNULL)
    for name in "mpecho", "mpecho-client":
        (package,) = packages.glob(f"{name}_*.deb")
        tree = directory / name
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        control = tree / "DEBIAN/control"
        lines = [f"Version: {PREVIOUS}-1" if line.startswith("Version:") else line
                 for line in control.read_text().splitlines()]
        control.write_text("\n".join(lines) + "\n")
        if name == "mpecho":
            shutil.copy(program, tree / "usr/sbin/mpecho")
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, directory], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
    shutil.rmtree(program.parent)
    return directory


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
