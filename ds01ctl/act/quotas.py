"""Set disk limits, graces and deadlines in the kernel: only what differs, and only as looked at.

Of bytes a file system keeps whole blocks, so limits are rounded up to them before they are compared
or written. ext4 begins a running grace anew whenever limits are set, even the same ones; here a
deadline stays on both, until the id is below its soft limit again.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import in_blocks
from ds01ctl.core.quota import held_back
from ds01ctl.errors import Ds01Error
from ds01ctl.quotactl import Grace, Handle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.core.disk_quota import DiskQuota, Limits, QuotaKind

_TIMER_STEP_S = 4
"""XFS keeps deadlines in steps of so much, rounded up."""
_LOOK_AGAIN = "look again: ds01ctl quota plan"


class Held(NamedTuple):
    """A file system that is held open, for many changes."""

    handle: Handle
    block_bytes: int
    proven: set[Limits]
    """Those that were read back once; what is kept of limits depends on nothing else."""


class _Changed(TypedDict, total=False):
    byte_limits: tuple[int, int]
    inode_limits: tuple[int, int]
    bytes_grace_end: int
    inodes_grace_end: int


@contextmanager
def held(mount: str | Path, source: str) -> Iterator[Held]:
    """Open a file system, and see that it is the one of this device. Raises Ds01Error."""
    with quotactl.opened(mount, source) as handle:
        if not _is_of(handle.fd, source):
            what = f"{mount}: it is not {source} that is mounted there any more"
            raise Ds01Error(what, _LOOK_AGAIN)
        yield Held(handle, quotactl.block_bytes(handle), set())


def set_limits(
    mount: str | Path,
    source: str,
    kind: QuotaKind,
    id_: int,
    limits: Limits,
    *,
    expected: Limits | None,
) -> bool:
    """Set an id's limits; for many on one file system see held. Raises Ds01Error."""
    with held(mount, source) as fs:
        return put_limits(fs, kind, id_, limits, expected=expected)


def put_limits(
    fs: Held,
    kind: QuotaKind,
    id_: int,
    limits: Limits,
    *,
    expected: Limits | None,
    spare: bool = False,
) -> bool:
    """Set an id's limits; False where they were so already, and nothing was written.

    Raises Ds01Error where they are neither so nor as expected (None: whatever they are), and where
    the kernel refuses them or keeps something else; with spare, also where more is in use by now
    than a hard limit that is lowered: every write would fail.
    """
    wanted = in_blocks(limits, fs.block_bytes)
    # XFS drops such a pair without a word
    if _is_upside_down(wanted):
        raise _refused(fs, kind, id_, "the soft limit is above the hard one")
    before = quotactl.get_quota(fs.handle, kind, id_)
    if before.limits == wanted:
        return False
    if expected is not None and before.limits != expected:
        what = "its limits were changed by someone else meanwhile"
        raise _refused(fs, kind, id_, what, _LOOK_AGAIN)
    if spare and held_back(wanted, before) != wanted:
        raise _refused(fs, kind, id_, "more is in use by now than the hard limit", _LOOK_AGAIN)
    quotactl.set_quota(fs.handle, kind, id_, **_changed(before, wanted))
    if wanted not in fs.proven:
        kept = quotactl.get_quota(fs.handle, kind, id_).limits
        if kept != wanted:
            what = f"set {tuple(wanted)}, but the kernel has {tuple(kept)}"
            raise _refused(fs, kind, id_, what)
        fs.proven.add(wanted)
    return True


def _refused(fs: Held, kind: QuotaKind, id_: int, what: str, hint: str | None = None) -> Ds01Error:
    return Ds01Error(f"{fs.handle.mount}: {kind} {id_}: {what}", hint)


def set_grace(
    mount: str | Path,
    source: str,
    kind: QuotaKind,
    *,
    bytes_s: int | None = None,
    inodes_s: int | None = None,
) -> bool:
    """Set how long the graces are; None: as it is. False where all was so. Raises Ds01Error."""
    with held(mount, source) as fs:
        before = quotactl.get_info(fs.handle, kind)
        wanted = Grace(
            before.bytes_s if bytes_s is None else bytes_s,
            before.inodes_s if inodes_s is None else inodes_s,
        )
        if before == wanted:
            return False
        quotactl.set_info(fs.handle, kind, bytes_s=bytes_s, inodes_s=inodes_s)
        kept = quotactl.get_info(fs.handle, kind)
    if kept != wanted:
        what = f"{mount}: grace of {kind} quotas set to {tuple(wanted)} s"
        raise Ds01Error(f"{what}, but the kernel has {tuple(kept)}")
    return True


def set_grace_end(
    mount: str | Path,
    source: str,
    kind: QuotaKind,
    id_: int,
    *,
    bytes_end: int | None = None,
    inodes_end: int | None = None,
) -> bool:
    """Move the deadline of an id that is over a soft limit; epoch seconds, None: as it is.

    False where all was so. Raises Ds01Error, also where no grace runs.
    """
    with held(mount, source) as fs:
        before = quotactl.get_quota(fs.handle, kind, id_)
        _check_over(f"{mount}: {kind} {id_}", before, bytes_end, inodes_end)
        if _ends(before, bytes_end, inodes_end):
            return False
        quotactl.set_quota(
            fs.handle, kind, id_, bytes_grace_end=bytes_end, inodes_grace_end=inodes_end
        )
        after = quotactl.get_quota(fs.handle, kind, id_)
    if not _ends(after, bytes_end, inodes_end):
        kept = (after.bytes_grace_end, after.inodes_grace_end)
        raise Ds01Error(f"{mount}: {kind} {id_}: the kernel has other deadlines: {kept}")
    return True


def _is_of(fd: int, source: str) -> bool:
    """Tell whether a path lies on this device; True where the source is no device to ask about."""
    try:
        device = os.stat(source)  # noqa: PTH116 - beside the fstat below
    except OSError:
        return True
    return not stat.S_ISBLK(device.st_mode) or device.st_rdev == os.fstat(fd).st_dev


def _is_upside_down(limits: Limits) -> bool:
    soft, hard, soft_inodes, hard_inodes = limits
    return 0 < hard < soft or 0 < hard_inodes < soft_inodes


def _changed(before: DiskQuota, wanted: Limits) -> _Changed:
    """Gather what differs; with limits goes their timer, or ext4 would begin it anew."""
    fields: _Changed = {}
    if before.limits[:2] != wanted[:2]:
        fields["byte_limits"] = wanted.soft_bytes, wanted.hard_bytes
        if before.bytes_grace_end:
            fields["bytes_grace_end"] = before.bytes_grace_end
    if before.limits[2:] != wanted[2:]:
        fields["inode_limits"] = wanted.soft_inodes, wanted.hard_inodes
        if before.inodes_grace_end:
            fields["inodes_grace_end"] = before.inodes_grace_end
    return fields


def _check_over(who: str, quota: DiskQuota, bytes_end: int | None, inodes_end: int | None) -> None:
    limits = quota.limits
    over_bytes = 0 < limits.soft_bytes < quota.used_bytes
    over_inodes = 0 < limits.soft_inodes < quota.used_inodes
    if (bytes_end is not None and not over_bytes) or (inodes_end is not None and not over_inodes):
        raise Ds01Error(f"{who}: is not over its soft limit, so no grace runs")


def _ends(quota: DiskQuota, bytes_end: int | None, inodes_end: int | None) -> bool:
    pairs = ((bytes_end, quota.bytes_grace_end), (inodes_end, quota.inodes_grace_end))
    return all(end is None or abs(end - now) < _TIMER_STEP_S for end, now in pairs)
