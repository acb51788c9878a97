"""What is wrong with projects, and what to do about each: pure judgement over what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.plan import Finding
from ds01ctl.core.projects import PROJECTS, PROJID, is_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ds01ctl.core.plan import Severity
    from ds01ctl.core.projects import DockerIds, Registry, Tree

KINDS = (
    "project-broken-line",
    "project-id-twice",
    "project-name-twice",
    "project-without-path",
    "project-without-name",
    "project-nested",
    "project-foreign",
    "project-id-of-docker",
    "project-path-missing",
    "project-quota-off",
    "project-strays",
    "project-unreadable",
)
_SHOWN = 20
_FREE = "nothing, if someone else looks after them; else take them out: chattr -p 0 FILE"


class Stray(NamedTuple):
    """A file or folder of a tree that is not in its project as it should be."""

    path: str
    """Relative to the tree."""
    project_id: int
    is_folder: bool
    is_inherited: bool

    def is_foreign(self, wanted: int, ours: range) -> bool:
        """Tell whether it is in a project of somebody else's, and left there."""
        return self.project_id not in {0, wanted} and self.project_id not in ours

    def words(self, wanted: int, ours: range) -> str:
        """Say what is wrong with it."""
        if self.is_foreign(wanted, ours):
            return f"{self.path}: has id {self.project_id}, somebody else's, and is left in it"
        if self.project_id != wanted:
            whose = f"has id {self.project_id}" if self.project_id else "is in no project"
            return f"{self.path}: {whose}"
        return f"{self.path}: what is made in this folder does not get the id"


class TreeState(NamedTuple):
    """What was found at a tree of the registry."""

    id: int
    path: str
    is_there: bool
    off: str | None = None
    """Why projects are not counted, or not limited, there; None: they are."""
    stray_count: int = 0
    strays: tuple[Stray, ...] = ()
    untaggable: int = 0
    failed: int = 0
    failures: tuple[tuple[str, str], ...] = ()


class View(NamedTuple):
    """All that projects are judged by."""

    registry: Registry
    ours: range
    docker: DockerIds
    volumes: str
    """The folder of Docker's volumes."""
    trees: tuple[TreeState, ...]


def decide(view: View, number: int | None = None) -> tuple[Finding, ...]:
    """Judge every project, or the one of this id."""
    found = [*_broken(view), *_shared(view), *_halves(view), *_nested(view)]
    found += [*_ids(view), *_trees(view)]
    return tuple(one for one in found if number is None or one.subject["id"] == number)


def _finding(
    kind: str,
    severity: Severity,
    view: View,
    number: int | None,
    path: str | None,
    told: Sequence[str],
    fix: str,
) -> Finding:
    name = view.registry.name_of(number) if number is not None else None
    owner = view.registry.owner_of(name) if name else None
    subject = {"type": "project", "name": name, "id": number, "path": path, "fix": fix}
    evidence = (*told, f"to do: {fix}")
    return Finding(kind, severity, owner, subject, evidence, (kind, str(number), path or told[0]))


def _broken(view: View) -> Iterator[Finding]:
    for one in view.registry.broken:
        fix = f"correct or remove line {one.line} of {one.file}; ds01ctl leaves it as it is"
        yield _finding("project-broken-line", "warning", view, None, None, [str(one)], fix)


def _shared(view: View) -> Iterator[Finding]:
    """Find ids with two names, and names with two ids: the tools take the first line."""
    by_id: dict[int, dict[str, int]] = {}
    by_name: dict[str, dict[int, int]] = {}
    for one in view.registry.names:
        by_id.setdefault(one.id, {}).setdefault(one.name, one.line)
        by_name.setdefault(one.name, {}).setdefault(one.id, one.line)
    for number, names in by_id.items():
        if len(names) > 1:
            told = [f"{PROJID}:{line}: {name}:{number}" for name, line in names.items()]
            fix = f"leave one of these lines in {PROJID}, and give the others another id"
            yield _finding("project-id-twice", "critical", view, number, None, told, fix)
    for name, ids in by_name.items():
        if len(ids) > 1:
            told = [f"{PROJID}:{line}: {name}:{number}" for number, line in ids.items()]
            fix = f"leave one of these lines in {PROJID}"
            first = next(iter(ids))
            yield _finding("project-name-twice", "critical", view, first, None, told, fix)


