"""What `quota project list` and `check` do once their options are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import quota_project_making as making
from ds01ctl.commands import quota_project_site as sites
from ds01ctl.core import project_findings, projects
from ds01ctl.core.disk_quota import NO_LIMITS
from ds01ctl.core.project_findings import TreeState, View
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ds01ctl.commands.quota_project_site import Site
    from ds01ctl.core.disk_quota import QuotaFileSystem
    from ds01ctl.core.plan import Result
    from ds01ctl.core.projects import Registry, Tree


def list_all(config: Path | None) -> Result:
    """List every project of the registry, foreign ones too, with what it uses."""
    from ds01ctl.observe import quotas

    site = sites.open_site(config, is_quiet=True)
    registry = sites.read_registry(site)
    folders = sorted({tree.path for tree in registry.trees})
    reading = quotas.read(site.paths, folders, kinds=sites.KIND)
    rows = [_row(number, registry, site, reading.file_systems) for number in sorted(registry.ids())]
    # a tree that is gone is told by check
    gaps = [gap for gap in reading.gaps if gap.kind != "absent"]
    broken = [str(one) for one in registry.broken]
    return sites.result("list", site, {"projects": rows, "broken_lines": broken}, gaps=gaps)


def _row(
    number: int, registry: Registry, site: Site, systems: Sequence[QuotaFileSystem]
) -> dict[str, Any]:
    name = registry.name_of(number)
    paths = registry.paths_of(number)
    owner = sites.owner_of(name, registry, site) if name else None
    return {
        **making.row_of(name or "", number, paths, owner),
        "name": name,
        "is_foreign": number not in site.ids,
        "uses": [_use(number, fs) for fs in systems if set(paths) & set(fs.holds)],
    }


def _use(number: int, fs: QuotaFileSystem) -> dict[str, Any]:
    """Say what a project uses of a file system; None where that is not counted or not known."""
    accounting = fs.accounting["project"]
    found = next((one for one in fs.records["project"] if one.id == number), None)
    row: dict[str, Any] = {"mount": fs.mount, "is_on": accounting.is_on,
                           "is_enforced": accounting.is_enforced,
                           "reason": accounting.reason}  # fmt: skip
    if found is None:
        is_known = accounting.is_on and accounting.is_complete
        used: int | None = 0 if is_known else None
        limits = NO_LIMITS if is_known else None
        used_bytes, used_inodes = used, used
    else:
        used_bytes, used_inodes, limits = found.used_bytes, found.used_inodes, found.limits
    names = ("soft_bytes", "hard_bytes", "soft_inodes", "hard_inodes")
    shown = {key: getattr(limits, key) or None if limits else None for key in names}
    return {**row, "used_bytes": used_bytes, "used_inodes": used_inodes, **shown}


# --- check ---------------------------------------------------------------------------------------


def check(name: str | None, config: Path | None, *, as_json: bool) -> Result:
    """Find strays and what is wrong with the registry, of all projects or one.

    The trees of foreign projects are looked through only where one is named.
    """
    from ds01ctl.observe import project_tags

    site = sites.open_site(config, is_quiet=as_json)
    registry = sites.read_registry(site)
    number = None
    if name is not None and (number := registry.id_of(name)) is None:
        known = ", ".join(sorted(one.name for one in registry.names))
        raise UsageError(f"there is no project {name}", f"there are: {known or 'none'}")
    data_root = sites.docker_root(site)
    docker = project_tags.docker_ids(os.path.realpath(site.paths.under(data_root)))
    looked = [tree for tree in registry.trees if number is None or tree.id == number]
    states = tuple(_state(tree, site, is_named=number is not None) for tree in looked)
    view = View(registry, site.ids, docker, f"{data_root}/volumes", states)
    found = [one._replace(first_seen=site.now) for one in project_findings.decide(view, number)]
    rows = [{**one._asdict(), "strays": [stray._asdict() for stray in one.strays],
             "failures": [{"path": where, "reason": why} for where, why in one.failures]}
            for one in states]  # fmt: skip
    data = {"trees": rows, "projects": len(registry.ids()), "notes": [projects.STRAY_WORDS]}
    return sites.result("check", site, data, findings=found)


def _state(tree: Tree, site: Site, *, is_named: bool) -> TreeState:
    """Look at a tree: whether it is there and counted, and where it is ours, through it."""
    from ds01ctl.observe import quotas

    reading = quotas.read(site.paths, [tree.path], kinds=sites.KIND)
    if not reading.file_systems:
        is_gone = any(gap.kind == "absent" for gap in reading.gaps)
        why = tuple((".", gap.reason) for gap in reading.gaps if gap.kind != "absent")
        return TreeState(tree.id, tree.path, not is_gone, failed=len(why), failures=why)
    (fs,) = reading.file_systems
    accounting = fs.accounting["project"]
    state = TreeState(tree.id, tree.path, is_there=True, off=accounting.reason)
    if not accounting.is_on or (tree.id not in site.ids and not is_named):
        return state
    return _through(state, fs, site)


def _through(state: TreeState, fs: QuotaFileSystem, site: Site) -> TreeState:
    """Walk a tree. Links on the way to it are followed: nothing is written."""
    from ds01ctl.observe import project_tags

    place = os.path.realpath(site.paths.under(state.path))
    used = next((one.used_inodes for one in fs.records["project"] if one.id == state.id), None)
    try:
        with sites.progress(f"checking {state.path}", used, site) as progress:
            found = project_tags.check(place, state.id, progress)
    except OSError as error:
        why = error.strerror or str(error)
        return state._replace(failed=1, failures=((".", why),))
    return state._replace(
        stray_count=found.stray_count,
        strays=found.strays,
        untaggable=sum(found.untaggable.values()),
        failed=found.failed,
        failures=found.failures,
    )
