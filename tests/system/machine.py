# SPDX-License-Identifier: MIT
"""Throw-away machines: a Debian release booted by systemd-nspawn, with nothing left afterwards.

An image is a directory tree made by mmdebstrap, kept under build/ and made anew when the command
that made it changes. A Machine boots one. What it writes goes to a tmpfs above the image, it has a
network of its own with nothing but loopback, and its processes live in a PID namespace: when the
test ends, however it ends, the kernel ends them all, and with them the mounts and the network. Only
empty control groups have to be removed by hand.

usage: machine.py IMAGE DIRECTORY    makes an image under DIRECTORY
"""

import hashlib
import os
import pathlib
import platform
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

# Those that tests of debian/tests depend on among them: a machine has no network to get more from.
PACKAGES = ["systemd", "systemd-sysv", "dbus", "python3", "gcc", "libc6-dev"]
# Packages that one test each installs: in all others their daemons would run as well.
FETCHED = {package: f"/usr/src/{package}" for package in (
    "nagios4-core", "smokeping", "haproxy", "libnginx-mod-stream", "prometheus", "podman")}


def fetch(package, others):
    """The command that puts such a package and others to its place."""
    place = FETCHED[package]
    return (f'chroot "$1" sh -c "mkdir -p {place}/partial && exec apt-get install --quiet --yes '
            f'--download-only --no-install-recommends --option Dir::Cache::archives={place} '
            f'{package} {others}"')


# dma(8) is the smallest program for the mail that daemons could send. podman builds mpecho, and knows
# units of containers in Debian 13 only.
FETCH = " && ".join(fetch(package, "dma") for package in FETCHED if package != "podman")
FETCH_PODMAN = fetch("podman", "libsystemd-dev make pkgconf")

# The release of each image, its packages, and a command at the end. No test boots the prover:
# cbmc(1) runs in its tree.
IMAGES = {
    "bookworm": ("bookworm", PACKAGES, FETCH),
    "trixie": ("trixie", PACKAGES, f"{FETCH} && {FETCH_PODMAN}"),
    "prover": ("trixie", ["cbmc", "gcc", "libc6-dev"], "true"),
}

# The releases that machines boot to install the packages on.
RELEASES = {"bookworm": 12, "trixie": 13}

# On a machine that has much else to do.
BOOT_SECONDS = 300
COMMAND_SECONDS = 600
BUS_SECONDS = 300  # that systemd may take to answer systemctl(1), which usually gives up after 25

# A command in namespaces of its own, which end with it; it ends with this process.
CONTAINED = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc"]
PROGRAMS = ["mmdebstrap", "systemd-nspawn", "nsenter", "unshare", "setpriv"]


def missing():
    """What keeps this host from booting machines, as a sentence, or None."""
    if os.geteuid() != 0:
        return "booting machines needs root"
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"booting machines needs {program}"
    parent = own_control_group()
    if parent is None or not os.access(parent, os.W_OK):
        return "booting machines needs a writable unified control group hierarchy"
    return None


def refusal(release):
    """Why packages that this host builds are not for a release, as a sentence, or None."""
    host = platform.freedesktop_os_release()
    # Debian before its release has no number.
    if host["ID"] == "debian" and RELEASES[release] < int(host.get("VERSION_ID", "99")):
        return f"packages of a newer Debian do not install on Debian {RELEASES[release]}"
    return None


def own_control_group():
    """The directory of this process's control group in the unified hierarchy, or None."""
    path = None
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/"):
            path = line[len("0::/"):]
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "cgroup2" and path is not None and (pathlib.Path(mount) / path).is_dir():
            return pathlib.Path(mount) / path
    return None


def remove_control_group(top):
    """Remove an empty control group with all below it."""
    for directory, _, _ in os.walk(top, topdown=False):
        os.rmdir(directory)


