"""Tell users of their containers: the warnings before, and that one was stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.commands import gathering
from ds01ctl.commands.cleanup_did import Did
from ds01ctl.commands.cleanup_keepers import homes_of
from ds01ctl.commands.mailing import sender_of, server_of
from ds01ctl.core.cleanup_keeps import used_up
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.act.warnings import Channels, Outcome
    from ds01ctl.commands.cleanup_book import Book
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Change
    from ds01ctl.core.cleanup_words import Ending
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

_MOST_ERRORS = 3


def warn(warnings: Sequence[Change], seen: Look, book: Book, paths: Paths) -> list[Did]:
    """Deliver all warnings, then remember at once which of them came anywhere."""
    from ds01ctl.core import cleanup_words as words

    own = _own_workspaces(warnings, seen, paths)
    full = used_up(seen.keeps, seen.workloads, seen.policy, seen.clock.now)
    told = [
        one._replace(text=words.warning(ending._replace(kept_already=full.get(one.target))))
        for one in warnings
        if one.ending and (ending := _local(one.ending, own.get(one.target)))
    ]
    outcomes = delivered(told, seen, paths)
    dids = [_did(one, outcomes.get(one.target)) for one in warnings]
    return book.warned(dids)


def stopped(dids: Iterable[Did], seen: Look, paths: Paths) -> None:
    """Tell users that their containers were stopped, and how to have them back."""
    from ds01ctl.core import cleanup_words as words

    now = gathering.utcnow()
    notices = []
    for one in dids:
        change, ending = one.change, one.change.ending
        if ending:
            text = words.stopped(_local(ending._replace(ends_at=now)))
        else:
            text = words.stopped_before(change.name, change.target, now.astimezone(), change.reason)
        notices.append(change._replace(text=text))
    if notices:
        delivered(notices, seen, paths)


def _local(ending: Ending, workspace: str | None = None) -> Ending:
    """Give it in the time of this machine, as of that very day."""
    return ending._replace(ends_at=ending.ends_at.astimezone(), workspace=workspace)


def _own_workspaces(changes: Iterable[Change], seen: Look, paths: Paths) -> dict[str, str]:
    """Find for each container a folder in which its owner can make a file that keeps it."""
    from ds01ctl.core.workspace import workspaces
    from ds01ctl.observe import keep_files

    uids = _uids(seen)
    asked = [
        (folder, container.id, uids.get(change.user or ""))
        for change in changes
        if (container := seen.container(change.target))
        for folder in workspaces(container)
    ]
    owners = keep_files.owners(dict.fromkeys(folder for folder, _, _ in asked), paths)
    own: dict[str, str] = {}
    for folder, id_, uid in asked:
        if uid is not None and owners.get(folder) == uid:
            own.setdefault(id_, folder)
    return own


def delivered(changes: Sequence[Change], seen: Look, paths: Paths) -> dict[str, Outcome]:
    """Deliver the texts of changes to their users, and say what came of each, by its target."""
    from ds01ctl.act import warnings

    # in what somebody has left behind nothing is written, either
    left = {one.target for one in changes if one.part == "users"}
    containers = {one.id: one for one in seen.snapshot.containers if one.id not in left}
    now = gathering.utcnow().astimezone()
    users = {one.user for one in changes if one.target not in left}
    theirs = [one for one in seen.workloads if one.owner.login in users]
    homes = homes_of(theirs, seen.policy, paths)
    uids = _uids(seen)
    for one in changes:
        # of one who has left the look had no more than the uid
        workload = seen.workload(one.target)
        if one.user and workload and workload.owner.uid is not None:
            uids.setdefault(one.user, workload.owner.uid)
    return warnings.deliver(
        changes, uids, containers, paths, _channels(seen.policy, paths), now, homes
    )


def _uids(seen: Look) -> dict[str, int]:
    """Give the uid of each owner, whom the look has already named."""
    owners = (one.owner for one in seen.workloads)
    known = {login: uid for uid, login in seen.snapshot.users.items()} | dict(seen.snapshot.uids)
    return known | {one.login: one.uid for one in owners if one.login and one.uid is not None}


def _channels(policy: Policy, paths: Paths) -> Channels:
    from ds01ctl.act.warnings import Channels

    host, value = os.uname().nodename, policy.value
    domain = value("cleanup.mail_domain")
    server = None
    if domain or value("cleanup.mail_to_logins"):
        try:
            server = server_of(policy, paths, os.environ)
        except Ds01Error:
            # every other channel still counts; `mail` itself says that it is not configured
            server = None
    return Channels(
        str(value("cleanup.notice_dir")),
        host,
        server,
        sender_of(policy, host),
        str(domain) if domain else None,
        bool(value("cleanup.mail_to_logins")),
    )


def _did(change: Change, outcome: Outcome | None) -> Did:
    """Tell what came of a warning; that nobody can be reached is no fault of this run."""
    if outcome is not None and outcome.is_delivered:
        return Did(change, "done", channels=outcome.channels, channel_errors=outcome.errors)
    errors = outcome.errors if outcome else ()
    why = "; ".join(errors[:_MOST_ERRORS]) or "nobody could be reached"
    text = f"it reached nobody, so nothing is stopped on it: {why}"
    return Did(change, "skipped", text, channel_errors=errors)
