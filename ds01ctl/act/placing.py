"""Write and remove our files on the host, and keep what they replace."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ds01ctl.core.placing import Change
    from ds01ctl.paths import Paths


class Kept(NamedTuple):
    """A file that one of ours replaced, and what it was like."""

    copy: str
    """Where its copy lies, as a path of the host. No copy is ever removed."""
    digest: str
    """SHA-256 of the content, in hex."""
    mode: int
    uid: int
    gid: int


class Record(NamedTuple):
    """What an uninstall needs to leave the host as it was."""

    replaced: dict[str, Kept]
    """By the place of the file that was there before us."""
    folders: tuple[str, ...]
    """Folders that we made, the outer ones first."""


def read_record(paths: Paths) -> Record:
    """Read what earlier installs noted. Raises Ds01Error for a record that makes no sense.

    The folder may be one that a group can write to: only a file of root's own is believed.
    """
    path = _record_path(paths)
    try:
        data: Any = json.loads(_own_text(path))
        replaced = {place: Kept(**kept) for place, kept in data["replaced"].items()}
        return Record(replaced, tuple(data["folders"]))
    except FileNotFoundError:
        return Record({}, ())
    except OSError as error:
        raise _cannot("read", path, error) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        hint = f"look at the copies in {replaced_dir(paths)}, then move the record away"
        raise Ds01Error(f"{path}: makes no sense", hint) from None


def _own_text(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            hint = "look at what it says, and move it away"
            raise Ds01Error(f"{path}: is not ours alone, so it is not believed", hint)
        return file.read().decode("utf-8", errors="surrogateescape")


def write_record(paths: Paths, record: Record) -> None:
    """Note it, before the host is changed; an empty one is removed. Raises Ds01Error."""
    path = _record_path(paths)
    try:
        if not record.replaced and not record.folders:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        data = {
            "replaced": {place: kept._asdict() for place, kept in record.replaced.items()},
            "folders": record.folders,
        }
        write_atomic(path, json.dumps(data, indent=1) + "\n", mode=0o600)
    except OSError as error:
        raise _cannot("write", path, error) from None


def replaced_dir(paths: Paths) -> Path:
    """Name the folder of the copies."""
    return paths.state_dir / "replaced"


def keep_copy(paths: Paths, change: Change) -> Kept:
    """Copy the file at a place to where it is safe. Raises Ds01Error."""
    path = paths.under(change.place)
    text = change.old or ""
    digest = _digest(text)
    copy = replaced_dir(paths) / f"{change.place.lstrip('/')}.{digest[:8]}"
    try:
        found = path.stat()
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(copy, text, mode=0o600)
    except OSError as error:
        raise _cannot("copy", path, error) from None
    place = f"/{copy.relative_to(paths.root)}"
    return Kept(place, digest, found.st_mode & 0o7777, found.st_uid, found.st_gid)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()


def put(paths: Paths, change: Change) -> None:
    """Write or remove one file. Raises Ds01Error."""
    path = paths.under(change.place)
    try:
        if change.new is None:
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, change.new)
    except OSError as error:
        raise _cannot("write" if change.new is not None else "remove", path, error) from None


def restore(paths: Paths, place: str, text: str | None, kept: Kept | None) -> None:
    """Put back what was at a place before. Raises Ds01Error."""
    path = paths.under(place)
    try:
        if text is None:
            path.unlink(missing_ok=True)
            return
        if _is_so(path, text, kept):
            return
        write_atomic(path, text, mode=kept.mode if kept else 0o644)
        if kept and os.geteuid() == 0:
            os.chown(path, kept.uid, kept.gid)
    except OSError as error:
        raise _cannot("put back", path, error) from None


def _is_so(path: Path, text: str, kept: Kept | None) -> bool:
    """Tell whether nothing has to be put back; what failed may have changed nothing."""
    try:
        found = path.stat()
        same = path.read_bytes() == text.encode("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return False
    like = (found.st_mode & 0o7777, found.st_uid, found.st_gid)
    return same and (kept is None or like == (kept.mode, kept.uid, kept.gid))


def remove(paths: Paths, place: str) -> None:
    """Remove a file; one that is gone is fine. Raises Ds01Error."""
    path = paths.under(place)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot("remove", path, error) from None


def holds(paths: Paths, place: str, kept: Kept) -> bool:
    """Tell whether the file that was replaced is back in its place."""
    try:
        return sha256(paths.under(place).read_bytes()).hexdigest() == kept.digest
    except OSError:
        return False


def check_inside(paths: Paths, place: str) -> None:
    """Refuse a place that a link leads out of the tree that is worked on. Raises Ds01Error."""
    root = paths.root.resolve()
    parent = paths.under(place).parent.resolve()
    if not parent.is_relative_to(root):
        hint = "make the links in that tree relative, or give the tree that they lead to"
        raise Ds01Error(f"{paths.under(place)}: leads to {parent}, outside of {root}", hint)


def copied_text(paths: Paths, kept: Kept) -> str:
    """Read the copy of a file that was replaced. Raises Ds01Error."""
    path = paths.under(kept.copy)
    try:
        text = _own_text(path)
    except OSError as error:
        raise _cannot("read", path, error) from None
    if _digest(text) != kept.digest:
        raise Ds01Error(f"{path}: is not what was copied there", "look at it, and move it away")
    return text


def leftovers(paths: Paths, places: Iterable[str]) -> list[str]:
    """Name what a writer of these files left beside them when it was killed, as host paths."""
    found = []
    for place in places:
        path = paths.under(place)
        found += [
            f"{place.rpartition('/')[0]}/{part.name}"
            for part in path.parent.glob(f".{path.name}.*.part")
        ]
    return sorted(found)


def missing_folders(paths: Paths, place: str) -> list[str]:
    """List the folders that have to be made for a file, the outer ones first, as host paths."""
    folders: list[str] = []
    folder = place.rpartition("/")[0]
    while folder and not paths.under(folder).is_dir():
        folders.insert(0, folder)
        folder = folder.rpartition("/")[0]
    return folders


def make_folder(paths: Paths, folder: str) -> None:
    """Make one folder. Raises Ds01Error."""
    path = paths.under(folder)
    try:
        path.mkdir(mode=0o755, exist_ok=True)
        path.chmod(0o755)
    except OSError as error:
        raise _cannot("make", path, error) from None


def drop_folder(paths: Paths, folder: str) -> bool:
    """Remove a folder if it is empty; say whether it is gone."""
    with suppress(OSError):
        paths.under(folder).rmdir()
    return not paths.under(folder).exists()


def _record_path(paths: Paths) -> Path:
    return paths.state_dir / "units.json"


def _cannot(what: str, path: Path, error: OSError) -> Ds01Error:
    hint = "run it as root" if isinstance(error, PermissionError) else None
    if error.strerror and "Read-only" in error.strerror:
        hint = "the file system is mounted read-only; a unit's own view of it may be, too"
    return Ds01Error(f"cannot {what} {path}: {error.strerror}", hint)
