# SPDX-License-Identifier: MIT
"""The master's use of memory and files does not grow with the connections that it has served."""

import os
import re
import resource
import struct
import subprocess
from pathlib import Path

import pytest

import clients
import processes
from service import COUNTED, SANITIZED
from tracing import Tampering

CONNECTIONS = 2000
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
OBTAINING = "brk,mmap,mremap,open,openat,openat2,creat,memfd_create,eventfd2,pipe2,socket,dup,dup3"


def serve(service, count):
    for _ in range(count):
        service.connect_served().close()
    service.clients.clear()
    service.wait_until_idle()


def memory_of(pid):
    """Kilobytes that a process has touched and nothing but swap could take back, by mapping.

    What the kernel can read again from a file comes and goes as the machine needs its memory."""
    found, mapping = {}, None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            mapping = f"{words[0]} {words[5] if len(words) > 5 else ''}"
            found[mapping] = 0
        elif words[0] in ("Anonymous:", "Swap:"):
            found[mapping] += int(words[1])
    return found


@pytest.mark.skipif(SANITIZED, reason="the sanitizers are libraries")
@pytest.mark.skipif(COUNTED, reason="handlers inherit more, for libgcov")
def test_handlers_inherit_no_library(start):
    """A handler has no library mapped but the C library and its loader: each costs a fork."""
    service = start()
    service.connect_served()
    handler, = processes.handlers(service.pid)
    libraries = re.findall(r"/((?:lib|ld)[^/]*)\.so", Path(f"/proc/{handler}/maps").read_text())
    assert {library.partition("-")[0] for library in libraries} == {"libc", "ld"}
    assert "libsystemd" in Path(f"/proc/{service.pid}/maps").read_text()


@pytest.mark.skipif(SANITIZED, reason="the sanitizers have memory of their own")
@pytest.mark.skipif(COUNTED, reason="the counts have pages of their own")
def test_a_handler_has_few_pages_of_its_own(start):
    """All that a handler or the master has written to since the fork, and that had to be copied, is
    a few pages: two of the stack, the handler's title, its flags with its buffer, and one of the
    master's. On a busy machine the master has had other things to do, too."""
    service = start()
    client = service.connect_served()
    handler, = processes.handlers(service.pid)
    clients.ping(client, b"Hello, world.")
    # The master forks and writes again.
    for _ in range(3):
        clients.ping(service.connect_served())
    smaps = Path(f"/proc/{handler}/smaps").read_text()
    private = re.findall(r"^Private_Dirty: +(\d+) kB", smaps, re.M)
    assert sum(map(int, private)) * 1024 <= 7 * resource.getpagesize()


@pytest.fixture
def counter(tmp_path):
    """The environment that counts allocations, and the function that reads the count."""
    library, counts = tmp_path / "count_allocations.so", tmp_path / "count"
    counts.write_bytes(bytes(8))
    source = Path(__file__).with_name("count_allocations.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)

    def count():
        return struct.unpack("Q", counts.read_bytes())[0]

    return {"LD_PRELOAD": library, "COUNT_FILE": counts}, count


@pytest.mark.skipif(SANITIZED, reason="the sanitizer has its own allocator, which must be first")
def test_no_allocation_after_start(start, counter, tmp_path):
    """2,000 connections later the master has called malloc not once more, nor opened a file."""
    environment, count = counter
    service = start(environment=environment)
    at_start = count()
    assert at_start > 0
    with Tampering(service.pid, OBTAINING, log=tmp_path / "trace") as trace:
        serve(service, CONNECTIONS)
    assert trace.lines() == []
    assert count() == at_start


def test_memory_and_descriptors_stay(start):
    """2,000 connections later the master has the same memory, and the same files open.

    It has first done all that it will do, a summary as well."""
    service = start()
    serve(service, 1000)
    service.flood(1500)
    service.journal.wait_for("summary")
    for client in service.clients:
        client.close()
    service.wait_until_idle()
    serve(service, 1)
    memory, files = memory_of(service.pid), processes.descriptors(service.pid)
    serve(service, CONNECTIONS)
    assert processes.descriptors(service.pid) == files
    # The sanitizer keeps books of memory of its own.
    assert SANITIZED or memory_of(service.pid) == memory


def locked(pid):
    """The kilobytes that a process has locked."""
    return int(re.search(r"^VmLck:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


@pytest.mark.skipif(SANITIZED, reason="the sanitizers lock nothing")
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("user, keeps", [([], True), (NOBODY, False)])
def test_the_master_keeps_its_pages(start, user, keeps):
    """The master locks its pages as far as it may (root may in any case); handlers do not."""
    service = start(wrapper=["prlimit", "--memlock=0:0", *user])
    service.connect_served()
    handler, = processes.handlers(service.pid)
    assert (locked(service.pid) > 0, locked(handler)) == (keeps, 0)


def code_of(pid):
    """Whether a process has locked the code of each file that it has mapped, by the file's name."""
    found, name = {}, None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_code = "x" in words[1] and words[-1].startswith("/")
            name = Path(words[-1]).name if is_code else None
        elif words[0] == "VmFlags:" and name is not None:
            found[name] = "lo" in words
    return found


@pytest.mark.skipif(SANITIZED, reason="the sanitizers lock nothing")
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_the_master_keeps_its_code(start):
    """A master that may lock less than all of its memory locks its code, and that of libraries."""
    service = start("--max-connections=8000", wrapper=["prlimit", "--memlock=8388608:8388608", *NOBODY])
    service.connect_served()
    handler, = processes.handlers(service.pid)
    code = code_of(service.pid)
    assert {"mpecho", "libc.so.6"} <= code.keys() and all(code.values()), code
    assert locked(handler) == 0
