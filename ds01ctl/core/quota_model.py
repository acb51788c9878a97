"""The words of `quota`: who is limited where, what would be changed, and what is remembered."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from ds01ctl.core.disk_quota import NO_LIMITS, DiskQuota, Limits, QuotaKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.disk_quota import QuotaFileSystem
    from ds01ctl.core.people import Roll

Rule = Literal["set", "take-back", "put-back"]
"""put-back: as an admin had it before, by undo or restore; it is not ours from then on."""
REPORT_ONLY = "quota.mode is report: nothing is set until it is enforce"
_SAME_BYTES = 65536
"""Two limits closer than the largest block are one limit, rounded by two file systems."""


class Place(NamedTuple):
    """One record of the kernel: an id of one kind on one file system."""

    mount: str
    kind: QuotaKind
    id: int


class Wanted(NamedTuple):
    """A limit that the policy gives."""

    place: Place
    name: str
    """The login, or the project."""
    path: str
    """As the policy has it."""
    limits: Limits
    origin: str


class Known(NamedTuple):
    """What a run of ours set, and what was there before it."""

    set: Limits
    before: Limits


class Change(NamedTuple):
    """New limits for one place."""

    place: Place
    source: str
    """The device."""
    name: str
    before: Limits
    after: Limits
    reason: str
    rule: Rule = "set"
    wanted: Limits = NO_LIMITS
    """What the policy gives; another than after while a hard limit waits."""
    skip: str | None = None
    """Why it is not made."""
    is_forced: bool = False
    """It is made though every write may fail from then on."""


NoticeKind = Literal[
    "not-enforced", "two-paths", "not-in-policy", "hard-limit-waits", "no-place", "unread"
]
FINDINGS = ("quota-drift", *(f"quota-{kind}" for kind in get_args(NoticeKind)))
"""The kinds of what `quota` finds: a limit that is not as wanted, and its notices."""


class Notice(NamedTuple):
    """Something about a limit that is not a change."""

    kind: NoticeKind
    user: str | None
    mount: str
    text: str


class World(NamedTuple):
    """What is decided on."""

    file_systems: tuple[QuotaFileSystem, ...]
    roll: Roll
    wanted: tuple[Wanted, ...]
    known: Mapping[Place, Known] = {}
    force: bool = False
    """Set hard limits below what is used, too."""
    enforces: bool = False
    users: frozenset[str] | None = None
    """Only these; None: everybody."""
    grace_s: int | None = None
    """None: it is written nowhere, and stays as it is."""
    grace_origin: str = ""
    unresolved: frozenset[tuple[QuotaKind, int]] = frozenset()
    """Ids for which the policy has a limit at a path that could not be looked at."""
    unresolved_kinds: frozenset[QuotaKind] = frozenset()
    """Kinds of which a limit's id is not known: anybody may be meant."""

    def by_mount(self) -> dict[str, QuotaFileSystem]:
        """Give the file systems by their mount points."""
        return {one.mount: one for one in self.file_systems}


class GraceChange(NamedTuple):
    """Another grace for all ids of one kind on one file system."""

    mount: str
    source: str
    kind: QuotaKind
    before_s: int
    after_s: int
    origin: str
    skip: str | None = None


class Plan(NamedTuple):
    """What would be changed, and what is worth saying."""

    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()
    graces: tuple[GraceChange, ...] = ()


@lru_cache(maxsize=1024)
def same(one: Limits, other: Limits) -> bool:
    """Tell whether two limits are the same but for a file system's rounding."""
    if one == other:
        return True
    if one[2:] != other[2:]:
        return False
    return all(
        a == b or (a and b and abs(a - b) < _SAME_BYTES)
        for a, b in zip(one[:2], other[:2], strict=True)
    )


def nothing_of(id_: int) -> DiskQuota:
    """Give the record of an id that the kernel has none of."""
    return DiskQuota(id_, 0, 0)
