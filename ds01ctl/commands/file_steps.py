"""The steps that change files; what is replaced is copied and noted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.act import placing
from ds01ctl.commands.stepping import Step
from ds01ctl.core import placing as compared
from ds01ctl.core.plan import Action

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ds01ctl.core.placing import Change
    from ds01ctl.paths import Paths


def file_steps(paths: Paths, changes: Sequence[Change]) -> list[Step]:
    """Write and remove files, in folders that are made where they are missing."""
    pending = compared.pending(changes)
    folders = [
        folder
        for change in pending
        if change.new is not None
        for folder in placing.missing_folders(paths, change.place)
    ]
    made = [_new_folder(paths, folder) for folder in dict.fromkeys(folders)]
    left = placing.leftovers(paths, (change.place for change in changes))
    dropped = [remove_step(paths, place, "left by a run that was killed") for place in left]
    return [*made, *dropped, *(_file_step(paths, change) for change in pending)]


def remove_step(paths: Paths, place: str, reason: str) -> Step:
    """Remove a file that nobody needs back."""
    return Step(Action("remove-file", place, reason), lambda: placing.remove(paths, place))


def _new_folder(paths: Paths, folder: str) -> Step:
    def make() -> None:
        record = placing.read_record(paths)
        if folder not in record.folders:
            placing.write_record(paths, record._replace(folders=(*record.folders, folder)))
        placing.make_folder(paths, folder)

    return Step(
        Action("make-folder", folder, "for our file in it"),
        make,
        lambda: drop_folder(paths, folder),
    )


def drop_folder(paths: Paths, folder: str) -> None:
    """Remove a folder that we made, unless somebody put something into it."""
    if placing.drop_folder(paths, folder):
        record = placing.read_record(paths)
        left = tuple(one for one in record.folders if one != folder)
        placing.write_record(paths, record._replace(folders=left))


def _file_step(paths: Paths, change: Change) -> Step:
    kept: list[placing.Kept] = []
    touched: list[bool] = []

    def do() -> None:
        if change.state in {"edited", "foreign"}:
            kept.append(placing.keep_copy(paths, change))
            _note_replaced(paths, change, kept[0])
        touched.append(True)
        placing.put(paths, change)

    def undo() -> None:
        if touched:
            placing.restore(paths, change.place, change.old, kept[0] if kept else None)
        if kept and change.state == "foreign":
            forget_replaced(paths, change.place)

    kind = "remove-file" if change.new is None else "write-file"
    return Step(Action(kind, change.place, _reason(change)), do, undo)


def _note_replaced(paths: Paths, change: Change, kept: placing.Kept) -> None:
    record = placing.read_record(paths)
    # the first one is the host's own; what we replaced later was ours already
    if change.state == "foreign" and change.place not in record.replaced:
        replaced = {**record.replaced, change.place: kept}
        placing.write_record(paths, record._replace(replaced=replaced))


def forget_replaced(paths: Paths, place: str) -> None:
    """Forget that a file was replaced: it is back, and its copy is dropped."""
    record = placing.read_record(paths)
    if kept := record.replaced.get(place):
        replaced = {other: one for other, one in record.replaced.items() if other != place}
        placing.write_record(paths, record._replace(replaced=replaced))
        placing.drop_copy(paths, kept)


def restore_steps(paths: Paths, places: Collection[str]) -> list[Step]:
    """Put back the files that ours replaced, at the places that we write to."""
    return [
        Step(
            Action("put-back", place, "the file that was here before ds01ctl's"),
            lambda place=place, kept=kept: _put_back(paths, place, kept),  # type: ignore[misc]
            lambda place=place: placing.remove(paths, place),  # type: ignore[misc]
        )
        for place, kept in sorted(placing.read_record(paths).replaced.items())
        if place in places
    ]


def _put_back(paths: Paths, place: str, kept: placing.Kept) -> None:
    placing.restore(paths, place, placing.copied_text(kept), kept)


def _reason(change: Change) -> str:
    if change.new is None:
        return "no longer wanted"
    copy = "; a copy of what is there is kept"
    reasons = {
        "missing": "new",
        "outdated": "changed",
        "edited": f"edited since ds01ctl wrote it{copy}",
        "foreign": f"in the place of a file that is not ds01ctl's{copy}",
    }
    return reasons[change.state]
