"""Change the text of a YAML file, whose tree says where; all other lines stay as they are.

An odd layout may make nonsense of a change, so whoever asks for one reads the new text back.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.config.nodes import is_null
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.config.nodes import Node

_PLAIN = r"[a-z][a-z_]*|/[a-zA-Z0-9_./-]*"
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""What YAML 1.2, or 1.1 as other programs read it, takes for something else than text."""
_CELL = r"[1-9]\d{0,17}(\.\d+)?[KMGTPkmgtp]|\d{4}-\d\d-\d\d"
_ALIAS = re.compile(r"\s*\*[^\s,\[\]{}]+")


class Found(NamedTuple):
    """An entry of a map."""

    key: Node
    node: Node
    line: int
    """Of the key, counted from 0; an empty value's own place lies behind the comments."""
    colon: int
    """Where the text behind the colon begins."""
    end: int
    """Where the text of the value ends; not of a map or list in lines of its own."""


def entry_of(text: str, node: Node | None, name: str) -> Found | None:
    """Find an entry of a map by its name."""
    if node is None or node.id != "mapping":
        return None
    found = (pair for pair in node.value if pair[0].value == name)
    return next((_found(text, key, value) for key, value in found), None)


def _found(text: str, key: Node, value: Node) -> Found:
    mark = key.end_mark
    colon = text.index(":", mark.index) + 1
    end = colon if _is_empty(value) else value.end_mark.index
    if _is_alias(key, value):
        alias = _ALIAS.match(text, colon)
        end = alias.end() if alias else colon
    return Found(key, value, mark.line, colon, end)


def _is_alias(key: Node, value: Node) -> bool:
    """Tell whether a value's text is elsewhere: what ``*x`` stands for comes before it."""
    return value.start_mark.index < key.end_mark.index


def with_row(text: str, tree: Node | None, name: str, row: list[str]) -> str:
    """Add a row, ``key: value`` each, to the list under a key at the top."""
    found = entry_of(text, tree, name)
    if found is None:
        return _with_newline(text) + f"{name}:\n" + _block(row, 2)
    node = found.node
    if _is_empty(node):
        return _after_line(text, found.line, _block(row, 2))
    if is_null(node) or not node.value:
        rest = text[node.end_mark.index :]
        return text[: found.colon] + "\n" + _block(row, 2).rstrip("\n") + rest
    if node.flow_style:
        return _into_flow(text, node, "{" + ", ".join(row) + "}")
    return _after_node(text, node, _block(row, node.start_mark.column))


def with_value(
    text: str,
    node: Node | None,
    names: tuple[str, ...],
    value: str,
    *,
    column: int = 0,
    whole: bool = False,
) -> str:
    """Set the value under a path of keys, making the maps on the way.

    whole: put it in the place of a map or list too. Raises Ds01Error where a map is missing.
    """
    found = entry_of(text, node, names[0])
    if found is None:
        return _inserted(text, node, names, value, column)
    if len(names) == 1:
        return _replaced(text, found, value, whole=whole)
    if is_null(found.node):
        return _after_line(text, found.line, _maps(names[1:], value, column + 2))
    inner = found.node
    if inner.id != "mapping":
        raise Ds01Error(f"{names[0]} holds no map of keys", "edit the file by hand")
    step = inner.value[0][0].start_mark.column if inner.value else column + 2
    return with_value(text, inner, names[1:], value, column=step, whole=whole)


def _inserted(text: str, node: Node | None, names: tuple[str, ...], value: str, column: int) -> str:
    """Put a key, and the maps around it, at the end of a map."""
    if node is None or is_null(node):
        return _with_newline(text) + _maps(names, value, column)
    if node.flow_style:
        maps = "".join(f"{scalar(name)}: {{" for name in names[:-1])
        inner = f"{scalar(names[-1])}: {value}"
        return _into_flow(text, node, maps + inner + "}" * (len(names) - 1))
    return _after_node(text, node, _maps(names, value, column))


def _maps(names: tuple[str, ...], value: str, column: int) -> str:
    """Write nested maps, one line each, with a value in the innermost."""
    keys = [f"{' ' * (column + 2 * level)}{scalar(name)}:" for level, name in enumerate(names)]
    return "\n".join(keys) + f" {value}\n"