def children(pid):
    """The process ids of a process's children."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def end(process):
    """End a CONTAINED process with all that it started, and wait for it."""
    if process.poll() is None:
        # The first process of a PID namespace goes only when all the others are gone.
        for pid in children(process.pid) or [process.pid]:
            os.kill(pid, signal.SIGKILL)
        process.wait()


def image(name, directory):
    """The tree of an image under `directory`, made if there is none that fits."""
    release, packages, command = IMAGES[name]
    make = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(packages),
            "--customize-hook=" + command, release]
    tree = directory / f"{name}-{hashlib.sha256(repr(make).encode()).hexdigest()[:12]}"
    if tree.is_dir():
        return tree
    directory.mkdir(parents=True, exist_ok=True)
    # Whatever ends this in between, what is left has no name of a tree that fits, nor lasts.
    for left in directory.glob(f"tmp-{name}-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=directory, prefix=f"tmp-{name}-") as temporary:
        for old in directory.glob(f"{name}-*"):
            os.rename(old, f"{temporary}/{old.name}")
            # A lock of systemd-nspawn's.
            directory.joinpath(".#" + old.name + ".lck").unlink(missing_ok=True)
        process = subprocess.Popen([*CONTAINED, *make, temporary + "/tree"],
                                   stdin=subprocess.DEVNULL, start_new_session=True,
                                   env={**os.environ, "TMPDIR": temporary})
        try:
            status = process.wait()
        finally:
            end(process)
        assert status == 0, f"mmdebstrap failed with status {status}"
        os.rename(temporary + "/tree", tree)
    return tree


class Machine:
    """A booted machine. `binds` maps paths inside it to paths of the host, seen read-only."""

    def __init__(self, tree, binds, log):
        self.name = f"mpecho-{os.getpid()}-{secrets.token_hex(4)}"
        self.group = own_control_group() / self.name
        self.group.mkdir()
        self.process = None
        try:
            self._boot(tree, binds, log)
        except BaseException:
            self.close()
            raise

    def _boot(self, tree, binds, log):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with notify, open(log, "w") as output:
            notify.bind("\0" + self.name)
            nspawn = ["systemd-nspawn", "--directory", tree, "--volatile=overlay", "--boot",
                      "--notify-ready=yes", "--register=no", "--keep-unit", "--private-network",
                      "--machine", self.name, "--console=pipe"]
            # Not recursively: where the image lies below such a path, the machine would see its own mounts
            # there, several times, and each sandbox would take long to set up.
            nspawn += [f"--bind-ro={host}:{inside}:norbind" for inside, host in binds.items()]
            # What nspawn leaves in /run goes to a tmpfs of its own, and so with its namespace.
            script = 'echo $$ >"$1"; shift; exec "$@"'
            inner = 'mount -t tmpfs tmpfs /run && exec "$@"'
            self.process = subprocess.Popen(
                ["sh", "-c", script, "sh", self.group / "cgroup.procs",
                 *CONTAINED, "sh", "-c", inner, "sh", *nspawn],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": "@" + self.name,
                     "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
            self._wait_for_ready(notify, log)
        (nspawn_pid,) = children(self.process.pid)
        (self.leader,) = children(nspawn_pid)

    def _wait_for_ready(self, notify, log):
        with open(os.pidfd_open(self.process.pid)) as ended:
            while True:
                readable, _, _ = select.select([notify, ended], [], [], BOOT_SECONDS)
                assert notify in readable, "not booted:\n" + pathlib.Path(log).read_text()
                if "READY=1" in notify.recv(4096).decode().splitlines():
                    return

    def start(self, *command, **streams):
        """Start a command inside, as root, with nothing of the host's environment. `streams` are
        those of subprocess.Popen. Returns what that does; inside it goes on until the machine ends,
        whatever becomes of the process."""
        return self._enter(["--all", "--root", "--wd"], command, streams)

    def start_beside(self, *command, **streams):
        """The same for a command of the host, which shares the machine's network alone: it outlives
        the machine's processes."""
        return self._enter(["--net"], command, streams)

    def _enter(self, namespaces, command, streams):
        return subprocess.Popen(
            ["nsenter", "--target", str(self.leader), *namespaces,
             "env", "-i", "HOME=/root", "LANG=C.UTF-8", f"SYSTEMD_BUS_TIMEOUT={BUS_SECONDS}",
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
             *command],
            text=True, **streams)

    def run(self, *command, timeout=COMMAND_SECONDS):
        """Run a command inside, see start(). Returns its exit status and what it wrote to both
        outputs."""
        process = self.start(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.wait()
            process.stdout.close()
            raise
        return process.returncode, output

    def check(self, *command, timeout=COMMAND_SECONDS):
        """Run a command inside that has to succeed. Returns what it wrote."""
        status, output = self.run(*command, timeout=timeout)
        assert status == 0, f"{' '.join(command)}: status {status}\n{output}"
        return output

    def close(self):
        """End all processes of the machine and wait for them; remove its control groups."""
        if self.process is not None:
            end(self.process)
        # Where the host has the old hierarchy of systemd's too, nspawn makes the same group there.
        legacy = pathlib.Path(str(self.group).replace("/unified/", "/systemd/", 1))
        for group in {self.group, legacy}:
            if group.is_dir():
                remove_control_group(group)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    REASON = missing()
    print(REASON or image(sys.argv[1], pathlib.Path(sys.argv[2])))
