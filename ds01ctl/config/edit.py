"""Change one thing in a policy file, and not a byte besides.

The YAML tree only says where; the change is made in the text, for writing the tree back would
lay out flow rows, blank lines and alignment anew. The changed text must read back as the old
tree with the change, else nothing is written.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl import files
from ds01ctl.config.exemptions import FILE
from ds01ctl.config.nodes import compose, is_null
from ds01ctl.config.source import Findings, PolicyError, Source, is_there, read_text
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.config.nodes import Node

OVERRIDES = "user-overrides.yaml"


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
            hint = "look at the change again"
            raise Ds01Error(f"{self.path}: was changed by someone else meanwhile", hint)
        try:
            _write(self.path, self.after)
        except OSError as error:
            raise Ds01Error(f"{self.path}: cannot be written: {error.strerror}") from None


def add_exemption(policy: Path, fields: Mapping[str, str | list[str] | None]) -> Edit:
    """Add a row to the exemptions beside a policy file; fields as in exemptions.FIELDS."""
    path = _beside(policy, FILE)
    before = _current(path)
    row = [f"{name}: {_scalar(value)}" for name, value in fields.items()]
    after = _with_row(before or "", _tree(path, before or ""), row)
    return _verified(Edit(path, before, after), ("exemptions",), dict(fields))


def _with_row(text: str, tree: Node | None, row: list[str]) -> str:
    found = _entry(text, tree, "exemptions")
    if found is None:
        return _with_newline(text) + "exemptions:\n" + _block(row, 2)
    node = found.node
    if _is_empty(node):
        return _after_line(text, found.line, _block(row, 2))
    if is_null(node) or not node.value:
        rest = text[node.end_mark.index :]
        return text[: found.colon] + "\n" + _block(row, 2).rstrip("\n") + rest
    if node.flow_style:
        return _into_flow(text, node, "{" + ", ".join(row) + "}")
    return _after_node(text, node, _block(row, node.start_mark.column))


def set_override(policy: Path, login: str, key: str, value: str | float | None) -> Edit:
    """Set one limit of a user in the overrides beside a policy file; key as Policy.limit has it."""
    path = _beside(policy, OVERRIDES)
    before = _current(path)
    names = (login, *key.split("."))
    after = _set(before or "", _tree(path, before or ""), names, _scalar(value), 0)
    return _verified(Edit(path, before, after), names, value)


def _set(text: str, node: Node | None, names: tuple[str, ...], value: str, column: int) -> str:
    """Set the value under a path of keys, making the maps on the way."""
    found = _entry(text, node, names[0])
    if found is None:
        return _inserted(text, node, names, value, column)
    if len(names) == 1:
        return _replaced(text, found, value)
    if is_null(found.node):
        return _after_line(text, found.line, _maps(names[1:], value, column + 2))
    inner = found.node
    if inner.id != "mapping":
        raise Ds01Error(f"{names[0]} holds no map of keys", "edit the file by hand")
    step = inner.value[0][0].start_mark.column if inner.value else column + 2
    return _set(text, inner, names[1:], value, step)


def _inserted(text: str, node: Node | None, names: tuple[str, ...], value: str, column: int) -> str:
    """Put a key, and the maps around it, at the end of a map."""
    if node is None or is_null(node):
        return _with_newline(text) + _maps(names, value, column)
    if node.flow_style:
        maps = "".join(f"{_scalar(name)}: {{" for name in names[:-1])
        inner = f"{_scalar(names[-1])}: {value}"
        return _into_flow(text, node, maps + inner + "}" * (len(names) - 1))
    return _after_node(text, node, _maps(names, value, column))


def _maps(names: tuple[str, ...], value: str, column: int) -> str:
    """Write nested maps, one line each, with a value in the innermost."""
    keys = [f"{' ' * (column + 2 * level)}{_scalar(name)}:" for level, name in enumerate(names)]
    return "\n".join(keys) + f" {value}\n"


def _replaced(text: str, found: Found, value: str) -> str:
    """Put a scalar in another's place; an empty one has none but the colon's."""
    node = found.node
    if node.id != "scalar":
        raise Ds01Error("the key holds a map or a list", "edit the file by hand")
    if _is_empty(node):
        return f"{text[: found.colon]} {value}{text[found.colon :]}"
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


def _into_flow(text: str, node: Node, item: str) -> str:
    """Add an item before the closing bracket of a flow list or map."""
    end = node.end_mark.index - 1
    if not node.value:
        return text[:end] + item + text[end:]
    last = node.value[-1][1] if isinstance(node.value[-1], tuple) else node.value[-1]
    at = last.end_mark.index
    return text[:at] + f", {item}" + text[at:]


def _after_node(text: str, node: Node, block: str) -> str:
    return _after_line(text, _last_line(node), block)


def _after_line(text: str, line: int, block: str) -> str:
    lines = text.splitlines(keepends=True)
    return _with_newline("".join(lines[: line + 1])) + block + "".join(lines[line + 1 :])


def _last_line(node: Node) -> int:
    """Say on which line a node's text ends; a block's own end mark lies behind its comments."""
    if node.id != "scalar" and not node.flow_style and node.value:
        last = node.value[-1]
        if not isinstance(last, tuple):
            return _last_line(last)
        return last[0].end_mark.line if _is_empty(last[1]) else _last_line(last[1])
    mark = node.end_mark
    is_behind = mark.column == 0 and mark.line > node.start_mark.line
    return mark.line - 1 if is_behind else mark.line


def _is_empty(node: Node) -> bool:
    return is_null(node) and not node.value


def _with_newline(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _block(row: list[str], column: int) -> str:
    dash = " " * column
    return f"{dash}- {row[0]}\n" + "".join(f"{dash}  {cell}\n" for cell in row[1:])


class Found(NamedTuple):
    """An entry of a map."""

    node: Node
    line: int
    """Of the key, counted from 0; an empty value's own place lies behind the comments."""
    colon: int
    """Where the text behind the colon begins."""


