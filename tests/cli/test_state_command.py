"""`state check` and `state maintain`: whole, small, copied; and what a bad day leaves."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest

from tests.cli.conftest import Host

CHECK = ("state", "check")
MAINTAIN = ("state", "maintain")


def backup_of(host: Host):
    return host.state_path.with_name("ds01ctl.db.backup")


def sql(path, *statements):
    with closing(sqlite3.connect(path)) as db:
        for statement, *values in statements:
            db.execute(statement, values)
        db.commit()


def query(path, statement):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def fill(host, rows=2000):
    host.run(*MAINTAIN)
    many = "INSERT INTO containers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
    sql(host.state_path, (f"{many} WHERE i < {rows}) SELECT 'c' || i, hex(zeroblob(200)) FROM n",))


def scribble(path, seed=0):
    data = path.read_bytes()
    path.write_bytes(data[:200] + random.Random(seed).randbytes(len(data) - 200))


def done(document):
    return {action["kind"]: action["outcome"] for action in document["actions"]}


def test_nothing_is_there_yet(host):
    document = host.json(*CHECK)
    assert (document["data"]["exists"], document["data"]["backup"]) == (False, None)
    assert list(host.state_path.parent.iterdir()) == []
    assert "not there yet" in host.run(*CHECK).out


def test_a_store_and_its_copy(host):
    document = host.json(*MAINTAIN)
    assert done(document) == {"copy": "done"}
    names = sorted(path.name for path in host.state_path.parent.iterdir())
    assert names == ["ds01ctl.db", "ds01ctl.db.backup"]
    assert stat.S_IMODE(backup_of(host).stat().st_mode) == 0o640
    assert query(backup_of(host), "PRAGMA integrity_check") == [("ok",)]
    looked = host.json(*CHECK)["data"]
    assert looked["rows"]["jobs"] == looked["rows"]["runs"] == 1
    assert looked["schema_version"] == looked["newest_schema_version"]
    assert looked["backup"]["size_bytes"] == backup_of(host).stat().st_size


def test_what_a_killed_copy_left_is_swept(host):
    folder = host.state_path.parent
    left = [f".ds01ctl.db.backup.{n}.part{end}" for n in (1, 4711) for end in ("", "-journal")]
    kept = [".ds01ctl.db.backup.x.part", "ds01ctl.db.backup.1.part", ".ds01ctl.db.backup.1.parts"]
    for name in (*left, *kept):
        (folder / name).write_text("half")
    assert done(host.json(*MAINTAIN)) == {"copy": "done"}
    names = {path.name for path in folder.iterdir()}
    assert names == {"ds01ctl.db", "ds01ctl.db.backup", *kept}


def test_the_copy_has_what_only_the_log_has(host):
    host.run(*MAINTAIN)
    with closing(sqlite3.connect(host.state_path)) as other:
        # an open reader keeps the log from being folded in
        other.execute("BEGIN")
        other.execute("SELECT * FROM jobs").fetchall()
        sql(host.state_path, ("INSERT INTO jobs VALUES ('late', '2026-11-23T12:00:00+00:00')",))
        assert done(host.json(*MAINTAIN)) == {"copy": "done"}
    assert ("late",) in query(backup_of(host), "SELECT job FROM jobs")


def test_what_is_past_keeping_goes(host):
    host.run(*MAINTAIN)
    old = (datetime.now(timezone.utc) - timedelta(days=40)).isoformat()
    new = datetime.now(timezone.utc).isoformat()
    sql(
        host.state_path,
        ("INSERT INTO sources VALUES ('engine:unix:///gone.sock', ?)", old),
        ("INSERT INTO sources VALUES ('nvml', ?)", new),
        ("INSERT INTO inventory VALUES ('workload', 'a', ?)",
         '{"sources": ["engine:unix:///gone.sock"]}'),
        ("INSERT INTO runs VALUES ('gone', ?, ?, 0, 0, 0)", old, old),
    )  # fmt: skip
    document = host.json(*MAINTAIN)
    dropped = {action["target"] for action in document["actions"] if action["kind"] == "drop-rows"}
    assert dropped == {"sources", "inventory", "runs"}
    assert document["data"]["rows"]["sources"] == 1
    assert done(host.json(*MAINTAIN)) == {"copy": "done"}


def test_a_store_with_much_free_room_is_written_anew(host):
    fill(host)
    sql(host.state_path, ("DELETE FROM containers",))
    before = host.state_path.stat().st_size
    document = host.json(*MAINTAIN)
    assert done(document) == {"compact": "done", "copy": "done"}
    assert host.json(*CHECK)["data"]["size_bytes"] < before / 4


@pytest.mark.parametrize("command", [CHECK, MAINTAIN])
def test_a_broken_store_is_left_alone_and_so_is_its_copy(host, command):
    fill(host)
    host.run(*MAINTAIN)
    good = backup_of(host).read_bytes()
    scribble(host.state_path)
    bad = host.state_path.read_bytes()
    ran = host.run(*command)
    assert ran.status == 1
    assert "go back to the copy" in ran.err
    assert (backup_of(host).read_bytes(), host.state_path.read_bytes()) == (good, bad)


# of the second, SQLite says "string or blob too big" instead of "malformed"
@pytest.mark.parametrize("seed", [0, 594])
def test_the_way_back_works_as_it_is_told(host, seed):
    fill(host, 500)
    host.run(*MAINTAIN)
    scribble(host.state_path, seed)
    hint = host.json(*CHECK, status=1)["error"]["hint"]
    command = hint.partition("as root: ")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert host.json(*CHECK)["data"]["rows"]["containers"] == 500
    assert host.state_path.with_name("ds01ctl.db.broken").exists()
    host.run("detect", "unmanaged", "--record")
    assert host.json(*MAINTAIN)["status"] == "ok"


def test_a_broken_store_without_a_copy(host):
    host.state_path.write_text("x" * 5000)
    ran = host.run(*MAINTAIN)
    assert ran.status == 1
    assert "there is no copy" in ran.err


def test_a_newer_store_is_not_touched(host):
    host.run(*MAINTAIN)
    sql(host.state_path, ("PRAGMA user_version = 99",))
    before = host.state_path.read_bytes()
    for command in (CHECK, MAINTAIN):
        ran = host.run(*command)
        assert (ran.status, "upgrade ds01ctl" in ran.err) == (1, True)
    assert host.state_path.read_bytes() == before


def test_an_older_store_is_migrated(host):
    """The first release's store, with what it knew."""
    from ds01ctl.state import MIGRATIONS

    with closing(sqlite3.connect(host.state_path)) as db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute("INSERT INTO containers VALUES ('a', '{}')")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    assert host.json(*CHECK)["data"]["schema_version"] == 1
    newest = len(MIGRATIONS)
    assert f"the next recording run makes it {newest}" in host.run(*CHECK).out
    document = host.json(*MAINTAIN)
    after = document["data"]["schema_version"], document["data"]["rows"]["containers"]
    assert after == (newest, 1)


