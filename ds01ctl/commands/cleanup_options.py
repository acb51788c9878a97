"""Options and arguments that several commands of `cleanup` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands.options import only_words
from ds01ctl.commands.shown import Shown
from ds01ctl.core.cleanup_model import PARTS
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.commands.cleanup_looking import Wish
    from ds01ctl.core.plan import Result


def _words(names: list[str] | None) -> list[str]:
    return only_words(names, PARTS)


User = Annotated[
    list[str] | None,
    typer.Option(
        "--user",
        metavar="LOGIN",
        help="Only what is this user's, so no images, networks and the like; may be repeated.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="PART",
        help=f"Only these parts (default: all), with commas between: {', '.join(PARTS)}.",
        callback=_words,
        autocompletion=lambda: list(PARTS),
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help="Stop and remove at most N, the longest due first (default: what the breakers allow).",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Which = Annotated[
    str,
    typer.Argument(metavar="CONTAINER", help="Its name, its id, or how one of the two begins."),
]


def wish(
    user: list[str] | None,
    only: list[str] | None,
    limit: int | None,
    config: Path | None,
) -> Wish:
    """Collect what was asked for. Raises UsageError for parts that no user has."""
    from ds01ctl.commands.cleanup_looking import Wish

    asked = Wish(tuple(user or ()), tuple(only or ()), limit, config)
    if not asked.parts:
        what = f"--user: {', '.join(only or ())}: these are nobody's own"
        raise UsageError(what, "leave out --user, or take other parts")
    return asked


def shown(
    result: Result,
    lines: Callable[[Result], list[str]],
    *,
    as_json: bool,
    exit_code: bool = False,
) -> Shown:
    """Show a result by its lines."""
    return Shown(result, lambda: print("\n".join(lines(result))), as_json, exit_code)
