"""The files by which users keep a container: looked at from the host, never from inside.

``.keep-alive`` in the workspace of a container, and ``~/.ds01/keep/NAME``. Only their names, owners
and times count, so no file is opened; no link is followed below a mount or a home. Both may lie on
a file system that hangs, so a child asks, and what it hangs at is told and left out.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import Keep
from ds01ctl.observe.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.cleanup_model import Clock
    from ds01ctl.core.model import Container, Mount
    from ds01ctl.observe.child import Answer, Reporter
    from ds01ctl.paths import Paths

_NAME = ".keep-alive"
_IN_HOME = (".ds01", "keep")
_WORKSPACE = "/workspace"
_LABELS = ("ds01.workspace", "ds01.work_mount", "aime.mlc.WORK_MOUNT", "aime.mlc.DS01_WORKSPACE")
_MOST_MOUNTS = 64
"""Of one container."""
_MOST_FOLDERS = 256
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
_TURN_S = 1.0
"""How long one file system may keep the others waiting."""
_ALL_S = 4.0
_ROOT = 0


class _Place(NamedTuple):
    """One file to look for."""

    container: str
    folder: str
    """On the host, as it is called there."""
    below: tuple[str, ...]
    """Folders below it, and the file."""
    uid: int
    only_if_owned: bool
    """Only where the folder is the owner's own; files of root's then count too: those are made in
    a container."""
    is_told_by: bool = False
    """Whose the folder is says whose the container is."""

    @property
    def file(self) -> str:
        """Name it for people."""
        return "/".join((self.folder.rstrip("/"), *self.below))


class _Found(NamedTuple):
    """What was seen of a place; neither time nor problem: nothing that counts."""

    since: float | None = None
    """When it was last touched, seconds since 1970."""
    problem: str = ""
    is_doubt: bool = False
    """It is the folder itself that makes no sense."""


def read(
    containers: Iterable[Container],
    owners: Mapping[str, int],
    homes: Mapping[int, Sequence[str]],
    paths: Paths,
    clock: Clock,
    max_age: timedelta | None,
    sure: frozenset[str] = frozenset(),
) -> tuple[Keep, ...]:
    """Find the keep files that hold now, and those that can't be read as meant.

    A workspace that is neither the owner's nor root's makes it doubtful whose the container is,
    which holds, too; sure: ids of those whose owner more than words and files tell.
    owners: uid by container id; homes: folders by uid; max_age: how long a file holds after it was
    last touched, None: for ever.
    """
    places = [place for one in containers for place in _places(one, owners, homes, sure)]
    now = clock.now.timestamp()
    keeps = []
    for place, found in zip(places, _look(places, paths, now), strict=True):
        if keep := _keep(place, found, clock, max_age):
            keeps.append(keep)
    return tuple(keeps)


def owners(folders: Iterable[str], paths: Paths) -> dict[str, int]:
    """Say whose these folders of the host are; what can't be read, or hangs, is left out."""
    asked = list(folders)[:_MOST_FOLDERS]
    if not asked:
        return {}
    with Child(lambda reporter: _ask_owners(reporter, asked, paths)) as child:
        told = child.collect(_TURN_S).values
    return {folder: uid for folder, uid in zip(asked, told, strict=False) if uid is not None}


def _ask_owners(reporter: Reporter, folders: Sequence[str], paths: Paths) -> None:
    for folder in folders:
        try:
            status = paths.under(folder).stat()
            reporter.tell(status.st_uid if stat.S_ISDIR(status.st_mode) else None)
        except (OSError, ValueError):
            # an engine may tell of a path that has no bytes
            reporter.tell(None)


def _keep(place: _Place, found: _Found, clock: Clock, max_age: timedelta | None) -> Keep | None:
    if found.since is None:
        if not found.problem:
            return None
        by = f"its work folder {place.folder}" if found.is_doubt else place.file
        return Keep(place.container, clock.now, by, problem=found.problem, is_doubt=found.is_doubt)
    since = datetime.fromtimestamp(found.since, timezone.utc)
    until = since + max_age if max_age is not None else None
    if until is not None and until <= clock.now:
        # one that is no plain file holds no longer than one that is
        return None
    return Keep(place.container, until, place.file, problem=found.problem, since=since)


# --- where to look ----------------------------------------------------------------------------


