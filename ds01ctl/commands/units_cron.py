"""`units import-cron`, `take-over` and `give-back`: move cron lines to timers, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands.options import DryRun, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.commands.importing_cron import Asked

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[UNIT]...", help="Names that import-cron shows: ds01-cron-…"),
]
All = Annotated[bool, typer.Option("--all", help="Every line.")]


def _asked() -> Asked:
    from ds01ctl.commands.gathering import host_paths, utcnow
    from ds01ctl.commands.importing_cron import Asked

    return Asked(host_paths(), os.uname().nodename, utcnow())


def import_cron(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Crontabs (default: all of the host's)."),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--as", metavar="USER", help="The files are this user's: no user column."),
    ] = None,
    journal: Annotated[
        bool, typer.Option("--journal", help="Log to the journal instead of to the log files.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the units, too.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the units there.")
    ] = None,
    as_json: Json = False,
) -> Shown:
    """Make timers of cron lines.

    Each comes with a proof that it runs at the same times. Without --out nothing is written. No
    timer is started; cron goes on until `take-over`.

    \b
    Examples:
      ds01ctl units import-cron
      ds01ctl units import-cron /etc/cron.d/ds01-maintenance --show
      ds01ctl units import-cron --out /etc/systemd/system
    """
    from ds01ctl.commands import importing_cron
    from ds01ctl.report.cron_text import import_lines

    result = importing_cron.import_cron(
        _asked(), files or (), owner=owner, journal=journal, out=out
    )
    return Shown(result, lambda: print("\n".join(import_lines(result, show=show))), as_json)


def take_over(
    names: Names = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> Shown:
    """Hand cron lines over to their timers.

    The timers start and the lines are commented out. `give-back` undoes it.

    \b
    Examples:
      ds01ctl units take-over ds01-cron-backup-1a2b3c --dry-run
      ds01ctl units take-over --all
    """
    from ds01ctl.commands import taking_over
    from ds01ctl.report.cron_text import hand_over_lines

    _refuse_nothing(names, everything=everything)
    result = taking_over.take_over(_asked(), names or (), everything=everything, dry_run=dry_run)
    return Shown(result, lambda: print("\n".join(hand_over_lines(result))), as_json)


def give_back(
    names: Names = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> Shown:
    """Give lines back to cron, byte for byte.

    \b
    Example:
      ds01ctl units give-back --all
    """
    from ds01ctl.commands import giving_back
    from ds01ctl.report.cron_text import hand_over_lines

    _refuse_nothing(names, everything=everything)
    result = giving_back.give_back(_asked(), names or (), everything=everything, dry_run=dry_run)
    return Shown(result, lambda: print("\n".join(hand_over_lines(result))), as_json)


def _refuse_nothing(names: list[str] | None, *, everything: bool) -> None:
    if not names and not everything:
        raise UsageError("no unit was named", "ds01ctl units import-cron lists them; --all is all")
    if names and everything:
        raise UsageError("names and --all together", "give one or the other")
