"""Read the registry of projects: /etc/projects and /etc/projid."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.core.projects import PROJECTS, PROJID, Texts, parse
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.core.model import GapKind
    from ds01ctl.paths import Paths


class Names(NamedTuple):
    """What the registry says, as far as it could be read."""

    names: dict[int, str]
    """By id; of several lines the first counts, as for getprprid in the tools."""
    owners: dict[str, str]
    """Login by name, where we have written it down."""
    trees: dict[str, tuple[str, ...]]
    """Paths by name; of one that has no tree there is none."""
    gaps: tuple[Gap, ...]


def read(paths: Paths) -> Texts:
    """Read both files; one that is not there is empty. Raises Ds01Error."""
    return Texts(_text(paths, PROJECTS), _text(paths, PROJID))


def names(paths: Paths) -> Names:
    """Read what both files say by name; a file that is there and cannot be read is a gap."""
    texts: dict[str, str] = {}
    gaps: list[Gap] = []
    for place in (PROJECTS, PROJID):
        try:
            texts[place] = _content(paths.under(place))
        except OSError as error:
            gaps.append(_gap(place, error))
    registry = parse(Texts(texts.get(PROJECTS, ""), texts.get(PROJID, "")))
    # the first line of a name, and of an id, counts
    ids = {one.name: one.id for one in reversed(registry.names)}
    by_id = {one.id: one.name for one in reversed(registry.names)}
    paths_by_id: dict[int, dict[str, None]] = {}
    for tree in registry.trees:
        paths_by_id.setdefault(tree.id, {})[tree.path] = None
    trees = {name: tuple(paths_by_id[id_]) for name, id_ in ids.items() if id_ in paths_by_id}
    return Names(by_id, dict(registry.owners), trees, tuple(gaps))


def _text(paths: Paths, place: str) -> str:
    path = paths.under(place)
    try:
        return _content(path)
    except OSError as error:
        raise Ds01Error(f"cannot read {path}: {error.strerror}", f"ls -l {path}") from None


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def _gap(place: str, error: OSError) -> Gap:
    kind: GapKind = "denied" if isinstance(error, PermissionError) else "failed"
    return Gap("quotas", kind, f"{place} cannot be read: {error.strerror}")
