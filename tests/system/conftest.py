# SPDX-License-Identifier: MIT
"""Packages that make has built, and for each test and release a machine of its own."""

import os
import pathlib
import signal

import machine
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("MPECHO_BUILD", SOURCE / "build"))


def pytest_configure(config):
    config.addinivalue_line("markers", "releases(NAME, ...): the test is for no other releases")
    # Whatever ends the tests, and whatever the shell that started them ignores: fixtures clean up.
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter):
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "figures" and report.when == "call":
                    terminalreporter.write_line(text)


@pytest.fixture(name="tell")
def fixture_tell(request):
    """Says something that was measured, at the end of all tests: figures for readers."""
    properties = request.node.user_properties
    return lambda text: properties.append(("figures", f"{request.node.name}: {text}"))


def pytest_addoption(parser):
    parser.addoption("--release", choices=machine.RELEASES, help="boot this release only")


def pytest_generate_tests(metafunc):
    if "image" in metafunc.fixturenames:
        release = metafunc.config.getoption("release")
        metafunc.parametrize("image", [release] if release else list(machine.RELEASES), indirect=True,
                             scope="session")


def pytest_collection_modifyitems(config, items):
    others = [item for item in items if (mark := item.get_closest_marker("releases"))
              and item.callspec.params["image"] not in mark.args]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
    # These share a machine. Each of the others has its own, and goes to the worker that is free.
    for item in items:
        if item.path.name == "test_continuity.py":
            item.add_marker(pytest.mark.xdist_group("continuity"))


def made(name):
    """A directory of packages under build/, where a target of make puts them."""
    directory = BUILD / name
    assert list(directory.glob("*.deb")), f"no packages in {directory}: run make check-system"
    return directory


@pytest.fixture(scope="session", name="packages")
def fixture_packages():
    """The directory of the packages."""
    return made("deb")


@pytest.fixture(scope="session", name="previous")
def fixture_previous():
    """The directory of the packages of a previous version, see the program of that name."""
    return made("previous")


@pytest.fixture(scope="session", name="image")
def fixture_image(request):
    """The tree of a release that the packages can be installed on."""
    reason = machine.missing() or machine.refusal(request.param)
    if reason is not None:
        pytest.skip(reason)
    return machine.image(request.param, BUILD / "machines")


@pytest.fixture(name="binds")
def fixture_binds(packages):
    """What a machine sees of the host, by its path inside."""
    return {"/usr/src/packages": packages,
            "/usr/src/mpecho/debian": SOURCE / "debian",
            "/usr/src/mpecho/packaging": SOURCE / "packaging",
            "/usr/src/mpecho/tests": SOURCE / "tests"}


@pytest.fixture(name="host")
def fixture_host(image, binds, tmp_path):
    """A booted machine."""
    with machine.Machine(image, binds, tmp_path / "console") as host:
        yield host
