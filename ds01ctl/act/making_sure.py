"""Have an engine do something, and look at what became of it, whatever it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.act.engine import Done
from ds01ctl.act.engine_answers import (
    UNKNOWN,
    GoneError,
    RefusedError,
    UnansweredError,
    UnknownError,
)
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable


def made_sure(act: Callable[[], object], seen: Callable[[], Done]) -> Done:
    """Have something done, and look at what became of it, also where no answer says that.

    seen: looks, and raises Ds01Error where it is not done. Raises UnknownError where the look does
    not show it, though it was asked for; GoneError, RefusedError and Ds01Error where it was not.
    """
    try:
        act()
    except UnansweredError as silence:
        return looked_again(silence.message, seen)
    return looked_again("", seen)


def looked_again(silence: str, seen: Callable[[], Done]) -> Done:
    """Look at what became of it; silence: what came instead of an answer. Raises UnknownError."""
    try:
        done = seen()
    except Ds01Error as error:
        said = dict.fromkeys(filter(None, (silence, error.message)))
        raise UnknownError("; looked at again: ".join(said), UNKNOWN) from None
    late = f"{silence}; a second look shows that it is done" if silence else ""
    return done._replace(why="; ".join(filter(None, (done.why, late))))


def ended(act: Callable[[], object], seen: Callable[[], Done]) -> Done:
    """As made_sure, for what is to be gone, or not to run: it may be so already, or be in use."""
    try:
        return made_sure(act, seen)
    except GoneError:
        return Done("already", "it is gone")
    except RefusedError as error:
        return Done("refused", error.message)
