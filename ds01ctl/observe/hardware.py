"""Read what this machine has that limits are about: CPUs, memory, block devices."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ds01ctl.core.homes import Device, Hardware, cpu_set
from ds01ctl.core.usage import counters
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import host_files
from ds01ctl.observe.mount_points import is_unmounted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ds01ctl.paths import Paths

_DEEPEST = 8
"""Devices below devices."""


def read(paths: Paths, device_paths: Iterable[str], *, weights: bool) -> Hardware:
    """Read it; weights: whether anybody asks for IO weights. Raises Ds01Error without memory."""
    text = (host_files.line(paths.proc / "meminfo") or "").replace(":", "").replace(" kB", "")
    total_kib = counters(text).get("MemTotal")
    if not total_kib:
        raise Ds01Error(f"{paths.proc}/meminfo: does not say how much memory there is")
    online = host_files.line(paths.under("/sys/devices/system/cpu/online"))
    cpus = cpu_set(online) if online else frozenset(range(os.cpu_count() or 1))
    devices = {path: device(path, paths) for path in sorted(device_paths)}
    return Hardware(
        cpus,
        total_kib * 1024,
        os.sysconf("SC_PAGE_SIZE"),
        devices,
        _tasks(paths),
        weights and _weighs_io(paths),
    )


def _tasks(paths: Paths) -> int:
    """Read the most tasks that the kernel can have, as systemd's system_tasks_max() does."""
    names = ("pid_max", "threads-max")
    found = (host_files.number(paths.proc / "sys/kernel" / name) for name in names)
    return min((one for one in found if one), default=0)


def device(path: str, paths: Paths) -> Device | str:
    """Find the whole disk that a device node, or a file or folder, is on; else say why not.

    As systemd does it: a partition is its disk, a device on one other device is that one.
    """
    if is_unmounted(path, paths):
        return "its file system is in /etc/fstab, and not mounted now"
    try:
        found = paths.under(path).stat()
    except OSError as error:
        return f"{error.strerror or error}".lower()
    if stat.S_ISCHR(found.st_mode):
        return "is a character device, not a block device"
    number = found.st_rdev if stat.S_ISBLK(found.st_mode) else found.st_dev
    if os.major(number) == 0:
        return "lies on no block device of its own (tmpfs, overlay, network, btrfs or zfs)"
    return _whole(f"{os.major(number)}:{os.minor(number)}", paths)


def _whole(number: str, paths: Paths) -> Device | str:
    folder = paths.under("/sys/dev/block")
    for _ in range(_DEEPEST):
        below = _below(folder / number)
        if below is None:
            break
        number = below
    place = folder / number
    if not place.exists():
        return f"there is no block device {number}"
    name = place.resolve().name
    warning = None
    if (place / "loop").is_dir():
        warning = "is a loop device: its file's own device is not limited by this"
    elif len(host_files.matching(place / "slaves", "*")) > 1:
        warning = "lies on several devices: the limit holds for all of them together"
    return Device(number, f"/dev/{name}", warning)


def _below(place: Path) -> str | None:
    """Give the disk of a partition, or the one device that another lies on."""
    if (place / "partition").exists():
        return host_files.line(place.resolve().parent / "dev")
    below = host_files.matching(place / "slaves", "*")
    return host_files.line(below[0] / "dev") if len(below) == 1 else None


def _weighs_io(paths: Paths) -> bool:
    """Tell whether an IO weight has an effect anywhere: bfq, or io.cost switched on."""
    cost = host_files.line(paths.under("/sys/fs/cgroup/io.cost.qos")) or ""
    if "enable=1" in cost:
        return True
    queues = host_files.matching(paths.under("/sys/block"), "*/queue/scheduler")
    return any("[bfq]" in (host_files.line(one) or "") for one in queues)
