"""The registry of projects: /etc/projects says where their trees lie, /etc/projid their names.

Both files are others' too. A line of ours is added or taken out; every other line stays as it is,
byte for byte. Sources: projects(5), projid(5); xfsprogs, libfrog/projects.c.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

PROJECTS = "/etc/projects"
PROJID = "/etc/projid"
VOLUMES = "volumes-"
"""Names of the projects that Docker volumes are in begin so."""
_OWNER = "# ds01ctl owner:"
_MOST = 2**32 - 1
_DOCKERS = 100_000
"""How many ids are left free for Docker above the next one that it will take."""


class Texts(NamedTuple):
    """What the two files hold; the bytes that are no UTF-8 as surrogates."""

    projects: str
    projid: str


class Tree(NamedTuple):
    """A line of /etc/projects: ``ID:/path``."""

    id: int
    path: str
    line: int


class Name(NamedTuple):
    """A line of /etc/projid: ``name:ID``."""

    name: str
    id: int
    line: int


class Broken(NamedTuple):
    """A line that is no entry. It is kept, and told."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class Registry(NamedTuple):
    """What both files say together."""

    trees: tuple[Tree, ...] = ()
    names: tuple[Name, ...] = ()
    owners: tuple[tuple[str, str], ...] = ()
    """Name and login, from our comments in /etc/projid."""
    broken: tuple[Broken, ...] = ()

    def ids(self) -> frozenset[int]:
        """Collect every id that either file mentions."""
        return frozenset({tree.id for tree in self.trees} | {name.id for name in self.names})

    def id_of(self, name: str) -> int | None:
        """Find the id of a name; the first line counts, as for the tools."""
        return next((one.id for one in self.names if one.name == name), None)

    def name_of(self, number: int) -> str | None:
        """Find the name of an id; the first line counts."""
        return next((one.name for one in self.names if one.id == number), None)

    def paths_of(self, number: int) -> tuple[str, ...]:
        """List the trees of an id."""
        return tuple(dict.fromkeys(one.path for one in self.trees if one.id == number))

    def owner_of(self, name: str) -> str | None:
        """Find whom a project was made for."""
        return dict(self.owners).get(name)


class DockerIds(NamedTuple):
    """What Docker counts its own project ids from. Source: moby, quota/projectquota.go.

    At its start it takes one more than the highest id of its folders and what lies in them.
    """

    bases: tuple[int, ...] = (0,)
    """Of the folders overlay2 and volumes themselves."""
    below: frozenset[int] = frozenset()
    """Of what lies in them, ids of ours on volumes too."""

    def ranges(self) -> tuple[range, ...]:
        """Give the ids that are Docker's, or may soon be."""
        starts = {*self.bases, max((*self.bases, *self.below), default=0)}
        return tuple(range(start + 1, start + 1 + _DOCKERS) for start in sorted(starts))


def parse(texts: Texts) -> Registry:
    """Read both files; a line that makes no sense is told, and hides no other."""
    trees: list[Tree] = []
    names: list[Name] = []
    broken: list[Broken] = []
    for number, line in _lines(texts.projects):
        found, what = _tree(line, number)
        trees += [found] if found else []
        broken += [Broken(PROJECTS, number, what)] if what else []
    for number, line in _lines(texts.projid):
        name, what = _name(line, number)
        names += [name] if name else []
        broken += [Broken(PROJID, number, what)] if what else []
    return Registry(tuple(trees), tuple(names), tuple(_owners(texts.projid)), tuple(broken))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # not splitlines(): a form feed or U+2028 ends no line
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _tree(line: str, number: int) -> tuple[Tree | None, str]:
    left, colon, path = line.partition(":")
    id_ = _id(left)
    if not colon:
        return None, "has no colon; expected ID:/path"
    if id_ is None:
        return None, f"{left!r} is no project id; expected ID:/path"
    if not path.startswith("/") or _has_control(path):
        return None, f"{path!r} is no absolute path; expected ID:/path"
    return Tree(id_, path, number), ""


def _name(line: str, number: int) -> tuple[Name | None, str]:
    name, colon, right = line.partition(":")
    id_ = _id(right)
    if not colon:
        return None, "has no colon; expected name:ID"
    if id_ is None:
        return None, f"{right!r} is no project id; expected name:ID"
    if not name or _has_control(name):
        return None, f"{name!r} is no name; expected name:ID"
    return Name(name, id_, number), ""


