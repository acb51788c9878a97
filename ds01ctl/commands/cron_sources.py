"""Find and read the crontabs of a host, as its cron would."""

from __future__ import annotations

import os
import pwd
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.cron.crontab import Crontab, Known, Remark, parse
from ds01ctl.cron.parts import is_crontab_name
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ds01ctl.paths import Paths

SPOOL = "/var/spool/cron/crontabs"
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\+-]*\$?")
_MAX_BYTES = 4 << 20


class Source(NamedTuple):
    """One crontab file."""

    path: Path
    place: str
    """Its path on the host."""
    owner: str | None
    """The login whose own crontab it is; None: it has a user column."""


class Read(NamedTuple):
    """A crontab and its bytes."""

    source: Source
    data: bytes
    crontab: Crontab
    is_private: bool = False
    """Not everybody may read it."""


class Host(NamedTuple):
    """All that was read."""

    files: tuple[Read, ...]
    skipped: tuple[Remark, ...]
    """Files that cron ignores, each with the reason."""
    gaps: tuple[Gap, ...]


class _RefusedError(Exception):
    """Cron does not read the file, and why."""


def read_host(paths: Paths) -> Host:
    """Read every crontab of the host."""
    skipped: list[Remark] = []
    gaps: list[Gap] = []
    files = []
    known = known_of(paths)
    for source in _sources(paths, skipped, gaps):
        try:
            _check(source, paths)
            files.append(_read(source, known))
        except _RefusedError as reason:
            skipped.append(Remark(source.place, None, None, f"cron ignores it: {reason}"))
        except PermissionError:
            gaps.append(Gap("crontabs", "denied", f"{source.path}: may not be read; run as root"))
        except OSError as error:
            gaps.append(Gap("crontabs", "failed", f"{source.path}: {error.strerror}"))
    return Host(tuple(files), tuple(skipped), tuple(gaps))


def read_files(paths: Paths, files: Sequence[Path], owner: str | None) -> Host:
    """Read the crontabs that were named; raises Ds01Error for one that can't be read."""
    known = known_of(paths)
    found = []
    for path in files:
        try:
            found.append(_read(_named(paths, path, owner), known))
        except OSError as error:
            hint = "run it as root" if isinstance(error, PermissionError) else None
            raise Ds01Error(f"{path}: cannot be read: {error.strerror}", hint) from None
    return Host(tuple(found), (), ())


def _named(paths: Paths, path: Path, owner: str | None) -> Source:
    path = path.absolute()
    inside = path.is_relative_to(paths.root)
    place = f"/{path.relative_to(paths.root)}" if inside else str(path)
    if owner is None and place.rpartition("/")[0] == SPOOL:
        owner = path.name
    return Source(path, place, owner)


def _sources(paths: Paths, skipped: list[Remark], gaps: list[Gap]) -> Iterator[Source]:
    """Go through the places where cron looks; what it passes over by name is noted."""
    if os.path.lexists(paths.under("/etc/crontab")):
        yield Source(paths.under("/etc/crontab"), "/etc/crontab", None)
    for path in _listed(paths.under("/etc/cron.d"), gaps):
        place = f"/etc/cron.d/{path.name}"
        if is_crontab_name(path.name):
            yield Source(path, place, None)
        else:
            why = "a name in cron.d may have letters, digits, - and _ only"
            skipped.append(Remark(place, None, None, f"cron ignores it: {why}"))
    for path in _listed(paths.under(SPOOL), gaps):
        yield Source(path, f"{SPOOL}/{path.name}", path.name)


