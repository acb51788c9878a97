"""Show what `doctor` found: a rich table on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, RenderableType

    from ds01ctl.core.plan import Result

_TITLES = ("STATE", "AREA", "CHECK", "FOUND")
_WHOLE = 4096
_WIDEST_CELL = 60
"""A longer text is not what a column is laid out for."""
_COLOURS = {"problem": "bold red", "warning": "yellow", "unknown": "magenta", "ok": "green"}
_WORDS = (
    ("ok", "ok", "ok"),
    ("warning", "warning", "warnings"),
    ("problem", "problem", "problems"),
    ("unknown", "unknown", "unknown"),
    ("not-here", "not here", "not here"),
)


def print_result(result: Result) -> None:
    """Print the rows, then how many there are of each state."""
    if sys.stdout.isatty():
        _print_on_terminal(result)
    else:
        print("\n".join(plain_lines(result)))


def plain_lines(result: Result) -> list[str]:
    """Give a line for each row: whole, since a script may read it."""
    rows = [(*_cells(row), _text(row["why"]), _text(row["fix"])) for row in result.data["checks"]]
    lines = columns([(*_TITLES, "WHY", "FIX"), *rows], _WIDEST_CELL) if rows else []
    return [*lines, summary(result.data)]


def summary(data: Mapping[str, Any]) -> str:
    """Count the checks: ``31 checks: 24 ok, 3 warnings, 2 problems, 2 unknown``."""
    counts = data["counts"]
    total = sum(counts.values())
    told = [
        f"{counts[state]} {one if counts[state] == 1 else many}"
        for state, one, many in _WORDS
        if counts[state]
    ]
    return f"{total} {'check' if total == 1 else 'checks'}: {', '.join(told) or 'none'}"


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["state"], row["area"], _text(row["check"]), _text(row["found"])


def _text(value: object) -> str:
    return "" if value is None else clean(value, _WHOLE)


# --- on a terminal ------------------------------------------------------------------------------


def _print_on_terminal(result: Result) -> None:
    from rich.text import Text

    from ds01ctl.report import screen

    terminal = screen.console()
    rows = result.data["checks"]
    widths = screen.column_widths(_TITLES, [_cells(row) for row in rows], terminal.width)
    # what was found may be folded; the rest is short
    widths[-1] = max(min(widths[-1], terminal.width - sum(widths[:-1]) - 2 * (len(widths) - 1)), 20)
    if rows:
        terminal.print(_grid([Text(title, style="bold") for title in _TITLES], widths))
    for row in rows:
        _print_row(terminal, row, widths)
    terminal.print(Text(summary(result.data)))


def _print_row(terminal: Console, row: Mapping[str, Any], widths: list[int]) -> None:
    """Print a row; below it what it costs, and how to mend it."""
    from rich.padding import Padding
    from rich.text import Text

    state, *rest = _cells(row)
    cells = [Text(state, style=_COLOURS.get(state, "dim")), *map(Text, rest)]
    terminal.print(_grid(cells, widths))
    if row["why"]:
        terminal.print(Padding(Text(_text(row["why"]), style="dim"), (0, 0, 0, 4), expand=False))
    if row["fix"]:
        # the terminal folds it, so that a copied command is one line
        terminal.print(Text(f"    fix: {_text(row['fix'])}"), soft_wrap=True)
    if row["needs_reboot"]:
        terminal.print(Text("    needs a reboot", style="dim"))


def _grid(texts: Sequence[RenderableType], widths: list[int]) -> RenderableType:
    from rich.table import Column, Table

    grid = Table.grid(*(Column(width=width, overflow="fold") for width in widths), padding=(0, 2))
    grid.add_row(*texts)
    return grid
