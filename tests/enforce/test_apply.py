"""Limits get where they belong, stay there, and go again: on files, with a fake systemctl."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.enforce.host import POLICY, EnforceHost, done

ALICE, BOB = "user-1001.slice", "user-1002.slice"
ALICES, BOBS = "ds01-student-alice.slice", "ds01-researcher-bob.slice"
GIB = 1 << 30
EXEMPT = "username: alice, exempt_from: [resource-limits], expires_on: 2099-01-01"


def findings(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in document["findings"] if one["kind"] == kind]


def test_both_homes_get_their_limits(host: EnforceHost) -> None:
    """Live where somebody works, and in a drop-in for the next boot everywhere."""
    host.start(ALICE)
    document = host.apply()
    assert host.kernel(ALICE, "cpu.max") == "800000 100000"
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    assert host.kernel(ALICE, "memory.high") == str(86 * GIB)
    assert host.kernel(ALICE, "pids.max") == "12288"
    for unit in (ALICE, ALICES):
        text = host.drop_in(unit) or ""
        assert "CPUQuota=800%\nMemoryHigh=86G\nMemoryMax=96G\nTasksMax=12288\n" in text
    assert "MemoryMax=160G" in (host.drop_in(BOBS) or "")
    assert "Description=Containers of alice" in (host.drop_in(ALICES) or "")
    assert [call[0] for call in host.calls] == ["show", "set-property"]
    assert document["data"]["examined"] | {"containers": 0} == {
        "users": 2, "spared": 1, "slices": 4, "live_slices": 1, "containers": 0
    }  # fmt: skip


def test_a_healthy_run_changes_nothing(host: EnforceHost) -> None:
    """Nothing is written, and systemd is not even asked."""
    for unit in (ALICE, ALICES, BOB):
        host.start(unit)
    host.apply()
    before, calls = host.snapshot_of_files(), len(host.calls)
    document = host.apply()
    assert document["actions"] == []
    assert host.snapshot_of_files() == before
    assert len(host.calls) == calls


def test_only_the_changed_user_is_touched(host: EnforceHost) -> None:
    for unit in (ALICE, BOB):
        host.start(unit)
    host.apply()
    before = host.snapshot_of_files()
    host.write("etc/ds01/user-overrides.yaml", "alice: {aggregate: {memory_max: 120G}}\n")
    document = host.apply()
    assert {target for _, target in done(document)} == {
        ALICE,
        f"/etc/systemd/system/{ALICE}.d/50-ds01.conf",
        f"/etc/systemd/system/{ALICES}.d/50-ds01.conf",
    }
    assert host.kernel(ALICE, "memory.max") == str(120 * GIB)
    changed = {path for path, seen in host.snapshot_of_files().items() if before.get(path) != seen}
    assert not [path for path in changed if "1002" in path or "bob" in path]
    # the group's other values stay
    assert host.kernel(ALICE, "cpu.max") == "800000 100000"


def test_the_group_changes(host: EnforceHost) -> None:
    """The old slice is bound by the new limits while something runs in it; then it goes."""
    host.start(ALICE)
    host.start(ALICES)
    host.apply()
    host.members("student")
    host.members("researcher", "bob", "alice")
    host.apply()
    assert host.kernel(ALICE, "memory.max") == str(160 * GIB)
    assert host.kernel(ALICES, "memory.max") == str(160 * GIB)
    assert "MemoryMax=160G" in (host.drop_in("ds01-researcher-alice.slice") or "")
    assert "MemoryMax=160G" in (host.drop_in(ALICES) or "")
    host.stop(ALICES)
    document = host.apply()
    assert host.drop_in(ALICES) is None
    assert host.runtime(ALICES) == []
    assert ("remove-drop-in", f"/etc/systemd/system/{ALICES}.d/50-ds01.conf") in done(document)


def test_an_override_comes_and_goes(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    host.write(
        "etc/ds01/user-overrides.yaml", "alice: {aggregate: {tasks_max: null, io_weight: 50}}\n"
    )
    host.apply()
    assert host.kernel(ALICE, "pids.max") == "max"
    assert "TasksMax=infinity" in (host.drop_in(ALICE) or "")
    (host.root / "etc/ds01/user-overrides.yaml").unlink()
    host.apply()
    assert host.kernel(ALICE, "pids.max") == "12288"
    # what nobody wants any more is as it would be without us, and leaves nothing in /run
    assert host.kernel(ALICE, "io.weight") == "default 100"
    assert "50-IOWeight.conf" not in host.runtime(ALICE)
    assert host.apply()["actions"] == []


def test_a_limit_of_the_vendors_comes_back(host: EnforceHost) -> None:
    """TasksMax of user-.slice.d holds again where our policy has no word on it any more."""
    host.start(ALICE)
    assert host.kernel(ALICE, "pids.max") == "4000"
    host.apply()
    host.policy(POLICY.replace(", tasks_max: 12288", ""))
    host.apply()
    assert host.kernel(ALICE, "pids.max") == "4000"
    assert "TasksMax" not in (host.drop_in(ALICE) or "")
    host.stop(ALICE)
    host.start(ALICE)
    assert host.kernel(ALICE, "pids.max") == "4000"


def test_a_user_is_deleted(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    host.stop(ALICE)
    host.remove_user("alice")
    host.members("student")
    # a directory that is offline says "no such user" just the same: it takes two runs in a row
    document = host.apply()
    assert "if the next run says so" in str(document["actions"])
    assert host.drop_in(ALICE) is not None
    document = host.apply()
    assert host.drop_in(ALICE) is None
    assert host.drop_in(ALICES) is None
    assert host.drop_in(BOB) is not None
    assert {kind for kind, _ in done(document)} == {"remove-drop-in"}


def test_a_deleted_user_with_work_keeps_the_limits(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    host.remove_user("alice")
    host.members("student")
    host.apply()
    document = host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    assert host.drop_in(ALICE) is not None
    skipped = {a["target"]: a["error"] for a in document["actions"] if a["outcome"] == "skipped"}
    assert skipped[f"/etc/systemd/system/{ALICE}.d/50-ds01.conf"] == "still in use"


# --- whom it never touches --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "exemptions"),
    [
        ("access_control: {admin_users: [alice]}\n", ""),
        ("", f"exemptions:\n- {{{EXEMPT}}}\n"),
    ],
    ids=["an admin", "exempt"],
)  # fmt: skip
def test_who_is_spared_has_limits_taken_back(
    host: EnforceHost, policy: str, exemptions: str
) -> None:
    host.start(ALICE)
    host.apply()
    host.policy(POLICY + policy)
    host.write("etc/ds01/lifecycle-exemptions.yaml", exemptions)
    host.apply()
    assert host.kernel(ALICE, "memory.max") == "max"
    assert host.kernel(ALICE, "pids.max") == "4000"
    assert host.drop_in(ALICE) is None
    assert host.drop_in(ALICES) is None
    host.start(ALICE)
    assert host.kernel(ALICE, "memory.max") == "max"


def test_root_and_the_admin_group_are_never_limited(host: EnforceHost) -> None:
    for unit in ("user-0.slice", "user-1000.slice"):
        host.start(unit)
    document = host.apply()
    assert not [t for _, t in done(document) if "user-0." in t or "user-1000." in t or "boss" in t]
    assert host.kernel("user-0.slice", "memory.max") == "max"
    ran = host.run("enforce", "apply", "--yes", "--user", "boss")
    assert ran.status == 2
    assert "boss is an admin" in ran.err


def test_admins_stay_admins_while_their_group_looks_empty(host: EnforceHost) -> None:
    """A directory that is down makes a group look empty: nobody is limited for that."""
    host.start("user-1000.slice")
    host.apply()
    host.write("etc/group", "root:x:0:\n")
    host.apply()
    assert host.kernel("user-1000.slice", "memory.max") == "max"
    assert host.drop_in("user-1000.slice") is None


def test_exempt_users_and_low_uids(host: EnforceHost) -> None:
    extra = "enforcement: {mode: enforce, min_uid: 1002, exempt_users: [bob]}\n"
    host.policy(POLICY.replace("enforcement: {mode: enforce}\n", extra))
    assert host.apply()["actions"] == []


# --- humane -----------------------------------------------------------------------------------


def test_memory_in_use_is_never_cut_away(host: EnforceHost) -> None:
    """It is slowed down first; the limit follows when less is in use. The drop-in waits as well."""
    host.start(ALICE, in_use=100 * GIB)
    document = host.apply()
    assert host.kernel(ALICE, "memory.max") == "max"
    assert host.kernel(ALICE, "memory.high") == str(86 * GIB)
    (late,) = findings(document, "limit-deferred")
    assert late["user"] == "alice"
    assert late["subject"]["in_use_bytes"] == 100 * GIB
    assert "4G above it" in late["evidence"][0]
    # a reload of somebody else's must not kill either
    host.reload()
    assert host.kernel(ALICE, "memory.max") == "max"
    host.set_in_use(ALICE, 90 * GIB)
    document = host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    assert "MemoryMax=96G" in (host.drop_in(ALICE) or "")
    assert findings(document, "limit-deferred") == []
    assert host.apply()["actions"] == []


def test_a_lower_limit_waits_above_what_holds(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    host.set_in_use(ALICE, 80 * GIB)
    host.policy(
        POLICY.replace("memory_max: 96G, memory_high: 86G", "memory_max: 48G, memory_high: 40G")
    )
    host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    assert host.kernel(ALICE, "memory.high") == str(40 * GIB)
    assert "MemoryMax=96G" in (host.drop_in(ALICE) or "")
    # the slice of containers is empty: there is nothing to wait for
    assert "MemoryMax=48G" in (host.drop_in(ALICES) or "")


def test_force_cuts(host: EnforceHost) -> None:
    host.start(ALICE, in_use=100 * GIB)
    host.apply("--force")
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_use_that_cannot_be_read_is_not_little(host: EnforceHost) -> None:
    group = host.start(ALICE)
    (group / "memory.current").unlink()
    host.apply()
    assert host.kernel(ALICE, "memory.max") == "max"


# --- modes ------------------------------------------------------------------------------------


def test_a_fresh_host_only_reports(host: EnforceHost) -> None:
    """Nothing is changed until the policy says so, or something of ours is there already."""
    host.start(ALICE)
    host.policy(POLICY.replace("enforcement: {mode: enforce}\n", ""))
    before = host.snapshot_of_files()
    document = host.apply()
    assert {a["outcome"] for a in document["actions"]} == {"skipped"}
    assert host.snapshot_of_files() == before
    ran = host.run("enforce", "apply", "--yes")
    assert "to have limits set, write enforcement: {mode: enforce}" in ran.out
    host.policy(POLICY)
    host.apply("--user", "bob")
    host.policy(POLICY.replace("enforcement: {mode: enforce}\n", ""))
    host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_one_rule_reports(host: EnforceHost) -> None:
    host.start(ALICE)
    host.write("sys/dev/block/8:0/dev", "8:0\n")
    host.policy(
        POLICY.replace(
            "enforcement: {mode: enforce}", "enforcement: {mode: enforce, rules: {logins: report}}"
        )
    )
    host.apply()
    assert host.kernel(ALICE, "memory.max") == "max"
    assert host.drop_in(ALICE) is None
    assert host.drop_in(ALICES) is not None


def test_only_one_part(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply("--only", "slices")
    assert host.drop_in(ALICE) is None
    assert host.drop_in(ALICES) is not None


def test_only_io_leaves_the_rest_as_it_is(host: EnforceHost) -> None:
    """Our file keeps the other limits as they were written, whatever the policy says by now."""
    host.start(ALICE)
    host.apply()
    host.policy(POLICY.replace("tasks_max: 12288", "tasks_max: 9999, io_weight: 20"))
    host.apply("--only", "io")
    text = host.drop_in(ALICE) or ""
    assert "TasksMax=12288" in text
    assert "IOWeight=20" in text
    assert host.kernel(ALICE, "pids.max") == "12288"
    assert host.kernel(ALICE, "io.weight") == "default 20"
    host.apply()
    assert host.kernel(ALICE, "pids.max") == "9999"


def test_the_master_switch(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    host.policy(POLICY.replace("{mode: enforce}", "{mode: enforce, aggregate_limits: false}"))
    host.apply()
    assert host.kernel(ALICE, "memory.max") == "max"
    assert host.drop_in(ALICE) is None


# --- revert -----------------------------------------------------------------------------------


def test_revert_takes_everything_back(host: EnforceHost) -> None:
    for unit in (ALICE, ALICES):
        host.start(unit)
    before = {name: host.kernel(ALICE, name) for name in ("cpu.max", "memory.max", "pids.max")}
    files = {path for path in host.snapshot_of_files() if "/etc/" in path or "/run/" in path}
    host.apply()
    dry = host.json("enforce", "revert", "--dry-run")
    assert {a["outcome"] for a in dry["actions"]} == {"planned"}
    assert host.drop_in(ALICE) is not None
    host.json("enforce", "revert", "--yes")
    assert {name: host.kernel(ALICE, name) for name in before} == before
    assert {
        path for path in host.snapshot_of_files() if "/etc/" in path or "/run/" in path
    } == files
    again = host.json("enforce", "revert", "--yes")
    assert again["actions"] == []


# --- evidence ---------------------------------------------------------------------------------


def test_oom_kills_are_told_once_each(host: EnforceHost) -> None:
    """A slice that is made anew begins at 0; that is no decrease, and nothing is missed."""
    group = host.start(ALICE)
    host.write_kernel(ALICE, "memory.events", "oom_kill 7\n")
    host.apply()
    # what was there before we first looked is nobody's news
    assert host.events("resource.oom_kill") == []
    host.write_kernel(ALICE, "memory.events", "oom_kill 9\n")
    host.write_kernel(ALICE, "cpu.stat", "usage_usec 5\nthrottled_usec 2500000\n")
    host.apply()
    (event,) = host.events("resource.oom_kill")
    assert (event["user"], event["details"]["count"]) == ("alice", 2)
    assert host.metric('ds01_enforce_oom_kills_total{home="logins",user="alice"}') == 2
    assert host.metric('ds01_enforce_throttled_seconds_total{home="logins",user="alice"}') == 2.5
    assert (
        host.metric('ds01_enforce_pressure_ratio{home="logins",resource="memory",user="alice"}')
        == 0.125
    )
    host.apply()
    assert len(host.events("resource.oom_kill")) == 1
    inode = group.stat().st_ino
    # while it is open, nothing else gets its number
    held = os.open(group, os.O_RDONLY)
    host.stop(ALICE)
    host.start(ALICE)
    os.close(held)
    assert group.stat().st_ino != inode
    host.write_kernel(ALICE, "memory.events", "oom_kill 1\n")
    host.apply()
    assert [e["details"]["count"] for e in host.events("resource.oom_kill")] == [2, 1]
    assert host.metric('ds01_enforce_oom_kills_total{home="logins",user="alice"}') == 3


def test_what_is_forked_in_vain_is_summed_up(host: EnforceHost) -> None:
    """Older kernels count refused forks where they were tried, not at the limit above."""
    group = host.start(ALICE)
    host.apply()
    session = group / "session-1.scope"
    session.mkdir()
    (session / "pids.events").write_text("max 5\n")
    host.apply()
    (event,) = host.events("resource.tasks_limit")
    assert (event["user"], event["details"]["count"]) == ("alice", 5)
    (session / "pids.events").unlink()
    session.rmdir()
    host.apply()
    assert len(host.events("resource.tasks_limit")) == 1


def test_memory_that_grows_between_the_looks(host: EnforceHost) -> None:
    """The second look forbids it: neither the kernel nor the file gets a limit that would kill."""
    host.start(ALICE)
    host.apply()
    host.policy(
        POLICY.replace("memory_max: 96G, memory_high: 86G", "memory_max: 60G, memory_high: 50G")
    )
    host.set_in_use(ALICE, 50 * GIB)
    host.grow_at_show(ALICE, 70 * GIB)
    document = host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    assert host.kernel(ALICE, "memory.high") == str(50 * GIB)
    assert "MemoryMax=96G" in (host.drop_in(ALICE) or "")
    assert {a["outcome"] for a in document["actions"] if "1001" in a["target"]} == {
        "done",
        "skipped",
    }


def test_every_change_is_an_event(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply("--user", "alice")
    events = host.events("resource.cgroup_limit")
    assert {e["details"]["target"] for e in events} >= {ALICE}
    live = next(e for e in events if e["details"]["target"] == ALICE)
    assert live["details"]["before"]["MemoryMax"] == "infinity"
    assert live["details"]["after"]["MemoryMax"] == str(96 * GIB)
    assert live["user"] == "alice"