def _listed(folder: Path, gaps: list[Gap]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        is_denied = isinstance(error, PermissionError)
        reason = f"{folder}: {error.strerror}; run as root"
        gaps.append(Gap("crontabs", "denied" if is_denied else "failed", reason))
        return []


def _check(source: Source, paths: Paths) -> None:
    """Apply cron's own rules on owner, mode and links: process_crontab() of database.c."""
    ours = {0} if str(paths.root) == "/" else {0, os.geteuid()}
    if source.owner is not None:
        ours |= _uid(source.owner, paths)
    link = source.path.lstat()
    if stat.S_ISLNK(link.st_mode) and (source.owner is not None or link.st_uid not in ours):
        raise _RefusedError(
            "it is a link, and not root's" if source.owner is None else "it is a link"
        )
    found = source.path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise _RefusedError("it is no regular file")
    if found.st_uid not in ours:
        who = "root" if source.owner is None else f"{source.owner} or root"
        raise _RefusedError(f"it belongs to uid {found.st_uid}, not to {who}; chown it")
    mode = stat.S_IMODE(found.st_mode)
    if source.owner is None and mode & 0o022:
        raise _RefusedError(f"others may write it (mode {mode:04o}); chmod go-w")
    if source.owner is not None and mode != 0o600:
        raise _RefusedError(f"its mode is {mode:04o}, not 0600; chmod 600")
    if found.st_nlink != 1:
        raise _RefusedError(f"it has {found.st_nlink} hard links; expected one")


def _uid(login: str, paths: Paths) -> set[int]:
    """Give the uid of a crontab's owner; raises _RefusedError for an orphan."""
    if str(paths.root) != "/":
        uids = {uid for name, uid in _passwd(paths) or [] if name == login}
        if not uids and _passwd(paths) is not None:
            raise _RefusedError(f"there is no login {login}")
        return uids
    try:
        return {pwd.getpwnam(login).pw_uid}
    except (KeyError, ValueError):
        raise _RefusedError(f"there is no login {login}") from None


def _read(source: Source, known: Known) -> Read:
    # what was looked at a moment ago may be a link or a pipe by now
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(source.path, flags | (0 if source.owner is None else os.O_NOFOLLOW))
    with os.fdopen(fd, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
        is_private = not os.fstat(fd).st_mode & stat.S_IROTH
    if len(data) > _MAX_BYTES:
        what = f"larger than {_MAX_BYTES >> 20} MiB; expected a crontab"
        remark = Remark(source.place, None, None, what)
        return Read(source, b"", Crontab((), (), (remark,)))
    crontab = parse(data, source.place, known, owner=source.owner)
    return Read(source, data, crontab, is_private)


# --- what only the host can tell ----------------------------------------------------------------


def known_of(paths: Paths) -> Known:
    """Give what tells a login and a time zone; a moved root has its own /etc/passwd."""
    return Known(_login_test(paths), _is_zone, lambda login: _uid_of(login, paths))


def _uid_of(login: str, paths: Paths) -> int | None:
    try:
        return min(_uid(login, paths), default=None)
    except _RefusedError:
        return None


def _login_test(paths: Paths) -> Callable[[str], bool]:
    if str(paths.root) == "/":
        return _is_login
    rows = _passwd(paths)
    if rows is None:
        return lambda name: bool(_LOGIN.fullmatch(name))
    names = {name for name, _ in rows}
    return lambda name: name in names


def _is_login(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True


def _passwd(paths: Paths) -> list[tuple[str, int]] | None:
    """Read the logins of a moved root; None where it has none."""
    try:
        text = paths.under("/etc/passwd").read_text(errors="surrogateescape")
    except OSError:
        return None
    rows = [line.split(":") for line in text.splitlines()]
    return [(row[0], int(row[2])) for row in rows if len(row) > 2 and row[2].isdigit()]


def _is_zone(name: str) -> bool:
    from zoneinfo import available_timezones

    return name in available_timezones()


def session_of(paths: Paths) -> dict[str, str]:
    """Read what PAM gives to cron's jobs (/etc/pam.d/cron: pam_env.so)."""
    found: dict[str, str] = {}
    for place in ("/etc/environment", "/etc/default/locale"):
        try:
            text = paths.under(place).read_text(errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)=([^#]*?)\s*(?:#.*)?", line)
            if match and match[2].isprintable():
                found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]
    return value[1:-1] if is_quoted else value
