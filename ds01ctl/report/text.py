"""Make foreign text harmless, and numbers readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from ds01ctl.core.plan import Result

ENDLESS = 1_000_000
"""More columns than any line has."""


def printable(text: str) -> str:
    """Show as escapes what a terminal would obey, hide or reorder: controls, bidi, line ends."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def clean(text: object, limit: int = 200) -> str:
    """Make text printable, and cut what is long."""
    shown = printable(str(text))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def gap_lines(result: Result) -> list[str]:
    """Tell what could not be read, a line each."""
    return [f"note: {gap.source}: {clean(gap.reason, 2000)}" for gap in result.gaps]


def age(span: timedelta | None) -> str:
    """Show a time span by its largest unit: ``45s``, ``12m``, ``3h``, ``5d``."""
    if span is None:
        return "?"
    seconds = max(int(span.total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def memory(size: int | None) -> str:
    """Show bytes in MiB or GiB; unknown is ``?``, never 0."""
    if size is None:
        return "?"
    mib = size / (1 << 20)
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def width() -> int:
    """Count the terminal's columns: $COLUMNS, else its own; what is piped has no end."""
    from shutil import get_terminal_size

    return get_terminal_size((ENDLESS, 24)).columns


def cells(text: str) -> int:
    """Count the terminal cells that a text takes: a wide character two, a combining one none.

    Source: Unicode standard annex 11.
    """
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text
    )


def columns(rows: Sequence[Sequence[str]], widest: int | None = None) -> list[str]:
    """Align rows of text into plain lines, two spaces between columns.

    A text of more than ``widest`` cells does not widen its column: it shifts its own row only.
    """
    if not rows:
        return []
    widths = [_width([row[index] for row in rows], widest) for index in range(len(rows[0]))]
    return [
        "  ".join(
            text + " " * (width - cells(text)) for text, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _width(column: Sequence[str], widest: int | None) -> int:
    sizes = [cells(text) for text in column]
    return max((size for size in sizes if widest is None or size <= widest), default=0)
