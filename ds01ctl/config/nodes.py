"""YAML as a tree whose parts know their lines."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

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


class Entry(NamedTuple):
    """One key of a map."""

    name: str
    line: int
    """Counted from 1."""
    node: Node


def compose(text: str, source: Source) -> Node | None:
    """Parse a YAML document; None where it is empty, or wrong, which is then noted."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor that is used twice
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source.error(mark.line + 1 if mark else None, "", _syntax(error))
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


def _syntax(error: Any) -> str:
    if error.problem and r"'\t'" in error.problem:
        return "a tab begins a word here; YAML wants spaces"
    return "not YAML: " + ", ".join(part for part in (error.problem, error.context) if part)


def line_of(node: Node) -> int:
    """Say on which line a node begins, counted from 1."""
    return node.start_mark.line + 1


def is_null(node: Node) -> bool:
    """Tell whether a node is null: empty, ``~`` or ``null``."""
    return node.id == "scalar" and node.tag == "tag:yaml.org,2002:null"


def is_plain(node: Node) -> bool:
    """Tell whether a scalar is written without quotes."""
    return not node.style


def entries(node: Node, source: Source, key: str) -> list[Entry]:
    """List the entries of a map, merges included; null is an empty map.

    A node of another type, and a key that is there twice, are noted as problems.
    """
    if is_null(node):
        return []
    if node.id != "mapping":
        source.error(line_of(node), key, f"{_kind(node)}; expected keys with values")
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


def _kind(node: Node) -> str:
    return "is a list" if node.id == "sequence" else f"is {node.value[:60]!r}"
