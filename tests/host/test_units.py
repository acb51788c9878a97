"""The units on a real systemd: they run as hardened, and no container loses its GPU to them."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.containers import Container
    from tests.nvml.double import NvmlDouble

# two scans and a second of age make a finding
# jobs that no test here asks for would run at once, and slow down those that one does
QUIET = "carbon: {enabled: false}, cleanup-containers: {enabled: false}"
POLICY = f"""\
detect: {{min_age_s: 1, scans: 2}}
jobs: {{{QUIET}}}
"""
SLOWER = POLICY.replace("jobs: {", "jobs: {detect: {schedule: 45s}, state: {enabled: false}, ")
PLACE = "/etc/ds01/resource-limits.yaml"
# everything that an install may touch, and what systemd's own enabling touches
LISTING = (
    "find /etc /opt /usr/lib/systemd /var/lib/prometheus /var/spool -xdev -not -name '*.pyc' "
    "-not -name __pycache__ -not -type s -printf '%p %y %m %U %G %s %l\\n' | sort; "
    "find /etc/systemd /etc/tmpfiles.d /etc/logrotate.d -type f -exec sha256sum {} + | sort"
)
TROUBLE = re.compile(
    r"denied|not permitted|read-only|traceback|failed|unknown|seccomp", re.IGNORECASE
)


def reloads(host: Host) -> str:
    """What PID 1 says of reloads since the boot."""
    return host.run("journalctl -b _PID=1 --no-pager | grep -i reloading").out


def remembered(host: Host, ds01ctl: str) -> dict[str, Any]:
    """Ask what is in the state store."""
    return dict(json.loads(host.ok(f"{ds01ctl} state check --json"))["data"])


def properties(host: Host, unit: str, *names: str) -> dict[str, str]:
    """Ask systemd about a unit."""
    said = host.ok(f"systemctl show -p {','.join(names)} {unit}")
    return dict(line.partition("=")[::2] for line in said.splitlines())


def stale_units(host: Host) -> list[str]:
    """Name our units whose file systemd has not read as it is now.

    The one that runs at boot is not among them: multi-user.target has it in memory.
    """
    said = host.ok("systemctl show -p Id,NeedDaemonReload 'ds01*' --all")
    blocks = [dict(x.partition("=")[::2] for x in b.splitlines()) for b in said.split("\n\n")]
    stale = [block["Id"] for block in blocks if block.get("NeedDaemonReload") == "yes"]
    return [name for name in stale if name != "ds01-start.service"]


def events(host: Host) -> list[dict[str, Any]]:
    """Read the guest's event log."""
    text = host.run("cat /var/log/ds01/events.jsonl").out
    return [json.loads(line) for line in text.splitlines()]


def wait_for(told: str, condition: Any, *, at_most_s: float) -> Any:
    """Wait for a condition to hold and return its value."""
    end = time.monotonic() + at_most_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {at_most_s} s: {told}"
        time.sleep(1)
    return value


@pytest.fixture
def clean(host: Host, ds01ctl: str) -> Iterator[Host]:
    """A host with the program, and without its units."""
    host.put(POLICY, PLACE)
    yield host
    host.run(f"{ds01ctl} units uninstall --purge --force")
    host.run("rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 /var/cache/ds01")


def test_life_of_an_installation(clean: Host, ds01ctl: str) -> None:
    """Install, boot, upgrade, uninstall: no reload, no GPU lost, nothing left."""
    host = clean
    before = host.ok(LISTING)
    container: Container = host.hook_granted_container()
    no_reload = reloads(host)
    host.ok(f"{ds01ctl} units install")
    assert container.has_access()
    assert "nothing to do" in host.ok(f"{ds01ctl} units install")
    listed = host.ok("systemctl list-timers --no-pager")
    assert {"ds01-detect.timer", "ds01-state.timer", "ds01-units-check.timer"} <= set(
        listed.split()
    )
    assert stale_units(host) == []
    assert reloads(host) == no_reload
    container.remove()
    store = "stat -c '%i %W' /var/lib/ds01/ds01ctl.db"
    made = wait_for("a run", lambda: host.run(store).out, at_most_s=60)

    host.reboot()
    assert host.ok(store) == made
    assert "detect" in remembered(host, ds01ctl)["last_success"]
    # what a lasting target wants would keep its old definition from here on
    container = host.hook_granted_container()
    no_reload = reloads(host)
    wait_for(
        "timers after the boot",
        lambda: "ds01-detect.timer" in host.ok("systemctl list-timers --no-pager"),
        at_most_s=60,
    )
    host.put(SLOWER, PLACE)
    host.ok(f"{ds01ctl} units install")
    assert container.has_access()
    assert stale_units(host) == []
    timers = host.ok("systemctl show -p TimersMonotonic ds01-detect.timer")
    assert "OnUnitActiveUSec=45s" in timers
    assert "ds01-state.timer" not in host.ok("systemctl list-timers --all --no-pager")

    host.ok(f"{ds01ctl} units uninstall")
    assert container.has_access()
    assert reloads(host) == no_reload
    assert "ds01" not in host.ok("systemctl list-timers --all --no-pager")
    # multi-user.target has it in memory until the next boot; its file is gone
    left = host.ok("systemctl list-units --all --no-legend --plain 'ds01*' | cut -d' ' -f1")
    assert left.split() == ["ds01-start.service"]
    host.put(POLICY, PLACE)
    assert host.ok(LISTING) == before


