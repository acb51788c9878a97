"""Which folders of the host may be the workspace of a container, by its labels and mounts.

Labels are its maker's word: whoever opens such a folder has to see whose it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.model import Container

USUAL = "/workspace"
LABELS = ("ds01.workspace", "ds01.work_mount", "aime.mlc.DS01_WORKSPACE", "aime.mlc.WORK_MOUNT")


def workspaces(container: Container) -> tuple[str, ...]:
    """List the host's side of the bind mounts: what a label names, /workspace, then the others."""
    return tuple(dict.fromkeys(_in_order(container)))


def _in_order(container: Container) -> Iterator[str]:
    binds = [one for one in container.mounts if one.type == "bind" and one.source.startswith("/")]
    for label in LABELS:
        # as a path of the host, of the container, or as SOURCE:DESTINATION
        named = {part.rstrip("/") for part in container.labels.get(label, "").split(":")} - {""}
        yield from (one.source for one in binds if named & _ends(one.source, one.destination))
    yield from (one.source for one in binds if USUAL in _ends(one.destination))
    yield from (one.source for one in binds)


def _ends(*paths: str) -> set[str]:
    return {path.rstrip("/") for path in paths} - {""}
