"""Disk quotas as the kernel has them: one record an id, kind and file system.

Sizes are bytes and inodes are counts; of a limit, 0 is "none", as in quotactl(2). Past its soft
limit an id may go on writing until its grace is over; then the soft limit holds like the hard one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

QuotaKind = Literal["user", "group", "project"]
KINDS: tuple[QuotaKind, ...] = ("user", "project")
"""What ds01ctl limits and reports."""
ALL_KINDS: tuple[QuotaKind, ...] = ("user", "group", "project")
"""What the kernel limits: limits of groups are dumped and restored, too."""


class Limits(NamedTuple):
    """What an id may use of one file system; 0: as much as there is."""

    soft_bytes: int = 0
    hard_bytes: int = 0
    soft_inodes: int = 0
    hard_inodes: int = 0


NO_LIMITS = Limits()


class DiskQuota(NamedTuple):
    """What an id uses of one file system, and its limits."""

    id: int
    used_bytes: int
    used_inodes: int
    limits: Limits = NO_LIMITS
    bytes_grace_end: int = 0
    """Epoch seconds at which the soft limit of bytes begins to hold; 0: no timer runs."""
    inodes_grace_end: int = 0


class Accounting(NamedTuple):
    """Whether the kernel counts and limits ids of one kind on one file system."""

    is_on: bool
    """Usage is counted."""
    is_enforced: bool = False
    """Limits hold."""
    reason: str | None = None
    """Why it is not on, or not enforced, in words for an admin; None where it is both."""
    bytes_grace_s: int | None = None
    """Seconds from the soft limit's crossing until it holds; None: not known."""
    inodes_grace_s: int | None = None
    is_complete: bool = True
    """False: not every id could be read, so nothing may be concluded from one that is missing."""


class QuotaFileSystem(NamedTuple):
    """A file system that quotas were looked for on, and what the kernel told."""

    mount: str
    """Where it is mounted: a path of the host."""
    source: str
    """Its device, such as /dev/sda1."""
    type: str
    """xfs, ext4, or one that has no quotas of this kind."""
    holds: tuple[str, ...]
    """The folders that were asked about and lie on it, in the order asked."""
    accounting: Mapping[QuotaKind, Accounting]
    records: Mapping[QuotaKind, tuple[DiskQuota, ...]]
    """By rising id, those of every id that uses something or has a limit."""
    size_bytes: int | None = None
    free_bytes: int | None = None
    """As one who is not root has it."""
    free_inodes: int | None = None
    block_bytes: int = 4096
    """Limits of bytes are kept in whole blocks of this size; see in_blocks."""


@lru_cache(maxsize=1024)
def limits_row(limits: Limits) -> dict[str, int]:
    """Give limits as JSON has them; thousands of rows share one, which is not to be changed."""
    return limits._asdict()


@lru_cache(maxsize=1024)
def in_blocks(limits: Limits, block_bytes: int) -> Limits:
    """Round limits up to what the file system can keep: compare these with what it has."""
    soft, hard = (-(-size // block_bytes) * block_bytes for size in limits[:2])
    return limits._replace(soft_bytes=soft, hard_bytes=hard)
