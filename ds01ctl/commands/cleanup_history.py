"""What `cleanup history` does: tell what was done, from the store."""

from __future__ import annotations

import json
import os
from contextlib import suppress
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
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths


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
        "stage": said.get("stage") or 0,
        "freed_bytes": said.get("freed_bytes"),
        "gpu_equivalents": said.get("gpu_equivalents"),
    }
