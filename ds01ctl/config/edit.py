"""Change one thing in a policy file, and not a byte besides.

The YAML tree only says where; the change is made in the text, for writing the tree back would
lay out flow rows, blank lines and alignment anew. The changed text must read back as the old
tree with the change, else nothing is written.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl import files
from ds01ctl.config.disk import folder
from ds01ctl.config.edit_text import (
    entry_of,
    flow_map,
    scalar,
    with_row,
    with_same_ends,
    with_value,
    without,
)
from ds01ctl.config.exemptions import FILE
from ds01ctl.config.nodes import compose, is_null
from ds01ctl.config.source import Findings, PolicyError, Source, is_there, read_text
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ds01ctl.config.nodes import Node

OVERRIDES = "user-overrides.yaml"
Field = str | int | None


class Edit(NamedTuple):
    """A change to one file, not made yet."""

    path: Path
    before: str | None
    """None: the file is not there yet."""
    after: str

    @property
    def diff(self) -> str:
        """Show the change as a unified diff."""
        from difflib import unified_diff

        old = (self.before or "").splitlines(keepends=True)
        new = self.after.splitlines(keepends=True)
        was = "/dev/null" if self.before is None else str(self.path)
        lines = unified_diff(old, new, was, str(self.path))
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)

    def write(self) -> None:
        """Make the change, mode and owner kept. Raises Ds01Error if the file has changed since."""
        if _current(self.path) != self.before:
            raise Ds01Error(f"{self.path}: was changed by someone else meanwhile", "look again")
        try:
            _write(self.path, self.after)
        except OSError as error:
            raise Ds01Error(f"{self.path}: cannot be written: {error.strerror}") from None

    def take_back(self) -> None:
        """Put back what was there before the change. Raises Ds01Error if it was changed since."""
        if self.before is not None:
            Edit(self.path, self.after, self.before).write()
            return
        if _current(self.path) != self.after:
            raise Ds01Error(f"{self.path}: was changed by someone else meanwhile", "look again")
        try:
            self.path.unlink()
        except OSError as error:
            raise Ds01Error(f"{self.path}: cannot be removed: {error.strerror}") from None


class _File(NamedTuple):
    """A file that is to be changed."""

    path: Path
    before: str | None
    tree: Node | None

    @property
    def text(self) -> str:
        return self.before or ""


def add_exemption(policy: Path, fields: Mapping[str, str | list[str] | None]) -> Edit:
    """Add a row to the exemptions beside a policy file; fields as in exemptions.FIELDS."""
    file = _open(_beside(policy, FILE))
    row = [f"{name}: {scalar(value)}" for name, value in fields.items()]
    after = with_row(file.text, file.tree, "exemptions", row)

    def change(tree: dict[str, Any]) -> None:
        tree["exemptions"] = [*(tree.get("exemptions") or []), _texts(dict(fields))]

    return _verified(file, after, change)


def set_override(
    policy: Path, login: str, key: str, value: str | float | None, on: Edit | None = None
) -> Edit:
    """Set one limit of a user in the overrides beside a policy file; key as Policy.limit has it.

    on: an edit of the same file that this one is made on top of: one edit makes both.
    """
    file = _open(_beside(policy, OVERRIDES))
    if on is not None:
        file = _File(file.path, on.after, _tree(file.path, on.after))
    names = (login, *key.split("."))
    after = with_value(file.text, file.tree, names, scalar(value))
    made = _verified(file, after, lambda tree: _put(tree, names, value))
    return made._replace(before=on.before) if on is not None else made


def set_storage(policy: Path, login: str, path: str, fields: Mapping[str, Field]) -> Edit:
    """Set a user's disk limit for a path in the overrides beside a policy file, as a whole.

    login as storage.override_name has it; fields as in storage_keys.STORAGE_LIMIT, and none of
    them for "no limit".
    """
    return _set_storage(_open(_beside(policy, OVERRIDES)), (login,), path, fields)


def unset_storage(policy: Path, login: str, path: str) -> Edit | None:
    """Take a user's disk limit for a path out of the overrides; None where there is none."""
    file = _open(_beside(policy, OVERRIDES))
    return _unset(file, _spelled(file, (login, "storage"), path), kept=0)


def set_group_storage(policy: Path, group: str, path: str, fields: Mapping[str, Field]) -> Edit:
    """Set a group's disk limit for a path in a policy file, as a whole."""
    return _set_storage(_open(_real(policy)), ("groups", group), path, fields)


def unset_group_storage(policy: Path, group: str, path: str) -> Edit | None:
    """Take a group's disk limit for a path away; None where there is none. The group stays."""
    file = _open(_real(policy))
    return _unset(file, _spelled(file, ("groups", group, "storage"), path), kept=2)


