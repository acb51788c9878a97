"""The command line as typer has it: the subcommands, their options, and what is wrong with them.

Loading it is a third of what a run that a timer starts would cost: see `commands/direct.py`.
"""

from __future__ import annotations

from copy import copy
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from ds01ctl import __version__
from ds01ctl.errors import ExitCode, UsageError

# the public name of click's base class of usage errors, in every typer we allow
_UsageError: Any = typer.BadParameter.__mro__[1]

COMMANDS = (
    "detect", "enforce", "quota", "cleanup", "carbon", "explain", "config", "snapshot", "events",
    "doctor", "units", "state",
)  # fmt: skip
"""The subcommands, each a module of ds01ctl.commands with an `app` or a `run`."""
_EPILOG = """\b
Examples:
  ds01ctl detect unmanaged                    what the platform did not start
  ds01ctl detect workloads --by gpu           who is on which GPU
  ds01ctl detect unmanaged --replay example   the same on an example host
  ds01ctl enforce plan                        which limits are not as the policy says
  ds01ctl quota report                        who uses how much disk, of which limit
  ds01ctl cleanup plan                        what is idle or left over, and what becomes of it
  ds01ctl carbon report                       whose work takes how much energy, and emits what
  ds01ctl explain alice                       everything about one user
  ds01ctl events --since 2h                   what happened
  ds01ctl config check                        whether the policy is right
"""


class _InOrder(TyperGroup):
    """List the subcommands in the order of COMMANDS; typer puts groups after commands."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- the signature is typer's
        """Name them in that order."""
        return sorted(self.commands, key=COMMANDS.index)


def build(arguments: list[str]) -> typer.Typer:
    """Build the command line; where the first word names a subcommand, only that one.

    A job that runs every 30 seconds need not load and lay out the options of all the others.
    """
    app = typer.Typer(
        name="ds01ctl",
        cls=_InOrder,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help="See, limit and account for the GPUs, disks and energy of a shared GPU server.",
        epilog=_EPILOG,
        callback=_options,
    )
    for name in arguments[:1] if set(arguments[:1]) & set(COMMANDS) else COMMANDS:
        module = import_module(f"ds01ctl.commands.{name}")
        if hasattr(module, "app"):
            app.add_typer(_narrowed(module.app, arguments[1:2]), name=name)
        else:
            app.command(name)(module.run)
    return app


def _narrowed(group: typer.Typer, words: list[str]) -> typer.Typer:
    """Keep only the command that the next word names; all of them where it names none."""
    named = [
        one
        for one in group.registered_commands
        if getattr(one.callback, "__name__", "").replace("_", "-") in words
    ]
    if not named:
        return group
    narrow = copy(group)
    narrow.registered_commands = named
    return narrow


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ds01ctl {__version__}")
        raise typer.Exit


def _options(
    _version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    pass


class NotRunError(Exception):
    """The command did not run: the message is the help text, or that the admin said no."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def invoke(arguments: list[str], command_words: str) -> Any:
    """Run the command that the arguments name, and give what it returns.

    command_words: what to call it, for the hint, where typer does not say.
    Raises UsageError, NotRunError, and whatever the command raises.
    """
    try:
        return build(arguments)(arguments, prog_name="ds01ctl", standalone_mode=False)
    except _UsageError as error:
        if type(error).show is not _UsageError.show:
            # no arguments: the error is the help text
            raise NotRunError(error.format_message(), ExitCode.USAGE) from None
        command = error.ctx.command_path if error.ctx else command_words
        raise UsageError(error.format_message(), f"{command} --help") from None
    except typer.Abort:
        raise NotRunError("Aborted; nothing was changed.", ExitCode.FAILED) from None
