# SPDX-License-Identifier: MIT
"""Connections go on while the service is restarted, and when its master is killed."""

import concurrent.futures
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

import clients
import processes
import visitors
from chatter import chat  # noqa: F401
from manager import send, unit  # noqa: F401
from moved_clock import clock, clock_library  # noqa: F401
from stepping import Stepped
from tracing import Tampering

STOPS = ["terminate", "crash"]

# What a master gives its handlers.
PATIENCE = 4


@pytest.mark.parametrize("stop", STOPS)
def test_conversations_go_on(unit, chat, stop):
    """Connections in the middle of everything live through restarts: no byte lost, none ended."""
    service = unit()
    connected = [service.connect_served() for _ in range(50)]
    chatter = chat(connected)
    for restarts in range(1, 5):
        assert service.restart(getattr(service, stop)) == len(connected)
        chatter.go_on()
        service.check_store()
        assert service.resumed(restarts) == [len(connected)] * restarts
    chatter.stop()
    assert not service.journal.records("closed")
    names = {client: clients.peer_text(client) for client in connected}
    for client in connected:
        client.close()
    service.journal.wait_for("closed", len(connected))
    for client, name in names.items():
        assert service.closed(name).number("MPECHO_BYTES") == chatter.bytes[client] + len("ping")
        assert service.closed(name)["MPECHO_REASON"] == "closed by peer"


@pytest.mark.parametrize("stop", STOPS)
def test_more_connections_than_a_message_holds(unit, chat, clock, stop):
    """Three hundred connections, more than one message to systemd can carry, go on."""
    service = unit("--max-per-source=0", start=False)
    service.wrapper = clock.wrapper
    service.start()
    connected = [service.connect_served() for _ in range(300)]
    # However long the stand-in of systemd takes, nobody loses patience with it.
    clock.stop()
    chatter = chat(connected, longest=100)
    assert service.restart(getattr(service, stop)) == len(connected)
    chatter.go_on()
    chatter.stop()
    service.check_store()
    assert not service.journal.records("closed")


def test_streams_go_on(unit):
    """Streams that run both ways at full speed lose nothing in restarts, nor when it crashes."""
    service = unit()
    connected = [service.connect_served() for _ in range(2)]
    names = [clients.peer_text(client) for client in connected]
    over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        streams = [pool.submit(clients.exchange, client, clients.RANDOM, 1 << 26,
                               more=lambda: not over.is_set()) for client in connected]
        try:
            for restarts in range(8):
                service.restart(service.crash if restarts % 2 else service.terminate)
                assert not any(stream.done() for stream in streams)
        finally:
            over.set()
    for name, stream in zip(names, streams):
        assert service.closed(name).number("MPECHO_BYTES") == stream.result() + len("ping")


@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("stop", STOPS)
def test_peers_that_do_not_read(unit, stop, half_closed):
    """With all buffers full both ways, half-closed or not, every byte comes when it is read."""
    service = unit()
    connected = [service.connect_served() for _ in range(3)]
    written = [clients.fill(client, service.handlers())
               for client in connected]
    if half_closed:
        for client in connected:
            client.shutdown(socket.SHUT_WR)
    unsent = 0
    for _ in range(2):
        getattr(service, stop)()
        assert service.manager.connections() == len(connected)
        unsent += service.manager.unsent()
        service.start()
        service.check_store()
        # They have read what there was to read, and wait for their peers to read it.
        processes.wait_until_waiting(service.handlers())
    assert unsent > 0
    for client, count in zip(connected, written):
        if not half_closed:
            client.shutdown(socket.SHUT_WR)
        assert clients.drain(client) == count
        record = service.closed(clients.peer_text(client))
        assert record.number("MPECHO_BYTES") == count + len("ping")
        assert record["MPECHO_REASON"] == "closed by peer"


@pytest.mark.parametrize("stop", ["terminate", "crash"])
def test_a_restart_before_an_ended_stream_is_acknowledged(unit, tmp_path, stop):
    """The next handler waits for it, too."""
    service = unit()
    address = (socket.AF_INET, service.listener.getsockname())
    with visitors.peer_that_ends_unread(service, address, tmp_path) as client:
        getattr(service, stop)()
        assert service.manager.connections() == 1
        service.start()
        handler, = service.handlers()
        with Tampering(handler, "ppoll", log=tmp_path / "trace") as trace:
            processes.wait_for(lambda: trace.count("ppoll") >= 1, "the handler waits")
        assert clients.receive_all(client) == visitors.UNREAD
        record = service.closed(clients.peer_text(client))
        assert record["MPECHO_REASON"] == "closed by peer"
        assert record.number("MPECHO_BYTES") == len(b"ping") + len(visitors.UNREAD)


