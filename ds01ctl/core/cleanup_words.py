"""What users are told by `cleanup`, in plain words: what, when, why, and how to keep it.

Names and paths are users' own text: what a terminal would obey is dropped, and what is long is cut.
Times are shown in the zone that they come in.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO_MAIL = "not configured (cleanup.mail_domain, mail)"
"""Why nobody is told by mail where no admin wants it."""
WIDTH = 200
"""No line is longer: a terminal's is cut there."""
_LONGEST_NAME = 64
_LONGEST_PATH = 110
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


class Ending(NamedTuple):
    """A container that will be stopped, or was; whatever is not known is not told."""

    container: str
    part: Literal["idle", "runtime"]
    ends_at: datetime
    """Aware, in the zone to show: when it is to be stopped, or was."""
    limit: timedelta
    """That holds for it: so long may it be idle, or run."""
    counted: timedelta
    """So long has it been idle, or run."""
    left: timedelta | None = None
    """Until then; None: it was stopped."""
    stage: int = 1
    is_holding: bool = False
    """It uses no GPU, but holds memory of one."""
    is_high_demand: bool = False
    """The limit is shorter now, as others wait for GPUs."""
    workspace: str | None = None
    """Its folder on the host."""
    keep_for: timedelta | None = None
    """How long a `.keep-alive` counts; None: for ever."""
    kept_already: int | None = None
    """As many containers of his are kept by files as may be; None: there is room for one."""
    hold: timedelta | None = None
    """From the stop until it is removed; None: it is not removed."""
    removes_itself: bool = False
    """It was made with ``--rm``: the engine removes it, and its anonymous volumes, at its stop."""
    id: str = ""
    """The full id, for a name that no command can be given."""


def warning(ending: Ending) -> str:
    """Tell that a container will be stopped."""
    return "\n".join(line[:WIDTH] for line in _warning(ending))


def stopped(ending: Ending) -> str:
    """Tell that a container was stopped, and how to have it back."""
    name = shown(ending.container)
    first = f'Your container "{name}" was stopped at {moment(ending.ends_at)}.'
    return "\n".join(line[:WIDTH] for line in (first, _why(ending), *_after(ending)))


def stopped_before(container: str, id_: str, at: datetime, why: str) -> str:
    """Tell that a container was stopped, of which no more is known than what was written down."""
    name = shlex.quote(container) if _is_plain(container) else id_[:12]
    lines = (
        f'Your container "{shown(container)}" was stopped, as was found at {moment(at)}.',
        f"Why: {shown(why, WIDTH)}",
        f"If it is there still, start it again with: docker start {name}",
        "Your folders and the volumes that have a name stay in any case.",
    )
    return "\n".join(line[:WIDTH] for line in lines)


def held(container: str, id_: str, removed_at: datetime, *, was_started: bool) -> str:
    """Tell that a container which does not run will be removed."""
    state = "is stopped" if was_started else "was never started"
    name = shlex.quote(container) if _is_plain(container) else id_[:12]
    lines = (
        f'Your container "{shown(container)}" {state}. It will be removed at {moment(removed_at)}.',
        f"To keep it, start it before that: docker start {name}",
        "Your folders and volumes stay in any case; save what is only inside of the container.",
    )
    return "\n".join(line[:WIDTH] for line in lines)


def removed(container: str, at: datetime, held_for: timedelta, *, was_started: bool) -> str:
    """Tell that a container which did not run was removed."""
    what = f"{span(held_for)} after it was stopped" if was_started else "as it was never started"
    return (
        f'Your container "{shown(container)}" was removed at {moment(at)}, {what}.\n'
        "Your folders and volumes are as they were; what was only inside of it is gone."
    )


def subject(host: str, names: Sequence[str]) -> str:
    """Give the subject of a mail that warns of these containers."""
    what = f"your container {shown(names[0])}" if len(names) == 1 else f"{len(names)} containers"
    return f"[{shown(host)}] {what} will be stopped"


def mail_body(host: str, texts: Sequence[str]) -> str:
    """Give the text of a mail with all warnings of one user."""
    head = f"This is {shown(host)}, on which you have something running."
    return "\n\n".join([head, *texts, "You need not answer this mail."]) + "\n"


