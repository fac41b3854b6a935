# SPDX-License-Identifier: MIT
"""The packages as files: what Debian's checkers say, and that a second build gives the same."""

import os
import shutil
import subprocess

import pytest
from conftest import SOURCE


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def test_lintian(packages):
    """lintian finds no error and no warning that an override does not explain."""
    need("lintian")
    (changes,) = packages.glob("*.changes")
    result = subprocess.run(
        ["lintian", "--allow-root", "-EI", "--pedantic", "--fail-on", "error,warning", changes],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout


def test_hardening(packages):
    """blhc finds all of dpkg's hardening flags in every command of the build."""
    need("blhc")
    result = subprocess.run(["blhc", packages / "build.log"], stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stdout


def test_reproducible(packages, tmp_path):
    """dpkg-buildpackage in a clone elsewhere, in other surroundings, gives the same packages,
    source and binary, byte for byte."""
    clone = tmp_path / "somewhere/else"
    clone.mkdir(parents=True)
    script = ('git -c safe.directory="*" ls-files -z | tar --create --null --files-from=- |'
              ' tar --extract --directory="$1" && cd "$1" && umask 077 && git init --quiet &&'
              ' git add --all && unset MAKEFLAGS && packaging/orig-tarball .. &&'
              ' exec dpkg-buildpackage --unsigned-source --unsigned-changes -j1')
    # The tests of the programs are no part of the packages.
    surroundings = {"DEB_BUILD_OPTIONS": "nocheck", "TZ": "Pacific/Kiritimati", "LC_ALL": "C",
                    "HOME": str(tmp_path)}
    result = subprocess.run(["sh", "-c", script, "sh", clone], cwd=SOURCE,
                            env={**os.environ, **surroundings}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout[-5000:]

    built = [path for path in sorted(packages.iterdir())
             if path.suffix in (".deb", ".dsc", ".gz", ".xz")]
    assert len(built) == 7, built
    for path in built:
        assert path.read_bytes() == (clone.parent / path.name).read_bytes(), path.name
