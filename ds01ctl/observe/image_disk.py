"""Measure the file system in which an engine keeps its images: that one, and no other.

The layers may lie on a disk of their own below the engine's folder; and with the containerd image
store they are containerd's, which has a folder of its own.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ds01ctl.core.image_model import DiskUse
from ds01ctl.core.model import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.paths import Paths

_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_CONTAINERD_ROOT = "/var/lib/containerd"
_CONTAINERD_CONFIG = "/etc/containerd/config.toml"
_OUTSIDE = frozenset({"devicemapper", "windowsfilter"})
"""Drivers whose images no file system tells of."""


def place(info: object, paths: Paths) -> tuple[str, ...]:
    """Name the folders in question, the innermost first; empty: the engine does not tell."""
    fields: dict[str, Any] = info if isinstance(info, dict) else {}
    root, driver = fields.get("DockerRootDir"), fields.get("Driver")
    if not isinstance(root, str) or not root.startswith("/") or driver in _OUTSIDE:
        return ()
    root = os.path.normpath(root)
    is_name = isinstance(driver, str) and re.fullmatch(r"(?a)[\w-]{1,64}", driver)
    if _is_containerds(fields):
        above = _containerd_root(fields, root, paths)
        return (f"{above}/{_SNAPSHOTTER}.{driver}", above) if is_name else (above,)
    # podman's store: the driver's name comes before
    below = (f"{root}/{driver}", f"{root}/storage/{driver}") if is_name else ()
    return (*below, root)


def measure(folders: tuple[str, ...], paths: Paths) -> DiskUse | Gap:
    """Measure the first folder that is there."""
    for folder in folders:
        try:
            told = os.statvfs(paths.under(folder))
        except FileNotFoundError:
            continue
        except PermissionError:
            return Gap("docker", "denied", f"{folder}: how full its disk is: permission denied")
        except OSError as error:
            return Gap("docker", "failed", f"{folder}: {error.strerror}")
        used = (told.f_blocks - told.f_bfree) * told.f_frsize
        return DiskUse(folder, used, told.f_bavail * told.f_frsize)
    named = folders[-1] if folders else "the engine does not tell where its images are"
    return Gap("docker", "failed", f"{named}: how full its disk is can't be read")


def _is_containerds(fields: dict[str, Any]) -> bool:
    status = fields.get("DriverStatus")
    pairs = status if isinstance(status, list) else []
    return any(isinstance(pair, list) and _SNAPSHOTTER in pair for pair in pairs)


def _containerd_root(fields: dict[str, Any], root: str, paths: Paths) -> str:
    """Find containerd's folder: dockerd's own containerd has it below dockerd's."""
    told = fields.get("Containerd")
    address = told.get("Address") if isinstance(told, dict) else None
    if isinstance(address, str) and "/docker/containerd/" in address:
        return f"{root}/containerd/daemon"
    return next(_configured(paths), _CONTAINERD_ROOT)


def _configured(paths: Paths) -> Iterator[str]:
    try:
        text = paths.under(_CONTAINERD_CONFIG).read_text(errors="replace")
    except OSError:
        return
    # a key of the file itself stands before the first table
    head = re.split(r"(?m)^\s*\[", text, maxsplit=1)[0]
    if found := re.search(r"""(?m)^\s*root\s*=\s*["'](/[^"'\n]*)["']""", head):
        yield os.path.normpath(found[1])
