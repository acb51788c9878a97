"""Decide what has to change so that everything a person runs is bound by the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.drift import WORDS, Drift, drifts, is_set_property, same
from ds01ctl.core.dropin_text import assigned, place_of, render
from ds01ctl.core.enforce_model import REPORT_ONLY, Change, Deferred, Plan
from ds01ctl.core.holding import of_scopes
from ds01ctl.core.properties import BY_NAME, NONE, fits, number
from ds01ctl.core.taking_back import now, prune, without_us

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ds01ctl.core.drift import Seen
    from ds01ctl.core.enforce_model import ChangeKind, Rule, World
    from ds01ctl.core.homes import Hardware, Home


def decide(world: World) -> Plan:
    """Compare all that is wanted with all that is there."""
    changes: list[Change] = []
    found: list[tuple[Home, tuple[Drift, ...]]] = []
    deferred: list[Deferred] = []
    for home in world.homes:
        if home.unit in world.settled:
            continue
        if world.users is not None and home.person.login not in world.users:
            continue
        values, late = intended(home, world.seen[home.unit], force=world.force)
        if world.modes.get(_own_rule(home)) == "enforce" and _own_rule(home) in world.chosen:
            deferred += late
        looked_at = frozenset().union(*_by_rule(_own_rule(home), world).values())
        compared = drifts(home, values, world.seen[home.unit], world.machine)
        drift = tuple(one for one in compared if one.prop.name in looked_at)
        if drift:
            found.append((home, drift))
        changes += _of_home(home, values, drift, world)
    changes += prune(world)
    held = of_scopes(world)
    changes += held[0]
    deferred += held[1]
    return Plan(tuple(changes), tuple(found), tuple(deferred), held[2])


# --- homes ------------------------------------------------------------------------------------


def intended(home: Home, seen: Seen, *, force: bool) -> tuple[dict[str, str], list[Deferred]]:
    """Give the values that are to hold now: memory in use is never cut away, but with force.

    Until it is less, the kernel keeps the limit that it has, MemoryHigh slows the work down, and
    the drop-in says the same: somebody else's daemon-reload must not kill either.
    """
    values = {name: wanted.value for name, wanted in home.wanted.items()}
    if force or seen.group is None or not is_lowered(home, seen):
        return values, []
    most, allowed = values["MemoryMax"], seen.group.value(BY_NAME["MemoryMax"])
    if seen.in_use_bytes is not None and fits(seen.in_use_bytes, most):
        return values, []
    high = values.get("MemoryHigh", NONE)
    values["MemoryHigh"] = most if number(high) > number(most) else high
    values["MemoryMax"] = allowed
    late = Deferred(home.unit, home.person.login, int(number(most)), seen.in_use_bytes)
    # in the order of the table: slow down first
    return {name: values[name] for name in BY_NAME if name in values}, [late]


def is_lowered(home: Home, seen: Seen) -> bool:
    """Tell whether the policy's MemoryMax is less than what the kernel allows now."""
    wanted = home.wanted.get("MemoryMax")
    if wanted is None or seen.group is None:
        return False
    return number(seen.group.value(BY_NAME["MemoryMax"])) > number(wanted.value)


def _of_home(
    home: Home, values: Mapping[str, str], drift: Sequence[Drift], world: World
) -> Iterator[Change]:
    """Plan the changes of one home, those that are only reported apart from the others."""
    seen = world.seen[home.unit]
    own = _own_rule(home)
    if seen.file.stamp == "foreign":
        if values and own in world.chosen:
            what = "a file that is not ds01ctl's lies there; move it away"
            place = place_of(home.unit)
            yield Change(
                "write-drop-in", place, home.person.login, own, what, {}, values, skip=what
            )
        return
    for rule, names in _by_rule(own, world).items():
        if names:
            yield from _changes(home, rule, names, values, drift, world)


def _own_rule(home: Home) -> Rule:
    return "logins" if home.kind == "logins" else "slices"


