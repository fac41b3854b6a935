"""Network namespaces of the tests' own."""

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

CLONE_NEWNET = 0x40000000


class Network:
    """A network namespace with only a loopback interface, entered by one thread.

    Sockets made and programs started by run() are in it; it goes when the last of them does."""

    def __init__(self, *addresses):
        if os.geteuid() != 0:
            pytest.skip("a network namespace needs root")
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.run(self._enter, addresses)

    @staticmethod
    def _enter(addresses):
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for address in addresses:
            subprocess.run(["ip", "address", "add", address, "dev", "lo", "nodad"], check=True)

    def run(self, function, *arguments, **keywords):
        return self._thread.submit(function, *arguments, **keywords).result()

    def close(self):
        self._thread.shutdown()
