"""The names of the slices that hold people's containers: never one name for two people.

A slice's name is its place: ``ds01-student-alice.slice`` lies in ``ds01-student.slice`` in
``ds01.slice``. Source: systemd.slice(5), systemd.unit(5); Docker refuses empty parts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.policy import canonical, logins_by_form
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ds01ctl.core.people import Person

_MOST_DIGITS = 10
"""Of a uid, which has 32 bits."""
_LONGEST = 255
"""NAME_MAX: a control group is a folder."""


class SliceName(NamedTuple):
    """Where a person's containers belong."""

    unit: str | None
    """None: no name can be made, for the reason in note."""
    note: str | None = None
    """Why it is not the name that the platform makes of the login."""


def slice_names(
    people: Iterable[Person], groups: Collection[str], root: str, others: Iterable[str] = ()
) -> dict[int, SliceName]:
    """Name each person's slice, by uid; root: ``ds01.slice``.

    others: logins of people without limits, for whom the platform makes slices all the same.
    """
    everybody = tuple(people)
    stem = root.removesuffix(".slice")
    taken = {unit_of(stem, group) for group in {*groups, *(one.group for one in everybody)}}
    forms = logins_by_form([*(one.login for one in everybody), *others])
    return {one.uid: _name(one, forms, taken, stem) for one in everybody}


def unit_of(stem: str, *parts: str) -> str:
    """Join the parts of a slice's name."""
    return "-".join([stem, *parts]) + ".slice"


def _name(
    person: Person, forms: Mapping[str, tuple[str, ...]], taken: Collection[str], stem: str
) -> SliceName:
    if re.search(r"^-|-$|--", person.group) or not person.group:
        return SliceName(None, f"group {person.group!a} cannot be part of a slice's name")
    form = canonical(person.login)
    plain, keyed = (unit_of(stem, person.group, part) for part in (form, f"u{person.uid}"))
    if max(len(plain), len(keyed)) > _LONGEST:
        return SliceName(None, f"group {person.group[:40]!a}… makes the slice's name too long")
    note = _why_not(person, form, forms.get(form, ()))
    if note is None and plain in taken:
        note = f"{plain} is the slice of a group"
    return SliceName(plain) if note is None else SliceName(keyed, note)


def _why_not(person: Person, form: str, logins: Collection[str]) -> str | None:
    """Say why the form of a login cannot name its slice."""
    if not form or ":" in form:
        return (
            "nothing of the login can stand in a slice's name"
            if not form
            else ("the login has a colon, which Docker takes as the end of a slice's name")
        )
    if others := sorted(set(logins) - {person.login}):
        together = " and ".join([person.login, *others])
        return f"{together} all become {form} in a slice's name"
    if keyed_uid(form) is not None and form != f"u{person.uid}":
        return f"{form} would be read as somebody's uid"
    return None


def user_part(unit: str, root: str) -> str | None:
    """Read the user part of a slice below the root's: ``alice`` of ``ds01-student-alice.slice``."""
    stem = root.removesuffix(".slice") + "-"
    if not (unit.startswith(stem) and unit.endswith(".slice")):
        return None
    group, dash, part = unit[len(stem) : -len(".slice")].rpartition("-")
    return part if group and dash and part else None


def keyed_uid(part: str) -> int | None:
    """Read the uid that a user part stands for, such as ``u10001``; None: it is a login's form."""
    digits = part[1:]
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS
    return int(digits) if is_number and part.startswith("u") else None


def cgroup_of(unit: str) -> str:
    """Give the path of a slice's control group: each dash is a level."""
    stem = unit.removesuffix(".slice")
    parts = stem.split("-")
    levels = ["-".join(parts[: count + 1]) for count in range(len(parts))]
    return "/" + "/".join(f"{level}.slice" for level in levels)


def user_slice(uid: int) -> str:
    """Name the slice of a person's log-ins."""
    return f"user-{uid}.slice"
