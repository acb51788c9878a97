"""The command line: registers the subcommands, renders a result once, maps it to an exit code."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from copy import copy
from datetime import datetime, timezone
from importlib import import_module
from typing import Any, NoReturn, cast

# imports make no garbage, but set the collector off every 700 objects: 8 ms of every run
gc.set_threshold(50_000)

import typer  # noqa: E402 -- after the collector was told
from typer.core import TyperGroup  # noqa: E402

from ds01ctl import __version__  # noqa: E402
from ds01ctl.commands.shown import Shown  # noqa: E402
from ds01ctl.errors import Ds01Error, ExitCode, UsageError  # noqa: E402
from ds01ctl.report.text import clean  # noqa: E402

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
_INTERRUPTED = 130
"""128 and the number of SIGINT, as a shell has it."""


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


def main() -> NoReturn:
    """Run the command line and exit."""
    _open_standard_files()
    sys.unraisablehook = _end_on_interrupt
    status = run(sys.argv[1:])
    # every file is closed and every child ended: taking the interpreter down costs 15 ms of CPU
    os._exit(status)


def _end_on_interrupt(unraisable: Any) -> None:
    """End on a ^C that came within a finalizer, where Python would show it and go on."""
    if unraisable.exc_type is KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    sys.__unraisablehook__(unraisable)


def _open_standard_files() -> None:
    """Open what was closed (`>&-`), or a database would get its number, and our output."""
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is given; stdout opened to read fails when it is written to
            os.open(os.devnull, flags)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 -- for good
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 -- for good
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 -- for good
    for output in (sys.stdout, sys.stderr):
        # in a locale that lacks a sign, an escape in its place is better than no report
        cast(Any, output).reconfigure(errors="backslashreplace")


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except SystemExit as end:
        # typer ends so after a completion, and where the reader of the output is gone
        if isinstance(end.__context__, BrokenPipeError):
            return _without_output()
        return end.code if isinstance(end.code, int) else int(ExitCode.FAILED)
    except BrokenPipeError:
        return _without_output()
    except OSError as error:
        # what cannot be read or written elsewhere is a Ds01Error
        _complain(f"ds01ctl: {error.filename or 'cannot write to standard output'}: {_why(error)}")
        return _without_output(ExitCode.FAILED)
    if status == _INTERRUPTED:
        _complain("")
    return status


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _without_output(status: ExitCode = ExitCode.OK) -> int:
    """Drop what is not printed yet: the reader (head, less) has seen enough, or the disk is full.

    Else Python would try again, and complain, at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return int(status)


def _complain(line: str) -> None:
    """Tell on stderr, where that can be written to."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        _refuse_empty(arguments)
        app = build(arguments)
        shown = app(arguments, prog_name="ds01ctl", standalone_mode=False)
        return _show(shown) if isinstance(shown, Shown) else int(shown or 0)
    except Ds01Error as error:
        return _fail(arguments, error, as_json=as_json)
    except _UsageError as error:
        if type(error).show is not _UsageError.show:
            # no arguments: the error is the help text
            _complain(error.format_message())
            return int(ExitCode.USAGE)
        words = " ".join(["ds01ctl", *_command_words(arguments)])
        command = error.ctx.command_path if error.ctx else words
        usage = UsageError(error.format_message(), f"{command} --help")
        return _fail(arguments, usage, as_json=as_json)
    except typer.Abort:
        _complain("Aborted; nothing was changed.")
        return int(ExitCode.FAILED)


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse empty values: `--user "$WHO"` with WHO unset must not mean every user."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        is_empty_value = word.startswith("--") and word.endswith("=")
        if word and not is_empty_value:
            continue
        name = word[:-1] if word else before
        what = f"{name} has an empty value" if name.startswith("-") else "an empty argument"
        raise UsageError(what, "give a value, or leave it out")


def _show(shown: Shown) -> int:
    """Print a result, as JSON or for people, and map it to an exit code."""
    if shown.as_json:
        from ds01ctl.report import document

        sys.stdout.writelines(document.pieces(document.of_result(shown.result)))
        print()
    else:
        shown.render()
    sys.stdout.flush()
    if shown.result.status == "partial":
        return int(ExitCode.PARTIAL)
    if shown.exit_on_findings and (shown.result.findings or shown.result.actions):
        return int(ExitCode.FINDINGS)
    return int(shown.exit_code)


def _fail(arguments: list[str], error: Ds01Error, *, as_json: bool) -> int:
    """Say what went wrong and what to do about it, on stderr, or as the JSON document."""
    code = int(error.exit_code)
    if as_json:
        from ds01ctl.report import document

        command = " ".join(_command_words(arguments))
        now = datetime.now(timezone.utc)
        host = os.uname().nodename
        told = {"message": error.message, "hint": error.hint, "exit_code": code}
        print(document.dumps(document.of_error(command, host, now, told, error.data)))
        return code
    for index, line in enumerate(error.message.splitlines()):
        _complain(clean(line if index else f"ds01ctl: {line}", 4096))
    if error.hint:
        _complain(f"hint: {clean(error.hint, 4096)}")
    return code


def _command_words(arguments: list[str]) -> list[str]:
    """Pick the names of commands out of the arguments."""
    words = [word for word in arguments if not word.startswith("-")]
    groups = {"detect", "enforce", "quota", "cleanup", "carbon", "config", "units", "state"}
    return words[:2] if groups & set(words[:1]) else words[:1]
