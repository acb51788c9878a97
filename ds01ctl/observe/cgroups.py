"""Read control groups (v2) from the kernel: limits, use, and what was slowed down or killed.

A group may vanish while it is read (ENOENT, ENODEV): then it is not there, and nothing else.
Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from ds01ctl.core.drift import Group
from ds01ctl.core.usage import Usage, counters, pressure
from ds01ctl.errors import Ds01Error
from ds01ctl.observe.host_systemd import control_groups

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.paths import Paths

MOUNT = "/sys/fs/cgroup"
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENOTDIR}
_UNSUPPORTED = {
    "hybrid": "cgroup v1 and v2 side by side",
    "legacy": "cgroup v1",
}
_V2 = "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and reboot"
_RECLAIMABLE = ("active_file", "inactive_file", "slab_reclaimable")


def require_v2(paths: Paths) -> None:
    """Refuse a host whose limits cannot be what we would say they are. Raises Ds01Error."""
    found, _ = control_groups(paths)
    if isinstance(found, str) and found in _UNSUPPORTED:
        raise Ds01Error(f"{_UNSUPPORTED[found]}: not supported, nothing was done", _V2)
    if not isinstance(found, str):
        hint = "run it on the host itself, not in a container" if found.kind != "denied" else None
        raise Ds01Error(f"control groups cannot be read: {found.reason}", hint)


class Cgroups:
    """The control groups of one host."""

    def __init__(self, paths: Paths) -> None:
        self._root = str(paths.under(MOUNT))

    def group(self, path: str, files: Iterable[str]) -> Group | None:
        """Read some files of one group; None where there is no such group."""
        folder = _open(self._root + path)
        if folder is None:
            return None
        try:
            found = {name: text for name in files if (text := _text(name, folder)) is not None}
            events = _text("cgroup.events", folder)
            if events is None:
                # gone meanwhile
                return None
            inode = os.fstat(folder).st_ino
            return Group(path, inode, found, counters(events).get("populated") == 1)
        finally:
            os.close(folder)

    def in_use_bytes(self, path: str) -> int | None:
        """Read how much memory of a group could not be given back at once; None: not readable."""
        folder = _open(self._root + path)
        if folder is None:
            return None
        try:
            current, stat = _text("memory.current", folder), _text("memory.stat", folder)
        finally:
            os.close(folder)
        if current is None or not current.strip().isdecimal():
            return None
        said = counters(stat or "")
        return max(int(current) - sum(said.get(name, 0) for name in _RECLAIMABLE), 0)

    def usage(self, path: str, *, now: bool = True) -> Usage | None:
        """Read what was slowed down or killed in a group, and what it uses now if that is asked."""
        folder = _open(self._root + path)
        if folder is None:
            return None
        try:
            cpu = counters(_text("cpu.stat", folder) or "")
            memory = counters(_text("memory.events", folder) or "")
            return Usage(
                inode=os.fstat(folder).st_ino,
                cpu_us=cpu.get("usage_usec"),
                throttled_us=cpu.get("throttled_usec"),
                memory_bytes=_count("memory.current", folder) if now else None,
                swap_bytes=_count("memory.swap.current", folder) if now else None,
                tasks=_count("pids.current", folder) if now else None,
                oom_kills=memory.get("oom_kill"),
                forks_refused=_refused(folder),
                cpu_pressure=pressure(_text("cpu.pressure", folder)),
                memory_pressure=pressure(_text("memory.pressure", folder)),
                io_pressure=pressure(_text("io.pressure", folder)),
            )
        finally:
            os.close(folder)

    def slices(self, path: str) -> list[str]:
        """List the slices below one, as paths; a few levels, as a group's name may have dashes."""
        found: list[str] = []
        try:
            with os.scandir(self._root + path) as entries:
                names = sorted(one.name for one in entries if one.name.endswith(".slice"))
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise Ds01Error(f"{self._root}{path}: {error.strerror}") from None
        for name in names:
            below = f"{path.rstrip('/')}/{name}"
            found += [below, *self.slices(below)]
        return found


def _open(path: str, folder: int | None = None) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None


def _refused(folder: int) -> int | None:
    """Count refused forks in a group and all below it.

    Before Linux 6.11 they are counted where they were tried, not at the limit that refused.
    """
    text = _text("pids.events", folder)
    if text is None:
        return None
    found = counters(text).get("max", 0)
    for name in _below(folder):
        below = _open(name, folder)
        if below is None:
            continue
        try:
            found += _refused(below) or 0
        finally:
            os.close(below)
    return found


def _below(folder: int) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    # systemd's; what is below a delegated one is inside of it
    return [name for name in names if name.endswith((".scope", ".service", ".slice"))]


def _text(name: str, folder: int) -> str | None:
    """Read a file of a group; None: its controller is off, or the group is gone."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.read(fd, 65536).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)


def _count(name: str, folder: int) -> int | None:
    text = (_text(name, folder) or "").strip()
    return int(text) if text.isdecimal() else None
