"""What the world can do to `enforce`: nothing is half applied in silence, and nobody is harmed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ds01ctl.lock import job_lock
from ds01ctl.paths import Paths
from tests.enforce.host import POLICY, EnforceHost, done

ALICE = "user-1001.slice"
ALICES = "ds01-student-alice.slice"
GIB = 1 << 30


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["memory/memory.limit_in_bytes"], "cgroup v1: not supported, nothing was done"),
        (
            ["unified/cgroup.controllers", "memory/x"],
            "cgroup v1 and v2 side by side: not supported",
        ),
        ([], "control groups cannot be read"),
    ],
    ids=["v1", "hybrid", "none"],
)
@pytest.mark.parametrize("command", [["plan"], ["apply", "--yes"], ["check"], ["revert", "--yes"]])
def test_only_on_cgroup_v2(
    host: EnforceHost, files: list[str], told: str, command: list[str]
) -> None:
    (host.root / "sys/fs/cgroup/cgroup.controllers").unlink()
    for name in files:
        host.write(f"sys/fs/cgroup/{name}", "memory\n")
    ran = host.run("enforce", *command)
    assert ran.status == 1
    assert told in ran.err
    assert host.calls == []
    assert host.drop_in(ALICE) is None


def test_without_systemd(host: EnforceHost) -> None:
    (host.root / "run/systemd/system").rmdir()
    ran = host.run("enforce", "apply", "--yes")
    assert ran.status == 1
    assert "systemd is not PID 1 here" in ran.err


def test_without_a_policy_nothing_is_taken_back(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    (host.root / "etc/ds01/resource-limits.yaml").unlink()
    ran = host.run("enforce", "apply", "--yes")
    assert ran.status == 1
    assert "no policy file" in ran.err
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_a_host_that_never_had_a_policy(host: EnforceHost) -> None:
    """The timers may be installed before a policy is written: nothing to do is no failure."""
    (host.root / "etc/ds01/resource-limits.yaml").unlink()
    document = host.apply()
    assert document["actions"] == []
    assert ("policy", "absent") in {(gap["source"], gap["kind"]) for gap in document["gaps"]}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("memory_max: 96X", "memory_max: is '96X'; expected a size with its unit"),
        ('cpu_quota: "0%"', "cpu_quota: is '0%'; expected a percentage"),
        ('cpu_quota: "-5%"', "cpu_quota: is '-5%'; expected a percentage"),
        ("tasks_max: -1", "tasks_max: is -1; expected a whole number above 0"),
        ("io_weight: 0", "io_weight"),
        ('allowed_cpus: "5-3"', "allowed_cpus"),
        ('io_read_bandwidth_max: "/dev/sda"', "io_read_bandwidth_max"),
    ],
)
def test_a_wrong_value_stops_everything(host: EnforceHost, value: str, told: str) -> None:
    host.write("etc/ds01/user-overrides.yaml", f"alice:\n  aggregate: {{{value}}}\n")
    ran = host.run("enforce", "apply", "--yes")
    assert ran.status == 1
    assert f"user-overrides.yaml:2: alice.aggregate.{told}" in ran.err
    assert host.drop_in("user-1002.slice") is None


def test_300_broken_lines_are_told_together(host: EnforceHost) -> None:
    host.members("student", "alice", *(f"b ad:{n}" for n in range(300)))
    ran = host.run("enforce", "plan")
    assert ran.status == 1
    assert ran.err.count("student.members:") == 300
    assert host.calls == []


def test_a_user_in_two_groups_is_in_one(host: EnforceHost) -> None:
    """The one that the policy defines first; a warning of the policy's tells."""
    host.members("researcher", "bob", "alice")
    host.apply()
    assert host.drop_in(ALICES) is not None
    assert host.drop_in("ds01-researcher-alice.slice") is None


def test_hostile_names(host: EnforceHost) -> None:
    for number, login in enumerate(["a.b@x", "a_b", "a-b", ".", "a%b", "u1001"], 2000):
        host.user(login, number)
    document = host.apply()
    units = [t for kind, t in done(document) if kind == "write-drop-in" and "/ds01-" in t]
    assert len(set(units)) == len(units) == 8
    names = {
        one["user"]: one["subject"]["unit"]
        for one in document["findings"]
        if one["kind"] == "slice-name"
    }
    assert names == {
        "a.b@x": "ds01-student-u2000.slice",
        "a_b": "ds01-student-u2001.slice",
        "a-b": "ds01-student-u2002.slice",
        ".": "ds01-student-u2003.slice",
        "a%b": "ds01-student-u2004.slice",
        "u1001": "ds01-student-u2005.slice",
    }
    assert "Description=Containers of a%%b\n" in (host.drop_in("ds01-student-u2004.slice") or "")


