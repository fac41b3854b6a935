# SPDX-License-Identifier: MIT
"""Other people's echo servers, each set up as well as its documentation knows: no limits that the
measures would run into, and a backlog as long as mpecho's where it can be said."""

import shutil
import subprocess

from contenders import BACKLOG, MANY, PORT, Contender
from inetds import PEERS, xinetd

UNLIMITED = 1000000


def inetd(address, directory):
    configuration = directory / "inetd.conf"
    # The number is the most starts a minute.
    configuration.write_text(
        f"{address}:{PORT} stream tcp nowait.{UNLIMITED} root /bin/cat cat\n")
    return [PEERS / "inetd", "-i", "-q", BACKLOG, configuration]


def tcpserver(address, _):
    # No look at names, idents and options of IP.
    return ["tcpserver", "-H", "-R", "-D", "-l", "0", "-c", MANY, "-b", BACKLOG, address, PORT,
            "/bin/cat"]


def socat(address, _):
    return ["socat", f"TCP4-LISTEN:{PORT},bind={address},reuseaddr,nodelay,fork,backlog={BACKLOG}",
            "PIPE"]


def ncat(address, _):
    return ["ncat", "-4", "-l", "-k", "-m", MANY, "-e", "/bin/cat", address, PORT]


def ncat_title():
    """Names the version: up to 7.95, ncat loses what its program has not read at the client's end."""
    if shutil.which("ncat") is None:
        return "ncat + cat"
    said = subprocess.run(["ncat", "--version"], capture_output=True, text=True, check=True)
    version = (said.stdout + said.stderr).partition("Version ")[2].split()[0]
    return f"ncat {version} + cat"


def activate(address, _):
    return ["systemd-socket-activate", "--accept", "--inetd", f"--listen={address}:{PORT}",
            "/bin/cat"]


OTHERS = [
    Contender("xinetd", "xinetd's echo", xinetd),
    Contender("inetd", "openbsd-inetd + cat", inetd),
    Contender("tcpserver", "tcpserver + cat", tcpserver),
    Contender("socat", "socat PIPE", socat),
    Contender("ncat", ncat_title(), ncat),
    Contender("activate", "systemd-socket-activate + cat", activate),
]
