"""`enforce`: CPU, memory, IO and task limits for everything that a person runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands.options import Config, ExitOnFindings, Json, only_words
from ds01ctl.commands.shown import Shown
from ds01ctl.core.enforce_model import RULES
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.commands.enforcing import Wish
    from ds01ctl.core.plan import Result

app = typer.Typer(
    no_args_is_help=True,
    help="""Limit CPU, memory, IO and tasks of everything that a person runs.

    A person has two homes: user-UID.slice for log-ins, and ds01-GROUP-USER.slice for containers.
    Both get the policy's limits, live and for the next boot. Containers that run elsewhere are held
    one by one. systemd is never told to reload, and no container loses its GPU to any of this.

    \b
    Examples:
      ds01ctl enforce plan
      ds01ctl enforce apply --user alice
      ds01ctl enforce check --exit-code
      ds01ctl enforce show alice
    """,
)


def _words(names: list[str] | None) -> list[str]:
    return only_words(names, RULES)


User = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="LOGIN", help="Only this user; may be repeated."),
]
Group = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GROUP", help="Only the users of this group; repeatable."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="PART",
        help=f"Only these parts, with commas between: {', '.join(RULES)}.",
        callback=_words,
        autocompletion=lambda: list(RULES),
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Also cut memory below what is in use: the kernel kills what is too much."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _wish(
    user: list[str] | None,
    group: list[str] | None,
    only: list[str] | None,
    config: Path | None,
    *,
    force: bool = False,
    thorough: bool = False,
) -> Wish:
    from ds01ctl.commands.enforcing import Wish

    return Wish(tuple(user or ()), tuple(group or ()), tuple(only or ()), force, config, thorough)


def _shown(
    result: Result,
    lines: Callable[[Result], list[str]],
    *,
    as_json: bool,
    exit_code: bool = False,
) -> Shown:
    return Shown(result, lambda: print("\n".join(lines(result))), as_json, exit_code)


@app.command()
def plan(
    user: User = None,
    group: Group = None,
    only: Only = None,
    force: Force = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Save the plan, for `enforce apply FILE`."
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 when there is something to change.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Say what `apply` would change, and why. Changes nothing.

    \b
    Examples:
      ds01ctl enforce plan
      ds01ctl enforce plan --group student --only io
      ds01ctl enforce plan --out tonight.json
    """
    from ds01ctl.commands import enforce_running as run
    from ds01ctl.report.enforce_text import plan_lines

    result = run.plan(_wish(user, group, only, config, force=force), out)
    is_to_tell = exit_code and run.is_pending(result)
    return _shown(result, plan_lines, as_json=as_json, exit_code=is_to_tell)


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
    group: Group = None,
    only: Only = None,
    force: Force = False,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Set the limits that are not as the policy says, live and for the next boot.

    Shows what it will do, and asks. Only what differs is touched. With enforcement.mode: report,
    which is how a host without any limit of ds01ctl's begins, nothing is changed.

    \b
    Examples:
      ds01ctl enforce apply
      ds01ctl enforce apply --user alice --yes
      ds01ctl enforce apply tonight.json
    """
    from ds01ctl.commands import enforce_running as run
    from ds01ctl.report.enforce_text import apply_lines

    if saved is not None and (user or group or only or force):
        raise UsageError("a saved plan is made as it is", "leave out the other options, or FILE")
    wish = _wish(user, group, only, config, force=force)
    result = run.apply(wish, saved, yes=yes, as_json=as_json)
    return _shown(result, apply_lines, as_json=as_json)


@app.command()
def check(
    user: User = None,
    group: Group = None,
    only: Only = None,
    exit_code: ExitOnFindings = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Compare policy, systemd and kernel, and say which of them differs. Changes nothing.

    \b
    Examples:
      ds01ctl enforce check
      ds01ctl enforce check --user alice --exit-code
    """
    from ds01ctl.commands import enforce_running as run
    from ds01ctl.report.enforce_text import check_lines

    result = run.check(_wish(user, group, only, config, thorough=True))
    return _shown(result, check_lines, as_json=as_json, exit_code=exit_code)


@app.command()
def show(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Only this login.")] = None,
    group: Group = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Show the limits in force, what is used of them, and what was slowed down or killed.

    \b
    Examples:
      ds01ctl enforce show
      ds01ctl enforce show alice
    """
    from ds01ctl.commands import enforce_showing as run
    from ds01ctl.report.enforce_show_text import show_lines

    result = run.show(_wish([user] if user else None, group, None, config))
    return _shown(result, show_lines, as_json=as_json)


@app.command()
def revert(
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken back, and do nothing.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Take every limit of ds01ctl's back: in the kernel, in systemd, and our files.

    Files of others, and limits that others have set, stay. To keep the timer from setting them
    again, write enforcement.mode: report, or jobs.enforce.enabled: false.

    \b
    Examples:
      ds01ctl enforce revert --dry-run
      ds01ctl enforce revert
    """
    from ds01ctl.commands import enforce_running as run
    from ds01ctl.report.enforce_text import revert_lines

    result = run.revert(_wish(None, None, None, config), yes=yes, dry_run=dry_run, as_json=as_json)
    return _shown(result, revert_lines, as_json=as_json)
