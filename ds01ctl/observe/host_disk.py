"""Read mounts, free space and energy counters. A network file system is never touched."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.host_facts import DiskFacts, RaplZone, Unread, Volume
from ds01ctl.observe import host_files, host_quota

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ds01ctl.paths import Paths

_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "9p", "autofs", "afs", "beegfs"}
)
_LIMITING = frozenset({"xfs", "ext4"})
_LOGS = ("/var/log", "/var/lib/ds01")


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo."""

    point: str
    source: str
    type: str
    options: tuple[str, ...]


def read(paths: Paths, quota_folders: Sequence[str]) -> DiskFacts:
    """Read the file systems of these folders, and of our own; the folders are the host's."""
    text = host_files.text(paths.proc / "self/mountinfo")
    if isinstance(text, Unread):
        return DiskFacts(text, _rapl(paths), None)
    mounts = parse(text)
    hidden = next((_hidepid(mount) for mount in mounts if mount.point == "/proc"), None)
    volumes = _volumes(mounts, quota_folders, paths)
    can_limit = any(one.wants_quota and one.type in _LIMITING for one in volumes)
    kernel = host_quota.kernel(paths) if can_limit else None
    return DiskFacts(volumes, _rapl(paths), hidden, kernel)


def parse(text: str) -> tuple[Mount, ...]:
    """Parse mountinfo (proc(5)); the options of the mount, then those of the file system."""
    found = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if dash and len(fields) > 5 and len(rest) > 2:
            options = [*fields[5].split(","), *rest[2].split(",")]
            mount = Mount(_unescaped(fields[4]), _unescaped(rest[1]), rest[0], tuple(options))
            found.append(mount)
    return tuple(found)


def _unescaped(text: str) -> str:
    """Undo the kernel's escapes: a blank is ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def holder(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """Find the mount that a path lies on: the longest one, and of several the last."""
    best: Mount | None = None
    for mount in mounts:
        above = mount.point.rstrip("/") + "/"
        if f"{path}/".startswith(above) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def _volumes(
    mounts: Sequence[Mount], quota_folders: Sequence[str], paths: Paths
) -> tuple[Volume, ...]:
    holds: dict[Mount, list[str]] = {}
    wanted: set[Mount] = set()
    for folder in dict.fromkeys((*quota_folders, *_LOGS)):
        mount = _mount_of(folder, mounts, paths)
        if mount is None:
            continue
        holds.setdefault(mount, []).append(folder)
        if folder in quota_folders:
            wanted.add(mount)
    fstab = host_files.line(paths.under("/etc/fstab")) or ""
    return tuple(
        _volume(mount, tuple(folders), fstab, paths, wants_quota=mount in wanted)
        for mount, folders in holds.items()
    )


def _mount_of(folder: str, mounts: Sequence[Mount], paths: Paths) -> Mount | None:
    """Find where a folder of the host lies, links followed; None where there is no such folder."""
    mount = holder(folder, mounts)
    if mount is None or is_remote(mount.type):
        # not even a look at it: its server may be gone
        return mount
    if not os.path.lexists(paths.under(folder)):
        return None
    real = os.path.realpath(folder) if str(paths.root) == "/" else folder
    return holder(real, mounts)


def is_remote(kind: str) -> bool:
    """Tell whether a server or a program answers for a file system, and may hang."""
    return kind in _REMOTE or kind.startswith("fuse")


def _volume(
    mount: Mount, holds: tuple[str, ...], fstab: str, paths: Paths, *, wants_quota: bool
) -> Volume:
    remote = is_remote(mount.type)
    space, inodes = (None, None) if remote else _free(paths.under(mount.point))
    volume = Volume(
        mount.point, mount.source, mount.type, mount.options, holds, wants_quota, remote,
        space, inodes, _line_of(fstab, mount.point),
    )  # fmt: skip
    return _with_quotas(volume, paths) if wants_quota and mount.type in _LIMITING else volume


def _with_quotas(volume: Volume, paths: Paths) -> Volume:
    """Add what is on, and what an ext4 is able to."""
    point, source = volume.mount, volume.source
    volume = volume._replace(quota=host_quota.states(point, source, paths))
    if volume.type != "ext4":
        return volume
    return volume._replace(
        ext4=host_quota.ext4_features(point, source, paths),
        quota_files=host_quota.quota_files(point, paths),
    )


def _free(point: Path) -> tuple[float | None, float | None]:
    """Measure free space and inodes, in percent, as one who is not root has them."""
    try:
        status = os.statvfs(point)
    except OSError:
        return None, None
    if not status.f_blocks:
        return None, None
    # what is kept for root counts neither as free nor as there
    there = status.f_blocks - status.f_bfree + status.f_bavail
    space = 100.0 * status.f_bavail / there if there else 0.0
    return space, 100.0 * status.f_favail / status.f_files if status.f_files else None


def _line_of(fstab: str, point: str) -> str | None:
    for line in fstab.splitlines():
        fields = line.split()
        if len(fields) >= 4 and not line.startswith("#") and _unescaped(fields[1]) == point:
            return " ".join(fields)
    return None


def _hidepid(mount: Mount) -> str | None:
    names = dict(option.partition("=")[::2] for option in mount.options)
    return names.get("hidepid")


# --- energy -------------------------------------------------------------------------------------


def _rapl(paths: Paths) -> tuple[RaplZone, ...]:
    """Read each counter once, zones and those inside them."""
    folder = paths.under("/sys/class/powercap")
    zones = [*host_files.matching(folder, "intel-rapl:*")]
    return tuple(found for zone in zones if (found := _zone(zone)))


def _zone(zone: Path) -> RaplZone | None:
    counter = zone / "energy_uj"
    status = host_files.fact(counter)
    if isinstance(status, Unread):
        return None
    name = host_files.line(zone / "name") or zone.name
    return RaplZone(name, str(counter), status.mode, host_files.line(counter) is not None)
