# SPDX-License-Identifier: MIT
"""Installing, upgrading, downgrading, removing and purging the packages on a booted machine."""

import pytest
from administrator import Administrator

EXCHANGE = "printf hello | mpecho-client --timeout=0 127.0.0.1"
# A socket unit of the administrator's own, for the same service.
OWN = "/etc/systemd/system/echo-9190.socket"


@pytest.fixture(name="binds")
def fixture_binds(binds, previous):
    return {**binds, "/usr/src/previous": previous}


def test_lifecycle(host):
    """Upgrading and downgrading restart a running service and leave a stopped one stopped, while
    the socket goes on listening; removing stops both, and each other socket unit of the service;
    purging leaves nothing, and dpkg does not warn of anything; all of it again, with a service that
    a wrong option has failed."""
    admin = Administrator(host)
    before = admin.files()

    admin.install("previous")
    assert admin.states() == ("inactive", "inactive")
    admin.install("packages")
    assert admin.states() == ("inactive", "inactive")
    assert admin.catalog() > 0

    admin.shell("systemctl enable --now mpecho.socket")
    admin.install("previous")
    assert admin.states() == ("active", "inactive")
    assert admin.shell(EXCHANGE) == "hello"
    for directory in "packages", "previous", "packages":
        assert admin.states() == ("active", "active")
        master, listening = admin.runs()
        admin.install(directory)
        assert admin.runs()[0] not in ("0", master)
        assert admin.runs()[1] == listening
        assert admin.shell(EXCHANGE) == "hello"

    admin.shell(f"printf '[Socket]\nListenStream=9190\nService=mpecho.service\n' >{OWN}")
    admin.shell("systemctl stop mpecho.service && systemctl start echo-9190.socket")
    assert admin.shell(f"{EXCHANGE} 9190") == "hello"
    admin.apt("remove", "mpecho")
    assert admin.states() == ("inactive", "inactive")
    assert admin.show("echo-9190.socket", "ActiveState") == "inactive"
    assert host.run("sh", "-c", EXCHANGE)[0] == 1
    admin.shell(f"rm {OWN} && systemctl daemon-reload")
    assert "/etc/default/mpecho" in admin.shell("ls /etc/default/mpecho")
    assert admin.catalog() == 0
    assert host.run("systemctl", "cat", "mpecho.service")[0] != 0

    assert "dpkg: warning" not in admin.apt("purge", "mpecho", "mpecho-client")
    admin.wait_for_files(before)
    assert admin.shell("systemctl list-units --all --no-legend 'mpecho*'") == ""

    admin.install("packages")
    assert admin.states() == ("inactive", "inactive")
    admin.shell("systemctl enable --now mpecho.socket mpecho-udp.socket mpecho-metrics.socket")
    assert admin.shell(EXCHANGE) == "hello"
    admin.shell("echo MPECHO_OPTIONS=--wrong >/etc/default/mpecho")
    assert host.run("systemctl", "restart", "mpecho.service")[0] != 0
    admin.shell("until systemctl is-failed --quiet mpecho.service; do sleep 0.1; done")
    assert "dpkg: warning" not in admin.apt("purge", "mpecho", "mpecho-client")
    admin.wait_for_files(before)
    assert admin.shell("systemctl list-units --all --no-legend 'mpecho*'") == ""
