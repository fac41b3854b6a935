# SPDX-License-Identifier: MIT
"""A handler that its peer has taken over harms neither the master nor another connection.

All run with one user ID and no privileges, as under the unit; hostile.c makes the attacks."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import clients
import processes
from manager import send, unit  # noqa: F401
from moved_clock import Clock
from service import SANITIZED
from stepping import Stepped

def without_privileges(user):
    """The start of a command line that gives them up."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all",
            "--bounding-set=-all", "--no-new-privs"]


NOBODY = without_privileges(65534)

victims = itertools.count()

# At most so many system calls of the master from its fork until it has closed the connection.
CLOSING = 5

# The program in its arguments is in a sandbox whose filter refuses nothing.
ENTER_SANDBOX = """import ctypes, os, struct, sys
allow = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000))
program = struct.pack("HxxxxxxP", 1, ctypes.addressof(allow))
assert ctypes.CDLL(None).prctl(22, 2, program, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])"""

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody"),
              pytest.mark.skipif(SANITIZED, reason="the sanitizer's runtime must come first")]


@pytest.fixture(scope="module", name="library")
def fixture_library():
    """Where everybody can read it."""
    with tempfile.TemporaryDirectory(prefix="mpecho-") as directory:
        library = Path(directory, "hostile.so")
        source = Path(__file__).with_name("hostile.c")
        subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC", "-Wl,-z,now", "-o",
                        library, source],
                       check=True)
        library.parent.chmod(0o755)
        yield library


@pytest.fixture(name="clock")
def fixture_clock(library, clock_library):
    """One that everybody can read."""
    return Clock(library.parent, shutil.copy(clock_library, library.parent))


@pytest.fixture(name="victim")
def fixture_victim(unit, library):  # noqa: F811
    """A unit without privileges whose handlers are hostile when their peers ask for it."""
    def begin(*options, descriptors=4096, clock=None, **keywords):
        environment = {"LD_PRELOAD": str(library)}
        if clock:
            environment = clock.environment | {
                "LD_PRELOAD": f"{clock.environment['LD_PRELOAD']}:{library}"}
        # The kernel counts descriptors on their way for each user: another test's must not be among
        # them.
        user = 20000 + (64 * os.getpid() + next(victims)) % 40000
        service = unit(*options, start=False, **keywords)
        service.wrapper = ["prlimit", f"--nofile={descriptors}", *without_privileges(user), "env",
                           *(f"{name}={value}" for name, value in environment.items())]
        service.manager.path.chmod(0o777)
        service.start()
        return service

    return begin


def ask(client, attack, argument=""):
    client.sendall(f"HOSTILE {attack} {argument}\n".encode())


def answer(client):
    return client.recv(512).decode().rstrip("\n")


def masked(data):
    """Bytes to search for, as hostile.c wants them."""
    return bytes(byte ^ 0x5A for byte in data).hex()


def handover_name(service, pid=None):
    """The abstract address where the master, or the keeper pid, takes connections, without its first
    byte."""
    pid = pid or service.pid
    inodes = set(processes.descriptors(pid).values())
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and f"socket:[{fields[6]}]" in inodes:
            return fields[7][1:]
    raise AssertionError("the process does not listen for handlers")


