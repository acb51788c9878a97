"""Deliver what users have to know of their containers, and tell on which ways it really came.

Each user's notices go onto the terminals that the user is logged in on; into a file beside the
work, or in the home; and into one mail. A slow disk or mail server has its time, and no more.
A file of root's keeps them, too. Nothing shows it to anybody, so by itself it reaches nobody.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.act import alert_file, notice_spool, notify
from ds01ctl.act.slowly import Row, Slow
from ds01ctl.core import cleanup_words
from ds01ctl.core.cleanup_stages import has_reached
from ds01ctl.core.failure import is_mailable
from ds01ctl.core.workspace import workspaces
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.act.mail import Server
    from ds01ctl.core.cleanup_model import Change
    from ds01ctl.core.model import Container
    from ds01ctl.paths import Paths

FILES_S, MAILS_S = 5.0, 30.0
"""Time for all files beside work, which may lie on a network, and for all mails."""
_SLOW_S = 5.0
_MOST_ROUNDS = 3
"""Messages to one terminal in a run."""
_NO_UID = "its owner is no user that is known here"


class Channels(NamedTuple):
    """How users can be reached, as the policy has it."""

    notice_dir: str
    host: str
    server: Server | None = None
    """None: no mail is sent."""
    sender: str = "root"
    mail_domain: str | None = None
    mail_to_logins: bool = False


class Outcome(NamedTuple):
    """What became of one notice."""

    channels: tuple[str, ...] = ()
    """That took it: ``notice …``, ``terminal pts/3``, ``file …``, ``mail …``."""
    errors: tuple[str, ...] = ()
    """Why the others did not."""

    @property
    def is_delivered(self) -> bool:
        """Tell whether it came to the user; if not, nothing may be done on the strength of it."""
        return has_reached(self.channels)


class _Notice(NamedTuple):
    """What one user is told of one container."""

    change: Change
    uid: int
    lines: tuple[str, ...]

    @property
    def login(self) -> str:
        return self.change.user or ""


_Rows = list[Row]


def deliver(
    changes: Sequence[Change],
    uids: Mapping[str, int],
    containers: Mapping[str, Container],
    paths: Paths,
    channels: Channels,
    now: datetime,
    homes: Mapping[int, Sequence[str]] | None = None,
) -> dict[str, Outcome]:
    """Tell the users of these changes their texts; gives what came of it by the change's target.

    uids: by login. containers: by id; of one that is not there no file is written beside the work.
    now: in the zone to show. homes: by uid, where a file is written if none can be beside the work.
    Nothing is raised: what fails is told.
    """
    at_home = homes or {}
    notices = [
        _Notice(one, uids[one.user], tuple(notify.lines(one.text)))
        for one in changes
        if one.user is not None and one.user in uids
    ]
    slow = [
        Slow(
            lambda rows: _written(notices, containers, at_home, paths, now, rows), FILES_S, "file"
        ),
        Slow(lambda rows: _mailed(notices, channels, now, rows), MAILS_S, "mail"),
    ]
    rows = _on_terminals(notices, paths)
    for one in slow:
        rows += one.collected(range(len(notices)))
    return _outcomes(changes, notices, _spooled(notices, rows, paths, channels, now) + rows)


def _outcomes(
    changes: Sequence[Change], notices: Sequence[_Notice], rows: _Rows
) -> dict[str, Outcome]:
    """Sum up by target: of several notices about one, a channel counts that took them all."""
    places: dict[str, list[int]] = {one.target: [] for one in changes}
    for place, one in enumerate(notices):
        places[one.change.target].append(place)
    return {target: _outcome(some, rows) for target, some in places.items()}


def _outcome(places: Sequence[int], rows: _Rows) -> Outcome:
    if not places:
        return Outcome(errors=(_NO_UID,))
    mine = [row for row in rows if row[0] in places]
    took = {(place, channel) for place, channel, error in mine if error is None}
    channels = dict.fromkeys(channel for _, channel, error in mine if error is None)
    return Outcome(
        tuple(one for one in channels if all((place, one) in took for place in places)),
        tuple(dict.fromkeys(f"{channel}: {error}" for _, channel, error in mine if error)),
    )


def _by_user(notices: Sequence[_Notice]) -> dict[tuple[str, int], list[int]]:
    """Give the places of each user's notices."""
    found: dict[tuple[str, int], list[int]] = {}
    for place, one in enumerate(notices):
        found.setdefault((one.login, one.uid), []).append(place)
    return found


# --- root's files -----------------------------------------------------------------------------


def _spooled(
    notices: Sequence[_Notice], told: _Rows, paths: Paths, channels: Channels, now: datetime
) -> _Rows:
    """Keep what was told; a warning that came nowhere is not true, and is given again soon."""
    rows: _Rows = []
    folder = paths.under(channels.notice_dir)
    came = {place for place, _, error in told if error is None}
    for (_, uid), all_places in _by_user(notices).items():
        places = [one for one in all_places if one in came or notices[one].change.kind != "warn"]
        if not places:
            continue
        blocks = [_block(notices[place], now) for place in places]
        error = None
        try:
            notice_spool.add(folder, uid, blocks)
        except Ds01Error as problem:
            error = problem.message
        # of more than it keeps it has only the newest
        kept = places[-notice_spool.MOST :]
        rows += [(place, f"notice {folder / str(uid)}", error) for place in kept]
    return rows


