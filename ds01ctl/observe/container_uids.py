"""As whom the processes of a container run, as the host sees it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ds01ctl.observe import procfs
from ds01ctl.observe.cleanup_cgroups import Hierarchies, TooMany, own_groups

if TYPE_CHECKING:
    from ds01ctl.core.model import Container
    from ds01ctl.paths import Paths


def of(container: Container, paths: Paths) -> frozenset[int] | None:
    """Give the uids of all processes of a container that runs; None: they can't be read."""
    try:
        groups = own_groups(container.id, procfs.read(f"{paths.proc}/{container.pid}/cgroup"))
        pids = Hierarchies(paths).processes(groups) if groups else []
    except (OSError, KeyError):
        return None
    if isinstance(pids, TooMany):
        return None
    found = set()
    for pid in pids:
        # one may end at any time
        with suppress(OSError):
            found.add(os.stat(f"{paths.proc}/{pid}").st_uid)  # noqa: PTH116 -- hundreds of them
    return frozenset(found) or None
