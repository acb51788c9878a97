"""What the kernel does with limits is what we say: {XFS, ext4} x {user, project} x five cases."""

from __future__ import annotations

import errno
import os
import time
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from ds01ctl.act import quotas
from ds01ctl.core.disk_quota import KINDS, Limits
from ds01ctl.fsxattr import get_project_id
from tests.uml.inside.conftest import as_user
from tests.uml.inside.places import BOTH, EXT4, KIB, MIB, XFS, Holder, Where, holder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ds01ctl.core.disk_quota import QuotaKind

GRACE_S = 1
SOFT = Limits(soft_bytes=MIB, hard_bytes=8 * MIB)
HARD = Limits(hard_bytes=2 * MIB)
# what a write that a limit stops ends with; a project's limit on XFS looks like a full disk
REFUSED = {
    (XFS, "user"): EDQUOT,
    (XFS, "project"): ENOSPC,
    (EXT4, "user"): EDQUOT,
    (EXT4, "project"): EDQUOT,
}
ROWS = [pytest.param(where, kind, id=f"{where.type}-{kind}") for where in BOTH for kind in KINDS]


def limit(one: Holder, limits: Limits) -> None:
    place = one.where.mount, one.where.device, one.kind, one.id
    assert quotas.set_limits(*place, limits, expected=None)


def limited(where: Where, kind: QuotaKind, limits: Limits) -> Holder:
    one = holder(where, kind)
    limit(one, limits)
    return one


def tried(one: Holder, do: Callable[[], object]) -> int:
    return as_user(one.uid, do)


class Over(NamedTuple):
    """One who went over the soft limit, and is still."""

    one: Holder
    first: int
    """How the write that crossed it ended."""
    timer: int
    """The deadline that the kernel then had."""
    crossed_at: float


@pytest.fixture(scope="module")
def over() -> Mapping[tuple[Where, QuotaKind], Over]:
    """All of them past their grace, for one wait."""
    found = {}
    for where, kind in REFUSED:
        quotas.set_grace(where.mount, where.device, kind, bytes_s=GRACE_S)
        one = limited(where, kind, SOFT)
        began = time.time()
        first = tried(one, lambda one=one: one.write(2 * MIB))
        found[where, kind] = Over(one, first, one.quota.bytes_grace_end, began)
    time.sleep(max(0.0, max(crossed.timer for crossed in found.values()) + 1.1 - time.time()))
    return found


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_soft(where: Where, kind: QuotaKind, over: Mapping[tuple[Where, QuotaKind], Over]) -> None:
    """Crossing the soft limit starts a timer; once it is over, the soft limit holds."""
    crossed = over[where, kind]
    one = crossed.one
    assert crossed.first == 0
    assert 0 <= crossed.timer - crossed.crossed_at <= GRACE_S + 3
    assert tried(one, lambda: one.write(64 * KIB)) == REFUSED[where, kind]
    # below the soft limit all is forgotten
    os.truncate(one.folder / "file", 0)
    assert one.quota.bytes_grace_end == 0
    assert tried(one, lambda: one.write(64 * KIB)) == 0


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_hard(where: Where, kind: QuotaKind) -> None:
    """Nothing is written past the hard limit, at once."""
    one = limited(where, kind, HARD)
    assert tried(one, lambda: one.write(MIB)) == 0
    assert tried(one, lambda: one.write(2 * MIB)) == REFUSED[where, kind]
    assert one.quota.used_bytes <= HARD.hard_bytes


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_inodes(where: Where, kind: QuotaKind) -> None:
    """No file more is made than the hard limit allows; the folder is the first."""
    one = limited(where, kind, Limits(hard_inodes=4))
    made = [tried(one, (one.folder / f"file{n}").touch) for n in range(4)]
    assert made == [0, 0, 0, REFUSED[where, kind]]
    assert one.quota.used_inodes == 4


@pytest.mark.parametrize(
    ("where", "kind", "expected"),
    [
        # as root writes, the file's owner pays: XFS stops there, ext4 does not stop root
        pytest.param(XFS, "user", EDQUOT, id="xfs-user"),
        pytest.param(XFS, "project", ENOSPC, id="xfs-project"),
        pytest.param(EXT4, "user", 0, id="ext4-user"),
        pytest.param(EXT4, "project", 0, id="ext4-project"),
    ],
)
def test_root(where: Where, kind: QuotaKind, expected: int) -> None:
    """Root is bound by somebody else's limit on XFS; on ext4 CAP_SYS_RESOURCE passes all."""
    one = limited(where, kind, HARD)
    assert tried(one, (one.folder / "file").touch) == 0
    assert as_user(0, lambda: one.write(4 * MIB)) == expected
    assert (one.quota.used_bytes > HARD.hard_bytes) is (expected == 0)


@pytest.mark.parametrize("where", BOTH, ids=lambda where: where.type)
def test_the_root_user_has_no_limit(where: Where) -> None:
    """Limits of id 0 do not bind root's own files."""
    place = where.mount, where.device, "user", 0
    quotas.set_limits(*place, HARD, expected=None)
    try:
        path = Path(where.mount, "of-root")
        path.write_bytes(bytes(4 * MIB))
        assert path.stat().st_blocks * 512 >= 4 * MIB
    finally:
        quotas.set_limits(*place, Limits(), expected=None)


def moved(path: Path, to: Path) -> Callable[[], object]:
    return lambda: path.rename(to / path.name)


def linked(path: Path, to: Path) -> Callable[[], object]:
    return lambda: os.link(path, to / f"link-of-{path.name}")


@pytest.mark.parametrize(
    ("where", "kind", "expected"),
    [
        pytest.param(where, kind, errno.EXDEV if kind == "project" else 0,
                     id=f"{where.type}-{kind}")
        for where in BOTH for kind in KINDS
    ],
)  # fmt: skip
def test_across(where: Where, kind: QuotaKind, expected: int) -> None:
    """Neither rename nor link leads into another project; between users both do."""
    one, other = holder(where, kind), holder(where, kind)
    os.chown(other.folder, one.uid, one.uid)
    for name in ("file", "second"):
        assert tried(one, (one.folder / name).touch) == 0
    assert tried(one, linked(one.folder / "file", other.folder)) == expected
    assert tried(one, moved(one.folder / "second", other.folder)) == expected
    assert tried(one, (one.folder / "inner").mkdir) == 0
    assert tried(one, moved(one.folder / "inner", other.folder)) == expected


@pytest.mark.parametrize("where", BOTH, ids=lambda where: where.type)
def test_out_of_a_project(where: Where) -> None:
    """Out of a project a file may go, and is counted towards it from outside: a stray."""
    one = holder(where, "project")
    plain = holder(where, "user")
    (one.folder / "file").touch()
    (one.folder / "file").rename(plain.folder / "stray")
    fd = os.open(plain.folder / "stray", os.O_RDONLY)
    assert get_project_id(fd) == one.id
    os.close(fd)
    # and a plain one may not come in
    (plain.folder / "plain").touch()
    with pytest.raises(OSError) as caught:
        (plain.folder / "plain").rename(one.folder / "plain")
    assert caught.value.errno == errno.EXDEV