# --- systemd ----------------------------------------------------------------------------------


def test_systemd_does_not_answer(host: EnforceHost) -> None:
    """Nothing is decided about slices without its word; the run is a partial one."""
    host.start(ALICE)
    host.tell_systemctl(fail="show")
    document = host.apply(status=3)
    assert document["actions"] == []
    (gap,) = [gap for gap in document["gaps"] if gap["source"] == "systemd"]
    assert "timed out" in gap["reason"]
    assert host.drop_in(ALICE) is None


def test_one_slice_fails_and_the_others_do_not(host: EnforceHost) -> None:
    for unit in (ALICE, "user-1002.slice"):
        host.start(unit)
    host.tell_systemctl(fail=1)
    document = host.apply(status=3)
    (failed,) = [a for a in document["actions"] if a["outcome"] == "failed"]
    assert failed["target"] == ALICE
    assert "told by the test" in failed["error"]
    assert host.kernel("user-1002.slice", "memory.max") == str(160 * GIB)
    host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_killed_at_every_call_the_next_run_repairs(host: EnforceHost) -> None:
    """Killed with -9 at each call of systemctl: one more run, and all is as it should be."""
    for unit in (ALICE, ALICES, "user-1002.slice"):
        host.start(unit)
    for call in range(1, 6):
        host.json("enforce", "revert", "--yes")
        host.tell_systemctl(kill=len(host.calls) + call)
        ran = host.run("enforce", "apply", "--yes")
        host.tell_systemctl(kill=0)
        host.apply()
        assert host.kernel(ALICE, "memory.max") == str(96 * GIB), call
        assert host.kernel(ALICES, "memory.max") == str(96 * GIB), call
        for unit in (ALICE, ALICES):
            assert "MemoryMax=96G" in (host.drop_in(unit) or ""), call
        assert host.apply()["actions"] == []
        if ran.status == 0:
            break
        assert ran.status == -signal.SIGKILL
    assert call > 3


def test_killed_at_every_call_of_a_revert(host: EnforceHost) -> None:
    for unit in (ALICE, ALICES):
        host.start(unit)
    for call in range(1, 6):
        host.apply()
        host.tell_systemctl(kill=len(host.calls) + call)
        ran = host.run("enforce", "revert", "--yes")
        host.tell_systemctl(kill=0)
        host.json("enforce", "revert", "--yes")
        assert host.kernel(ALICE, "memory.max") == "max", call
        assert host.kernel(ALICE, "pids.max") == "4000", call
        assert host.drop_in(ALICE) is None
        assert host.runtime(ALICE) == []
        if ran.status == 0:
            break
        assert ran.status == -signal.SIGKILL
    assert call > 2


_KILL_AT_FILES = """
import os, signal, sys
count = 0
def hook(event, args):
    global count
    interesting = event in {"os.rename", "os.remove", "os.mkdir"} or (
        event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT)
    if interesting and any("systemd" in str(one) for one in args[:2]):
        count += 1
        if count == int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from ds01ctl import __main__
__main__.main()
"""


