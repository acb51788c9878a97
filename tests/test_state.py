"""What one run remembers for the next, and what is left after a bad end."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ds01ctl.cleanupstate import Logged
from ds01ctl.core.detect import Seen
from ds01ctl.core.energy_books import Factor, GpuHour, Hour, Totals, Used
from ds01ctl.core.energy_projects import MOST, OTHERS, party_of
from ds01ctl.energystate import ENERGY_TABLES, PROJECTS
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from ds01ctl.state import MIGRATIONS, State, StateError
from ds01ctl.store import told

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
LATER = NOON + timedelta(seconds=30)
A = ("unmanaged-container", "unix:///run/docker.sock", "ab12")
B = ("host-gpu-process", "boot", "42", "7")
IS_ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


def recorded(paths, **containers):
    with State.open_for_recording(paths) as state, state.transaction():
        state.remember_containers(containers, keep=set())


def containers(paths):
    state = State.open_for_reading(paths)
    assert state
    with state:
        return state.container_facts()


def test_nothing_is_known_and_nothing_is_made_by_looking(paths, tmp_path):
    assert State.open_for_reading(paths) is None
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_database_yet(paths):
    paths.state_dir.mkdir(parents=True)
    paths.state_db.touch()
    assert State.open_for_reading(paths) is None
    recorded(paths, a="{}")
    assert containers(paths) == {"a": "{}"}


def test_a_path_with_signs_that_mean_something_in_a_uri(tmp_path):
    paths = Paths(tmp_path / "a?b#c%20 d&mode=memory")
    recorded(paths, a="1")
    assert paths.state_db.stat().st_size > 0
    assert containers(paths) == {"a": "1"}


def test_containers_new_changed_kept_and_forgotten(paths):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.remember_containers({"a": "1", "b": "1", "c": "1"}, keep=set())
        with state.transaction():
            state.remember_containers({"a": "2"}, keep={"b"})
        assert state.container_facts() == {"a": "2", "b": "1"}


@pytest.mark.parametrize(
    ("seen", "confirmed", "forget", "expected"),
    [
        ([A], set(), lambda _: True, {A: Seen(NOON, 2, False)}),
        ([A, A], {A}, lambda _: True, {A: Seen(NOON, 2, True)}),
        ([A, B], {B}, lambda _: True, {A: Seen(NOON, 2, False), B: Seen(LATER, 1, True)}),
        ([], set(), lambda _: True, {}),
        ([], set(), lambda _: False, {A: Seen(NOON, 1, False)}),
        (
            [B],
            set(),
            lambda key: key[0] != A[0],
            {A: Seen(NOON, 1, False), B: Seen(LATER, 1, False)},
        ),
    ],
)
def test_findings(paths, seen, confirmed, forget, expected):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.record_findings([A], NOON, forget=forget)
        with state.transaction():
            state.record_findings(seen, LATER, confirmed=confirmed, forget=forget)
        assert state.known_findings() == expected


def test_confirmed_stays_confirmed(paths):
    with State.open_for_recording(paths) as state:
        for confirmed in ({A}, set()):
            with state.transaction():
                state.record_findings([A], NOON, confirmed=confirmed, forget=lambda _: True)
        assert state.known_findings() == {A: Seen(NOON, 2, True)}


def test_inventory_of_a_source_with_a_gap_stays(paths):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.replace_inventory("container", {"x": "1", "y": "1"})
            state.replace_inventory("process", {"x": "9"})
        with state.transaction():
            state.replace_inventory("container", {"y": "2", "z": "1"})
        expected = {("container", "y"): "2", ("container", "z"): "1", ("process", "x"): "9"}
        assert state.known_inventory() == expected


def test_sources_and_jobs(paths):
    with State.open_for_recording(paths) as state:
        assert (state.seen_sources(), state.last_success("detect")) == (set(), None)
        with state.transaction():
            state.note_sources(["nvml", "docker", "nvml"], NOON)
            state.note_success("detect", NOON)
        assert (state.seen_sources(), state.last_success("detect")) == ({"nvml", "docker"}, NOON)


def test_a_source_that_is_gone_for_good_stops_being_missed(paths):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.note_sources(["nvml", "docker"], NOON)
        with state.transaction():
            state.note_sources(["nvml"], LATER)
        micro = timedelta(microseconds=1)
        assert state.seen_sources(NOON) == {"nvml", "docker"}
        assert state.seen_sources(NOON + micro) == state.seen_sources(LATER) == {"nvml"}
        assert state.seen_sources(LATER + micro) == set()
        assert state.seen_sources(None) == {"nvml", "docker"}


def test_a_run_that_fails_halfway_changes_nothing(paths):
    recorded(paths, old="1")

    def run():
        with State.open_for_recording(paths) as state, state.transaction():
            state.remember_containers({"new": "1"}, keep=set())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert containers(paths) == {"old": "1"}


def test_a_write_outside_of_a_transaction_is_refused(paths):
    with State.open_for_recording(paths) as state:
        with pytest.raises(StateError, match="outside"):
            state.note_sources(["nvml"], NOON)
        assert state.seen_sources() == set()


def test_modes_and_group_are_set_whatever_the_umask(paths):
    paths.state_dir.mkdir(parents=True)
    if IS_ROOT:
        os.chown(paths.state_dir, 0, NOBODY)
    before = os.umask(0o077)
    try:
        recorded(paths, a="1")
    finally:
        os.umask(before)
    status = paths.state_db.stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert status.st_gid == paths.state_dir.stat().st_gid
    assert [path.name for path in paths.state_dir.iterdir()] == ["ds01ctl.db"]


def test_it_survives_the_machine(paths):
    recorded(paths)
    with State.open_for_recording(paths) as state:
        assert state._store.rows("PRAGMA synchronous") == [(2,)]
        assert state._store.rows("PRAGMA journal_mode") == [("wal",)]


# --- bad days ---


def make_newer(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def scribble(path):
    data = path.read_bytes()
    path.write_bytes(data[:100] + random.Random(0).randbytes(len(data) - 100))


@pytest.mark.parametrize(
    ("spoil", "says", "hint"),
    [
        (lambda path: path.write_text("x" * 5000), "not a database", ".broken"),
        (scribble, "malformed", ".broken"),
        (make_newer, "schema version 99 is newer", "upgrade ds01ctl"),
    ],
)
@pytest.mark.parametrize("open_", [State.open_for_reading, State.open_for_recording])
def test_a_spoilt_database_is_told(paths, spoil, says, hint, open_):
    recorded(paths, **{f"c{n}": "x" * 500 for n in range(100)})
    spoil(paths.state_db)

    def use():
        with open_(paths) as state:
            state.container_facts()

    with pytest.raises(StateError, match=says) as caught:
        use()
    assert str(paths.state_db) in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.kind == "failed"


@pytest.mark.parametrize(
    ("error", "is_damage"),
    [
        (sqlite3.DatabaseError("database disk image is malformed"), True),
        (sqlite3.DataError("string or blob too big"), True),
        (sqlite3.OperationalError("disk I/O error"), False),
        (sqlite3.OperationalError("database is locked"), False),
        (sqlite3.OperationalError("database or disk is full"), False),
        (ValueError("no time"), False),
    ],
)
def test_only_what_the_file_holds_is_damage(paths, error, is_damage):
    """Who is told of damage is told to move the store away: not for a disk that fails."""
    with pytest.raises(StateError) as caught, told(paths.state_db):
        raise error
    assert caught.value.is_damage == is_damage


def test_a_value_that_is_not_json_is_told(paths):
    recorded(paths)
    with closing(sqlite3.connect(paths.state_db)) as db:
        db.execute("INSERT INTO findings VALUES ('[', 'yesterday', 1, 0)")
        db.commit()
    with State.open_for_recording(paths) as state, pytest.raises(StateError):
        state.known_findings()


def test_a_directory_in_its_place(paths):
    paths.state_db.mkdir(parents=True)
    for open_ in (State.open_for_reading, State.open_for_recording):
        with pytest.raises(Ds01Error):
            open_(paths)


def test_a_link_is_not_followed_to_make_it(paths, tmp_path):
    paths.state_dir.mkdir(parents=True)
    paths.state_db.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        State.open_for_recording(paths)
    assert not (tmp_path / "elsewhere").exists()


def test_reading_goes_on_while_another_run_writes(paths):
    recorded(paths, old="1")
    with State.open_for_recording(paths) as state, state.transaction():
        state.remember_containers({"new": "1"}, keep=set())
        assert containers(paths) == {"old": "1"}
    assert containers(paths) == {"new": "1"}


def test_a_reader_notices_a_run_that_happens_meanwhile(paths):
    recorded(paths, old="1")
    reader = State.open_for_reading(paths)
    with reader:
        assert reader.container_facts() == {"old": "1"}
        recorded(paths, new="1")
        assert reader.container_facts() == {"new": "1"}


def as_nobody(code, *args):
    """Run Python code as a user without any rights."""
    program = (
        "import os, sqlite3, sys; from pathlib import Path; from ds01ctl.paths import Paths\n"
        "from ds01ctl.state import State, StateError; paths = Paths(Path(sys.argv[1]))\n"
        # after the imports: the user may not be able to read this checkout
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    ) + code
    argv = [sys.executable, "-W", "error", "-c", program, *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


LOOK = """
try:
    with State.open_for_reading(paths) as state:
        print(state.container_facts())
