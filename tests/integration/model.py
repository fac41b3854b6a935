# SPDX-License-Identifier: MIT
"""Whether the model of the handover, tests/model/handover.pml, can do what processes did.

strace(1) writes the system calls of masters and handlers, and the stand-in of systemd notes which
messages it has taken, by the same clock. This becomes a sequence of the events that the model names.
spin(1) searches a path of the model with exactly these events, and any other steps in between."""

import re
import subprocess
from pathlib import Path

from manager import CONNECTION, LEDGER, kind_of
from service import TRACED

MODEL = Path(__file__).parents[1] / "model" / "handover.pml"
LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
CALLS = ("execve,clone,connect,getsockopt,sendmsg,sendto,recvmsg,recvfrom,pread64,ftruncate,wait4,"
         "exit_group")

# The events of the model.
NAMES = """IS_READY FORKS READS_UNSENT EMPTIES_UNSENT WRITES_UNSENT GIVES COLLECTS ASKS_BUNDLE TAKES_BUNDLE ANSWERS DECLINES EXITS_STORED
EXITS_DECLINED EXITS_ENDED IS_KILLED STORES_OWN TAKES_OWN EXITS_OWN REAPS MASTER_EXITS
MASTER_IS_KILLED BEGINS_RUN ASKS_LEDGER TAKES_LEDGER ASKS_REMOVAL REMOVES_BUNDLES
REMOVES_LEDGERS""".split()

# The exit status HANDLER_HANDED_OVER of handler/handler.h.
HANDED_OVER = 6


def tracer(log):
    """The start of a command line: what follows is traced, with all that it forks."""
    environment = [f"{name}={value}" for name, value in TRACED.items()]
    return ["env", *environment, "strace", "-D", "-f", "-ttt", "-s", "64", "-o", str(log),
            "--quiet=attach,personality", "-e", f"trace={CALLS}", "-e", "signal=kill"]


def calls(log):
    """The system calls in a log, and ends by signals: begin, end, pid and text."""
    begun = {}
    for line in log.read_text().splitlines():
        pid, time, text = LINE.fullmatch(line).groups()
        pid, begin, end = int(pid), float(time), float(time)
        if text.startswith("<... "):
            begin, first = begun.pop(pid)
            text = f"{first.rstrip()} {text.partition(' resumed>')[2]}"
        elif text.endswith("<unfinished ...>"):
            begun[pid] = begin, text.removesuffix("<unfinished ...>")
            # What ends a process does not return.
            if not text.startswith("exit_group("):
                continue
        if not (text.startswith("exit_group(") and begin != end):
            yield begin, end, pid, text


