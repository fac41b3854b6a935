#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What test_container.py runs on a machine: podman builds packaging/Containerfile, and systemd starts
the container of mpecho(8) for its first client.

Where the machine has no network, its own /usr is the base of the build, with all packages that the
Containerfile installs."""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, "/usr/src/mpecho/debian/tests")

from support import (UNITS, connect, documented, echo, finish, name_of, run, show,  # noqa: E402
                     wait_until)

SOURCE = pathlib.Path("/usr/src/mpecho")
CONTAINERS = pathlib.Path("/etc/containers")
BASE = "docker.io/library/debian:trixie-slim"
IMAGE = "localhost/mpecho"
USER = "65532"
SEEN = ["/usr", "/etc", "/var/lib/dpkg"]

# A machine in a container cannot mount overlays on its own, cannot raise limits, and has no controllers,
# no keyrings and no BPF. A container has any time to stop: then only SIGTERM ends it.
CONFIGURATION = {
    "storage.conf": '[storage]\ndriver = "vfs"\n'
                    'graphroot = "/var/lib/containers/storage"\nrunroot = "/run/containers/storage"\n',
    "containers.conf": '[containers]\npids_limit = 0\nkeyring = false\n'
                       'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n',
    "systemd/mpecho.container": documented("mpecho.container", "CONTAINERS"),
    "systemd/mpecho.container.d/here.conf": "[Container]\nStopTimeout=600\nCgroupsMode=disabled\n"
                                            "[Service]\nTimeoutStartSec=600\nTimeoutStopSec=600\n",
}


def build():
    """Builds the image, without optimization."""
    root = pathlib.Path("/root/base")
    for name in *SEEN, "/root", "/tmp", "/var/lib/apt/lists/partial", "/var/cache/apt/archives/partial":
        (root / name[1:]).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in "bin", "lib", "lib64", "sbin":
        (root / name).symlink_to("usr/" + name)
    run("sh", "-c", f"tar --create --directory {root} . | podman import "
                    f"--change ENV=CFLAGS=-O0 --change ENV=MAKEFLAGS=-j2 - {BASE}")
    volumes = [word for path in SEEN for word in ("--volume", f"{path}:{path}:ro")]
    subprocess.run(["podman", "build", "--layers=false", "--network=none", "--pull=never", *volumes,
                    "--file", SOURCE / "packaging/Containerfile", "--tag", IMAGE, SOURCE], check=True)


def status(pid):
    """The status of a process, by the names of its lines."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines())


def inspect(name, form):
    return run("podman", "inspect", "--format", form, name).strip()


def logged(words):
    """Whether the journal of the service has a line with these words."""
    run("journalctl", "--sync")
    return words in run("journalctl", "--quiet", "--output=cat", "--unit=mpecho.service")


def check_alone():
    """A container by itself: no other program, records on standard error, and SIGTERM ends it."""
    result = subprocess.run(["podman", "run", "--rm", "--network=none", "--entrypoint=/bin/sh", IMAGE],
                            capture_output=True, text=True)
    assert result.returncode == 127, result
    run("podman", "run", "--detach", "--name=alone", "--network=none", "--read-only",
        "--cap-drop=all", IMAGE)
    wait_until(lambda: "Echoing (RFC 862) on [::]:9190" in run("podman", "logs", "alone"), "it echoes")
    run("podman", "stop", "--time=600", "alone")
    assert inspect("alone", "{{.State.ExitCode}}") == "0"
    assert " mpecho: Stopped " in run("podman", "logs", "alone")


def check_sandbox(pid):
    """Process 1 has no privileges, no network and no file to write."""
    found = status(pid)
    assert found["Uid"].split() == [USER] * 4, found
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {"0" * 16}, found
    assert found["NoNewPrivs"] == "1" and found["NSpid"].split()[-1] == "1"
    interfaces = pathlib.Path(f"/proc/{pid}/net/dev").read_text()
    assert re.findall(r"^ *(\w+):", interfaces, re.M) == ["lo"]
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
    assert re.search(r"^\S+ \S+ \S+ \S+ / ro,", mounts, re.M), mounts


def check_activated():
    """systemd passes the socket to the container; what outlives the container is the socket."""
    (UNITS / "mpecho.socket").write_text((SOURCE / "systemd/mpecho.socket").read_text())
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "mpecho.socket")
    assert show("mpecho.service", "ActiveState") == "inactive"
    with connect(source="127.0.0.2") as client:
        echo(client, bytes(range(256)) * 1000)
        wait_until(lambda: logged(f"{name_of(client)} connected to "), "the record")
        check_sandbox(inspect("systemd-mpecho", "{{.State.Pid}}"))

        run("systemctl", "stop", "mpecho.service")
        assert show("mpecho.service", "Result") == "success"
        assert show("mpecho.service", "ExecMainStatus") == "0"
        wait_until(lambda: logged(" mpecho: Stopped "), "the record")
        assert client.recv(1) == b""
    with connect() as client:
        echo(client)
        finish(client)


for path, text in CONFIGURATION.items():
    (CONTAINERS / path).parent.mkdir(parents=True, exist_ok=True)
    (CONTAINERS / path).write_text(text)
build()
check_alone()
check_activated()
