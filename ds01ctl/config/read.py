"""Find the policy and read it, with the files beside it; all problems are told together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.config import checks
from ds01ctl.config.blocks import MAPS, Place, host_block, limits_blocks, read_block
from ds01ctl.config.exemptions import read_exemptions
from ds01ctl.config.nearest import did_you_mean
from ds01ctl.config.nodes import Entry, compose, entries, line_of
from ds01ctl.config.side import (
    NOT_A_GROUP,
    Folder,
    Membership,
    group_of_file,
    member_files,
    read_group_overrides,
    read_members,
    read_override_file,
    read_overrides,
)
from ds01ctl.config.source import Findings, PolicyError, Source, is_there
from ds01ctl.config.values import login
from ds01ctl.core.policy import Layer, Origin, Policy, Setting, builtin_policy
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import tzinfo

    from ds01ctl.paths import Paths

__all__ = ["PolicyError", "find_policy", "load_policy"]

_GROUP_SIGNS = "_.:-"


def find_policy(paths: Paths, explicit: Path | None, env: Mapping[str, str]) -> Path | None:
    """Find the policy file: --config, then $DS01_CONFIG, then the host's places; None for none.

    Raises Ds01Error when the one that was asked for is not there.
    """
    named = explicit or (Path(env["DS01_CONFIG"]) if env.get("DS01_CONFIG") else None)
    if named is None:
        return next((path for path in paths.policies if is_there(path)), None)
    if not is_there(named):
        how = "--config" if explicit else "DS01_CONFIG"
        raise Ds01Error(f"{named}: no such file, but {how} names it", "correct the path")
    return named


def load_policy(path: Path, paths: Paths, tz: tzinfo | None = None) -> Policy:
    """Read a policy file and those beside it; times without zone are in tz, or the machine's.

    Raises PolicyError with every problem.
    """
    findings = Findings()
    if path in paths.policies:
        elsewhere = [other.parent for other in paths.policies if other != path]
        checks.check_elsewhere(path, elsewhere, findings)
    reader = _Reader(Source(path, path.name, findings), tz)
    policy = reader.read()
    findings.stop_on_problems()
    return policy


def sound_settings(path: Path) -> dict[str, Setting]:
    """Read the host's settings of the sections without a problem, whatever the others are.

    Only to tell an admin that the policy cannot be used: where to write and whom to mail.
    """
    findings = Findings()
    settings = _Reader(Source(path, path.name, findings), None).host_settings()
    spoilt = {problem.key.partition(".")[0] for problem in findings.problems}
    return {
        key: setting for key, setting in settings.items() if key.partition(".")[0] not in spoilt
    }


class _Reader:
    """Reads one policy."""

    def __init__(self, source: Source, tz: tzinfo | None) -> None:
        self._source = source
        self._tz = tz
        # beside the file itself, also when the path is a link to it
        self._folder = Folder(Path(os.path.realpath(source.path)).parent, source.findings)
        self._maps: dict[str, list[Entry]] = {}
        self._inline: list[Membership] = []

    def read(self) -> Policy:
        """Read everything; problems are left in the source's findings."""
        host = self.host_settings()
        groups = self._groups()
        files = member_files(self._folder)
        listed = [membership for source in files for membership in read_members(source)]
        listed += self._inline
        wanted = list(read_group_overrides(self._folder))
        names = list(dict.fromkeys([*groups, *(group_of_file(source) for source in files)]))
        checks.check_groups(names, listed, wanted, self._source, self._folder)
        if default := self._default_group(host, names):
            checks.check_members(groups, default, files, listed, self._source)
        policy = Policy(
            host={**host, **self._container_types()},
            defaults=self._defaults(),
            groups=groups,
            overrides=self._overrides(),
            members=_members(listed, wanted, names),
            group_overrides=tuple(Setting(one.login, one.group, one.origin) for one in wanted),
            exemptions=read_exemptions(self._folder, self._tz),
            bare_metal=self._bare_metal(host),
        )
        checks.check_policy(policy, self._source, self._folder)
        return _with_findings(policy, self._source.findings)

    def host_settings(self) -> dict[str, Setting]:
        """Read what holds for the whole host; sections of users are put aside."""
        text = self._source.text()
        node = compose(text, self._source) if text is not None else None
        listed = entries(node, self._source, "") if node else []
        for entry in listed:
            if entry.name in MAPS:
                self._maps[entry.name] = entries(entry.node, self._source, entry.name)
        rest = [entry for entry in listed if entry.name not in MAPS]
        return _host_settings(rest, self._source)

    def _defaults(self) -> Layer:
        place = Place(self._source, "defaults", "defaults")
        return read_block(self._maps.get("defaults", []), limits_blocks()["defaults"], place)

    def _groups(self) -> dict[str, Layer]:
        groups: dict[str, Layer] = {}
        for entry in self._maps.get("groups", []):
            place = Place(self._source, f"groups.{entry.name}", f"group {entry.name}")
            if not _is_group_name(entry.name):
                self._source.error(entry.line, place.shown, "is not a name for a group")
            listed = entries(entry.node, self._source, place.shown)
            rest = [inner for inner in listed if inner.name != "members"]
            for inner in listed:
                if inner.name == "members":
                    self._inline += self._logins(inner, entry.name)
            groups[entry.name] = read_block(rest, limits_blocks()["group"], place)
        return groups

    def _logins(self, entry: Entry, group: str) -> Iterator[Membership]:
        key = f"groups.{group}.members"
        if entry.node.id != "sequence":
            if entry.node.value:
                self._source.error(entry.line, key, "expected a list of logins")
            return
        for item in entry.node.value:
            line = line_of(item)
            try:
                name = login(None, item)
            except ValueError as error:
                self._source.error(line, key, str(error) or "expected a login")
            else:
                yield Membership(name, group, self._source.origin(line, f"members of {group}"))

    def _overrides(self) -> dict[str, tuple[Layer, ...]]:
        listed = self._maps.get("user_overrides", [])
        inline = read_overrides(listed, self._source, "user_overrides", "inline override")
        strong = read_override_file(self._folder)
        names = dict.fromkeys([*strong, *inline])
        return {
            name: tuple(table[name] for table in (strong, inline) if name in table)
            for name in names
        }

    def _container_types(self) -> dict[str, Setting]:
        settings: dict[str, Setting] = {}
        for entry in self._maps.get("container_types", []):
            key = f"container_types.{entry.name}"
            place = Place(self._source, key, f"container type {entry.name}", key)
            checks.check_type(entry, self._source)
            listed = entries(entry.node, self._source, key)
            settings.update(read_block(listed, limits_blocks()["container type"], place))
        return settings

    def _bare_metal(self, host: Layer) -> dict[str, Origin]:
        exempt = host.get("bare_metal_access.exempt_users")
        return dict.fromkeys(exempt.value, exempt.origin) if exempt and exempt.origin else {}

    def _default_group(self, host: Layer, names: list[str]) -> str | None:
        """Name the default group; None where it is named wrongly, which is then noted."""
        default = host.get("default_group") or builtin_policy().setting("default_group")
        if default.origin and default.origin.line and names and default.value not in names:
            known = did_you_mean(default.value, names)
            message = f"there is no group {default.value!r}{known}"
            self._source.error(default.origin.line, "default_group", message)
            return None
        return str(default.value)


