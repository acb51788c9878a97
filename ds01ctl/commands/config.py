"""`config`: check, show, explain and begin the policy."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands.options import Config, Json
from ds01ctl.commands.shown import Shown

if TYPE_CHECKING:
    from ds01ctl.commands.configuring import Asked
    from ds01ctl.core.plan import Result

app = typer.Typer(no_args_is_help=True, help="Check, show and explain the policy.")


def _asked(config: Path | None) -> Asked:
    from ds01ctl.commands.configuring import Asked
    from ds01ctl.commands.gathering import host_paths, utcnow

    return Asked(host_paths(), config, os.environ, os.uname().nodename, utcnow())


def _shown(result: Result, lines: Callable[[Result], list[str]], *, as_json: bool) -> Shown:
    return Shown(result, lambda: print("\n".join(lines(result))), as_json=as_json)


@app.command()
def check(config: Config = None, as_json: Json = False) -> Shown:
    """Read the policy and the files beside it, and name every problem and warning.

    Exits with 1 when there is a problem. Every other command would refuse the policy then.

    \b
    Examples:
      ds01ctl config check
      ds01ctl config check --config new-limits.yaml
    """
    from ds01ctl.commands import configuring
    from ds01ctl.report import config_text

    return _shown(configuring.check(_asked(config)), config_text.check_lines, as_json=as_json)


@app.command()
def show(
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Also what is built in and not set.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """List what the policy sets, each with its file and line.

    \b
    Examples:
      ds01ctl config show
      ds01ctl config show --resolved --json
    """
    from ds01ctl.commands import configuring
    from ds01ctl.report import config_text
    from ds01ctl.report.text import width

    result = configuring.show(_asked(config), resolved=resolved)
    return _shown(result, partial(config_text.show_lines, width=width()), as_json=as_json)


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="A login.")],
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Show a user's limits: each value, where it was written, and what it holds instead of.

    \b
    Example:
      ds01ctl config explain alice
    """
    from ds01ctl.commands import configuring
    from ds01ctl.report import config_text
    from ds01ctl.report.text import width

    result = configuring.explain(_asked(config), user)
    return _shown(result, partial(config_text.explain_lines, width=width()), as_json=as_json)


@app.command()
def schema(as_json: Json = False) -> Shown:
    """Print the JSON Schema of the policy, for editors.

    \b
    Example:
      ds01ctl config schema > resource-limits.schema.json
    """
    from ds01ctl.commands import configuring
    from ds01ctl.report import config_text

    return _shown(configuring.schema(_asked(None)), config_text.schema_lines, as_json=as_json)


@app.command()
def init(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="Where to write (default: /etc/ds01/resource-limits.yaml)."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the file and write nothing.")
    ] = False,
    as_json: Json = False,
) -> Shown:
    """Write an example policy, every setting commented out. Never overwrites a file.

    Folders that are missing are made. --dry-run prints the example, whatever is there already.

    \b
    Examples:
      ds01ctl config init --dry-run
      ds01ctl config init
    """
    from ds01ctl.commands import configuring
    from ds01ctl.report import config_text

    result = configuring.init(_asked(None), path, dry_run=dry_run)
    return _shown(result, config_text.init_lines, as_json=as_json)
