"""Find the processes of one user, and the control groups they are in: for people who ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.observe import procfs

if TYPE_CHECKING:
    from ds01ctl.paths import Paths


class UserProcess(NamedTuple):
    """One process."""

    pid: int
    comm: str
    cgroup: str | None


def read(uid: int, paths: Paths) -> list[UserProcess]:
    """List the processes that run as a user; one that ends meanwhile is left out."""
    found = []
    proc = str(paths.proc)
    for name in os.listdir(proc):  # noqa: PTH208 -- only the names, and fast
        if not name.isdecimal():
            continue
        place = f"{proc}/{name}"
        try:
            if os.stat(place).st_uid != uid:  # noqa: PTH116 -- text in, and fast
                continue
            comm = procfs.read(f"{place}/comm").decode("utf-8", "replace").strip()
            cgroup = procfs.cgroup_path(procfs.read(f"{place}/cgroup"))
        except OSError:
            continue
        found.append(UserProcess(int(name), comm, cgroup))
    return sorted(found)
