"""People, a policy and files for tests of `ds01ctl quota`, and what the kernel then says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import ALL_KINDS, Limits
from tests.uml.inside.places import BOTH, MIB, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ds01ctl.core.disk_quota import DiskQuota, QuotaKind
    from tests.uml.inside.conftest import Done

    Run = Callable[..., Done]

POLICY = Path("/etc/ds01/resource-limits.yaml")
OVERRIDES = Path("/etc/ds01/user-overrides.yaml")
EVENTS = Path("/var/log/ds01/events.jsonl")
METRICS = Path("/var/lib/prometheus/node-exporter/ds01_quota.prom")
PASSWD = Path("/etc/passwd").read_text()
ALICE, BOB, CARL = 2101, 2102, 2103
PEOPLE = {"alice": ALICE, "bob": BOB, "carl": CARL}
RULES = """\
# the policy
default_group: student
quota: {mode: enforce}
groups:
  student:
    # everybody's
    storage:
      /home: 8M   # soft
      /scratch: {soft: 4M, hard: 6M, inodes_soft: 100}
  staff:
    storage: {/home: 100M}
# a guest is slow beside other tests
users: {timeout_s: 60}
"""
HOME = Limits(8 * MIB, 8 * MIB + 13 * 65536)
SCRATCH = Limits(4 * MIB, 6 * MIB, 100, 110)


def begin(rules: str = RULES, people: dict[str, int] | None = None) -> None:
    """Make the world anew: nobody has a limit or a file, and nothing is remembered."""
    for folder in ("/etc/ds01", "/var/lib/ds01", "/var/log/ds01", "/run/ds01"):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("/etc/projects", "/etc/projid"):
        Path(name).unlink(missing_ok=True)
    (POLICY.parent / "groups").mkdir(parents=True)
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    METRICS.unlink(missing_ok=True)
    POLICY.write_text(rules)
    (POLICY.parent / "groups/staff.members").write_text("carl\n")
    know(people or PEOPLE)
    for where in BOTH:
        for path in Path(where.mount).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with quotactl.opened(where.mount, where.device) as handle:
            for kind in ALL_KINDS:
                quotactl.set_info(handle, kind, bytes_s=604_800, inodes_s=604_800)
                for one in quotactl.all_quotas(handle, kind):
                    put(where.mount, one.id, Limits(), kind)


def know(people: dict[str, int]) -> None:
    """Write the accounts, besides those of the system."""
    system = "".join(f"{line}\n" for line in PASSWD.splitlines() if int(line.split(":")[2]) < 1000)
    ours = "".join(f"{login}:x:{uid}:{uid}::/home/x:/bin/sh\n" for login, uid in people.items())
    Path("/etc/passwd").write_text(system + ours)
    Path("/etc/group").write_text("root:x:0:\nds01-admin:x:900:\n")


def put(mount: str, uid: int, limits: Limits, kind: QuotaKind = "user") -> None:
    """Set limits behind ds01ctl's back."""
    device = next(one.device for one in BOTH if one.mount == mount)
    with quotactl.opened(mount, device) as handle:
        quotactl.set_quota(handle, kind, uid, byte_limits=limits[:2], inode_limits=limits[2:])


def record(mount: str, uid: int, kind: QuotaKind = "user") -> DiskQuota:
    """Read what the kernel has of an id."""
    device = next(one.device for one in BOTH if one.mount == mount)
    sync(Path(mount))
    with quotactl.opened(mount, device) as handle:
        return quotactl.get_quota(handle, kind, uid)


def limits(mount: str, uid: int, kind: QuotaKind = "user") -> Limits:
    """Read the limits that an id has."""
    return record(mount, uid, kind).limits


def fill(path: str, uid: int, size: int) -> Path:
    """Give a user a file of this size, whole blocks on the disk."""
    file = Path(path)
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    with file.open("wb") as opened:
        if size:
            os.posix_fallocate(opened.fileno(), 0, size)
    os.chown(file, uid, uid)
    sync(file.parent)
    return file


def told(run: Run, *argv: str, status: int = 0) -> Any:
    """Run `quota` with --json, and give the document."""
    done = run("quota", *argv, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.status == status, done.stdout[:3000] + done.stderr
    return json.loads(done.stdout)


def said(run: Run, *argv: str, status: int = 0) -> str:
    """Run `quota`, and give all that it printed."""
    done = run("quota", *argv)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.status == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def changed(document: Any) -> set[tuple[str, str]]:
    """Name who was changed, and where."""
    return {(one["name"], one["mount"]) for one in document["data"]["changes"]}


def findings(document: Any, kind: str) -> list[tuple[str | None, str]]:
    """Tell the findings of a kind: user and evidence."""
    return [
        (one["user"], "; ".join(one["evidence"]))
        for one in document["findings"]
        if one["kind"] == kind
    ]


def events(kind: str) -> list[Any]:
    """Read the events of a kind."""
    lines: Iterable[str] = EVENTS.read_text().splitlines() if EVENTS.exists() else ()
    return [one for one in map(json.loads, lines) if one["event_type"] == kind]


def series(name: str) -> dict[str, float]:
    """Read the series of a metric, by what stands between the braces."""
    found = {}
    for line in METRICS.read_text().splitlines():
        head, _, value = line.rpartition(" ")
        if not line.startswith("#") and head.partition("{")[0] == name:
            found[head.partition("{")[2].rstrip("}")] = float(value)
    return found
