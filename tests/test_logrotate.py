"""The rotation that we install loses nothing, and keeps mode, owner and group.

Runs the real logrotate on the rendered file, its folder moved, under writers that never stop.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from multiprocessing.synchronize import Event as Stop
from pathlib import Path

import pytest

from ds01ctl.jobs import LOGS
from ds01ctl.loglines import newest_first
from ds01ctl.report.events import Event, append
from ds01ctl.unitfiles.files import render

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("logrotate"), reason="needs root and logrotate"
)
FORK = multiprocessing.get_context("fork")
ROTATIONS = 10
EVENTS_AT_ONCE = 20
LINES_MIN = 100_000
NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Rotation:
    """The rendered file for a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.log = self.logs / "events.jsonl"
        self._state = folder / "state"
        self._config = folder / "ds01"
        (text,) = [file.text for file in render() if file.source == "logrotate.d/ds01"]
        self._config.write_text(text.replace(LOGS, str(self.logs)))
        self._config.chmod(0o644)

    def force(self, *, may_fail: bool = False) -> None:
        """Rotate now, whatever the age and the size."""
        argv = ["logrotate", "-f", "-s", str(self._state), str(self._config)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert may_fail or done.returncode == 0, done.stderr

    def lines(self) -> list[bytes]:
        """Read every line there is, by whatever name."""
        texts = []
        for path in self.logs.iterdir():
            data = path.read_bytes()
            texts.append(gzip.decompress(data) if path.suffix == ".gz" else data)
        return [line for text in texts for line in text.splitlines(keepends=True)]


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path)


def write_events(number: int, log: Path, stop: Stop, written: Path) -> None:
    """Write as our jobs do, some events at a time."""
    count = 0
    while not stop.is_set():
        batch = [
            Event("test.line", None, f"writer-{number}", {"n": count + index})
            for index in range(EVENTS_AT_ONCE)
        ]
        assert append(batch, log, Path("/nothing"), NOW) == ()
        count += EVENTS_AT_ONCE
    written.write_text(str(count))


def write_plainly(number: int, log: Path, stop: Stop, written: Path) -> None:
    """Write as `echo >> log` does: open, one line, close."""
    count = 0
    while not stop.is_set():
        with log.open("ab", buffering=0) as file:
            file.write(b'{"plain":%d,"n":%d}\n' % (number, count))
        count += 1
        # leave some of the processor to those that write as we do
        time.sleep(0.0002)
    written.write_text(str(count))


@contextmanager
def writers(log: Path, folder: Path) -> Iterator[list[Path]]:
    """Write from four processes for as long as the block takes."""
    stop = FORK.Event()
    notes = [folder / f"written-{number}" for number in range(4)]
    works = [write_events, write_events, write_events, write_plainly]
    started = [
        FORK.Process(target=work, args=(number, log, stop, note))
        for number, (work, note) in enumerate(zip(works, notes, strict=True))
    ]
    for one in started:
        one.start()
    try:
        yield notes
    finally:
        stop.set()
        for one in started:
            one.join(30)
    assert [one.exitcode for one in started] == [0] * 4


def until_next_second() -> None:
    """Wait, for the rotated files' names end in the second."""
    time.sleep(1.02 - time.time() % 1)


def test_ten_rotations_under_writers_lose_nothing(rotation: Rotation, tmp_path: Path) -> None:
    with writers(rotation.log, tmp_path) as notes:
        for _ in range(ROTATIONS):
            until_next_second()
            # a writer may be quicker to make the new file: logrotate complains, and keeps both
            rotation.force(may_fail=True)
    wanted = sum(int(note.read_text()) for note in notes)
    found = rotation.lines()
    assert wanted >= LINES_MIN
    assert len(found) == len(set(found)) == wanted
    assert all(line.startswith(b"{") and line.endswith(b"}\n") for line in found)
    rotated = [path for path in rotation.logs.iterdir() if path != rotation.log]
    assert len(rotated) >= ROTATIONS


def test_what_was_rotated_is_still_read(rotation: Rotation) -> None:
    """`ds01ctl events` finds the rotated and the compressed files by their names."""
    for number in range(3):
        append([Event("test.line", None, "test", {"n": number})], rotation.log, Path("/no"), NOW)
        until_next_second()
        rotation.force()
    names = sorted(path.name for path in rotation.logs.iterdir())
    assert [bool(re.search(r"\.gz$", name)) for name in names] == [False, True, True, False]
    assert len(list(newest_first(rotation.log))) == 3


def test_two_rotations_in_one_second(rotation: Rotation) -> None:
    """The second is refused by the name, and the log stays as it is."""
    until_next_second()
    rotation.log.write_text("one\n")
    rotation.force()
    rotation.log.write_text("two\n")
    # should the second end in between, both are rotated
    rotation.force(may_fail=True)
    assert sorted(rotation.lines()) == [b"one\n", b"two\n"]


@pytest.mark.parametrize(("mode", "uid", "gid"), [(0o664, 0, 0), (0o640, 1234, 4321)])
def test_the_new_file_is_like_the_old(rotation: Rotation, mode: int, uid: int, gid: int) -> None:
    rotation.log.write_text("x\n")
    os.chown(rotation.log, uid, gid)
    rotation.log.chmod(mode)
    rotation.force()
    found = rotation.log.stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (0, mode)
    assert (found.st_uid, found.st_gid) == (uid, gid)


def test_a_folder_that_the_group_may_write_is_no_matter(rotation: Rotation) -> None:
    """The platform's folder of logs is 2775; without `su` logrotate would refuse it."""
    rotation.log.write_text("x\n")
    os.chown(rotation.logs, 0, 4321)
    rotation.logs.chmod(0o2775)
    rotation.force()
    assert len(list(rotation.logs.iterdir())) == 2


def test_neither_an_empty_nor_a_missing_log_is_rotated(rotation: Rotation) -> None:
    rotation.force()
    rotation.log.write_text("")
    rotation.force()
    assert [path.name for path in rotation.logs.iterdir()] == ["events.jsonl"]
