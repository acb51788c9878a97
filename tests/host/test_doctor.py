"""`doctor` on a real systemd, a real Docker with its systemd driver, real control groups v2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.host.host import Host

SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/{}\n"


def checks(host: Host, ds01ctl: str, *options: str) -> dict[str, dict[str, Any]]:
    """Run it and give the rows by ``area: check``."""
    ran = host.run(f"{ds01ctl} doctor --json {' '.join(options)}")
    assert ran.status in {0, 3}, ran.out + ran.err
    rows = json.loads(ran.out)["data"]["checks"]
    return {f"{row['area']}: {row['check']}": row for row in rows}


def test_a_real_host(host: Host, ds01ctl: str) -> None:
    """What it says of this host is so, and a container's device outlives the look."""
    container = host.hook_granted_container()
    rows = checks(host, ds01ctl)
    assert container.has_access()
    fine = (
        "systemd: init", "systemd: version", "systemd: control groups", "systemd: controllers",
        "systemd: pressure (PSI)", "systemd: reload pending", "docker: engine",
        "docker: cgroup driver", "docker: seccomp", "docker: version", "logs: logrotate",
        "ds01: place", "ds01: program",
    )  # fmt: skip
    assert {name: rows[name]["found"] for name in fine if rows[name]["state"] != "ok"} == {}
    assert {row["check"] for row in rows.values() if row["state"] == "unknown"} == set()


def test_a_reload_that_is_pending(host: Host, ds01ctl: str) -> None:
    """A unit whose file changed is named; looking does not reload."""
    unit = "/etc/systemd/system/bystander.service"
    host.put(SERVICE.format("true"), unit)
    host.ok("systemctl start bystander.service && touch -d '+1 min' " + unit)
    try:
        row = checks(host, ds01ctl, "--only", "systemd")["systemd: reload pending"]
        assert (row["state"], row["found"]) == ("warning", "bystander.service changed on disk")
        told = "systemctl show --property=NeedDaemonReload --value bystander.service"
        assert host.ok(told).strip() == "yes"
    finally:
        host.ok(f"systemctl stop bystander.service; rm {unit}")


def test_fixes_for_docker_cost_no_container_its_device(host: Host, ds01ctl: str) -> None:
    """Turn live-restore on as told, then restart as told: the container runs on, and has it all."""
    container = host.hook_granted_container()
    row = checks(host, ds01ctl, "--only", "docker")["docker: live-restore"]
    assert row["fix"].endswith("then: systemctl reload docker (stops nothing)")
    host.put('{"live-restore": true}', "/etc/docker/daemon.json")
    try:
        host.ok("systemctl reload docker && sleep 1")
        assert container.has_access()
        rows = checks(host, ds01ctl, "--only", "docker")
        assert rows["docker: live-restore"]["state"] == "ok"
        assert "restart docker (live-restore is on" in rows["docker: container logs"]["fix"]
        host.ok("systemctl restart docker")
        assert container.has_access()
    finally:
        # a key that is no longer there would leave things as they are
        host.put('{"live-restore": false}', "/etc/docker/daemon.json")
        host.ok("systemctl reload docker && sleep 1 && rm /etc/docker/daemon.json")
