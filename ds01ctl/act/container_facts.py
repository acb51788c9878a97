"""What an engine tells of a container: the state, and which of its runs it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.act.engine import time_of
from ds01ctl.act.engine_answers import UnansweredError, UnknownError
from ds01ctl.core.timestamp import format_time
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ds01ctl.act.engine import Client, Done

_LATE = "the engine gave no answer; a second look shows that it is done"


class ContainerFacts(NamedTuple):
    """What an inspect tells of a container."""

    state: str
    started_at: datetime | None
    finished_at: datetime | None
    restart: str
    """The name of its restart policy."""
    removes_itself: bool
    exit_code: object


def look(client: Client, container_id: str) -> ContainerFacts | None:
    """Inspect a container; None: there is none of this id. Raises Ds01Error."""
    told = client.inspect("container", container_id)
    # another may be named like the id of one that is gone
    if told is None or told.get("Id") != container_id:
        return None
    state, host = _dict(told.get("State")), _dict(told.get("HostConfig"))
    return ContainerFacts(
        str(state.get("Status") or "unknown"),
        time_of(state.get("StartedAt")),
        time_of(state.get("FinishedAt")),
        str(_dict(host.get("RestartPolicy")).get("Name") or ""),
        bool(host.get("AutoRemove")),
        state.get("ExitCode"),
    )


def made_sure(act: Callable[[], object], seen: Callable[[], Done]) -> Done:
    """Have something done, and look at what became of it, also where no answer came.

    seen: looks, and raises Ds01Error where it was not done. Raises UnknownError where neither the
    answer nor the look tells, and what both raise.
    """
    try:
        act()
    except UnansweredError as silence:
        return _looked_again(silence, seen)
    return seen()


def _looked_again(silence: UnansweredError, seen: Callable[[], Done]) -> Done:
    try:
        done = seen()
    except Ds01Error as error:
        again = "" if error.message == silence.message else f"; looked at again: {error.message}"
        raise UnknownError(f"{silence.message}{again}", silence.hint) from None
    return done._replace(why=f"{done.why}; {_LATE}" if done.why else _LATE)


def _dict(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def difference(seen: datetime | None, meant: datetime | None) -> str:
    """Say which time is seen, and which was meant."""
    return f"{told_as(seen)}, not {told_as(meant)}"


def told_as(at: datetime | None) -> str:
    """Write a time for people."""
    return format_time(at) if at else "never"
