# SPDX-License-Identifier: MIT
"""A master that has nothing to do sleeps: few wake-ups, and no processor time."""

import contextlib

import pytest

import processes
from journald import Notifications

SECOND = 1000000  # microseconds


@pytest.fixture
def managed(start, tmp_path_factory):
    """Starts services with a service manager of their own."""
    with contextlib.ExitStack() as stack:
        def begin(*arguments, **environment):
            manager = Notifications(tmp_path_factory.mktemp("notify"))
            stack.callback(manager.close)
            return start(*arguments, environment={"NOTIFY_SOCKET": manager.path, **environment})

        yield begin


def test_idle_connections(start, managed):
    """However many connections are idle, with and without a service manager and its watchdog."""
    services = {
        "alone": (start(), 1),
        "managed, nobody": (managed(), 0),
        "managed, one": (managed(), 1),
        "managed, many": (managed("--max-per-source=0"), 100),
        "watchdog, one": (managed(WATCHDOG_USEC=2 * SECOND), 1),
        "full": (managed("--max-connections=1"), 1),
    }
    for service, connections in services.values():
        for _ in range(connections):
            service.connect_served()
    services["full"][0].knock()
    processes.assert_at_rest({name: service.pid for name, (service, _) in services.items()})
    services["full"][0].clients[0].close()