except StateError as error:
    print(error.kind, error.hint)
"""
RECORD = """
try:
    State.open_for_recording(paths)
except StateError as error:
    print(error.kind, error.hint)
"""


@pytest.fixture
def open_root():
    """Give a root that other users may enter, unlike pytest's."""
    import shutil
    import tempfile

    root = Path(tempfile.mkdtemp(prefix="ds01ctl-test-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


@pytest.mark.skipif(not IS_ROOT, reason="needs root to become another user")
@pytest.mark.parametrize("is_wal_left", [False, True])
def test_another_user_reads_what_he_may(open_root, is_wal_left):
    paths = Paths(open_root)
    recorded(paths, a="1")
    if is_wal_left:
        kill_while_writing(open_root, after_s=0.3)
        assert paths.state_db.with_name("ds01ctl.db-wal").exists()
    assert as_nobody(LOOK, open_root).stdout == "denied run it as root\n"
    for path in paths.state_dir.iterdir():
        path.chmod(0o644)
    before = sorted(paths.state_dir.iterdir())
    done = as_nobody(LOOK, open_root)
    assert done.stdout.startswith("{'"), done
    assert sorted(paths.state_dir.iterdir()) == before
    assert as_nobody(RECORD, open_root).stdout.startswith("denied run it as root")


@pytest.mark.skipif(not IS_ROOT, reason="needs root to become another user")
def test_another_user_cannot_make_one(open_root):
    assert as_nobody(RECORD, open_root).stdout == "denied run it as root\n"


WRITER = """
import sys
from pathlib import Path
from ds01ctl.paths import Paths
from ds01ctl.state import State

with State.open_for_recording(Paths(Path(sys.argv[1]))) as state:
    print("open", flush=True)
    for run in range(1, 100_000):
        with state.transaction():
            state.remember_containers({f"{run}-{n}": "x" * 200 for n in range(50)}, keep=set())
            state.replace_inventory("container", {f"{run}-{n}": "{}" for n in range(50)})
"""


def kill_while_writing(root, after_s):
    argv = [sys.executable, "-c", WRITER, str(root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        time.sleep(after_s)
        writer.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("after_s", [0.0, 0.003, 0.02, 0.05, 0.11])
def test_kill_leaves_a_whole_run(paths, tmp_path, after_s):
    recorded(paths, **{f"0-{n}": "x" for n in range(50)})
    kill_while_writing(tmp_path, after_s)
    with State.open_for_reading(paths) as state:
        runs = {name.partition("-")[0] for name in state.container_facts()}
        told = {name.partition("-")[0] for _, name in state.known_inventory()}
        assert len(runs) == 1
        assert len(state.container_facts()) == 50
        assert told == runs - {"0"}
    recorded(paths, a="1")
    assert containers(paths) == {"a": "1"}


@pytest.fixture
def small_disk(tmp_path):
    """Mount 256 KiB, as root; where that is not possible there is the file size limit."""
    target = tmp_path / "var/lib/ds01"
    target.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "ds01ctl-test", str(target)]
    if not IS_ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs; the file size limit is tested instead")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def fill_up(disk):
    with pytest.raises(OSError, match="No space"):
        (disk / "ballast").write_bytes(b"x" * 1_000_000)


def test_what_can_be_undone_is_in_the_order_of_adding(paths):
    with State.open_for_recording(paths) as state:
        assert state.newest_undo() is None
        for number in range(5):
            with state.transaction():
                state.add_undo(str(number), keep=3)
        for number in (4, 3, 2):
            assert state.newest_undo() == str(number)
            with state.transaction():
                state.drop_newest_undo()
        assert state.newest_undo() is None


def test_disk_usage(paths):
    home, scratch = ("/home", "user", 7), ("/scratch", "user", 7)
    with State.open_for_recording(paths) as state:
        with state.transaction():
            for at, used in ((100, 1), (200, 2), (300, 3)):
                state.note_disk_usage({home: used, scratch: 5}, at)
        assert state.newest_disk_usage(250) == {home: (200, 2), scratch: (200, 5)}
        assert state.disk_usage(150, 300) == {home: [(200, 2), (300, 3)]}
        assert state.disk_usage(0, 250, [scratch]) == {scratch: [(100, 5), (200, 5)]}
        with state.transaction():
            state.keep_disk_usage(200, None)
        assert state.disk_usage(0, 999) == {home: [(200, 2), (300, 3)]}
        with state.transaction():
            state.keep_disk_usage(0, 250)
        assert state.newest_disk_usage(999) == {home: (200, 2), scratch: (200, 5)}


def fill(paths):
    with State.open_for_recording(paths) as state, state.transaction():
        state.remember_containers({str(n): "x" * 1000 for n in range(1000)}, keep=set())


def test_full_disk(paths, small_disk):
    recorded(paths, old="1")
    with pytest.raises(StateError) as caught:
        fill(paths)
    assert "make room" in caught.value.hint
    assert containers(paths) == {"old": "1"}
    # no room at all, not even for the log
    fill_up(small_disk)
    with pytest.raises(StateError):
        recorded(paths, new="1")
    assert containers(paths) == {"old": "1"}


def test_no_room_for_a_new_database(paths, small_disk):
    fill_up(small_disk)
    with pytest.raises(StateError) as caught:
        recorded(paths, new="1")
    assert caught.value.hint
    assert State.open_for_reading(paths) is None


def test_file_size_limit(paths):
    recorded(paths, old="1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StateError):
            fill(paths)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert containers(paths) == {"old": "1"}


def test_read_only_file_system(paths, small_disk):
    recorded(paths, old="1")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert containers(paths) == {"old": "1"}
    with pytest.raises(StateError) as caught:
        recorded(paths, new="1")
    assert caught.value.kind == "failed"
    assert "writable" in caught.value.hint


# --- cleanup ---


def logged(kind="stop-container", at="2026-11-23T12:00:00.000000+00:00", outcome="begun"):
    return Logged(0, at, kind, "idle", "ab12", "alice", outcome, "{}")


def test_watches_and_marks_stay_until_they_are_replaced(paths):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.put_watches({"a": "1", "b": "1"})
            state.put_marks({"clock": "1", "totals": "{}"})
            state.put_image_uses({("e", "x"): (5, 1), ("e", "y"): (6, 2)})
        with state.transaction():
            state.put_watches({"b": "2"}, gone=["a"])
            state.put_marks({"clock": "2"})
            state.put_image_uses({("e", "x"): (9, 1)}, gone=[("e", "y")])
        assert state.watches() == {"b": "2"}
        assert state.marks() == {"clock": "2", "totals": "{}"}
        assert state.image_uses() == {("e", "x"): (9, 1)}
        with state.transaction():
            state.put_image_uses({("e", "x"): (3, 1)})
        assert state.image_uses() == {("e", "x"): (9, 1)}


def test_what_was_begun_is_known_until_it_is_settled(paths):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.add_log([logged(), logged("warn", outcome="done"), logged("remove-container")])
        first, second = state.begun_log()
        assert (first.kind, second.kind) == ("stop-container", "remove-container")
        with state.transaction():
            state.settle_log(first.seq, "done", '{"x": 1}')
        assert [one.seq for one in state.begun_log()] == [second.seq]
        assert [one.outcome for one in state.log_since("2026")] == ["done", "done", "begun"]
        assert state.log_since("2027") == []


def test_the_newest_of_what_was_done_stay_whatever_the_clock_says(paths):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.add_log(logged(at=f"2026-11-{day:02}") for day in range(1, 11))
        with state.transaction():
            state.drop_log("2027", keep=4)
        assert [one.at[-2:] for one in state.log_since("2026")] == ["07", "08", "09", "10"]
        with state.transaction():
            state.drop_log("2026-11-09", keep=1)
        assert [one.at[-2:] for one in state.log_since("2026")] == ["09", "10"]


# --- energy -------------------------------------------------------------------------------------


def test_energy_is_added_up_and_kept_by_the_hour(paths):
    with State.open_for_recording(paths) as state:
        for _ in range(2):
            with state.transaction():
                state.add_energy_hours({(5, "a"): Hour(1, 2, 3, 4, 5, 6, 7, 8), (6, "b"): Hour(1)})
                state.add_energy_gpu_hours({(5, "G", "a"): GpuHour(10, 4, 3)})
                state.put_energy_factors({5: Factor("DE", 500.0, "x", "2025", 2.0, "usage")})
        twice = Hour(2, 4, 6, 8, 10, 12, 14, 16)
        assert state.energy_hours(5, 7) == [(5, "a", twice), (6, "b", Hour(2))]
        assert state.energy_hours(6, 6) == []
        assert sorted(state.energy_sums(0, 10)) == [
            ("a", Used(1, twice, 40)),
            # without a factor, as if nothing came on top
            ("b", Used(1, Hour(2), 2)),
        ]
        assert twice.uj == 20
        # all 20 uJ of its hour, and so all of its carbon
        of_gpu = Used(1, Hour(gpu_uj=20, waste_uj=8, modelled_uj=6, carbon_ug=14), 40)
        assert state.energy_gpu_sums(0, 10) == [("G", "a", of_gpu)]
        assert state.energy_span() == (5, 7)
        assert [state.energy_of_hour(hour) for hour in (5, 6, 7)] == [20, 2, 0]
        with state.transaction():
            state.set_carbon({(5, "a"): 99, (5, "nobody"): 1})
        assert state.energy_hours(5, 6)[0][2].carbon_ug == 99


@pytest.mark.parametrize(
    ("before", "keep", "kept"),
    [
        (3, 1, [3, 4, 100]),
        (99, 3, [3, 4, 100]),
        (99, 1, [100]),
        # a clock that is years ahead
        (10**6, 4, [2, 3, 4, 100]),
        (10**6, 99, [1, 2, 3, 4, 100]),
        (0, 1, [1, 2, 3, 4, 100]),
    ],
)
def test_so_many_hours_stay_however_old_they_seem(paths, before, keep, kept):
    with State.open_for_recording(paths) as state:
        with state.transaction():
            for hour in (1, 2, 3, 4, 100):
                state.add_energy_hours({(hour, "a"): Hour(1)})
                state.add_energy_gpu_hours({(hour, "G", "a"): GpuHour(1)})
                state.put_energy_factors({hour: Factor("DE", 500.0, "x", "2025", 2.0, "usage")})
        with state.transaction():
            state.forget_energy(before, keep)
        assert [hour for hour, _, _ in state.energy_hours(0, 999)] == kept
        assert list(state.energy_factors(0, 999)) == kept
        ((_, _, used),) = state.energy_gpu_sums(0, 999)
        assert used.hours == len(kept)


def test_energy_totals_marks_and_months(paths):
    totals = Totals(
        {("a", "cpu", "measured"): 2**62},
        {("cpu", "measured"): 5},
        {("a", "G"): 3},
        {("a", "operational"): 4},
        {"skipped:x": 7},
    )
    with State.open_for_recording(paths) as state:
        with state.transaction():
            state.put_energy_totals(totals)
            state.put_energy_marks({"other": "1"})
            state.add_carbon_months({(202611, "a"): 10})
            state.replace_energy_raw({"x": "1", "y": "1"})
        with state.transaction():
            state.put_energy_marks({"other": None})
            state.add_carbon_months({(202611, "a"): -3})
            state.replace_energy_raw({"y": "2"})
        assert state.energy_totals() == totals
        assert state.energy_marks() == {"count:skipped:x": "7"}
        assert state.carbon_month(202611) == {"a": 7}
        assert state.carbon_month(202612) == {}
        assert state.energy_raw() == {"y": "2"}


def test_energy_is_kept_by_project(paths):
    thesis = party_of("a", "thesis")
    with State.open_for_recording(paths) as state:
        for _ in range(2):
            with state.transaction():
                state.add_energy_hours({(5, "a"): Hour(1), (5, thesis): Hour(2, carbon_ug=4)})
                state.add_energy_gpu_hours({(5, "G", thesis): GpuHour(1)})
        assert state.energy_hours(5, 6) == [(5, "a", Hour(2)), (5, thesis, Hour(4, carbon_ug=8))]
        assert [(party, one.hour.uj) for party, one in sorted(state.energy_sums(5, 6))] == [
            ("a", 2),
            (thesis, 4),
        ]
        ((uuid, party, used),) = state.energy_gpu_sums(5, 6)
        assert (uuid, party, used.hour.gpu_uj, used.hour.carbon_ug) == ("G", thesis, 2, 4)
        with state.transaction():
            state.set_carbon({(5, thesis): 99})
        assert [row.carbon_ug for _, _, row in state.energy_hours(5, 6)] == [0, 99]


def test_ten_thousand_projects_are_a_hundred_and_others(paths):
    """Nothing of them is lost, and another user's are not touched."""
    many = [party_of("a", f"p{n:05}") for n in range(10_000)]
    with State.open_for_recording(paths) as state:
        for some in (many[:60], many[40:], many[:60]):
            with state.transaction():
                state.add_energy_hours({(5, one): Hour(1) for one in some} | {(5, "a"): Hour(7)})
                state.add_energy_gpu_hours({(5, "G", one): GpuHour(1) for one in some})
                state.add_energy_hours({(5, party_of("b", "mine")): Hour(2)})
        hours = {party: row.uj for _, party, row in state.energy_hours(5, 6)}
        others = party_of("a", OTHERS)
        assert hours.keys() == {"a", *many[:MOST], others, party_of("b", "mine")}
        assert sum(hours.values()) == 60 + 9_960 + 60 + 21 + 6
        assert (hours[many[0]], hours[many[50]], hours[others]) == (2, 3, 9_900)
        assert sum(used.hour.uj for _, _, used in state.energy_gpu_sums(5, 6)) == 10_080


def test_names_of_projects_go_with_their_hours(paths):
    with State.open_for_recording(paths) as state:
        for hour, project in ((5, "old"), (6, "new"), (7, "new")):
            with state.transaction():
                state.add_energy_hours({(hour, party_of("a", project)): Hour(1)})
                state.put_energy_factors({hour: Factor("DE", 500.0, "x", "2025", 1.0, "usage")})
        with state.transaction():
            state.forget_energy(6, 1)
    with closing(sqlite3.connect(paths.state_db)) as db:
        names = db.execute("SELECT party, project FROM energy_parties").fetchall()
    assert names == [("a", "new")]


def test_energy_from_before_projects_is_of_none(paths):
    """All that was stored stays: of a store as the version before made it."""
    paths.state_db.parent.mkdir(parents=True)
    place = MIGRATIONS.index(PROJECTS)
    with closing(sqlite3.connect(paths.state_db)) as db:
        for statement in (one for some in MIGRATIONS[:place] for one in some):
            db.execute(statement)
        db.executemany("INSERT INTO energy_parties VALUES (?, ?)", [(3, "a"), (9, "ü")])
        db.execute("INSERT INTO energy_gpus VALUES (1, 'G')")
        rows = [(5, 3, 1, 2, 3, 4, 5, 6, 7, 8), (5, 9, 1, 0, 0, 0, 0, 0, 0, 0)]
        db.executemany("INSERT INTO energy_hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("INSERT INTO energy_gpu_hours VALUES (5, 1, 3, 3, 2, 1)")
        db.execute(f"PRAGMA user_version = {place}")
        db.commit()
    assert State.open_for_reading(paths) is None
    with State.open_for_recording(paths) as state:
        first = Hour(1, 2, 3, 4, 5, 6, 7, 8)
        assert state.energy_hours(5, 6) == [(5, "a", first), (5, "ü", Hour(1))]
        with state.transaction():
            state.add_energy_hours({(5, "a"): Hour(1), (5, party_of("a", "p")): Hour(1)})
        assert [one.uj for _, _, one in state.energy_hours(5, 6)] == [11, 1, 1]
        ((_, party, used),) = state.energy_gpu_sums(5, 6)
        assert (party, used.hour.gpu_uj) == ("a", 3)


def test_figures_of_providers_that_are_old_go(paths):
    with State.open_for_recording(paths) as state:
        for at in (100, 200, 300):
            with state.transaction():
                state.add_intensity(("neso", "GB", at, 1.5, "average"), 150)
        assert [row[2] for row in state.intensity_cache(0)] == [300, 200]
        assert [row[2] for row in state.intensity_cache(250)] == [300]


def test_a_store_of_the_time_before_energy_gets_its_tables(paths):
    recorded(paths, old="1")
    with closing(sqlite3.connect(paths.state_db)) as db:
        tables = [row[0] for row in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
            " AND (name GLOB 'energy_*' OR name GLOB 'carbon_*' OR name = 'intensity_cache')"
        )]  # fmt: skip
        for name in tables:
            db.execute(f"DROP TABLE {name}")
        place = MIGRATIONS.index(ENERGY_TABLES)
        db.execute(f"PRAGMA user_version = {place}")
    if MIGRATIONS[place + 1 :] != (PROJECTS,):
        pytest.skip("later migrations have been done to it")
    assert State.open_for_reading(paths) is None
    with State.open_for_recording(paths) as state:
        assert state.energy_totals() == Totals({}, {}, {}, {}, {})
        assert state.container_facts() == {"old": "1"}
