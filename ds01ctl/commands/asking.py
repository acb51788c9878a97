"""Ask before something is changed: the same question everywhere, and nobody is asked in vain."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def need_yes(*, yes: bool, as_json: bool) -> None:
    """Raise UsageError where --yes was not given and nobody can be asked."""
    if not yes and (as_json or not sys.stdin.isatty() or not sys.stderr.isatty()):
        raise UsageError("nobody can be asked here", "give --yes, or run it on a terminal")


def confirm(lines: Iterable[str]) -> None:
    """Show what would be done, and go on only on a yes. Raises typer.Abort."""
    import typer

    print("\n".join(lines), file=sys.stderr, flush=True)
    typer.confirm("Do it?", abort=True, err=True)
