# SPDX-License-Identifier: MIT
"""The command line: what is refused, with which sentence, and what --help and --version say."""

import contextlib
import re
import socket
import subprocess

import pytest

from journald import ROOT, Journal
from processes import DEADLINE
from service import MPECHO, variables, with_journal


def run(*arguments, **options):
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run([MPECHO, *arguments], capture_output=True, text=True, timeout=DEADLINE,
                          env=variables({}), **options)


def number(option, low, high, text):
    return f"--{option} takes a number from {low} to {high}, not '{text}'"


LEVELS = "emerg, alert, crit, err, warning, notice, info or debug"
NO_PORT = "a port is a number from 0 to 65535"
NO_IPV4 = "an IPv4 address must precede the colon"
NO_IPV6 = "the brackets contain no IPv6 address"

WRONG = [
    (["--max-connections=0"], number("max-connections", 1, 65536, "0")),
    (["--max-connections=65537"], number("max-connections", 1, 65536, "65537")),
    (["--max-connections=18446744073709551617"],
     number("max-connections", 1, 65536, "18446744073709551617")),
    (["--max-connections=ten"], number("max-connections", 1, 65536, "ten")),
    (["--max-connections=10k"], number("max-connections", 1, 65536, "10k")),
    (["--max-connections=1.5"], number("max-connections", 1, 65536, "1.5")),
    (["--max-connections=0x10"], number("max-connections", 1, 65536, "0x10")),
    (["--max-connections= 1"], number("max-connections", 1, 65536, " 1")),
    (["--max-connections=+1"], number("max-connections", 1, 65536, "+1")),
    (["--max-connections="], number("max-connections", 1, 65536, "")),
    (["-c", "-1"], number("max-connections", 1, 65536, "-1")),
    (["--max-per-source=65537"], number("max-per-source", 0, 65536, "65537")),
    (["-s", "-1"], number("max-per-source", 0, 65536, "-1")),
    (["--idle-timeout=86401"], number("idle-timeout", 0, 86400, "86401")),
    (["-i", "1s"], number("idle-timeout", 0, 86400, "1s")),
    (["--exit-idle=0"], number("exit-idle", 1, 86400, "0")),
    (["-x", "86401"], number("exit-idle", 1, 86400, "86401")),
    (["--log=syslog"], "--log takes auto, journal or stderr, not 'syslog'"),
    (["-l", ""], "--log takes auto, journal or stderr, not ''"),
    (["--log-level=verbose"], f"--log-level takes {LEVELS}, not 'verbose'"),
    (["--log-level=6"], f"--log-level takes {LEVELS}, not '6'"),
    (["--log-level=INFO"], f"--log-level takes {LEVELS}, not 'INFO'"),
    (["--max-connections"], "--max-connections needs a value"),
    (["-c"], "-c needs a value"),
    (["--help=yes"], "--help takes no value"),
    (["--port=7"], "Unknown or ambiguous option '--port'"),
    (["--max=7"], "Unknown or ambiguous option '--max'"),
    (["-p", "7"], "Unknown option '-p'"),
    (["--exit-idle=5", "9190"], re.compile("--exit-idle works only with passed sockets")),
    (["http"], f"Cannot listen on 'http': {NO_PORT}"),
    (["65536"], f"Cannot listen on '65536': {NO_PORT}"),
    (["7 "], f"Cannot listen on '7 ': {NO_PORT}"),
    ([""], f"Cannot listen on '': {NO_PORT}"),
    (["127.0.0.1:"], f"Cannot listen on '127.0.0.1:': {NO_PORT}"),
    (["127.0.0.1:-7"], f"Cannot listen on '127.0.0.1:-7': {NO_PORT}"),
    (["127.0.0:7"], f"Cannot listen on '127.0.0:7': {NO_IPV4}"),
    (["localhost:7"], f"Cannot listen on 'localhost:7': {NO_IPV4}"),
    ([":7"], f"Cannot listen on ':7': {NO_IPV4}"),
    (["[127.0.0.1]:7"], f"Cannot listen on '[127.0.0.1]:7': {NO_IPV6}"),
    (["[]:7"], f"Cannot listen on '[]:7': {NO_IPV6}"),
    (["[::1]"], "Cannot listen on '[::1]': a port must follow the IPv6 address in brackets,"
                " as in [::1]:7"),
    (["::1:7"], "Cannot listen on '::1:7': an IPv6 address belongs in brackets,"
                " as in [::1]:7"),
    (["@"], "Cannot listen on '@': a name must follow the @"),
    (["/" + "x" * 108], re.compile("a Unix socket's name has at most 107 bytes")),
    (["127.0.0.1:0", "nonsense"], f"Cannot listen on 'nonsense': {NO_PORT}"),
    ([], re.compile("mpecho.socket.*LISTEN.*inetd")),
]


