"""`quota why` on a real kernel: what it says refuses a write is what the kernel refuses."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import Limits
from ds01ctl.fsxattr import Tag, set_tag
from tests.uml.inside.conftest import as_user
from tests.uml.inside.places import BOTH, MIB
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    CARL,
    begin,
    fill,
    put,
    said,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.quota_world import Run

TEAM = 2_000_001


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin(
        "quota: {mode: enforce}\nusers: {timeout_s: 60}\n"
        "groups: {student: {storage: {/home: 8M, /scratch: 4M}}}\n"
    )


def verdicts(run: Run, *argv: str) -> dict[str, tuple[str, str | None]]:
    (place,) = told(run, "why", *argv)["data"]["places"]
    return {one["check"]: (one["severity"], one["error"]) for one in place["verdicts"]}


def append(path: str) -> None:
    with Path(path).open("ab") as file:
        file.write(bytes(MIB))


def project(path: str, number: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    set_tag(fd, Tag(number, is_inherited=True))
    os.close(fd)


def test_why_a_write_fails(ds01ctl: Run) -> None:
    for mount in ("/home", "/scratch"):
        fill(f"{mount}/over", ALICE, 2 * MIB)
        fill(f"{mount}/hard", BOB, 2 * MIB)
        put(mount, ALICE, Limits(MIB, 0))
        put(mount, BOB, Limits(0, 2 * MIB))
    assert verdicts(ds01ctl, "/home/over")["user-quota"] == ("soon", "EDQUOT")
    assert verdicts(ds01ctl, "/scratch/hard")["user-quota"] == ("refuses", "EDQUOT")
    assert as_user(BOB, lambda: append("/scratch/hard")) == errno.EDQUOT
    assert verdicts(ds01ctl, "/home", "--user", "carl")["user-quota"] == ("fine", None)
    assert verdicts(ds01ctl, "/home", "--user", "root")["user-quota"] == ("fine", None)
    # into a file, it counts for its owner; on XFS root is bound by that, on ext4 he is not
    assert verdicts(ds01ctl, "/home/hard", "--user", "root")["user-quota"] == ("refuses", "EDQUOT")
    with pytest.raises(OSError, match="quota exceeded"):
        append("/home/hard")
    assert verdicts(ds01ctl, "/scratch/hard", "--user", "root")["user-quota"] == ("fine", None)
    append("/scratch/hard")
    device = BOTH[1].device
    with quotactl.opened("/scratch", device) as handle:
        quotactl.set_quota(handle, "user", ALICE, bytes_grace_end=int(time.time()) - 90_000)
    answer = said(ds01ctl, "why", "alice")
    assert "the grace was over 1 day ago" in answer
    assert "writes fail" in answer
    assert "writes go on for 6 days" in answer
    assert "no such file" in said(ds01ctl, "why", "/home/none", status=1)
    assert "no user" in said(ds01ctl, "why", "nobody9", status=2)


@pytest.mark.parametrize(("mount", "error"), [("/home", "ENOSPC"), ("/scratch", "EDQUOT")])
def test_why_a_project_is_full(ds01ctl: Run, mount: str, error: str) -> None:
    """XFS binds root as well, ext4 does not; who may not look is told so."""
    folder = Path(mount, "team")
    folder.mkdir()
    os.chown(folder, CARL, CARL)
    project(str(folder), TEAM)
    fill(f"{folder}/f", CARL, 3 * MIB)
    put(mount, TEAM, Limits(0, 3 * MIB), "project")
    Path("/etc/projid").write_text(f"team:{TEAM}\n")
    text = said(ds01ctl, "why", str(folder))
    assert f"project team holds 3 MiB on {mount}, and the hard limit is 3 MiB" in text
    assert f"({error})" in text
    assert f"quota set --project team --soft +10G --path {mount}" in text
    found = verdicts(ds01ctl, str(folder), "--user", "root")["project-quota"]
    assert found == (("refuses", error) if mount == "/home" else ("fine", None))
    if mount == "/scratch":
        append(f"{folder}/f")


def test_why_it_is_really_full(ds01ctl: Run) -> None:
    free = os.statvfs("/plain")
    hog = fill("/plain/hog", 0, free.f_bavail * free.f_frsize - MIB)
    with suppress(OSError), Path("/plain/rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(1024))
    found = verdicts(ds01ctl, "/plain", "--user", "alice")
    assert found["space"] == ("refuses", "ENOSPC")
    assert found["user-quota"][0] == "fine"
    hog.unlink()
