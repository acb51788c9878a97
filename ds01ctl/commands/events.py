"""`events`: what happened, from the event log."""

from __future__ import annotations

from typing import Annotated

import typer

from ds01ctl.commands.options import Config, Json
from ds01ctl.commands.shown import Shown


def _types() -> list[str]:
    """Name the types of event there are, for completion."""
    from ds01ctl.core.findings import KINDS

    changes = ("container_discovered", "container_exited", "container_status_changed")
    processes = ("host_gpu_process_discovered", "host_gpu_process_exited")
    found = (kind.replace("-", "_") for kind in KINDS)
    others = ("config.change", "health.check", "health.fail")
    return [*(f"detection.{name}" for name in ("*", *changes, *processes, *found)), *others]


def _at_least_one(number: int | None) -> int | None:
    if number is not None and number < 1:
        raise typer.BadParameter("give 1 or more")
    return number


def run(
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="From then on: 2h, 30m, 7d, 2026-11-23, or a full time."
        ),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Like detection.*; may be repeated.",
            autocompletion=_types,
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="LOGIN", help="Only events about this user.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", metavar="N", help="Only the last so many.", callback=_at_least_one
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing events as they come, until ^C.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Read the event log: what was discovered, what exited, what was found and done.

    Without --since and --limit it shows the last 1,000. With --follow --json each event is one
    line. The journal has the same events: journalctl DS01_USER=alice.

    \b
    Examples:
      ds01ctl events --since 2h
      ds01ctl events --type 'detection.*' --user alice
      ds01ctl events --follow
    """
    from ds01ctl.commands import reading_events as reading

    query = reading.Query(since, tuple(types or ()), user, limit)
    return reading.show(query, config, follow=follow, as_json=as_json)
