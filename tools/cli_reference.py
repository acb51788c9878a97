"""Render docs/reference/commands.md from the command line itself."""

from __future__ import annotations

from typing import Any

import typer.main

from ds01ctl.commandline import build

_HEAD = """# Commands

Made from the program by `make generate`; `ds01ctl COMMAND --help` prints the same.

Exit codes of every command: 0 it ran, findings or not · 1 it could not run (the message says what
to do) · 2 wrong usage · 3 it ran in part: a source failed or an action did · 4 findings, only with
`--exit-code` · 5 another instance of the job is running.
"""


def render() -> str:
    """Render the help of every command."""
    return "\n".join([_HEAD, *_sections(typer.main.get_command(build([])), "ds01ctl", None)])


def _sections(command: Any, name: str, parent: Any) -> list[str]:
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, max_content_width=100, terminal_width=100
    )
    text = command.get_help(context).rstrip()
    found = [f"## {context.command_path}\n\n```text\n{text}\n```\n"]
    for child in sorted(getattr(command, "commands", {})):
        found += _sections(command.commands[child], child, context)
    return found
