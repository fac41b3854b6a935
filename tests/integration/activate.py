# SPDX-License-Identifier: MIT
"""activate.py DESCRIPTOR… -- PROGRAM…: becomes PROGRAM with the DESCRIPTORs renumbered from 3 on.

It does what systemd does for socket activation, sd_listen_fds(3), but for LISTEN_FDS and LISTEN_PID
where they are set already. A DESCRIPTOR "-" leaves its number unused.
"""

import fcntl
import os
import sys

FIRST = 3

split = sys.argv.index("--")
wanted, command = sys.argv[1:split], sys.argv[split + 1:]
passed = [None if text == "-" else int(text) for text in wanted]
# Above what is passed and what it will be.
ASIDE = max([FIRST + len(passed)] + [number + 1 for number in passed if number is not None])
aside = [None if number is None else fcntl.fcntl(number, fcntl.F_DUPFD, ASIDE) for number in passed]
os.closerange(FIRST, ASIDE)
for number, descriptor in enumerate(aside, FIRST):
    if descriptor is not None:
        os.dup2(descriptor, number)
        os.close(descriptor)
os.environ.setdefault("LISTEN_FDS", str(len(wanted)))
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execvp(command[0], command)
