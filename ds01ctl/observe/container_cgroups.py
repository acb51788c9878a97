"""The real control groups of containers, from /proc: what an engine says is only a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.observe import procfs

if TYPE_CHECKING:
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.paths import Paths

WITH_PROCESSES = frozenset({"running", "paused"})
"""States in which a container's first process is there."""


class Cgroups:
    """The control groups of containers, each read at most once per first process."""

    def __init__(self, paths: Paths) -> None:
        self._proc = str(paths.proc)
        self._read: dict[tuple[str, int], str | None] = {}

    def of(self, container_id: str, facts: KnownFacts) -> str | None:
        """Read a container's own group; None if its first process is no longer its own."""
        if facts.pid is None or facts.state not in WITH_PROCESSES:
            return None
        key = container_id, facts.pid
        if key not in self._read:
            self._read[key] = self._now(*key)
        return self._read[key]

    def _now(self, container_id: str, pid: int) -> str | None:
        try:
            path = procfs.cgroup_path(procfs.read(f"{self._proc}/{pid}/cgroup"))
        except OSError:
            return None
        # a pid that was used again, or one that an engine invented, lives somewhere else
        return _cut_at(container_id, path) if path else None


def _cut_at(container_id: str, path: str) -> str | None:
    """Cut below the element with the id: systemd or podman inside make groups of their own."""
    before, found, after = path.partition(container_id)
    if not found:
        return None
    return before + found + after.partition("/")[0]
