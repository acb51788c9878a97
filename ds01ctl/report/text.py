"""Make foreign text harmless, and numbers readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

# what would reorder or hide the text around it on a terminal
_INVISIBLE = {0x200B, 0x200E, 0x200F, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_ESCAPES = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *_INVISIBLE, 0x2028, 0x2029)
}

ENDLESS = 1_000_000
"""More columns than any line has."""


def clean(text: object, limit: int = 200) -> str:
    """Show control characters instead of obeying them, and cut long text."""
    shown = str(text).translate(_ESCAPES)
    # a lone surrogate, from undecodable bytes, can't be printed
    shown = shown.encode("utf-8", "backslashreplace").decode("utf-8")
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


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
