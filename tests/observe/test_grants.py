"""Grant files: only what root wrote counts."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.model import Grant
from ds01ctl.observe import grants
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can own a grant")

DIR = "/var/lib/ds01/bare-metal-grants"
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / DIR.lstrip("/")
    made.mkdir(parents=True)
    made.chmod(0o711)
    return made


def write(file: Path, content: Any, mode: int = 0o644) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(mode)
    return file


def read(tmp_path: Path) -> grants.GrantsReading:
    return grants.read(DIR, Paths(tmp_path))


GOOD: dict[str, tuple[str, dict[str, Any], str, datetime | None]] = {
    "temporary": (
        "alice.json",
        {
            "user": "alice",
            "granted_by": "root",
            "granted_at": "2026-11-23T10:00:00Z",
            "type": "temporary",
            "duration": "2h",
            "expires_at": "2026-11-23T12:00:00Z",
        },
        "alice",
        NOON,
    ),
    "with a zone": ("a.json", {"expires_at": "2026-11-23T13:00:00+01:00"}, "a", NOON),
    "with nine digits": ("a", {"expires_at": "2026-11-23T12:00:00.000000000Z"}, "a", NOON),
    "without a zone": ("a", {"expires_at": "2026-11-23 12:00:00"}, "a", NOON),
    "permanent": ("a.json", {"user": "b", "type": "permanent"}, "b", None),
    "permanent, null": ("a", {"type": "permanent", "expires_at": None}, "a", None),
    "null": ("a.b@uni.example", {"expires_at": None}, "a.b@uni.example", None),
    "the word": ("a", {"expires_at": "permanent"}, "a", None),
}


@pytest.mark.parametrize("name", GOOD)
def test_grant(tmp_path: Path, folder: Path, name: str) -> None:
    file_name, content, user, expires_at = GOOD[name]
    file = write(folder / file_name, content)
    assert read(tmp_path) == ((Grant(user, expires_at, str(file)),), ())


BAD: dict[str, tuple[Any, str]] = {
    "empty": ("", "no grant"),
    "cut short": ('{"user": "alice", "expires', "no grant"),
    "not text": ("\x00\x01", "no grant"),
    "a list": ([1], "expected a JSON object"),
    "no end": ({"user": "alice"}, "expires_at"),
    "temporary without end": ({"type": "temporary", "expires_at": None}, "needs a time"),
    "no time": ({"expires_at": "tomorrow"}, "no grant"),
    "a number": ({"expires_at": 7}, "expected a time"),
    "a list as time": ({"expires_at": ["2026-11-23T12:00:00Z"]}, "expected a time"),
    "no such day": ({"expires_at": "2026-02-30T12:00:00Z"}, "no grant"),
    "year 1": ({"expires_at": "0001-01-01T00:00:00Z"}, "expected a time"),
    "user is no text": ({"user": ["alice"], "expires_at": None}, "user"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_spoils_no_other(tmp_path: Path, folder: Path, name: str) -> None:
    content, reason = BAD[name]
    file = write(folder / "bad.json", content)
    write(folder / "good.json", {"expires_at": None})
    reading = read(tmp_path)
    assert [grant.user for grant in reading.grants] == ["good"]
    (gap,) = reading.gaps
    assert (gap.source, gap.kind) == ("policy", "failed")
    assert gap.reason.startswith(f"{file}: ")
    assert reason in gap.reason


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_nobody_grants_himself_by_writing(tmp_path: Path, folder: Path, mode: int) -> None:
    write(folder / "a.json", {"expires_at": None}, mode)
    reading = read(tmp_path)
    assert reading.grants == ()
    assert "others than root may write it" in reading.gaps[0].reason


def test_nobody_grants_himself_by_owning(tmp_path: Path, folder: Path) -> None:
    os.chown(write(folder / "a.json", {"expires_at": None}), 1001, 1001)
    reading = read(tmp_path)
    assert reading.grants == ()
    assert "belongs to uid 1001" in reading.gaps[0].reason


@pytest.mark.parametrize(("uid", "mode"), [(1001, 0o711), (0, 0o775), (0, 0o777)])
def test_nobody_grants_himself_by_renaming(
    tmp_path: Path, folder: Path, uid: int, mode: int
) -> None:
    write(folder / "a.json", {"expires_at": None})
    os.chown(folder, uid, uid)
    folder.chmod(mode)
    reading = read(tmp_path)
    assert reading.grants == ()
    assert reading.gaps[0].reason.startswith(f"{folder}: ignored")


def test_nobody_grants_himself_by_a_link(tmp_path: Path, folder: Path) -> None:
    (folder / "a.json").symlink_to(write(tmp_path / "elsewhere", {"expires_at": None}))
    reading = read(tmp_path)
    assert reading.grants == ()
    assert len(reading.gaps) == 1


def test_a_pipe_does_not_hang(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(folder / "a.json")
    reading = read(tmp_path)
    assert "no regular file" in reading.gaps[0].reason


STRAY = (
    "README", "README.md", "notes.txt", ".hidden", ".a.json", ".a.json.swp", "a.json.swp",
    "a.json~", "a~", "a.json.bak", "alice.old", ".a.json.7.part", "#a.json#", "a b", "a\nb",
)  # fmt: skip


@pytest.mark.parametrize("content", ["", {"expires_at": None}])
def test_what_is_no_grant_is_left_alone(tmp_path: Path, folder: Path, content: Any) -> None:
    for name in STRAY:
        write(folder / name, content)
    (folder / "archive").mkdir()
    assert read(tmp_path) == ((), ())


def test_no_folder_is_no_gap(tmp_path: Path) -> None:
    assert read(tmp_path) == ((), ())


def test_a_file_in_the_folders_place(tmp_path: Path, folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")
    assert read(tmp_path).gaps[0].kind == "failed"
