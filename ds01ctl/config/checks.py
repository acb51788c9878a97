"""What is odd in a policy as a whole; most of it is told as a warning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.config.carbon_checks import check_carbon
from ds01ctl.config.nearest import did_you_mean
from ds01ctl.config.side import Folder, group_of_file
from ds01ctl.config.source import is_there
from ds01ctl.core.keys import CONTAINER_TYPES
from ds01ctl.core.quantity import parse_percent, size_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ds01ctl.config.nodes import Entry
    from ds01ctl.config.side import Membership
    from ds01ctl.config.source import Findings, Source
    from ds01ctl.core.policy import Layer, Policy, Setting

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


def check_members(
    groups: Collection[str],
    default: str,
    files: Sequence[Source],
    listed: Sequence[Membership],
    source: Source,
) -> None:
    """Warn of groups that nobody is in, and of files of members whose group is not there."""
    by_group = {group_of_file(file): file for file in files}
    used = {one.group for one in listed}
    for name in groups:
        if name not in used and name != default:
            file_name = f"groups/{name}.members"
            why = f"{file_name} is empty" if name in by_group else f"no {file_name}"
            source.warn(None, f"groups.{name}", f"has no members: {why}")
    for name, file in by_group.items():
        if name not in groups and name != default:
            known = did_you_mean(name, groups)
            message = f"there is no group {name!r}{known}"
            file.warn(None, "", f"{message}; its members have the defaults only")


def _check_wanted(
    names: Sequence[str],
    wanted: Sequence[Membership],
    groups: dict[str, dict[str, Membership]],
    folder: Folder,
) -> None:
    source = folder.source("group-overrides.txt")
    for one in wanted:
        if one.group not in names:
            message = f"there is no group {one.group!r}{did_you_mean(one.group, names)}"
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
        known = did_you_mean(entry.name, CONTAINER_TYPES)
        source.warn(entry.line, f"container_types.{entry.name}", f"is no container type{known}")


def check_policy(policy: Policy, source: Source, folder: Folder) -> None:
    """Warn of a file that sets nothing, shared forms, and limits that miss their purpose."""
    _check_that_something_is_set(policy, source)
    _check_watermarks(policy, source)
    check_carbon(policy, source)
    for form, logins in sorted(policy.forms.items()):
        if len(logins) > 1:
            message = f"all become {form!r} in slice names, so each is found as written only"
            source.warn(None, " and ".join(logins), message)
    for prefix, layer in _layers(policy):
        for section in ("aggregate", "login"):
            for setting, message in (*_high(layer, section), *_pressure(policy, layer, section)):
                _warn_in(setting, message, prefix, source, folder)


def _check_watermarks(policy: Policy, source: Source) -> None:
    """Refuse marks of the disk between which nothing lies: images would go at every run."""
    low = policy.setting("cleanup.images.low_percent")
    high = policy.setting("cleanup.images.high_percent")
    origin = next((one.origin for one in (low, high) if one.origin and one.origin.line), None)
    if origin and low.value > high.value:
        message = f"{low.value} is above high_percent {high.value}"
        source.error(origin.line, low.key, message)


def _high(layer: Layer, section: str) -> Iterator[tuple[Setting, str]]:
    """Find a soft limit of memory above the hard one, which for log-ins may be aggregate's."""
    high = layer.get(f"{section}.memory_high")
    most = layer.get(f"{section}.memory_max") or layer.get("aggregate.memory_max")
    if high and most and _is_above(high.value, most.value):
        yield high, f"{_shown(high.value)} is above memory_max {_shown(most.value)}"


def _pressure(policy: Policy, layer: Layer, section: str) -> Iterator[tuple[Setting, str]]:
    """Find a limit of memory pressure in a group at which systemd-oomd is not to do anything."""
    name = "managed_oom_memory_pressure"
    limit = layer.get(f"{section}.{name}_limit")
    action = layer.get(f"{section}.{name}") or layer.get(f"aggregate.{name}")
    in_group = any(layer is group for group in policy.groups.values())
    if in_group and limit and limit.value and (action is None or action.value != "kill"):
        yield limit, f"has no effect without {name}: kill"


def _warn_in(setting: Setting, message: str, prefix: str, source: Source, folder: Folder) -> None:
    """Warn of a setting of a layer, in the file where it stands."""
    if setting.origin is None:
        return
    file, key = source, f"{prefix}.{setting.key}"
    if setting.origin.file != source.name:
        file, key = folder.source(setting.origin.file), key.removeprefix("user_overrides.")
    file.warn(setting.origin.line, key, message)


def _check_that_something_is_set(policy: Policy, source: Source) -> None:
    """Warn of a policy that may have lost its text."""
    layers = (policy.host, policy.defaults, *(layer for _, layer in _layers(policy)))
    origins = [setting.origin for layer in layers for setting in layer.values()]
    if policy.groups or source.findings.problems:
        return
    if not any(origin and origin.file == source.name for origin in origins):
        but = " but those of user-overrides.yaml" if origins else ""
        source.warn(None, "", f"sets nothing: every limit{but} is off")


def check_elsewhere(path: Path, folders: Sequence[Path], findings: Findings) -> None:
    """Warn of members and overrides that lie where nobody reads them any more."""
    here = os.path.realpath(path.parent), str(Path(os.path.realpath(path)).parent)
    for folder in folders:
        source = Folder(folder, findings)
        left = [name for name in SIDE_NAMES if is_there(folder / name)]
        if left and os.path.realpath(folder) not in here:
            message = f"{', '.join(left)} not read: the policy in force is {path}"
            source.source("").warn(None, "", message)


def _is_above(high: object, most: object) -> bool:
    if isinstance(high, str) and isinstance(most, str):
        return parse_percent(high) > parse_percent(most)
    return isinstance(high, int) and isinstance(most, int) and high > most


def _shown(value: object) -> str:
    return size_text(value) if isinstance(value, int) else str(value)


def _layers(policy: Policy) -> Iterator[tuple[str, Layer]]:
    """List each layer with the prefix that its keys have in their file."""
    for name, layer in policy.groups.items():
        yield f"groups.{name}", layer
    for login, layers in policy.overrides.items():
        for layer in layers:
            yield f"user_overrides.{login}", layer
