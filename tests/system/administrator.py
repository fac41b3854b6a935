# SPDX-License-Identifier: MIT
"""What one does with the packages, and with the service, on a machine."""

import time

SECONDS = 120  # that anything may take, on a machine that has much else to do

# All files where a service could leave some, but those of the machine's own services; and all that
# are named after it, but for the logs of apt and dpkg.
FILES = ("find /etc /run /var -xdev ! -path '/run/systemd/*' ! -path '/run/log/*' "
         "! -path '/var/tmp/*' ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' "
         "! -path '/var/cache/*' ! -path '/var/log/*' ! -path '/var/backups/*'; "
         "find / -xdev -name '*mpecho*' ! -path '/usr/src/*'; "
         "find /run /var/tmp -name '*mpecho*'")


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

    def wait_for_files(self, expected):
        """Wait until there are exactly these. A thread of systemd's removes directories of
        PrivateTmp= some time after the service has stopped."""
        deadline = time.monotonic() + SECONDS
        while (found := self.files()) != expected:
            assert time.monotonic() < deadline, set(found) ^ set(expected)
            time.sleep(0.1)

    def catalog(self):
        return self.shell("journalctl --list-catalog").count("mpecho")
