"""Read for `doctor` what disk quotas need: of the kernel, of ext4, and what is on already."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import KINDS
from ds01ctl.core.host_facts import Ext4Features, KernelQuotas, Unread
from ds01ctl.observe import host_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ds01ctl.core.disk_quota import QuotaKind
    from ds01ctl.core.host_facts import QuotaState
    from ds01ctl.paths import Paths

_OPTION = r"(?m)^(CONFIG_(?:QUOTA|QFMT_V2|XFS_QUOTA))=([ym])$"
_MODULE = r"(?m)^(?:[^\s:]*/)?(quota_v2|quota_tree)(?:\.ko|[ \t])"
_MOST = 4 << 20
_OLD_FILES = ("aquota.user", "aquota.group", "quota.user", "quota.group")
# struct ext4_super_block, fs/ext4/ext4.h
_SUPERBLOCK_AT, _SUPERBLOCK_BYTES = 1024, 1024
_MAGIC_AT, _MAGIC = 0x38, 0xEF53
_INODE_SIZE_AT, _RO_COMPAT_AT = 0x58, 0x64
_FEATURES = {"quota": 0x100, "project": 0x2000}
_TRACKED_AT = {"usrquota": 0x240, "grpquota": 0x244, "prjquota": 0x26C}
"""The inodes of the hidden files that quotas are kept in; 0: not kept."""


# --- the kernel -------------------------------------------------------------------------------


def kernel(paths: Paths, release: str | None = None) -> KernelQuotas:
    """Find out what the running kernel was built with, and which of its modules are there."""
    release = release or os.uname().release
    return KernelQuotas(release, _options(paths, release), _modules(paths, release))


def _options(paths: Paths, release: str) -> Mapping[str, str] | Unread:
    text = _config(paths, release)
    return text if isinstance(text, Unread) else dict(re.findall(_OPTION, text))


def _config(paths: Paths, release: str) -> str | Unread:
    """Read the kernel's configuration: its own copy, or what its package put down."""
    import gzip
    import zlib

    packed = paths.proc / "config.gz"
    with suppress(OSError, EOFError, zlib.error), gzip.open(packed) as file:
        return file.read(_MOST).decode("ascii", "replace")
    places = [paths.under(f"/boot/config-{release}"), paths.under(f"/lib/modules/{release}/config")]
    found = [host_files.text(place) for place in places]
    texts = [text for text in found if isinstance(text, str)]
    if texts:
        return texts[0]
    denied = [one for one in found if isinstance(one, Unread) and one.kind == "denied"]
    reason = f"the kernel's configuration is neither {packed} nor {places[0]}"
    return denied[0] if denied else Unread("absent", reason)


def _modules(paths: Paths, release: str) -> frozenset[str] | Unread:
    """List quota modules: built in, on the disk, or loaded from an initial one."""
    folder = paths.under(f"/lib/modules/{release}")
    on_disk = host_files.text(folder / "modules.dep", _MOST)
    others = (
        host_files.text(folder / "modules.builtin", _MOST),
        host_files.text(paths.proc / "modules"),
    )
    names = {
        name
        for text in (on_disk, *others)
        if isinstance(text, str)
        for name in re.findall(_MODULE, text)
    }
    return on_disk if isinstance(on_disk, Unread) and not names else frozenset(names)


# --- a file system ----------------------------------------------------------------------------


def states(point: str, source: str, paths: Paths) -> dict[QuotaKind, QuotaState] | None:
    """Ask the kernel what is on; anybody may. None where it does not say, or for a moved root."""
    if str(paths.root) != "/":
        # what lies there is on another file system
        return None
    try:
        with quotactl.opened(point, source) as handle:
            told = quotactl.get_state(handle)
    except quotactl.QuotaError:
        return None
    return {kind: _word(told.get(kind, quotactl.NEITHER)) for kind in KINDS}


def _word(state: quotactl.State) -> QuotaState:
    if not state.is_on:
        return "off"
    return "held" if state.is_enforced else "counted"


def ext4_features(point: str, source: str, paths: Paths) -> Ext4Features | Unread:
    """Read the superblock of a mounted ext4 from its device, which is root's to read."""
    device = _device(point, source, paths)
    try:
        with device.open("rb", buffering=0) as file:
            file.seek(_SUPERBLOCK_AT)
            block = file.read(_SUPERBLOCK_BYTES)
    except OSError as error:
        why = host_files.unread(device, error)
        # that root may not is no matter of who asks: a container, or a unit, keeps devices away
        return why._replace(kind="failed") if os.geteuid() == 0 and why.kind == "denied" else why
    if len(block) < _SUPERBLOCK_BYTES or _number(block, _MAGIC_AT, 2) != _MAGIC:
        return Unread("failed", f"{device}: has no superblock of ext4")
    flags = _number(block, _RO_COMPAT_AT, 4)
    names = {name for name, flag in _FEATURES.items() if flags & flag}
    if "quota" in names:
        names |= {name for name, at in _TRACKED_AT.items() if _number(block, at, 4)}
    return Ext4Features(frozenset(names), _number(block, _INODE_SIZE_AT, 2))


def _device(point: str, source: str, paths: Paths) -> Path:
    """Find the node: a root file system may be mounted from /dev/root, which is nowhere."""
    device = paths.under(source)
    if device.exists() or str(paths.root) != "/":
        return device
    try:
        number = paths.under(point).stat().st_dev
        link = (paths.root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}").readlink()
    except OSError:
        return device
    return paths.dev / link.name


def _number(block: bytes, at: int, size: int) -> int:
    return int.from_bytes(block[at : at + size], "little")


def quota_files(point: str, paths: Paths) -> tuple[str, ...]:
    """List quota files of old in the topmost folder."""
    top = paths.under(point)
    return tuple(name for name in _OLD_FILES if os.path.lexists(top / name))