def set_project(policy: Path, name: str, fields: Mapping[str, Field]) -> Edit:
    """Set a project in a policy file as a whole; fields as in storage_keys.PROJECT."""
    return _set_map(_open(_real(policy)), ("quota", "projects", name), fields)


def unset_project(policy: Path, name: str) -> Edit | None:
    """Take a project out of a policy file; None where there is none of that name."""
    return _unset(_open(_real(policy)), ("quota", "projects", name), kept=0)


def _set_storage(
    file: _File, holder: tuple[str, ...], path: str, fields: Mapping[str, Field]
) -> Edit:
    return _set_map(file, _spelled(file, (*holder, "storage"), path), fields)


def _set_map(file: _File, names: tuple[str, ...], fields: Mapping[str, Field]) -> Edit:
    value = flow_map(fields) if fields else "null"
    after = with_value(file.text, file.tree, names, value, whole=True)
    return _verified(file, after, lambda tree: _put(tree, names, dict(fields) or None))


def _unset(file: _File, names: tuple[str, ...], kept: int) -> Edit | None:
    after = without(file.text, file.tree, names, kept)
    if after is None and not _has(_plain(file.tree), names):
        return None
    # what comes from a merge has no lines of its own to take away, which the check will tell
    text = file.text if after is None else after
    return _verified(file, text, lambda tree: _take(tree, names, kept))


def _spelled(file: _File, holder: tuple[str, ...], path: str) -> tuple[str, ...]:
    """Name the entry of a path as the file does, which may have a slash at its end."""
    node = file.tree
    for name in holder:
        found = entry_of(file.text, node, name)
        node = found.node if found else None
    keys = [key.value for key, _ in node.value] if node and node.id == "mapping" else []
    return (*holder, next((key for key in keys if _is_path(key, path)), path))


def _is_path(key: str, path: str) -> bool:
    with suppress(ValueError):
        return folder(key) == folder(path)
    return False


def _open(path: Path) -> _File:
    before = _current(path)
    return _File(path, before, _tree(path, before or ""))


def _beside(policy: Path, name: str) -> Path:
    """Find a side file: beside the file itself, also where the path is a link to it."""
    return _real(_real(policy).parent / name)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _current(path: Path) -> str | None:
    try:
        return read_text(path) if is_there(path) else None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Ds01Error(f"{path}: cannot be read: {why}") from None


def _tree(path: Path, text: str) -> Node | None:
    findings = Findings()
    node = compose(text, Source(path, path.name, findings))
    findings.stop_on_problems()
    return node


def _verified(file: _File, after: str, change: Callable[[dict[str, Any]], None]) -> Edit:
    """Read the new text back: it must be the old tree with the change."""
    text = with_same_ends(after, file.text)
    try:
        wanted = _plain(file.tree) or {}
        change(wanted)
        is_right = _plain(_tree(file.path, text)) == _bare(wanted)
    except (PolicyError, AttributeError, TypeError, KeyError, RecursionError):
        is_right = False
    if not is_right:
        raise Ds01Error(f"{file.path}: too unusual to be changed safely", "edit it by hand")
    return Edit(file.path, file.before, text)


def _put(tree: dict[str, Any], names: tuple[str, ...], value: Any) -> None:
    for name in names[:-1]:
        inner = tree.get(name) or {}
        tree[name] = inner
        tree = inner
    tree[names[-1]] = _texts(value)


def _take(tree: dict[str, Any], names: tuple[str, ...], kept: int) -> None:
    """Take an entry away, and the maps around it that are then empty, but for the outer ones."""
    if len(names) > 1:
        _take(tree[names[0]], names[1:], max(kept - 1, 0))
    if len(names) == 1 or (not kept and not tree[names[0]]):
        del tree[names[0]]


def _has(tree: Any, names: tuple[str, ...]) -> bool:
    for name in names:
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True


def _texts(value: Any) -> Any:
    """Write values as the scalars of a tree have them."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _bare(value: Any) -> Any:
    """Write empty maps as null, which is the same to the reader."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()} or None
    return value


def _plain(node: Node | None) -> Any:
    """Give what a tree says, merges resolved: a key beside ``<<`` may hide what came by it."""
    if node is None or is_null(node):
        return None
    if node.id == "mapping":
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for part in reversed(value.value if value.id == "sequence" else [value]):
                    merged.update(_plain(part) or {})
            else:
                own[key.value] = _plain(value)
        return {**merged, **own} or None
    return [_plain(item) for item in node.value] if node.id == "sequence" else node.value


def _write(path: Path, text: str) -> None:
    old = path.stat() if path.exists() else None
    files.write_atomic(path, text, mode=old.st_mode & 0o7777 if old else 0o644)
    if old and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # a member of the file's group may write, not give away
            os.chown(path, old.st_uid, old.st_gid)
