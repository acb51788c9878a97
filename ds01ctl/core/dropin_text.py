"""Our drop-in for a slice, as text: what it says, and which of our lines are in it."""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from ds01ctl.core.properties import BY_NAME, written
from ds01ctl.core.unit_text import directives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.homes import Home

FILE = "50-ds01.conf"
FOLDER = "/etc/systemd/system"
_HEAD = """\
# Limits of {login} (uid {uid}, group {group}).
# To change them: the policy, then `ds01ctl enforce apply`. No daemon-reload is needed, and one
# could take the GPUs away from running containers.
"""


def place_of(unit: str) -> str:
    """Say where a slice's drop-in lies."""
    return f"{FOLDER}/{unit}.d/{FILE}"


def unit_at(place: str) -> str:
    """Name the slice of a drop-in."""
    return place.rpartition(".d/")[0].rpartition("/")[2]


def render(
    home: Home,
    values: Mapping[str, str],
    nodes: Mapping[str, str],
    kept: Mapping[str, tuple[str, ...]] | None = None,
) -> str | None:
    """Write the drop-in with these values, by property; None where there is nothing to limit.

    kept: assignments of other properties that stay as they are.
    """
    if not values and not kept:
        return None
    person = home.person
    head = _HEAD.format(login=_plain(person.login), uid=person.uid, group=_plain(person.group))
    lines = []
    for name, prop in BY_NAME.items():
        if name in values:
            lines += written(prop, values[name], nodes)
        else:
            lines += [f"{name}={one}" for one in (kept or {}).get(name, ())]
    unit = ""
    if home.kind == "slice":
        unit = f"[Unit]\nDescription=Containers of {_plain(person.login).replace('%', '%%')}\n\n"
    return "\n".join([head + unit + "[Slice]", *lines, ""])


def owner_uid(text: str) -> int | None:
    """Read whose limits our drop-in has."""
    match = re.search(r"^# Limits of .* \(uid (\d{1,10}), group ", text, re.MULTILINE)
    return int(match[1]) if match else None


def _plain(text: str) -> str:
    """Keep a name to one line, without what a unit file would take for something else."""
    return re.sub(r"[^\x20-\x7e]|\\", "?", text)


def assigned(text: str) -> Mapping[str, tuple[str, ...]]:
    """Read the assignments of our properties in a unit file: what each is set to, in order."""
    # the drop-ins of a group are alike from here on
    _, section, body = text.partition("[Slice]")
    return _assigned(body) if section else {}


@lru_cache(maxsize=1024)
def _assigned(body: str) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in directives(f"[Slice]{body}"):
        if line.section == "Slice" and line.key in BY_NAME:
            found.setdefault(line.key, []).append(line.value)
    return MappingProxyType({name: tuple(values) for name, values in found.items()})
