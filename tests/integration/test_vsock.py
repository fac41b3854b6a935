# SPDX-License-Identifier: MIT
"""vsock(7), by which virtual machines and their host reach each other; alone a machine reaches
itself, if its kernel has vsock_loopback. Where it has not, the program gives the kernel's reason."""

import os
import re
import socket
import subprocess

import client as program
import clients
from service import TRACED
from test_listen import run_failing

SELF = 1  # VMADDR_CID_LOCAL
PORT = 919000


def objection():
    """What the kernel has against a socket that listens at SELF, or None."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
            listener.bind((SELF, socket.VMADDR_PORT_ANY))
    except OSError as error:
        return os.strerror(error.errno)


def refused():
    """A kernel that cannot listen at an address of vsock is quoted, and the address as well."""
    assert run_failing(f"vsock:{SELF}:{PORT}").endswith(
        f"Cannot listen on 'vsock:{SELF}:{PORT}': {objection()}")


def served(start):
    """Every byte comes back, records name the peer, and a CID is a source."""
    service = start("--max-per-source=2", f"vsock:{SELF}:0")
    address, = service.listeners()
    assert re.fullmatch(rf"vsock:{SELF}:\d+", address)
    status, output, errors = program.run("--check", "-s1M", address)
    assert (status, errors) == (0, []), output
    service.wait_until_idle()
    kept = [service.connect_served() for _ in range(2)]
    for record, port in zip(service.journal.wait_for("accepted", 3)[1:],
                            (one.getsockname()[1] for one in kept)):
        assert record["MPECHO_PEER"] == f"vsock:{SELF}:{port}"
        assert record["MPECHO_PEER_ADDRESS"] == f"vsock:{SELF}"
    with clients.prepare(address)[0] as third:
        try:
            third.connect(clients.parse_address(address)[1])
            assert not third.recv(1)
        except ConnectionError:
            pass
    record, = service.journal.wait_for("refused")
    assert record["MPECHO_PEER_ADDRESS"] == f"vsock:{SELF}"


def test_service(start):
    """A service at an address of vsock echoes, or gives the kernel's reason why it cannot."""
    if objection():
        refused()
    else:
        served(start)


def test_client(tmp_path):
    """The client connects to the CID and the port of its address, and quotes the kernel."""
    log = tmp_path / "log"
    said = subprocess.run(
        ["strace", "-q", f"-o{log}", "-e", "trace=socket,connect", "-e", "inject=socket:retval=0",
         "-e", "inject=connect:error=ENODEV", program.CLIENT, f"vsock:{SELF}:{PORT}"],
        env=os.environ | TRACED, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert said.returncode == 1
    assert said.stderr == f"mpecho-client: Cannot connect to vsock:{SELF}:{PORT}: No such device\n"
    call, = re.findall(r"connect\(.*", log.read_text())
    assert "sa_family=AF_VSOCK" in call and f"svm_port={PORT:#x}" in call
    assert re.search(r"svm_cid=(VMADDR_CID_LOCAL|0x1)\b", call)