class Observer:
    """Makes events of what processes did: when, name, and the connection or 0.

    connections    those of all handlers, by pid"""

    def __init__(self, connections):
        self.events = []
        self._connections = connections
        self._master = None
        self._channels = {}  # handlers, by the master's descriptor
        self._inboxes = {}  # the first address that a handler has connected to, its master's, by pid
        self._gives = {}  # what a handler's message to its master or the keeper is, by pid
        self._stored = ""  # what the master has stored or removed last
        self._unsent = set()  # handlers that have read unsent bytes and written nothing
        self._heard = {}  # what a handler knows of its connection, by pid

    def _note(self, time, name, of=0):
        self.events.append((time, name, of))

    def see_calls(self, log):
        for begin, end, pid, text in calls(log):
            if text.startswith("execve("):
                self._master = pid
                self._note(begin, "BEGINS_RUN")
            elif pid == self._master:
                self._see_master(begin, end, text)
            elif pid in self._connections:
                self._see_handler(begin, pid, text)

    def _see_master(self, begin, end, text):
        descriptor = int(match[1]) if (match := re.match(r"\w+\((\d+),", text)) else None
        if match := re.match(r"getsockopt\(\d+, SOL_SOCKET, SO_PEERCRED, {pid=(\d+),", text):
            self._channels[descriptor] = int(match[1])
        elif match := re.match(r"clone\(.* = (\d+)$", text):
            # Another child has what the master closes, for a moment.
            if int(match[1]) in self._connections:
                self._note(begin, "FORKS", self._connections[int(match[1])])
        elif text.startswith("recvmsg(") and "SCM_RIGHTS" in text and "MSG_PEEK" not in text:
            self._note(end, "COLLECTS", self._connections[self._channels[descriptor]])
        elif match := re.match(r'sendto\(\d+, "([sd])", 1,', text):
            connection = self._connections[self._channels[descriptor]]
            self._note(begin, "ANSWERS" if match[1] == "s" else "DECLINES", connection)
        elif match := re.match(r"wait4\(.* = (\d+)$", text):
            # strace leaves the program a child.
            if int(match[1]) in self._connections:
                self._note(end, "REAPS", self._connections[int(match[1])])
        elif text.startswith("exit_group("):
            self._note(begin, "MASTER_EXITS")
        elif text.startswith("+++ killed"):
            self._note(begin, "MASTER_IS_KILLED")
        elif "READY=1" in text:
            self._note(begin, "IS_READY")
        else:
            self._see_notification(begin, text)

    def _see_notification(self, begin, text):
        if match := re.search(r'"(FDSTORE\w*)=1\\n.*FDNAME=([\w-]+)', text):
            if match[1] == "FDSTOREREMOVE" and self._stored != "removed":
                self._note(begin, "ASKS_REMOVAL")
            self._stored = kind_of(match[2]) if match[1] == "FDSTORE" else "removed"
        elif "BARRIER=1" in text:
            if self._stored != "removed":
                self._note(begin, {LEDGER: "ASKS_LEDGER", CONNECTION: "ASKS_BUNDLE"}.get(
                    self._stored, "ASKS_NOTHING"))
            self._stored = ""

    def see_manager(self, taken):
        """Sees what Manager.taken has: an event is over when its barrier is taken."""
        last, own = {}, {}
        for time, sender, message in taken:
            name = message.get("FDNAME", "")
            kind = kind_of(name)
            if message.get("FDSTORE") == "1" and name.startswith("h."):
                own.setdefault(sender, []).append(int(name.split(".")[2]))
            elif message.get("FDSTORE") == "1":
                last[sender] = {LEDGER: "TAKES_LEDGER", CONNECTION: "TAKES_BUNDLE"}[kind]
            elif message.get("FDSTOREREMOVE") == "1":
                removes = {LEDGER: "REMOVES_LEDGERS",
                           CONNECTION: "REMOVES_BUNDLES"}[kind]
                if removes == "REMOVES_BUNDLES" and last.get(sender) != removes:
                    self._note(time, removes)
                last[sender] = removes
            elif message.get("BARRIER") == "1" and sender in own:
                for handler in own.pop(sender):
                    self._note(time, "TAKES_OWN", self._connections[handler])
            elif message.get("BARRIER") == "1":
                self._note(time, last.pop(sender, "TAKES_NOTHING"))

    def observed(self):
        """The events of the last two runs from where the first one is ready and has forked all its
        handlers: names and numbers, those of connections by the order in which the second run
        forks their handlers."""
        events = sorted(self.events, key=lambda event: event[0])
        begins, = [i for i, event in enumerate(events) if event[1] == "BEGINS_RUN" and i > 0]
        numbers = {of: i for i, (_, name, of) in enumerate(
            [event for event in events[begins:] if event[1] == "FORKS"])}
        first = 1 + max(i for i in range(begins) if events[i][1] == "FORKS")
        found = [("IS_READY", 0)]
        for _, name, of in events[first:]:
            if name == "ANSWERS":
                self._add_answer(found, 1 << numbers[of])
            else:
                found.append((name, numbers.get(of, 0)))
        return found

    @staticmethod
    def _add_answer(found, bit):
        """The model answers at once all whose connections are in a bundle."""
        since = [name for name, _ in found]
        since = len(since) - since[::-1].index("ASKS_BUNDLE") if "ASKS_BUNDLE" in since else 0
        for i in range(since, len(found)):
            if found[i][0] == "ANSWERS":
                found[i] = "ANSWERS", found[i][1] | bit
                return
        found.append(("ANSWERS", bit))

    def _see_handler(self, begin, pid, text):
        connection = self._connections[pid]
        if match := re.match(r'connect\((\d+), {sa_family=AF_UNIX, sun_path=(@"\w+")', text):
            inbox = self._inboxes.setdefault(pid, match[2])
            self._gives[pid] = match[1], "GIVES" if match[2] == inbox else "STORES_OWN"
        elif match := re.match(r'recvfrom\(\d+, "([sd])"', text):
            stored = "EXITS_STORED" if self._gives[pid][1] == "GIVES" else "EXITS_OWN"
            self._heard[pid] = stored if match[1] == "s" else "EXITS_DECLINED"
        elif text.startswith(f"exit_group({HANDED_OVER}"):
            self._note(begin, self._heard.get(pid, "EXITS_UNANSWERED"), connection)
        elif text.startswith("exit_group("):
            self._note(begin, self._heard.get(pid, "EXITS_ENDED"), connection)
        elif text.startswith("+++ killed"):
            self._note(begin, "IS_KILLED", connection)
        elif pid in self._gives and text.startswith(f"sendmsg({self._gives[pid][0]},"):
            self._note(begin, self._gives[pid][1], connection)
        else:
            self._see_unsent(begin, pid, text)

    def _see_unsent(self, begin, pid, text):
        connection = self._connections[pid]
        if text.startswith("pread64("):
            self._note(begin, "READS_UNSENT", connection)
            self._unsent.add(pid)
        elif text.startswith("ftruncate("):
            self._note(begin, "EMPTIES_UNSENT", connection)
        elif text.startswith("sendto(") and pid in self._unsent:
            self._note(begin, "WRITES_UNSENT", connection)
            self._unsent.remove(pid)


def promela(events):
    """A file for the model: numbers for the names, and which event is the next one."""
    names = sorted(set(NAMES) | {name for name, _ in events})
    codes = [16 * (1 + names.index(name)) + of for name, of in events]
    steps = [f"        :: next == {i} -> expected = {code}" for i, code in enumerate(codes)]
    return "\n".join([
        *(f"#define {name} {1 + i}" for i, name in enumerate(names)),
        f"byte next;\nshort expected = {codes[0]};",
        "inline advance() {\n        next++;\n        assert(next < " f"{len(codes)});\n        if",
        *steps, "        fi\n}", ""])


def is_path(events, directory, flags):
    """Whether the model, with these flags, has a path with these events."""
    directory.mkdir(parents=True)
    (directory / MODEL.name).write_text(MODEL.read_text())
    (directory / "trace.pml").write_text(promela(events))
    for command in [["spin", *flags, "-DTRACE", "-DONLY=0", "-a", MODEL.name],
                    ["cc", "-w", "-DSAFETY", "-o", "pan", "pan.c"]]:
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    output = subprocess.run(["./pan", "-m100000"], cwd=directory, check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    assert "max search depth too small" not in output, output
    return "assertion violated (next<" in output


def check_path(events, directory, *flags):
    """Fails unless the model has a path with these events, and names the one that it has not."""
    if is_path(events, directory / "all", flags):
        return
    good, bad = 0, len(events)
    while bad - good > 1:
        middle = (good + bad) // 2
        if is_path(events[:middle], directory / str(middle), flags):
            good = middle
        else:
            bad = middle
    raise AssertionError(f"the model does {events[:good]}, and then not {events[good]}")
