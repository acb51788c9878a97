"""Read the local account files whole, and tell whether a "no such user" can be believed.

Measured with glibc 2.36: where the last service of the nsswitch.conf(5) line is unavailable or
asks to try again, getpwnam_r(3) returns that service's error number, and 0 where it says "no
such". But where a service after it says "no such" (``passwd: files sss systemd``), where its
library is missing, or where it leaves errno alone, 0 is returned as well; and SSSD may be built
to say "no such" while it is down. So 0 alone proves nothing where a directory is configured.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_ID = 2**32 - 1
"""(uid_t) -1: nobody's."""
_LOCAL_SERVICES = {"files", "compat", "systemd", "mymachines"}
_OF_SYSTEMD = (range(60001, 60514), range(60578, 60706), range(61184, 65536))
"""systemd-homed, greeters, DynamicUser= and nobody: nss-systemd makes them up."""


class Account(NamedTuple):
    """What is used of a line of passwd(5)."""

    login: str
    uid: int
    gid: int


class LocalAccounts(NamedTuple):
    """The local account file; the first line of a login or uid wins, as in glibc."""

    by_login: dict[str, Account]
    by_uid: dict[int, Account]
    mentioned: frozenset[str]
    """The first field of every line, malformed ones too."""

    @property
    def has_nis(self) -> bool:
        """Tell whether a line such as ``+@students`` asks "compat" to look elsewhere."""
        return any(name.startswith(("+", "-")) for name in self.mentioned)


class LocalGroup(NamedTuple):
    """What is used of a line of group(5)."""

    gid: int
    members: frozenset[str]


def read_passwd(path: Path) -> LocalAccounts:
    """Read passwd(5); malformed lines are skipped. Raises OSError."""
    by_login: dict[str, Account] = {}
    by_uid: dict[int, Account] = {}
    mentioned: set[str] = set()
    for fields in _lines(path):
        login = fields[0]
        mentioned.add(login)
        if len(fields) < 4 or not login or login[0] in "+-":
            continue
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is None or gid is None:
            continue
        account = Account(login, uid, gid)
        by_login.setdefault(login, account)
        by_uid.setdefault(uid, account)
    return LocalAccounts(by_login, by_uid, frozenset(mentioned))


def read_group(path: Path) -> dict[str, LocalGroup]:
    """Read group(5) by name; malformed lines are skipped. Raises OSError."""
    found: dict[str, LocalGroup] = {}
    for fields in _lines(path):
        gid = _number(fields[2]) if len(fields) > 2 else None
        if gid is None or not fields[0] or fields[0].startswith(("+", "-")):
            continue
        listed = fields[3].split(",") if len(fields) > 3 else []
        members = frozenset(filter(None, map(str.strip, listed)))
        found.setdefault(fields[0], LocalGroup(gid, members))
    return found


def has_no_directory(nsswitch: Path, local: LocalAccounts) -> bool:
    """Tell whether nsswitch.conf(5) has nothing for passwd but what is on this machine."""
    try:
        text = nsswitch.read_text(errors="replace")
    except OSError:
        return False
    services: set[str] = set()
    for line in text.splitlines():
        database, _, rest = line.partition("#")[0].partition(":")
        if database.strip() == "passwd":
            services.update(_without_actions(rest).split())
    asks_nis = "compat" in services and local.has_nis
    return bool(services) and services <= _LOCAL_SERVICES and not asks_nis


def is_from_directory(login: str, uid: int, local: LocalAccounts) -> bool:
    """Tell whether an answer of the name service can only have come from a directory."""
    made_up = any(uid in some for some in _OF_SYSTEMD) or login.startswith("vu-")
    return uid >= 1000 and not made_up and login not in local.mentioned


def can_be_id(number: int) -> bool:
    """Tell whether a number can be a uid or gid."""
    return 0 <= number < _NO_ID


def status_of(function: str, key: int | str) -> int:
    """Ask libc again, for the error number that the modules pwd and grp keep to themselves.

    0 is "no such"; the other numbers, and EEXIST for one that is there by now, are no answer.
    """
    import ctypes
    import errno

    # a struct passwd has 48 bytes, a struct group 32
    entry, buffer = ctypes.create_string_buffer(256), ctypes.create_string_buffer(1 << 16)
    result = ctypes.c_void_p()
    asked = ctypes.c_uint32(key) if isinstance(key, int) else os.fsencode(key)
    room = ctypes.c_size_t(len(buffer))
    ask = getattr(ctypes.CDLL(None), function)
    status = int(ask(asked, entry, buffer, room, ctypes.byref(result)))
    return errno.EEXIST if result else status


def _lines(path: Path) -> Iterator[list[str]]:
    # as the modules pwd and grp decode; a form feed or U+2028 in a name ends no line
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        stripped = line.lstrip()
        if stripped and stripped[0] != "#":
            yield stripped.split(":")


def _number(text: str) -> int | None:
    """Read a uid or gid; int() would take ``1_0``, and digits of other scripts."""
    if len(text) > 10 or not text.isdecimal() or not text.isascii():
        return None
    number = int(text)
    return number if can_be_id(number) else None


def _without_actions(services: str) -> str:
    """Leave out ``[NOTFOUND=return]`` and its like."""
    return " ".join(part.rpartition("]")[2] for part in services.split("["))
