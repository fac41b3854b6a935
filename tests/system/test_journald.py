# SPDX-License-Identifier: MIT
"""journald is stopped, killed, restarted and without its socket, under load."""

SECONDS = 1200


def test_journald(host):
    """Whatever happens to journald, clients are served, and records written and records lost are
    exactly what happened; the service keeps running as it was."""
    host.check("sh", "-c", "apt-get install -q -y /usr/src/packages/mpecho_*.deb")
    print(host.check("python3", "/usr/src/mpecho/tests/system/inside_journald.py", timeout=SECONDS))