def _replaced(text: str, found: Found, value: str, *, whole: bool) -> str:
    """Put a value in another's place; an empty one has none but the colon's."""
    node = found.node
    if node.id != "scalar" and not whole:
        raise Ds01Error("the key holds a map or a list", "edit the file by hand")
    if _is_empty(node) or _is_alias(found.key, node):
        return f"{text[: found.colon]} {value}{text[found.end :]}"
    if node.id == "scalar" or node.flow_style:
        return text[: node.start_mark.index] + value + text[found.end :]
    lines = text.splitlines(keepends=True)
    below = lines[_last_line(node) + 1 :]
    behind = text[found.colon :].splitlines(keepends=True)[0]
    return f"{text[: found.colon]} {value}{behind}" + "".join(below)


def without(text: str, node: Node | None, names: tuple[str, ...], kept: int) -> str | None:
    """Take away what is under a path of keys, and each map that then holds nothing.

    kept: how many of the outer keys stay even then. None: there is nothing under that path.
    """
    chain: list[tuple[Node, Found]] = []
    for name in names:
        found = entry_of(text, node, name)
        if node is None or found is None:
            return None
        chain.append((node, found))
        node = found.node
    while len(chain) > kept + 1 and len(chain[-1][0].value) == 1:
        chain.pop()
    around, found = chain[-1]
    return _out_of_flow(text, found) if around.flow_style else _out_of_block(text, found)


def _out_of_block(text: str, found: Found) -> str:
    lines = text.splitlines(keepends=True)
    last = _last_line_of(found.key, found.node)
    return "".join(lines[: found.key.start_mark.line] + lines[last + 1 :])


def _out_of_flow(text: str, found: Found) -> str:
    """Take away an entry and one comma, with its line if nothing else stands there."""
    before, after = text[: found.key.start_mark.index], text[found.end :]
    line = before.rfind("\n") + 1
    if not before[line:].strip() and (rest := re.match(r"[ \t]*,[ \t]*\r?\n", after)):
        return before[:line] + after[rest.end() :]
    if rest := re.match(r"\s*,[ \t]*", after):
        return before + after[rest.end() :]
    return re.sub(r"\s*,\s*\Z", "", before) + after


def _into_flow(text: str, node: Node, item: str) -> str:
    """Add an item before the closing bracket of a flow list or map."""
    end = node.end_mark.index - 1
    if not node.value:
        return text[:end] + item + text[end:]
    last = node.value[-1]
    at = _found(text, *last).end if isinstance(last, tuple) else last.end_mark.index
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
        return _last_line_of(*last) if isinstance(last, tuple) else _last_line(last)
    mark = node.end_mark
    is_behind = mark.column == 0 and mark.line > node.start_mark.line
    return mark.line - 1 if is_behind else mark.line


def _last_line_of(key: Node, value: Node) -> int:
    is_elsewhere = _is_empty(value) or _is_alias(key, value)
    return key.end_mark.line if is_elsewhere else _last_line(value)


def _is_empty(node: Node) -> bool:
    return is_null(node) and not node.value


def _with_newline(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _block(row: list[str], column: int) -> str:
    dash = " " * column
    return f"{dash}- {row[0]}\n" + "".join(f"{dash}  {cell}\n" for cell in row[1:])


def with_same_ends(text: str, like: str) -> str:
    """End lines as another text does, if that ends all of its own with CR and LF."""
    is_crlf = "\r\n" in like and not re.search(r"(?<!\r)\n", like)
    return re.sub(r"(?<!\r)\n", "\r\n", text) if is_crlf else text


def flow_map(fields: Mapping[str, str | int | None]) -> str:
    """Write a map in one line; sizes and dates in it without quotes, as people do."""
    cells = ", ".join(f"{scalar(name)}: {_cell(value)}" for name, value in fields.items())
    return f"{{{cells}}}"


def _cell(value: str | int | None) -> str:
    is_bare = isinstance(value, str) and re.fullmatch(_CELL, value, re.ASCII)
    return str(value) if is_bare else scalar(value)


def scalar(value: str | float | list[str] | None) -> str:
    """Write a value as YAML that reads back as itself."""
    if isinstance(value, list):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(_PLAIN, value) and value not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda c: f"\\u{ord(c[0]):04x}", quoted)
