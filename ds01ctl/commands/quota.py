"""`quota`: disk limits of users and projects, and what they hold of GPUs and containers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands import quota_project, quota_set
from ds01ctl.commands.options import Config, DryRun, Json
from ds01ctl.commands.quota_set import Force, OnPath, changed
from ds01ctl.commands.shown import Shown
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.commands.quota_looking import Wish

_BY = ("user", "project", "filesystem")
_KINDS = ("disk", "gpu", "containers", "all")
_SORTS = ("tight", "used", "inodes", "name")

app = typer.Typer(
    no_args_is_help=True,
    help="""Limit how much disk a user or a project may use, and see who uses what.

    Limits are written in the policy (storage: {/home: 100G}), set in the kernel by `apply`, and
    kept so by the timer. Past the soft limit a user may go on for the grace, then it holds like the
    hard one. XFS and ext4; nothing is ever deleted.

    \b
    Examples:
      ds01ctl quota report
      ds01ctl quota set alice --soft 150G --until 2026-12-24
      ds01ctl quota why /home/alice
      ds01ctl quota plan
    """,
)

User = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="LOGIN", help="Only this user; may be repeated."),
]
Group = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GROUP", help="Only the users of this group; repeatable."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _one_of(option: str, word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise UsageError(f"{option} {word}: is not known", f"one of {', '.join(words)}")
    return word


def _wish(
    user: list[str] | None, group: list[str] | None, config: Path | None, *, force: bool = False
) -> Wish:
    from ds01ctl.commands.quota_looking import Wish

    return Wish(tuple(user or ()), tuple(group or ()), force, config)


@app.command()
def report(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Only this login.")] = None,
    by: Annotated[
        str,
        typer.Option("--by", metavar="WHAT", help=f"A row for each: {', '.join(_BY)}.",
                     autocompletion=lambda: list(_BY)),
    ] = "user",
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help=f"What to show: {', '.join(_KINDS)}.",
                     autocompletion=lambda: list(_KINDS)),
    ] = "disk",
    sort: Annotated[
        str,
        typer.Option("--sort", metavar="HOW", help=f"Order of the rows: {', '.join(_SORTS)}.",
                     autocompletion=lambda: list(_SORTS)),
    ] = "tight",
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="Only the first N rows.")
    ] = None,
    path: OnPath = None,
    no_layers: Annotated[
        bool,
        typer.Option("--no-layers", help="Do not ask Docker for container layers (slow)."),
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, every record of its own.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:  # fmt: skip
    """Show who uses how much, of which limit, and where it goes. Changes nothing.

    The tightest first: at the hard limit, past the grace, over the soft limit, then by part used.

    \b
    Examples:
      ds01ctl quota report --top 20
      ds01ctl quota report alice
      ds01ctl quota report --by filesystem
      ds01ctl quota report --kind all
    """
    from ds01ctl.commands import quota_reporting as run
    from ds01ctl.report.quota_report_text import print_report

    if csv and (kind in {"gpu", "containers"} or by == "filesystem"):
        hint = "leave out --csv, or take --json"
        raise UsageError("--csv is for the disk of users and projects", hint)
    question = run.Question(
        user, _one_of("--by", by, _BY), _one_of("--kind", kind, _KINDS),
        _one_of("--sort", sort, _SORTS), top, path, config, not no_layers,
    )  # fmt: skip
    result = run.report(question)
    return Shown(result, lambda: print_report(result, as_csv=csv), as_json)


@app.command()
def plan(
    user: User = None,
    group: Group = None,
    force: Force = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 when there is something to change.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Say which limits `apply` would set, and why. Changes nothing.

    \b
    Examples:
      ds01ctl quota plan
      ds01ctl quota plan --group student
    """
    from ds01ctl.commands import quota_running as run
    from ds01ctl.report.quota_text import plan_lines

    result = run.plan(_wish(user, group, config, force=force))
    is_to_tell = exit_code and run.is_pending(result)
    return Shown(result, lambda: print("\n".join(plan_lines(result))), as_json, is_to_tell)


@app.command()
def apply(
    user: User = None,
    group: Group = None,
    force: Force = False,
    moved: Annotated[
        bool, typer.Option("--moved", help="Folders lie on other file systems now, and should.")
    ] = False,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Set the limits that are not as the policy says, and warn users who come near theirs.

    Shows what it will do, and asks. A hard limit below what is in use waits; the soft one is set,
    so that the grace runs. With quota.mode: report, which is the default, nothing is set.

    \b
    Examples:
      ds01ctl quota apply
      ds01ctl quota apply --user alice --yes
    """
    from ds01ctl.commands import quota_running as run
    from ds01ctl.report.quota_text import apply_lines

    result = run.apply(
        _wish(user, group, config, force=force)._replace(moved=moved), yes=yes, as_json=as_json
    )
    return Shown(result, lambda: print("\n".join(apply_lines(result))), as_json)


@app.command()
def check(
    user: User = None,
    group: Group = None,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with 4 when a limit is not as the policy says."),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Compare the policy with the kernel, and say which limits differ. Changes nothing.

    Limits that the policy does not name are told, too, and are no reason for exit code 4.

    \b
    Examples:
      ds01ctl quota check
      ds01ctl quota check --user alice --exit-code
    """
    from ds01ctl.commands import quota_running as run
    from ds01ctl.report.quota_text import check_lines

    result = run.check(_wish(user, group, config))
    is_to_tell = exit_code and run.is_amiss(result)
    return Shown(result, lambda: print("\n".join(check_lines(result))), as_json, is_to_tell)


app.command("set")(quota_set.set_)
app.command("unset")(quota_set.unset)


@app.command()
def why(
    what: Annotated[
        str, typer.Argument(metavar="PATH|USER", help="A path begins with / or ./; else a login.")
    ],
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="LOGIN", help="Who writes there (default: the owner)."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Say why a write fails: a limit, a grace that is over, a project, or a full disk.

    \b
    Examples:
      ds01ctl quota why /home/alice/data
      ds01ctl quota why /scratch/team --user bob
      ds01ctl quota why alice
    """
    from ds01ctl.commands import quota_whying as run
    from ds01ctl.report.quota_report_text import why_lines

    result = run.why(what, user, config)
    return Shown(result, lambda: print("\n".join(why_lines(result))), as_json)


@app.command()
def dump(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it there, for `quota restore`."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Save every limit that the kernel has, of users and projects. Changes nothing.

    \b
    Examples:
      ds01ctl quota dump --out /root/quotas.json
    """
    from ds01ctl.commands import quota_dumping as run
    from ds01ctl.report.quota_text import dump_lines

    result = run.dump(out, config)
    return Shown(result, lambda: print("\n".join(dump_lines(result))), as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `quota dump --out` saved.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Set every limit as it was dumped; who had none has none again. Shows it first, and asks.

    \b
    Examples:
      ds01ctl quota restore /root/quotas.json --dry-run
    """
    from ds01ctl.commands import quota_dumping as run

    result = run.restore(file, config, yes=yes, dry_run=dry_run, as_json=as_json)
    return changed(result, as_json=as_json)


@app.command()
def undo(
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Put back what the newest `set`, `unset`, `apply` or `restore` has changed.

    What was changed by somebody since is left alone. Repeat it to go further back.

    \b
    Examples:
      ds01ctl quota undo --dry-run
      ds01ctl quota undo
    """
    from ds01ctl.commands import quota_dumping as run

    return changed(run.undo(config, yes=yes, dry_run=dry_run, as_json=as_json), as_json=as_json)


app.add_typer(quota_project.app, name="project")
