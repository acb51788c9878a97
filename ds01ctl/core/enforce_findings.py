"""What an admin should know about limits: where they do not hold, and what cannot be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.drift import WORDS, Drift, is_set_property
from ds01ctl.core.plan import Finding
from ds01ctl.core.properties import BY_NAME, NONE, is_above, shown
from ds01ctl.core.quantity import size_text
from ds01ctl.core.subjects import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.enforce_model import Plan, World
    from ds01ctl.core.homes import Home
    from ds01ctl.core.plan import Severity
    from ds01ctl.core.scopes import Bound, Scope

KINDS = (
    "limit-drift",
    "limit-overridden",
    "limit-deferred",
    "limit-unusable",
    "slice-name",
    "container-over-limit",
    "container-outside-slice",
    "container-unowned",
    "engine-setting",
)
"""Every kind of finding of `enforce`, in the order of the documentation."""


def of_plan(plan: Plan, world: World) -> Iterator[Finding]:
    """Find what a plan cannot mend, or an admin should decide on."""
    for home, found in plan.drifts:
        beaten = [one for one in found if one.by is not None]
        if beaten:
            evidence = [_evidence(one, world) for one in beaten]
            if not all(is_set_property(one.by or "") for one in beaten):
                evidence.append("remove that file, or write its value into the policy")
            else:
                evidence.append("`ds01ctl enforce apply` sets the policy's value again")
            yield _of_home("limit-overridden", "warning", home, beaten, evidence)
    for late in plan.deferred:
        used = late.in_use_bytes
        over = 0 if used is None else used - late.wanted_bytes
        above = f", {size_text(over)} above it" if over > 0 else ", too little below it"
        above = "" if used is None else above
        told = "an unknown amount" if used is None else size_text(used)
        text = f"{told} in use{above}: memory_max {size_text(late.wanted_bytes)} waits"
        how = "it is slowed down (memory.high), and the next run tries again; --force would kill"
        subject = {
            "type": "memory",
            "target": late.target,
            "wanted_bytes": late.wanted_bytes,
            "in_use_bytes": used,
        }
        yield Finding("limit-deferred", "warning", late.user, subject, (text, how),
                      ("limit-deferred", late.target))  # fmt: skip
    yield from _of_policy(world)
    yield from _of_kernel(plan, world)
    yield from _of_names(world)
    for scope, limits in plan.bounds:
        yield from _of_scope(scope, limits, world)


def of_drifts(plan: Plan, world: World) -> Iterator[Finding]:
    """Find every limit that is not everywhere as it should be: what `check` tells besides."""
    for home, found in plan.drifts:
        rest = [one for one in found if one.by is None]
        if rest:
            evidence = [_evidence(one, world) for one in rest]
            yield _of_home("limit-drift", "warning", home, rest, evidence)


def _of_home(
    kind: str, severity: Severity, home: Home, found: Sequence[Drift], evidence: Sequence[str]
) -> Finding:
    subject = {
        "type": "slice",
        "unit": home.unit,
        "uid": home.person.uid,
        "group": home.person.group,
        "properties": [
            {"name": one.prop.name, "leg": one.leg, "policy": one.wanted, "systemd": one.told,
             "kernel": one.kernel, "by": one.by}
            for one in found
        ],
    }  # fmt: skip
    return Finding(kind, severity, home.person.login, subject, tuple(evidence), (kind, home.unit))


def _evidence(one: Drift, world: World) -> str:
    nodes = world.machine.nodes
    policy, systemd, kernel = (
        shown(one.prop, v, nodes) for v in (one.wanted, one.told, one.kernel)
    )
    places = [f"policy {policy}"]
    places += [f"systemd {systemd}"] if one.told is not None else []
    places += [f"kernel {kernel}"] if one.kernel is not None else []
    words = WORDS[one.leg]
    if one.by:
        words += f" by {one.by}" if one.leg == "overridden" else f", and {one.by} says otherwise"
    return f"{one.prop.name}: {words} ({', '.join(places)})"


def _of_policy(world: World) -> Iterator[Finding]:
    for one in world.misfits:
        subject = {"type": "policy", "key": one.key}
        evidence = (f"{one.key}: {one.text}", f"written in {one.origin}")
        key = ("limit-unusable", one.key, one.origin, one.text)
        yield Finding("limit-unusable", "warning", None, subject, evidence, key)


def _of_kernel(plan: Plan, world: World) -> Iterator[Finding]:
    """Find limits that there is no file for: no swap accounting, or a controller that is off."""
    missing: dict[str, str] = {}
    for home in world.homes:
        group = world.seen[home.unit].group
        lacking = (name for name in home.wanted if group and group.lacks(BY_NAME[name]))
        missing.update({BY_NAME[name].file: name for name in lacking})
    for scope, limits in plan.bounds:
        files = scope.group.files
        lacking = (name for name in limits if BY_NAME[name].file not in files)
        missing.update({BY_NAME[name].file: name for name in lacking})
    for file, name in sorted(missing.items()):
        subject = {"type": "kernel", "key": file}
        text = f"{name}: there is no {file} here; the other limits are set"
        yield Finding("limit-unusable", "warning", None, subject, (text,), ("limit-unusable", file))


def _of_names(world: World) -> Iterator[Finding]:
    for person in world.roll.people:
        name = world.names[person.uid]
        if name.note is None or (world.users is not None and person.login not in world.users):
            continue
        told = f"its slice is {name.unit}" if name.unit else "it has no slice for containers"
        subject = {"type": "slice", "unit": name.unit, "uid": person.uid, "group": person.group}
        severity: Severity = "info" if name.unit else "warning"
        yield Finding("slice-name", severity, person.login, subject, (f"{name.note}: {told}",),
                      ("slice-name", str(person.uid)))  # fmt: skip


def _of_scope(scope: Scope, limits: Mapping[str, Bound], world: World) -> Iterator[Finding]:
    container, login = scope.container, scope.login
    is_known = login is not None
    subject = {
        "type": "container",
        "id": container.id,
        "name": container.name,
        "cgroup": container.cgroup,
        "started_at": container.started_at,
    }
    where = short(container.cgroup or "")
    if scope.is_spared:
        return
    if scope.is_unknown:
        text = "whose it is could not be looked up: it is left as it is"
        yield Finding("container-unowned", "info", None, subject, (text, f"runs in {where}"),
                      ("container-unowned", container.id))  # fmt: skip
        return
    if not is_known:
        how = "nobody is held to account for it"
        if scope.person is not None:
            how = "it is held to the default group's limits for one container"
        text = (
            f"nothing that can be trusted names its owner; {how} (enforcement.unowned_containers)"
        )
        yield Finding("container-unowned", "info", None, subject, (text, f"runs in {where}"),
                      ("container-unowned", container.id))  # fmt: skip
    elif scope.home is None:
        text = f"runs in {where}, in no slice of its owner's: held on its own"
        yield Finding("container-outside-slice", "warning", login, subject, (text,),
                      ("container-outside-slice", container.id))  # fmt: skip
    over = list(_over(scope, limits, world))
    if over:
        yield Finding("container-over-limit", "warning", login, subject, tuple(over),
                      ("container-over-limit", container.id))  # fmt: skip


def _over(scope: Scope, limits: Mapping[str, Bound], world: World) -> Iterator[str]:
    """Compare what the container was made with, before we held it, with its owner's limits."""
    held = world.held.get(scope.container.id)
    for name, bound in limits.items():
        prop = BY_NAME[name]
        now = scope.group.value(prop)
        own = held.before.get(name, now) if held else now
        if prop.kind == "cpus" or not is_above(prop, own, bound.value):
            continue
        limit = shown(prop, bound.value, world.machine.nodes)
        made = "none of its own" if own == NONE else shown(prop, own, world.machine.nodes)
        yield f"{name}: {made}, the limit is {limit} by {bound.why}"
