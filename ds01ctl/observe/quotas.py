"""Read disk quotas from the kernel: of each file system once, whatever folders lie on it.

A network file system, or one that a program answers for, is never touched. Where quotas are not on,
the accounting says so in words; a Gap is only what could not be read.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import KINDS, Accounting, DiskQuota, QuotaFileSystem, QuotaKind
from ds01ctl.core.host_facts import Unread
from ds01ctl.core.model import Gap
from ds01ctl.core.quota_off import why_not_enforced, why_off, why_remote
from ds01ctl.observe import host_files
from ds01ctl.observe.host_disk import Mount, is_remote, parse
from ds01ctl.observe.mount_points import is_unmounted, mount_of
from ds01ctl.quotactl import NEITHER, Handle, QuotaError, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ds01ctl.core.model import GapKind
    from ds01ctl.paths import Paths

SOURCE = "quotas"
_DENIED = {errno.EPERM, errno.EACCES}


class QuotasReading(NamedTuple):
    """What was read, and what could not be."""

    file_systems: tuple[QuotaFileSystem, ...]
    """In the order in which the folders first named them."""
    gaps: tuple[Gap, ...]


def read(
    paths: Paths, folders: Iterable[str], *, kinds: Collection[QuotaKind] = KINDS
) -> QuotasReading:
    """Read usage, limits and graces on every file system that these folders of the host lie on.

    Who is not root is told their own use only, and a gap of the rest.
    """
    text = host_files.text(paths.proc / "self/mountinfo")
    if isinstance(text, Unread):
        return QuotasReading((), (Gap(SOURCE, text.kind, text.reason),))
    gaps: list[Gap] = []
    found = [
        _file_system(mount, tuple(holds), kinds, paths, gaps)
        for mount, holds in _holds(parse(text), folders, paths, gaps)
    ]
    return QuotasReading(tuple(one for one in found if one is not None), tuple(gaps))


def _holds(
    mounts: tuple[Mount, ...], folders: Iterable[str], paths: Paths, gaps: list[Gap]
) -> Iterable[tuple[Mount, list[str]]]:
    """Sort the folders by file system; one that is mounted in several places is one."""
    found: dict[str, tuple[Mount, list[str]]] = {}
    points = {mount.point for mount in mounts}
    for folder in dict.fromkeys(folders):
        if is_unmounted(folder, paths, points):
            # what is below the mount point now is another file system
            reason = f"{folder}: its file system is in /etc/fstab, and not mounted now"
            gaps.append(Gap(SOURCE, "failed", reason))
            continue
        mount = mount_of(folder, mounts, paths)
        if mount is None:
            gaps.append(Gap(SOURCE, "absent", f"{folder}: no such folder"))
            continue
        key = mount.source if mount.source.startswith("/dev/") else mount.point
        found.setdefault(key, (mount, []))[1].append(folder)
    return found.values()


def _file_system(
    mount: Mount,
    holds: tuple[str, ...],
    kinds: Collection[QuotaKind],
    paths: Paths,
    gaps: list[Gap],
) -> QuotaFileSystem | None:
    if is_remote(mount.type):
        off = Accounting(is_on=False, reason=why_remote(mount.type))
        return QuotaFileSystem(
            mount.point, mount.source, mount.type, holds, dict.fromkeys(kinds, off),
            dict.fromkeys(kinds, ()),
        )  # fmt: skip
    try:
        with quotactl.opened(paths.under(mount.point), mount.source) as handle:
            return _read(handle, mount, holds, kinds, gaps)
    except QuotaError as error:
        gaps.append(_gap(error))
    except OSError as error:
        gaps.append(Gap(SOURCE, "failed", f"{mount.point}: {error.strerror}"))
    return None


def _read(
    handle: Handle,
    mount: Mount,
    holds: tuple[str, ...],
    kinds: Collection[QuotaKind],
    gaps: list[Gap],
) -> QuotaFileSystem:
    states = quotactl.get_state(handle)
    accounting: dict[QuotaKind, Accounting] = {}
    records: dict[QuotaKind, tuple[DiskQuota, ...]] = {}
    for kind in kinds:
        told = _accounting(handle, mount, kind, states)
        records[kind], gap = _records(handle, kind) if told.is_on else ((), None)
        gaps += [gap] if gap else []
        accounting[kind] = told._replace(is_complete=gap is None)
    space = os.fstatvfs(handle.fd)
    return QuotaFileSystem(
        mount.point, mount.source, mount.type, holds, accounting, records,
        space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize, space.f_favail,
        quotactl.block_bytes(handle),
    )  # fmt: skip


def _accounting(
    handle: Handle, mount: Mount, kind: QuotaKind, states: Mapping[QuotaKind, State]
) -> Accounting:
    state = states.get(kind, NEITHER)
    if not state.is_on:
        others = any(one.is_on for one in states.values())
        point, source, type_, options = mount
        off = why_off(kind, type_, point, source, options, others=others)
        return Accounting(is_on=False, reason=off)
    grace = quotactl.get_info(handle, kind)
    reason = None if state.is_enforced else why_not_enforced(kind, mount.type, mount.point)
    return Accounting(
        is_on=True, is_enforced=state.is_enforced, reason=reason, bytes_grace_s=grace.bytes_s,
        inodes_grace_s=grace.inodes_s,
    )  # fmt: skip


def _records(handle: Handle, kind: QuotaKind) -> tuple[tuple[DiskQuota, ...], Gap | None]:
    """Read all ids; only one's own where the rest is not permitted."""
    try:
        return tuple(quotactl.all_quotas(handle, kind)), None
    except QuotaError as error:
        gap = _gap(error, f" (quotas of {kind}s)")
        if error.number not in _DENIED or kind != "user":
            return (), gap
    return (quotactl.get_quota(handle, kind, os.getuid()),), gap


def _gap(error: QuotaError, more: str = "") -> Gap:
    kinds: dict[int, GapKind] = {errno.ENOENT: "absent", **dict.fromkeys(_DENIED, "denied")}
    return Gap(SOURCE, kinds.get(error.number, "failed"), error.message + more)
