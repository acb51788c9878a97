"""What is odd in a policy as a whole; most of it is told as a warning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.config.blocks import suggestion
from ds01ctl.config.side import Folder
from ds01ctl.config.source import is_there
from ds01ctl.core.keys import CONTAINER_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ds01ctl.config.nodes import Entry
    from ds01ctl.config.side import Membership
    from ds01ctl.config.source import Findings, Source
    from ds01ctl.core.policy import Layer, Policy

SIDE_NAMES = ("groups", "group-overrides.txt", "user-overrides.yaml", "lifecycle-exemptions.yaml")


def check_groups(
    names: Sequence[str],
    listed: Sequence[Membership],
    wanted: Sequence[Membership],
    source: Source,
    folder: Folder,
) -> None:
    """Warn of logins in two groups, of names that nest slices, and of group overrides that miss."""
    groups: dict[str, dict[str, Membership]] = {}
    for one in listed:
        other = next(iter(groups.setdefault(one.login, {}).values()), one)
        if one.group not in groups[one.login] and other is not one:
            message = f"{one.login} is also in {other.group} ({other.origin.file})"
            _warn_at(one, folder, source, message)
        groups[one.login].setdefault(one.group, one)
    _check_wanted(names, wanted, groups, folder)
    for name in names:
        if "-" in name:
            source.warn(None, f"groups.{name}", "a - in a group's name nests its slice; use _")


def check_members(names: Sequence[str], listed: Sequence[Membership], source: Source) -> None:
    """Warn of groups that nobody is in."""
    used = {one.group for one in listed}
    for name in names:
        if name not in used:
            source.warn(None, f"groups.{name}", f"has no members: no groups/{name}.members")


def _check_wanted(
    names: Sequence[str],
    wanted: Sequence[Membership],
    groups: dict[str, dict[str, Membership]],
    folder: Folder,
) -> None:
    source = folder.source("group-overrides.txt")
    for one in wanted:
        if one.group not in names:
            message = f"there is no group {one.group!r}{suggestion(one.group, names)}"
            source.warn(one.origin.line, one.login, message)
        elif one.group not in groups.get(one.login, {}):
            message = f"is not in groups/{one.group}.members; this line alone changes nothing"
            source.warn(one.origin.line, one.login, message)


def _warn_at(one: Membership, folder: Folder, source: Source, message: str) -> None:
    place = source if one.origin.file == source.name else folder.source(one.origin.file)
    place.warn(one.origin.line, "", message)


def check_type(entry: Entry, source: Source) -> None:
    """Warn of a container type that the platform does not make."""
    if entry.name not in CONTAINER_TYPES:
        known = suggestion(entry.name, CONTAINER_TYPES)
        source.warn(entry.line, f"container_types.{entry.name}", f"is no container type{known}")


def check_policy(policy: Policy, source: Source) -> None:
    """Warn of logins that share a form, and of a soft memory limit above the hard one."""
    for form, logins in sorted(policy.forms.items()):
        if len(logins) > 1:
            message = f"all become {form!r} in slice names, so each is found as written only"
            source.warn(None, " and ".join(logins), message)
    for layer in _layers(policy):
        high, most = layer.get("aggregate.memory_high"), layer.get("aggregate.memory_max")
        if high and most and high.origin and _above(high.value, most.value):
            source.warn(high.origin.line, "aggregate.memory_high", "is above memory_max")


def check_elsewhere(path: Path, folders: Sequence[Path], findings: Findings) -> None:
    """Warn of members and overrides that lie where nobody reads them any more."""
    here = os.path.realpath(path.parent), str(Path(os.path.realpath(path)).parent)
    for folder in folders:
        source = Folder(folder, findings)
        left = [name for name in SIDE_NAMES if is_there(folder / name)]
        if left and os.path.realpath(folder) not in here:
            message = f"{', '.join(left)} not read: the policy in force is {path}"
            source.source("").warn(None, "", message)


def _above(high: object, most: object) -> bool:
    return isinstance(high, int) and isinstance(most, int) and high > most


def _layers(policy: Policy) -> Iterator[Layer]:
    yield from policy.groups.values()
    for layers in policy.overrides.values():
        yield from layers
