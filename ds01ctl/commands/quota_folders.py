"""Where the policy's folders lay when limits were set last: on another file system nothing is set.

What is not mounted after a boot leaves the folder below it, on a file system that is somebody
else's or the root's: there a limit would be set on the wrong files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.model import Gap
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ds01ctl.core.disk_quota import QuotaFileSystem
    from ds01ctl.paths import Paths

FOLDERS = "quota-folders"
"""Kind of rows of the store's inventory."""


def recall(paths: Paths) -> dict[str, str]:
    """Read mount points by folder; nothing where there is no store, or it can't be read."""
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return {}
        with state:
            rows = state.known_inventory()
    except StateError:
        # that it can't be read is told by what else is remembered
        return {}
    return {name: row for (kind, name), row in rows.items() if kind == FOLDERS}


def remember(state: State, mounts: Mapping[str, str], folders: Collection[str]) -> None:
    """Note where folders lie now; one that could not be looked at keeps its place."""
    rows = state.known_inventory()
    before = {name: row for (kind, name), row in rows.items() if kind == FOLDERS}
    now = {folder: mounts[folder] for folder in folders if folder in mounts}
    kept = {folder: mount for folder, mount in before.items() if folder in folders}
    state.replace_inventory(FOLDERS, {**kept, **now})


def without_moved(
    found: Iterable[QuotaFileSystem], before: Mapping[str, str]
) -> tuple[tuple[QuotaFileSystem, ...], tuple[Gap, ...]]:
    """Take folders that lie elsewhere than before off their file system, with a gap for each."""
    kept: list[QuotaFileSystem] = []
    gaps: list[Gap] = []
    for one in found:
        moved = [folder for folder in one.holds if before.get(folder, one.mount) != one.mount]
        gaps += [Gap("quotas", "failed", _moved(folder, before, one.mount)) for folder in moved]
        holds = tuple(folder for folder in one.holds if folder not in moved)
        kept.append(one._replace(holds=holds))
    return tuple(kept), tuple(gaps)


def _moved(folder: str, before: Mapping[str, str], mount: str) -> str:
    return (
        f"{folder}: lay on {before[folder]} when limits were set last, and lies on {mount} now;"
        " nothing is set there. If that is meant: ds01ctl quota apply --moved"
    )
