"""What `quota project volumes` does: each user's Docker volumes into a project of theirs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import asking, quota_memory
from ds01ctl.commands import quota_project_making as making
from ds01ctl.commands import quota_project_site as sites
from ds01ctl.commands import quota_volume_owners as owning
from ds01ctl.core import projects
from ds01ctl.core.plan import Action
from ds01ctl.core.volume_owner import project_name
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ds01ctl.commands.quota_project_making import Ids, Wanted
    from ds01ctl.commands.quota_project_site import Site
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Result
    from ds01ctl.core.projects import Registry
    from ds01ctl.observe.docker_volumes import VolumesReading
    from ds01ctl.report.events import Event


class _Gone(NamedTuple):
    """A line about a volume that Docker has removed."""

    project: str
    number: int
    path: str


class _Plan(NamedTuple):
    wanted: tuple[Wanted, ...]
    """Volumes that are to be tagged, or of which something is not."""
    gone: tuple[_Gone, ...]
    unchanged: tuple[str, ...]
    """Names of volumes that are as they should be."""
    left: tuple[tuple[str, str], ...]
    """Names of volumes that are left alone, and why."""
    owners: owning.Owners

    @property
    def changes(self) -> list[Wanted | _Gone]:
        """List what is to be done."""
        return [*self.wanted, *self.gone]


def volumes(config: Path | None, *, dry_run: bool, yes: bool, as_json: bool) -> Result:
    """Tag volumes by their owner; those of nobody, or of several people, are only told."""
    site = sites.open_site(config, is_quiet=as_json)
    if not dry_run:
        asking.need_yes(yes=yes, as_json=as_json)
    reading = _listed(site)
    root = sites.real_path(reading.data_root, site)
    registry = sites.read_registry(site)
    if reading.volumes:
        making.check_quota(f"{root}/volumes", site)
    plan = _plan(reading, root, registry, site)
    steps = [_step(one) for one in plan.changes]
    if dry_run or not steps:
        return _result(plan, steps, site)
    if not yes:
        sites.ask(steps)
    with job_lock(site.paths, quota_memory.JOB):
        ids = making.ids_of(root, root, sites.read_registry(site), site)
        # one may have been removed since, and another made under its name
        return _carry_out(plan, _Now(_listed(site), root, ids), site)


def _listed(site: Site) -> VolumesReading:
    from ds01ctl.observe import docker_volumes

    reading = docker_volumes.read(site.paths, site.policy)
    if reading.gaps:
        what = f"Docker's volumes could not be listed: {reading.gaps[0].reason}"
        raise Ds01Error(what, "is Docker running? see: ds01ctl doctor")
    return reading


def _plan(reading: VolumesReading, root: str, registry: Registry, site: Site) -> _Plan:
    owners = owning.read(reading.volumes, root, site)
    wanted: list[Wanted] = []
    unchanged: list[str] = []
    left: list[tuple[str, str]] = []
    for volume in reading.volumes:
        owner = owners.by_volume[volume.name]
        path = f"{root}/volumes/{volume.name}"
        if isinstance(owner, str):
            left.append((volume.name, owner))
            continue
        project = project_name(owner.login, owner.uid)
        one = making.Wanted(project, path, owner.login, is_volume=True)
        if why := _elsewhere(one, registry):
            left.append((volume.name, why))
        elif _is_done(one, registry, site):
            unchanged.append(volume.name)
        else:
            wanted.append(one)
    gone = tuple(_gone(reading, root, registry, site))
    return _Plan(tuple(wanted), gone, tuple(unchanged), tuple(left), owners)


def _elsewhere(one: Wanted, registry: Registry) -> str | None:
    """Say why a volume cannot be in the project of its owner: it is in another one."""
    number = registry.id_of(one.name)
    rest = [tree for tree in registry.trees if (tree.id, tree.path) != (number, one.path)]
    other = projects.overlapping(one.path, rest)
    if other is None:
        return None
    whose = registry.name_of(other.id) or f"id {other.id}"
    return f"is in project {whose} already ({projects.PROJECTS}:{other.line})"


def _is_done(one: Wanted, registry: Registry, site: Site) -> bool:
    """Tell whether all of a volume is in its project; a run may have been killed before that."""
    from ds01ctl.observe import project_tags

    number = registry.id_of(one.name)
    if number is None or one.path not in registry.paths_of(number):
        return False
    try:
        found = project_tags.check(sites.place_of(one.path, site), number)
    except OSError:
        return False
    # what is in somebody else's project is left there by every run
    foreign = [one for one in found.strays if one.is_foreign(number, site.ids)]
    return found.stray_count == len(foreign)


def _gone(reading: VolumesReading, root: str, registry: Registry, site: Site) -> Iterator[_Gone]:
    there = {f"{root}/volumes/{one.name}" for one in reading.volumes}
    for tree in registry.trees:
        name = registry.name_of(tree.id)
        is_ours = tree.id in site.ids and name is not None and name.startswith(projects.VOLUMES)
        is_volume = os.path.dirname(tree.path) == f"{root}/volumes"  # noqa: PTH120 -- text in, text out
        is_listed = tree.path in there or sites.is_there(sites.place_of(tree.path, site))
        if is_ours and is_volume and not is_listed:
            yield _Gone(name or "", tree.id, tree.path)


def _step(one: Wanted | _Gone) -> Action:
    if isinstance(one, _Gone):
        return Action("forget-tree", one.path, f"Docker has removed it; it was in {one.project}")
    return Action("tag-tree", one.path, f"into project {one.name}")


# --- doing it ------------------------------------------------------------------------------------


class _Now(NamedTuple):
    """What is so under the lock."""

    reading: VolumesReading
    root: str
    ids: Ids


def _carry_out(plan: _Plan, now: _Now, site: Site) -> Result:
    came = [_do(one, plan, now, site) for one in plan.changes]
    events = [
        _event(one, what, number)
        for one, (number, what, _) in zip(plan.changes, came, strict=True)
        if what.outcome != "skipped"
    ]
    notes = [note for *_, some in came for note in some]
    actions = [action for _, action, _ in came]
    return _result(plan, actions, site, sites.tell(events, site), notes)


def _do(
    one: Wanted | _Gone, plan: _Plan, now: _Now, site: Site
) -> tuple[int, Action, Sequence[str]]:
    """Make a change; give the id, what came of it, and what to know of that."""
    step = _step(one)
    try:
        if isinstance(one, _Gone):
            return one.number, _forget(one, step, now, site), ()
        if why := _why_not(one, plan, now, site):
            return 0, step._replace(outcome="skipped", error=why), ()
        return _take_in(one, step, now.ids, site)
    except Ds01Error as error:
        return 0, step._replace(outcome="failed", error=error.message), ()


def _why_not(one: Wanted, plan: _Plan, now: _Now, site: Site) -> str | None:
    """Judge again whose a volume is, right before it is tagged: files come and go."""
    name = os.path.basename(one.path)  # noqa: PTH119 -- text in, text out
    volume = next((each for each in now.reading.volumes if each.name == name), None)
    if volume is None:
        return "Docker has removed it meanwhile"
    owner = owning.owner_of(volume, now.root, plan.owners, site)
    if isinstance(owner, str):
        return f"since it was looked at: {owner}"
    if owner.login != one.owner:
        return f"since it was looked at it is {owner.login}'s"
    return None


def _forget(one: _Gone, step: Action, now: _Now, site: Site) -> Action:
    from ds01ctl.act import project_registry

    if one not in _gone(now.reading, now.root, sites.read_registry(site), site):
        return step._replace(outcome="skipped", error="it is there again, or forgotten already")
    with sites.project_held(one.project, site):
        project_registry.change(
            site.paths,
            lambda texts: (projects.without_trees(texts, one.number, [one.path]), None),
        )
    return step._replace(outcome="done")


def _take_in(one: Wanted, step: Action, ids: Ids, site: Site) -> tuple[int, Action, Sequence[str]]:
    with sites.project_held(one.name, site):
        number = making.register(one, ids, site)
        done = making.tag(one.path, number, site)
    action = sites.outcome(step, done)
    notes = [f"{one.path}: {note}" for note in making.notes_of(done)]
    return number, action._replace(reason=f"{step.reason}: {action.reason}"), notes


def _event(one: Wanted | _Gone, action: Action, number: int) -> Event:
    name, owner = (one.project, None) if isinstance(one, _Gone) else (one.name, one.owner)
    details = {"path": action.target, "result": action.reason, "error": action.error}
    failed = action.outcome == "failed"
    return sites.event(action.kind, name, number, owner, details, failed=failed)


def _result(
    plan: _Plan,
    actions: Sequence[Action],
    site: Site,
    gaps: Sequence[Gap] = (),
    notes: Sequence[str] = (),
) -> Result:
    data: dict[str, Any] = {
        "unchanged": list(plan.unchanged),
        "left_alone": [{"volume": name, "reason": why} for name, why in plan.left],
        "notes": [*notes, *([projects.EXDEV_WORDS] if plan.wanted else [])],
    }
    return sites.result("volumes", site, data, actions, gaps=(*plan.owners.gaps, *gaps))
