"""`quota report` and `quota why` on a real kernel: right for every name, number and limit."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.conftest import PROGRAM, call
from tests.uml.inside.places import BOTH, MIB, sync
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    METRICS,
    begin,
    fill,
    know,
    put,
    said,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.conftest import Done
    from tests.uml.inside.quota_world import Run

# of a directory, of a domain, like an id, an option, a format, a formula, a longer one; /etc/passwd
# has no names that begin with #, + or -
HOSTILE = (
    "a.b@uni.de", "dom\\user", "with space", "a#7", "1234", "ann", "anna", "x" * 40, "x -y",
    "ümlaut", "%s", "=cmd",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin(
        "quota: {mode: enforce}\nusers: {timeout_s: 60}\n"
        "groups: {student: {storage: {/home: 8M, /scratch: 4M}}}\n"
    )


def many(count: int) -> None:
    """Give ids limits and uses of all sorts, users and projects."""
    for where in BOTH:
        with quotactl.opened(where.mount, where.device) as handle:
            for number in range(count):
                id_ = 5_000 + number if number % 10 else 2**31 + number
                size = (number % 50) * MIB
                quotactl.set_quota(
                    handle, "project" if number % 5 == 0 else "user", id_,
                    byte_limits=(size, size and size + MIB), inode_limits=(number % 7, 0),
                )  # fmt: skip
    for number in range(30):
        fill(f"/home/f{number}", 5_001 + number, number * 65536)
        fill(f"/scratch/f{number}", 2**31 + 10 * number, 4096)
    for where in BOTH:
        sync(Path(where.mount))


_OF_BOTH = ("BlockUsed", "BlockSoftLimit", "BlockHardLimit", "FileUsed", "FileSoftLimit",
            "FileHardLimit")  # fmt: skip
_COLUMNS = {"u": ("User", *_OF_BOTH), "P": ("Project", *_OF_BOTH)}


def repquota(kind: str) -> list[tuple[str, ...]]:
    """Read what repquota says, of each file system; kind: its option."""
    rows = []
    for where in BOTH:
        done = call("repquota", f"-{kind}vnp", "-O", "csv", where.mount)
        assert done.status == 0, done.stderr
        table = csv.DictReader(io.StringIO(done.stdout))
        rows += [
            (where.mount, *(row[name].lstrip("#") for name in _COLUMNS[kind])) for row in table
        ]
    return sorted(rows)


def flat(place: dict[str, Any]) -> tuple[str, ...]:
    kib = (-(-place[name] // 1024) for name in ("used_bytes", "soft_bytes", "hard_bytes"))
    counts = (place[name] for name in ("used_inodes", "soft_inodes", "hard_inodes"))
    return (place["mount"], str(place["id"]), *map(str, kib), *map(str, counts))


def bare(*argv: str) -> Done:
    """Run it without a look at its document, which takes long for a thousand rows."""
    return call(str(PROGRAM), *argv)


def test_it_says_what_repquota_says() -> None:
    """Row for row, of a thousand ids; uids above 2^31 and those of nobody too."""
    many(1_000)
    users = told(bare, "report")["data"]
    places = [place for row in users["rows"] for place in row["places"]]
    assert sorted(map(flat, places)) == repquota("u")
    assert users["total_rows"] == len(users["rows"]) > 750
    assert {place["id"] for place in places} > {0, 5_001, 2**31 + 10}
    projects = told(bare, "report", "--by", "project")["data"]["rows"]
    assert sorted(map(flat, projects)) == [row for row in repquota("P") if row[1] != "0"]
    assert len(projects) > 390

    used = told(bare, "report", "--sort", "used", "--top", "3", "--path", "/home")["data"]
    assert [row["user"] for row in used["rows"]] == ["#5030", "#5029", "#5028"]
    assert used["total_rows"] > 3
    assert {one["mount"] for one in used["file_systems"]} == {"/home"}
    whole = said(bare, "report", "--by", "filesystem")
    assert "/home" in whole
    assert "/scratch" in whole


def test_hostile_names(ds01ctl: Run) -> None:
    """Each of them is somebody, found by this very name, and by no other."""
    people = {login: 3_000 + number for number, login in enumerate(HOSTILE)}
    know(people)
    for uid in people.values():
        fill(f"/home/{uid}", uid, (uid - 2_990) * 65536)
    fill("/home/seven", 7_777, 65536)
    rows = {row["user"]: row for row in told(ds01ctl, "report")["data"]["rows"]}
    found = {login: rows[login]["places"][0]["id"] for login in people}
    assert found == people
    assert rows["#7777"]["known"] is False
    text = said(ds01ctl, "report")
    assert not [one for one in HOSTILE if one[:31] not in text]
    table = list(csv.DictReader(io.StringIO(ds01ctl("quota", "report", "--csv").stdout)))
    by_id = {row["id"]: row["user"] for row in table}
    safe = {login: f"'{login}" if login[0] == "=" else login for login in people}
    assert {login: by_id[str(uid)] for login, uid in people.items()} == safe
    (ann,) = told(ds01ctl, "report", "ann")["data"]["rows"]
    assert ann["places"][0]["id"] == people["ann"]
    assert "no user an" in said(ds01ctl, "report", "an", status=2)


def test_a_name_that_is_not_utf8(ds01ctl: Run) -> None:
    passwd = Path("/etc/passwd")
    more = b"\xff\xfe:x:2999:2999::/home/x:/bin/sh\n\xff\xfd:x:2998:2998::/home/x:/bin/sh\n"
    passwd.write_bytes(passwd.read_bytes() + more)
    fill("/home/x", 2_999, 65536)
    assert "2999" in ds01ctl("quota", "report", "--csv").stdout
    ids = [row["places"][0]["id"] for row in told(ds01ctl, "report")["data"]["rows"]]
    assert 2_999 in ids
    assert "on /home" in said(ds01ctl, "apply", "--yes")
    said(ds01ctl, "apply", "--yes")
    heads = [line.rpartition(" ")[0] for line in METRICS.read_bytes().decode().splitlines()]
    assert len(heads) == len(set(heads))


def test_how_one_stands(ds01ctl: Run) -> None:
    fill("/home/a", ALICE, 10 * MIB)
    put("/home", ALICE, Limits(8 * MIB, 10 * MIB))
    put("/home", BOB, Limits(MIB, 0))
    # what id 0 has are defaults of the others on XFS, and nothing on ext4
    put("/scratch", 0, Limits(4096, 4096))
    fill("/home/b", BOB, 2 * MIB)
    text = said(ds01ctl, "report")
    (alice,) = [line for line in text.splitlines() if line.startswith("alice")]
    assert "AT HARD LIMIT" in alice
    rows = {row["user"]: row["standing"] for row in told(ds01ctl, "report")["data"]["rows"]}
    assert rows == {"alice": "at-hard", "bob": "over-soft", "root": "ok"}
    said(ds01ctl, "report", "alice", "--by", "project", status=2)
    for path, reason in (("/plain", "without the quota feature"), ("/plainxfs", "without uquota")):
        off = said(ds01ctl, "report", "--path", path)
        assert reason in off
        assert "nobody" not in off
        said(ds01ctl, "report", "--path", path, "--by", "project")