def test_the_copy_cannot_be_written(host):
    host.run(*MAINTAIN)
    backup_of(host).unlink()
    backup_of(host).mkdir()
    document = host.json(*MAINTAIN, status=3)
    assert done(document) == {"copy": "failed"}
    names = {path.name for path in host.state_path.parent.iterdir()}
    assert names == {"ds01ctl.db", "ds01ctl.db.backup"}


@pytest.fixture
def small_disk(host):
    target = host.state_path.parent
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "ds01ctl-test", str(target)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_a_full_disk_loses_nothing(host, small_disk):
    fill(host, 300)
    host.run(*MAINTAIN)
    good = backup_of(host).read_bytes()
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(b"x" * 2_000_000)
    ran = host.run(*MAINTAIN)
    assert ran.status in {1, 3}
    assert "room" in ran.out + ran.err
    assert backup_of(host).read_bytes() == good
    (small_disk / "ballast").unlink()
    assert host.json(*CHECK)["data"]["rows"]["containers"] == 300
    assert host.json(*MAINTAIN)["status"] == "ok"


def test_one_at_a_time(host):
    import fcntl

    host.run(*MAINTAIN)
    with (host.root / "run/ds01/state.lock").open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert host.run(*MAINTAIN).status == 5
        assert host.run(*CHECK).status == 0


def test_detect_goes_on_meanwhile(host):
    fill(host)
    with subprocess.Popen(
        ["sh", "-c", "for i in 1 2 3 4 5; do \"$@\" >/dev/null || exit 1; done", "sh",
         sys.executable, "-m", "ds01ctl", *MAINTAIN],
        env=host.env,
    ) as busy:  # fmt: skip
        statuses = {host.run("detect", "unmanaged", "--record").status for _ in range(3)}
        assert busy.wait(60) == 0
    assert statuses == {0}
