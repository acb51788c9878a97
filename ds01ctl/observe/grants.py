"""Read who has leave to use the host directly: one JSON file per user, made by root."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING

from ds01ctl.core.model import Gap, Grant
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe.clock import parse_time

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.core.model import GapKind
    from ds01ctl.paths import Paths

_SOURCE = "policy"
_LARGEST = 65536
_LOGIN_JSON = r"[^.].*\.json"
# a dot before the @ would be a file's, as in notes.txt or alice.old: such logins need .json
_LOGIN = r"[a-z0-9_][a-z0-9_-]*\$?|[a-z0-9_][a-z0-9_.-]*@[a-z0-9.-]+"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class GrantsReading(NamedTuple):
    """The grants that count, expired ones too, and the files that do not."""

    grants: tuple[Grant, ...]
    gaps: tuple[Gap, ...]


def read(state_dir: str | Path, paths: Paths) -> GrantsReading:
    """Read every grant of ``bare_metal_access.state_dir``; no folder, no grants.

    A grant is a file LOGIN.json, or LOGIN alone; other files are nobody's business.

    A file or folder that somebody other than root could have written counts for nothing and
    leaves a gap, as does a file that cannot be understood: nobody may grant himself.
    """
    folder = paths.under(state_dir)
    try:
        if problem := _not_roots(os.stat(folder)):  # noqa: PTH116 -- beside fstat below
            return GrantsReading((), (_gap(folder, problem),))
        names = sorted(entry.name for entry in folder.iterdir() if _is_grant(entry.name))
    except FileNotFoundError:
        return GrantsReading((), ())
    except OSError as error:
        return GrantsReading((), (_unreadable(folder, error),))
    read_files = [_read_file(folder / name) for name in names]
    return GrantsReading(
        tuple(each for each in read_files if isinstance(each, Grant)),
        tuple(each for each in read_files if isinstance(each, Gap)),
    )


def _is_grant(name: str) -> bool:
    """Tell a grant from a README, an editor's copy or an unfinished file, by its name alone."""
    return re.fullmatch(_LOGIN_JSON, name) is not None or re.fullmatch(_LOGIN, name) is not None


def _read_file(file: Path) -> Grant | Gap | None:
    """Read one grant; None for a folder, or a file that was just revoked."""
    try:
        # not through a link, and without waiting for a pipe's writer
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(file, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unreadable(file, error)
    try:
        return _checked(file, descriptor)
    except OSError as error:
        return _unreadable(file, error)
    finally:
        os.close(descriptor)


def _checked(file: Path, descriptor: int) -> Grant | Gap | None:
    info = os.fstat(descriptor)
    if stat.S_ISDIR(info.st_mode):
        return None
    if not stat.S_ISREG(info.st_mode):
        return _gap(file, "no regular file")
    if problem := _not_roots(info):
        return _gap(file, problem)
    try:
        return _grant(file, json.loads(os.read(descriptor, _LARGEST)))
    except (ValueError, RecursionError) as error:
        return _gap(file, f"no grant: {error}")


def _grant(file: Path, content: object) -> Grant:
    """Check a grant's keys; raises ValueError."""
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 -- the file is wrong, not we
    user = content.get("user", file.name.removesuffix(".json"))
    if not isinstance(user, str) or not user:
        raise ValueError("user: expected a login")
    return Grant(user, _expiry(content), str(file))


def _expiry(content: dict[str, object]) -> datetime | None:
    """Read when a grant ends; None is for ever, and must have been said. Raises ValueError."""
    text = content.get("expires_at", "")
    if text is None or text == "permanent" or (text == "" and content.get("type") == "permanent"):
        if content.get("type") == "temporary":
            raise ValueError("expires_at: a temporary grant needs a time")
        return None
    expires_at = parse_time(text) if isinstance(text, str) else None
    if expires_at is None:
        raise ValueError("expires_at: expected a time such as 2026-11-23T12:00:00Z")
    return expires_at


def _not_roots(info: os.stat_result) -> str | None:
    if info.st_uid != 0:
        return f"ignored: it belongs to uid {info.st_uid}, not to root"
    if info.st_mode & _WRITABLE_BY_OTHERS:
        return f"ignored: others than root may write it (mode {stat.S_IMODE(info.st_mode):04o})"
    return None


def _unreadable(path: Path, error: OSError) -> Gap:
    kind: GapKind = "denied" if isinstance(error, PermissionError) else "failed"
    return Gap(_SOURCE, kind, f"{path}: {(error.strerror or str(error)).lower()}")


def _gap(path: Path, reason: str) -> Gap:
    return Gap(_SOURCE, "failed", f"{path}: {reason}")