def _warning(ending: Ending) -> Iterator[str]:
    name, left = shown(ending.container), max(ending.left or timedelta(0), timedelta(minutes=1))
    last = " This is the last warning." if ending.stage > 1 else ""
    yield (
        f'Your container "{name}" will be stopped in about {span(left)},'
        f" at {moment(ending.ends_at)}.{last}"
    )
    yield _why(ending)
    yield from _how_to_keep(ending)
    yield from _after(ending)


def _why(ending: Ending) -> str:
    now = " while many others wait for GPUs" if ending.is_high_demand else ""
    limit = f"the limit for it is {span(ending.limit)}{now}"
    counted = span(ending.counted)
    if ending.part == "runtime":
        return f"Why: it has been running for {counted}; {limit}."
    if ending.is_holding:
        return f"Why: for {counted} it has held memory of a GPU without computing; {limit}."
    return f"Why: for {counted} it has done nothing that can be seen; {limit}."


def _how_to_keep(ending: Ending) -> Iterator[str]:
    """Say how to keep it: with a command that can be copied as it stands, and that works."""
    if ending.kept_already is not None:
        yield from _how_without_file(ending, ending.kept_already)
        return
    again = f" (good for {span(ending.keep_for)}, then again)" if ending.keep_for else ""
    path = f"{(ending.workspace or '').rstrip('/')}/.keep-alive"
    if ending.workspace and shown(path, _LONGEST_PATH) == path:
        yield f"To keep it running: touch {shlex.quote(path)}{again}"
    elif _is_plain(ending.container):
        file = f"~/.ds01/keep/{shlex.quote(ending.container)}"
        yield f"To keep it running: mkdir -p ~/.ds01/keep && touch {file}{again}"
    used = "To use it again is enough, too. " if ending.part == "idle" else ""
    yield f"{used}If it needs longer than that, ask the admin of this machine."


def _how_without_file(ending: Ending, most: int) -> Iterator[str]:
    yield (
        f"No file can keep it: files keep {most} of your containers already, and more they may not."
        " Remove the file of another first."
    )
    used = "To use it again is enough. " if ending.part == "idle" else ""
    yield f"{used}If it is needed, ask the admin of this machine, who can keep it."


def _after(ending: Ending) -> Iterator[str]:
    if ending.removes_itself:
        yield from _after_removal(ending)
        return
    name = shlex.quote(ending.container) if _is_plain(ending.container) else ending.id[:12]
    verb = "Once stopped, start it again with" if ending.left is not None else "Start it again with"
    if ending.hold is None:
        yield f"{verb}: docker start {name}"
    else:
        # a zone's own arithmetic would lose the hour of a summer time that ends meanwhile
        until = (ending.ends_at.astimezone(timezone.utc) + ending.hold).astimezone(
            ending.ends_at.tzinfo
        )
        yield f"{verb}: docker start {name} (until {moment(until)}, when it is removed)"
    yield "Your folders and volumes stay in any case; save what is only inside of the container."


def _after_removal(ending: Ending) -> Iterator[str]:
    """Say what is lost: to stop such a container is to remove it."""
    if ending.left is None:
        yield "It was made with --rm, so it is removed: what was only inside of it is gone."
        yield "Your folders and the volumes that have a name stay."
        return
    yield "It was made with --rm: once stopped, it is removed and can't be started again."
    yield (
        "Your folders and the volumes that have a name stay; save what is only inside of it"
        " before that."
    )


def _is_plain(text: str) -> bool:
    """Tell whether a text can stand in a command whole."""
    return bool(text) and shown(text, _LONGEST_PATH) == text and "/" not in text


# --- words ------------------------------------------------------------------------------------


def shown(text: str, longest: int = _LONGEST_NAME) -> str:
    """Make foreign text fit for any terminal or mail: no control or format characters, not long."""
    clean = "".join(sign for sign in text if sign.isprintable())
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def moment(at: datetime) -> str:
    """Show a time in its own zone: ``2026-11-23 13:00 CET``."""
    return f"{at:%Y-%m-%d %H:%M %Z}".rstrip()


def span(length: timedelta) -> str:
    """Show a span in words, by its two largest units: ``1 hour 30 minutes``."""
    left = max(int(length.total_seconds() + 30) // 60 * 60, 0)
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
        elif parts:
            break
    return " ".join(parts[:2]) or "less than a minute"
