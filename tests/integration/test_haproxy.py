# SPDX-License-Identifier: MIT
"""HAProxy in front of the service, with the PROXY protocol in each of its forms.

install-peers fetches it."""

import contextlib
import pathlib
import shutil
import subprocess

import pytest

import clients
from processes import DEADLINE, wait_for

CONFIGURATION = """
defaults
        mode tcp
        timeout connect 60s
        timeout client 60s
        timeout server 60s
"""
PROXY = """
listen {name}
        bind fd@{listener}
        server one {server} {options}
"""
FORMS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "checksum": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    # The first check comes at once, and has this time for its connection and its header.
    "checked": "send-proxy-v2 check check-send-proxy inter 60s",
}

PEERS = pathlib.Path(__file__).parents[2] / "build" / "peers" / "usr" / "sbin"
HAPROXY = shutil.which("haproxy", path=f"{PEERS}:/usr/sbin")

pytestmark = pytest.mark.skipif(not HAPROXY, reason="haproxy is not there")


@contextlib.contextmanager
def running(directory, text, pass_fds=()):
    """Runs HAProxy with this configuration."""
    path = directory / "haproxy.cfg"
    path.write_text(text)
    process = subprocess.Popen(
        [HAPROXY, "-db", "-q", "-f", str(path)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=pass_fds)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE)


@contextlib.contextmanager
def haproxy(directory, server):
    """Runs HAProxy with a listener for each of the forms; returns their sockets by form."""
    with contextlib.ExitStack() as stack:
        listeners = {form: stack.enter_context(clients.listen()) for form in FORMS}
        text = CONFIGURATION + "".join(
            PROXY.format(name=form, listener=listeners[form].fileno(), server=server,
                         options=options) for form, options in FORMS.items())
        stack.enter_context(running(directory, text, [one.fileno() for one in listeners.values()]))
        yield listeners


def test_forms(start, tmp_path):
    """Whatever form HAProxy sends, the service names and limits its clients by their own addresses,
    and each gets its bytes; health checks have a header too, and announce nobody."""
    service = start("proxy:127.0.0.1:0", "--max-per-source=3")
    server = service.listeners()[0].removeprefix("proxy:")
    with haproxy(tmp_path, server) as listeners:
        for number, (form, listener) in enumerate(listeners.items(), 2):
            source = f"127.0.0.{number}"
            address = (listener.family, listener.getsockname())
            connected = [clients.connect(address, source) for _ in range(3)]
            for client in connected:
                clients.ping(client, clients.RANDOM[:100000])
                name = clients.peer_text(client)
                accepted, = service.journal.wait_for("accepted", MPECHO_PEER=name)
                assert accepted["MPECHO_PROXY"].startswith("127.0.0.1:"), form
            with clients.connect(address, source) as beyond:
                with contextlib.suppress(ConnectionResetError):
                    assert beyond.recv(1) == b""
                name = clients.peer_text(beyond)
                refused, = service.journal.wait_for("refused", MPECHO_PEER=name)
            assert refused["MPECHO_LIMIT"] == "max-per-source"
            for client in connected:
                client.close()
        wait_for(lambda: [one for one in service.journal.records("accepted")
                          if "MPECHO_PROXY" not in one], "a health check")
    service.wait_until_idle()
    assert not [one for one in service.journal.records("refused")
                if one["MPECHO_LIMIT"] == "proxy-header"]
