# SPDX-License-Identifier: MIT
"""What the tests share: commands, connections, units and the records in the journal.

Each test starts from a machine on which the packages were installed and nothing else was done.
"""

import json
import pathlib
import re
import socket
import subprocess
import time

PORT = 7
SECONDS = 120  # that anything may take, on a machine that has much else to do
DEFAULTS = pathlib.Path("/etc/default/mpecho")
UNITS = pathlib.Path("/etc/systemd/system")
MANUAL = pathlib.Path(__file__).parents[2] / "packaging/mpecho.8"

STARTED = "0ae4675cb2b44e2b8c671e85e048aa76"
STOPPED = "62163846d71d4d6793d5a2f47239413a"
ACCEPTED = "3fa46cf9f5d44603abb23f17bf2f4466"
CLOSED = "a61dff197d014d12a0909924aa7193f4"
CRASHED = "572833a52edc43b688a8b0c67689fd9d"
REFUSED = "d28b1d507e924d2ab87bd2576e9806ac"
SUMMARY = "4d4324fcc8c44bd49d1f09848fea9589"
CONNECTION = "92fa760d360045448998e64e4c67ca38"
FAILED = "3f3cea449864417c913c66c8a5b4dc35"
TOTALS = "61ff95f1aa204e1b9c3f28b6684711c1"


def run(*command, check=True):
    """What a command writes to its outputs; it has to succeed."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
    assert not check or result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}"
    return result.stdout


def wait_until(condition, what):
    """The first true value of `condition`, which has to come within SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {SECONDS} seconds until {what}"
        time.sleep(0.01)
    return value


def show(unit, name):
    """A property of a unit."""
    return run("systemctl", "show", "--property", name, "--value", unit).strip()


def connect(address=("127.0.0.1", PORT), source=None):
    """A connection to the service: to a path, or to an address and port."""
    if isinstance(address, str):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(address)
        return connection
    return socket.create_connection(address, SECONDS, source and (source, 0))


def echo(connection, data=b"hello"):
    """Send `data`; exactly that has to come back."""
    connection.sendall(data)
    received = b""
    while len(received) < len(data) and (part := connection.recv(65536)):
        received += part
    assert received == data, f"sent {data!r}, received {received!r}"


def finish(connection):
    """End the connection from this side; the other one has to follow."""
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    connection.close()


def exchange(address=("127.0.0.1", PORT), data=b"hello", source=None):
    """A whole connection."""
    with connect(address, source) as connection:
        echo(connection, data)
        finish(connection)


def is_reset(source=None):
    """Whether a new connection is reset, which its client can see already while it connects."""
    try:
        with connect(source=source) as connection:
            connection.recv(1)
            return False
    except ConnectionResetError:
        return True


def name_of(connection):
    """A connection as the records name it."""
    host, port, *_ = connection.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def records(*matches):
    """The records of mpecho in the journal that match, oldest first."""
    run("journalctl", "--sync")
    lines = run("journalctl", "--quiet", "--output=json", "SYSLOG_IDENTIFIER=mpecho", *matches)
    return [json.loads(line) for line in lines.splitlines()]


def records_of(kind):
    return records("MESSAGE_ID=" + kind)


def count(kind, field):
    """How many connections met this, one by one or counted in a summary."""
    return len(records_of(kind)) + sum(int(record[field]) for record in records_of(SUMMARY))


def handlers(master):
    """The processes of the master's handlers."""
    children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [int(pid) for pid in children if int(pid) != keeper(master)]


def keeper(master):
    """The process that keeps connections when the master dies: the first that it has started."""
    return int(pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def processor_time(pid):
    """The processor time of a process so far, in nanoseconds. Counts of ticks in proc(5) are this
    sum, cut: the time of one wake-up can make the difference between two of them."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def wake_ups(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\t(\d+)$", status, re.M)[1])


def is_asleep(pid):
    """Whether a process waits: it has done all that there is to do."""
    return re.search(r"^State:\tS ", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)


def at_rest(pid, look):
    """What `look` finds while a process waits all the time."""
    while True:
        wait_until(lambda: is_asleep(pid), f"{pid} waits")
        woken, found = wake_ups(pid), look()
        if is_asleep(pid) and wake_ups(pid) == woken:
            return found


def rest(pids, seconds):
    """What each of the processes does while nothing happens: nanoseconds and wake-ups in a second,
    however long this process itself had to wait."""
    begun = time.monotonic()
    before = {pid: (processor_time(pid), wake_ups(pid)) for pid in pids}
    time.sleep(seconds)
    after = {pid: (processor_time(pid), wake_ups(pid)) for pid in pids}
    passed = time.monotonic() - begun
    return {pid: ((after[pid][0] - used) / passed, (after[pid][1] - woken) / passed)
            for pid, (used, woken) in before.items()}


def documented(beginning, section="EXAMPLES"):
    """The literal example after the text that begins so, in a section of mpecho(8)."""
    text = MANUAL.read_text().partition(f"\n.Sh {section}\n")[2].partition(beginning)[2]
    return re.search(r"\.Bd -literal -offset indent\n(.*?)\.Ed\n", text, re.S).group(1)


def install(beginning, path):
    """Puts such an example where the manual says, below UNITS."""
    path = UNITS / path
    path.parent.mkdir(exist_ok=True)
    path.write_text(documented(beginning))
