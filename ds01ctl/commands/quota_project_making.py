"""Put a tree into the registry, under an id that nobody has, and tag it."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import quota_project_site as sites
from ds01ctl.core import projects, storage
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from ds01ctl.act.project_tags import Tagged
    from ds01ctl.commands.quota_project_site import Site
    from ds01ctl.core.projects import DockerIds, Registry, Texts


class Wanted(NamedTuple):
    """A tree that is to be in a project."""

    name: str
    path: str
    """Of the host, without links."""
    owner: str | None
    is_volume: bool
    """Lies among Docker's volumes: a project of such may have several."""


class Ids(NamedTuple):
    """What an id is chosen by."""

    ours: range
    taken: frozenset[int]
    """In the kernel's records."""
    docker: DockerIds


def check_name(name: str) -> None:
    """Raise UsageError for what cannot be a name."""
    if not storage.is_project_name(name):
        hint = "letters, digits, dots, dashes and underscores, 64 at most, and not digits alone"
        raise UsageError(f"{name!r} cannot be the name of a project", hint)


def check_place(path: str, data_root: str) -> None:
    """Refuse what can be no project, as far as the path tells it. Raises UsageError."""
    if not path.startswith("/") or "\n" in path or "\r" in path:
        raise UsageError(f"{path!r} is no absolute path", "name it from / on")
    path = posixpath.normpath(path)
    if path.strip("/") == "":
        raise UsageError("/ cannot be a project", "name a folder in it")
    volumes = f"{data_root}/volumes"
    if projects.is_within(data_root, path):
        what = "is" if path == data_root else "holds"
        hint = "Docker gives its layers project ids of its own; volumes: quota project volumes"
        raise UsageError(f"{path}: {what} Docker's data root", hint)
    is_in_volume = path != volumes and projects.is_within(path, volumes)
    if projects.is_within(path, data_root) and not is_in_volume:
        hint = "Docker gives its layers project ids of its own; volumes: quota project volumes"
        raise UsageError(f"{path}: lies in Docker's data root, {data_root}", hint)


def is_volume(path: str, data_root: str) -> bool:
    """Tell whether a tree lies among Docker's volumes."""
    return projects.is_within(path, f"{data_root}/volumes")


def check_quota(path: str, site: Site) -> None:
    """Raise Ds01Error where a project on this file system would not be counted."""
    found = sites.file_system_of(path, site)
    accounting = found.accounting["project"]
    if not accounting.is_on:
        why = accounting.reason or "not supported"
        what = f"{path}: no project quota on {found.mount} ({found.type}): {why}"
        raise Ds01Error(what, "how to turn it on: ds01ctl doctor --only disk")
    if not accounting.is_complete:
        what = f"{path}: the kernel's records on {found.mount} could not be read"
        raise Ds01Error(what, "run it as root")


def ids_of(path: str, data_root: str, registry: Registry, site: Site) -> Ids:
    """Read which ids are taken: everywhere that a project lies, and where Docker counts."""
    from ds01ctl.observe import project_tags, quotas

    folders = [path, data_root, *(tree.path for tree in registry.trees)]
    reading = quotas.read(site.paths, folders, kinds=sites.KIND)
    taken = {one.id for fs in reading.file_systems for one in fs.records["project"]}
    try:
        docker = project_tags.docker_ids(os.path.realpath(site.paths.under(data_root)))
    except OSError as error:
        raise Ds01Error(f"{data_root}: Docker's ids cannot be read: {error.strerror}") from None
    return Ids(site.ids, frozenset(taken), docker)


def enter(texts: Texts, wanted: Wanted, ids: Ids) -> tuple[Texts, int]:
    """Add a tree to the registry's texts; give its id. Raises Ds01Error where it does not fit.

    What is there already stays: so goes on what was cut short.
    """
    registry = projects.parse(texts)
    number = registry.id_of(wanted.name)
    if number is None:
        number = _choose(wanted, registry, ids)
    elif number not in ids.ours:
        what = f"project {wanted.name} is someone else's: its id, {number}, is not one of ours"
        raise UsageError(what, f"take another name; ours are {_span(ids.ours)}")
    _check_fit(wanted, number, registry)
    texts = projects.with_name(texts, wanted.name, number, wanted.owner)
    return projects.with_tree(texts, number, wanted.path), number


def _choose(wanted: Wanted, registry: Registry, ids: Ids) -> int:
    taken = registry.ids() | ids.taken
    number = projects.next_id(ids.ours, taken, ids.docker, from_top=wanted.is_volume)
    if number is None:
        what = f"no project id is left of {_span(ids.ours)}"
        raise Ds01Error(what, "widen quota.project_ids in the policy")
    return number


def _check_fit(wanted: Wanted, number: int, registry: Registry) -> None:
    name, path = wanted.name, wanted.path
    paths = registry.paths_of(number)
    if paths and path not in paths and not wanted.is_volume:
        hint = f"take another name, or first: ds01ctl quota project remove {name}"
        raise UsageError(f"project {name} is {paths[0]} already", hint)
    shared = [one.name for one in registry.names if one.id == number and one.name != name]
    if shared:
        what = f"project {name} has the id of {shared[0]}, {number}"
        raise Ds01Error(what, f"give one of them another id in {projects.PROJID}")
    rest = [tree for tree in registry.trees if (tree.id, tree.path) != (number, path)]
    other = projects.overlapping(path, rest)
    if other:
        whose = registry.name_of(other.id) or f"id {other.id}"
        where = f"{projects.PROJECTS}:{other.line}"
        hint = "a file has one project: trees of projects cannot lie in one another"
        raise UsageError(f"{path}: {other.path} is of project {whose} ({where})", hint)


def _span(ids: range) -> str:
    return f"{ids[0]}-{ids[-1]}"


def register(wanted: Wanted, ids: Ids, site: Site) -> int:
    """Write a tree into the registry; give its id."""
    from ds01ctl.act import project_registry

    return project_registry.change(site.paths, lambda texts: enter(texts, wanted, ids))


def tag(path: str, number: int, site: Site) -> Tagged:
    """Tag a tree, with a bar on a terminal."""
    from ds01ctl.act import project_tags

    place = sites.place_of(path, site)
    total = sites.inodes_on(site.paths.under(path))
    with sites.progress(f"tagging {path}", total, site) as progress:
        return project_tags.tag(place, number, site.ids, progress)


def notes_of(done: Tagged) -> list[str]:
    """Say what an admin should know of what could not be tagged, or should not have been."""
    notes = []
    if done.foreign:
        notes.append(f"{done.foreign} are in another project, and were left in it")
    if done.untaggable:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in done.untaggable.items())
        notes.append(f"left as they are, because such cannot be opened: {kinds}")
    if done.mounts:
        notes.append(f"other mounts were not entered: {', '.join(sorted(done.mounts)[:5])}")
    if done.linked_outside:
        some = ", ".join(done.linked_examples[:3])
        notes.append(
            f"{done.linked_outside} files have hard links outside of the tree, which are charged"
            f" to the project, too: {some}"
        )
    if done.vanished:
        notes.append(f"{done.vanished} went away or were replaced meanwhile")
    return notes


def row_of(name: str, number: int, paths: tuple[str, ...], owner: str | None) -> dict[str, Any]:
    """Describe a project, for scripts."""
    return {"name": name, "id": number, "paths": list(paths), "owner": owner}
