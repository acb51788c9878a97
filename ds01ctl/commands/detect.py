"""`detect`: see every GPU workload, name its owner, say what is unmanaged."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ds01ctl.commands.options import Config, ExitOnFindings, Json
from ds01ctl.commands.shown import Shown

app = typer.Typer(
    no_args_is_help=True, help="See every GPU workload, name its owner, say what is unmanaged."
)

User = Annotated[
    str | None, typer.Option("--user", metavar="LOGIN", help="Only what this user owns.")
]
GpuOption = Annotated[
    str | None,
    typer.Option("--gpu", metavar="GPU", help="Only what is on this GPU: index or UUID."),
]
All = Annotated[
    bool,
    typer.Option(
        "--all", help="Also infrastructure, system processes, containers without a GPU, and why."
    ),
]
Watch = Annotated[
    float | None,
    typer.Option("--watch", metavar="SECONDS", min=1, help="Look again every so many seconds."),
]
Replay = Annotated[
    str | None,
    typer.Option(
        "--replay",
        metavar="FILE",
        help="Decide from a file of `ds01ctl snapshot`, or from the shipped `example`.",
    ),
]


@app.command()
def unmanaged(
    user: User = None,
    gpu: GpuOption = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only this kind of finding; may be repeated."),
    ] = None,
    show_all: All = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show all evidence for each finding.")
    ] = False,
    watch: Watch = None,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive", "-i", help="Number the rows; explain, copy a stop command, exempt."
        ),
    ] = False,
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Remember what was seen, write events and metrics (for the timer)."
        ),
    ] = False,
    replay: Replay = None,
    exit_code: ExitOnFindings = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """List what the platform did not start, and what is wrong with the GPUs.

    Changes nothing. A finding marked "new" is younger than detect.min_age_s, or was seen in fewer
    than detect.scans recorded scans; the timer waits until it is neither.

    \b
    Examples:
      ds01ctl detect unmanaged
      ds01ctl detect unmanaged --user alice --explain
      ds01ctl detect unmanaged --json --exit-code
      ds01ctl detect unmanaged --replay example
    """
    from ds01ctl.commands import detecting as run

    wish = run.Wish(user, gpu, tuple(kind or ()), show_all, explain, replay, config)
    run.check(wish, watch=watch, interactive=interactive, record=record, as_json=as_json)
    if interactive:
        return run.interact(wish)
    if watch is not None:
        return run.keep_watching(wish, watch, "unmanaged")
    return run.unmanaged(wish, record=record, as_json=as_json, exit_on_findings=exit_code)


@app.command()
def workloads(
    by: Annotated[
        Literal["user", "gpu", "container"],
        typer.Option("--by", help="Group the rows by user, GPU or container."),
    ] = "user",
    user: User = None,
    gpu: GpuOption = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Only this kind of workload (managed, compose, host-process, …); repeatable.",
        ),
    ] = None,
    show_all: All = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show why each workload got its verdict.")
    ] = False,
    watch: Watch = None,
    replay: Replay = None,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """List all GPU workloads: managed containers, unmanaged ones, processes on the host.

    \b
    Examples:
      ds01ctl detect workloads
      ds01ctl detect workloads --by gpu --watch 5
      ds01ctl detect workloads --all --json
    """
    from ds01ctl.commands import detecting as run

    wish = run.Wish(user, gpu, tuple(kind or ()), show_all, explain, replay, config, by)
    run.check(wish, watch=watch, as_json=as_json)
    if watch is not None:
        return run.keep_watching(wish, watch, "workloads")
    return run.workloads(wish, as_json=as_json)
