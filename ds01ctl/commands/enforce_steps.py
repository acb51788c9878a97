"""Carry out the changes of a plan: look again, act, and see what the kernel made of it.

The changes of one slice belong together. Where limits are set, the file for the next boot comes
first, and then what is live; where some are taken back it is the other way round: killed in
between, the next run finds what is missing, and a revert finds what is ours. Where the first of
them fails, the second is left alone: a file must never say what could kill at somebody's reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.act import placing, slices
from ds01ctl.core.drift import SIBLINGS, same
from ds01ctl.core.dropin_text import assigned, unit_at
from ds01ctl.core.placing import Change as FileChange
from ds01ctl.core.properties import BY_NAME, NONE, fits, number, shown, written
from ds01ctl.core.scopes import kernel_writes
from ds01ctl.errors import Ds01Error
from ds01ctl.unitfiles.stamp import stamped, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ds01ctl.core.enforce_model import Change
    from ds01ctl.core.homes import Hardware
    from ds01ctl.observe.cgroups import Cgroups
    from ds01ctl.paths import Paths

_GREW = "more memory is in use by now: memory_max waits for the next run"
_FAILED = "left, for the change before it failed"


class Site(NamedTuple):
    """Where changes are made."""

    paths: Paths
    machine: Hardware
    cgroups: Cgroups
    force: bool = False


class Done(NamedTuple):
    """What came of a change."""

    change: Change
    """As it was planned."""
    made: Change
    """As it was made: without what the second look forbade."""
    error: str | None = None
    """None: it is done, and the kernel agrees; or it was left for the reason in note."""
    note: str | None = None


def carry_out(changes: Sequence[Change], site: Site) -> Iterator[Done]:
    """Make every change that is to be made; what fails for one slice does not end the others.

    changes: as in_order puts them.
    """
    of_units: dict[str, list[Change]] = {}
    for change in changes:
        if change.skip is None:
            of_units.setdefault(_unit(change), []).append(change)
    for together in of_units.values():
        yield from _together(together, site)


def in_order(changes: Sequence[Change]) -> list[Change]:
    """Put the changes of one slice together, in the order in which they are made."""
    of_units: dict[str, list[Change]] = {}
    for change in changes:
        of_units.setdefault(_unit(change), []).append(change)
    return [
        one
        for together in of_units.values()
        for one in sorted(together, key=lambda c: _comes_second(c, together))
    ]


def _comes_second(change: Change, together: Sequence[Change]) -> bool:
    takes_back = any(set(c.before) - set(c.after) for c in together if _is_file(c))
    return _is_file(change) == takes_back


def _is_file(change: Change) -> bool:
    return change.kind.endswith("drop-in")


def _unit(change: Change) -> str:
    return unit_at(change.target) if _is_file(change) else change.target


def _together(changes: Sequence[Change], site: Site) -> list[Done]:
    """Make the changes of one slice or container; the rest is left where one is not made whole."""
    left = _GREW if any(_looked_again(one, site) != one for one in changes) else None
    done: list[Done] = []
    old = None
    for planned in changes:
        change = _looked_again(planned, site)
        if left is None and change != planned:
            left = _GREW
            done = [_put_back(one, old, site) if _is_file(one.change) else one for one in done]
        if left == _FAILED or (left == _GREW and (_is_file(change) or not change.after)):
            done.append(Done(planned, change, note=left))
            continue
        try:
            if _is_file(change):
                old, note = _place(change, site), None
            else:
                note = _make(change, site)
        except Ds01Error as error:
            left = _FAILED
            done.append(Done(planned, change, error=error.message))
        else:
            done.append(Done(planned, change, note=note))
    return done


def _put_back(done: Done, old: str | None, site: Site) -> Done:
    """Put back the file that was there: what is live could not follow it."""
    unit = unit_at(done.change.target)
    try:
        if old is None:
            slices.remove_drop_in(site.paths, unit)
        else:
            slices.write_drop_in(site.paths, unit, old)
    except Ds01Error as error:
        return done._replace(error=error.message)
    return done._replace(note=_GREW)


def _looked_again(change: Change, site: Site) -> Change:
    """Take MemoryMax out of a change where it has come to lie below what is in use."""
    wanted = change.after.get("MemoryMax", NONE)
    if wanted == NONE or site.force or not change.cgroup:
        return change
    if number(wanted) >= number(change.before.get("MemoryMax", NONE)):
        return change
    used = site.cgroups.in_use_bytes(change.cgroup)
    if used is not None and fits(used, wanted):
        return change
    before, after = (
        {name: value for name, value in values.items() if name != "MemoryMax"}
        for values in (change.before, change.after)
    )
    return change._replace(before=before, after=after)


def _make(change: Change, site: Site) -> str | None:
    """Change what is live; give the reason where there was nothing to change."""
    if change.kind == "set-property":
        nodes = site.machine.nodes
        pairs = ((BY_NAME[name], value) for name, value in change.after.items())
        slices.set_properties(
            change.target, [line for prop, value in pairs for line in written(prop, value, nodes)]
        )
    elif not _write_cgroup(change, site):
        return "the container has ended, or was started again: the next run looks at it"
    _verify(change, site)
    return None


def _write_cgroup(change: Change, site: Site) -> bool:
    """Write the files of a container's control group; False where it is not the one any more."""
    group = site.cgroups.group(change.cgroup, {BY_NAME[name].file for name in change.after})
    if group is None or group.inode != change.inode:
        return False
    if change.container[0] not in change.cgroup:
        raise Ds01Error(f"{change.cgroup}: is not of container {change.container[0][:12]}")
    writes = []
    missing = []
    # in the order of the table: slow down before the limit that kills
    for name in (name for name in BY_NAME if name in change.after):
        prop = BY_NAME[name]
        if prop.file not in group.files:
            missing.append(prop.file)
            continue
        writes += kernel_writes(prop, change.after[name], group.files[prop.file].strip())
    is_same = slices.write_cgroup(site.paths, change.cgroup, change.inode, writes)
    if missing and is_same:
        what = f"{', '.join(missing)}: not there, its controller is off; the others were written"
        raise Ds01Error(f"{change.cgroup}: {what}")
    return is_same


