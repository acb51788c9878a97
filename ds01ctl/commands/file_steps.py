"""The steps that change files; what is replaced is copied and noted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.act import placing
from ds01ctl.commands.stepping import Step
from ds01ctl.core import placing as compared
from ds01ctl.core.plan import Action

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ds01ctl.core.placing import Change
    from ds01ctl.paths import Paths


def file_steps(paths: Paths, changes: Sequence[Change]) -> list[Step]:
    """Write and remove files, in folders that are made where they are missing."""
    pending = compared.pending(changes)
    for change in pending:
        placing.check_inside(paths, change.place)
    folders = [
        folder
        for change in pending
        if change.new is not None
        for folder in placing.missing_folders(paths, change.place)
    ]
    made = [_new_folder(paths, folder) for folder in dict.fromkeys(folders)]
    return [*made, *(_file_step(paths, change) for change in pending)]


def leftover_steps(paths: Paths, places: Iterable[str]) -> list[Step]:
    """Remove what a run that was killed left beside these files."""
    left = placing.leftovers(paths, places)
    return [remove_step(paths, place, "left by a run that was killed") for place in left]


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
    before: list[placing.Record] = []
    touched: list[bool] = []

    def do() -> None:
        if change.state in {"edited", "foreign"}:
            kept.append(placing.keep_copy(paths, change))
        if change.state == "foreign":
            before.append(placing.read_record(paths))
            _note(paths, change.place, kept[0])
        touched.append(True)
        placing.put(paths, change)

    def undo() -> None:
        if touched:
            placing.restore(paths, change.place, change.old, kept[0] if kept else None)
        if before:
            _note(paths, change.place, before[0].replaced.get(change.place))

    kind = "remove-file" if change.new is None else "write-file"
    return Step(Action(kind, change.place, _reason(change)), do, undo)


def _note(paths: Paths, place: str, kept: placing.Kept | None) -> None:
    """Note which file is to come back to a place; None: none."""
    record = placing.read_record(paths)
    replaced = {other: one for other, one in record.replaced.items() if other != place}
    if kept:
        replaced[place] = kept
    placing.write_record(paths, record._replace(replaced=replaced))


def restore_steps(paths: Paths, places: Collection[str], taken: Collection[str]) -> list[Step]:
    """Put back the files that ours replaced at these places.

    taken: places where somebody else's file lies by now. That one stays, and so does the copy.
    """
    return [
        _restore_step(paths, place, kept, is_taken=place in taken)
        for place, kept in sorted(placing.read_record(paths).replaced.items())
        if place in places
    ]


def _restore_step(paths: Paths, place: str, kept: placing.Kept, *, is_taken: bool) -> Step:
    def do() -> None:
        if not is_taken:
            placing.restore(paths, place, placing.copied_text(paths, kept), kept)
        _note(paths, place, None)

    def undo() -> None:
        _note(paths, place, kept)
        if not is_taken and placing.holds(paths, place, kept):
            placing.remove(paths, place)

    if not is_taken:
        return Step(Action("put-back", place, "the file that was here before ds01ctl's"), do, undo)
    why = "it is back already"
    if not placing.holds(paths, place, kept):
        why = f"another file lies there by now; the one before ds01ctl's is {kept.copy}"
    return Step(Action("leave", place, why), do, undo)


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
