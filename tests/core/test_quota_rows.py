"""Rows of the report, and why a write fails."""

from __future__ import annotations

from typing import Any

import pytest

from ds01ctl.core import quota_rows, quota_why
from ds01ctl.core.disk_quota import Accounting, DiskQuota, Limits, QuotaFileSystem
from ds01ctl.core.layers import Layers
from ds01ctl.core.quota_model import Place
from ds01ctl.core.sizes import size

GIB = 1 << 30
NOW = 1_800_000_000.0
LIMITS = Limits(100 * GIB, 110 * GIB, 1000, 1100)
ON = Accounting(is_on=True, is_enforced=True)


def of_volumes(project: str) -> str | None:
    return {"volumes-alice": "alice", "volumes-uid-1001": "alice"}.get(project)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (DiskQuota(1, 50 * GIB, 5, LIMITS), "ok"),
        (DiskQuota(1, 50 * GIB, 5), "ok"),
        # the limit itself may be used
        (DiskQuota(1, 100 * GIB, 5, LIMITS), "ok"),
        (DiskQuota(1, 101 * GIB, 5, LIMITS, int(NOW) + 60), "over-soft"),
        # XFS: the timer begins when the blocks are flushed
        (DiskQuota(1, 101 * GIB, 5, LIMITS, 0), "over-soft"),
        (DiskQuota(1, 101 * GIB, 5, LIMITS, int(NOW) - 60), "grace-over"),
        # repquota calls this one "soft"
        (DiskQuota(1, 110 * GIB, 5, LIMITS, int(NOW) + 60), "at-hard"),
        (DiskQuota(1, 110 * GIB - 100, 5, LIMITS), "at-hard"),
        (DiskQuota(1, 1, 1001, LIMITS, 0, int(NOW) + 5), "over-soft"),
        (DiskQuota(1, 1, 1100, LIMITS), "at-hard"),
        # the worse of the two
        (DiskQuota(1, 101 * GIB, 1100, LIMITS, int(NOW) + 60), "at-hard"),
        # of id 0 they are the defaults of the others
        (DiskQuota(0, 200 * GIB, 1, LIMITS), "ok"),
        # a timer that was left from before is none
        (DiskQuota(1, 1, 1, LIMITS, int(NOW) - 60), "ok"),
    ],
)
def test_standing(record: DiskQuota, expected: str) -> None:
    assert quota_rows.standing(record, NOW) == expected


def test_a_user_called_like_a_number_is_not_the_number() -> None:
    records = {
        Place("/home", "user", 7): DiskQuota(7, 5, 1),
        Place("/home", "user", 1001): DiskQuota(1001, 9, 1),
    }
    rows = quota_rows.rows_of(records, {"user": {1001: "#7"}, "project": {}}, NOW, {})
    owners = quota_rows.owners(rows, of_volumes)
    assert [(one.name, one.is_known, one.used_bytes) for one in owners] == [
        ("#7", False, 5),
        ("#7", True, 9),
    ]


def test_volumes_are_their_owners_row() -> None:
    """And are not counted twice: their files count for the user, too."""
    records = {
        Place("/home", "user", 1001): DiskQuota(1001, 9, 1),
        Place("/home", "project", 2000001): DiskQuota(2000001, 4, 1, Limits(5)),
        Place("/home", "project", 2000002): DiskQuota(2000002, 4, 1),
        Place("/home", "project", 2000003): DiskQuota(2000003, 2, 1),
        Place("/home", "project", 2000004): DiskQuota(2000004, 2, 1),
    }
    projects = {2000001: "volumes-alice", 2000002: "team", 2000003: "volumes-uid-1001"}
    names: Any = {"user": {1001: "alice"}, "project": projects}
    (owner,) = quota_rows.owners(quota_rows.rows_of(records, names, NOW, {}), of_volumes)
    assert [row.place.id for row in owner.rows] == [2000001, 1001, 2000003]
    assert (owner.name, owner.used_bytes) == ("alice", 9)


