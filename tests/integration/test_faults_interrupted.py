# SPDX-License-Identifier: MIT
"""System calls that a signal interrupts, EINTR, in master and handlers: nothing is lost."""

import pytest

import clients
import processes
from chatter import chat  # noqa: F401
from manager import unit  # noqa: F401
from service import COUNTED, accounted
from tracing import Tampering
from visitors import visit  # noqa: F401

pytestmark = pytest.mark.skipif(COUNTED, reason="an interrupted libgcov loses counts")

# What the master and the handlers call that may wait, signal(7); other calls are not interrupted.
SERVING = ["ppoll", "read", "accept4", "sendto"]
HANDING_OVER = ["ppoll", "sendmsg", "recvmsg", "ppoll,accept4,sendto,sendmsg,recvmsg"]
EVERY_SECOND = "error=EINTR:when=1+2"

USUAL_RECORDS = {"started", "accepted", "closed", "summary", "connection", "totals", "resumed",
                 "stopped"}


def assert_told(service, count):
    """So many connections have their records, none of them of a failure."""
    expected = {"accepted": count, "closed": count, "crashed": 0, "refused": 0}
    processes.wait_for(lambda: accounted(service.journal) == expected, f"{expected}")
    assert [record for record in service.journal.records() if record.kind not in USUAL_RECORDS] == []
    assert {record["MPECHO_REASON"] for record in service.journal.records("closed")} == {
        "closed by peer"}


@pytest.mark.parametrize("calls", [*SERVING, ",".join(SERVING)])
def test_interrupted_while_serving(start, visit, chat, tmp_path, calls):
    """Of each process every second call is interrupted, beginning with the first: all is echoed,
    and every connection has its records."""
    service = start(environment={"ASAN_OPTIONS": "detect_leaks=0"})
    live = 5
    log = tmp_path / "trace"
    with Tampering(service.pid, calls, EVERY_SECOND, log=log, follow=True):
        chatter = chat([service.connect_served() for _ in range(live)])
        visitors = visit(service.listeners()[0])
        visitors.go_on()
        chatter.go_on()
        # They make more records than get through, of which each second one has to wait.
        visitors.stop()
        assert service.totals().number("MPECHO_LIVE") >= live
        chatter.stop()
        for client in service.clients:
            client.close()
        service.wait_until_idle()
        # Before it stops, which waits for them only half a second.
        assert_told(service, visitors.served + live)
        # A call that strace had begun to tamper with when it let go would fail with ENOSYS.
        assert service.stop() == 0
    assert "(INJECTED)" in log.read_text()


@pytest.mark.parametrize("stop", ["terminate", "crash"])
@pytest.mark.parametrize("calls", HANDING_OVER)
def test_interrupted_while_handing_over(unit, chat, tmp_path, stop, calls):
    """The same from a start to a stop, and with a master that is killed: connections go on."""
    service = unit()
    log = tmp_path / "trace"
    service.trace(log, "-e", f"trace={calls}", "-e", f"inject={calls}:{EVERY_SECOND}")
    chatter = chat([service.connect_served() for _ in range(5)])
    stuck = service.connect_served()
    written = clients.fill(stuck, service.handlers())
    for _ in range(3):
        service.restart(getattr(service, stop))
        chatter.go_on()
        service.check_store()
        assert "(INJECTED)" in log.read_text()
    chatter.stop()
    service.wrapper = []
    service.restart(getattr(service, stop))
    processes.reap_orphans("strace")
    stuck.shutdown(1)
    assert clients.drain(stuck) == written
    for client in service.clients:
        client.close()
    service.wait_until_idle()
    assert_told(service, 6)
