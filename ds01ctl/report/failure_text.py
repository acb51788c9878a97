"""Tell of a unit that failed: the mail, and the lines of `units failed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.failure import Failure, Streak
    from ds01ctl.core.plan import Result

_LONGEST = 400


def subject(failure: Failure, host: str) -> str:
    """Give the mail's subject: ``[gpu01] ds01-detect failed: exit code 1``."""
    unit = failure.unit.removesuffix(".service")
    return f"[{clean(host, 60)}] {clean(unit, 100)} failed: {clean(failure.in_words, 60)}"


def body(failure: Failure, streak: Streak, host: str, policy_problem: str | None) -> str:
    """Give the mail's text: what, when, the last lines, what to do."""
    return "\n".join(
        [*_what(failure, streak, host, policy_problem), *_lines(failure), *_do(failure)]
    )


def _what(failure: Failure, streak: Streak, host: str, policy_problem: str | None) -> Iterator[str]:
    yield f"{clean(failure.unit)} failed on {clean(host)}."
    yield ""
    yield f"How:    {clean(failure.in_words)}"
    yield f"When:   {local_time(failure.at)}"
    if streak.failures > 1:
        yield f"Since:  {local_time(streak.began_at)}, {streak.failures} failures in a row"
    if failure.last_error:
        yield f"Why:    {clean(failure.last_error, _LONGEST)}"
    if policy_problem:
        yield f"Note:   {clean(policy_problem, _LONGEST)}"
    yield ""


def _lines(failure: Failure) -> Iterator[str]:
    if not failure.lines:
        yield "The journal has no line of this run."
    else:
        yield "Its last lines:"
        yield from (f"    {clean(line, _LONGEST)}" for line in failure.lines)
    yield ""


def _do(failure: Failure) -> Iterator[str]:
    unit = clean(failure.unit.removesuffix(".service"))
    yield "To look further:"
    yield f"    journalctl -u {unit} -n 50"
    yield "    ds01ctl units status"
    yield "To run it again:"
    yield f"    systemctl start {unit}"
    yield ""
    yield "While it goes on failing you are told once a day."
    yield ""


def lines(result: Result) -> list[str]:
    """Say what was told to whom, for the journal."""
    data = result.data
    told = [f"{clean(data['unit'])} failed: {clean(data['result_in_words'])}"]
    if data["last_error"]:
        told.append(f"last error: {clean(data['last_error'], _LONGEST)}")
    for action in result.actions:
        what = f"{action.kind} {clean(action.target)}: {action.outcome}: {clean(action.reason)}"
        told.append(f"{what}: {clean(action.error, _LONGEST)}" if action.error else what)
    told += [f"{gap.source} {gap.kind}: {clean(gap.reason, _LONGEST)}" for gap in result.gaps]
    return told
