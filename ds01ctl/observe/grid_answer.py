"""Read what a provider answers, and take nothing for a figure that is none.

Null is not 0. What is refused is told with what was said.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from ds01ctl.core.intensity import problem_of
from ds01ctl.core.timestamp import parse_time
from ds01ctl.observe.grid_secrets import masked, words

if TYPE_CHECKING:
    from ds01ctl.core.grid_providers import Kind
    from ds01ctl.core.model import GapKind

_SHOWN = 80
_BEGINNING = 4096
LONGEST_SAID = 4 * _BEGINNING
"""Bytes of an answer that are read for words: its beginning, and all of a token that begins there.
"""


class GridError(Exception):
    """A provider gave no figure; one line of text says why."""

    def __init__(
        self, reason: str, kind: GapKind = "failed", retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.retry_after_s = retry_after_s


def read_json(body: bytes) -> Any:
    """Read JSON as RFC 8259 has it: no NaN, no Infinity. Raises GridError."""
    try:
        return json.loads(body, parse_constant=_no_number)
    # a RecursionError is an answer of brackets only
    except (ValueError, RecursionError):
        raise GridError(f"is no JSON: {said(body)}") from None


def member(value: Any, *path: str | int) -> Any:
    """Take a part of an answer, by names and places. Raises GridError where it is not there."""
    for step in path:
        is_there = (
            step in value
            if isinstance(value, dict)
            else isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if not is_there:
            raise GridError(f"has no {'.'.join(map(str, path))}: {shown(value)}")
        value = value[step]
    return value


def items(value: Any, *path: str | int) -> list[Any]:
    """Take a list out of an answer. Raises GridError."""
    found = member(value, *path)
    if not isinstance(found, list):
        raise GridError(f"{'.'.join(map(str, path))} is no list: {shown(found)}")
    return found


def grams(value: object, what: str, kind: Kind = "average", factor: float = 1.0) -> float:
    """Take a figure in g/kWh; ``factor`` turns the provider's unit into it. Raises GridError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GridError(f"{what} is {shown(value)}, no number")
    try:
        converted = float(value) * factor
    except OverflowError:
        converted = float("inf")
    if problem := problem_of(converted, kind):
        raise GridError(f"{what} is {shown(value)}, which {problem}")
    return converted


def text(value: object, what: str) -> str:
    """Take a text. Raises GridError."""
    if not isinstance(value, str):
        raise GridError(f"{what} is {shown(value)}, no text")
    return value


def moment(value: object, what: str) -> datetime:
    """Take a time as aware UTC; seconds may be missing, as NESO's are. Raises GridError."""
    written = text(value, what)
    whole = re.sub(r"([T ]\d\d:\d\d)(Z|z|[+-]\d\d:?\d\d)?$", r"\1:00\2", written)
    try:
        at = parse_time(whole)
        return at.replace(tzinfo=at.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise GridError(f"{what} is {shown(value)}, no time") from None


def must_be(value: object, wanted: str, what: str) -> None:
    """Refuse an answer to another question. Raises GridError."""
    if value != wanted:
        raise GridError(f"{what} is {shown(value)}, not {wanted}")


def shown(value: object) -> str:
    """Write what was said on one line, in ASCII, cut where it is long."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return repr(value)[:_SHOWN]
        except ValueError:
            return "a number of thousands of digits"
    try:
        written = json.dumps(masked(value) if isinstance(value, str) else value)
    # a ValueError is a number of thousands of digits within
    except (TypeError, ValueError, RecursionError):
        written = ascii(value)
    # a part of a secret, where the text is cut, would be one no more
    written = masked(written)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"


def said(body: bytes) -> str:
    """Write the text of an answer that is no good, without its tags, on one line."""
    written = masked(body[:LONGEST_SAID].decode("utf-8", errors="replace"))
    return shown(words(written[:_BEGINNING]))


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