def test_unsent_bytes_once(unit):
    """A master that is killed before it has emptied the store: nothing is echoed twice."""
    service = unit()
    client = service.connect_served()
    written = clients.fill(client, service.handlers())
    service.terminate_with_unsent()
    service.manager.keeping = True
    service.start()
    view = memoryview(clients.RANDOM * (2 + written // len(clients.RANDOM)))
    assert clients.receive(client, written) == view[:written]
    clients.ping(client)
    service.crash()
    service.manager.keeping = False
    service.start()
    clients.ping(client, b"and nothing before it")


def test_slow_manager(unit, clock):
    """However long the manager takes to store a connection, no handler is killed meanwhile."""
    service = unit()
    service.wrapper = ["env", *(f"{name}={value}" for name, value in clock.environment.items())]
    service.restart()
    connected = [service.connect_served() for _ in range(2)]
    first, second = service.handlers()
    send([second], signal.SIGSTOP)
    before = set(processes.descriptors(service.pid).values())
    clock.stop()
    with service.manager.busy():
        service.signal(signal.SIGTERM)
        processes.wait_for(lambda: any(name.startswith("pipe:") for name in
                                       set(processes.descriptors(service.pid).values()) - before),
                           "the master waits for the manager")
        clock.advance(2 * PATIENCE)
    processes.wait_for(lambda: processes.state(first) is None, "the handler gone")
    clock.advance(PATIENCE / 2)
    send([second], signal.SIGCONT)
    assert service.process.wait(processes.DEADLINE) == 0
    service.manager.sync()
    assert service.manager.connections() == len(connected)
    service.start()
    for client in connected:
        clients.ping(client)


def test_crash_while_resuming(unit):
    """A master that is killed before it has emptied the store: each connection has one handler in
    the end, and all bytes are counted."""
    service = unit()
    connected = [service.connect_served() for _ in range(3)]
    service.terminate()
    service.manager.keeping = True
    service.start()
    for client in connected:
        clients.ping(client)
    service.crash()
    service.manager.keeping = False
    service.start()
    for client in connected:
        clients.ping(client)
    assert len(service.handlers()) == len(connected)
    echoed = 3 * len("ping") * len(connected)
    processes.wait_for(lambda: service.totals().number("MPECHO_BYTES") == echoed, "the bytes")
    assert service.totals().number("MPECHO_SERVED") == len(connected)
    service.check_store()


@pytest.mark.parametrize("stop", STOPS)
def test_counts_go_on(unit, stop):
    """Over restarts the totals go on, and what was accepted is what was closed and what is live."""
    service = unit()
    kept = [service.connect_served() for _ in range(4)]
    for restarts in range(1, 4):
        service.connect_served().close()
        service.wait_until_idle(len(kept))
        service.restart(getattr(service, stop))
        clients.ping(kept[0])
        # What has just come is counted a moment later.
        echoed = 4 * (len(kept) + 2 * restarts)
        processes.wait_for(lambda: service.totals().number("MPECHO_BYTES") == echoed, "the bytes")
        totals = service.totals()
        accepted, ended = (len(service.journal.records(kind)) for kind in ("accepted", "closed"))
        assert accepted == ended + len(kept) == totals.number("MPECHO_SERVED")
        assert totals.number("MPECHO_LIVE") == len(kept)
        assert totals.number("MPECHO_PEAK") == len(kept) + 1


def test_duration_goes_on(unit):
    """A connection lasts from when it was accepted, not from when the master was started."""
    before = time.monotonic()
    service = unit()
    client = service.connect_served()
    begun = time.monotonic()
    for stop in (service.terminate, service.crash):
        service.restart(stop)
    clients.ping(client)
    least = time.monotonic() - begun
    client.close()
    record, = service.journal.wait_for("closed")
    lasted = record.number("MPECHO_DURATION_USEC") / 1e6
    assert least <= lasted <= time.monotonic() - before


@pytest.mark.parametrize("end, reason", [
    (socket.socket.close, "closed by peer"), (clients.reset, "reset by peer")])
@pytest.mark.parametrize("stop", STOPS)
def test_end_while_stored(unit, stop, end, reason):
    """A connection that its peer ends while it is stored is recorded as closed by the next master."""
    service = unit()
    client, other = service.connect_served(), service.connect_served()
    name = clients.peer_text(client)
    getattr(service, stop)()
    end(client)
    assert not service.journal.records("closed")
    service.start()
    record = service.closed(name)
    assert record["MPECHO_REASON"] == reason
    assert record["MPECHO_BYTES"] == "4"
    clients.ping(other)


def test_end_without_master(unit):
    """A handler that ends while there is no master is recorded by the next one, with its reason."""
    service = unit()
    client, other = service.connect_served(), service.connect_served()
    name = clients.peer_text(client)
    left = service.abandon_handlers()
    clients.ping(client, b"nobody's")
    client.close()
    processes.wait_for(lambda: "Z" in [processes.state(pid) for pid in left], "a handler's end")
    os.kill(next(pid for pid in left if processes.state(pid) != "Z"), signal.SIGTERM)
    service.reap(left)
    service.start()
    record = service.closed(name)
    assert record["MPECHO_REASON"] == "closed by peer"
    assert record["MPECHO_BYTES"] == str(len("ping") + len("nobody's"))
    assert int(record["MPECHO_HANDLER_PID"]) in left
    clients.ping(other)


def test_killed_without_master(unit):
    """A handler that is killed while there is no master is recorded as crashed by the next one, with
    its listener. Nobody knows the signal."""
    service = unit(expected=["crashed"], name="front")
    client = service.connect_served()
    # It has counted what it has echoed.
    processes.wait_until_waiting(service.handlers())
    left = service.abandon_handlers()
    send(left, signal.SIGKILL)
    service.reap(left)
    service.start()
    record, = service.journal.wait_for("crashed", MPECHO_PEER=clients.peer_text(client))
    assert record.number("MPECHO_BYTES") == len("ping")
    assert [record.number("MPECHO_HANDLER_PID")] == left
    assert record["MPECHO_LISTENER"] == "{}:{}".format(*service.listener.getsockname())
    assert record["MPECHO_LISTENER_NAME"] == "front"
    assert record.number("MPECHO_SIGNAL") == 0
    assert "MPECHO_REASON" not in record


def test_clients_that_come_meanwhile(unit):
    """Who connects while there is no master is served by the next one."""
    service = unit()
    for stop in (service.terminate, service.crash):
        stop()
        waiting = service.connect()
        waiting.sendall(b"early")
        service.start()
        assert clients.receive(waiting, 5) == b"early"


def test_nothing_accumulates(unit):
    """After 20 restarts master and handlers have as many files open as before, and no roster."""
    service = unit()
    client = service.connect_served()
    clients.fill(service.connect_served(), service.handlers())

    def open_files():
        def kinds(pid):
            return sorted(name.split("[")[0] for name in processes.descriptors(pid).values())
        # Two of the five are of the connection: with what was pending it has as many before it has
        # the second one.
        processes.wait_for(
            lambda: all(len(found := kinds(pid)) == 5 and found.count("socket:") == 2
                        for pid in service.handlers()), "handlers with their descriptors")
        return kinds(service.pid), sorted(map(kinds, service.handlers()))

    first = open_files()
    for restart in range(20):
        service.restart(service.crash if restart % 5 == 4 else service.terminate)
        clients.ping(client)
    assert open_files() == first
    assert not [name for name in first[0] if "memfd" in name]
    service.check_store()


def test_title_of_the_keeper(unit):  # noqa: F811
    """ps tells the keeper from a handler."""
    keeper = processes.keeper(unit().pid)
    processes.wait_for(lambda: processes.command_line(keeper).rstrip(b"\0") ==
                       b"mpecho: keeper of connections", "its title")


def test_keeper_that_is_killed(unit):
    """When something kills the keeper, the master stops, says so and fails: the connections go on in
    the next run."""
    service = unit(expected=["failed"])
    client = service.connect_served()
    os.kill(processes.keeper(service.pid), signal.SIGKILL)
    assert service.process.wait(processes.DEADLINE) == 1
    failed, = service.journal.wait_for("failed")
    assert failed["MESSAGE"] == \
        "Cannot serve the listeners: the keeper of connections was killed"
    service.manager.sync()
    service.start()
    clients.ping(client)


def test_handler_that_drains(unit):
    """A handler that waits until its peer has read all blocks every signal meanwhile, as the keeper
    does: it is a handler all the same, and there is one keeper."""
    name = f"\0mpecho-test-drains-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        service = unit(listener=listener)
        keeper = processes.keeper(service.pid)
        client = clients.connect((socket.AF_UNIX, name))
        service.clients.append(client)
        clients.ping(client)
        handler = Stepped.running(*service.handlers())
        client.sendall(b"unread")
        client.shutdown(socket.SHUT_WR)
        while signal.SIGUSR2 not in processes.signal_set(processes.status(handler.pid)["SigBlk"]):
            handler.next_call()
        assert service.handlers() == [handler.pid]
        assert processes.keeper(service.pid) == keeper
        handler.detach()
        assert clients.receive_all(client) == b"unread"


def test_memory_runs_out(unit):
    """For lack of memory the kernel kills the master and handlers before the keeper: it stores the
    connections, and ends handlers that stay."""
    def points(pid):
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    service = unit()
    service.connect_served()
    spared = points(processes.keeper(service.pid))
    assert spared == points("self")
    assert [points(pid) for pid in (service.pid, *service.handlers())] == 2 * [spared + 100]
