"""The command line: registers the subcommands, renders a result once, maps it to an exit code."""

from __future__ import annotations

import gc
import os
import sys
from datetime import datetime, timezone
from importlib import import_module
from typing import Any, NoReturn

# imports make no garbage, but set the collector off every 700 objects: 8 ms of every run
gc.set_threshold(50_000)

import typer  # noqa: E402 -- after the collector was told

from ds01ctl import __version__  # noqa: E402
from ds01ctl.commands.shown import Shown  # noqa: E402
from ds01ctl.errors import Ds01Error, ExitCode  # noqa: E402
from ds01ctl.report.text import clean  # noqa: E402

# the public name of click's base class of usage errors, in every typer we allow
_UsageError: Any = typer.BadParameter.__mro__[1]

COMMANDS = ("detect", "config", "snapshot", "events")
"""The subcommands, each a module of ds01ctl.commands with an `app` or a `run`."""


def build(arguments: list[str]) -> typer.Typer:
    """Build the command line; where the first word names a subcommand, only that one.

    A job that runs every 30 seconds need not load and lay out the options of all the others.
    """
    app = typer.Typer(
        name="ds01ctl",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help="See, limit and account for the GPUs, disks and energy of a shared GPU server.",
        epilog="First steps: ds01ctl detect unmanaged · ds01ctl config check",
        callback=_options,
    )
    for name in arguments[:1] if set(arguments[:1]) & set(COMMANDS) else COMMANDS:
        module = import_module(f"ds01ctl.commands.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.run)
    return app


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
    status = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # every file is closed and every child ended: taking the interpreter down costs 15 ms of CPU
    os._exit(status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(arguments)
    except BrokenPipeError:
        # the reader (head, less) has seen enough; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        app = build(arguments)
        shown = app(arguments, prog_name="ds01ctl", standalone_mode=False)
        return _show(shown) if isinstance(shown, Shown) else int(shown or 0)
    except Ds01Error as error:
        _fail(arguments, error.message, error.hint, error.exit_code, as_json=as_json)
        return int(error.exit_code)
    except _UsageError as error:
        if not as_json:
            error.show()
            return int(ExitCode.USAGE)
        hint = "ds01ctl --help"
        _fail(arguments, error.format_message(), hint, ExitCode.USAGE, as_json=True)
        return int(ExitCode.USAGE)
    except typer.Abort:
        print("Aborted; nothing was changed.", file=sys.stderr)
        return int(ExitCode.FAILED)


def _show(shown: Shown) -> int:
    """Print a result, as JSON or for people, and map it to an exit code."""
    if shown.as_json:
        from ds01ctl.report import document

        print(document.dumps(document.of_result(shown.result)))
    else:
        shown.render()
    sys.stdout.flush()
    if shown.result.status == "partial":
        return int(ExitCode.PARTIAL)
    if shown.exit_on_findings and (shown.result.findings or shown.result.actions):
        return int(ExitCode.FINDINGS)
    return int(shown.exit_code)


def _fail(
    arguments: list[str], message: str, hint: str | None, code: ExitCode, *, as_json: bool
) -> None:
    """Say what went wrong and what to do about it, on stderr, or as the JSON document."""
    if as_json:
        from ds01ctl.report import document

        command = " ".join(_command_words(arguments))
        now = datetime.now(timezone.utc)
        host = os.uname().nodename
        print(document.dumps(document.of_error(command, host, now, message, hint, int(code))))
        return
    for index, line in enumerate(message.splitlines()):
        print(clean(line if index else f"ds01ctl: {line}", 2000), file=sys.stderr)
    if hint:
        print(f"hint: {clean(hint, 2000)}", file=sys.stderr)


def _command_words(arguments: list[str]) -> list[str]:
    """Pick the names of commands out of the arguments."""
    words = [word for word in arguments if not word.startswith("-")]
    return words[:2] if words[:1] and words[0] in {"detect", "config"} else words[:1]
