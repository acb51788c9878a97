"""Carry out a plan step by step; where one step fails, undo those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ds01ctl.core.plan import Action


class Step(NamedTuple):
    """One change: what is told of it, how it is made, and how it is undone."""

    action: Action
    do: Callable[[], None]
    undo: Callable[[], None] | None = None


def carry_out(steps: Sequence[Step]) -> tuple[Action, ...]:
    """Make every change, or none: a failure, or ^C, undoes what was done, the last first.

    Raises the Ds01Error of the step that failed; it says what could not be undone, too.
    """
    begun: list[Step] = []
    try:
        for step in steps:
            begun.append(step)
            step.do()
    except Ds01Error as error:
        told = [error.message, *_undo(begun)]
        raise Ds01Error("\n".join(told), error.hint, error.data) from None
    except BaseException:
        _undo(begun)
        raise
    return tuple(step.action._replace(outcome="done") for step in steps)


def _undo(begun: Sequence[Step]) -> list[str]:
    left = []
    for step in reversed(begun):
        try:
            if step.undo:
                step.undo()
        except Ds01Error as error:
            left.append(f"could not undo {step.action.kind} {step.action.target}: {error.message}")
    return left or ["everything was put back as it was"]


def carry_on(steps: Sequence[Step]) -> tuple[Action, ...]:
    """Make every change that can be made, and say of each what came of it."""
    return tuple(_outcome(step) for step in steps)


def _outcome(step: Step) -> Action:
    try:
        step.do()
    except Ds01Error as error:
        return step.action._replace(outcome="failed", error=error.message)
    return step.action._replace(outcome="done")
