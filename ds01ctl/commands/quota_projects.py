"""What `quota project create` and `remove` do once their options are read."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import asking
from ds01ctl.commands import quota_project_making as making
from ds01ctl.commands import quota_project_site as sites
from ds01ctl.core import projects, storage
from ds01ctl.core.disk_quota import NO_LIMITS
from ds01ctl.core.plan import Action
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ds01ctl.act.project_tags import Tagged
    from ds01ctl.commands.quota_project_making import Wanted
    from ds01ctl.commands.quota_project_site import Site
    from ds01ctl.core.disk_quota import DiskQuota, QuotaFileSystem
    from ds01ctl.core.plan import Result


# --- create --------------------------------------------------------------------------------------


def create(
    name: str, path: str, owner: str | None, config: Path | None, *, dry_run: bool, as_json: bool
) -> Result:
    """Register a project and tag its tree; once more: go on where that ended."""
    from ds01ctl.observe import project_registry

    making.check_name(name)
    site = sites.open_site(config, is_quiet=as_json)
    data_root = sites.docker_root(site)
    making.check_place(path, data_root)
    _check_owner(owner, site)
    path = posixpath.normpath("/" + path.lstrip("/"))
    given = making.Wanted(name, path, owner, making.is_volume(path, data_root))
    texts = project_registry.read(site.paths)
    # first what the registry alone tells
    making.enter(texts, given, making.Ids(site.ids, frozenset(), projects.DockerIds()))
    making.check_quota(path, site)
    real = sites.real_path(path, site)
    making.check_place(real, data_root)
    wanted = given._replace(path=real, is_volume=making.is_volume(real, data_root))
    if dry_run:
        ids = making.ids_of(real, data_root, projects.parse(texts), site)
        _, number = making.enter(texts, wanted, ids)
        return _created(wanted, number, site, _steps(wanted, number), None)
    with sites.held(name, site):
        ids = making.ids_of(real, data_root, sites.read_registry(site), site)
        return _create(wanted, ids, site)


def _check_owner(owner: str | None, site: Site) -> None:
    """Refuse a login that nobody has; where nobody answers, it is taken as it is."""
    from ds01ctl.observe import users

    if owner is None:
        return
    if not owner.isprintable() or ":" in owner:
        raise UsageError(f"--owner {owner!r}: cannot be a login")
    deadline_s = float(site.policy.value("users.timeout_s"))
    passwd = site.paths.under("/etc/passwd")
    nsswitch = site.paths.under("/etc/nsswitch.conf")
    found = users.read(
        (), [owner], (), deadline_s=deadline_s, home_dirs=(), passwd=passwd, nsswitch=nsswitch
    )
    if owner not in found.uids and not found.gaps:
        raise UsageError(f"--owner {owner}: there is no such user", f"getent passwd {owner}")


def _create(wanted: Wanted, ids: making.Ids, site: Site) -> Result:
    number = making.register(wanted, ids, site)
    steps = _steps(wanted, number)
    try:
        done = making.tag(wanted.path, number, site)
    except Ds01Error as error:
        failed = {"path": wanted.path, "error": error.message}
        sites.tell(
            [sites.event("create", wanted.name, number, wanted.owner, failed, failed=True)], site
        )
        hint = f"it is registered; to go on, or undo it: ds01ctl quota project remove {wanted.name}"
        raise Ds01Error(error.message, f"{error.hint}; {hint}" if error.hint else hint) from None
    actions = [steps[0]._replace(outcome="done"), sites.outcome(steps[1], done)]
    details = {"path": wanted.path, "changed": done.changed, "unchanged": done.unchanged,
               "foreign": done.foreign, "not_changed": done.failed}  # fmt: skip
    told = sites.event(
        "create", wanted.name, number, wanted.owner, details, failed=bool(done.failed)
    )
    return _created(wanted, number, site, actions, done, sites.tell([told], site))


def _steps(wanted: Wanted, number: int) -> list[Action]:
    where = f"in {projects.PROJECTS} and {projects.PROJID}"
    return [
        Action("register-project", wanted.name, f"id {number}, {where}"),
        Action("tag-tree", wanted.path, f"all files in it get id {number}, and new ones inherit"),
    ]


def _created(
    wanted: Wanted,
    number: int,
    site: Site,
    actions: Sequence[Action],
    done: Tagged | None,
    gaps: Sequence[Any] = (),
) -> Result:
    notes = making.notes_of(done) if done else []
    notes.append(projects.EXDEV_WORDS)
    notes.append(f"to limit it: ds01ctl quota set --project {wanted.name} --path {wanted.path}"
                 " --soft SIZE")  # fmt: skip
    data = {
        "project": making.row_of(wanted.name, number, (wanted.path,), wanted.owner),
        "trees": [sites.tagged_row(wanted.path, done)] if done else [],
        "notes": notes,
    }
    return sites.result("create", site, data, actions, gaps=gaps)


# --- remove --------------------------------------------------------------------------------------


class _Going(NamedTuple):
    """A project that is to be removed."""

    name: str
    number: int
    paths: tuple[str, ...]
    owner: str | None
    limited: tuple[tuple[QuotaFileSystem, DiskQuota], ...]
    """Where it has limits."""
    keep_tags: bool


def remove(
    name: str, config: Path | None, *, keep_tags: bool, dry_run: bool, yes: bool, as_json: bool
) -> Result:
    """Take tags, limits and lines of a project away. Its files are never touched."""
    site = sites.open_site(config, is_quiet=as_json)
    going = _going(name, site, keep_tags=keep_tags)
    if dry_run:
        return _removed(going, site, _removal(going), [])
    asking.need_yes(yes=yes, as_json=as_json)
    if not yes:
        sites.ask(_removal(going))
    with sites.held(name, site):
        again = _going(name, site, keep_tags=keep_tags)
        if not yes and again != going:
            what = f"project {name} has changed since you were asked; nothing was done"
            raise Ds01Error(what, f"look again: ds01ctl quota project remove {name} --dry-run")
        return _remove(again, site)


def _going(name: str, site: Site, *, keep_tags: bool) -> _Going:
    registry = sites.read_registry(site)
    number = registry.id_of(name)
    if number is None:
        known = sorted(one.name for one in registry.names if one.id in site.ids)
        raise UsageError(f"there is no project {name}", f"there are: {', '.join(known) or 'none'}")
    if number not in site.ids:
        what = f"project {name} is someone else's: its id, {number}, is not one of ours"
        raise UsageError(what, f"take it out of {projects.PROJID} and {projects.PROJECTS} by hand")
    paths = registry.paths_of(number)
    owner = sites.owner_of(name, registry, site)
    limited = tuple(_limited(number, paths, site))
    return _Going(name, number, paths, owner, limited, keep_tags)


def _limited(
    number: int, paths: Sequence[str], site: Site
) -> Iterator[tuple[QuotaFileSystem, DiskQuota]]:
    from ds01ctl.observe import quotas

    # where a tree is gone, its limits are not: they are on the file system that it lay on
    folders = [above for path in paths for above in _with_above(path)]
    reading = quotas.read(site.paths, folders, kinds=sites.KIND)
    gap = next((gap for gap in reading.gaps if gap.kind != "absent"), None)
    if gap:
        raise Ds01Error(f"its limits could not be read: {gap.reason}", "run it as root")
    for fs in reading.file_systems:
        for one in fs.records["project"]:
            if one.id == number and one.limits != NO_LIMITS:
                # what else is written there meanwhile is no reason to ask again
                yield (
                    fs._replace(records={}, free_bytes=None, free_inodes=None),
                    one._replace(
                        used_bytes=0, used_inodes=0, bytes_grace_end=0, inodes_grace_end=0
                    ),
                )


def _with_above(path: str) -> Iterator[str]:
    while path != "/":
        yield path
        path = posixpath.dirname(path)


def _removal(going: _Going) -> list[Action]:
    steps = [] if going.keep_tags else [
        Action("untag-tree", path, "its files are in no project then; they stay as they are")
        for path in going.paths
    ]  # fmt: skip
    steps += [
        Action("take-limits", fs.mount, storage.limits_text(one.limits))
        for fs, one in going.limited
    ]
    where = f"out of {projects.PROJECTS} and {projects.PROJID}"
    return [*steps, Action("unregister-project", going.name, f"id {going.number}, {where}")]


def _remove(going: _Going, site: Site) -> Result:
    actions: list[Action] = []
    trees: list[tuple[str, Tagged]] = []
    for step in _removal(going):
        if step.kind == "unregister-project" and any(one.outcome == "failed" for one in actions):
            error = "what failed above is to be done first; then run it again"
            actions.append(step._replace(outcome="skipped", error=error))
            continue
        actions.append(_do(step, going, site, trees))
    details = {"paths": list(going.paths), "keep_tags": going.keep_tags}
    failed = any(one.outcome == "failed" for one in actions)
    told = sites.event("remove", going.name, going.number, going.owner, details, failed=failed)
    return _removed(going, site, actions, trees, sites.tell([told], site))


def _do(step: Action, going: _Going, site: Site, trees: list[tuple[str, Tagged]]) -> Action:
    from ds01ctl.act import project_registry, quotas

    try:
        if step.kind == "untag-tree":
            return _untag(step, going, site, trees)
        if step.kind == "take-limits":
            fs, one = next(pair for pair in going.limited if pair[0].mount == step.target)
            quotas.set_limits(
                site.paths.under(fs.mount), fs.source, "project", going.number, NO_LIMITS,
                expected=one.limits,
            )  # fmt: skip
        else:
            project_registry.change(
                site.paths,
                lambda texts: (projects.without_project(texts, going.name, going.number), None),
            )
    except Ds01Error as error:
        return step._replace(outcome="failed", error=error.message)
    return step._replace(outcome="done")


def _untag(step: Action, going: _Going, site: Site, trees: list[tuple[str, Tagged]]) -> Action:
    from ds01ctl.act import project_tags

    place = sites.place_of(step.target, site)
    if not sites.is_there(place):
        return step._replace(outcome="skipped", error="it is not there any more")
    with sites.progress(f"untagging {step.target}", None, site) as progress:
        done = project_tags.untag(place, going.number, progress)
    trees.append((step.target, done))
    return sites.outcome(step, done)


def _removed(
    going: _Going,
    site: Site,
    actions: Sequence[Action],
    trees: Sequence[tuple[str, Tagged]],
    gaps: Sequence[Any] = (),
) -> Result:
    # other names of a file are out of the project with it
    told = [done._replace(linked_outside=0) for _, done in trees]
    notes = [note for done in told for note in making.notes_of(done)]
    notes += [projects.STRAY_WORDS] if not going.keep_tags else []
    wish = next((one for one in storage.projects_of(site.policy) if one.name == going.name), None)
    if wish:
        notes.append(f"the policy names it still ({wish.origin}): take it out there, too")
    data = {
        "project": making.row_of(going.name, going.number, going.paths, going.owner),
        "trees": [sites.tagged_row(path, done) for path, done in trees],
        "notes": notes,
    }
    return sites.result("remove", site, data, actions, gaps=gaps)