def _verify(change: Change, site: Site) -> None:
    """Read back what the kernel made of it. Raises Ds01Error where it differs."""
    props = [BY_NAME[name] for name in change.after if BY_NAME[name].file]
    if not change.cgroup or not props:
        return
    group = site.cgroups.group(change.cgroup, [*{prop.file for prop in props}, *SIBLINGS])
    if group is None:
        return
    wrong = [
        f"{prop.name} is {shown(prop, group.value(prop), site.machine.nodes)}"
        for prop in props
        if not group.lacks(prop) and not same(prop, group.value(prop), change.after[prop.name])
    ]
    if wrong:
        raise Ds01Error(f"the kernel did not take it: {', '.join(wrong)}")


def _place(change: Change, site: Site) -> str | None:
    """Write or remove a drop-in, and give what was there; an edited one is copied first."""
    unit = unit_at(change.target)
    path = site.paths.under(change.target)
    try:
        old = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        old = None
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be read: {error.strerror}") from None
    new = None if change.text is None else stamped(change.text)
    if old is not None and (stamp := state_of(old)) != "ours":
        if stamp == "foreign":
            raise Ds01Error(f"{path}: is not ds01ctl's", "move it away")
        placing.keep_copy(site.paths, FileChange(change.target, "replace", "edited", old, new))
    before, after = assigned(old or ""), assigned(new or "")
    # what set-property left in /run would win over the file at the next log-in
    moved = [name for name in before if after.get(name) != before[name]]
    slices.forget_runtime(site.paths, unit, sorted(moved))
    if new is None:
        slices.remove_drop_in(site.paths, unit)
    else:
        slices.write_drop_in(site.paths, unit, new)
    return old
