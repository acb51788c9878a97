"""Whether programs in a container may open its GPUs: the kernel is asked from where they would run.

access(2) goes through the check of the control group's device program (kernel: inode_permission,
devcgroup_check_permission) and opens nothing. Nothing is run in the container.
"""

from __future__ import annotations

import os
import stat
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.observe.child import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.lost_access import Suspect
    from ds01ctl.observe.child import Reporter
    from ds01ctl.paths import Paths

# a container that is throttled holds us up to the end of its period, at most a second
_DEADLINE_S = 5.0
_FIRST_TO_GO = b"1000"


def units_loaded_at(paths: Paths) -> datetime | None:
    """Tell when systemd last loaded its units; None: unknown, or no control groups v2.

    Every daemon-reload and daemon-reexec touches the file, and so does the boot; set-property and
    starting units do not (systemd 246 and newer, manager_ready()).
    """
    try:
        paths.under("/sys/fs/cgroup/cgroup.controllers").stat()
        touched = paths.under("/run/systemd/systemd-units-load").stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(touched, timezone.utc)


def denied(asked: Sequence[Suspect], paths: Paths) -> Mapping[str, tuple[str, ...]]:
    """Give the nodes that each container's programs may not open, by id; needs root.

    One that could not be entered, or not in time, has no entry.
    """
    if not asked:
        return {}
    with Child(lambda reporter: _ask(reporter, asked, paths), lifetime_s=_DEADLINE_S + 1) as child:
        return dict(child.collect(_DEADLINE_S).values)


def _ask(reporter: Reporter, asked: Sequence[Suspect], paths: Paths) -> None:
    """Go into each container's control group in turn, and tell what is refused there."""
    # short of memory, the kernel is to end this process and not the user's work
    paths.under("/proc/self/oom_score_adj").write_bytes(_FIRST_TO_GO)
    # what is refused to us here already says nothing about a container
    nodes = {node: str(paths.under(node)) for one in asked for node in one.nodes}
    open_here = {node: path for node, path in nodes.items() if _may_open(path)}
    for one in asked:
        known = {node: open_here[node] for node in one.nodes if node in open_here}
        if known and _enter(one.cgroup, paths):
            refused = tuple(node for node, path in known.items() if not _may_open(path))
            reporter.tell((one.id, refused))


def _may_open(path: str) -> bool:
    """Tell whether a device node is there and may be opened."""
    try:
        is_device = stat.S_ISCHR(os.stat(path).st_mode)  # noqa: PTH116 -- as few pages as can be
    except OSError:
        return False
    return is_device and os.access(path, os.R_OK | os.W_OK)


def _enter(cgroup: str, paths: Paths) -> bool:
    """Move this process into a control group; False where that is not possible, or not harmless."""
    folder = paths.under("/sys/fs/cgroup") / cgroup.lstrip("/")
    # there the kernel, short of memory, ends everybody with the one that it chose
    if any(_ends_together(f"{part}/memory.oom.group") for part in (folder, *folder.parents)):
        return False
    try:
        procs = os.open(f"{folder}/cgroup.procs", os.O_WRONLY)
        try:
            return os.write(procs, b"0") == 1
        finally:
            os.close(procs)
    except OSError:
        return False


def _ends_together(file: str) -> bool:
    try:
        with open(file, "rb") as told:  # noqa: PTH123 -- as above
            return told.read(1) == b"1"
    except OSError:
        return False
