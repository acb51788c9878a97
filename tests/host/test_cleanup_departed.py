"""What is left of somebody who has left a real host: one plan, and nobody else's is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.test_enforce import BURN
from tests.host.test_units import PLACE, events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.host import Host

POLICY = """\
default_group: student
defaults: {container_hold_after_stop_h: 0.001}
policies: {grace_period_m: 0, sigterm_grace_s: 1}
enforcement: {mode: enforce}
groups: {student: {aggregate: {tasks_max: 500}}}
cleanup:
  mode: enforce
  users_after_d: 0
  breaker: {after_boot_m: 0, after_upgrade_m: 0}
docker: {timeout_s: 60}
"""
LISTING = "find /home/bob -printf '%p %y %m %U %G %s %T@\\n' | sort"
GRANT = "/var/lib/ds01/bare-metal-grants/bob.json"


@pytest.fixture
def site(host: Host, ds01ctl: str) -> Iterator[Host]:
    """The host with homes on a disk that has quotas."""
    place = host.disk("xfs")
    host.ok(f"mount --bind {place} /home; mkdir -p /var/lib/prometheus/node-exporter")
    host.put(POLICY, PLACE)
    yield host
    host.run("docker ps -aq | xargs -r docker rm -f; docker rmi bob/tool:1")
    host.run(f"{ds01ctl} enforce revert --yes; umount --lazy /home")
    host.run("rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01")


def work(host: Host, login: str, name: str, options: str = "") -> str:
    """Make a container of somebody's that runs, with a folder of theirs; return its id."""
    host.ok(f"install -d -o {login} /home/{login}/{name}")
    given = f"--label=ds01.user={login} --volume=/home/{login}/{name}:/workspace"
    return host.ok(f"docker run -d --network=none --name={name} {given} {options}").strip()


def did(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Say what was to be done, and what came of it."""
    return {(one["kind"], one["outcome"]) for one in document["actions"]}


def look(host: Host, command: str) -> dict[str, Any]:
    """Run a command of cleanup for departed users."""
    ran = host.run(f"{command} --only users --json")
    assert ran.status == 0, ran.out + ran.err
    return dict(json.loads(ran.out))


def state(host: Host, id_: str) -> str:
    """Say the state of a container, or that it is gone."""
    ran = host.run(f"docker inspect --format='{{{{.State.Status}}}}' {id_}")
    return ran.out.strip() if ran.status == 0 else "gone"


def test_somebody_who_has_left(site: Host, ds01ctl: str) -> None:
    """Stopped is what is idle, and removed after its hold; the rest is told, and stays."""
    host, apply = site, f"{ds01ctl} cleanup apply --yes"
    host.user("alice")
    uid = host.user("bob")
    host.ok("docker tag ds01/busybox:1 bob/tool:1")
    ids = (
        work(host, "alice", "hers", "ds01/busybox:1 sleep 100000"),
        work(host, "bob", "idle", "bob/tool:1 sleep 100000"),
        work(host, "bob", "busy", f"--cpus=0.3 bob/tool:1 {BURN}"),
    )
    host.ok(f"setquota -u {uid} 0 102400 0 0 /home")
    host.put('{"expires_at": null}', GRANT)
    host.ok(f"{ds01ctl} enforce apply --yes")
    assert look(host, apply)["findings"] == []

    host.ok("userdel bob")
    home, quota = host.ok(LISTING), host.ok("repquota -n /home")
    plan = look(host, f"{ds01ctl} cleanup plan")
    (found,) = plan["findings"]
    what = "2 containers, 1 image, 2 slices, 1 quota, 1 grant, 1 home"
    assert found["evidence"][0].endswith(f"; left: {what}")
    told = "\n".join(found["evidence"])
    for line in (
        "container idle (", "running: to be stopped", "container busy (", "is at work",
        "image bob/tool:1: ", "slice ds01-student-bob.slice ", f"slice user-{uid}.slice ",
        "hard 100 MiB", f"grant {GRANT}", f"home /home/bob, uid {uid}: never touched",
    ):  # fmt: skip
        assert line in told
    assert did(plan) == {("stop-container", "planned"), ("revoke-grant", "planned")}

    assert did(look(host, apply)) == {("stop-container", "done"), ("revoke-grant", "done")}
    assert [state(host, one) for one in ids] == ["running", "exited", "running"]
    assert host.run(f"ls {GRANT}").status != 0
    # its hold begins when it is seen stopped
    look(host, apply)
    host.ok("sleep 4")
    assert did(look(host, apply)) == {("remove-container", "done")}
    assert [state(host, one) for one in ids] == ["running", "gone", "running"]
    assert did(look(host, apply)) == set()

    assert (host.ok(LISTING), host.ok("repquota -n /home")) == (home, quota)
    host.ok(f"docker image inspect bob/tool:1; ls -d /etc/systemd/system/user-{uid}.slice.d")
    ours = [one["event_type"] for one in events(host) if one["source"] == "ds01ctl cleanup"]
    assert sorted(ours) == ["access.revoke", "maintenance.cleanup", "maintenance.cleanup"]