def _id(text: str) -> int | None:
    """Read an id; the tools' atoi(3) would make 0 of a word, and 12 of ``12abc``."""
    found = re.fullmatch(r"\s*(\d{1,10})\s*", text, re.ASCII)
    return int(found[1]) if found and int(found[1]) <= _MOST else None


def _has_control(text: str) -> bool:
    return any(sign < " " or sign == "\x7f" for sign in text)


def _owners(projid: str) -> Iterator[tuple[str, str]]:
    for line in projid.split("\n"):
        if line.startswith(_OWNER):
            name, colon, login = line.removeprefix(_OWNER).partition(":")
            if colon and name and login:
                yield name, login


# --- changes -------------------------------------------------------------------------------------


def with_name(texts: Texts, name: str, number: int, owner: str | None) -> Texts:
    """Add a name, and whom it is for; what is there already is not added again."""
    projid = texts.projid
    registry = parse(texts)
    if owner is not None and registry.owner_of(name) != owner:
        projid = _without(projid, lambda line: line.startswith(f"{_OWNER}{name}:"))
        projid = _appended(projid, f"{_OWNER}{name}:{owner}")
    if all((one.name, one.id) != (name, number) for one in registry.names):
        projid = _appended(projid, f"{name}:{number}")
    return texts._replace(projid=projid)


def with_tree(texts: Texts, number: int, path: str) -> Texts:
    """Add a tree to a project; one that is there already is not added again."""
    if path in parse(texts).paths_of(number):
        return texts
    return texts._replace(projects=_appended(texts.projects, f"{number}:{path}"))


def without_trees(texts: Texts, number: int, paths: Collection[str]) -> Texts:
    """Take trees out of a project."""
    gone = {one.line for one in parse(texts).trees if one.id == number and one.path in paths}
    return texts._replace(projects=_without_lines(texts.projects, gone))


def without_project(texts: Texts, name: str, number: int) -> Texts:
    """Take a project out: its trees, its name, its owner."""
    registry = parse(texts)
    texts = without_trees(texts, number, registry.paths_of(number))
    gone = {one.line for one in registry.names if (one.name, one.id) == (name, number)}
    projid = _without_lines(texts.projid, gone)
    projid = _without(projid, lambda line: line.startswith(f"{_OWNER}{name}:"))
    return texts._replace(projid=projid)


def _appended(text: str, line: str) -> str:
    between = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{between}{line}\n"


def _without(text: str, is_gone: Callable[[str], bool]) -> str:
    return "".join(line for line in _with_ends(text) if not is_gone(line))


def _without_lines(text: str, numbers: Collection[int]) -> str:
    return "".join(line for n, line in enumerate(_with_ends(text), 1) if n not in numbers)


def _with_ends(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


# --- judgement -----------------------------------------------------------------------------------


def next_id(
    ids: range, taken: Collection[int], docker: DockerIds, *, from_top: bool = False
) -> int | None:
    """Choose an id of ours that nobody has; None where there is none left.

    from_top: for Docker volumes. Docker goes on above the highest id that it finds on them, so
    that must be the end of our range, not somewhere within it.
    """
    dockers = docker.ranges()
    spans = [] if from_top else dockers
    for number in reversed(ids) if from_top else ids:
        if number in taken or number in docker.below or any(number in span for span in spans):
            continue
        return number
    return None


def overlapping(path: str, trees: Iterable[Tree]) -> Tree | None:
    """Find a tree that is the same, lies in this one, or has it inside."""
    here = posixpath.normpath(path)
    for tree in trees:
        there = posixpath.normpath(tree.path)
        if is_within(here, there) or is_within(there, here):
            return tree
    return None


def is_within(path: str, folder: str) -> bool:
    """Tell whether a path is a folder, or lies in it; both are normal."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


EXDEV_WORDS = (
    "moving or hard-linking files into the tree from outside fails with EXDEV (Invalid cross-device"
    " link): mv copies instead; pip, uv, conda and git hard-link from their caches, so keep those"
    " inside the tree (PIP_CACHE_DIR, UV_CACHE_DIR, CONDA_PKGS_DIRS), or have them copy"
    " (UV_LINK_MODE=copy, conda config --set always_copy true, git clone --no-hardlinks)"
)
"""What the border of a project does, for those who will meet it. Source: rename(2), link(2)."""
STRAY_WORDS = (
    "files that were moved out of a tree keep its id, and are charged to it wherever they lie;"
    " they are not searched for"
)
