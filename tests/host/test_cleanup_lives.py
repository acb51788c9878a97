"""Generated lives of containers, and the hardened job: only what Docker's fields justify goes."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.lives import Judge, Limits
from tests.host.test_units import PLACE, events

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.host.host import Host

# seconds instead of hours; the same numbers as LIMITS
POLICY = """\
default_group: student
defaults: {idle_timeout_h: 0.003, max_runtime_h: 0.01, container_hold_after_stop_h: 0.001}
policies:
  {grace_period_m: 0, idle_detection_window: 2, sigterm_grace_s: 1,
   created_container_timeout_m: 0.2}
cleanup:
  mode: enforce
  idle_without_gpu: true
  runtime_without_gpu: true
  keep_alive_max_per_user: null
  breaker: {after_boot_m: 0, after_upgrade_m: 0, max_share: null, max_users: null}
docker: {timeout_s: 60}
jobs:
  detect: {enabled: false}
  enforce: {enabled: false}
  quota: {enabled: false}
  carbon: {enabled: false}
"""
LIMITS = Limits(idle_s=10.8, runtime_s=36.0, hold_s=3.6, created_s=12.0)
FAR = Limits(1e6, 1e6, 1e6, 1e6)
FEW = 4
LIVES = int(os.environ.get("DS01_HOST_LIVES", FEW))
"""``DS01_HOST_LIVES=50`` by hand: a quarter of an hour, each life to its end."""
SPAN_S = 600 if LIVES == FEW else 150
"""At most; a few are over once every end was seen, and do little, for other tests run beside."""
JOB = "ds01-cleanup-containers"
GUEST = "/root/lives"


@pytest.fixture
def site(host: Host, ds01ctl: str) -> Iterator[Host]:
    """The host with the jobs, and three users."""
    host.put(POLICY, PLACE)
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    for login in ("alice", "bob", "carol"):
        host.user(login)
    host.put(Path(__file__).parent / "guest", GUEST)
    host.ok(f"{ds01ctl} units install")
    # it is started by the test, more often
    host.ok(f"systemctl stop {JOB}.timer")
    yield host
    host.run(f"{ds01ctl} units uninstall --purge --force")
    host.run(
        "docker ps -aq | xargs -r docker rm -f; docker volume ls -q | xargs -r docker volume rm"
    )
    host.run(f"rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 {GUEST}")


def run_until_over(host: Host, lives: subprocess.Popen[bytes]) -> None:
    """Run the job as its timer does; a few lives are over once every end was seen."""
    wanted = {
        ("stop-container", "idle"),
        ("remove-container", "stopped"),
        ("remove-container", "created"),
    }
    while lives.poll() is None:
        host.run(f"systemctl start {JOB}.service")
        deeds = {(one["details"].get("change"), one["details"].get("part")) for one in events(host)}
        if LIVES == FEW and deeds >= wanted:
            host.ok(f"touch {GUEST}/record.over")


def told(row: dict[str, Any]) -> tuple[str, str, int]:
    """Say what a row of the history and an event have in common."""
    return row["change"] if "change" in row else row["kind"], row["target"], row["stage"]


def test_lives_lose_nothing_that_dockers_fields_do_not_justify(site: Host, ds01ctl: str) -> None:
    host = site
    lives = host.start(
        f"/opt/ds01ctl/bin/python {GUEST}/lives.py {LIVES} {min(LIVES, 8)} {SPAN_S} {GUEST}/record"
    )
    run_until_over(host, lives)
    said, _ = lives.communicate()
    assert lives.returncode == 0, said.decode()
    record = json.loads(host.get(f"{GUEST}/record"))
    history = json.loads(host.ok(f"{ds01ctl} cleanup history --json"))["data"]["rows"]

    judge = Judge(record, history, LIMITS)
    assert judge.faults() == []
    print(LIVES, "lives:", dict(judge.ends))
    # every kind of end, and of those who stay: else it proves little
    wanted = {
        "stop idle", "removal stopped", "removal created", "kept survived", "paused survived",
    }  # fmt: skip
    assert judge.ends.keys() >= (wanted if LIVES == FEW else wanted | {"stop runtime"})
    strikes = len(list(judge.strikes()))
    # with other limits each of them would be a fault, and so would be each that nobody told of
    assert len(Judge(record, history, FAR).faults()) == strikes
    assert sum("not told once" in one for one in Judge(record, [], LIMITS).faults()) == strikes

    done = [one["details"] for one in events(host) if one["details"].get("outcome") == "done"]
    assert Counter(map(told, done)) == Counter(
        told(row) for row in history if row["outcome"] == "done" and row["kind"] != "trip"
    )
    assert "Traceback" not in host.journal(JOB)
