# SPDX-License-Identifier: MIT
"""Other clocks than the machine's for the programs under test, by a preloaded library."""

import contextlib
import random
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from processes import wait_for
from service import SANITIZED

YEAR = 365 * 86400


class Clock:
    """The clocks as programs with this environment see them: at first those of the machine."""

    def __init__(self, directory, library):
        self._file = directory / "clocks"
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}
        self._file.write_bytes(bytes(24))
        self._stopped = 0
        # A test and its server may both move it.
        self._moves = threading.Lock()

    @property
    def wrapper(self):
        """The start of a command line of such a program."""
        return ["env", *(f"{name}={value}" for name, value in self.environment.items())]

    def _write(self, index, value):
        with self._file.open("r+b") as file:
            file.seek(8 * index)
            file.write(struct.pack("q", value))

    def set(self, seconds):
        """Moves the time of day by this, from what it really is."""
        self._write(0, seconds)

    def stop(self):
        """Stops the monotonic clock: no deadline passes any more, however long the machine stalls."""
        self._stopped = time.monotonic_ns()
        self._write(1, self._stopped)

    def resume(self):
        """It shows the machine's time again, which has gone on."""
        self._write(1, 0)

    def advance(self, seconds):
        """Moves the stopped clock on."""
        with self._moves:
            self._stopped += int(1e9 * seconds)
            self._write(1, self._stopped)

    def stall(self, seconds):
        """Moves the stopped clock on, and the time of day; by the kernel nothing came meanwhile."""
        self._write(2, int(1e9 * seconds))
        self.set(seconds)
        self.advance(seconds)

    def run_out(self, process, seconds):
        """Moves the stopped clock on until the process has ended, by so many seconds each time."""
        wait_for(lambda: process.poll() is not None or self.advance(seconds), "the process ended")

    @contextlib.contextmanager
    def moving(self):
        """In the meantime it jumps to and fro, by anything from seconds to twenty years."""
        ended, jumps = threading.Event(), random.Random(862)

        def jump():
            while not ended.wait(0.001):
                self.set(jumps.choice([-20, 20]) * int(YEAR ** jumps.random()))

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture(scope="session")
def clock_library(tmp_path_factory):
    """The library that all clocks have."""
    if SANITIZED:
        pytest.skip("the sanitizer's library must be the first that is loaded")
    library = tmp_path_factory.mktemp("clock") / "move_clock.so"
    source = Path(__file__).with_name("move_clock.c")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library, source],
                   check=True)
    return library


@pytest.fixture
def clock(tmp_path, clock_library):
    """A clock of the test's own."""
    return Clock(tmp_path, clock_library)