def test_other_processes(victim):
    """It reaches neither the memory nor the descriptors of the master and of another handler, by
    any system call or file, unless that process lets it."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    handler = service.handlers()[1]
    ask(hostile, "processes", f"{service.pid} {handler}")
    assert answer(hostile) == "nothing"
    ask(other, "undress")
    assert answer(other) == "0"
    ask(hostile, "processes", handler)
    assert len(answer(hostile).split(", ")) == 10
    clients.ping(other)


def test_control(victim):
    """In a sandbox that filters system calls, it sends the master no signal, has the kernel send
    none, does not change its limits, executes nothing, gets no other address by connect(2), bind(2) or
    listen(2), and tells systemd nothing; elsewhere it can do all of that. Nor does it stop another
    handler, or signal the keeper."""
    service = victim(expected=["stranger"])
    hostile = service.connect_served()
    ask(hostile, "control")
    assert answer(hostile) == "signal it, have it signalled, limit it"
    ask(hostile, "leave")
    could = answer(hostile).split(", ")
    assert {"bind", "listen", "connect", "send without a connection", "send datagrams",
            "choose a route"} <= set(could)
    ask(hostile, "store", "stranger")
    assert answer(hostile) == "store"
    service.wrapper = [sys.executable, "-c", ENTER_SANDBOX, *service.wrapper]
    service.restart()
    for attack, argument in (("control", ""), ("control-32", ""), ("execute", "/bin/true"),
                             ("leave", ""), ("store", "another")):
        ask(hostile, attack, argument)
        assert answer(hostile) == "nothing"
    ask(hostile, "end", processes.keeper(service.pid))
    assert answer(hostile) == "0"
    other = service.connect_served()
    ask(hostile, "stop", service.handlers()[1])
    assert answer(hostile) == "0"
    clients.ping(other)


def test_address_of_another_peer(victim):
    """The address of another peer, who came before or after it, is nowhere in its memory, neither
    as text nor as a number; nor does it have any socket but its own connection."""
    service = victim()
    before = service.connect_served("127.9.8.7")
    hostile = service.connect_served("127.6.5.4")
    after = service.connect_served("127.9.8.7")
    service.totals()
    ask(hostile, "search", masked(b"127.6.5.4"))
    assert answer(hostile) != "nothing"
    assert_unknown(hostile, "127.9.8.7")
    ask(hostile, "inherited")
    assert answer(hostile) == "nothing"
    clients.ping(before)
    clients.ping(after)


def assert_unknown(hostile, address):
    for needle in address.encode(), socket.inet_aton(address):
        ask(hostile, "search", masked(needle))
        assert answer(hostile) == "nothing", needle


def test_address_of_a_peer_of_the_past(victim):
    """Nor is that of one whose connection has ended, was refused, or came out of the store."""
    service = victim("--max-per-source=1")
    ended = service.connect_served("127.9.8.7")
    name = clients.peer_text(ended)
    ended.close()
    service.closed(name)
    hostile = service.connect_served("127.6.5.4")
    assert_unknown(hostile, "127.9.8.7")
    kept = service.connect_served("127.9.8.7")
    for attempt in range(1, 3):
        clients.connect_refused(listening(service), "127.9.8.7")
        service.journal.wait_for("refused", attempt)
        late = service.connect_served(f"127.6.5.{attempt}")
        assert_unknown(late, "127.9.8.7")
        service.restart()
        assert_unknown(hostile, "127.9.8.7")
        assert_unknown(late, "127.9.8.7")
    clients.ping(kept)


def descriptors_at_rest(service):
    """How many descriptors the master has once it has handed over its last connection."""
    processes.wait_until_waiting([service.pid])
    return len(processes.descriptors(service.pid))


def listening(service):
    """The listener of a unit as the service writes it."""
    return "{}:{}".format(*service.listener.getsockname())


def test_nobody_can_dump_it(victim):
    """The kernel gives no other process of its user access to the master or a handler."""
    service = victim()
    service.connect_served()
    for pid in (service.pid, *service.handlers()):
        assert Path(f"/proc/{pid}/mem").stat().st_uid == 0


def test_shared_memory(victim):
    """It overwrites all that it shares with the master: the others go on, also over a restart."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    ask(hostile, "scribble")
    assert answer(hostile) == "1"
    clients.ping(other)
    service.connect_served()
    service.restart()
    clients.ping(other)
    service.connect_served()
    processes.assert_at_rest({"the master": service.pid})
    service.balanced = False


def test_channel_that_stays_silent(victim):
    """It opens its channel and sends nothing: the master sleeps, and closes it after a second."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    descriptors = descriptors_at_rest(service)
    ask(hostile, "silent", handover_name(service))
    assert int(answer(hostile)) > 0
    processes.wait_for(lambda: len(processes.descriptors(service.pid)) == descriptors,
                       "the channel closed")
    processes.assert_at_rest({"the master": service.pid})
    clients.ping(other)


def test_channel_that_is_full(victim):
    """It opens its channel and fills it with messages: the master closes it, sleeps, and has no
    descriptor more."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    descriptors = descriptors_at_rest(service)
    ask(hostile, "chatter", handover_name(service))
    assert int(answer(hostile)) > 0
    clients.ping(other)
    processes.wait_for(lambda: len(processes.descriptors(service.pid)) == descriptors,
                       "the channel closed")
    processes.assert_at_rest({"the master": service.pid})
    clients.ping(other)


