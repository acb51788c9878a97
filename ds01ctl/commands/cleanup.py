"""`cleanup`: idle containers, over-long runs, leftovers and images, without destroying work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds01ctl.commands.cleanup_options import Limit, Only, User, Which, Yes, shown, wish
from ds01ctl.commands.options import Config, DryRun, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="""Free GPUs and disks from what nobody uses, and harm nobody's work.

    Containers that idle or run too long are stopped, after two warnings; stopped ones are removed
    after their hold, never with their volumes; images go when the disk is full, the longest unused
    first. A reading that is missing never counts as idle. The timer samples every five minutes.
    With cleanup.mode: report, which is the default, nobody is warned and nothing is stopped.

    \b
    Examples:
      ds01ctl cleanup plan
      ds01ctl cleanup why train-1
      ds01ctl cleanup keep train-1 --for 2d --reason "defence on Friday"
      ds01ctl cleanup undo
    """,
)


@app.command()
def plan(
    user: User = None,
    only: Only = None,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Save the plan, for `cleanup apply FILE`."
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 when there is something to do.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Say what will be done to which container or image, when, and why. Changes nothing.

    What is due comes first, then what comes near it. A first look has nothing to compare with:
    idleness is known only once the timer, or `apply`, has sampled.

    \b
    Examples:
      ds01ctl cleanup plan
      ds01ctl cleanup plan --user alice --only idle,runtime
      ds01ctl cleanup plan --out tonight.json
    """
    from ds01ctl.commands import cleanup_running as run
    from ds01ctl.report.cleanup_text import plan_lines

    result = run.plan(wish(user, only, limit, config), out)
    is_to_tell = exit_code and run.is_pending(result)
    return shown(result, plan_lines, as_json=as_json, exit_code=is_to_tell)


@app.command()
def apply(
    saved: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A plan that `plan --out` saved: made as it is, or refused if the host has moved.",
        ),
    ] = None,
    user: User = None,
    only: Only = None,
    limit: Limit = None,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Sample, warn, stop and remove what is due, and remember it all.

    Shows what it will do, and asks; without a terminal it wants --yes. Each container is looked at
    again right before it is stopped. Stopped ones can be had back with `undo` until their hold is
    over. In report mode (cleanup.mode, cleanup.rules) it only samples and remembers.

    \b
    Examples:
      ds01ctl cleanup apply
      ds01ctl cleanup apply --only images --yes
      ds01ctl cleanup apply --only idle --limit 3
      ds01ctl cleanup apply tonight.json
    """
    from ds01ctl.commands import cleanup_running as run
    from ds01ctl.report.cleanup_text import apply_lines

    if saved is not None and (user or only or limit is not None):
        raise UsageError("a saved plan is made as it is", "leave out the other options, or FILE")
    result = run.apply(wish(user, only, limit, config), saved, yes=yes, as_json=as_json)
    return shown(result, apply_lines, as_json=as_json)


@app.command()
def why(container: Which, config: Config = None, as_json: Json = False) -> Shown:
    """Say what is known of one container: samples, limits, warnings, and what comes next.

    Also what spares it, and each signal beside its threshold. Changes nothing.

    \b
    Examples:
      ds01ctl cleanup why train-1
      ds01ctl cleanup why 4f1c2b --json
    """
    from ds01ctl.commands import cleanup_whying as run
    from ds01ctl.report.cleanup_why_text import why_lines

    return shown(run.why(container, config), why_lines, as_json=as_json)


@app.command()
def keep(
    container: Which,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="DATE",
            help="A day, 2026-12-24, which is included; or a time, 2026-12-24T18:00.",
        ),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="From now on: 90m, 12h, 2d.")
    ] = None,
    forever: Annotated[
        bool, typer.Option("--forever", help="Until it is gone, or the keep is taken back.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for the next admin.")
    ] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take the keep back.")] = False,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Keep one container from being stopped and removed, until a time.

    Say how long, with one of --until, --for and --forever. It holds for this very container: one of
    the same name that is made later is another. Users keep theirs with a file: `touch .keep-alive`
    in the container's workspace.

    \b
    Examples:
      ds01ctl cleanup keep train-1 --for 2d --reason "defence on Friday"
      ds01ctl cleanup keep train-1 --until 2026-12-24
      ds01ctl cleanup keep train-1 --remove
    """
    from ds01ctl.commands import cleanup_keeping as run
    from ds01ctl.report.cleanup_text import change_lines

    asked = run.Asked(container, until, for_, forever, reason, remove, dry_run, config)
    return shown(run.keep(asked), change_lines, as_json=as_json)


@app.command()
def undo(
    container: Annotated[
        str | None,
        typer.Argument(metavar="[CONTAINER]", help="Without one: list what can be undone."),
    ] = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Start again what `cleanup` has stopped and is not removed yet; without a name, list it.

    It gets its grace and its warnings anew. What was running in its memory is lost.

    \b
    Examples:
      ds01ctl cleanup undo
      ds01ctl cleanup undo train-1
    """
    from ds01ctl.commands import cleanup_undoing as run
    from ds01ctl.report.cleanup_text import undo_lines

    return shown(run.undo(container, config, dry_run=dry_run), undo_lines, as_json=as_json)


@app.command()
def history(
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="So long ago, or from then on: 30m, 2h, 7d, a date or a time.",
        ),
    ] = "7d",
    user: User = None,
    as_json: Json = False,
) -> Shown:
    """List what `cleanup` has warned of, stopped and removed, and what came of it.

    \b
    Examples:
      ds01ctl cleanup history
      ds01ctl cleanup history --since 30d --user alice
    """
    from ds01ctl.commands import cleanup_history as run
    from ds01ctl.report.cleanup_text import history_lines

    return shown(run.history(since, tuple(user or ())), history_lines, as_json=as_json)


@app.command()
def report(
    mail: Annotated[
        bool,
        typer.Option(
            "--mail", help="Send it to mail.to of the policy, too: what the weekly job does."
        ),
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="What was done since: 30m, 2h, 7d, a date or a time."
        ),
    ] = "7d",
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Sum up what was freed, what waits, and what nobody may delete on his own: volumes, homes.

    \b
    Examples:
      ds01ctl cleanup report
      ds01ctl cleanup report --since 30d --json
    """
    from ds01ctl.commands import cleanup_reporting as run
    from ds01ctl.report.cleanup_report_text import report_lines

    return shown(run.report(since, config, mail=mail), report_lines, as_json=as_json)


@app.command()
def remove_volume(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The volume's full name.")],
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="NAME",
            help="The same name once more; without it nothing is removed.",
        ),
    ] = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Remove one volume that no container has, and all that is in it. There is no undo.

    No timer ever removes a volume; `report` lists them with size, owner and last use.

    \b
    Examples:
      ds01ctl cleanup remove-volume old-data --dry-run
      ds01ctl cleanup remove-volume old-data --confirm old-data
    """
    from ds01ctl.commands import cleanup_volume as run
    from ds01ctl.report.cleanup_text import change_lines

    asked = run.Asked(name, confirm, dry_run, config)
    return shown(run.remove(asked), change_lines, as_json=as_json)
