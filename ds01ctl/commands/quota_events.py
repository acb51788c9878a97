"""The events of `quota`: what was set, and whom it warned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.core import quota_uses
from ds01ctl.core.disk_quota import limits_row
from ds01ctl.core.storage import limits_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.act.notify import Delivered
    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.commands.quota_running import Done
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Action
    from ds01ctl.core.quota_warnings import Crossing, Use
    from ds01ctl.paths import Paths
    from ds01ctl.report.events import Event

SOURCE = "ds01ctl quota"


def append(events: list[Event], seen: Reading, paths: Paths) -> tuple[Gap, ...]:
    """Write events to the log and the journal; a gap for each that did not take them."""
    from ds01ctl.report import events as sink

    log = paths.under(str(seen.policy.value("events.path")))
    return sink.append(events, log, paths.journal_socket, gathering.utcnow())


def of_limit(done: Done, command: str = "quota") -> Event:
    """Make the event of a limit that was set, or could not be."""
    from ds01ctl.report.events import Event

    change = done.change
    mount, kind, id_ = change.place
    details = {
        "mount": mount,
        "kind": kind,
        "id": id_,
        "before": limits_row(change.before),
        "after": limits_row(change.after),
        "reason": change.reason,
        "outcome": "failed" if done.error else "done",
        "error": done.error,
    }
    failed = f" FAILED: {done.error}" if done.error else ""
    message = (
        f"{change.name} on {mount}: {limits_text(change.before)} ->"
        f" {limits_text(change.after)}{failed}"
    )
    user = change.name if kind == "user" else None
    priority = 4 if done.error else 5
    return Event("quota.disk_limit", user, f"ds01ctl {command}", details, message, priority)


def of_grace(action: Action, command: str = "quota", user: str | None = None) -> Event:
    """Make the event of a grace that was set, or could not be."""
    from ds01ctl.report.events import Event

    details = {
        "target": action.target,
        "reason": action.reason,
        "outcome": action.outcome,
        "error": action.error,
    }
    failed = f" FAILED: {action.error}" if action.error else ""
    message = f"{action.target}: {action.reason}{failed}"
    priority = 4 if action.error else 5
    return Event("quota.grace", user, f"ds01ctl {command}", details, message, priority)


def warn(crossings: Sequence[Crossing], seen: Reading, paths: Paths) -> list[Told]:
    """Warn each user once of all, and tell what became of each warning."""
    from ds01ctl.act import notify

    texts: dict[str, list[str]] = {}
    for one in crossings:
        if one.use.login in seen.users.uids and quota_uses.is_for_terminal(one.use):
            texts.setdefault(one.use.login, []).append(_line(one.use))
    notices = [
        notify.Notice(login, seen.users.uids[login], "\n".join(lines))
        for login, lines in texts.items()
    ]
    rows: dict[str, list[Delivered]] = {}
    for row in notify.tell(notices, paths) if notices else ():
        rows.setdefault(row.login, []).append(row)
    return [Told(one, tuple(_delivered(one.use, rows))) for one in crossings]


def _line(use: Use) -> str:
    # in the host's time zone
    until = use.grace_end.astimezone() if use.grace_end else None
    return f"ds01: {quota_uses.message(use, until)}"


def _delivered(use: Use, rows: Mapping[str, Sequence[Delivered]]) -> Sequence[Delivered]:
    from ds01ctl.act import notify

    if use.login is None or not quota_uses.is_for_terminal(use):
        return ()
    unknown = notify.Delivered(use.login, "terminal", None, "not known to the name service now")
    return rows.get(use.login, (unknown,))


class Told(NamedTuple):
    """A warning, and what became of it."""

    crossing: Crossing
    delivered: tuple[Delivered, ...]
    """A row for each attempt; none where a user is not to be told."""

    @property
    def outcome(self) -> Literal["warned", "not-told", "noted"]:
        """Say whether it reached somebody; what is only noted was to reach nobody."""
        if not self.delivered:
            return "noted"
        return "warned" if any(one.error is None for one in self.delivered) else "not-told"

    @property
    def is_news(self) -> bool:
        """Tell whether it makes an event: what is but tried again has made one."""
        return self.crossing.since is None

    @property
    def message(self) -> str:
        """Say it in words for an admin."""
        use = self.crossing.use
        used, limit = quota_uses.amounts(use)
        return f"{use.login}: {used} of {limit} of {use.what} ({use.percent:.0f} %)"

    def details(self) -> dict[str, Any]:
        """Give what an event says of it."""
        use = self.crossing.use
        return {
            "key": list(use.key),
            "level_percent": self.crossing.level,
            "used": use.used,
            "limit": use.limit,
            "reminder": self.crossing.is_reminder,
            "delivered": [one._asdict() for one in self.delivered],
        }

    def event(self) -> Event:
        """Make its event."""
        from ds01ctl.report.events import Event

        key, login = self.crossing.use.key, self.crossing.use.login
        kind = "quota.disk_warning" if quota_uses.is_of_disk(key) else f"quota.{key[0]}_warning"
        return Event(kind, login, SOURCE, self.details(), self.message, 4)

    def row(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        told = {"user": self.crossing.use.login, "message": self.message, "outcome": self.outcome}
        return {**told, **self.details()}
