"""The program: runs a command, renders its result once, maps it to an exit code."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NoReturn, cast

# imports make no garbage, but set the collector off every 700 objects: 8 ms of every run
gc.set_threshold(50_000)

from ds01ctl.commands import direct  # noqa: E402 -- after the collector was told
from ds01ctl.commands.shown import Shown  # noqa: E402
from ds01ctl.errors import Ds01Error, ExitCode, UsageError  # noqa: E402
from ds01ctl.report.text import clean  # noqa: E402

_INTERRUPTED = 130
"""128 and the number of SIGINT, as a shell has it."""


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
        cast("Any", output).reconfigure(errors="backslashreplace")


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
    try:
        _refuse_empty(arguments)
        run = direct.find(arguments)
        if run is None:
            return _parsed(arguments)
        return _status(run())
    except Ds01Error as error:
        return _fail(arguments, error, as_json="--json" in arguments)


def _parsed(arguments: list[str]) -> int:
    """Let typer read the arguments, and run what they name."""
    from ds01ctl import commandline

    try:
        words = " ".join(["ds01ctl", *_command_words(arguments)])
        return _status(commandline.invoke(arguments, words))
    except commandline.NotRunError as told:
        _complain(str(told))
        return int(told.exit_code)


def _status(answer: Any) -> int:
    """Show what a command gave: a result, or an exit code of its own."""
    return _show(answer) if isinstance(answer, Shown) else int(answer or 0)


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
