"""What `explain USER` collects: the policy's word, the kernel's, and the event log's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import configuring, gathering
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.commands.enforcing import Look

EVENTS = 10
_TYPES = ("resource.*", "maintenance.*", "detection.*")


def explain(user: str, config: Path | None) -> Result:
    """Explain a user as far as this host lets us. Raises Ds01Error for a policy with errors."""
    paths = gathering.host_paths()
    now = gathering.utcnow()
    asked = configuring.Asked(paths, config, os.environ, os.uname().nodename, now)
    policy = configuring.explain(asked, user)
    data: dict[str, Any] = {**policy.data, "live": None, "processes": None, "spared": None}
    gaps = policy.gaps
    try:
        live, more = _live(user, asked)
        data |= live
        gaps = (*gaps, *more)
    except UsageError as error:
        data["spared"] = error.message
    except Ds01Error as error:
        gaps = (*gaps, Gap("enforce", "absent", error.message))
    data["events"], events_gaps = _events(user, asked)
    gaps = (*gaps, *events_gaps)
    return policy._replace(
        command="explain", data=data, gaps=gaps, failed_gaps=gathering.is_failure(gaps)
    )


def _live(user: str, asked: configuring.Asked) -> tuple[dict[str, Any], tuple[Gap, ...]]:
    from ds01ctl.commands import enforce_showing, enforcing

    wish = enforcing.Wish(users=(user,), config=asked.explicit, thorough=True)
    seen: Look = enforcing.look(wish, asked.paths, asked.now)
    person = seen.world.roll.by_login()[user]
    rows = enforce_showing.people_rows(seen)
    processes = enforce_showing.processes_of(person, seen, asked.paths)
    return {"live": rows[0], "processes": processes}, seen.gaps


def _events(user: str, asked: configuring.Asked) -> tuple[list[dict[str, Any]], tuple[Gap, ...]]:
    from ds01ctl import eventlog

    policy = gathering.load_policy(asked.paths, asked.explicit).policy
    log = asked.paths.under(str(policy.value("events.path")))
    try:
        found = eventlog.select(log, eventlog.Wanted(None, _TYPES, user, EVENTS))
    except Ds01Error as error:
        return [], (Gap("events", "failed", error.message),)
    return [
        {"time": one.time, "type": one.type, "message": str(one.details.get("message", ""))}
        for one in found.records
    ], ()
