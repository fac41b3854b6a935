# SPDX-License-Identifier: MIT
"""From the upstream tarball to installed files: what it needs, where it writes, and how."""

import os
import shutil
import stat
import subprocess

import pytest

from journald import ROOT
from processes import DEADLINE

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="the tarball needs a clone")


def run(directory, *command, check=True, umask=0o022):
    """Runs a command with nothing of the environment but the path, and without optimization, which
    takes most of a build; returns the finished process."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(directory),
                   "CFLAGS": "-O0"}
    return subprocess.run(command, cwd=directory, env=environment, umask=umask, check=check,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=15 * DEADLINE)


def files(directory):
    """All files below a directory, by their path from there."""
    return {str(path.relative_to(directory)): path for path in directory.rglob("*")
            if not path.is_dir()}


@pytest.fixture(scope="module", name="tree")
def fixture_tree(tmp_path_factory):
    """The upstream tarball, unpacked and built."""
    directory = tmp_path_factory.mktemp("tarball")
    run(ROOT, "packaging/orig-tarball", str(directory))
    tarball, = directory.iterdir()
    run(directory, "tar", "--extract", "--file", str(tarball))
    tarball.unlink()
    tree, = directory.iterdir()
    run(tree, "make", "all")
    return tree


def test_tarball_builds(tree):
    """What the tarball builds knows its version, and `make deps` finds out what building needs."""
    changelog = (ROOT / "debian/changelog").read_text()
    version = changelog.partition("(")[2].partition("-")[0]
    assert run(tree, "build/mpecho", "--version").stdout == f"mpecho {version}\n"
    if run(tree, "dpkg-checkbuilddeps", check=False).returncode == 0:
        assert run(tree, "make", "deps").stdout == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("target", ["install", "run"])
def test_gives_back(tree, tmp_path, target):
    """What root builds with sudo becomes the user's, so that a plain make works afterwards."""
    for owner in (0, 0), (4242, 2424):
        run(tree, "make", f"DESTDIR={tmp_path}", f"SUDO_UID={owner[0]}", f"SUDO_GID={owner[1]}",
            target)
    built = [tree / "build", *(tree / "build").rglob("*")]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in built} == {(4242, 2424)}


def test_what_changes_is_built_again(tree, tmp_path):
    """An object is made again for an edited Makefile or other libraries, and not with nothing
    changed."""
    def make(*words):
        return " CC " in run(tree, "make", f"BUILD={tmp_path}", *words,
                             f"{tmp_path}/src/lib/clock.o").stdout

    assert make()
    assert not make()
    assert make("-W", "Makefile")
    assert make("LDLIBS=-lm")
    assert not make("LDLIBS=-lm")
    assert make("LDLIBS=-lm", "AR=gcc-ar")


def test_a_removed_source_leaves_the_archive(tree):
    """The archive has the objects of the sources that there are; -s is silent."""
    source = tree / "src/lib/passing_by.c"
    source.write_text("extern int passing_by;\nint passing_by;\n")
    for there in True, False:
        assert run(tree, "make", "-s", "build/libmpecho.a").stdout == ""
        members = run(tree, "ar", "t", "build/libmpecho.a").stdout.split()
        assert ("passing_by.o" in members) == there
        source.unlink(missing_ok=True)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes(tree, tmp_path, umask):
    """Everybody can read what was installed, and execute the programs, whatever the umask is."""
    run(tree, "make", "install", f"DESTDIR={tmp_path}", umask=umask)
    for name, path in files(tmp_path).items():
        executable = "bin/" in name or "plugins/" in name
        expected = 0o755 if executable else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, name
    # The programs of systemd's units are the installed ones.
    units = tmp_path / "usr/local/lib/systemd/system"
    for name in "mpecho.service", "mpecho@.service":
        assert "ExecStart=/usr/local/sbin/mpecho " in (units / name).read_text()


def test_unit_of_one_connection(tree, tmp_path):
    """mpecho@.service has all of mpecho.service's sandbox and nothing of its master: no watchdog,
    no store, no start after a failure; and systemd takes no message from it."""
    run(tree, "make", "install", f"DESTDIR={tmp_path}")
    units = tmp_path / "usr/local/lib/systemd/system"

    def settings(name):
        return [line for line in (units / name).read_text().splitlines()
                if "=" in line and not line.startswith("#")]

    template, service = settings("mpecho@.service"), settings("mpecho.service")
    missing = {line.partition("=")[0] for line in service} - {
        line.partition("=")[0] for line in template}
    assert {"WatchdogSec", "FileDescriptorStoreMax", "NotifyAccess", "Restart"} <= missing
    sandbox = [line.replace(" /run/systemd/notify", "")
               for line in service[service.index("DynamicUser=yes"):]]
    assert template[-len(sandbox):] == sandbox
    assert {"Type=exec", "TimeoutStopSec=10s", "MemoryMax=32M"} <= set(template)


def test_below_the_prefix(tree, tmp_path):
    """Everything is below the prefix, but for the settings; uninstall leaves only these."""
    destination = f"DESTDIR={tmp_path}"
    run(tree, "make", "install", destination, "prefix=/opt/echo", "PKG_CONFIG=false")
    settings = "etc/default/mpecho"
    installed = set(files(tmp_path))
    assert settings in installed
    assert "opt/echo/lib/systemd/system/mpecho.socket" in installed
    assert all(name.startswith("opt/echo/") for name in installed - {settings})
    (tmp_path / settings).write_text("mine")
    run(tree, "make", "install", destination, "prefix=/opt/echo")
    assert (tmp_path / settings).read_text() == "mine"
    run(tree, "make", "uninstall", destination, "prefix=/opt/echo")
    assert set(files(tmp_path)) == {settings}


@pytest.mark.parametrize("goal", ["install", "uninstall"])
def test_without_pkg_config(tree, tmp_path, goal):
    """Where nobody says where units go, nothing is written or removed, and a sentence says why."""
    (tmp_path / "mpecho.service").write_text("somebody's")
    result = run(tree, "make", goal, f"DESTDIR={tmp_path}", "prefix=/usr", "PKG_CONFIG=missing",
                 check=False)
    assert result.returncode != 0
    assert "Cannot find systemd's directories: missing has no systemd.pc" in result.stdout
    assert set(files(tmp_path)) == {"mpecho.service"}


def test_clean_stays_inside(tree, tmp_path):
    """In a clone in which nothing was built, `make clean` has nothing to do, and `debian/rules clean`
    writes nothing beside it."""
    clone = tmp_path / "clone"
    shutil.copytree(tree, clone, ignore=shutil.ignore_patterns("build"))
    run(clone, "make", "clean")
    run(clone, "git", "init", "--quiet")
    run(clone, "git", "add", "--all")
    if run(clone, "dpkg-checkbuilddeps", check=False).returncode != 0:
        pytest.skip("building packages needs the build dependencies")
    run(clone, "debian/rules", "clean")
    assert list(tmp_path.iterdir()) == [clone]