def test_busy_keeper(victim):
    """It opens one channel after the other to the keeper: that kills it, sleeps, and stores the other
    connection when the master is killed."""
    service = victim(expected=["crashed"])
    hostile, other = service.connect_served(), service.connect_served()
    name, keeper = clients.peer_text(hostile), processes.keeper(service.pid)
    ask(hostile, "knock", handover_name(service, keeper))
    crashed, = service.journal.wait_for("crashed", MPECHO_PEER=name)
    assert crashed["MPECHO_SIGNAL"] == str(int(signal.SIGKILL))
    processes.assert_at_rest({"the master": service.pid, "the keeper": keeper})
    assert service.restart(service.crash) == 1
    clients.ping(other)


def test_silent_at_the_keeper(victim):
    """After the master's death it opens a channel to the keeper and sends nothing: the keeper stores
    the other connections, and ends with the last handler."""
    service = victim(expected=["crashed"])
    hostile, others = service.connect_served(), [service.connect_served() for _ in range(3)]
    ask(hostile, "silent", handover_name(service, processes.keeper(service.pid)))
    assert int(answer(hostile)) > 0
    assert service.restart(service.crash) >= len(others)
    for client in others:
        clients.ping(client)


@pytest.mark.parametrize("name", ["mpecho-connection.1", "stranger"])
@pytest.mark.parametrize("most", [1024, 20000])
def test_descriptors_on_their_way(victim, most, name):
    """It puts as many descriptors on their way as the kernel lets its user, and some into the store:
    the service still starts, goes on with its counts, and carries connections over the next restart."""
    service = victim(descriptors=most, expected=["stranger"])
    hostile, before = service.connect_served(), service.connect_served()
    ask(hostile, "flood", name)
    # Fewer than the kernel lets the master send.
    assert most / 2 < int(answer(hostile)) < most
    clients.ping(before)
    service.restart()
    after = service.connect_served()
    for _ in range(2):
        service.restart()
        clients.ping(after)
        assert service.totals().number("MPECHO_SERVED") == 3
    assert not service.journal.records("recounted")
    service.check_store()


@pytest.mark.parametrize("how", ["alone", "behind", "empty", "among", "nested"])
def test_connection_that_lingers(victim, how):
    """It gives the master the last descriptor of a connection that is full and lingers for longer
    than this test waits: the master closes it and serves others while the peer reads nothing."""
    service = victim(expected=["crashed"], descriptors=20000)
    hostile, other = service.connect_served(), service.connect_served()
    handler = service.handlers()[0]
    name = handover_name(service)
    # The last descriptors are the master's: the handler has closed its own before the master looks.
    os.kill(service.pid, signal.SIGSTOP)
    ask(hostile, "linger", f"{name} {how}")
    processes.wait_for(lambda: len(processes.descriptors(handler)) == 4 and 3 not in
                       processes.descriptors(handler), "the handler has kept its end of the channel")
    os.kill(service.pid, signal.SIGCONT)
    clients.ping(other)
    service.connect_served()
    os.kill(handler, signal.SIGKILL)


@pytest.mark.parametrize("name", ["echo", "metrics"])
def test_connection_that_is_left_to_the_master(victim, name):
    """It fills its connection, makes it linger and exits before the master has closed its own
    descriptor, the last one then: the master goes on at once."""
    service = victim(name=name)
    hostile, address = clients.prepare((socket.AF_INET, service.listener.getsockname()))
    service.clients.append(hostile)
    master = Stepped.running(service.pid)
    hostile.connect(address)
    ask(hostile, "abandon")
    while not service.handlers():
        assert master.next_call() is not None
    handler, = service.handlers()
    processes.wait_for(lambda: processes.state(handler) == "Z", "the handler has ended")
    # Its detaching would interrupt the master, as a signal does.
    for _ in range(CLOSING):
        assert master.next_call() is not None
    master.detach()
    service.connect()
    processes.wait_for(lambda: handler not in service.handlers(), "the master has reaped it")