def _halves(view: View) -> Iterator[Finding]:
    registry = view.registry
    placed = {tree.id for tree in registry.trees}
    named = {name.id for name in registry.names}
    for name in registry.names:
        if name.id not in placed:
            again = f"ds01ctl quota project create {name.name} PATH"
            fix = f"{again}, or: ds01ctl quota project remove {name.name}"
            fix = fix if name.id in view.ours else f"add a line {name.id}:/path to {PROJECTS}"
            told = [f"{PROJID}:{name.line}: {name.name} has no tree in {PROJECTS}"]
            # some name a project whose tree they keep elsewhere
            severity: Severity = "warning" if name.id in view.ours else "info"
            yield _finding("project-without-path", severity, view, name.id, None, told, fix)
    for tree in registry.trees:
        if tree.id not in named:
            told = [f"{PROJECTS}:{tree.line}: id {tree.id} has no name in {PROJID}"]
            fix = f"add a line name:{tree.id} to {PROJID}, or remove line {tree.line}"
            yield _finding("project-without-name", "warning", view, tree.id, tree.path, told, fix)


def _nested(view: View) -> Iterator[Finding]:
    """Find trees within others: sorted by path, what lies in a tree follows it."""
    around: list[Tree] = []
    for tree in sorted(view.registry.trees, key=lambda one: (one.path + "/", one.line)):
        while around and not is_within(tree.path, around[-1].path):
            around.pop()
        if around and (tree.id, tree.path) != (around[-1].id, around[-1].path):
            outer = around[-1]
            told = [
                f"{PROJECTS}:{tree.line}: {tree.path} (id {tree.id})",
                f"lies in {outer.path} (id {outer.id}), {PROJECTS}:{outer.line}",
            ]
            fix = "a file has one project only: take one of the two out"
            yield _finding("project-nested", "warning", view, tree.id, tree.path, told, fix)
        around.append(tree)


def _ids(view: View) -> Iterator[Finding]:
    registry = view.registry
    dockers = view.docker.ranges()
    for number in sorted(registry.ids()):
        paths = registry.paths_of(number)
        if number not in view.ours:
            told = [f"id {number} is not one of {view.ours[0]}-{view.ours[-1]}"]
            fix = "nothing, if someone else looks after it; ds01ctl leaves it alone"
            yield _finding("project-foreign", "info", view, number, None, told, fix)
        is_dockers = number in view.docker.below or any(number in span for span in dockers)
        # an id on a volume is among those that Docker counts from; that is no clash
        if is_dockers and number in view.ours and not _is_volumes(paths, view.volumes):
            told = [f"id {number} is one that Docker has given, or will give, to a container"]
            name = registry.name_of(number) or "NAME"
            fix = f"ds01ctl quota project remove {name}, then create it again: it gets another id"
            yield _finding("project-id-of-docker", "critical", view, number, None, told, fix)


def _is_volumes(paths: Sequence[str], volumes: str) -> bool:
    return bool(paths) and all(is_within(path, volumes) for path in paths)


def _trees(view: View) -> Iterator[Finding]:
    for tree in view.trees:
        name = view.registry.name_of(tree.id) or "NAME"
        again = f"ds01ctl quota project create {name} {tree.path} (goes over the tree again)"
        gone = f"ds01ctl quota project remove {name}"
        if tree.id not in view.ours:
            again = "tag the tree again with what it was tagged with"
            gone = f"take its line out of {PROJECTS}"
        if not tree.is_there:
            told = [f"{tree.path} is not there"]
            fix = f"mount or restore it, or: {gone}"
            if is_within(tree.path, view.volumes):
                fix = "ds01ctl quota project volumes"
            yield _finding("project-path-missing", "warning", view, tree.id, tree.path, told, fix)
        elif tree.off:
            fix = "see: ds01ctl doctor"
            told = [f"{tree.path}: {tree.off}"]
            yield _finding("project-quota-off", "warning", view, tree.id, tree.path, told, fix)
        if tree.stray_count:
            shown = [one.words(tree.id, view.ours) for one in tree.strays[:_SHOWN]]
            more = tree.stray_count - len(shown)
            shown += [f"and {more} more"] if more else []
            told = [f"{tree.stray_count} in {tree.path} are not in it as they should be", *shown]
            foreign = sum(one.is_foreign(tree.id, view.ours) for one in tree.strays)
            fix = again if foreign < tree.stray_count else _FREE
            yield _finding("project-strays", "warning", view, tree.id, tree.path, told, fix)
        if tree.failed:
            told = [f"{tree.failed} in {tree.path} could not be looked at"]
            told += [f"{path}: {why}" for path, why in tree.failures[:_SHOWN]]
            fix = "run it as root, or see to what is named"
            yield _finding("project-unreadable", "warning", view, tree.id, tree.path, told, fix)
