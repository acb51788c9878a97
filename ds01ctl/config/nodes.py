"""YAML as a tree whose parts know their lines."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from ds01ctl.config.source import Source

    class Mark(Protocol):
        """A place in the text, counted from 0."""

        index: int
        line: int
        column: int

    class Node(Protocol):
        """A part of a YAML document, as ruamel.yaml composes it."""

        id: str
        """scalar, sequence, mapping."""
        tag: str
        value: Any
        """The text, the nodes, or pairs of nodes."""
        style: str | None
        """A scalar's quotes."""
        flow_style: bool
        start_mark: Mark
        end_mark: Mark


_MAX_MERGES = 20
_WORDS = (
    (r"'\\t'", "a tab begins a word here; YAML wants spaces"),
    ("found another document", "a second document begins here; a file holds one"),
    ("found character (.*) that", r"not YAML: a value cannot begin with \1; put it in quotes"),
    (
        "found undefined alias '(.*)'",
        r"not YAML: *\1 stands for what &\1 marks, which is not there",
    ),
    ("found '<stream end>'", "not YAML: the text ends while a bracket is open"),
    (
        "mapping values are not allowed",
        "not YAML: no key can stand here; look at the indentation and at the line above",
    ),
    (
        "<block end>, but found '<scalar>'",
        "not YAML: text behind the end of a value; is a quote missing, or one too many?",
    ),
    (
        "<block end>, but found",
        "not YAML: is not indented like the lines before it, or is a list beside keys",
    ),
)
"""What ruamel.yaml says, as patterns, and the same for people."""
_LITERAL = r"(?i)[+-]?[\d._]+(e[+-]?\d+)?|true|false|yes|no|on|off"


class Entry(NamedTuple):
    """One key of a map."""

    name: str
    line: int
    """Counted from 1."""
    node: Node


def compose(text: str, source: Source) -> Node | None:
    """Parse a YAML document; None where it is empty, or wrong, which is then noted."""
    if not text:
        return None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor that is used twice
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        source.error(*_syntax(error, text))
    except YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        source.error(line, "", "holds a character that YAML does not allow")
    except RecursionError:
        source.error(None, "", "is nested too deeply")
    except (ValueError, OverflowError) as error:  # an escape that is no character
        source.error(None, "", f"is not YAML: {error}")
    else:
        return node
    return None


def _syntax(error: Any, text: str) -> tuple[int | None, str, str]:
    """Say on which line YAML ended, and why, in an admin's words where there are some."""
    if opened := _left_open(error, text):
        return opened
    mark = error.problem_mark or error.context_mark
    # the end of the text lies behind its last line
    line = min(mark.line + 1, max(len(text.splitlines()), 1)) if mark else None
    for pattern, words in _WORDS:
        if found := re.search(pattern, error.problem or ""):
            return line, "", found.expand(words)
    parts = (error.problem, error.context)
    return line, "", "not YAML: " + ", ".join(part for part in parts if part)


def _left_open(error: Any, text: str) -> tuple[int, str, str] | None:
    """Name the place where a quote or bracket opened that is not closed."""
    start, end = error.context_mark, error.problem_mark
    if start is None or end is None or not re.search("quoted|flow", error.context or ""):
        return None
    if text[start.index : start.index + 1] not in tuple("[{'\""):
        return None
    kind = "quote" if "quoted" in error.context else "bracket"
    sign = f"the {kind} {text[start.index : start.index + 1]} that opens here"
    if "end of stream" in error.problem or "<stream end>" in error.problem:
        return start.line + 1, "", f"{sign} is never closed"
    if end.line == start.line or "flow" not in error.context:
        return None
    return (
        start.line + 1,
        "",
        f"{sign} is not closed before line {end.line + 1}",
    )


def line_of(node: Node) -> int:
    """Say on which line a node begins, counted from 1."""
    return node.start_mark.line + 1


def is_null(node: Node) -> bool:
    """Tell whether a node is null: empty, ``~`` or ``null``."""
    return node.id == "scalar" and node.tag == "tag:yaml.org,2002:null"


def is_plain(node: Node) -> bool:
    """Tell whether a scalar is written without quotes."""
    return not node.style


def text_of(node: Node) -> str:
    """Give a scalar's text. Raises ValueError for a list or a map."""
    if node.id != "scalar":
        raise ValueError
    return str(node.value)


def entries(node: Node, source: Source, key: str) -> list[Entry]:
    """List the entries of a map, merges included; null is an empty map.

    A node of another type, and a key that is there twice, are noted as problems.
    """
    if is_null(node):
        return []
    if node.id != "mapping":
        source.error(line_of(node), key, f"{shown(node)}; expected keys with values")
        return []
    return list(_merged(node, source, key, 0).values())


def _merged(node: Node, source: Source, key: str, depth: int) -> dict[str, Entry]:
    own: dict[str, Entry] = {}
    merged: dict[str, Entry] = {}
    for name, value in node.value:
        if name.id == "scalar" and name.tag == "tag:yaml.org,2002:merge":
            for entry in _merge(value, source, key, depth):
                merged.setdefault(entry.name, entry)
        elif name.id != "scalar":
            source.error(line_of(name), key, "a key must be one word")
        elif name.value in own:
            first = own[name.value].line
            source.error(line_of(name), _join(key, name.value), f"is here twice; see line {first}")
        else:
            own[name.value] = Entry(name.value, line_of(name), value)
    return {**merged, **own}


def _merge(value: Node, source: Source, key: str, depth: int) -> Iterator[Entry]:
    for part in value.value if value.id == "sequence" else [value]:
        if part.id != "mapping" or depth > _MAX_MERGES:
            source.error(line_of(value), key, "<<: expected maps to merge")
        else:
            yield from _merged(part, source, key, depth + 1).values()


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def shown(node: Node) -> str:
    """Say what a node is, for messages; numbers and booleans as they are, text in quotes."""
    if node.id != "scalar":
        return "is a list" if node.id == "sequence" else "is a map"
    text = node.value[:60]
    if not re.fullmatch(_LITERAL, node.value):
        return f"is {text!r}"
    return f"is {text}" if is_plain(node) else f"is {text!r} in quotes"