@pytest.mark.parametrize("attack, argument", [
    ("knock", None), ("signal", signal.SIGUSR1), ("signal", signal.SIGCHLD),
    ("signal", signal.SIGTERM)], ids=["knock", "usr1", "chld", "term"])
def test_busy_master(victim, attack, argument):
    """It opens one channel after the other, or sends signals: the master kills it and sleeps."""
    service = victim(expected=["crashed"])
    hostile, other = service.connect_served(), service.connect_served()
    name = clients.peer_text(hostile)
    ask(hostile, attack, handover_name(service) if argument is None else int(argument))
    crashed, = service.journal.wait_for("crashed", MPECHO_PEER=name)
    assert crashed["MPECHO_SIGNAL"] == str(int(signal.SIGKILL))
    processes.assert_at_rest({"the master": service.pid})
    clients.ping(other)


def test_blinking_handler(victim):
    """It has the kernel stop it and let it go on, ten times a second: the master sleeps."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    pid, = service.handlers()[:1]
    ask(hostile, "blink")
    assert answer(hostile) == "2"
    processes.wait_for(lambda: processes.state(pid) == "T", "the handler is stopped")
    processes.wait_for(lambda: processes.state(pid) != "T", "it goes on")
    processes.assert_at_rest({"the master": service.pid}, 1)
    clients.ping(other)


def test_handler_without_a_connection(start, library):
    """A handler that has no connection to hand over, that of a client of the metrics, opens one
    channel after the other: the master kills it, and sleeps."""
    service = start("proxy:127.0.0.1:0", "metrics:127.0.0.1:0",
                    wrapper=[*NOBODY, "env", f"LD_PRELOAD={library}"])
    hostile = service.connect(address=service.listeners()[1])
    ask(hostile, "knock", handover_name(service))
    with pytest.raises(ConnectionResetError):
        clients.receive_all(hostile)
    processes.assert_at_rest({"the master": service.pid}, 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM])
def test_queued_signals(victim, number):
    """It sends signals without end whose sender the kernel does not attest: the master ignores
    them, wakes up for few, and yet serves others, and hands them over when its manager stops it."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    before = processes.usage(service.pid)
    ask(hostile, "queue", int(number))
    clients.ping(other)
    sent = int(answer(hostile))
    wakeups, busy = (after - first for after, first in zip(processes.usage(service.pid), before))
    assert sent > 1000 and wakeups < 100 and busy < 0.1, (sent, wakeups, busy)
    if number == signal.SIGTERM:
        # The manager's could otherwise be one with the last that was forged.
        service.totals()
    ask(hostile, "queue", int(signal.SIGHUP))
    service.connect_served()
    service.restart()
    clients.ping(other)


def test_fork(victim):
    """It cannot fork: a child that blocks all signals would delay each stop of the service."""
    service = victim()
    hostile = service.connect_served()
    ask(hostile, "fork")
    assert answer(hostile) == "nothing"


def test_exit_code_is_not_believed(victim):
    """It claims that its connection was handed over: the master logs it failed and forgets it."""
    service = victim()
    hostile, other = service.connect_served(), service.connect_served()
    ask(hostile, "exit", 6)
    assert service.closed(clients.peer_text(hostile))["MPECHO_REASON"] == "failed"
    service.wait_until_idle(1)
    assert service.totals().number("MPECHO_LIVE") == 1
    clients.ping(other)
    service.check_store()