def test_killed_at_every_change_of_a_file(host: EnforceHost) -> None:
    """Killed with -9 right before each file is made, renamed or removed: the next run repairs."""
    host.start(ALICE)
    env = {**host.base.env, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    survived = 0
    for at in range(1, 30):
        host.json("enforce", "revert", "--yes")
        argv = [
            sys.executable,
            "-c",
            _KILL_AT_FILES,
            "enforce",
            "apply",
            "--yes",
            "--user",
            "alice",
        ]
        ran = subprocess.run(
            argv, env={**env, "KILL_AT": str(at)}, capture_output=True, check=False
        )
        host.apply()
        assert "MemoryMax=96G" in (host.drop_in(ALICE) or "")
        assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
        survived += ran.returncode == 0
        if survived:
            break
        assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()[-500:]
    assert at > 4
    assert survived


def test_the_disk_is_full(host: EnforceHost) -> None:
    """What is live stays as the file is: the old one is whole, and the next run does both."""
    host.start(ALICE)
    host.apply()
    host.policy(POLICY.replace("96G", "120G"))
    ran = host.run(
        "enforce", "apply", "--yes", "--user", "alice", "--json",
        wrap=("sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh"),
    )  # fmt: skip
    assert ran.status in {1, 3}, ran.out + ran.err
    assert "MemoryMax=96G" in (host.drop_in(ALICE) or "")
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    host.apply()
    assert "MemoryMax=120G" in (host.drop_in(ALICE) or "")
    assert host.kernel(ALICE, "memory.max") == str(120 * GIB)


# --- asking -----------------------------------------------------------------------------------


def test_without_a_terminal_yes_is_wanted(host: EnforceHost) -> None:
    for command in ("apply", "revert"):
        ran = host.run("enforce", command)
        assert ran.status == 2
        assert "give --yes" in ran.err
    assert host.drop_in(ALICE) is None


@pytest.mark.parametrize(("answer", "applied"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_it_shows_and_asks(host: EnforceHost, answer: str, applied: bool) -> None:
    shown = host.base.on_terminal("enforce", "apply", keys=answer)
    assert "MemoryMax 96G" in shown
    assert "Do it?" in shown
    assert (host.drop_in(ALICE) is not None) is applied


def test_two_at_once(host: EnforceHost) -> None:
    with job_lock(Paths(host.root), "enforce"):
        ran = host.run("enforce", "apply", "--yes")
    assert ran.status == 5
    assert f"pid {os.getpid()}" in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plan", "--user", "nobody-here"], "no user nobody-here is known here"),
        (["plan", "--group", "nosuch"], "there is no group nosuch"),
        (["plan", "--only", "slice"], "--only slice: is not known"),
        (["show", "nobody-here"], "no user nobody-here is known here"),
        (["apply", "--user", "", "--yes"], "--user has an empty value"),
        (["plan", "--user"], "requires an argument"),
    ],
)
def test_wrong_arguments(host: EnforceHost, arguments: list[str], told: str) -> None:
    ran = host.run("enforce", *arguments)
    assert ran.status == 2
    assert told in ran.err


# --- saved plans ------------------------------------------------------------------------------


def test_a_saved_plan_is_made_as_it_is(host: EnforceHost, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    host.start(ALICE)
    host.json("enforce", "plan", "--user", "alice", "--out", file)
    document = host.apply(file)
    saved = json.loads(file.read_text())
    assert sorted(done(document)) == sorted((c["kind"], c["target"]) for c in saved["changes"])
    assert host.drop_in("user-1002.slice") is None
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["policy", "memory", "group", "applied"])
def test_a_plan_whose_world_has_moved_is_refused(
    host: EnforceHost, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "plan.json"
    host.start(ALICE)
    host.json("enforce", "plan", "--out", file)
    if what == "policy":
        host.policy(POLICY.replace("96G", "100G"))
    elif what == "memory":
        host.set_in_use(ALICE, 100 * GIB)
    elif what == "group":
        host.members("researcher", "alice")
        host.members("student")
    else:
        host.apply("--user", "bob")
    before = host.snapshot_of_files()
    ran = host.run("enforce", "apply", file, "--yes")
    assert ran.status == 1
    assert "the host has moved since it was saved; nothing was changed" in ran.err
    assert host.snapshot_of_files() == before


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "other"}', "\x00"])
def test_what_is_no_plan(host: EnforceHost, tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    ran = host.run("enforce", "apply", file, "--yes")
    assert ran.status == 1
    assert "is not a plan" in ran.err


def test_a_plan_and_other_options(host: EnforceHost, tmp_path: Path) -> None:
    ran = host.run("enforce", "apply", tmp_path / "x", "--user", "alice", "--yes")
    assert ran.status == 2


# --- people -----------------------------------------------------------------------------------


def test_a_damaged_store_is_a_gap(host: EnforceHost) -> None:
    """Limits are set all the same, and the run is a partial one."""
    host.start(ALICE)
    host.write("var/lib/ds01/ds01ctl.db", "no database at all, and longer than a header\n" * 100)
    document = host.apply(status=3)
    assert "state" in {gap["source"] for gap in document["gaps"]}
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_a_drop_in_whose_owner_is_not_known_stays(host: EnforceHost) -> None:
    """A directory that does not answer is no proof that somebody has left."""
    host.start(ALICE)
    host.apply()
    host.stop(ALICE)
    host.remove_user("alice")
    host.members("student")
    host.write("etc/nsswitch.conf", "passwd: files sss\n")
    document = host.apply()
    assert host.drop_in(ALICE) is not None
    skipped = {a["target"]: a["error"] for a in document["actions"] if a["outcome"] == "skipped"}
    assert "cannot be told whose" in skipped[f"/etc/systemd/system/{ALICE}.d/50-ds01.conf"]
