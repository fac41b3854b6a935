# SPDX-License-Identifier: MIT
"""TLS by stunnel(8) in front of the service and behind the client, as mpecho(8) has it."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import client as program
from processes import DEADLINE, wait_for
from service import documented
from test_client_json import parse

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
              pytest.mark.skipif(not shutil.which("stunnel4"), reason="no stunnel")]

SIZE, TRIPS = 4 << 20, 4
FRONT, BACK = 8007, 9007


def certificate(directory, name):
    """A file with a key and its own certificate for server.example."""
    path = directory / name
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server.example",
                    "-keyout", path, "-out", f"{path}.crt"], check=True, stderr=subprocess.DEVNULL)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@contextlib.contextmanager
def stunnel(network, path, port, text, changes):
    """stunnel with the configuration of the manual, for other files, once it listens."""
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, str(after))
    path.write_text(f"foreground = yes\npid =\n{text}")
    with network.run(subprocess.Popen, ["stunnel4", path], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or network.is_listening(port), "stunnel")
            assert process.poll() is None
            yield
        finally:
            process.kill()


def answered(output):
    """The round trips of a ping that came back intact."""
    return parse(output.decode())["ping"]["answered"]


def test_recipe(network, start, tmp_path):
    """What goes through both comes back, the service sees stunnel as its peer, and a client that does
    not trust the certificate sends the service nothing."""
    host = network()
    service = start("127.0.0.1:7", network=host)
    own, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    front = documented("TLS, by"), {"/etc/ssl/private/echo.pem": own}
    back = documented("Another stunnel"), {"server.example:8007": f"127.0.0.1:{FRONT}"}
    authorities = "/etc/ssl/certs/ca-certificates.crt"
    # A check has half-closed its connection before all is back, which a busy stunnel can cut short.
    words = ["--ping", "--json", f"-c{TRIPS}", f"-s{SIZE // TRIPS}", "-f", f"-W{DEADLINE}",
             "127.0.0.1", BACK]
    with stunnel(host, tmp_path / "front.conf", FRONT, *front):
        with stunnel(host, tmp_path / "back.conf", BACK, back[0],
                     back[1] | {authorities: f"{own}.crt"}):
            status, output, errors = host.run(program.run, *words)
        assert (status, errors) == (0, []) and answered(output) == TRIPS
        record, = service.journal.wait_for("closed")
        assert record.number("MPECHO_BYTES") == SIZE
        assert record["MPECHO_PEER_ADDRESS"] == "127.0.0.1"
        with stunnel(host, tmp_path / "wary.conf", BACK, back[0],
                     back[1] | {authorities: f"{other}.crt"}):
            status, output, errors = host.run(program.run, *words)
        assert status == 1 and answered(output) == 0
    service.wait_until_idle()
    assert service.totals().number("MPECHO_BYTES") == SIZE
