"""What an engine tells of a container: the state, and which of its runs it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.act.engine import time_of
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.act.engine import Client


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


def _dict(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def difference(seen: datetime | None, meant: datetime | None) -> str:
    """Say which time is seen, and which was meant."""
    return f"{told_as(seen)}, not {told_as(meant)}"


def told_as(at: datetime | None) -> str:
    """Write a time for people."""
    return format_time(at) if at else "never"