def test_store_that_fills(victim):
    """Handlers give their connections to the keeper and end: none stays in the store, which would be
    full one day, and without room for the others."""
    service = victim()
    other = service.connect_served()
    reasons = []
    for _ in range(3):
        hostile = service.connect_served()
        name = clients.peer_text(hostile)
        ask(hostile, "deposit", handover_name(service, processes.keeper(service.pid)))
        reasons.append(service.closed(name)["MPECHO_REASON"])
        hostile.close()
    # The keeper waits for a second, which may be too short for a busy machine.
    assert set(reasons) <= {"closed by peer", "reset by peer"}
    assert sum(message.get("FDNAME", "").startswith("h.") and "FDSTORE" in message
               for _, _, message in service.manager.taken) == reasons.count("closed by peer") > 0
    service.check_store()
    service.manager.room = len(service.manager.store) + 2
    assert service.restart() == 1
    clients.ping(other)


@pytest.mark.parametrize("name", [
    "stranger", "s" * 200, "mpecho-connection.2", "mpecho-ledger.2", "mpecho-ledger.999999999998",
    "mpecho-connection.999999999998", "mpecho-connection.999999999999", "h.999999999999.1"])
def test_store(victim, name):
    """Whatever name it stores descriptors by, over two restarts the counts and connections go on,
    and the store has the name no more."""
    service = victim(expected=["stranger"])
    hostile, other = service.connect_served(), service.connect_served()
    ask(hostile, "store", name)
    assert answer(hostile) == "store"
    for _ in range(2):
        service.terminate()
        service.start()
        clients.ping(other)
        service.check_store()
        assert service.totals().number("MPECHO_SERVED") == 2
    assert not service.journal.records("recounted")
    clients.ping(hostile)


def is_dying(pid):
    """Whether a process has been killed, and is not a zombie yet."""
    return processes.state(pid) not in ("Z", None) and (
        processes.is_killed(pid) or processes.has_ended(pid))


def terminate_by(clock, service):
    """Stops the service as systemd does, while the stopped clock moves on, and returns by how much.

    It moves when handlers, master and manager have done what was due before, and no handler dies."""
    handlers, moves = service.handlers(), 0
    service.signal(signal.SIGTERM)
    send(handlers, signal.SIGTERM)
    while not processes.has_ended(service.pid):
        clock.advance(0.1)
        moves += 1
        processes.wait_until_noticed([*handlers, service.pid])
        processes.wait_until_noticed([service.pid])
        processes.wait_for(lambda: not any(map(is_dying, handlers)), "the death of the killed")
        service.manager.sync()
        processes.wait_until_noticed([service.pid])
    assert service.process.wait(processes.DEADLINE) == 0
    return moves / 10


def test_stop(victim, clock):
    """Handlers ignore SIGTERM and knock every second, or hand their connections over late, one after
    the other, and stay: a stop takes hardly longer than the 4 seconds that it takes with one that only
    ignores it, and loses no other connection."""
    clock.stop()
    service = victim(expected=["crashed"], clock=clock)
    other = service.connect_served()
    seconds = {}
    for attacks in ["hang"], ["deaf"], [f"late {delay}" for delay in (1500, 3500, 5500, 7500)]:
        hostile = [service.connect_served() for _ in attacks]
        for client, handler, attack in zip(hostile, service.handlers()[-len(attacks):], attacks):
            name, _, delay = attack.partition(" ")
            ask(client, name, f"{handover_name(service)} {delay}".rstrip())
            processes.wait_for(lambda: processes.signal_set(processes.status(handler)["SigBlk"]),
                               f"{attack} has begun")
        seconds[attacks[0]] = terminate_by(clock, service)
        service.start()
        for client in hostile:
            client.close()
        clients.ping(other)
    # One after the other would take twice as long.
    assert 4 <= seconds["hang"] <= max(seconds.values()) < 5, seconds


def test_connection_that_nobody_stores(victim):
    """It gives the master the last descriptor of a connection that is full and lingers, while systemd's
    store has no room: the stop waits for the handler alone."""
    service = victim(expected=["crashed"])
    hostile = service.connect_served()
    handler, = service.handlers()
    ask(hostile, "bequeath", handover_name(service))
    processes.wait_for(lambda: processes.signal_set(processes.status(handler)["SigBlk"]),
                       "it waits for the stop")
    service.manager.room = len(service.manager.store)
    service.terminate()
    # The next master finds it nowhere, and writes the record of its end.
    service.manager.room = 1000
    service.start()
    assert service.totals().number("MPECHO_SERVED") == 1
