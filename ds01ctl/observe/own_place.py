"""Know where this program itself runs, and who holds a GPU's device node open."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ds01ctl.core.cgroup_path import classify
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.paths import Paths

# include/linux/proc_ns.h; the same since Linux 3.8
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
_INITIAL_CGROUP_NAMESPACE = 0xEFFFFFFB
_NODE = r"/dev/nvidia([0-9]{1,7})(?: \(deleted\))?"
_NO_PROC = "mount /proc there; DS01_ROOT names the folder that holds a host's proc, etc and var"


def boot_id(paths: Paths) -> str:
    """Read the id of this boot: a pid means nothing without it. Raises Ds01Error."""
    file = paths.proc / "sys/kernel/random/boot_id"
    try:
        return procfs.read(str(file)).decode("ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        # an empty mount point is none either
        raise Ds01Error(f"there is no /proc below {paths.root}", _NO_PROC) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise Ds01Error(f"{file}: {reason}") from None


def own_namespace_problem(paths: Paths) -> str | None:
    """Say why pids and control groups seen from here are not the host's; None if they are.

    /.dockerenv proves nothing: images are copied to machines with it.
    """
    if _differs(paths, "pid", _INITIAL_PID_NAMESPACE):
        return "runs in another PID namespace than the host's: its pids are not those of the driver"
    if _differs(paths, "cgroup", _INITIAL_CGROUP_NAMESPACE):
        return "runs in another cgroup namespace than the host's: it is in a container"
    place = _own_cgroup(paths)
    if place is not None and classify(place).home == "container":
        return f"runs in a container: its control group is {place}"
    return None


def _differs(paths: Paths, kind: str, initial: int) -> bool:
    """Tell whether we are in a name space of our own; one that cannot be read does not count."""
    try:
        return (paths.proc / "self/ns" / kind).stat().st_ino != initial
    except OSError:
        return False


def _own_cgroup(paths: Paths) -> str | None:
    try:
        return procfs.cgroup_path(procfs.read(str(paths.proc / "self/cgroup")))
    except OSError:
        return None


def device_holders(minors: frozenset[int], paths: Paths) -> dict[int, tuple[int, ...]]:
    """Find the pids that have /dev/nvidiaN open, by N; as root, else only one's own.

    Walks all of /proc: for memory that nothing else explains only.
    """
    holders: dict[int, set[int]] = {}
    for name in os.listdir(paths.proc):  # noqa: PTH208 -- thousands of Path objects for nothing
        if name.isdecimal():
            for minor in _open_nodes(f"{paths.proc}/{name}/fd") & minors:
                holders.setdefault(minor, set()).add(int(name))
    return {minor: tuple(sorted(pids)) for minor, pids in sorted(holders.items())}


def _open_nodes(folder: str) -> set[int]:
    return {int(match[1]) for link in _links(folder) if (match := re.fullmatch(_NODE, link))}


def _links(folder: str) -> Iterator[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- as above
    except OSError:
        # ended, or another user's
        return
    for name in names:
        try:
            yield os.readlink(f"{folder}/{name}")  # noqa: PTH115 -- as above
        except OSError:
            continue
