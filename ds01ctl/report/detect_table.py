"""Show what `detect` found: rich tables on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ds01ctl.report.detect_foot import foot, heading, left_alone, legend
from ds01ctl.report.detect_rows import table
from ds01ctl.report.local_time import local_clock
from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.live import Live

    from ds01ctl.core.plan import Result
    from ds01ctl.report.detect_rows import Table

_LONGEST = 400
"""Characters of a reason on a terminal."""
_REASONS = 5
"""Lines of an error in the foot of a live table."""


def print_result(result: Result, *, explain: bool, numbered: bool = False) -> None:
    """Print findings or inventory, what was examined, and what could not be seen."""
    made = table(result, numbered=numbered)
    if sys.stdout.isatty():
        _print_on_terminal(made, result, explain=explain)
    else:
        for text in _plain(made, result, explain=explain):
            print(text)


def _plain(made: Table, result: Result, *, explain: bool) -> Iterator[str]:
    """Give whole lines: a script may read them, and nothing is shortened."""
    yield from heading(result)
    if made.lines:
        titles = (*made.titles, "WHY") if made.has_why else made.titles
        rows = [(*line.cells, *([] if line.why is None else [line.why])) for line in made.lines]
        head, *texts = columns([titles, *rows])
        yield head
        for text, line in zip(texts, made.lines, strict=True):
            yield text
            yield from (f"    {evidence}" for evidence in (line.evidence if explain else ()))
    yield from left_alone(result)
    yield from foot(result)


def _print_on_terminal(made: Table, result: Result, *, explain: bool) -> None:
    from rich.text import Text

    from ds01ctl.report import screen

    terminal = screen.console()
    for text in heading(result):
        terminal.print(Text(text))
    for block in screen.blocks(made, terminal.width, explain=explain) if made.lines else ():
        terminal.print(block)
    for text in left_alone(result, _LONGEST):
        print(text)
    if signs := legend(made):
        terminal.print(Text(signs, style="dim"))
    for text in foot(result, _LONGEST):
        print(text)


# --- live ---------------------------------------------------------------------------------------


@contextmanager
def live() -> Iterator[Live | None]:
    """Open a display that is refreshed in place; None where stdout is no terminal."""
    if not sys.stdout.isatty():
        yield None
        return
    from rich.live import Live

    from ds01ctl.report import screen

    with Live(console=screen.console(), auto_refresh=False, screen=False) as display:
        yield display


def refresh(
    display: Live | None, result: Result, seconds: float, *, explain: bool, trouble: str | None
) -> None:
    """Show a look: in place on a terminal, one after the other on a pipe.

    `trouble` says why the last look gave nothing newer than this result.
    """
    when = f"{local_clock(result.time)}, every {seconds:g} s, ^C ends"
    reasons = f"not looked again: {trouble}".splitlines() if trouble else []
    ends = [*(clean(line, _LONGEST) for line in reasons[:_REASONS]), when]
    if display is not None:
        _refresh_in_place(display, result, ends, explain=explain)
        return
    lines = [] if trouble else _plain(table(result), result, explain=explain)
    for text in (*lines, *ends):
        print(text)
    sys.stdout.flush()


def _refresh_in_place(display: Live, result: Result, ends: list[str], *, explain: bool) -> None:
    from rich.text import Text

    from ds01ctl.report import screen

    made = table(result)
    terminal = display.console
    rows = screen.blocks(made, terminal.width, explain=explain) if made.lines else []
    rows += [Text(text) for text in left_alone(result, _LONGEST)]
    texts = [*filter(None, [legend(made)]), *foot(result, _LONGEST), *ends]
    display.update(screen.fitting(terminal, rows, [Text(text) for text in texts]), refresh=True)
