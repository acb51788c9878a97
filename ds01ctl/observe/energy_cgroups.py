"""Read what control groups have used: CPU time and memory of users, slices and containers.

They are found by one listing for each level, never by a walk of everything. A group that vanishes
meanwhile is not there, and nothing else. Sources: the kernel's admin-guide/cgroup-v2.rst and
cgroup-v1/cpuacct.rst.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ds01ctl.core.energy_parties import USERS, GroupUse, container_id, uid_of
from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.slice_names import cgroup_of
from ds01ctl.observe import boottime, procfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ds01ctl.observe.boottime import Clock
    from ds01ctl.paths import Paths

MOUNT = "/sys/fs/cgroup"
_COMMON = ("/docker", "/machine.slice")
"""Parents of nothing but containers."""
_PLACES = (*_COMMON, "/system.slice")
"""Where engines put containers that nobody placed."""
_DEEPEST = 6


class CgroupReading(NamedTuple):
    """What each group used, and the host as a whole."""

    by_cgroup: Mapping[str, GroupUse]
    """By path as in /proc/PID/cgroup; one that is gone is not in it."""
    total: GroupUse | None
    gaps: tuple[Gap, ...]


class _Files(NamedTuple):
    """Where a hierarchy has what."""

    cpu_root: str
    cpu_file: str
    memory_root: str
    memory_file: str
    is_v2: bool


def find(paths: Paths, *, platform_slice: str = "ds01.slice") -> tuple[str, ...]:
    """Find groups by path: users' and the platform's slices, containers, their common parents.

    Those that an engine was told to put elsewhere are not among them.
    """
    files = _files(str(paths.under(MOUNT)))
    return tuple(dict.fromkeys(_found(files.cpu_root, platform_slice))) if files else ()


def read(paths: Paths, cgroups: Iterable[str], *, clock: Clock = boottime.now) -> CgroupReading:
    """Read groups by path, and the host as a whole."""
    files = _files(str(paths.under(MOUNT)))
    gaps = []
    if files is None:
        gaps.append(Gap("cgroups", "failed", f"{paths.under(MOUNT)}: no CPU time of groups"))
    wanted = cgroups if files else ()
    found = {path: use for path in wanted if files and (use := _use(files, path, clock))}
    total = _total(paths, files, clock)
    if total is None:
        gaps.append(Gap("cgroups", "failed", f"{paths.proc}/stat: not understood"))
    return CgroupReading(found, total, tuple(gaps))


# --- where ------------------------------------------------------------------------------------


def _files(root: str) -> _Files | None:
    if os.path.exists(f"{root}/cgroup.controllers"):  # noqa: PTH110 -- text in, and fast
        return _Files(root, "cpu.stat", root, "memory.current", is_v2=True)
    cpu = next((c for n in ("cpuacct", "cpu,cpuacct") if _is_folder(c := f"{root}/{n}")), None)
    if cpu is None:
        return None
    return _Files(cpu, "cpuacct.usage", f"{root}/memory", "memory.usage_in_bytes", is_v2=False)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 -- as above


def _found(root: str, platform_slice: str) -> Iterator[str]:
    people = _below(root, USERS)
    if people is not None:
        yield USERS
        yield from (path for path in people if uid_of(path) is not None)
    yield from _platform(root, cgroup_of(platform_slice), 0)
    for place in _PLACES:
        below = _below(root, place)
        if below is not None and place in _COMMON:
            yield place
        yield from (path for path in below or () if _is_container(path))


def _platform(root: str, path: str, depth: int) -> Iterator[str]:
    """Find the slices below the platform's; a group's name may have dashes, which are levels."""
    below = _below(root, path)
    if below is None or depth > _DEEPEST:
        return
    yield path
    for one in below:
        if one.endswith(".slice"):
            yield from _platform(root, one, depth + 1)
        elif _is_container(one):
            yield one


def _below(root: str, path: str) -> list[str] | None:
    try:
        with os.scandir(root + path) as entries:
            return [f"{path}/{one.name}" for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return None


def _is_container(path: str) -> bool:
    return container_id(path) is not None


# --- what -------------------------------------------------------------------------------------


def _use(files: _Files, path: str, clock: Clock) -> GroupUse | None:
    """Read one group; None where it is gone."""
    try:
        fd = os.open(f"{files.cpu_root}{path}/{files.cpu_file}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 4096)
        at_s = clock().at_s
        inode = os.fstat(fd).st_ino
    except OSError:
        return None
    finally:
        os.close(fd)
    cpu_us = _usage_us(text) if files.is_v2 else _nanoseconds(text)
    if cpu_us is None:
        return None
    memory = _number(f"{files.memory_root}{path}/{files.memory_file}")
    return GroupUse(cpu_us, memory, at_s, inode)


def _usage_us(text: bytes) -> int | None:
    # the first line of cpu.stat, on every kernel so far
    _, found, rest = text.partition(b"usage_usec ")
    value = rest.partition(b"\n")[0]
    return int(value) if found and value.isdigit() else None


def _nanoseconds(text: bytes) -> int | None:
    value = text.strip()
    return int(value) // 1000 if value.isdigit() else None


def _number(path: str) -> int | None:
    try:
        text = procfs.read(path, limit=64).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _total(paths: Paths, files: _Files | None, clock: Clock) -> GroupUse | None:
    """Read the whole host: the root group's time, else what the scheduler's ticks say."""
    root = _use(files, "", clock) if files else None
    cpu_us = root.cpu_us if root else _ticks_us(f"{paths.proc}/stat")
    at_s = root.at_s if root else clock().at_s
    if cpu_us is None:
        return None
    return GroupUse(cpu_us, _memory_used(f"{paths.proc}/meminfo"), at_s)


def _ticks_us(stat: str) -> int | None:
    """Add up user, nice, system, irq and softirq; guests are in user's already (proc(5))."""
    try:
        fields = procfs.read(stat, limit=4096).split(b"\n", 1)[0].split()
    except OSError:
        return None
    if fields[:1] != [b"cpu"] or len(fields) < 8 or not all(one.isdigit() for one in fields[1:]):
        return None
    user, nice, system, _, _, irq, softirq = (int(one) for one in fields[1:8])
    return (user + nice + system + irq + softirq) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _memory_used(meminfo: str) -> int | None:
    """Give what is not free: groups, too, count what they keep in the page cache as used."""
    try:
        text = procfs.read(meminfo).decode("ascii", "replace")
    except OSError:
        return None
    said = dict(re.findall(r"^(MemTotal|MemFree):\s+(\d+) kB$", text, re.MULTILINE))
    if said.keys() != {"MemTotal", "MemFree"}:
        return None
    return (int(said["MemTotal"]) - int(said["MemFree"])) * 1024
