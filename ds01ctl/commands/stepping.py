"""Carry out a plan step by step; where one step fails, undo those before it."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ds01ctl.core.plan import Action

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""^C, the end of a unit or of the host, a connection that broke."""


class Step(NamedTuple):
    """One change: what is told of it, how it is made, and how it is undone."""

    action: Action
    do: Callable[[], None]
    undo: Callable[[], None] | None = None


def carry_out(steps: Sequence[Step]) -> tuple[Action, ...]:
    """Make every change, or none: a failure, or a signal, undoes what was done, the last first.

    Raises the Ds01Error of the step that failed; it says what could not be undone, too.
    """
    begun: list[Step] = []
    try:
        with interrupted_by_signals():
            for step in steps:
                begun.append(step)
                step.do()
    except Ds01Error as error:
        told = [error.message, *_undo(begun)]
        raise Ds01Error("\n".join(told), error.hint, error.data) from None
    except BaseException:
        told = ["interrupted", *_undo(begun)]
        # the terminal may be what is gone
        with suppress(OSError):
            print("\n".join(told), file=sys.stderr, flush=True)
        raise
    return tuple(step.action._replace(outcome="done") for step in steps)


def interrupted_by_signals() -> AbstractContextManager[None]:
    """Have each signal that would end us raise KeyboardInterrupt, so that what is open is ended."""
    return _signals(_interrupt)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[None]:
    """Have the signals that would end us handled so; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(one, signal.signal(one, handler)) for one in _ENDING]
    try:
        yield
    finally:
        for one, old in before:
            signal.signal(one, old)


def _undo(begun: Sequence[Step]) -> list[str]:
    """Undo to the end, whatever signal comes; say what could not be undone."""
    left = []
    with _signals(signal.SIG_IGN):
        for step in reversed(begun):
            try:
                if step.undo:
                    step.undo()
            except Ds01Error as error:
                what = f"{step.action.kind} {step.action.target}"
                left.append(f"could not undo {what}: {error.message}")
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
