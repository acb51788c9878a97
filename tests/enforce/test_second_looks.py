"""The world moves between two looks, or between two runs: what was right a moment ago is not."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ds01ctl.lock import job_lock
from ds01ctl.paths import Paths
from ds01ctl.state import MIGRATIONS
from tests.enforce.host import POLICY, EnforceHost, done
from tests.enforce.test_check import legs
from tests.observe.stub_engine import ID

ALICE = "user-1001.slice"
ALICES = "ds01-student-alice.slice"
GIB = 1 << 30
DATABASE = "var/lib/ds01/ds01ctl.db"


def with_hook(host: EnforceHost, hook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ds01ctl with an audit hook: the body of ``hook(event, args)``."""
    lines = "".join(f"    {line}\n" for line in hook.splitlines())
    code = (
        f"import os, signal, sys\ndef hook(event, args):\n{lines}sys.addaudithook(hook)\n"
        "from ds01ctl import __main__\n__main__.main()\n"
    )
    argv = [sys.executable, "-c", code, *arguments]
    env = {**host.base.env, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


# --- slices -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_there", [False, True])
def test_memory_that_grows_once_the_file_is_written(host: EnforceHost, is_there: bool) -> None:
    """The file is put back: at somebody's daemon-reload it would kill."""
    group = host.start(ALICE)
    if is_there:
        host.apply()
        host.policy(POLICY.replace("96G", "60G").replace("86G", "50G"))
        host.set_in_use(ALICE, 30 * GIB)
    before = host.drop_in(ALICE)
    hook = (
        "if event == 'os.rename' and str(args[1]).endswith('user-1001.slice.d/50-ds01.conf'):\n"
        f"    for name, text in (('memory.current', '{130 * GIB}'),\n"
        f"                       ('memory.stat', 'anon {130 * GIB}\\ninactive_file 0')):\n"
        f"        with open('{group}/' + name, 'w') as file:\n"
        "            file.write(text + '\\n')"
    )
    ran = with_hook(host, hook, "enforce", "apply", "--yes", "--user", "alice")
    assert ran.returncode == 0, ran.stderr
    assert "more memory is in use by now" in ran.stdout
    assert host.drop_in(ALICE) == before
    assert host.kernel(ALICE, "memory.max") == (str(96 * GIB) if is_there else "max")
    # what kills nobody is set
    assert host.kernel(ALICE, "cpu.max") == "800000 100000"


def test_memory_high_of_a_limit_that_waits_is_not_taken_back_at_once(host: EnforceHost) -> None:
    """The policy has no memory_high: what stands in for memory_max is wanted all the same."""
    host.policy(POLICY.replace("memory_max: 96G, memory_high: 86G", "memory_max: 96G"))
    host.start(ALICE, in_use=120 * GIB)
    host.apply()
    assert host.kernel(ALICE, "memory.high") == str(96 * GIB)
    assert host.apply()["actions"] == []
    assert host.kernel(ALICE, "memory.high") == str(96 * GIB)


def test_killed_between_the_file_and_what_is_live(host: EnforceHost) -> None:
    """What an earlier set-property left in /run must not win over the new file at a log-in."""
    host.start(ALICE)
    host.apply()
    assert "50-MemoryMax.conf" in host.runtime(ALICE)
    host.policy(POLICY.replace("96G", "120G"))
    host.tell_systemctl(kill=len(host.calls) + 2)
    ran = host.run("enforce", "apply", "--yes", "--user", "alice")
    assert ran.status == -signal.SIGKILL
    host.tell_systemctl(kill=0)
    assert "MemoryMax=120G" in (host.drop_in(ALICE) or "")
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    host.stop(ALICE)
    host.start(ALICE)
    assert host.kernel(ALICE, "memory.max") == str(120 * GIB)


def test_systemd_was_told_otherwise_and_the_kernel_looks_right(host: EnforceHost) -> None:
    """At its next write systemd would undo the limit: a healthy kernel is no proof."""
    host.start(ALICE)
    host.apply()
    host.set_property(ALICE, "MemoryMax=200G")
    host.write_kernel(ALICE, "memory.max", f"{96 * GIB}\n")
    assert ("set-property", ALICE) in done(host.apply())
    assert host.apply()["actions"] == []


def test_a_foreign_file_that_wins_is_not_fought(host: EnforceHost) -> None:
    """Not even in the run that writes our file for the first time."""
    host.write(f"etc/systemd/system/{ALICE}.d/90-site.conf", "[Slice]\nMemoryMax=120G\n")
    host.start(ALICE)
    document = host.apply()
    assert host.kernel(ALICE, "memory.max") == str(120 * GIB)
    assert host.kernel(ALICE, "memory.high") == str(86 * GIB)
    assert "limit-overridden" in {one["kind"] for one in document["findings"]}
    assert host.apply()["actions"] == []


def test_a_foreign_file_that_makes_no_sense_overrides_nothing(host: EnforceHost) -> None:
    host.start(ALICE)
    host.apply()
    host.write(f"etc/systemd/system/{ALICE}.d/90-odd.conf", "[Slice]\nMemoryMax=much\n")
    assert legs(host.json("enforce", "check")) == set()


def test_a_rule_that_enforces_says_nothing_of_the_others(host: EnforceHost) -> None:
    """Its drop-ins are ours, and still no word that the other rules may change anything."""
    host.policy(POLICY.replace("{mode: enforce}", "{rules: {logins: enforce}}"))
    for _ in range(2):
        host.apply()
        assert host.drop_in(ALICE) is not None
        assert host.drop_in(ALICES) is None


def test_a_revert_without_systemds_word(host: EnforceHost) -> None:
    """What it has in memory could not be taken back: the files stay, and the run is partial."""
    host.start(ALICE)
    host.apply()
    host.tell_systemctl(fail="show")
    document = host.json("enforce", "revert", "--yes", status=3)
    assert document["actions"] == []
    assert host.drop_in(ALICE) is not None


def test_nobody_holds_the_lock_while_being_asked(host: EnforceHost) -> None:
    """The answer may take hours, and the timer goes on; the lock counts once it is given."""
    with job_lock(Paths(host.root), "enforce"):
        shown = host.base.on_terminal("enforce", "apply", keys="y\n")
    assert "Do it?" in shown
    assert "MemoryMax 96G" in shown
    assert "pid" in shown
    assert host.drop_in(ALICE) is None


# --- containers -------------------------------------------------------------------------------


def pids(group: Path) -> str:
    return (group / "pids.max").read_text().strip()


def test_what_somebody_has_set_since_is_what_comes_back(docker: EnforceHost) -> None:
    group = docker.container(1, home="alice")
    (group / "pids.max").write_text("9000\n")
    docker.apply()
    (group / "pids.max").write_text("7000\n")
    docker.apply()
    assert pids(group) == "4096"
    docker.json("enforce", "revert", "--yes")
    assert pids(group) == "7000"


def test_a_store_that_cannot_be_read_leaves_containers_alone(docker: EnforceHost) -> None:
    """What is not noted down could never be taken back; what was noted is not overwritten."""
    group = docker.container(1, home="alice")
    docker.apply()
    good = (docker.root / DATABASE).read_bytes()
    docker.write(DATABASE, "no database at all, and longer than a header\n" * 100)
    other = docker.container(2, home="bob")
    document = docker.apply(status=3)
    told = {a["error"] for a in document["actions"] if ID(2) in a["target"]}
    assert told == {"it could not be noted down, and so never be taken back"}
    assert pids(other) == "max"
    for leftover in (docker.root / "var/lib/ds01").glob("ds01ctl.db*"):
        leftover.unlink()
    (docker.root / DATABASE).write_bytes(good)
    docker.apply()
    assert pids(other) == "4096"
    docker.json("enforce", "revert", "--yes")
    assert (pids(group), pids(other)) == ("max", "max")


def test_a_device_that_is_missing_loosens_nothing(docker: EnforceHost) -> None:
    docker.write(
        "etc/ds01/user-overrides.yaml",
        'alice: {aggregate: {io_read_bandwidth_max: "/srv 10M"}}\n',
    )
    (docker.root / "srv").mkdir()
    number = (docker.root / "srv").stat().st_dev
    place = f"{number >> 8 & 0xFFF}:{number & 0xFF | number >> 12 & 0xFFF00}"
    disk = docker.root / "sys/devices/block/sda"
    disk.mkdir(parents=True)
    link = docker.root / f"sys/dev/block/{place}"
    link.symlink_to(disk)
    group = docker.container(1, home="alice")
    docker.apply()
    # a kernel of files keeps what was written to it last
    (group / "io.max").write_text(f"{place} rbps=10000000 wbps=max riops=max wiops=max\n")
    assert docker.apply()["actions"] == []
    link.unlink()
    document = docker.apply()
    assert document["actions"] == []
    assert "limit-unusable" in {one["kind"] for one in document["findings"]}
    assert "rbps=10000000" in (group / "io.max").read_text()


def test_the_first_run_after_an_upgrade_knows_what_was_held(docker: EnforceHost) -> None:
    """An older store is brought up to date before the look: limits of containers are taken back."""
    group = docker.container(1, home="alice")
    docker.apply()
    assert (group / "memory.max").read_text().strip() == str(32 * GIB)
    with closing(sqlite3.connect(docker.root / DATABASE)) as db:
        # what came with later schemas
        first = {statement.split()[2] for statement in MIGRATIONS[0]}
        there = db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        for (table,) in there.fetchall():
            if table not in first:
                db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    docker.policy("defaults: {}\ndefault_group: student\nenforcement: {mode: enforce}\n")
    docker.apply()
    assert (group / "memory.max").read_text().strip() == "max"
