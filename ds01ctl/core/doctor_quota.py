"""Judge what disk quotas need: the kernel, the features of ext4, and how it is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.disk_quota import KINDS
from ds01ctl.core.doctor_quota_ways import (
    COUNTING,
    FEATURES,
    KERNEL,
    OPTIONS,
    TRACKS,
    line,
    names_of,
    tune,
    way_on,
    way_to_hold,
)
from ds01ctl.core.doctor_row import absent, fine, unknown, warning, words
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ds01ctl.core.disk_quota import QuotaKind
    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import Ext4Features, KernelQuotas, QuotaState, Volume

_AREA = "disk"
_OF_OTHERS = frozenset({"usrquota", "usrjquota", "grpquota", "prjquota", "quota"})
_OTHERS = {
    "btrfs": "btrfs: limits are qgroups, not quotas",
    "zfs": "zfs: limits are properties (zfs set userquota@…)",
    "nfs": "nfs: quotas are set on the server",
    "nfs4": "nfs: quotas are set on the server",
}
_COST: dict[QuotaKind, str] = {
    "user": "one user can fill it for all, and no limit on disk space is held",
    "project": "folders and volumes cannot be given a limit",
}
_NEEDS = {"xfs": ("CONFIG_XFS_QUOTA",), "ext4": ("CONFIG_QUOTA", "CONFIG_QFMT_V2")}
_MODULE, _OF_MODULE = "quota_v2", "CONFIG_QFMT_V2"
# a project id does not fit into the inodes of small and old file systems
_LEAST_INODE_BYTES = 256


def rows(volumes: Iterable[Volume], kernel: KernelQuotas | None) -> Iterator[Row]:
    """Make the rows of the file systems that should limit, and one of the kernel."""
    wanting = [volume for volume in volumes if volume.wants_quota]
    lacking = _lacking(kernel, wanting) if kernel else ()
    if kernel and any(volume.type in OPTIONS for volume in wanting):
        yield _of_kernel(kernel, lacking)
    for volume in wanting:
        yield from _of_volume(volume, kernel_is_fit=not lacking or isinstance(lacking, Unread))


# --- the kernel -------------------------------------------------------------------------------


def _lacking(kernel: KernelQuotas, wanting: Sequence[Volume]) -> tuple[str, ...] | Unread:
    """Find what the kernel lacks for types of which nothing is on yet: what is on proves it."""
    ours = [one for one in wanting if one.type in _NEEDS]
    types = {one.type for one in ours}
    proven = {one.type for one in ours if "held" in states(one).values()}
    needed = dict.fromkeys(option for one in sorted(types - proven) for option in _NEEDS[one])
    has_module = not isinstance(kernel.modules, Unread) and _MODULE in kernel.modules
    if has_module:
        # it is there, so it and what it needs were built
        needed = {name: None for name in needed if name not in _NEEDS["ext4"]}
    if isinstance(kernel.options, Unread):
        return kernel.options if needed else ()
    options = kernel.options
    missing = [name for name in needed if options.get(name) not in {"y", "m"}]
    is_listed = not isinstance(kernel.modules, Unread)
    if _OF_MODULE in needed and options.get(_OF_MODULE) == "m" and is_listed:
        missing.append(_MODULE)
    return tuple(missing)


def _of_kernel(kernel: KernelQuotas, lacking: tuple[str, ...] | Unread) -> Row:
    if isinstance(lacking, Unread):
        way = "look for CONFIG_XFS_QUOTA and CONFIG_QFMT_V2 in the configuration of the kernel"
        return unknown(_AREA, KERNEL, lacking, way)
    if not lacking:
        return fine(_AREA, KERNEL, f"there ({kernel.release})")
    found = f"{kernel.release} lacks {', '.join(lacking)}"
    cost = "no limit can be turned on, and a file system that asks for quotas mounts no more"
    if lacking == (_MODULE,):
        package = words(f"linux-modules-extra-{kernel.release}")
        fix = f"apt-get install {package} (Ubuntu), then modprobe {_MODULE}"
        return warning(_AREA, KERNEL, found, cost, fix)
    fix = "apt-get install linux-generic (Debian: linux-image-amd64), whose kernel has it; reboot"
    return warning(_AREA, KERNEL, found, cost, fix, reboot=True)


# --- a file system ----------------------------------------------------------------------------


def _of_volume(volume: Volume, *, kernel_is_fit: bool) -> Iterator[Row]:
    if volume.type not in OPTIONS:
        yield _of_other_type(volume)
        return
    now = states(volume)
    yield _overall(volume, now, kernel_is_fit=kernel_is_fit)
    if set(now.values()) != {"off"}:
        for kind in KINDS:
            yield from _of_kind(volume, kind, now[kind], kernel_is_fit=kernel_is_fit)
    if volume.ext4 is not None:
        yield from _features(volume, volume.ext4, now)
    if volume.quota_files:
        yield _old_files(volume)


def states(volume: Volume) -> dict[QuotaKind, QuotaState]:
    """Tell of each kind whether it is on, of XFS and ext4: as the kernel, or the mount, says."""
    told = volume.quota or {}
    return {kind: told.get(kind) or _by_options(volume, kind) for kind in KINDS}


def _by_options(volume: Volume, kind: QuotaKind) -> QuotaState:
    names = names_of(volume.options)
    if names.intersection(OPTIONS[volume.type][kind]):
        return "held"
    is_counted = volume.type == "xfs" and names.intersection(COUNTING[kind])
    return "counted" if is_counted or _is_tracked(volume, kind) else "off"


def _is_tracked(volume: Volume, kind: QuotaKind) -> bool:
    if volume.ext4 is None or isinstance(volume.ext4, Unread):
        return False
    return not _missing(volume.ext4, (kind,))


def _of_other_type(volume: Volume) -> Row:
    check = f"quotas on {volume.mount}"
    holds = ", ".join(volume.holds)
    if used := sorted(_OF_OTHERS.intersection(names_of(volume.options))):
        return fine(_AREA, check, f"{volume.type} with {','.join(used)} (holds {holds})")
    told = _OTHERS.get(volume.type, f"{volume.type}: has no quotas that ds01ctl sets")
    return absent(_AREA, check, f"{told} (holds {holds})")


def _overall(volume: Volume, now: dict[QuotaKind, QuotaState], *, kernel_is_fit: bool) -> Row:
    check, holds = f"quotas on {volume.mount}", ", ".join(volume.holds)
    if set(now.values()) == {"off"}:
        fix, reboot = way_on(volume, KINDS, kernel_is_fit=kernel_is_fit)
        return warning(
            _AREA, check, f"{volume.type} without quotas (holds {holds})", _COST["user"], fix,
            reboot=reboot,
        )  # fmt: skip
    every = {name for kind in KINDS for name in (*OPTIONS[volume.type][kind], *COUNTING[kind])}
    used = sorted(every.intersection(names_of(volume.options))) or ["its quota feature"]
    return fine(_AREA, check, f"{volume.type} with {','.join(used)} (holds {holds})")


def _of_kind(
    volume: Volume, kind: QuotaKind, state: QuotaState, *, kernel_is_fit: bool
) -> Iterator[Row]:
    check = f"{kind} quotas on {volume.mount}"
    if state == "off":
        fix, reboot = way_on(volume, (kind,), kernel_is_fit=kernel_is_fit)
        yield warning(_AREA, check, "off", _COST[kind], fix, reboot=reboot)
    elif state == "counted":
        cost = "limits are accepted, and hold nobody"
        yield warning(_AREA, check, "counted, not enforced", cost, way_to_hold(volume, kind))
    elif volume.type == "ext4" and not _lasts(volume, kind):
        cost = "after the next boot limits are counted only, and hold nobody"
        yield warning(_AREA, check, "on, until it is unmounted", cost, line(volume, (kind,)))


def _lasts(volume: Volume, kind: QuotaKind) -> bool:
    """Tell whether a mount turns it on: its own, or the next by the line of /etc/fstab."""
    fields = (volume.fstab or "").split()
    written = fields[3].split(",") if len(fields) > 3 else []
    return bool(names_of((*volume.options, *written)).intersection(OPTIONS[volume.type][kind]))


# --- ext4 -------------------------------------------------------------------------------------


def _missing(ext4: Ext4Features, kinds: Sequence[QuotaKind]) -> list[str]:
    needed = [name for kind in kinds for name in (*FEATURES[kind], TRACKS[kind])]
    return [name for name in dict.fromkeys(needed) if name not in ext4.names]


def _features(
    volume: Volume, ext4: Ext4Features | Unread, now: dict[QuotaKind, QuotaState]
) -> Iterator[Row]:
    check = f"ext4 features on {volume.mount}"
    if isinstance(ext4, Unread):
        # what is on proves them
        if set(now.values()) != {"held"}:
            yield unknown(_AREA, check, ext4)
        return
    missing = _missing(ext4, KINDS)
    if not missing:
        yield fine(_AREA, check, "quota, project")
        return
    found = f"without {', '.join(missing)}"
    cost = "nothing is counted without them, and a mount with prjquota fails"
    if ext4.inode_bytes < _LEAST_INODE_BYTES and "project" in missing:
        fix = (
            f"copy all away and make it anew: mke2fs -t ext4 -I {_LEAST_INODE_BYTES}"
            f" -O quota,project {words(volume.source)}"
        )
        found += f"; inodes of {ext4.inode_bytes} bytes have no room for a project id"
        yield warning(_AREA, check, found, cost, fix)
        return
    is_root, mount = volume.mount == "/", words(volume.mount)
    add = tune(volume, KINDS)
    live = f"umount {mount} && {add} && mount {mount}"
    fix = f"from a rescue system: {add}" if is_root else live
    yield warning(_AREA, check, found, cost, fix, reboot=is_root)


def _old_files(volume: Volume) -> Row:
    """Tell of quota files beside the data: quotaon itself calls them deprecated."""
    paths = words(*(f"{volume.mount.rstrip('/')}/{name}" for name in volume.quota_files))
    first = ""
    if not _is_tracked(volume, "user"):
        first = f"quotaoff -ug {words(volume.mount)}; the ext4 features instead of them; then "
    return warning(
        _AREA, f"old quota files on {volume.mount}", ", ".join(volume.quota_files),
        "deprecated: after a crash they are wrong until a quotacheck has read every inode",
        f"{first}rm {paths}",
    )  # fmt: skip
