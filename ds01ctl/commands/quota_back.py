"""What `quota undo` and `restore` would put back: of what could be read, and is as we left it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import quota_graces
from ds01ctl.commands.quota_memory import GraceSet
from ds01ctl.core import quota
from ds01ctl.core.disk_quota import NO_LIMITS, Limits
from ds01ctl.core.quota_model import Change, Place, same
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.commands.quota_dump_file import Dump
    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.commands.quota_memory import Undo
    from ds01ctl.core.disk_quota import Accounting, DiskQuota, QuotaKind

    Edits = tuple[tuple[str, str | None, str], ...]


class Plan(NamedTuple):
    """What would be put back."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    edits: Edits = ()
    """Files of the policy: path, the text to put back (None: no file), the text that is there."""
    graces: tuple[GraceSet, ...] = ()
    reason: str = ""
    is_whole: bool = True
    """False: something is left only because it could not be read now."""


class _Now(NamedTuple):
    """What there is now."""

    seen: Reading
    records: Mapping[Place, DiskQuota]
    sources: Mapping[str, str]
    states: Mapping[tuple[str, QuotaKind], Accounting]
    """Of what is counted, by mount and kind."""

    def limits(self, place: Place) -> Limits | None:
        """Give the limits of an id; None: not known, for not every id was read."""
        if (record := self.records.get(place)) is not None:
            return record.limits
        state = self.states.get(place[:2])
        return NO_LIMITS if state is not None and state.is_complete else None


def _now(seen: Reading) -> _Now:
    systems = seen.file_systems
    states = {
        (one.mount, kind): state
        for one in systems
        for kind, state in one.accounting.items()
        if state.is_on
    }
    sources = {one.mount: one.source for one in systems}
    return _Now(seen, quota.records_of(systems), sources, states)


# --- restore ----------------------------------------------------------------------------------


def restored(dump: Dump, seen: Reading, reason: str) -> Plan:
    """Plan to set everything as it was dumped, but for ids that are somebody else's now."""
    now = _now(seen)
    others = _others(dump, seen)
    wanted = dict(dump.limits)
    for place in now.records:
        if place[:2] in dump.complete:
            wanted.setdefault(place, NO_LIMITS)
    wanted = {
        place: limits
        for place, limits in wanted.items()
        if place not in others and now.limits(place) is not None
    }
    changes = _changes(now, wanted, reason)
    notes = (*_unread(dump, now), *_moved(dump, now), *others.values(), *_full(now, changes))
    return Plan(changes, notes, graces=_restored_graces(dump, now), reason=reason)


def _others(dump: Dump, seen: Reading) -> dict[Place, str]:
    """Say of each id that had another name then; who got a number anew is not who had it."""
    found = {}
    for place, name in sorted(dump.names.items()):
        today = seen.name_of(place)
        if today is not None and today != name:
            found[place] = (
                f"{place.kind} {place.id} on {place.mount}: was {name} then, and is {today} now;"
                " it is left as it is"
            )
    return found


def _unread(dump: Dump, now: _Now) -> list[str]:
    notes = []
    for mount, kind in sorted(dump.complete | {place[:2] for place in dump.limits}):
        state = now.states.get((mount, kind))
        if state is not None and not state.is_complete:
            notes.append(
                f"{mount}: not all of its {kind} quotas could be read now; who is missing is left"
                " as it is"
            )
        elif state is None and any(place[:2] == (mount, kind) for place in dump.limits):
            notes.append(
                f"{mount}: is not there, or its {kind} quotas are off; its limits were not restored"
            )
    return notes


def _moved(dump: Dump, now: _Now) -> list[str]:
    """Say where another device is mounted now; a disk may only have got another name."""
    return [
        f"{mount}: was {source} then, and is {now.sources[mount]} now"
        for mount, source in sorted(dump.sources.items())
        if now.sources.get(mount, source) != source
    ]


def _restored_graces(dump: Dump, now: _Now) -> tuple[GraceSet, ...]:
    found = []
    for (mount, kind), then in sorted(dump.graces.items()):
        today = quota_graces.seconds(now.states.get((mount, kind)))
        if today is not None and today != then:
            found.append(GraceSet(mount, now.sources[mount], kind, today, then))
    return tuple(found)


