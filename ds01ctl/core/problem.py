"""What is wrong with a file or a job of ours, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
"""error: is not installed; warning: works, but not as it should; info: good to know."""
ORDER: tuple[Severity, ...] = ("error", "warning", "info")


class Problem(NamedTuple):
    """One thing that a check found."""

    severity: Severity
    kind: str
    where: str
    """``/etc/systemd/system/ds01-state.timer:12``, or ``job state``."""
    what: str
    fix: str

    @property
    def message(self) -> str:
        """Say where and what in one line."""
        return f"{self.where}: {self.what}"


def in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """Sort by weight and place, and drop what was found twice."""
    return tuple(
        sorted(set(problems), key=lambda one: (ORDER.index(one.severity), one.where, one.what))
    )
