# SPDX-License-Identifier: MIT
"""The recipes of mpecho(8) for more than one machine, as they stand there: what a restart, a machine
that vanishes and a change of the machines do to connections."""

import contextlib
import os
import signal
import socket
import subprocess
from collections import Counter

import pytest

import client as program
import clients
from manager import unit  # noqa: F401
from processes import DEADLINE, wait_for
from service import documented
from test_client_json import parse
from test_haproxy import HAPROXY, running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

SERVICE = "192.0.2.7"
MACHINES = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
HERE, ROUTER, GATEWAY = "198.51.100.2", "198.51.100.1", "10.0.0.1"
UNUSED = "192.0.2.254/32"  # of the router's ends of the machines' cables
PORTS = {"echo": 7, "proxy": 9192}
CONNECTIONS, SERVED = 1000, 30


class Machine:
    """A machine behind the router, with an address and a unit whose listener has this name."""

    def __init__(self, network, router, unit, address, name):
        self.address = address
        self.network = network(f"{SERVICE}/32")
        self.network.link(router, (f"{address}/24", UNUSED))
        port = "m" + address.rpartition(".")[2]
        for command in ("ip link set cable down", f"ip link set cable name {port} master eth1 up"):
            router.execute(*command.split())
        self.network.execute("ip", "route", "add", "default", "via", GATEWAY)
        listener = self.network.run(clients.listen, address=("", PORTS[name]))
        self.unit = unit("--max-per-source=0", f"--proxy-from={GATEWAY}", start=False,
                         listener=listener, name=name)
        self.metrics = clients.listen(socket.AF_UNIX, f"{self.unit.manager.path}.metrics")
        self.unit.others.append(("metrics", self.metrics))
        self.unit.start()

    def accepted(self):
        """The peers that its log has accepted."""
        return [record["MPECHO_PEER"] for record in self.unit.journal.records("accepted")]

    def peers(self):
        """The same without the router's checks."""
        return [peer for peer in self.accepted() if not peer.startswith(f"{GATEWAY}:")]

    def counted(self):
        """How many peers its metrics count as accepted."""
        with clients.connect((socket.AF_UNIX, self.metrics.getsockname())) as client:
            client.shutdown(socket.SHUT_WR)
            text = clients.receive_all(client).decode()
        return int(text.partition("\nmpecho_connections_accepted_total ")[2].split()[0])


class Farm:
    """Clients, `here`, a router, and three machines behind it."""

    def __init__(self, network, unit, name):
        self.here, self.router = network(), network()
        self.here.link(self.router, (f"{HERE}/24", f"{ROUTER}/24"), name="eth0")
        self.here.execute("ip", "route", "add", "default", "via", ROUTER)
        for command in ("ip link add eth1 type bridge", "ip link set eth1 up",
                        f"ip address add {GATEWAY}/24 dev eth1",
                        "sysctl -q -w net.ipv4.ip_forward=1"):
            self.router.execute(*command.split())
        self.machines = [Machine(network, self.router, unit, address, name)
                         for address in MACHINES]

    def peers(self):
        """The clients in all logs."""
        return [peer for machine in self.machines for peer in machine.peers()]

    def load(self):
        """A program with CONNECTIONS connections that compares each byte, until it is told to end."""
        load = self.here.run(program.Client, "--json", "--load", f"-P{CONNECTIONS}",
                             f"-R{CONNECTIONS}", "-s300", "-w600", f"-W{DEADLINE}", f"--connect-timeout={DEADLINE}", SERVICE)
        self.wait_until_logged(CONNECTIONS)
        assert len(set(self.peers())) == CONNECTIONS
        assert all(machine.peers() for machine in self.machines)
        return load

    def restart_each(self):
        """Restarts one service after the other; each hands over all its connections."""
        for machine in self.machines:
            assert machine.unit.restart() >= len(machine.peers())

    def check_counts(self):
        """The metrics of each machine count each peer in its log once."""
        for machine in self.machines:
            wait_for(lambda machine=machine: machine.counted() == len(machine.accepted()),
                     "the count of the log")

    def wait_until_logged(self, count):
        """Waits until the logs together have accepted this many clients."""
        wait_for(lambda: len(self.peers()) >= count, f"{count} records")
        assert len(self.peers()) == count


def end(load):
    """Ends the load, and returns the connections that it has lost by kind of error; "idle" are those
    that ended between two requests."""
    load.process.send_signal(signal.SIGTERM)
    _, output, errors = load.end()
    assert errors == []
    result = parse(output.decode())["load"]
    assert result["answered"] > CONNECTIONS
    kinds = {kind: count for kind, count in result["errors"].items() if count}
    return Counter(kinds, idle=result["reconnects"] - sum(kinds.values()))


@pytest.fixture
def farm(network, unit, request):
    one = Farm(network, unit, getattr(request, "param", "echo"))
    yield one
    for machine in one.machines:
        machine.metrics.close()


def vanish(machine):
    """Nothing arrives there any more, and nobody hears of it. What it has sent already arrives: no
    client waits for an answer without a request to repeat."""
    machine.network.drop(incoming="all")


