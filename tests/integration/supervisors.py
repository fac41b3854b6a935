# SPDX-License-Identifier: MIT
"""Programs that start mpecho by themselves: systemd-socket-activate and two inetds."""

import subprocess
import tempfile
from pathlib import Path

import clients
import processes
from journald import Journal
from network import Network
from processes import wait_for
from service import check_records, variables, with_journal

ADDRESS = "127.0.0.1:7"


class Supervisor:
    """A program that listens on ADDRESS, in a network namespace of its own, and starts mpecho.

    command(directory) is its command line; directory is a Path where it may put files."""

    def __init__(self, command):
        self.clients = []
        self.network = Network()
        self._directory = tempfile.TemporaryDirectory(prefix="mpecho-")
        path = Path(self._directory.name)
        self.journal = Journal(path)
        self._log = (path / "log").open("a+b")
        self.process = self.network.run(
            subprocess.Popen, with_journal(self.journal) + command(path), env=variables({}),
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True)
        self.pid = self.process.pid

    def connect(self):
        """A client's connection; the first one waits until somebody listens."""
        def connected():
            assert self.process.poll() is None, self.log()
            try:
                return self.network.run(clients.connect, ADDRESS)
            except ConnectionRefusedError:
                return None
        client = wait_for(connected, f"{ADDRESS} listening")
        self.clients.append(client)
        return client

    def started(self):
        """The pids of the programs that it has started."""
        return processes.children(self.pid)

    def log(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def finish(self):
        """Ends the supervisor, which must have nothing running any more, and checks the records."""
        for client in self.clients:
            client.close()
        wait_for(lambda: not self.started(), "all it started reaped")
        self.process.terminate()
        self.process.wait(processes.DEADLINE)
        self.journal.close()
        check_records(self.journal)

    def close(self):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.journal.close()
        self._log.close()
        self._directory.cleanup()
        self.network.close()
