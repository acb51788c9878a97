"""Read the maps of disk limits: paths of ``storage``, and names of ``quota.projects``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ds01ctl.config.blocks import Place, block_of, read_block
from ds01ctl.config.disk import folder
from ds01ctl.config.nodes import entries
from ds01ctl.core.disk_quota import NO_LIMITS, Limits
from ds01ctl.core.key import Key
from ds01ctl.core.storage import (
    FIELDS,
    INODES,
    SIZES,
    ProjectWish,
    StorageLimit,
    is_project_name,
    limits_from,
    limits_text,
)
from ds01ctl.core.storage_keys import PROJECT, STORAGE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ds01ctl.config.blocks import Block
    from ds01ctl.config.nodes import Entry
    from ds01ctl.core.policy import Setting

_NAME = (
    "up to 64 letters, digits, _, - and ., the first no - and no ., and not digits only,"
    " for that would be an id"
)
_PATH = "is not a folder's path; expected an absolute one without .., // and blanks around it"


@cache
def limit_block() -> Block:
    """Give the block of one path's limit."""
    return block_of(STORAGE_LIMIT)


@cache
def project_block() -> Block:
    """Give the block of one project."""
    return block_of(PROJECT)


def read_storage(entry: Entry, place: Place) -> tuple[StorageLimit, ...]:
    """Read a map of paths to limits, each with its own line; what is wrong is noted."""
    inner = place.inside(entry.name)._replace(key="")
    found: list[StorageLimit] = []
    for row in entries(entry.node, place.source, inner.shown):
        path, limit = _path(row, found, inner), _limit(row, inner)
        if path and limit:
            found.append(limit._replace(path=path))
    return tuple(found)


def _path(row: Entry, others: Iterable[StorageLimit], place: Place) -> str | None:
    shown = place.inside(row.name).shown
    try:
        path = folder(row.name)
    except ValueError:
        place.source.error(row.line, shown, _PATH)
        return None
    if other := next((one for one in others if one.path == path), None):
        place.source.error(row.line, shown, f"is here twice; see line {other.origin.line}")
    return path


def _limit(row: Entry, place: Place) -> StorageLimit | None:
    """Read what stands behind a path: null, a size, or a map."""
    origin = place.source.origin(row.line, place.rule)
    if row.node.id == "mapping":
        inner = place.inside(row.name)._replace(key="")
        given = _given(row, limit_block(), inner)
        until = given["until"].value if "until" in given else None
        return StorageLimit(row.name, _limits(given, inner), until, origin)
    whole = Key(row.name, "disk_limit", "", null="no limit")
    found = read_block([row], block_of([whole]), place)
    limits = [limits_from({"soft": setting.value}) for setting in found.values()]
    return StorageLimit(row.name, limits[0], None, origin) if limits else None


def _given(row: Entry, block: Block, place: Place) -> Mapping[str, Setting]:
    listed = entries(row.node, place.source, place.shown)
    if not {entry.name for entry in listed} - {"until"}:
        words = f"{', '.join(FIELDS)}; or null in the place of the map: no limit"
        place.source.error(row.line, place.shown, f"limits nothing; expected any of {words}")
    return read_block(listed, block, place)


def _limits(given: Mapping[str, Setting], place: Place) -> Limits:
    values = {name: given[name].value for name in FIELDS if name in given}
    if any(_is_above(values, given, names, place) for names in (SIZES, INODES)):
        return NO_LIMITS
    return limits_from(values)


def _is_above(
    values: Mapping[str, Any], given: Mapping[str, Setting], names: tuple[str, str], place: Place
) -> bool:
    """Tell whether the soft limit is above the hard one, and note it at the soft one's line."""
    soft, hard = names
    if not values.get(soft) or not values.get(hard) or values[soft] <= values[hard]:
        return False
    both = (values[soft], values[hard])
    told = limits_text(Limits(*both) if names == SIZES else Limits(0, 0, *both))
    origin = given[soft].origin
    message = f"is above {hard} ({told}); expected {hard} at most"
    place.source.error(origin.line if origin else None, place.inside(soft).shown, message)
    return True


def read_projects(entry: Entry, place: Place) -> tuple[ProjectWish, ...]:
    """Read a map of names to trees with limits; what is wrong is noted."""
    inner = place.inside(entry.name)._replace(key="")
    listed = entries(entry.node, place.source, inner.shown)
    found = [wish for row in listed if (wish := _project(row, inner))]
    _check_trees(found, inner)
    return tuple(found)


def _project(row: Entry, place: Place) -> ProjectWish | None:
    inner = place.inside(row.name)._replace(key="")
    if not is_project_name(row.name):
        message = f"is not a name for a project; expected {_NAME}"
        place.source.error(row.line, inner.shown, message)
    listed = entries(row.node, place.source, inner.shown)
    given = read_block(listed, project_block(), inner)
    if not any(entry.name == "path" for entry in listed):
        place.source.error(row.line, inner.shown, "has no path; expected path: /its/folder")
    limits = _limits(given, inner)
    if "path" not in given:
        return None
    owner = given["owner"].value if "owner" in given else None
    origin = place.source.origin(row.line, "quota.projects")
    return ProjectWish(row.name, given["path"].value, owner, limits, origin)


def _check_trees(wishes: Iterable[ProjectWish], place: Place) -> None:
    """Refuse a tree in a tree: a file has one project, and the outer one's would be told wrong."""
    trees: dict[str, ProjectWish] = {}
    for wish in sorted(wishes, key=lambda one: (len(one.path), one.origin.line or 0)):
        parts = wish.path.split("/")
        above = ("/".join(parts[:end]) for end in range(2, len(parts) + 1))
        if outer := next((trees[path] for path in above if path in trees), None):
            message = (
                f"{wish.path} is in the tree of {outer.name}, line {outer.origin.line}; expected"
                " a folder of its own, for a file can be in one project only"
            )
            place.source.error(wish.origin.line, place.inside(wish.name).shown, message)
        trees.setdefault(wish.path, wish)


READERS: dict[str, Callable[[Entry, Place], Any]] = {
    "storage": read_storage,
    "projects": read_projects,
}
