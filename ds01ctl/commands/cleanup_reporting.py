"""What `cleanup report` does: sum up what was done, and list what only an admin may decide."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.commands import cleanup_looking, gathering
from ds01ctl.commands.cleanup_did import host
from ds01ctl.commands.cleanup_history import rows_since
from ds01ctl.commands.cleanup_looking import Wish
from ds01ctl.commands.cleanup_reclaiming import DAYS, hours_since
from ds01ctl.commands.mailing import sender_of, server_of
from ds01ctl.core.cleanup_case import mode_of
from ds01ctl.core.failure import is_mailable
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error
from ds01ctl.eventlog import parse_since
from ds01ctl.report import cleanup_report_text as text

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.departed import Departed
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.volumes import VolumeRow
    from ds01ctl.paths import Paths

_PARTS = ("volumes", "users")


def report(since: str, config: Path | None, *, mail: bool) -> Result:
    """Look, sum up, and send it where that is asked for."""
    paths = gathering.host_paths()
    begin = parse_since(since, gathering.utcnow())
    seen = cleanup_looking.look(Wish(only=_PARTS, config=config), paths, sizes=True)
    rows, gaps = rows_since(paths, begin)
    gaps = tuple(dict.fromkeys((*seen.gaps, *gaps)))
    is_known = not any(gap.source == "state" for gap in gaps)
    week = text.of_rows(rows, host(), begin, seen.clock.now)._replace(
        gpu_hours=hours_since(seen.memory.numbers(DAYS), begin) if is_known else None,
        volumes=[_volume(one) for one in seen.leftovers.volumes if one.is_dangling],
        departed=[_person(one, seen) for one in seen.leftovers.people or ()],
        mode=mode_of(seen.policy, "idle"),
        unread=[f"{gap.source}: {gap.reason}" for gap in gaps if gap.kind != "absent"],
    )
    action = _mail(week, seen.policy, paths, seen.clock.now) if mail else None
    return Result(
        "cleanup report",
        host(),
        seen.clock.now,
        gaps,
        (),
        (action,) if action else (),
        text.data_of(week),
        failed_gaps=gathering.is_failure(gaps),
    )


def _volume(row: VolumeRow) -> text.VolumeLine:
    return text.VolumeLine(row.name, row.user, row.size_bytes, row.last_mounted_at)


def _person(one: Departed, seen: Look) -> tuple[str, list[str]]:
    """Give what is told of somebody who has left, as the plan tells it."""
    told = next(
        (n for n in seen.leftovers.plan.notices if n.user == one.login and one.why in n.text), None
    )
    return (told.text, list(told.evidence)) if told else (f"{one.name} has left: {one.why}", [])


def _mail(week: text.Week, policy: Policy, paths: Paths, now: datetime) -> Action:
    """Send the report to mail.to; nobody there is told, and no failure."""
    to = tuple(map(str, policy.value("mail.to") or ()))
    target = ", ".join(to) or "nobody"
    if not to:
        return Action("send-mail", target, "the report", "skipped", "mail.to names nobody")
    try:
        _send(week, to, policy, paths, now)
    except Ds01Error as error:
        return Action("send-mail", target, "the report", "failed", error.message)
    return Action("send-mail", target, "the report", "done")


def _send(
    week: text.Week, to: tuple[str, ...], policy: Policy, paths: Paths, now: datetime
) -> None:
    from ds01ctl.act import mail

    sender = sender_of(policy, host())
    for address in (*to, sender):
        if not is_mailable(address):
            raise Ds01Error(f"{address!a}: cannot stand in a mail as it is", "see `mail:`")
    body = "\n".join(text.lines(week)) + "\n"
    letter = mail.Letter(to, sender, text.subject(week), body, host(), now)
    mail.send(letter, server_of(policy, paths, os.environ))
