"""`state`: look after what is remembered between runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from ds01ctl.commands.options import Json
from ds01ctl.commands.shown import Shown

if TYPE_CHECKING:
    from ds01ctl.commands.maintaining import Asked

app = typer.Typer(no_args_is_help=True, help="Check, tidy and copy what is remembered.")


def _asked() -> Asked:
    from ds01ctl.commands.gathering import host_paths, utcnow
    from ds01ctl.commands.maintaining import Asked

    return Asked(host_paths(), os.uname().nodename, utcnow())


@app.command()
def check(as_json: Json = False) -> Shown:
    """Check that the state store is whole, and say what is in it. Writes nothing.

    Exits with 1 when it is not whole, and says how to go back to its copy.

    \b
    Example:
      ds01ctl state check
    """
    from ds01ctl.commands import maintaining
    from ds01ctl.report.state_text import check_lines

    result = maintaining.check(_asked())
    return Shown(result, lambda: print("\n".join(check_lines(result))), as_json)


@app.command()
def maintain(as_json: Json = False) -> Shown:
    """Check the state store, drop what is past keeping, and copy it: what the daily job runs.

    A store that is not whole is left alone, and so is the good copy of it.

    \b
    Example:
      ds01ctl state maintain
    """
    from ds01ctl.commands import maintaining
    from ds01ctl.report.state_text import maintain_lines

    result = maintaining.maintain(_asked())
    return Shown(result, lambda: print("\n".join(maintain_lines(result))), as_json)
