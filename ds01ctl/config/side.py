"""The files beside the policy: members of groups, overrides and exemptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.config.blocks import Place, limits_blocks, read_block
from ds01ctl.config.nodes import Entry, compose, entries
from ds01ctl.config.source import Source, is_there
from ds01ctl.config.values import check_login
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.config.source import Findings
    from ds01ctl.core.policy import Layer, Origin

NOT_A_GROUP = "archived"
"""archived.members lists who left."""


class Membership(NamedTuple):
    """A login that is listed under a group."""

    login: str
    group: str
    origin: Origin


class Folder(NamedTuple):
    """The folder of a policy file, and the files read from it."""

    path: Path
    findings: Findings

    def source(self, name: str) -> Source:
        """Name a file of this folder."""
        return Source(self.path / name, name, self.findings)

    def text(self, source: Source) -> str | None:
        """Read a file that need not be there; None where it is not, or cannot be read."""
        return source.text() if is_there(source.path) else None


def member_files(folder: Folder) -> list[Source]:
    """List groups/*.members; a folder that cannot be listed is noted as a problem."""
    groups = folder.source("groups")
    try:
        names = sorted(path.name for path in groups.path.iterdir()) if is_there(groups.path) else []
    except OSError as error:
        groups.failed("cannot be listed", error)
        return []
    found = [name for name in names if name.endswith(".members") and not name.startswith(".")]
    wanted = [name for name in found if name != f"{NOT_A_GROUP}.members"]
    return [folder.source(f"groups/{name}") for name in wanted]


def group_of_file(source: Source) -> str:
    """Name the group whose members a file lists."""
    return source.path.name.removesuffix(".members")


def read_members(source: Source) -> Iterator[Membership]:
    """Read one login per line; ``#`` begins a comment."""
    for line, text in _lines(source.text() or ""):
        try:
            check_login(text)
        except ValueError as error:
            source.error(line, "", f"{error}; expected one login per line")
        else:
            group = group_of_file(source)
            yield Membership(text, group, source.origin(line, f"members of {group}"))


def read_group_overrides(folder: Folder) -> Iterator[Membership]:
    """Read ``login:group`` lines, which say where the group sync puts a login."""
    source = folder.source("group-overrides.txt")
    for line, text in _lines(folder.text(source) or ""):
        login, _, group = (part.strip() for part in text.rpartition(":"))
        try:
            check_login(login)
        except ValueError:
            source.error(line, "", f"{text[:60]!r}; expected login:group")
        else:
            yield Membership(login, group, source.origin(line, "group override"))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if content := line.partition("#")[0].strip():
            yield number, content


def read_override_file(folder: Folder) -> dict[str, Layer]:
    """Read user-overrides.yaml: login to limits."""
    source = folder.source("user-overrides.yaml")
    node = compose(folder.text(source) or "", source)
    return read_overrides(entries(node, source, "") if node else [], source, "", "user override")


def read_overrides(listed: list[Entry], source: Source, shown: str, rule: str) -> dict[str, Layer]:
    """Read a map of logins to limits."""
    overrides: dict[str, Layer] = {}
    for entry in listed:
        place = Place(source, f"{shown}.{entry.name}" if shown else entry.name, rule)
        try:
            check_login(entry.name)
        except ValueError as error:
            source.error(entry.line, place.shown, str(error))
            continue
        found = entries(entry.node, source, place.shown)
        overrides[entry.name] = read_block(found, limits_blocks()["override"], place)
    return overrides
