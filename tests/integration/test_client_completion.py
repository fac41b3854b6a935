# SPDX-License-Identifier: MIT
"""Completion of mpecho-client in a real bash: what TAB offers, and what it does not."""

import os
import pathlib
import shlex
import subprocess

import pytest

import servers
from client import DEADLINE
from network import own_hosts

COMPLETION = pathlib.Path(__file__).parents[2] / "packaging/bash-completion/mpecho-client"
FRAMEWORK = "/usr/share/bash-completion/bash_completion"

# As readline(3) calls it: the words, split at $COMP_WORDBREAKS, are in COMP_WORDS.
ASK = f"""
source {FRAMEWORK}
source {shlex.quote(str(COMPLETION))}
compopt() {{ :; }}
COMP_LINE=$1
COMP_POINT=${{#COMP_LINE}}
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p mpecho-client | sed 's/.*-F \\([^ ]*\\) .*/\\1/') mpecho-client
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(line, **options):
    """What TAB offers behind `line`."""
    words = line.split(" ")
    result = subprocess.run(["bash", "--norc", "-c", ASK, "bash", line, *words], text=True,
                            capture_output=True, timeout=DEADLINE, **options)
    assert result.stderr == ""
    return {word.strip() for word in result.stdout.splitlines() if word}


@pytest.mark.parametrize(
    "line, words",
    [
        ("mpecho-client --pi", {"--ping"}),
        ("mpecho-client --ban", {"--bandwidth="}),
        ("mpecho-client --ping --floo", {"--flood"}),
        ("mpecho-client --ping --flow", {"--flows="}),
        ("mpecho-client --ping --flows ", set()),
        ("mpecho-client --load -k ", {"requests", "connections", "streams"}),
        ("mpecho-client --load --kind s", {"streams"}),
        ("mpecho-client --ping -c ", set()),
        ("mpecho-client --check -b ", set()),
        ("mpecho-client --timeout ", set()),
        ("mpecho-client --dscp ", set()),
    ],
)
def test_options_and_their_values(line, words):
    """Options by their beginning, names of kinds, and nothing where only the user knows."""
    assert offered(line) == words


@pytest.mark.parametrize("line", ["mpecho-client ", "mpecho-client --ping -c 5 ",
                                  "mpecho-client --ping --count 5 ", "mpecho-client --load "])
def test_a_host_follows(line, tmp_path):
    """Hosts of /etc/hosts, behind a mode too: a mode takes no value."""
    found = offered(line, preexec_fn=own_hosts(tmp_path, "192.0.2.1 echo.example.test\n"))
    assert "echo.example.test" in found
    assert not found & {"streams", "requests", "connections"}


@pytest.mark.parametrize("line", ["mpecho-client localhost ec", "mpecho-client --ping -c 3 localhost ec",
                                  "mpecho-client -b 5M --check localhost ec", "mpecho-client -p ec"])
def test_a_port_follows_the_host(line):
    """The names of services, whatever the options before the host take."""
    assert offered(line) == {"echo"}


def test_sockets(tmp_path):
    """Paths as files, and the abstract sockets that somebody listens on."""
    (tmp_path / "one-socket").touch()
    assert offered(f"mpecho-client {tmp_path}/one") == {f"{tmp_path}/one-socket"}
    name = f"@mpecho-completion-{os.getpid()}"
    with servers.local(servers.echo, name):
        assert offered("mpecho-client @mpecho-completion-") == {name}


def test_files_and_interfaces(tmp_path):
    """Files for exports, interfaces for the source."""
    (tmp_path / "times.csv").touch()
    assert offered(f"mpecho-client --ping --csv {tmp_path}/t") == {f"{tmp_path}/times.csv"}
    assert "lo" in offered("mpecho-client -I l")


def test_typed_into_a_terminal():
    """TAB in an interactive bash completes the word."""
    master, slave = os.openpty()
    try:
        bash = subprocess.Popen(["setsid", "--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"],
                                stdin=slave, stdout=slave, stderr=slave,
                                env=os.environ | {"TERM": "dumb", "PS1": "", "HISTFILE": ""})
        os.write(master, f"source {FRAMEWORK}; source {shlex.quote(str(COMPLETION))}; echo rea''dy\n".encode())
        seen = b""
        while b"\nready" not in seen:
            seen += os.read(master, 4096)
        os.write(master, b"echo [ mpecho-client ]; mpecho-client --no-p\t")
        while b"--no-progress" not in seen:
            seen += os.read(master, 4096)
    finally:
        os.close(slave)
        # The hang-up ends the shell.
        os.close(master)
        bash.wait(DEADLINE)
