"""Ask the account files and the name service where users have their home.

A directory on the network may hang: a child asks, and who gets no answer in time is left out.
"""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING

from ds01ctl.observe.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ds01ctl.observe.child import Reporter

_UID, _HOME, _FIELDS = 2, 5, 7


def read(uids: Iterable[int], passwd: Path, *, deadline_s: float) -> dict[int, str]:
    """Give the home folder of each uid that is known; passwd: the file, which comes first."""
    asked = sorted(set(uids))
    if not asked:
        return {}
    with Child(lambda reporter: _ask(reporter, asked, passwd)) as child:
        return dict(child.collect(deadline_s).values)


def _ask(reporter: Reporter, uids: Sequence[int], passwd: Path) -> None:
    local = _local(passwd)
    for uid in uids:
        home = local.get(uid)
        if home is None:
            try:
                home = pwd.getpwuid(uid).pw_dir
            except (KeyError, OverflowError):
                continue
        if home.startswith("/") and "\0" not in home:
            reporter.tell((uid, home))


def _local(passwd: Path) -> dict[int, str]:
    """Read passwd(5): the first line of a uid wins."""
    found: dict[int, str] = {}
    try:
        text = passwd.read_text(errors="surrogateescape")
    except OSError:
        return found
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) == _FIELDS and fields[_UID].isdecimal() and fields[_UID].isascii():
            found.setdefault(int(fields[_UID]), fields[_HOME])
    return found