def test_the_timer_finds_a_container(clean: Host, ds01ctl: str) -> None:
    """Fired by systemd, under its full hardening: event, metrics, memory, and a quiet journal."""
    host = clean
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    container = host.container("--name=raw --label=com.example=1")
    host.ok(f"{ds01ctl} units install")

    def found() -> list[dict[str, Any]]:
        kinds = ("detection.unmanaged_container",)
        return [e for e in events(host) if e["event_type"] in kinds]

    event = wait_for("an event about the container", found, at_most_s=150)[0]
    assert event["details"]["id"][:12] == container.id[:12]
    runs = host.journal("ds01-detect.service", options="--output=cat")
    assert runs.count("Deactivated successfully") >= 2, runs
    assert not [line for line in runs.splitlines() if TROUBLE.search(line)], runs
    said = properties(host, "ds01-detect.service", "Result", "ExecMainStatus", "CPUUsageNSec")
    assert (said["Result"], said["ExecMainStatus"]) == ("success", "0")
    metrics = host.ok("cat /var/lib/prometheus/node-exporter/ds01_detect.prom")
    assert "ds01_detect_findings{" in metrics
    assert host.ok("stat -c %a /var/lib/prometheus/node-exporter/ds01_detect.prom").strip() == "644"
    kernel = host.run("journalctl -b -k --no-pager | grep -iE 'audit|apparmor.*DENIED|seccomp'").out
    assert "ds01ctl" not in kernel


def test_the_timer_finds_a_process_on_the_host(clean: Host, ds01ctl: str, nvml: NvmlDouble) -> None:
    """NVML is read through the unit's sandbox, and the process is traced to its person."""
    host = clean
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    host.user("alice")
    session = host.session("alice")
    pid = int(properties(host, session, "MainPID")["MainPID"])
    host.gpus(nvml.gpu(0, mem_used=6 << 30).process(gpu=0, pid=pid, mem=5 << 30))
    host.ok(f"{ds01ctl} units install")

    def found() -> list[dict[str, Any]]:
        return [e for e in events(host) if e["event_type"] == "detection.host_gpu_process"]

    event = wait_for("an event about the process", found, at_most_s=150)[0]
    assert event["user"] == "alice"
    assert event["details"]["pid"] == pid
    file = "/var/lib/prometheus/node-exporter/ds01_detect.prom"
    # the run writes it after its events
    metrics = wait_for("metrics", lambda: host.run(f"cat {file}").out, at_most_s=30)
    assert 'ds01_detect_gpus{state="ok"} 1' in metrics


def starts(host: Host, since: float) -> list[float]:
    """Tell when detect was started, in seconds since the boot."""
    told = host.journal(
        "ds01-detect.service", options="--output=json --output-fields=MESSAGE -n 60"
    )
    moments = [
        int(one["__MONOTONIC_TIMESTAMP"]) / 1e6
        for one in map(json.loads, told.splitlines())
        if str(one["MESSAGE"]).startswith("Starting ds01-detect")
    ]
    return [moment for moment in moments if moment > since]


def test_every_job_runs_as_hardened_and_in_time(clean: Host, ds01ctl: str) -> None:
    """Every 30 s, and what a slow machine adds; each job ends well and is denied nothing."""
    host = clean
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    since = float(host.ok("cat /proc/uptime").split()[0])
    host.ok(f"{ds01ctl} units install")
    begun = wait_for(
        "three runs", lambda: s if len(s := starts(host, since)) >= 3 else [], at_most_s=180
    )
    gaps = [b - a for a, b in pairwise(begun)]
    assert all(29 <= gap <= 45 for gap in gaps), gaps
    for job in ("enforce", "state", "units-check"):
        host.ok(f"systemctl start ds01-{job}.service")
        runs = host.journal(f"ds01-{job}.service", options="--output=cat")
        assert "Deactivated successfully" in runs
        assert not [line for line in runs.splitlines() if TROUBLE.search(line)], runs


def test_a_failing_job_is_told(clean: Host, ds01ctl: str) -> None:
    """A policy that cannot be used makes detect fail; the handler writes the event.

    So does every job that reads the policy; which of them is due first is theirs to know.
    """
    host = clean
    host.ok(f"{ds01ctl} units install")
    host.put("detect: {min_age_s: often}\n", PLACE)

    def failed() -> list[dict[str, Any]]:
        told = [e for e in events(host) if e["event_type"] == "health.fail"]
        return [e for e in told if e["details"]["unit"] == "ds01-detect.service"]

    event = wait_for("an event about the failure", failed, at_most_s=120)[0]
    assert "min_age_s: is 'often'" in event["details"]["last_error"]
    host.put(POLICY, PLACE)
    status = host.run(f"{ds01ctl} units status --exit-code")
    assert status.status == 4, status.out + status.err
    assert re.search(r"^detect +failing ", status.out, re.MULTILINE), status.out


def test_folders_of_the_platform_are_left_alone(clean: Host, ds01ctl: str) -> None:
    """Neither the units nor tmpfiles.d touch mode, group or content that others rely on."""
    host = clean
    host.user("alice")
    host.ok(
        "mkdir -p /var/lib/ds01/alerts /var/log/ds01; chgrp docker /var/lib/ds01 /var/log/ds01; "
        "chmod 775 /var/lib/ds01; chmod 2775 /var/log/ds01; "
        "touch /var/lib/ds01/alerts/alice.json /var/log/ds01/events.jsonl; "
        "chown alice /var/lib/ds01/alerts/alice.json; "
        "chown root:docker /var/log/ds01/events.jsonl; chmod 664 /var/log/ds01/events.jsonl"
    )
    listing = (
        "stat -c '%n %a %U %G' /var/lib/ds01 /var/log/ds01 /var/lib/ds01/alerts/alice.json "
        "/var/log/ds01/events.jsonl"
    )
    before = host.ok(listing)
    host.ok(f"{ds01ctl} units install")
    wait_for(
        "a run of detect",
        lambda: "Deactivated" in host.journal("ds01-detect.service", options="--output=cat"),
        at_most_s=90,
    )
    assert host.ok(listing) == before
