"""Look up who people are: each uid and login once, all in one child that can be left behind.

The name service may be a directory on the network, and a home may be on NFS: either may hang.
"""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.observe.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.observe.child import Answer, Reporter

_DEEPEST_HOME = 3
"""Folders below a home directory such as /home/students/2026/alice."""


class UsersReading(NamedTuple):
    """What the name service and the homes told; what has no entry is absent."""

    users: dict[int, str]
    """Login by uid."""
    uids: dict[str, int]
    """Uid by login."""
    path_owners: dict[str, int]
    """Uid that owns the home above a path."""
    gaps: tuple[Gap, ...]


def read(
    uids: Iterable[int],
    logins: Iterable[str],
    home_paths: Iterable[str],
    *,
    deadline_s: float,
    home_dirs: Iterable[str],
) -> UsersReading:
    """Look up uids, logins and the owners of the homes that paths lie in.

    Past the deadline what was found by then is kept, and a gap names the look-up that hung.
    """
    numbers, names, paths = sorted(set(uids)), sorted(set(logins)), sorted(set(home_paths))
    homes = tuple(PurePosixPath(home) for home in home_dirs)
    if not numbers and not names and not paths:
        return UsersReading({}, {}, {}, ())

    def look_up(reporter: Reporter) -> None:
        _look_up_users(numbers, reporter)
        _look_up_logins(names, reporter)
        _look_up_owners(paths, homes, reporter)

    return _reading(Child(look_up, lifetime_s=deadline_s + 1).collect(deadline_s), deadline_s)


def _reading(answer: Answer, deadline_s: float) -> UsersReading:
    found: dict[str, dict[Any, Any]] = {"user": {}, "uid": {}, "owner": {}}
    for kind, key, value in answer.values:
        found[kind][key] = value
    gaps: tuple[Gap, ...] = ()
    if not answer.finished:
        reason = f"{answer.doing or 'look-ups'}: no answer in {deadline_s:g} s"
        gaps = (Gap("users", "failed", f"{reason}; those after it were not made"),)
    return UsersReading(found["user"], found["uid"], found["owner"], gaps)


# --- in the child -----------------------------------------------------------------------------


def _look_up_users(uids: Iterable[int], reporter: Reporter) -> None:
    import pwd

    for uid in uids:
        reporter.doing(f"look up the name of uid {uid}")
        try:
            reporter.tell(("user", uid, _printable(pwd.getpwuid(uid).pw_name)))
        except (KeyError, OverflowError):
            continue


def _look_up_logins(logins: Iterable[str], reporter: Reporter) -> None:
    import pwd

    for login in logins:
        reporter.doing(f"look up the uid of {login[:64]!r}")
        try:
            reporter.tell(("uid", login, pwd.getpwnam(login).pw_uid))
        except (KeyError, ValueError):
            # ValueError: a label may have a zero byte or what no locale can write
            continue


def _look_up_owners(
    paths: Iterable[str], homes: tuple[PurePosixPath, ...], reporter: Reporter
) -> None:
    for path in paths:
        reporter.doing(f"look up the owner of {path[:200]!r}")
        owner = _home_owner(path, homes)
        if owner is not None:
            reporter.tell(("owner", path, owner))


def _home_owner(path: str, homes: tuple[PurePosixPath, ...]) -> int | None:
    """Find who owns the first folder below a home directory that is not root's."""
    try:
        for folder in _folders_below(path, homes):
            if uid := _owner(folder):
                return uid
    except (OSError, ValueError):
        return None
    return None


def _folders_below(path: str, homes: tuple[PurePosixPath, ...]) -> Iterator[str]:
    asked = PurePosixPath(path)
    if ".." in asked.parts:
        # from a label: it would lead into somebody else's home
        return
    for home in homes:
        if asked.is_relative_to(home):
            below = asked.relative_to(home).parts[:_DEEPEST_HOME]
            for depth in range(1, len(below) + 1):
                yield str(home.joinpath(*below[:depth]))
            return


def _owner(folder: str) -> int:
    """Read the owner; a link is followed only where root made it."""
    info = os.lstat(folder)
    if stat.S_ISLNK(info.st_mode) and info.st_uid == 0:
        info = os.stat(folder)  # noqa: PTH116 -- text in, text out
    return info.st_uid


def _printable(name: str) -> str:
    """Replace the bytes that are no UTF-8: Python keeps them as half characters."""
    return name.encode("utf-8", "replace").decode("utf-8")
