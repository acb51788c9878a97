"""Disk limits on a real host: the hardened job sets them, users and containers are held to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.test_units import PLACE, TROUBLE, events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.host import Host

POLICY = """\
default_group: student
quota: {{mode: {mode}}}
jobs: {{detect: {{enabled: false}}, enforce: {{enabled: false}}, carbon: {{enabled: false}}}}
groups:
  student:
    storage: {{/home: {{soft: 20M, hard: 24M}}, /srv/xfs: 100M}}
"""
VOLUMES = "/var/lib/docker/volumes"


@pytest.fixture
def clean(host: Host, ds01ctl: str) -> Iterator[Host]:
    """A host with XFS at /home and at /srv/xfs, one disk, and a policy that sets limits."""
    place = host.disk("xfs")
    host.ok(f"mount --bind {place} /home; mkdir -p /var/lib/prometheus/node-exporter")
    host.put(POLICY.format(mode="enforce"), PLACE)
    yield host
    host.run(f"umount --lazy /home; {ds01ctl} units uninstall --purge --force")
    host.run("rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01")


def write(host: Host, login: str, path: str, mib: int) -> str:
    """Have a user write, and tell what dd said."""
    ran = host.run(f"runuser -u {login} -- dd if=/dev/zero of={path} bs=1M count={mib}")
    return ran.err if ran.status else ""


def test_the_job_sets_limits_as_hardened(clean: Host, ds01ctl: str) -> None:
    """Though /home and /srv are read-only for it; and its second run writes nothing."""
    host = clean
    host.user("alice")
    host.put(POLICY.format(mode="enforce"), PLACE)
    host.ok(f"{ds01ctl} units install")
    host.ok("systemctl start ds01-quota.service")
    journal = host.journal("ds01-quota.service", options="--output=cat")
    assert "set alice on /" in journal
    assert "Deactivated successfully" in journal
    assert not [line for line in journal.splitlines() if TROUBLE.search(line)], journal
    # /home and /srv/xfs are one file system, of two limits the larger holds
    assert "one limit a user: the larger one holds" in journal
    assert write(host, "alice", "/home/alice/much", 90) == ""
    assert "Disk quota exceeded" in write(host, "alice", "/home/alice/more", 40)
    host.ok("systemctl start ds01-quota.service")
    assert "nothing changed" in host.journal("ds01-quota.service", options="--output=cat -n 20")
    kinds = [one["event_type"] for one in events(host) if one.get("user") == "alice"]
    assert kinds == ["quota.disk_limit", "quota.disk_warning"]
    metrics = host.ok("cat /var/lib/prometheus/node-exporter/ds01_quota.prom")
    assert 'ds01_quota_hard_limit_bytes{filesystem="/home",user="alice"}' in metrics or (
        'ds01_quota_hard_limit_bytes{filesystem="/srv/xfs",user="alice"}' in metrics
    )
    why = host.ok(f"{ds01ctl} quota why alice")
    assert "REFUSES" in why
    assert "EDQUOT" in why


def test_the_job_warns_as_hardened(clean: Host, ds01ctl: str) -> None:
    """On a terminal of hers, which is not root's to write on, and only the group tty may."""
    host = clean
    host.user("alice")
    host.ok(f"{ds01ctl} units install")
    host.ok("systemctl start ds01-quota.service")
    assert write(host, "alice", "/home/alice/much", 90) == ""
    host.ok("systemctl start ds01-quota.service")
    missed = host.journal("ds01-quota.service", options="--output=cat -n 20")
    assert "could not tell alice: " in missed
    host.session(
        "alice", "script --quiet --flush --command 'sleep infinity' /var/tmp/screen", kind="user"
    )
    host.ok("until ps -u alice -o tty= | grep -q pts/; do sleep 0.1; done")
    terminal = host.ok("ps -u alice -o tty= | grep -m1 pts/").strip()
    assert host.ok(f"stat --format='%U:%G %a' /dev/{terminal}").strip() == "alice:tty 620"
    host.ok("systemctl start ds01-quota.service")
    assert "warned alice: " in host.journal("ds01-quota.service", options="--output=cat -n 20")
    host.ok("until grep -q 'ds01: You use' /var/tmp/screen; do sleep 0.1; done")
    assert "of your disk space on /" in host.ok("cat /var/tmp/screen; rm /var/tmp/screen")
    # told once
    host.ok("systemctl start ds01-quota.service")
    again = host.journal("ds01-quota.service", options="--output=cat -n 3")
    assert "warned alice" not in again
    made = [one for one in events(host) if one["event_type"] == "quota.disk_warning"]
    assert len(made) == 1


def test_volumes_are_held_to_their_owners_limit(host: Host, ds01ctl: str) -> None:
    """A volume of alice's, on XFS: tagged by the job, limited, and a container is held to that."""
    place = host.disk("xfs")
    host.user("alice")
    policy = POLICY.replace("jobs: {{", "jobs: {{quota-volumes: {{enabled: true}}, ")
    host.put(policy.format(mode="enforce"), PLACE)
    host.ok(f"mkdir -p {VOLUMES}; mount --bind {place} {VOLUMES}")
    try:
        host.ok("docker volume create --label ds01.user=alice data")
        # a label alone accuses nobody
        host.ok(f"install --owner=alice /dev/null {VOLUMES}/data/_data/hers")
        host.ok(f"{ds01ctl} units install")
        assert "ds01-quota-volumes.timer" in host.ok("systemctl list-timers 'ds01-*'")
        host.ok("systemctl start ds01-quota-volumes.service")
        journal = host.journal("ds01-quota-volumes.service", options="--output=cat")
        assert "Deactivated successfully" in journal
        assert not [line for line in journal.splitlines() if TROUBLE.search(line)], journal
        said = host.ok(f"{ds01ctl} quota project list")
        assert "volumes-alice" in said
        container = host.container("--volume data:/data")
        write = f"docker exec {container.id} dd if=/dev/zero of=/data/big bs=1M count=40"
        host.ok(f"{ds01ctl} quota set --project volumes-alice --path {VOLUMES} --hard 20M")
        full = host.run(write)
        assert full.status != 0
        assert "No space left on device" in full.err
        why = host.ok(f"{ds01ctl} quota why {VOLUMES}/data/_data")
        assert "project volumes-alice holds" in why
        assert "ENOSPC" in why
    finally:
        host.run("docker rm --force $(docker ps --quiet --all); docker volume rm data")
        host.run(f"{ds01ctl} units uninstall --purge --force")
        host.run(f"umount --lazy {VOLUMES}; rm -rf /etc/ds01 /etc/projects /etc/projid")
        host.run("rm -rf /var/lib/ds01 /var/log/ds01 /run/ds01")
