"""`units`: make, check, install and watch the systemd timers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands import units_cron
from ds01ctl.commands.options import Config, DryRun, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.commands.installing import Asked
    from ds01ctl.core.plan import Result

app = typer.Typer(no_args_is_help=True, help="Make, check, install and watch the systemd timers.")

Prefix = Annotated[
    Path | None,
    typer.Option(
        "--prefix",
        metavar="DIR",
        help="Work on the tree below DIR, for packages and images; nothing is started.",
    ),
]
Program = Annotated[
    str | None,
    typer.Option(
        "--program",
        metavar="FILE",
        help="The ds01ctl that the units run (default: this one; with --prefix, "
        "/opt/ds01ctl/bin/ds01ctl).",
    ),
]
ExitOnPending = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 4 when there is something to tell.")
]


def _asked(
    config: Path | None = None, prefix: Path | None = None, program: str | None = None
) -> Asked:
    from ds01ctl.commands.gathering import host_paths, utcnow
    from ds01ctl.commands.installing import Asked
    from ds01ctl.paths import Paths

    if prefix is not None and not prefix.is_dir():
        raise UsageError(f"--prefix {prefix}: is not a folder", "make it first")
    if prefix is not None and prefix.resolve() == Path("/"):
        raise UsageError(f"--prefix {prefix}: is this host itself", "leave --prefix out")
    paths = Paths(prefix.absolute()) if prefix is not None else host_paths()
    return Asked(paths, config, program, os.uname().nodename, utcnow(), prefix)


def _shown(
    result: Result,
    lines: Callable[[Result], list[str]],
    *,
    as_json: bool,
    exit_code: bool = False,
) -> Shown:
    return Shown(
        result,
        lambda: print("\n".join(lines(result))),
        as_json=as_json,
        exit_on_findings=exit_code,
    )


@app.command()
def install(
    force: Annotated[
        bool,
        typer.Option("--force", help="Take the place of files that were edited; copies are kept."),
    ] = False,
    dry_run: DryRun = False,
    prefix: Prefix = None,
    program: Program = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Install or upgrade the timers and start them.

    They start at every boot, too. Everything is verified first. Files that somebody edited are not
    touched. Where a step fails, what was done is undone. systemd is never told to reload: that
    could take the GPUs away from running containers.

    \b
    Examples:
      ds01ctl units install --dry-run
      ds01ctl units install
      ds01ctl units install --prefix build/root
    """
    from ds01ctl.commands import installing
    from ds01ctl.report.units_text import install_lines

    result = installing.install(_asked(config, prefix, program), force=force, dry_run=dry_run)
    return _shown(result, install_lines, as_json=as_json)


@app.command()
def uninstall(
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Also what the jobs remembered; the event log stays."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also files that were edited; copies are kept.")
    ] = False,
    dry_run: DryRun = False,
    prefix: Prefix = None,
    as_json: Json = False,
) -> Shown:
    """Stop and remove the timers; what they replaced comes back.

    \b
    Examples:
      ds01ctl units uninstall --dry-run
      ds01ctl units uninstall
    """
    from ds01ctl.commands.uninstalling import uninstall as remove
    from ds01ctl.report.units_text import uninstall_lines

    result = remove(_asked(prefix=prefix), force=force, purge=purge, dry_run=dry_run)
    return _shown(result, uninstall_lines, as_json=as_json)


@app.command()
def diff(
    exit_code: ExitOnPending = False,
    prefix: Prefix = None,
    program: Program = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Show what an install would change.

    \b
    Example:
      ds01ctl units diff --exit-code
    """
    from ds01ctl.commands import generating
    from ds01ctl.report.units_text import diff_lines

    result = generating.diff(_asked(config, prefix, program))
    return _shown(result, diff_lines, as_json=as_json, exit_code=exit_code)


@app.command()
def verify(
    given: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR|FILE]...", help="Check these (default: what an install would write)."
        ),
    ] = None,
    exit_code: ExitOnPending = False,
    prefix: Prefix = None,
    program: Program = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Check units before they are installed.

    And the files beside them: what systemd would ignore in silence, what is not shut as far as it
    could be, times that miss
    midnight or meet a change of clocks, jobs in each other's way, rotations that clash. Nothing is
    changed.

    \b
    Examples:
      ds01ctl units verify
      ds01ctl units verify --exit-code units/
    """
    from ds01ctl.commands import verifying
    from ds01ctl.commands.site import site_of
    from ds01ctl.report import verify_text

    asked = _asked(config, prefix, program)
    wanted = verifying.Asked(asked.paths, tuple(given or ()), asked.host, asked.now)
    on_host = site_of(asked.paths, config, program)
    result = verifying.verify(wanted, on_host.files, on_host.site.jobs, on_host.gaps)
    return _shown(result, verify_text.lines, as_json=as_json, exit_code=exit_code)


@app.command()
def status(
    record: Annotated[
        bool, typer.Option("--record", help="Remember, and write events and metrics (the timer).")
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with 4 when a job is failing or overdue."),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Show when each job ran, and how that went.

    And what it took, when it runs next, and what it said when it failed.

    \b
    Examples:
      ds01ctl units status
      ds01ctl units status --exit-code
    """
    from ds01ctl.commands import watching_units
    from ds01ctl.report import units_table

    result = watching_units.status(_asked(config), record=record)
    return Shown(
        result,
        lambda: units_table.print_result(result),
        as_json=as_json,
        exit_code=watching_units.exit_code(result, exit_on_findings=exit_code),
    )


@app.command(hidden=True)
def failed(
    unit: Annotated[str, typer.Argument(help="The unit that failed, without its suffix.")],
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Tell that a job failed: what ds01-failure@.service runs.

    \b
    Example:
      ds01ctl units failed ds01-detect
    """
    from ds01ctl.commands import failing
    from ds01ctl.report import failure_text

    result = failing.failed(_asked(config), unit, os.environ)
    return _shown(result, failure_text.lines, as_json=as_json)


@app.command()
def generate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write; folders are made.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that are not as rendered.")
    ] = False,
    dry_run: DryRun = False,
    program: Program = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Write the unit files into a folder.

    To package or to read them, with the files beside them. They are rendered from the built-in
    settings, or those of the policy that --config names.

    \b
    Examples:
      ds01ctl units generate build
      ds01ctl units generate build --config resource-limits.yaml
    """
    from ds01ctl.commands import generating
    from ds01ctl.report.units_text import generate_lines

    result = generating.generate(
        _asked(config, program=program), folder, force=force, dry_run=dry_run
    )
    return _shown(result, generate_lines, as_json=as_json)


app.command()(units_cron.import_cron)
app.command()(units_cron.take_over)
app.command()(units_cron.give_back)
