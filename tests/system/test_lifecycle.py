"""Installing, upgrading, downgrading, removing and purging the packages on a booted machine."""

import shutil
import subprocess

import pytest

PREVIOUS = "0.0.1-1"
EXCHANGE = "printf hello | mpecho-client 127.0.0.1"

# All files where a service could leave some, but those of the machine's own services; and all that
# are named after it, but for the logs of apt and dpkg.
FILES = ("find /etc /run /var -xdev ! -path '/run/systemd/*' ! -path '/run/log/*' "
         "! -path '/var/tmp/*' ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' "
         "! -path '/var/cache/*' ! -path '/var/log/*'; "
         "find / -xdev -name '*mpecho*' ! -path '/usr/src/*'; "
         "find /run /var/tmp -name '*mpecho*'")


@pytest.fixture(scope="session", name="previous")
def fixture_previous(packages, tmp_path_factory):
    """The packages once more as a previous version: the same files under a lower number."""
    directory = tmp_path_factory.mktemp("previous")
    for name in "mpecho", "mpecho-client":
        (package,) = packages.glob(f"{name}_*.deb")
        tree = directory / name
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        control = tree / "DEBIAN/control"
        lines = [f"Version: {PREVIOUS}" if line.startswith("Version:") else line
                 for line in control.read_text().splitlines()]
        control.write_text("\n".join(lines) + "\n")
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, directory], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
    return directory


@pytest.fixture(name="binds")
def fixture_binds(binds, previous):
    return {**binds, "/usr/src/previous": previous}


class Administrator:
    """What one does with the packages, on one machine."""

    def __init__(self, host):
        self.host = host

    def shell(self, command):
        return self.host.check("sh", "-c", command)

    def apt(self, *arguments):
        return self.host.check("apt-get", "--quiet", "--yes", "--allow-downgrades", *arguments)

    def install(self, directory):
        packages = self.shell(f"ls /usr/src/{directory}/mpecho_*.deb "
                              f"/usr/src/{directory}/mpecho-client_*.deb")
        self.apt("install", *packages.split())

    def show(self, unit, name):
        return self.shell(f"systemctl show --property {name} --value {unit}").strip()

    def states(self):
        return self.show("mpecho.socket", "ActiveState"), self.show("mpecho.service", "ActiveState")

    def runs(self):
        """Which master runs, and since when the socket listens."""
        return (self.show("mpecho.service", "MainPID"),
                self.show("mpecho.socket", "ActiveEnterTimestampMonotonic"))

    def files(self):
        return sorted(self.shell(FILES).splitlines())

    def catalog(self):
        return self.shell("journalctl --list-catalog").count("mpecho")


def test_lifecycle(host):
    """Upgrading and downgrading restart a running service and leave a stopped one stopped, while
    the socket goes on listening; removing stops both; purging leaves nothing; all of it again."""
    admin = Administrator(host)
    before = admin.files()

    admin.install("previous")
    assert admin.states() == ("inactive", "inactive")
    admin.install("packages")
    assert admin.states() == ("inactive", "inactive")
    assert admin.catalog() > 0

    admin.shell("systemctl enable --now mpecho.socket")
    admin.install("previous")
    assert admin.states() == ("active", "inactive")
    assert admin.shell(EXCHANGE) == "hello"
    for directory in "packages", "previous", "packages":
        assert admin.states() == ("active", "active")
        master, listening = admin.runs()
        admin.install(directory)
        assert admin.runs()[0] not in ("0", master)
        assert admin.runs()[1] == listening
        assert admin.shell(EXCHANGE) == "hello"

    admin.apt("remove", "mpecho")
    assert admin.states() == ("inactive", "inactive")
    assert host.run("sh", "-c", EXCHANGE)[0] == 1
    assert "/etc/default/mpecho" in admin.shell("ls /etc/default/mpecho")
    assert admin.catalog() == 0
    assert host.run("systemctl", "cat", "mpecho.service")[0] != 0

    admin.apt("purge", "mpecho", "mpecho-client")
    assert admin.files() == before
    assert admin.shell("systemctl list-units --all --no-legend 'mpecho*'") == ""

    admin.install("packages")
    assert admin.states() == ("inactive", "inactive")
    admin.shell("systemctl start mpecho.socket")
    assert admin.shell(EXCHANGE) == "hello"
    admin.apt("purge", "mpecho", "mpecho-client")
    assert admin.files() == before
