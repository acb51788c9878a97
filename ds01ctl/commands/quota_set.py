"""`quota set` and `unset`: their options."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands.options import Config, DryRun, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.commands.quota_targets import Asked
    from ds01ctl.core.plan import Result

Force = Annotated[
    bool,
    typer.Option("--force", help="Set hard limits below what is in use, too: writes then fail."),
]
OnPath = Annotated[
    str | None,
    typer.Option("--path", metavar="FOLDER", help="On the file system that holds this folder."),
]
Login = Annotated[str | None, typer.Argument(metavar="[USER]", help="Whose limit.")]
OneGroup = Annotated[
    str | None,
    typer.Option("--group", metavar="GROUP", help="Of everybody in the group without their own."),
]
Project = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="Of a project; see quota project.")
]


def set_(
    user: Login = None,
    group: OneGroup = None,
    project: Project = None,
    soft: Annotated[
        str | None,
        typer.Option("--soft", metavar="SIZE", help="100G; +10G and -10G are relative; none."),
    ] = None,
    hard: Annotated[
        str | None,
        typer.Option("--hard", metavar="SIZE", help="Without it: 10 % above the soft limit."),
    ] = None,
    inodes_soft: Annotated[
        str | None, typer.Option("--inodes-soft", metavar="N", help="Number of files: 500k, 2M.")
    ] = None,
    inodes_hard: Annotated[
        str | None, typer.Option("--inodes-hard", metavar="N", help="Likewise, the hard limit.")
    ] = None,
    path: OnPath = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="The last day on which it holds: 2026-12-24."),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option("--grace", metavar="TIME", help="Let a grace that runs end so much from now."),
    ] = None,
    gpus: Annotated[
        str | None, typer.Option("--gpus", metavar="N", help="GPU-equivalents of a user, or none.")
    ] = None,
    containers: Annotated[
        str | None, typer.Option("--containers", metavar="N", help="Containers of a user, or none.")
    ] = None,
    raise_only: Annotated[
        bool, typer.Option("--raise-only", help="Never go below the limit that is there.")
    ] = False,
    force: Force = False,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Set a limit now: in the policy's files, so that it stays, and in the kernel.

    A user's is written to user-overrides.yaml, a group's and a project's to the policy file.
    Comments stay. `quota undo` puts back what was.

    \b
    Examples:
      ds01ctl quota set alice --soft 150G
      ds01ctl quota set alice --soft +50G --path /scratch --until 2026-12-24
      ds01ctl quota set --group student --soft 100G --inodes-soft 2M
      ds01ctl quota set alice --gpus 2
    """
    from ds01ctl.commands import quota_setting as run

    amounts = {"soft": soft, "hard": hard, "inodes_soft": inodes_soft, "inodes_hard": inodes_hard}
    asked = _asked(user, group, project, path, config, dry_run=dry_run)._replace(
        amounts={name: text for name, text in amounts.items() if text is not None},
        until=_day(until),
        grace=grace,
        allocated={
            name: text
            for name, text in (("gpus", gpus), ("containers", containers))
            if text is not None
        },
        raise_only=raise_only,
        force=force,
    )
    return changed(run.set_(asked), as_json=as_json)


def unset(
    user: Login = None,
    group: OneGroup = None,
    project: Project = None,
    path: OnPath = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Take a limit out of the policy; what the group's or the defaults give holds from then on.

    \b
    Examples:
      ds01ctl quota unset alice
      ds01ctl quota unset alice --path /scratch --dry-run
    """
    from ds01ctl.commands import quota_unsetting as run

    asked = _asked(user, group, project, path, config, dry_run=dry_run)
    return changed(run.unset(asked), as_json=as_json)


def _asked(
    user: str | None,
    group: str | None,
    project: str | None,
    path: str | None,
    config: Path | None,
    *,
    dry_run: bool,
) -> Asked:
    from ds01ctl.commands.quota_targets import Asked, Target

    return Asked(Target(user, group, project), path=path, dry_run=dry_run, config=config)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    from ds01ctl.commands.gathering import utcnow

    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text}: is not a day", "write it as 2026-12-24") from None
    if day < utcnow().astimezone().date():
        raise UsageError(f"--until {text}: is past", "the last day on which the limit holds")
    return day


def changed(result: Result, *, as_json: bool) -> Shown:
    """Show what came of a change."""
    from ds01ctl.report.quota_text import change_lines

    return Shown(result, lambda: print("\n".join(change_lines(result))), as_json)