# --- undo -------------------------------------------------------------------------------------


def undone(last: Undo, seen: Reading) -> Plan:
    """Plan to put back what a run has changed, where it is as the run left it."""
    now = _now(seen)
    reason = f"as before {last.command}"
    wanted, places_notes, places_read = _undone_places(last, now)
    graces, graces_notes, graces_read = _undone_graces(last, now)
    edits, edits_notes, edits_read = _undone_edits(last)
    changes = _changes(now, wanted, reason)
    notes = [f"what {last.command} of {last.at:%Y-%m-%d %H:%M} UTC did is put back"]
    notes += (*places_notes, *graces_notes, *edits_notes)
    notes += (f"{who}: the end of a grace that ran is not put back" for who in last.deadlines)
    if not last.edits and (last.places or last.graces):
        notes.append(
            "the policy still wants them: change it, or write quota: {mode: report}, or the timer"
            " sets them again"
        )
    is_whole = places_read and graces_read and edits_read
    if not is_whole:
        notes.append("what is left stays noted: once it can be read, repeat ds01ctl quota undo")
    return Plan(changes, (*notes, *_full(now, changes)), edits, graces, reason, is_whole)


def _undone_places(last: Undo, now: _Now) -> tuple[dict[Place, Limits], list[str], bool]:
    """Give the limits to put back, what is worth saying, and whether all could be read."""
    wanted, notes, is_read = {}, [], True
    for place, name, before, after in last.places:
        limits = now.limits(place)
        if limits is None:
            is_read = False
            notes.append(f"{name} on {place.mount}: its quotas could not be read, and are left")
        elif same(limits, after):
            wanted[place] = before
        elif not same(limits, before):
            notes.append(f"{name} on {place.mount}: was changed since, and is left as it is")
    return wanted, notes, is_read


def _undone_graces(last: Undo, now: _Now) -> tuple[tuple[GraceSet, ...], list[str], bool]:
    graces, notes, is_read = [], [], True
    for one in last.graces:
        today = quota_graces.seconds(now.states.get((one.mount, one.kind)))
        name = quota_graces.what(one.mount, one.kind)
        if today is None:
            is_read = False
            notes.append(f"{name}: could not be read, and is left")
        elif today == one.after:
            graces.append(GraceSet(one.mount, now.sources[one.mount], one.kind, today, one.before))
        elif today != one.before:
            notes.append(f"{name}: was changed since, and is left as it is")
    return tuple(graces), notes, is_read


def _undone_edits(last: Undo) -> tuple[Edits, list[str], bool]:
    edits, notes, is_read = [], [], True
    for path, before, after in last.edits:
        try:
            text = text_of(Path(path))
        except Ds01Error as error:
            is_read = False
            notes.append(f"{error.message}; it is left")
            continue
        if text == after:
            edits.append((path, before, after))
        elif text != before:
            notes.append(f"{path}: was changed since; take the line out by hand")
    return tuple(edits), notes, is_read


# --- both -------------------------------------------------------------------------------------


def text_of(path: Path) -> str | None:
    """Read a file of the policy; None: there is none. Raises Ds01Error."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be read: {error.strerror}") from None


def _full(now: _Now, changes: Iterable[Change]) -> list[str]:
    """Tell whose hard limit comes to lie below what is in use."""
    return [
        f"{one.name} on {one.place.mount} uses more than the hard limit that is put back: every"
        " write of theirs fails from then on"
        for one in changes
        if (record := now.records.get(one.place))
        and quota.held_back(one.after, record) != one.after
    ]


def _changes(now: _Now, wanted: Mapping[Place, Limits], reason: str) -> tuple[Change, ...]:
    """Make changes of what differs; wanted: of those only whose limits are known now."""
    changes = []
    for place, limits in sorted(wanted.items()):
        there = now.limits(place)
        if there is not None and not same(there, limits):
            name = now.seen.name_of(place) or f"#{place.id}"
            source = now.sources[place.mount]
            changes.append(
                Change(
                    place, source, name, there, limits, reason, "put-back", limits, is_forced=True
                )
            )
    return tuple(changes)
