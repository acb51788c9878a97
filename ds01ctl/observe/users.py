"""Look up who people are: each uid and login once, all in one child that can be left behind.

The name service may be a directory on the network, and a home may be on NFS: either may hang.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ds01ctl.observe.child import Answer, Reporter
    from ds01ctl.observe.ledger import Ledger

_DEEPEST_HOME = 3
"""Folders below a home directory such as /home/students/2026/alice."""


_NSSWITCH = Path("/etc/nsswitch.conf")
_KINDS = ("user", "uid", "owner", "local", "gone", "trust", "group", "home", "problem", "silent")
"""What the child tells of."""


class UsersReading(NamedTuple):
    """What the account files, the name service and the homes told; what has no entry is absent."""

    users: dict[int, str]
    """Login by uid."""
    uids: dict[str, int]
    """Uid by login."""
    path_owners: dict[str, int]
    """Uid that owns the home above a path."""
    gaps: tuple[Gap, ...]
    gone: frozenset[int | str] = frozenset()
    """Uids and logins that were asked for and are nobody's: see read()."""
    groups: Mapping[str, frozenset[str]] = MappingProxyType({})
    """Logins by group; one that is nowhere has none, one that was not answered no entry."""
    home_uids: frozenset[int] = frozenset()
    """Owners of the folders directly below the home directories; never root."""
    local: frozenset[str] = frozenset()
    """Logins of people in the local account file."""


class _Asked(NamedTuple):
    uids: list[int]
    logins: list[str]
    paths: list[str]
    home_dirs: list[str]
    passwd: Path | None
    group: Path | None
    groups: list[str]
    owners_of_homes: bool
    nsswitch: Path


def read(
    uids: Iterable[int],
    logins: Iterable[str],
    home_paths: Iterable[str],
    *,
    deadline_s: float,
    home_dirs: Iterable[str],
    passwd: Path | None = None,
    group: Path | None = None,
    groups: Iterable[str] = (),
    owners_of_homes: bool = False,
    nsswitch: Path | None = None,
) -> UsersReading:
    """Look up uids, logins and the owners of the homes that paths lie in.

    Past the deadline what was found by then is kept, and a gap names the look-up that hung.

    passwd is the local account file, read first and once: the name service would read it for each
    look-up. Its people (uid 1000 and up) are told even if nobody asked. Only with it is anybody
    ``gone``: whom the name service knows not, with no error, while nsswitch.conf has no directory
    for passwd, or the directory answered for somebody else in this run. A directory's stale cache
    may answer so too: destroy nothing on the strength of one reading.

    groups are those whose members are wanted, also by their primary group as far as that was read
    or looked up. A directory that is down and reports no error makes its groups look empty.
    """
    asked = _Asked(
        sorted(set(uids)),
        sorted(set(logins)),
        sorted(set(home_paths)),
        list(home_dirs),
        passwd,
        group,
        sorted(set(groups)),
        owners_of_homes,
        nsswitch or _NSSWITCH,
    )
    if not (asked.uids or asked.logins or asked.paths or passwd or asked.groups or owners_of_homes):
        return UsersReading({}, {}, {}, ())
    child = Child(lambda reporter: _look_up(asked, reporter), lifetime_s=deadline_s + 1)
    return _reading(child.collect(deadline_s))


def _reading(answer: Answer) -> UsersReading:
    found: dict[str, dict[Any, Any]] = {kind: {} for kind in _KINDS}
    for kind, key, value in answer.values:
        found[kind][key] = value
    local_uids = found["local"].get("uids", {})
    return UsersReading(
        found["local"].get("users", {}) | found["user"],
        local_uids | found["uid"],
        found["owner"],
        tuple(_gaps(found["problem"], found["silent"], answer)),
        frozenset(found["gone"] if found["trust"] else ()),
        found["group"],
        frozenset(found["home"]),
        frozenset(local_uids),
    )


def _gaps(problems: Mapping[str, Any], silent: Mapping[str, str], answer: Answer) -> Iterator[Gap]:
    for reason, kind in problems.items():
        yield Gap("users", kind, reason)
    if silent:
        what, why = next(iter(silent.items()))
        more = f"; nor for {len(silent) - 1} more" if len(silent) > 1 else ""
        yield Gap("users", "failed", f"the name service gave no answer for {what}: {why}{more}")
    if not answer.finished:
        reason = f"{answer.doing or 'look-ups'}: {answer.problem}"
        yield Gap("users", "failed", f"{reason}; those after it were not made")


# --- in the child -----------------------------------------------------------------------------


def _look_up(asked: _Asked, reporter: Reporter) -> None:
    """Look everything up: first what is on this machine, and last what users can make up."""
    ledger = None
    uids = asked.uids
    if asked.passwd is not None or asked.groups or asked.owners_of_homes:
        from ds01ctl.observe.ledger import Ledger

        ledger = Ledger(reporter)
        if asked.passwd is not None:
            ledger.read_local(asked.passwd, asked.nsswitch)
        if asked.owners_of_homes:
            uids = sorted(ledger.tell_homes(asked.home_dirs).union(uids))
    _look_up_users(uids, ledger, reporter)
    _look_up_logins(asked.logins, ledger, reporter)
    if ledger and asked.groups:
        ledger.look_up_groups(asked.groups, asked.group)
    homes = tuple(PurePosixPath(home) for home in asked.home_dirs)
    owners = _look_up_owners(asked.paths, homes, reporter)
    _look_up_users(sorted(owners.difference(uids)), ledger, reporter)


def _look_up_users(uids: Iterable[int], ledger: Ledger | None, reporter: Reporter) -> None:
    import pwd

    for uid in uids:
        if ledger and ledger.tell_uid(uid):
            continue
        reporter.doing(f"look up the name of uid {uid}")
        try:
            entry = pwd.getpwuid(uid)
        except OverflowError:
            continue
        except KeyError:
            if ledger:
                ledger.missed("getpwuid_r", uid)
            continue
        reporter.tell(("user", uid, printable(entry.pw_name)))
        if ledger:
            ledger.note(entry)


def _look_up_logins(logins: Iterable[str], ledger: Ledger | None, reporter: Reporter) -> None:
    import pwd

    for login in logins:
        if ledger and ledger.tell_login(login):
            continue
        reporter.doing(f"look up the uid of {login[:64]!r}")
        try:
            entry = pwd.getpwnam(login)
        except ValueError:
            # a label may have a zero byte or what no locale can write
            continue
        except KeyError:
            if ledger:
                ledger.missed("getpwnam_r", login)
            continue
        reporter.tell(("uid", login, entry.pw_uid))
        if ledger:
            ledger.note(entry)


def _look_up_owners(
    paths: Iterable[str], homes: tuple[PurePosixPath, ...], reporter: Reporter
) -> set[int]:
    """Tell the owners of the homes above paths, and give them: they want a name, too."""
    owners = set()
    for path in paths:
        reporter.doing(f"look up the owner of {path[:200]!r}")
        owner = _home_owner(path, homes)
        if owner is not None:
            reporter.tell(("owner", path, owner))
            owners.add(owner)
    return owners


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


def printable(name: str) -> str:
    """Replace the bytes that are no UTF-8: Python keeps them as half characters."""
    return name if name.isascii() else name.encode("utf-8", "replace").decode("utf-8")
