"""Lay a table out on a terminal: as wide as it is, and for `--watch` no higher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.report.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType

    from ds01ctl.report.detect_rows import Line, Table

WIDE = 160
"""Columns from which on WHY has one of its own; below, it has lines of its own."""
_GAP = 2
_INDENT = 4
# what may be folded, in the order in which it is, and to how few columns
_FOLDED = {"WHY": 40, "WHAT": 8, "USER": 6, "GPU": 4}
_LONGEST = {"WHY": 300, "WHAT": 60, "USER": 32, "GPU": 40}
_SAID_ONCE = frozenset({"USER", "WHAT", "GPU", "MEMORY", "AGE"})


def console() -> Console:
    """Open the terminal with markup and highlighting off: a label's "[red]" is text."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def blocks(table: Table, width: int, *, explain: bool) -> list[RenderableType]:
    """Lay out a heading and a block for each row; a reason without a column goes below its row."""
    is_wide = width >= WIDE and table.has_why
    titles = (*table.titles, "WHY") if is_wide else table.titles
    rows = [_cells(titles, line, is_wide=is_wide) for line in table.lines]
    widths = column_widths(titles, rows, width)
    made = [_heading(titles, widths)]
    before: Line | None = None
    for line, row in zip(table.lines, rows, strict=True):
        repeats = before is not None and line.about is not None and line.about == before.about
        cells = _without_repeats(titles, row, line, before) if repeats and before else row
        made.append(_block(cells, widths, line, is_wide=is_wide, explain=explain))
        before = line
    return made


def column_widths(titles: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """Give each column what it needs; where that is too much, fold what can be read folded."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    over = sum(widths) + _GAP * (len(widths) - 1) - room
    for title, least in _FOLDED.items():
        if title in titles and over > 0:
            index = titles.index(title)
            cut = max(min(over, widths[index] - max(least, len(title))), 0)
            widths[index] -= cut
            over -= cut
    return widths


def fitting(
    screen: Console, table: Sequence[RenderableType], foot: Sequence[RenderableType]
) -> RenderableType:
    """Put as many rows as fit above the foot, which is always to be seen."""
    from rich.console import Group
    from rich.text import Text

    room = screen.height - 1 - sum(_height(screen, line) for line in foot)
    shown = _that_fit(screen, table, room)
    if shown == len(table):
        return Group(*table, *foot)
    shown = _that_fit(screen, table, room - 1)
    left = len(table) - max(shown, 1)
    more = Text(f"+{left} more {'row' if left == 1 else 'rows'}")
    return Group(*table[:shown], more, *foot)


def _that_fit(screen: Console, table: Sequence[RenderableType], room: int) -> int:
    used = 0
    for index, block in enumerate(table):
        used += _height(screen, block)
        if used > room:
            return index
    return len(table)


def _height(screen: Console, block: RenderableType) -> int:
    return len(screen.render_lines(block, pad=False))


# --- rows ---------------------------------------------------------------------------------------


def _cells(titles: Sequence[str], line: Line, *, is_wide: bool) -> list[str]:
    cells = (*line.cells, line.why or "") if is_wide else line.cells
    shown = [clean(c, _LONGEST.get(t, 200)) for t, c in zip(titles, cells, strict=True)]
    if line.is_new and not is_wide:
        # said below, where there is room for it
        index = titles.index("SEVERITY")
        shown[index] = shown[index].removesuffix(" (new)")
    return shown


def _without_repeats(
    titles: Sequence[str], row: Sequence[str], line: Line, before: Line
) -> list[str]:
    """Leave out what the row above says of the same subject."""
    told = [a == b for a, b in zip(line.cells, before.cells, strict=True)]
    told += [False] * (len(row) - len(told))
    return [
        "" if title in _SAID_ONCE and same else cell
        for title, cell, same in zip(titles, row, told, strict=True)
    ]


def _block(
    cells: Sequence[str], widths: Sequence[int], line: Line, *, is_wide: bool, explain: bool
) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    texts = [Text(cells[0], style=line.colour), *map(Text, cells[1:])]
    evidence = "\n".join(line.evidence) if explain else ""
    if is_wide:
        texts[-1].append(f"\n{evidence}" if evidence else "", style="dim")
        return _grid(texts, widths)
    below = Text("\n".join(_below(line)))
    below.append(("\n" if below else "") + evidence if evidence else "", style="dim")
    row = _grid(texts, widths)
    return Group(row, Padding(below, (0, 0, 0, _INDENT))) if below else row


def _below(line: Line) -> Iterator[str]:
    if line.why is not None:
        yield ("(new) " if line.is_new else "") + clean(line.why, _LONGEST["WHY"])


def _heading(titles: Sequence[str], widths: Sequence[int]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rule = "─" * (sum(widths) + _GAP * (len(widths) - 1))
    named = _grid([Text(title, style="bold") for title in titles], widths)
    return Group(named, Text(rule, style="dim", no_wrap=True, overflow="crop"))


def _grid(texts: Sequence[RenderableType], widths: Sequence[int]) -> RenderableType:
    from rich.table import Column
    from rich.table import Table as Grid

    columns = (Column(width=width, overflow="fold") for width in widths)
    grid = Grid.grid(*columns, padding=(0, _GAP))
    grid.add_row(*texts)
    return grid
