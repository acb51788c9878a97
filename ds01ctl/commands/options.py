"""Options that several subcommands share, with one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The policy file (default: $DS01_CONFIG, else /etc/ds01/resource-limits.yaml).",
    ),
]
ExitOnFindings = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 4 when there are findings.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def only_words(names: list[str] | None, known: Sequence[str]) -> list[str]:
    """Read `--only idle,images`; repeated is fine, too. Raises UsageError for another word."""
    found = [word for name in names or () for word in name.replace(",", " ").split()]
    for word in found:
        if word not in known:
            raise UsageError(f"--only {word}: is not known", f"one or more of {', '.join(known)}")
    return found
