"""`snapshot`: record what was observed, so that it can be decided upon again elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds01ctl.commands.options import Config, Json
from ds01ctl.commands.shown import Shown


def run(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout."),
    ] = None,
    anonymise: Annotated[
        bool,
        typer.Option(
            "--anonymise", help="Replace logins, names, paths, labels and ids by pseudonyms."
        ),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Record what can be seen of the host as one JSON file.

    The detect commands decide from it with --replay FILE: for a bug report, or to try a new policy.
    Without --anonymise it holds logins, labels and command lines, and is written with mode 0600.

    \b
    Examples:
      ds01ctl snapshot -o gpu01.json
      ds01ctl snapshot --anonymise -o report.json
      ds01ctl detect unmanaged --replay gpu01.json --config new-limits.yaml
    """
    from ds01ctl.commands import replaying

    return replaying.record(output, config, anonymise=anonymise, as_json=as_json)