def reboot(machine):
    """It comes back, and knows nothing of its connections."""
    machine.unit.terminate()
    machine.unit.manager.remove()
    machine.unit.balanced = False
    machine.network.drop()
    machine.unit.start()


def served(farm):
    """Connects SERVED times, one after the other, and sees an echo each time."""
    for _ in range(SERVED):
        with farm.here.run(clients.connect, f"{SERVICE}:7") as client:
            clients.ping(client)


@pytest.fixture
def checks(farm):
    """Starts the loop that checks the machines, on the router. A live one has any time to answer."""
    loop = documented("This loop")
    assert " -W 3 " in loop
    environment = {**os.environ, "PATH": f"{os.environ['MPECHO_BUILD']}:{os.environ['PATH']}"}
    loops = []

    def begin():
        loops.append(farm.router.run(
            subprocess.Popen, ["sh", "-c", loop.replace(" -W 3 ", f" -W {DEADLINE} ")],
            env=environment, stdout=subprocess.DEVNULL, start_new_session=True))

    yield begin
    for loop in loops:
        os.killpg(loop.pid, signal.SIGKILL)
        loop.wait()


def group(farm):
    """The next hops that the router has for the service."""
    return farm.router.execute("ip", "nexthop", "show", "id", "7").split()[3]


def test_next_hops(farm, checks):
    """With several next hops, restarts cost no connection. A machine that vanishes takes along its
    own connections only, and one that comes back takes none."""
    farm.router.execute("sh", "-ec", documented("keeps no\nconnections"))
    with farm.load() as load:
        farm.restart_each()
        farm.check_counts()
        gone = farm.machines[2]
        own = len(gone.peers())
        checks()
        vanish(gone)
        wait_for(lambda: group(farm) == "11/12", "the machine left the group")
        served(farm)
        farm.wait_until_logged(CONNECTIONS + own + SERVED)
        reboot(gone)
        wait_for(lambda: group(farm) == "11/12/13", "the machine joined the group")
        served(farm)
        farm.wait_until_logged(CONNECTIONS + own + 2 * SERVED)
        assert end(load) == Counter(reset=own)


def test_translated_addresses(farm):
    """With translated addresses, neither restarts nor a change of the machines cost a connection. A
    machine that vanishes takes along its own connections only."""
    farm.router.execute("ip", "address", "add", f"{SERVICE}/32", "dev", "lo")
    farm.router.execute("nft", "-f", "-", text=documented("remembers the choice"))
    with farm.load() as load:
        farm.restart_each()
        farm.check_counts()
        gone = farm.machines[2]
        own = len(gone.peers())
        farm.router.execute("nft", "-f", "-", text=documented("This removes the third"))
        served(farm)
        assert len(gone.peers()) == own
        vanish(gone)
        farm.router.execute("sh", "-ec", documented("If that machine has failed"))
        farm.wait_until_logged(CONNECTIONS + own + SERVED)
        assert end(load) == Counter(reset=own)
    reboot(gone)


class Balancer:
    """HAProxy as mpecho(8) has it, on the router, until the stack ends.

    It takes a connect that it hears of too late for a failed one. A busy machine therefore gets any
    time for connects, and no live machine is checked while it has connections."""

    def __init__(self, farm, directory, stack):
        self._path = directory / "admin"
        text = documented(".Pa haproxy.cfg :")
        for setting, time in ("timeout connect 2s", f"{DEADLINE}s"), (
                "timeout check 10s", f"{DEADLINE}s"), ("inter 2s", "100ms"):
            assert setting in text
            text = text.replace(setting, f"{setting.rpartition(' ')[0]} {time}")
        text += f"global\n stats socket {self._path} level admin\n"
        farm.router.execute("ip", "address", "add", f"{SERVICE}/32", "dev", "lo")
        proxy = farm.router.run(stack.enter_context, running(directory, text))
        wait_for(lambda: proxy.poll() is not None or all(
            machine.accepted() for machine in farm.machines), "a check of each machine")
        for server in "one", "two", "three":
            self.tell(f"disable health echo/{server}", f"set server echo/{server} health up")

    def tell(self, *commands):
        with clients.connect(str(self._path)) as admin:
            admin.sendall("; ".join(commands).encode() + b"\n")
            assert clients.receive_all(admin).strip() == b""


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not there")
@pytest.mark.parametrize("farm", ["proxy"], indirect=True)
def test_haproxy(farm, tmp_path):
    """Behind HAProxy restarts cost no connection, and clients have their own addresses in the logs. A
    machine that vanishes takes along its own connections only, and once they have ended no new one."""
    with contextlib.ExitStack() as stack:
        balancer = Balancer(farm, tmp_path, stack)
        with farm.load() as load:
            farm.restart_each()
            gone = farm.machines[2]
            own = len(gone.peers())
            vanish(gone)
            balancer.tell("enable health echo/three")
            farm.wait_until_logged(CONNECTIONS + own)
            served(farm)
            farm.wait_until_logged(CONNECTIONS + own + SERVED)
            assert sum(end(load).values()) == own
    farm.check_counts()
    reboot(gone)