def test_container_layers_are_their_owners_row() -> None:
    """A row has them on top of its own; who has nothing else has a row for them."""
    records = {
        Place("/home", "user", 1001): DiskQuota(1001, 9, 1),
        Place("/home", "user", 1002): DiskQuota(1002, 9, 1),
        Place("/home", "user", 54321): DiskQuota(54321, 9, 1),
    }
    names: Any = {"user": {1001: "alice", 1002: "bob"}, "project": {}}
    owners = quota_rows.owners(quota_rows.rows_of(records, names, NOW, {}), of_volumes)
    layers = {
        "alice": Layers(100, ("one", "two"), own_bytes=40),
        "carol": Layers(5, ("three",)),
        "54321": Layers(3, ("four",), is_named=False),
        None: Layers(7, ("prometheus",)),
    }

    def told(*, is_complete: bool, is_counted: bool) -> dict[str, tuple[int | None, int]]:
        found = quota_rows.with_layers(
            owners, layers, is_complete=is_complete, is_counted=is_counted
        )
        return {one.name: (one.layers_bytes, one.used_bytes) for one in found}

    others = {"#54321": (3, 12), "carol": (5, 5)}
    assert told(is_complete=True, is_counted=False) == others | {"alice": (100, 109), "bob": (0, 9)}
    # what a container writes as alice, the kernel has counted among her files
    assert told(is_complete=True, is_counted=True) == others | {"alice": (100, 69), "bob": (0, 9)}
    # not known is not 0
    assert told(is_complete=False, is_counted=False)["bob"] == (None, 9)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1 << 10, "1 KiB"), (110 * GIB, "110 GiB"),
     (GIB * 3 // 2, "1.5 GiB"), (-2 * GIB, "-2 GiB"), (3 << 50, "3 PiB"), (9 << 60, "9216 PiB")],
)  # fmt: skip
def test_size(count: int, text: str) -> None:
    assert size(count) == text


# --- why --------------------------------------------------------------------------------------


def asked(record: DiskQuota | None, **fields: Any) -> quota_why.Asked:
    usual: dict[str, Any] = {"accounting": {"user": ON, "project": ON}, "free_bytes": 5 * GIB,
                             "free_inodes": 100, "type": "xfs"}  # fmt: skip
    own = {name: fields.pop(name) for name in tuple(fields) if name in usual}
    file_system = QuotaFileSystem(
        mount="/home", source="/dev/sda1", holds=("/home",), records={}, **(usual | own)
    )
    return quota_why.Asked("alice", record, file_system, **fields)


FULL = DiskQuota(1, 110 * GIB, 5, LIMITS, int(NOW) + 60)


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (asked(DiskQuota(1, GIB, 5, LIMITS)), ("fine", None)),
        (asked(FULL), ("refuses", "EDQUOT")),
        (asked(DiskQuota(1, 101 * GIB, 5, LIMITS, int(NOW) - 60)), ("refuses", "EDQUOT")),
        (asked(DiskQuota(1, 101 * GIB, 5, LIMITS, int(NOW) + 60)), ("soon", "EDQUOT")),
        (asked(DiskQuota(1, 1, 1100, LIMITS)), ("refuses", "EDQUOT")),
        # XFS tells of a full project as of a full disk, ext4 does not
        (asked(DiskQuota(1, 1, 1), project_name="team", project=FULL), ("refuses", "ENOSPC")),
        (asked(DiskQuota(1, 1, 1), project_name="team", project=FULL, type="ext4"),
         ("refuses", "EDQUOT")),
        (asked(FULL, is_root=True), ("fine", None)),
        (asked(DiskQuota(1, 1, 1), free_bytes=0), ("refuses", "ENOSPC")),
        (asked(DiskQuota(1, 1, 1), free_inodes=0), ("refuses", "ENOSPC")),
        (asked(DiskQuota(1, 1, 1), is_read_only=True), ("refuses", "EROFS")),
        (asked(None), ("unknown", None)),
        (asked(FULL, accounting={"user": Accounting(is_on=True), "project": ON}), ("fine", None)),
    ],
)  # fmt: skip
def test_why(world: quota_why.Asked, expected: tuple[str, str | None]) -> None:
    worst = quota_why.verdicts(world, NOW)[0]
    assert (worst.severity, worst.error if expected[1] else None) == expected


def test_what_to_do_is_a_command() -> None:
    worst = quota_why.verdicts(asked(FULL), NOW)[0]
    assert worst.text == (
        "alice uses 110 GiB on /home, and the hard limit is 110 GiB: nothing more fits"
    )
    assert worst.todo == (
        "delete 10 GiB or more; or: ds01ctl quota set alice --soft +10G --path /home"
    )
