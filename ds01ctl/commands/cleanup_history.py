"""What `cleanup history` does: tell what was done, from the store."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import gathering
from ds01ctl.commands.cleanup_memory import at_text
from ds01ctl.commands.quota_memory import gap_of
from ds01ctl.core.plan import Result
from ds01ctl.eventlog import parse_since
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.cleanupstate import Logged
    from ds01ctl.core.cleanup_model import Change
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths

_NOTED_FOR = timedelta(days=1)


def history(since: str, users: tuple[str, ...]) -> Result:
    """List what was done since a time, oldest first."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    begin = parse_since(since, now)
    rows, gaps = rows_since(paths, begin)
    shown = [row for row in rows if not users or row["user"] in users]
    data = {"since": begin, "users": sorted(users), "rows": shown}
    host = os.uname().nodename
    return Result("cleanup history", host, now, gaps, data=data,
                  failed_gaps=gathering.is_failure(gaps))  # fmt: skip


def rows_since(paths: Paths, begin: datetime) -> tuple[list[dict[str, Any]], tuple[Gap, ...]]:
    """Read what was done since a time; a store that can't be read is a gap."""
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return [], ()
        with state:
            return [row_of(one) for one in state.log_since(at_text(begin))], ()
    except StateError as error:
        return [], (gap_of(error),)


def rows_about(target: str, kind: str, paths: Paths, *, most: int) -> list[dict[str, Any]]:
    """Read the newest rows of one kind about one thing; none from a store that can't be read."""
    with suppress(StateError):
        if state := State.open_for_reading(paths):
            with state:
                return [row_of(one) for one in state.log_of(target, kind, most=most)]
    return []


def is_noted(warning: Change, state: State, now: datetime) -> bool:
    """Tell whether it is noted lately that this very warning reached nobody.

    Such a one is given anew at each run, and noted once a day. Raises StateError.
    """
    last = state.log_of(warning.target, "warn", most=1)
    if not last or last[0].outcome != "skipped" or last[0].at <= at_text(now - _NOTED_FOR):
        return False
    return (last[0].part, row_of(last[0])["stage"]) == (warning.part, warning.stage)


def row_of(one: Logged) -> dict[str, Any]:
    """Give a row as JSON has it."""
    said: dict[str, Any] = {}
    with suppress(ValueError):
        read = json.loads(one.row)
        said = read if isinstance(read, dict) else {}
    return {
        "time": one.at,
        "kind": one.kind,
        "part": one.part,
        "target": one.target,
        "name": said.get("name") or one.target,
        "user": one.user,
        "outcome": one.outcome,
        "reason": said.get("reason") or "",
        "error": said.get("error"),
        "channels": said.get("channels") or [],
        "channel_errors": said.get("channel_errors") or [],
        "stage": said.get("stage") or 0,
        "freed_bytes": said.get("freed_bytes"),
        "gpu_equivalents": said.get("gpu_equivalents"),
    }