def _by_rule(own: Rule, world: World) -> dict[Rule, frozenset[str]]:
    """Tell which properties each rule is about: one rule where both are treated alike."""
    io = frozenset(name for name, prop in BY_NAME.items() if prop.is_io)
    rest = frozenset(BY_NAME) - io
    if {own, "io"} <= world.chosen and world.modes.get(own) == world.modes.get("io"):
        return {own: io | rest}
    return {rule: names for rule, names in ((own, rest), ("io", io)) if rule in world.chosen}


def _changes(
    home: Home,
    rule: Rule,
    names: frozenset[str],
    values: Mapping[str, str],
    drift: Sequence[Drift],
    world: World,
) -> Iterator[Change]:
    seen, login = world.seen[home.unit], home.person.login
    skip = None if world.modes.get(rule) == "enforce" else REPORT_ONLY
    lines = assigned(seen.file.text or "")
    mine = {name: value for name, value in values.items() if name in names}
    text = drop_in_text(home, mine, seen, names, world.machine)
    reason = _reason(home, drift, names)
    if text != seen.file.text:
        kind: ChangeKind = "remove-drop-in" if text is None else "write-drop-in"
        dropped = (name for name in lines if name in names and name not in {*mine, *home.kept})
        before = dict.fromkeys(dropped, "written otherwise")
        yield Change(kind, place_of(home.unit), login, rule, reason, before, mine, text, skip=skip)
    if seen.group is None:
        return
    live = {one.prop.name: one.wanted for one in drift if one.prop.name in names and _is_live(one)}
    live |= _taken_back(home, names, lines, seen, values)
    if live:
        before = {name: now(name, seen) for name in live}
        after = {name: live[name] for name in BY_NAME if name in live}
        change = Change("set-property", home.unit, login, rule, reason, before, after)
        yield change._replace(cgroup=home.cgroup, skip=skip)


def drop_in_text(
    home: Home, values: Mapping[str, str], seen: Seen, names: frozenset[str], machine: Hardware
) -> str | None:
    """Write what our drop-in should say; what is not among names stays as it is written."""
    lines = assigned(seen.file.text or "")
    kept = {n: value for n, value in lines.items() if n not in names or n in home.kept}
    return render(home, values, machine.nodes, kept)


def is_settled(home: Home, seen: Seen, machine: Hardware) -> bool:
    """Tell whether nothing is to be done for a home, without asking systemd."""
    values, late = intended(home, seen, force=False)
    if late or (seen.group and any(not BY_NAME[name].file for name in values)):
        return False
    told = [one.values for one in seen.foreign if is_set_property(one.path)]
    if any(values.get(name, value) != value for one in told for name, value in one.items()):
        # systemd may have been told otherwise, whatever the kernel says now
        return False
    text = drop_in_text(home, values, seen, frozenset(BY_NAME), machine)
    return seen.file.text == text and not any(True for _ in drifts(home, values, seen, machine))


def _is_live(drift: Drift) -> bool:
    """Tell whether what holds now differs, and may be mended: a later file would win again."""
    if drift.by is not None and not is_set_property(drift.by):
        return False
    values = (value for value in (drift.kernel, drift.told) if value is not None)
    return any(not same(drift.prop, value, drift.wanted) for value in values)


def _taken_back(
    home: Home,
    names: frozenset[str],
    lines: Collection[str],
    seen: Seen,
    values: Mapping[str, str],
) -> dict[str, str]:
    """Give what holds without us, for limits of ours that nobody wants any more."""
    gone = (name for name in lines if name in names and name not in {*values, *home.kept})
    without = {name: without_us(name, seen) for name in gone}
    return {n: v for n, v in without.items() if not same(BY_NAME[n], v, now(n, seen))}


def _reason(home: Home, drift: Sequence[Drift], names: frozenset[str]) -> str:
    legs = dict.fromkeys(one.leg for one in drift if one.prop.name in names)
    said = "; ".join(WORDS[leg].partition(":")[0] for leg in legs) or "the policy has changed"
    old = ", a group that was left but is in use" if home.is_old else ""
    return f"{said} ({home.person.login}, group {home.person.group}{old})"