@pytest.mark.parametrize("arguments, sentence", WRONG, ids=lambda value: str(value)[:40])
def test_wrong_command_line(arguments, sentence):
    """A wrong command line is refused with one sentence that says what is wrong, and status 2."""
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    line, hint = result.stderr.splitlines()
    assert line.startswith("mpecho: ")
    assert hint == "Try 'mpecho --help' for more information."
    if isinstance(sentence, str):
        assert line == f"mpecho: {sentence}"
    else:
        assert sentence.search(line)


@pytest.mark.parametrize("arguments, sentence", WRONG[:-1], ids=lambda value: str(value)[:40])
def test_wrong_command_line_tested(arguments, sentence):
    """--test says of a wrong command line what a start would say, with the same status."""
    tested, started = run("--test", *arguments), run(*arguments)
    assert tested.returncode == started.returncode == 2
    assert tested.stderr.splitlines()[0] == started.stderr.splitlines()[0]
    assert tested.stdout == ""


@pytest.mark.parametrize("arguments", [[], ["--exit-idle=5"], ["-c", "5", "7", "@name", "/path"]])
def test_right_command_line_tested(arguments, tmp_path):
    """--test says that a right command line is right, and makes no socket for it. With LISTEN, it
    says that a start beside passed sockets would fail."""
    # The sanitizer cannot look for leaks in a process that is traced.
    environment = variables({"ASAN_OPTIONS": "detect_leaks=0"})
    result = subprocess.run(["strace", "-f", "-o", tmp_path / "calls", "-e", "trace=%network",
                             MPECHO, *arguments, "--test"], capture_output=True, text=True,
                            timeout=DEADLINE, env=environment, stdin=subprocess.DEVNULL)
    assert (result.returncode, result.stderr) == (0, "")
    limit = " without passed sockets" if "7" in arguments else ""
    assert result.stdout == f"The options are valid{limit}.\n"
    assert "socket" not in (tmp_path / "calls").read_text()


def test_options_in_short():
    """Each option has the short form that is documented, with and without a blank."""
    for option, name in (("c", "max-connections"), ("s", "max-per-source"), ("i", "idle-timeout"),
                         ("x", "exit-idle"), ("l", "log")):
        for arguments in ([f"-{option}wrong"], [f"-{option}", "wrong"]):
            assert f"mpecho: --{name} takes" in run(*arguments).stderr


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option):
    """--help tells every option on standard output, in lines that fit a terminal, status 0."""
    result = run(option)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("max-connections", "max-per-source", "idle-timeout", "exit-idle", "log",
                 "log-level", "test", "help", "version"):
        assert f"--{name}" in result.stdout
    assert "LISTEN" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option):
    """--version tells the package's version on standard output, status 0."""
    version = re.match(r"\S+ \((.*)-[^-]*\)", (ROOT / "debian" / "changelog").read_text())[1]
    result = run(option)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"mpecho {version}\n", "")


def test_client_that_is_standard_error(tmp_path):
    """A client that an inetd passes as all three reads nothing of a wrong option, whatever --log
    says: the journal has it."""
    journal = Journal(tmp_path)
    for count, target in enumerate(("auto", "stderr", "journal"), 1):
        client, passed = socket.socketpair()
        with client, passed:
            done = subprocess.run(
                [*with_journal(journal), MPECHO, f"--log={target}", "--port=7"], stdin=passed,
                stdout=passed, stderr=passed, timeout=DEADLINE, env=variables({}))
            passed.close()
            assert done.returncode == 2
            journal.wait_for("failed", count)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
    journal.close()


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_files(closed):
    """Closed standard files do no harm: what would be said there is said to nobody."""
    result = subprocess.run(["sh", "-c", f'exec "$0" --idle-timeout=x {closed}', str(MPECHO)],
                            capture_output=True, text=True, timeout=DEADLINE, env=variables({}))
    assert result.returncode == 2
    assert ("2>" in closed) == (result.stderr == "")


def test_full_standard_output():
    """--help that cannot be written is a failure, status 1."""
    with open("/dev/full", "w") as full:
        result = subprocess.run([MPECHO, "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr.startswith("mpecho: ")
