"""`doctor`: what this host offers and lacks, each with the fix."""

from __future__ import annotations

from typing import Annotated

import typer

from ds01ctl.commands.options import Config, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.core.doctor_row import AREAS
from ds01ctl.errors import UsageError


def _known(areas: list[str] | None) -> list[str] | None:
    """Refuse an area that there is not. Raises UsageError."""
    for area in areas or ():
        if area not in AREAS:
            raise UsageError(f"no area is called {area}", f"areas: {', '.join(AREAS)}")
    return areas


def run(
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="AREA",
            help=f"Only this area; may be repeated. One of {', '.join(AREAS)}.",
            callback=_known,
            autocompletion=lambda: list(AREAS),
        ),
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Leave out what is fine and what is not here.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 when there is a warning or a problem.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Check what this host offers and lacks: one line each, and the exact fix. Changes nothing.

    \b
    ok        as it should be
    warning   will cost something some day
    problem   broken, or open, now
    unknown   could not be read: the run exits with 3
    not-here  this host does not have it, and need not

    Run it as root: without, much is unknown. A fix is never applied; where it would make systemd
    reload on a host whose containers lose their GPUs by that, it says so.

    \b
    Examples:
      ds01ctl doctor
      ds01ctl doctor --problems
      ds01ctl doctor --only docker --only gpu
      ds01ctl doctor --json --exit-code
    """
    from ds01ctl.commands import doctoring

    wish = doctoring.Wish(tuple(only or ()), config, is_short=problems)
    return doctoring.run(wish, as_json=as_json, exit_on_problems=exit_code)
