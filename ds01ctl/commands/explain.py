"""`explain`: everything about one user: limits, use, containers, and what was done to them."""

from __future__ import annotations

from typing import Annotated

import typer

from ds01ctl.commands.options import Config, Json
from ds01ctl.commands.shown import Shown


def run(
    user: Annotated[str, typer.Argument(metavar="USER", help="A login.")],
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Explain one user: group, limits with their source, what is live, what is used, what was cut.

    Changes nothing. On a host where limits cannot be read (no systemd, cgroup v1) it tells what the
    policy says, and why there is no more.

    \b
    Example:
      ds01ctl explain alice
    """
    from functools import partial

    from ds01ctl.commands import explaining
    from ds01ctl.report.explain_text import explain_lines
    from ds01ctl.report.text import width

    result = explaining.explain(user, config)
    lines = partial(explain_lines, width=width())
    return Shown(result, lambda: print("\n".join(lines(result))), as_json)
