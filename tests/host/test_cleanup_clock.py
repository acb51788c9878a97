"""A clock that is set an hour ahead, and back, while containers are watched: nobody is harmed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.test_units import PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.containers import Container
    from tests.host.host import Host

# each limit is some minutes: longer than the test, and shorter than an hour
POLICY = """\
default_group: student
defaults: {idle_timeout_h: 0.2, max_runtime_h: 0.2, container_hold_after_stop_h: 0.2}
policies:
  {grace_period_m: 0, idle_detection_window: 1, sigterm_grace_s: 1, created_container_timeout_m: 12}
cleanup:
  mode: enforce
  unowned: act
  idle_without_gpu: true
  runtime_without_gpu: true
  breaker: {after_boot_m: 0, after_upgrade_m: 0, max_share: null, max_users: null}
docker: {timeout_s: 60}
"""
HOUR_S = 3600


@pytest.fixture
def site(host: Host) -> Iterator[Host]:
    """The host with a policy; afterwards it has the right time again."""
    host.put(POLICY, PLACE)
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    host.user("alice")
    yield host
    host.machine.set_clock()
    host.run("docker ps -aq | xargs -r docker rm -f")
    host.run("rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01")


def apply(host: Host, ds01ctl: str) -> dict[str, Any]:
    """Do what is due to containers, twice, as two runs of the timer do."""
    command = f"{ds01ctl} cleanup apply --only idle,runtime,stopped,created,gpu-holds --yes --json"
    host.ok(command)
    return dict(json.loads(host.ok(command))["data"])


def set_clock(host: Host, seconds: int) -> None:
    """Set the wall's clock ahead, or back."""
    host.ok(f"date --utc --set=@$(( $(date +%s) + {seconds} ))")


def test_an_hour_ahead_and_back(site: Host, ds01ctl: str) -> None:
    host = site
    mounted = "--volume=/home/alice:/workspace"
    idle: Container = host.container(mounted)
    ended = host.container(mounted, "sleep 1")
    made = host.ok(f"docker create {mounted} ds01/busybox:1 sleep 1").strip()
    ids = (idle.id, ended.id, made)
    before = host.ok(f"docker inspect --format='{{{{json .State}}}}' {' '.join(ids)}")
    apply(host, ds01ctl)
    for step_s in (HOUR_S, -HOUR_S, -HOUR_S, HOUR_S):
        set_clock(host, step_s)
        done = apply(host, ds01ctl)
        assert done["changes"] == [], step_s
        assert done["examined"]["sampled"] == 1
    assert host.ok(f"docker inspect --format='{{{{json .State}}}}' {' '.join(ids)}") == before
    # and their time has gone on: what comes next is in minutes, not in hours
    coming = {one["part"]: one["in_s"] for one in done["coming"]}
    assert coming.keys() >= {"idle", "runtime", "stopped", "created"}
    assert max(coming.values()) < 720
