"""What `units verify` found, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.report.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.plan import Result

_WORDS = {"error": "error", "warning": "warning", "info": "note"}
_WHOLE = 4096


def lines(result: Result) -> list[str]:
    """Show each problem with what to do about it, and what was checked."""
    found = result.data["problems"]
    told = [f"{_gap_word(gap.source)}: {clean(gap.reason, _WHOLE)}" for gap in result.gaps]
    for problem in found:
        told += _problem(problem)
    if exposed := _exposed(result.data["exposures"]):
        told.append(exposed)
    return [*told, f"{_count(len(result.data['files']), 'file')} checked: {_summary(found)}"]


def _gap_word(source: str) -> str:
    return "note" if source == "policy" else "not checked"


def _problem(problem: Mapping[str, Any]) -> list[str]:
    told = clean(f"{problem['where']}: {problem['what']}", _WHOLE)
    return [f"{_WORDS[problem['severity']]}: {told}", f"  {clean(problem['fix'], _WHOLE)}"]


def _exposed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Show the figures of `systemd-analyze security`: 0 is best, 10 worst."""
    shown = ", ".join(
        f"{clean(row['service']).removesuffix('.service')} {row['exposure']:.1f}" for row in rows
    )
    return f"exposure (0 best, 10 worst): {shown}" if shown else ""


def _summary(found: Sequence[Mapping[str, Any]]) -> str:
    counts = [
        _count(number, word)
        for severity, word in _WORDS.items()
        if (number := sum(one["severity"] == severity for one in found))
    ]
    return ", ".join(counts) or "nothing wrong"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
