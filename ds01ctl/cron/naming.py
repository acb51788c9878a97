"""Names for the units of cron lines: readable, and the same when lines above come and go."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from ds01ctl.cron.command import program
from ds01ctl.cron.marker import UNIT_PREFIX
from ds01ctl.cron.unfit import MAX_JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.cron.crontab import Entry

_COPIES = MAX_JOBS


def names(entries: Sequence[Entry], taken: Iterable[str] = ()) -> list[str]:
    """Name each entry of one file; taken are the names of its lines that were handed over.

    Of lines that are all the same each gets a name of its own, in their order.
    """
    used = set(taken)
    found = []
    for entry in entries:
        copy = 1
        while (name := _name(entry, copy)) in used:
            copy += 1
        used.add(name)
        found.append(name)
    return found


def fits(name: str, entry: Entry) -> bool:
    """Tell whether a name was made for an entry, be it one of several that are all the same."""
    return any(name == _name(entry, copy) for copy in range(1, _COPIES + 1))


def may_name(name: str, file: str) -> bool:
    """Tell whether a name may be of a line in a file, by how it begins."""
    return name.startswith(f"{UNIT_PREFIX}{_stem(file)}-")


def _stem(file: str) -> str:
    return _slug(file.rpartition("/")[2], 40)


def _name(entry: Entry, copy: int) -> str:
    again = (str(copy),) if copy > 1 else ()
    what = (entry.file, entry.user, entry.when, entry.command, entry.stdin or "", *again)
    digest = sha256("\0".join(what).encode(errors="surrogateescape")).hexdigest()[:6]
    return f"{UNIT_PREFIX}{_stem(entry.file)}-{_slug(program(entry.command), 30)}-{digest}"


def _slug(text: str, limit: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].rstrip("-") or "line"
