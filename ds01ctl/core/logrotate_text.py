"""Read logrotate's configuration as far as it says which files are rotated.

Source: logrotate(8), config.c of logrotate 3.21.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

TABOO = (
    ".bak", ".cfsaved", ".disabled", ".dpkg-bak", ".dpkg-del", ".dpkg-dist", ".dpkg-new",
    ".dpkg-old", ".dpkg-tmp", ".new", ".old", ".rhn-cfg-tmp-", ".rpmnew", ".rpmorig", ".rpmsave",
    ".swp", ".ucf-dist", ".ucf-new", ".ucf-old", ",v", "~",
)  # fmt: skip
"""Ends of the names that an `include` of a folder leaves out."""
_SCRIPTS = {"prerotate", "postrotate", "firstaction", "lastaction", "preremove"}
_MAGIC = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\[!?\]?[^\]]*\]|\\.|.", re.DOTALL)


class Pattern(NamedTuple):
    """A file name, or a glob, that is rotated."""

    glob: str
    line: int


def is_read(name: str) -> bool:
    """Tell whether an `include` of a folder reads a file of this name."""
    return not name.startswith(".") and not name.endswith(TABOO)


def includes(text: str) -> list[str]:
    """Name the files and folders that are included."""
    words = [line.split() for line in text.splitlines()]
    return [line[1] for line in words if len(line) == 2 and line[0] == "include"]


def patterns(text: str) -> tuple[Pattern, ...]:
    """List what is rotated; what can't be read is left to logrotate to complain about."""
    return tuple(_patterns(text))


def _patterns(text: str) -> Iterator[Pattern]:
    head: list[tuple[int, str]] = []
    inside = script = False
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if script:
            script = line != "endscript"
        elif inside:
            script = line.split("#")[0].strip() in _SCRIPTS
            inside = not line.endswith("}") or line.startswith("#")
        elif line and not line.startswith("#") and (head or line[0] in "/\"'~*{"):
            before, brace, after = line.partition("{")
            head.append((number, before))
            if brace:
                yield from _words(head)
                head = []
                inside = not after.strip().endswith("}")


def _words(head: list[tuple[int, str]]) -> Iterator[Pattern]:
    for number, text in head:
        try:
            yield from (Pattern(word, number) for word in shlex.split(text))
        except ValueError:
            continue


def has_magic(glob: str) -> bool:
    """Tell whether a name stands for more than itself."""
    return bool(_MAGIC.search(glob))


def may_meet(one: str, other: str) -> bool:
    """Tell whether there can be a file that both globs match; `*` stays within a folder."""
    left, right = one.split("/"), other.split("/")
    return len(left) == len(right) and all(
        _meet(_tokens(a), _tokens(b)) for a, b in zip(left, right, strict=True)
    )


def _tokens(part: str) -> list[str]:
    """Split a name into its signs; a set of signs may be any sign."""
    found = _TOKEN.findall(part)
    return ["?" if len(one) > 1 and one[0] == "[" else one[-1] for one in found]


def _meet(left: list[str], right: list[str]) -> bool:
    """Walk both globs at once; reached[j]: the left so far and j signs of the right can be one."""
    reached = [True]
    for sign in right:
        reached.append(reached[-1] and sign == "*")
    for mine in left:
        now = [reached[0] and mine == "*"]
        for j, sign in enumerate(right):
            if "*" in (mine, sign):
                now.append(reached[j + 1] or now[j])
            else:
                now.append(reached[j] and (mine == sign or "?" in (mine, sign)))
        reached = now
    return reached[-1]