def _is_group_name(name: str) -> bool:
    signs = [sign for sign in name if not (sign.isascii() and sign.isalnum())]
    return bool(name) and name != NOT_A_GROUP and all(sign in _GROUP_SIGNS for sign in signs)


def _host_settings(listed: Iterable[Entry], source: Source) -> dict[str, Setting]:
    settings = read_block(listed, host_block(), Place(source, "", "policy"))
    return {key: _ruled(setting) for key, setting in settings.items()}


def _ruled(setting: Setting) -> Setting:
    section = setting.key.rpartition(".")[0] or setting.key
    return setting._replace(origin=setting.origin and setting.origin._replace(rule=section))


def _members(
    listed: list[Membership], wanted: list[Membership], names: list[str]
) -> dict[str, Setting]:
    """Choose each login's group: of several the one in group-overrides, else the first defined."""
    preferred = {(one.login, one.group) for one in wanted}

    def rank(one: Membership) -> tuple[bool, int]:
        return ((one.login, one.group) not in preferred, names.index(one.group))

    members: dict[str, Setting] = {}
    for one in sorted(listed, key=rank):
        members.setdefault(one.login, Setting("group", one.group, one.origin))
    return members


def _with_findings(policy: Policy, findings: Findings) -> Policy:
    return policy._replace(files=tuple(findings.files), warnings=findings.told())
