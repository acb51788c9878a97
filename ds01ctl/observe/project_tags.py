"""Read the project ids of files: strays in a tree, Docker's own ids, whose files a tree holds.

Only what lies in a tree is looked at. A file that was moved out of one keeps its id, and is charged
to the project wherever it lies; nothing finds it but a walk over the whole file system.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.project_findings import Stray
from ds01ctl.core.projects import DockerIds
from ds01ctl.fsxattr import get_tag
from ds01ctl.treewalk import Walk, open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Progress = Callable[[int], None]

LISTED = 1000
"""Strays that are named; all are counted."""
_DRIVERS = ("overlay2", "volumes", "vfs")
"""Folders of the data root for which Docker counts project ids."""
_PERSON = 1000
_NOBODY = (65534, 65535)


class TagCheck(NamedTuple):
    """What a walk over a tree found."""

    seen: int
    strays: tuple[Stray, ...]
    """The first LISTED ones."""
    stray_count: int
    untaggable: Mapping[str, int]
    mounts: tuple[str, ...]
    vanished: int
    failed: int
    failures: tuple[tuple[str, str], ...]


def check(path: str, project_id: int, progress: Progress | None = None) -> TagCheck:
    """Find what in a tree has another id, and folders that do not pass theirs on.

    path: absolute, without a link on the way. Raises OSError where the tree cannot be read.
    """
    strays: list[Stray] = []
    count = 0

    def visit(fd: int, status: os.stat_result) -> None:
        nonlocal count
        found = get_tag(fd)
        is_folder = stat.S_ISDIR(status.st_mode)
        if found.project_id == project_id and (found.is_inherited or not is_folder):
            return
        count += 1
        if len(strays) < LISTED:
            strays.append(Stray(walk.path(), found.project_id, is_folder, found.is_inherited))

    walk = Walk(visit, progress)
    walk.run(path)
    return TagCheck(
        walk.seen,
        tuple(strays),
        count,
        dict(sorted(walk.others.items())),
        tuple(walk.mounts),
        walk.changed,
        walk.failed,
        tuple(walk.failures),
    )


class _Enough(Exception):  # noqa: N818 -- no error
    """Nothing more needs to be known."""


def people_in(path: str) -> frozenset[int]:
    """Collect whose the files of a tree are, people only (uid 1000 and up); two are enough.

    Raises OSError where the tree, or something in it, cannot be read.
    """
    found: set[int] = set()

    def visit(_fd: int, status: os.stat_result) -> None:
        if status.st_uid >= _PERSON and status.st_uid not in _NOBODY:
            found.add(status.st_uid)
            if len(found) > 1:
                raise _Enough

    walk = Walk(visit)
    with suppress(_Enough):
        walk.run(path)
    if walk.failed:
        where, why = walk.failures[0]
        raise OSError(None, why, f"{path}/{where}")
    return frozenset(found)


def docker_ids(data_root: str) -> DockerIds:
    """Read the ids that Docker has given out, as it does at its start.

    Source: moby, quota/projectquota.go, findNextProjectID: the folders, and what lies in those
    without an id of their own. What is not there, or has no project ids, has none.
    """
    bases: list[int] = []
    below: set[int] = set()
    for driver in _DRIVERS:
        folder = f"{data_root}/{driver}"
        base = _id_of(folder)
        if base is None:
            continue
        bases.append(base)
        for one in _folders(folder):
            found = _id_of(one)
            below.add(found or 0)
            if found in {0, base}:
                below.update(_id_of(inner) or 0 for inner in _folders(one))
    return DockerIds(tuple(bases) or (0,), frozenset(below - {0}))


def _id_of(path: str) -> int | None:
    try:
        fd = open_folder(path)
    except OSError:
        return None
    try:
        return get_tag(fd).project_id
    except OSError:
        return None
    finally:
        os.close(fd)


def _folders(path: str) -> Iterator[str]:
    try:
        with os.scandir(path) as entries:
            yield from [one.path for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return