def _block(notice: _Notice, now: datetime) -> str:
    return notice_spool.block(cleanup_words.moment(now), notice.lines)


# --- terminals --------------------------------------------------------------------------------


def _on_terminals(notices: Sequence[_Notice], paths: Paths) -> _Rows:
    """Tell each user in as few messages as hold all notices whole."""
    rows: _Rows = []
    waiting = {who: _messages(places, notices) for who, places in _by_user(notices).items()}
    for _ in range(_MOST_ROUNDS):
        turn = {who: messages.pop(0) for who, messages in waiting.items() if messages}
        told = notify.tell(
            [
                notify.Notice(login, uid, "\n".join(_lines(places, notices)))
                for (login, uid), places in turn.items()
            ],
            paths,
        ) if turn else ()  # fmt: skip
        reached = {one.login for one in told if one.error is None}
        for one in told:
            places = next(found for (login, _), found in turn.items() if login == one.login)
            channel = f"terminal {one.place}" if one.place else "terminal"
            rows += [(place, channel, one.error) for place in places]
        # one that took nothing takes no more time
        waiting = {who: messages for who, messages in waiting.items() if who[0] in reached}
    return rows


def _lines(places: Sequence[int], notices: Sequence[_Notice]) -> Iterator[str]:
    for place in places:
        first, *rest = notices[place].lines or ("",)
        yield f"ds01: {first}"
        yield from rest


def _messages(places: Sequence[int], notices: Sequence[_Notice]) -> list[list[int]]:
    """Sort notices into messages that are not cut; the last ones only have the other channels."""
    found: list[list[int]] = []
    room = 0
    for place in places:
        size = max(len(notices[place].lines), 1)
        if size > room:
            found.append([])
            room = notify.MOST_LINES
        found[-1].append(place)
        room -= size
    return found


# --- what may be slow -------------------------------------------------------------------------


def _written(
    notices: Sequence[_Notice],
    containers: Mapping[str, Container],
    homes: Mapping[int, Sequence[str]],
    paths: Paths,
    now: datetime,
    rows: _Rows,
) -> None:
    """Append each notice to a file in the folder that its container works in, else at home."""
    for place, one in enumerate(notices):
        container = containers.get(one.change.target)
        folders = workspaces(container) if container else ()
        errors = [] if folders else ["no folder of the host is mounted as its workspace"]
        for folder in (*folders, *homes.get(one.uid, ())):
            try:
                alert_file.append(folder, one.uid, f"{_block(one, now)}\n", paths.root)
            except Ds01Error as error:
                errors.append(error.message)
                continue
            rows.append((place, f"file {folder.rstrip('/')}/{alert_file.NAME}", None))
            break
        else:
            rows.append((place, "file", cleanup_words.shown(errors[0], cleanup_words.WIDTH)))


def _mailed(notices: Sequence[_Notice], channels: Channels, now: datetime, rows: _Rows) -> None:
    """Send each user one mail with all notices; a server that fails slowly is asked once."""
    gave_up = None
    for (login, _), places in _by_user(notices).items():
        address = address_of(login, channels)
        if address is None or channels.server is None:
            unknown = "no address (cleanup.mail_domain, mail)"
            why = unknown if channels.server else cleanup_words.NO_MAIL
            rows += [(place, "mail", why) for place in places]
            continue
        began = time.monotonic()
        error = gave_up or _sent(address, [notices[place] for place in places], channels, now)
        if error and time.monotonic() - began > _SLOW_S:
            gave_up = error
        rows += [(place, f"mail {address}", error) for place in places]


def _sent(
    address: str, notices: Sequence[_Notice], channels: Channels, now: datetime
) -> str | None:
    from ds01ctl.act import mail

    if channels.server is None or not is_mailable(channels.sender):
        return f"{channels.sender!a} cannot be a sender"
    names = list(dict.fromkeys(one.change.name for one in notices))
    subject = cleanup_words.subject(channels.host, names)
    body = cleanup_words.mail_body(channels.host, ["\n".join(one.lines) for one in notices])
    letter = mail.Letter((address,), channels.sender, subject, body, channels.host, now)
    try:
        mail.send(letter, channels.server)
    except Ds01Error as error:
        return cleanup_words.shown(error.message, cleanup_words.WIDTH)
    return None


def address_of(login: str, channels: Channels) -> str | None:
    """Give a user's address: the login itself, or the login in the domain; None: not known."""
    if "@" in login:
        address = login if channels.mail_to_logins else None
    else:
        address = f"{login}@{channels.mail_domain}" if channels.mail_domain else None
    return address if address and is_mailable(address) else None
