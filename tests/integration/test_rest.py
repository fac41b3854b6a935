# SPDX-License-Identifier: MIT
"""A master that has nothing to do sleeps: few wake-ups, and no processor time."""

import contextlib
import resource
import signal
import socket

import pytest

import clients
import processes
from journald import Notifications
from manager import send
from test_hostile_handlers import handover_name

SECOND = 1000000  # microseconds
SCRAPERS = 16  # clients of metrics that the service answers at once
REPORTS = 150  # of 20 connections, more than the queue of records has room for


@pytest.fixture
def managed(start, tmp_path_factory):
    """Starts services with a service manager of their own."""
    with contextlib.ExitStack() as stack:
        def begin(*arguments, passed=(), **environment):
            manager = Notifications(tmp_path_factory.mktemp("notify"))
            stack.callback(manager.close)
            return start(*arguments, passed=passed,
                         environment={"NOTIFY_SOCKET": manager.path, **environment})

        yield begin


def wait_until_exhausted(service):
    """Waits until the pauses of the service are as long as they get."""
    service.journal.wait_for("exhausted", len(service.journal.records("exhausted")) + 3)


def limit_descriptors(service):
    """Lets the service open no descriptor more than it has, while clients wait."""
    most = max(processes.descriptors(service.pid)) + 1
    _, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (most, hard))
    for _ in range(60):
        service.knock()
    wait_until_exhausted(service)


def serve_one(start, listener):
    """A service that has the only connection of a listener as its standard input."""
    client = clients.connect((socket.AF_INET, listener.getsockname()))
    with clients.accept(listener) as accepted:
        service = start(listen=None, stdin=accepted, ready=False)
    service.clients.append(client)
    clients.ping(client)
    return service


def fill_metrics(service):
    """Connects clients that read nothing, one more than the service answers at once, and stops the
    handlers, which do not wait for long."""
    for _ in range(SCRAPERS + 1):
        client, address = clients.prepare(service.listeners()[-1])
        service.clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    service.wait_until_idle(SCRAPERS)
    handlers = service.handlers()
    send(handlers, signal.SIGSTOP)
    processes.wait_for(lambda: all(processes.state(pid) == "T" for pid in handlers), "all stand")
    # The master has taken the signals that say so.
    service.totals()


def ask(service):
    """Lets the service answer datagrams; the record shows that the master knows of them."""
    family, address = clients.parse_address(service.listeners()[0].removeprefix("udp:"))
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(processes.DEADLINE)
        for _ in range(100):
            client.sendto(b"ping", address)
            assert client.recv(100) == b"ping"
    processes.wait_for(lambda: service.totals().number("MPECHO_DATAGRAMS_ANSWERED") == 100,
                       "all are counted")


def test_idle_connections(start, managed):
    """However many connections are idle, however the sockets came, with and without a service
    manager, its watchdog, the keeper of connections and an idle timeout of the service; after
    datagrams, and with as many clients of the metrics as there may be."""
    with (clients.listen() as listener, clients.listen() as other, clients.listen() as waited,
          clients.listen() as accepted, clients.listen() as kept):
        services = {
            "alone": (start(), 1),
            "passed, nobody": (start("--exit-idle=3600", passed=[listener]), 0),
            "passed, one": (start("--exit-idle=3600", passed=[other]), 1),
            "managed, nobody": (managed(), 0),
            "managed, one": (managed(), 1),
            "managed, many": (managed("--max-per-source=0"), 100),
            "managed, passed": (managed(passed=[kept]), 1),
            "watchdog, one": (managed(WATCHDOG_USEC=2 * SECOND), 1),
            "full": (managed("--max-connections=1"), 1),
            "silent": (managed("--max-connections=4", "proxy:127.0.0.1:0"), 0),
            "reported": (managed(), 1),
            "inetd, wait": (start(listen=None, stdin=waited), 1),
            "inetd, nowait": (serve_one(start, accepted), 0),
            "datagrams": (managed("udp:127.0.0.1:0"), 0),
            "metrics": (managed("127.0.0.1:0", "metrics:127.0.0.1:0"), 0),
        }
        for service, connections in services.values():
            for _ in range(connections):
                service.connect_served()
        services["full"][0].knock()
        # One client may be silent at a time, for a few seconds; the others wait.
        for _ in range(4):
            services["silent"][0].knock()
        services["reported"][0].totals()
        ask(services["datagrams"][0])
        fill_metrics(services["metrics"][0])
        pids = {name: service.pid for name, (service, _) in services.items()}
        pids["handler of datagrams"], = services["datagrams"][0].handlers()
        pids["keeper"] = processes.keeper(pids["managed, passed"])
        processes.assert_at_rest(pids)
        services["full"][0].clients[0].close()
        send(services["metrics"][0].handlers(), signal.SIGCONT)


def test_a_thousand_idle_connections(managed):
    """A thousand connections cost an idle master no more than one."""
    service = managed("--max-per-source=0")
    for _ in range(1001):
        service.connect_served()
    # With so many, the master looks for others that have ended a little later.
    service.clients.pop().close()
    service.wait_until_idle(1000)
    processes.assert_at_rest({"a thousand": service.pid})


def test_trouble(start, managed, tmp_path):
    """Out of descriptors, also for clients of the metrics, for a channel of a handler, or with nobody
    live and a limit to idleness; a journald that does not read, and a full queue of records; a
    service manager that does not read."""
    hung = Notifications(tmp_path, reading=False)
    hung.fill()
    with clients.listen() as listener, clients.listen() as other, contextlib.closing(hung):
        services = {
            "exhausted": start("127.0.0.1:0", "metrics:127.0.0.1:0", expected=["exhausted"]),
            "a channel waits": start("proxy:127.0.0.1:0", expected=["exhausted"]),
            "journald hangs": start(passed=[other], reading=False, ready=False, expected=["lost"]),
            "manager hangs": start(environment={"NOTIFY_SOCKET": hung.path,
                                                "WATCHDOG_USEC": 20 * SECOND}),
        }
        services["exhausted"].connect_served()
        limit_descriptors(services["exhausted"])
        services["exhausted"].clients.append(
            clients.knock(services["exhausted"].listeners()[1]))
        limit_descriptors(services["a channel waits"])
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.connect("\0" + handover_name(services["a channel waits"]))
        address = (socket.AF_INET, other.getsockname())
        for _ in range(20):
            services["journald hangs"].connect_served(address=address)
        services["journald hangs"].report(REPORTS)
        services["manager hangs"].connect_served()
        # It would end without the client that comes first, and later without those that wait.
        first = clients.connect((socket.AF_INET, listener.getsockname()))
        services["soon idle"] = start("--exit-idle=2", passed=[listener], expected=["exhausted"])
        clients.ping(first)
        limit_descriptors(services["soon idle"])
        first.close()
        services["soon idle"].wait_until_idle()
        # The end of a handler shortens them.
        wait_until_exhausted(services["soon idle"])
        processes.assert_at_rest({name: service.pid for name, service in services.items()})
        channel.close()
        services["journald hangs"].journal.read()
        services["journald hangs"].journal.wait_for("lost")
        for service in services.values():
            _, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (hard, hard))