def _places(
    container: Container,
    owners: Mapping[str, int],
    homes: Mapping[int, Sequence[str]],
    sure: frozenset[str],
) -> Iterator[_Place]:
    uid = owners.get(container.id)
    if uid is None:
        return
    said = {container.labels[name] for name in _LABELS if container.labels.get(name)}
    binds = [mount for mount in container.mounts if _is_bind(mount)]
    for source in dict.fromkeys(mount.source for mount in binds[:_MOST_MOUNTS]):
        meant = {mount.destination for mount in binds if mount.source == source} | {source}
        is_meant = bool(meant & (said | {_WORKSPACE}))
        is_told_by = is_meant and container.id not in sure
        yield _Place(container.id, source, (_NAME,), uid, not is_meant, is_told_by)
    for home in homes.get(uid, ()) if _is_name(container.name) else ():
        if home.startswith("/"):
            yield _Place(container.id, home, (*_IN_HOME, container.name), uid, only_if_owned=False)


def _is_bind(mount: Mount) -> bool:
    return mount.type == "bind" and mount.source.startswith("/") and "\0" not in mount.source


def _is_name(name: str) -> bool:
    return name not in {"", ".", ".."} and not {"/", "\0"} & set(name)


# --- looking ----------------------------------------------------------------------------------


def _look(places: Sequence[_Place], paths: Paths, now: float) -> list[_Found]:
    """Look at every place; a child that hangs is left behind, and another goes on after it.

    Whoever made one wait is not looked at again: else one user could hide all the others' files.
    """
    found: dict[_Place, _Found] = {}
    ends = time.monotonic() + _ALL_S
    while rest := [place for place in places if place not in found]:
        left_s = min(_TURN_S, ends - time.monotonic())
        if left_s <= 0:
            late = _Found(problem=f"not looked at: others gave no answer in {_ALL_S:g} s")
            return [found.get(place, late) for place in places]
        answer = _in_child(rest, paths, now, left_s)
        found |= dict(zip(rest, answer.values, strict=False))
        if not answer.finished and len(answer.values) < len(rest):
            hung = rest[len(answer.values)].uid
            late = _Found(problem=answer.problem)
            found |= {place: late for place in rest[len(answer.values) :] if place.uid == hung}
    return [found[place] for place in places]


def _in_child(places: Sequence[_Place], paths: Paths, now: float, left_s: float) -> Answer:
    with Child(lambda reporter: _ask(reporter, places, paths, now)) as child:
        return child.collect(left_s)


def _ask(reporter: Reporter, places: Sequence[_Place], paths: Paths, now: float) -> None:
    for place in places:
        try:
            reporter.tell(_at(place, str(paths.under(place.folder)), now))
        except OSError as error:
            why = (error.strerror or "unreadable").lower()
            reporter.tell(_Found() if error.errno in _NOT_THERE else _Found(problem=why))


def _at(place: _Place, folder: str, now: float) -> _Found:
    """Look at one place. Raises OSError."""
    fd = os.open(folder, _FOLDER)
    try:
        folder_uid = os.fstat(fd).st_uid
        is_own = folder_uid == place.uid
        if place.only_if_owned and not is_own:
            return _Found()
        if place.is_told_by and folder_uid not in {place.uid, _ROOT}:
            return _Found(problem=_foreign(place, folder_uid), is_doubt=True)
        for name in place.below:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                break
            # a link that took its place meanwhile is no folder
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = inner
    finally:
        os.close(fd)
    is_file = stat.S_ISREG(status.st_mode) and name == place.below[-1]
    problem = "" if is_file else _problem(status, name)
    if place.below == (_NAME,) and status.st_uid == folder_uid not in {place.uid, _ROOT}:
        # of whose the workspace is, though the container is surely another's
        return _Found(_touched(status, now), problem or _foreign(place, folder_uid))
    return _judge(status, place, now, problem=problem, is_own=is_own)


def _foreign(place: _Place, folder_uid: int) -> str:
    return f"it is uid {folder_uid}'s, and the container is said to be uid {place.uid}'s"


def _problem(status: os.stat_result, name: str) -> str:
    if stat.S_ISLNK(status.st_mode):
        return f"{name} is a symbolic link, which is not followed"
    return f"{name} is not a plain file" if name == _NAME else f"{name} is not what it should be"


def _judge(
    status: os.stat_result, place: _Place, now: float, *, problem: str, is_own: bool
) -> _Found:
    # what root made in a folder of the owner's was made in a container of his
    if status.st_uid != place.uid and not (status.st_uid == _ROOT and is_own):
        return _Found()
    return _Found(_touched(status, now), problem)


def _touched(status: os.stat_result, now: float) -> float:
    """Read when a file was last touched; who sets that ahead did so when the inode changed."""
    if status.st_mtime <= now:
        return status.st_mtime
    return min(status.st_ctime, now)
