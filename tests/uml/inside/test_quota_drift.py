"""`quota apply` over time: drift, what nobody wants any more, a lost policy, warnings."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.places import MIB
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    CARL,
    HOME,
    METRICS,
    OVERRIDES,
    POLICY,
    RULES,
    begin,
    changed,
    events,
    fill,
    findings,
    know,
    limits,
    put,
    said,
    series,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.uml.inside.quota_world import Run

NOBODYS = 54_321


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


def test_drift(ds01ctl: Run) -> None:
    """What was changed by hand is found, and put right; admins are spared."""
    (POLICY.parent / "resource-limits.yaml").write_text(
        RULES + "access_control: {admin_users: [bob]}\n"
    )
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", BOB) == Limits()
    assert "every limit is as it should be" in said(ds01ctl, "check", "--exit-code")
    put("/home", ALICE, Limits(0, 77 * MIB))
    drift = told(ds01ctl, "check", "--exit-code", status=4)
    ((who, evidence),) = findings(drift, "quota-drift")
    assert who == "alice"
    assert "the kernel has hard 77 MiB" in evidence
    assert limits("/home", ALICE) == Limits(0, 77 * MIB)
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == HOME
    said(ds01ctl, "check", "--exit-code")


def test_the_exit_code_is_of_the_policys_limits(ds01ctl: Run) -> None:
    """What somebody else has limited stays so, and would be told by 4 for ever."""
    said(ds01ctl, "apply", "--yes")
    put("/home", NOBODYS, Limits(0, 5 * MIB))
    seen = told(ds01ctl, "check", "--exit-code")
    assert [(one["kind"], one["severity"]) for one in seen["findings"]] == [
        ("quota-not-in-policy", "info")
    ]
    fill("/home/a", ALICE, 15 * MIB)
    POLICY.write_text(RULES.replace("/home: 8M ", "/home: 7M "))
    said(ds01ctl, "apply", "--yes")
    # set as far as can be: what waits is not as the policy says either
    waits = told(ds01ctl, "check", "--exit-code", status=4)
    assert findings(waits, "quota-drift") == []
    assert [who for who, _ in findings(waits, "quota-hard-limit-waits")] == ["alice"]


@contextmanager
def unmounted(mount: str) -> Iterator[None]:
    """Have a file system away for a while."""
    line = next(x.split() for x in Path("/proc/mounts").read_text().splitlines() if mount in x)
    subprocess.run(["umount", mount], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-t", line[2], "-o", line[3], line[0], mount], check=True)


def test_what_nobody_wants_any_more(ds01ctl: Run) -> None:
    """What was before ours is put back; what was changed since, or is of nobody, is left."""
    put("/home", ALICE, Limits(30 * MIB, 40 * MIB))
    said(ds01ctl, "apply", "--yes")
    put("/scratch", BOB, Limits(0, 50 * MIB))
    know({"alice": ALICE, "bob": BOB})
    nothing = "default_group: student\nquota: {mode: enforce}\ngroups: {staff: {}, student: {}}\n"
    POLICY.write_text(nothing.replace("student: {}", "student: {storage: {/plain: 5M}}"))
    with unmounted("/scratch"):
        # what is not seen is not gone
        seen = told(ds01ctl, "apply", "--yes", status=3)
        assert changed(seen) == {("alice", "/home"), ("bob", "/home")}
    done = told(ds01ctl, "apply", "--yes")
    assert changed(done) == {("alice", "/scratch")}
    assert limits("/home", ALICE) == Limits(30 * MIB, 40 * MIB)
    assert limits("/home", BOB) == limits("/scratch", ALICE) == Limits()
    assert limits("/scratch", BOB) == Limits(0, 50 * MIB)
    assert limits("/home", CARL) == Limits(100 * MIB, 110 * MIB)
    assert ("bob", "hard 50 MiB: not in the policy, left alone") in findings(
        done, "quota-not-in-policy"
    )
    assert changed(told(ds01ctl, "apply", "--yes")) == set()


def test_a_lost_policy_lifts_no_limit(ds01ctl: Run) -> None:
    said(ds01ctl, "apply", "--yes")
    text = POLICY.read_text()
    POLICY.unlink()
    assert "nothing is decided" in said(ds01ctl, "apply", "--yes", status=1)
    assert limits("/home", ALICE) == HOME
    # looking decides nothing
    assert "alice" in said(ds01ctl, "report")
    POLICY.write_text(text + "bad: [\n")
    assert "resource-limits.yaml:" in said(ds01ctl, "apply", "--yes", status=1)


def warned() -> list[tuple[str, int]]:
    return [(one["user"], one["details"]["level_percent"]) for one in events("quota.disk_warning")]


def test_one_warning_a_crossing(ds01ctl: Run) -> None:
    said(ds01ctl, "apply", "--yes")
    file = fill("/home/a", ALICE, 6 * MIB + MIB // 2)
    fill("/home/b", BOB, MIB)
    fill("/home/gone", NOBODYS, 9 * MIB)
    expected: list[tuple[str, int]] = [("alice", 80)]
    done: Any = told(ds01ctl, "apply", "--yes")
    assert [one["user"] for one in done["data"]["warned"]] == ["alice"]
    assert warned() == expected
    assert told(ds01ctl, "apply", "--yes")["data"]["warned"] == []
    # both thresholds at once are one warning
    for mib in (9, 2, 9):
        fill(str(file), ALICE, mib * MIB)
        said(ds01ctl, "apply", "--yes")
        expected += [("alice", 100)] if mib == 9 else []
        assert warned() == expected
    (last,) = events("quota.disk_warning")[-1:]
    assert "9 MiB of 8 MiB of disk space on /home" in last["details"]["message"]
    assert len(last["details"]["delivered"]) == 1
    used = series("ds01_quota_used_bytes")
    assert used['filesystem="/home",user="alice"'] == 9 * MIB
    assert series("ds01_quota_soft_limit_bytes")['filesystem="/home",user="alice"'] == 8 * MIB
    assert series("ds01_quota_hard_limit_bytes")['filesystem="/home",user="bob"'] == HOME.hard_bytes
    # one series each, and none of an id that nobody has
    assert len(METRICS.read_text().splitlines()) == len(set(METRICS.read_text().splitlines()))
    assert not [labels for labels in used if str(NOBODYS) in labels]
    assert not OVERRIDES.exists()
