"""Remove the units, and leave the host as it was before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.act import placing
from ds01ctl.commands.file_steps import (
    drop_folder,
    file_steps,
    forget_replaced,
    remove_step,
    restore_steps,
)
from ds01ctl.commands.installing import LOCK, file_row, refuse_edited
from ds01ctl.commands.site import CRON_PREFIX, found_files
from ds01ctl.commands.stepping import Step, carry_out
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
from ds01ctl.jobs import JOBS
from ds01ctl.lock import job_lock
from ds01ctl.unitfiles.files import UNIT_DIR, render
from ds01ctl.unitfiles.units import TARGET

if TYPE_CHECKING:
    from ds01ctl.commands.installing import Asked
    from ds01ctl.core.placing import Change
    from ds01ctl.paths import Paths

_STAMPS = "/var/lib/systemd/timers"
_STATE = "/var/lib/ds01"
_RUN = "/run/ds01"
_KEPT = ("/var/log/ds01", _STATE)


def uninstall(asked: Asked, *, force: bool, purge: bool, dry_run: bool) -> Result:
    """Stop and remove the units and the files beside them; purge: what they remembered, too."""
    paths = asked.paths
    if not force:
        _refuse_cron(paths)
    with job_lock(paths, LOCK):
        found = found_files(paths, [file.place for file in render()])
        # what is not ours is left alone
        ours = {place: one for place, one in found.items() if one.stamp in {"ours", "edited"}}
        changes = compared.changes({}, ours, force=force)
        refuse_edited(changes)
        now = look(paths, changes, JOBS)
        steps = [*_steps(now, changes), *(_purge_steps(paths) if purge else ())]
        actions = tuple(step.action for step in steps) if dry_run else carry_out(steps)
        if not dry_run:
            _forget(paths)
        data = {"live": now.is_live, "files": [file_row(change) for change in changes]}
        data |= {"kept": [] if purge else [k for k in _KEPT if paths.under(k).exists()]}
        data |= {"drop_ins": _drop_ins(paths)}
        return Result("units uninstall", asked.host, asked.now, (), (), actions, data)


def _refuse_cron(paths: Paths) -> None:
    """Refuse while timers made from cron lines need the failure handler to tell of failures."""
    left = sorted(one.name for one in paths.under(UNIT_DIR).glob(f"{CRON_PREFIX}*.timer"))
    if left:
        hint = "give them back to cron first (ds01ctl units give-back --all), or give --force"
        what = "made from cron lines; they would go on, and nobody would tell of their failures"
        raise Ds01Error(f"{', '.join(left)}: {what}", hint)


def _steps(now: Situation, changes: tuple[Change, ...]) -> list[Step]:
    names = [change.place.rpartition("/")[2] for change in changes]
    units = [name for name in names if name in now.units or name in now.enabled]
    folders = placing.read_record(now.paths).folders
    return [
        *stop_steps(now, units),
        *disable_steps(now, [name for name in units if name in now.enabled]),
        *reset_steps(now, units),
        *file_steps(now.paths, changes),
        *restore_steps(
            now.paths, {*(file.place for file in render()), *(c.place for c in changes)}
        ),
        *(_drop_step(now.paths, folder) for folder in reversed(folders)),
        *_metrics_steps(now.paths),
    ]


def _drop_step(paths: Paths, folder: str) -> Step:
    return Step(
        Action("remove-folder", folder, "made for our file, if nothing else is in it"),
        lambda: drop_folder(paths, folder),
        lambda: placing.make_folder(paths, folder),
    )


def _metrics_steps(paths: Paths) -> list[Step]:
    """Remove metrics that nobody renews any more: the exporter would tell them for ever."""
    return [
        remove_step(paths, f"/{path.relative_to(paths.root)}", "nobody renews it any more")
        for path in sorted(paths.under("/var/lib/prometheus/node-exporter").glob("ds01_*.prom"))
    ]


def _purge_steps(paths: Paths) -> list[Step]:
    """Remove what the jobs remembered. The event log stays: it is a record of what was done."""
    found = [
        *paths.under(_STAMPS).glob("stamp-ds01-*.timer"),
        *paths.under(_STATE).glob("ds01ctl.db*"),
        *paths.under(_RUN).glob("*.lock"),
        *paths.under(_RUN).glob("failed-*.json"),
    ]
    own = [path for path in found if path.name != f"{LOCK}.lock"]
    return [
        remove_step(paths, f"/{path.relative_to(paths.root)}", "what the jobs remembered")
        for path in sorted(own)
    ]


def _forget(paths: Paths) -> None:
    """Drop the record and the copies of what is back in its place."""
    for place in placing.read_record(paths).replaced:
        forget_replaced(paths, place)


def _drop_ins(paths: Paths) -> list[str]:
    """Name drop-ins that an admin wrote for our units, which are left."""
    names = [f"{job.unit}.{kind}" for job in JOBS for kind in ("service", "timer")]
    folders = [f"{UNIT_DIR}/{name}.d" for name in (*names, TARGET, STARTER)]
    return [folder for folder in folders if paths.under(folder).is_dir()]
