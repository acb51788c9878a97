"""Remove the units, and leave the host as it was before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.act import placing
from ds01ctl.commands.file_steps import (
    drop_folder,
    file_steps,
    leftover_steps,
    remove_step,
    restore_steps,
)
from ds01ctl.commands.installing import file_row, lock, refuse_edited
from ds01ctl.commands.site import CRON_PREFIX, found_files
from ds01ctl.commands.stepping import Step, carry_on, carry_out
from ds01ctl.commands.unit_steps import (
    STARTER,
    Situation,
    disable_steps,
    look,
    reset_steps,
    stop_steps,
)
from ds01ctl.core import placing as compared
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error
from ds01ctl.jobs import JOBS, STATE
from ds01ctl.unitfiles.files import UNIT_DIR, render
from ds01ctl.unitfiles.side import FOLDERS, RUN
from ds01ctl.unitfiles.units import TARGET

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from ds01ctl.commands.installing import Asked
    from ds01ctl.core.placing import Change, Found
    from ds01ctl.paths import Paths

_STAMPS = "/var/lib/systemd/timers"
_EDITED = "ds01ctl units diff shows the edit; --force removes the file and keeps a copy"
_METRICS = ("ds01_detect.prom", "ds01_enforce.prom", "ds01_quota.prom", "ds01_units.prom")


def uninstall(asked: Asked, *, force: bool, purge: bool, dry_run: bool) -> Result:
    """Stop and remove the units and the files beside them; purge: what they remembered, too."""
    paths = asked.paths
    cron = _cron_units(paths)
    with lock(paths, dry_run=dry_run):
        _refuse_cron(cron, force=force)
        idle = [place for place, is_on in cron.items() if not is_on]
        found = found_files(paths, [*(file.place for file in render()), *idle])
        # what is not ours is left alone
        ours = {place: one for place, one in found.items() if one.stamp in {"ours", "edited"}}
        changes = compared.changes({}, ours, force=force)
        refuse_edited(changes, _EDITED)
        foreign = {place for place, one in found.items() if one.stamp == "foreign"}
        now = look(paths, changes, JOBS, {place.rpartition("/")[2] for place in foreign})
        steps = _steps(now, changes, found)
        # what nobody needs back is removed last, and each by itself
        rest = [*_metrics_steps(asked), *(_purge_steps(paths) if purge else ())]
        actions = tuple(step.action for step in (*steps, *rest))
        if not dry_run:
            actions = (*carry_out(steps), *carry_on(rest))
        data = {"live": now.is_live, "files": [file_row(change) for change in changes]}
        data |= {"kept": [folder for folder in FOLDERS if paths.under(folder).exists()]}
        yours = [place for place, is_on in cron.items() if is_on]
        data |= {"yours": [*_drop_ins(paths), *yours]}
        return Result("units uninstall", asked.host, asked.now, (), (), actions, data)


def _cron_units(paths: Paths) -> dict[str, bool]:
    """Name the units made from cron lines, and say whether they have taken over."""
    folder = paths.under(UNIT_DIR)
    on = {link.stem for link in folder.glob(f"*.wants/{CRON_PREFIX}*")}
    return {
        f"{UNIT_DIR}/{one.name}": one.stem in on
        for one in sorted(folder.glob(f"{CRON_PREFIX}*"))
        if one.suffix in {".service", ".timer"}
    }


def _refuse_cron(cron: Mapping[str, bool], *, force: bool) -> None:
    """Refuse while timers do the work of cron lines: nobody would tell of their failures."""
    left = [place.rpartition("/")[2] for place, is_on in cron.items() if is_on]
    timers = [name for name in left if name.endswith(".timer")]
    if timers and not force:
        hint = "give them back to cron first (ds01ctl units give-back --all), or give --force"
        what = "have taken over lines of cron; they would go on, and nobody would tell of failures"
        raise Ds01Error(f"{', '.join(timers)}: {what}", hint)


def _steps(now: Situation, changes: tuple[Change, ...], found: Mapping[str, Found]) -> list[Step]:
    paths = now.paths
    units = [change.place.rpartition("/")[2] for change in changes]
    foreign = {place for place, one in found.items() if one.stamp == "foreign"}
    folders = placing.read_record(paths).folders
    return [
        *stop_steps(now, units),
        *disable_steps(now, units),
        *_link_steps(now, units, foreign),
        *reset_steps(now, units),
        *leftover_steps(paths, found),
        *file_steps(paths, changes),
        *restore_steps(paths, found, foreign),
        *(_drop_step(paths, folder) for folder in reversed(folders)),
    ]


def _link_steps(now: Situation, units: Collection[str], foreign: Collection[str]) -> list[Step]:
    """Remove what starts a unit of ours whose file is gone: systemctl does not find that one."""
    ours = {file.name for file in render()} - {place.rpartition("/")[2] for place in foreign}
    left = sorted((now.enabled & ours) - set(units))
    folder = f"{UNIT_DIR}/{TARGET}.wants"
    links = [f"{folder}/{name}" if name != STARTER else _STARTER_LINK for name in left]
    steps = [remove_step(now.paths, link, "its unit is gone") for link in links]
    return [*steps, _drop_step(now.paths, folder)] if steps else []


_STARTER_LINK = f"{UNIT_DIR}/multi-user.target.wants/{STARTER}"


def _drop_step(paths: Paths, folder: str) -> Step:
    return Step(
        Action("remove-folder", folder, "made for our file, if nothing else is in it"),
        lambda: drop_folder(paths, folder),
        lambda: placing.make_folder(paths, folder),
    )


def _metrics_steps(asked: Asked) -> list[Step]:
    """Remove metrics that nobody renews any more: the exporter would tell them for ever."""
    folder = asked.paths.under(_textfile_dir(asked))
    there = [folder / name for name in _METRICS]
    return _removals(asked.paths, there, "nobody renews it any more")


def _textfile_dir(asked: Asked) -> str:
    from ds01ctl.commands.gathering import load_policy
    from ds01ctl.core.policy import builtin_policy

    try:
        policy = load_policy(asked.paths, asked.config).policy
    except Ds01Error:
        # a broken policy must not keep an uninstall from going on
        policy = builtin_policy()
    return str(policy.value("metrics.textfile_dir"))


def _purge_steps(paths: Paths) -> list[Step]:
    """Remove what the jobs remembered. The event log stays: it is a record of what was done."""
    stamps = paths.under(_STAMPS).glob("stamp-ds01-*.timer")
    run = paths.under(RUN)
    own = [
        *(one for one in stamps if not one.name.startswith(f"stamp-{CRON_PREFIX}")),
        *paths.under(STATE).glob("ds01ctl.db*"),
        *(one for one in run.glob("*.lock") if one.name != "units.lock"),
        *run.glob("failed-*.json"),
    ]
    return _removals(paths, sorted(own), "what the jobs remembered")


def _removals(paths: Paths, found: Iterable[Path], reason: str) -> list[Step]:
    return [
        remove_step(paths, f"/{path.relative_to(paths.root)}", reason)
        for path in found
        if path.is_file() and not path.is_symlink()
    ]


def _drop_ins(paths: Paths) -> list[str]:
    """Name drop-ins that an admin wrote for our units, which are left."""
    names = [f"{job.unit}.{kind}" for job in JOBS for kind in ("service", "timer")]
    folders = [f"{UNIT_DIR}/{name}.d" for name in (*names, TARGET, STARTER)]
    return [folder for folder in folders if paths.under(folder).is_dir()]
