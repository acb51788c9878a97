"""Circuit breakers: when so much is due, or so much is unknown, that nothing of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import PARTS, Part, Trip
from ds01ctl.core.cleanup_text import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from ds01ctl.core.cleanup_model import Change, Clock
    from ds01ctl.core.policy import Policy, Setting

STRIKES = frozenset(
    {
        "stop-container",
        "remove-container",
        "remove-image",
        "untag-image",
        "prune-build-cache",
        "remove-network",
        "revoke-grant",
    }
)
"""Kinds of changes that take something away; every breaker holds these back."""
_OF_CONTAINERS = frozenset({"stop-container", "remove-container"})
_OF_ENGINE = frozenset({"docker"})
_OF_OWNERS = frozenset({"docker", "users"})
_NEEDS: dict[Part, frozenset[str]] = {
    "idle": frozenset({"docker", "users", "nvml", "processes"}),
    "runtime": _OF_OWNERS,
    "stopped": _OF_OWNERS,
    "created": _OF_OWNERS,
    "gpu-holds": _OF_OWNERS,
    "users": _OF_OWNERS,
    "images": _OF_ENGINE,
    "cache": _OF_ENGINE,
    "networks": _OF_ENGINE,
    "volumes": _OF_ENGINE,
}
"""Without which sources nothing of a part is done."""
_NEEDED_BY_ALL = frozenset({"state", "policy"})
_CLOCK_STEP_S = 60.0
# what is not even told to users: it may not be true
_UNTRUE = frozenset({"source", "clock", "state"})


class Facts(NamedTuple):
    """What the breakers look at, beside the changes."""

    clock: Clock
    running: int
    """Containers that run."""
    existing: int
    """All containers."""
    sources_down: frozenset[str]
    """docker, nvml, processes, users, state, policy."""
    previous: Clock | None
    """At the run before; None: there was none that is known."""
    version_since: datetime | None
    """When this version first ran here; None: it is not on record, so it counts as now."""


def tripped(changes: Sequence[Change], facts: Facts, policy: Policy) -> tuple[Trip, ...]:
    """Tell which breakers hold back any of these changes.

    What is skipped already, by report mode or --limit, is no load and trips nothing.
    """
    due = [one for one in changes if one.skip is None]
    trips = (
        *_sources(facts),
        *_clock(facts),
        *_boot(facts, policy),
        *_upgrade(facts, policy),
        *_shares(due, facts, policy),
        *_users(due, policy),
    )
    return tuple(one for one in trips if any(_holds_back(one, change) for change in due))


def held_back(changes: Iterable[Change], trips: Iterable[Trip]) -> tuple[Change, ...]:
    """Give the changes, those that a trip holds back with its text as their ``skip``.

    Warnings and releases of GPUs are held back by the breakers source, clock and state alone.
    """
    all_trips = tuple(trips)
    return tuple(_with_trip(change, all_trips) for change in changes)


def _with_trip(change: Change, trips: Iterable[Trip]) -> Change:
    if change.skip is not None:
        return change
    trip = next((one for one in trips if _holds_back(one, change)), None)
    return change._replace(skip=f"breaker {trip.breaker}: {trip.text}") if trip else change


def _holds_back(trip: Trip, change: Change) -> bool:
    return change.part in trip.parts and (change.kind in STRIKES or trip.breaker in _UNTRUE)


def limited(changes: Sequence[Change], limit: int | None) -> tuple[Change, ...]:
    """Skip all but so many of the changes that take something away; the longest due are done.

    All tags of an image are one with it: they go together, or stay.
    """
    if limit is None:
        return tuple(changes)
    due = [one for one in changes if one.skip is None and one.kind in STRIKES]
    # images have no such time: they come in the order of their last use
    due.sort(key=lambda one: (-one.overdue_s, one.target if one.kind in _OF_CONTAINERS else ""))
    units = list(dict.fromkeys(map(_unit, due)))
    late = set(units[max(0, limit) :])
    skip = f"--limit {limit}: others have been due for longer"
    return tuple(
        one._replace(skip=skip)
        if one.skip is None and one.kind in STRIKES and _unit(one) in late
        else one
        for one in changes
    )


def _unit(change: Change) -> tuple[str, str, str]:
    if image := change.identity.get("image_id"):
        return "image", change.engine, image
    return change.kind, change.engine, change.target


# --- what is unknown --------------------------------------------------------------------------


def _sources(facts: Facts) -> Iterator[Trip]:
    """Hold back each part that a silent source leaves in the dark."""
    by_missing: dict[tuple[str, ...], list[Part]] = {}
    for part in PARTS:
        missing = tuple(sorted((_NEEDS[part] | _NEEDED_BY_ALL) & facts.sources_down))
        if missing:
            by_missing.setdefault(missing, []).append(part)
    for missing, parts in by_missing.items():
        verb = "is" if len(missing) == 1 else "are"
        yield Trip("source", tuple(parts), f"{', '.join(missing)} {verb} not known in this run")


def _clock(facts: Facts) -> Iterator[Trip]:
    before, now = facts.previous, facts.clock
    if before is None or before.boot_id != now.boot_id:
        return
    by_wall = (now.now - before.now).total_seconds()
    step = by_wall - (now.boottime_s - before.boottime_s)
    if abs(step) > _CLOCK_STEP_S:
        way = "ahead" if step > 0 else "back"
        yield Trip(
            "clock", PARTS, f"the clock was set {way} by {span(abs(step))} since the last run"
        )


def _boot(facts: Facts, policy: Policy) -> Iterator[Trip]:
    wait = policy.setting("cleanup.breaker.after_boot_m")
    up = facts.clock.boottime_s
    if up < _minutes(wait):
        yield Trip("boot", PARTS, f"the machine started {span(up)} ago; {_told(wait)}")


def _upgrade(facts: Facts, policy: Policy) -> Iterator[Trip]:
    wait = policy.setting("cleanup.breaker.after_upgrade_m")
    since = facts.version_since
    if since is None:
        if _minutes(wait) > 0:
            yield Trip("upgrade", PARTS, f"this version has not run here before; {_told(wait)}")
        return
    ran = (facts.clock.now - since).total_seconds()
    if ran < _minutes(wait):
        text = f"this version first ran here {span(ran)} ago; {_told(wait)}"
        yield Trip("upgrade", PARTS, text)


def _minutes(setting: Setting) -> float:
    return float(setting.value or 0) * 60


def _told(setting: Setting) -> str:
    return f"{setting.key} is {setting.value} ({setting.origin})"


# --- how much is due --------------------------------------------------------------------------


def _shares(due: Sequence[Change], facts: Facts, policy: Policy) -> Iterator[Trip]:
    share = policy.setting("cleanup.breaker.max_share")
    always = int(policy.value("cleanup.breaker.always") or 0)
    for kind, verb, of, number in (
        ("stop-container", "stop", "running", facts.running),
        ("remove-container", "remove", "existing", facts.existing),
    ):
        theirs = [one for one in due if one.kind == kind]
        count = len({(one.engine, one.target) for one in theirs})
        if share.value is None or count <= max(always, float(share.value) * number):
            continue
        text = f"{count} of {number} {of} containers are due to {verb}; {_told(share)}"
        yield Trip("share", _parts(theirs), f"{text}; `apply --limit N` does some of it")


def _users(due: Sequence[Change], policy: Policy) -> Iterator[Trip]:
    most = policy.setting("cleanup.breaker.max_users")
    strikes = [one for one in due if one.kind in {"stop-container", "remove-container"}]
    users = {one.user for one in strikes}
    if most.value is not None and len(users) > int(most.value):
        text = f"containers of {len(users)} users are concerned; {_told(most)}"
        yield Trip(
            "users", _parts(strikes), f"{text}; `apply --user` or `--limit N` does some of it"
        )


def _parts(changes: Iterable[Change]) -> tuple[Part, ...]:
    seen = {one.part for one in changes}
    return tuple(part for part in PARTS if part in seen)
