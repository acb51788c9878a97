"""Say why quotas of a kind are not on, or do not limit, and what would turn them on.

Source: xfs_quota(8), xfs(5), ext4(5), tune2fs(8), quotaon(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from ds01ctl.core.disk_quota import QuotaKind

_XFS_OPTION = {"user": "uquota", "group": "gquota", "project": "pquota"}
_EXT4_OPTION = {"user": "usrquota", "group": "grpquota", "project": "prjquota"}
_EXT4_FEATURES = {"user": "quota", "group": "quota", "project": "quota,project"}
_LETTERS = {"user": "u", "group": "g", "project": "P"}
_OLD_FILES = ("usrquota", "usrjquota", "quota")
_WORDS = {
    "btrfs": "btrfs limits subvolumes, not users: give each user one, and see btrfs qgroup limit",
    "zfs": "ZFS has its own: zfs set userquota@USER=SIZE DATASET, or projectquota@ID=SIZE",
    "tmpfs": "tmpfs is memory, mounted without quotas: limit it as a whole with size= when mounted",
    "ramfs": "ramfs is memory, and has no quotas",
    "overlay": "overlay has no quotas: they are those of the file system its upper folder lies on",
    "autofs": "nothing is mounted there yet (autofs), and it is not touched",
}


def why_remote(type_: str) -> str:
    """Say why a file system that a server or a program answers for is left alone."""
    if type_ == "autofs":
        return _WORDS["autofs"]
    if type_.startswith("fuse"):
        return f"{type_}: a program answers for it, which has to set limits itself"
    return f"{type_}: quotas are set on the server"


def why_off(
    kind: QuotaKind, type_: str, mount: str, source: str, options: Collection[str], *, others: bool
) -> str:
    """Say why ids of this kind are not counted; others: whether those of another kind are."""
    if type_ == "xfs":
        return _xfs(_XFS_OPTION[kind], mount)
    if type_ in {"ext4", "ext3", "ext2"}:
        return _ext4(kind, type_, mount, source, options, others=others)
    return _WORDS.get(type_, f"{type_} has no quotas that ds01ctl knows")


def why_not_enforced(kind: QuotaKind, type_: str, mount: str) -> str:
    """Say why ids are counted, but their limits do not hold."""
    if type_ == "xfs":
        option = _XFS_OPTION[kind]
        short = option.replace("uota", "noenforce")
        return f"counted only: mounted with {short}; {_xfs_way(option, mount)}"
    option = _EXT4_OPTION[kind]
    now = f"quotaon -{_LETTERS[kind]} {mount}"
    return f"counted only: mounted without {option}; now: {now}; later: {option} in /etc/fstab"


def _xfs(option: str, mount: str) -> str:
    return f"XFS is mounted without {option}: {_xfs_way(option, mount)}"


def _xfs_way(option: str, mount: str) -> str:
    if mount == "/":
        return f"add rootflags={option} to the kernel's command line and reboot"
    return f"add {option} in /etc/fstab, then umount and mount it; a remount does not do it"


def _ext4(
    kind: QuotaKind, type_: str, mount: str, source: str, options: Collection[str], *, others: bool
) -> str:
    option = _EXT4_OPTION[kind]
    way = "from a rescue system" if mount == "/" else "unmounted"
    fix = f"{way}: tune2fs -O {_EXT4_FEATURES[kind]} -Q {option} {source}"
    if others:
        return f"{type_} has the quota feature, but not for {kind}s; {fix}"
    names = {one.partition("=")[0] for one in options}
    if kind == "user" and names.intersection(_OLD_FILES):
        on = f"quotacheck -cum {mount} && quotaon -u {mount}"
        return f"mounted for quota files, which are not on: {on}; better the quota feature, {fix}"
    return f"{type_} was made without the quota feature; {fix}"
