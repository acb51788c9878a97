"""Options that several subcommands share, with one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