def _entry(text: str, node: Node | None, name: str) -> Found | None:
    if node is None or node.id != "mapping":
        return None
    for key, value in node.value:
        if key.value == name:
            mark = key.end_mark
            return Found(value, mark.line, text.index(":", mark.index) + 1)
    return None


def _scalar(value: str | float | list[str] | None) -> str:
    """Write a value as YAML that reads back as itself."""
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(r"[a-z][a-z_]*", value) and value not in {"null", "true", "false"}:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda c: f"\\u{ord(c[0]):04x}", quoted)


def _beside(policy: Path, name: str) -> Path:
    """Find a side file: beside the file itself, also where the path is a link to it."""
    return Path(os.path.realpath(Path(os.path.realpath(policy)).parent / name))


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


def _verified(edit: Edit, names: tuple[str, ...], value: Any) -> Edit:
    """Read the new text back: it must be the old tree with the change."""
    try:
        wanted = _plain(_tree(edit.path, edit.before or "")) or {}
        _put(wanted, names, value)
        is_right = _plain(_tree(edit.path, edit.after)) == wanted
    except (PolicyError, AttributeError, TypeError):
        is_right = False
    if not is_right:
        raise Ds01Error(f"{edit.path}: too unusual to be changed safely", "edit it by hand")
    return edit


def _put(tree: dict[str, Any], names: tuple[str, ...], value: Any) -> None:
    for name in names[:-1]:
        inner = tree.get(name) or {}
        tree[name] = inner
        tree = inner
    if isinstance(value, dict):
        tree[names[-1]] = [*(tree.get(names[-1]) or []), _texts(value)]
    else:
        tree[names[-1]] = _texts(value)


def _texts(value: Any) -> Any:
    """Write values as the scalars of a tree have them."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _plain(node: Node | None) -> Any:
    if node is None or is_null(node):
        return None
    if node.id == "mapping":
        return {key.value: _plain(value) for key, value in node.value}
    return [_plain(item) for item in node.value] if node.id == "sequence" else node.value


def _write(path: Path, text: str) -> None:
    old = path.stat() if path.exists() else None
    files.write_atomic(path, text, mode=old.st_mode & 0o7777 if old else 0o644)
    if old and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # a member of the file's group may write, not give away
            os.chown(path, old.st_uid, old.st_gid)
