"""`detect`: see every GPU workload, name its owner, say what is unmanaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, get_args

import typer

from ds01ctl.commands.options import Config, ExitOnFindings, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.core.findings import KINDS
from ds01ctl.core.workload import Kind
from ds01ctl.errors import UsageError

WORKLOAD_KINDS: tuple[str, ...] = get_args(Kind)
_WATCH_S = (1, 86_400)

app = typer.Typer(
    no_args_is_help=True,
    help="""See every GPU workload, name its owner, say what is unmanaged.

    In the tables GPU 2:1 is MIG instance 1 of GPU 2; GPUs in parentheses, (0,1), were given to a
    container and are not in use; ? is unknown, which is not 0 and not "none"; - is none.
    A finding marked (new) was seen too briefly or too rarely to be sure.

    \b
    Examples:
      ds01ctl detect unmanaged
      ds01ctl detect unmanaged --user alice --explain
      ds01ctl detect workloads --by gpu --watch 5
      ds01ctl detect unmanaged --replay example
    """,
)


def _known(known: tuple[str, ...], what: str) -> Callable[[list[str] | None], list[str] | None]:
    """Make the check of a `--kind`: what is never there is refused, not searched for."""

    def check(kinds: list[str] | None) -> list[str] | None:
        for kind in kinds or ():
            if kind not in known:
                hint = f"kinds: {', '.join(known)}"
                raise UsageError(f"no kind of {what} is called {kind}", hint)
        return kinds

    return check


def _watchable(seconds: float | None) -> float | None:
    """Refuse what is no number to sleep for: 0, nan, inf. Raises UsageError."""
    least, most = _WATCH_S
    if seconds is not None and not least <= seconds <= most:
        raise UsageError(f"--watch {seconds:g}: give {least} to {most} seconds")
    return seconds


User = Annotated[
    str | None, typer.Option("--user", metavar="LOGIN", help="Only what this user owns.")
]
GpuOption = Annotated[
    str | None,
    typer.Option(
        "--gpu", metavar="GPU", help="Only what is on this GPU: index, UUID, or 2:1 for MIG."
    ),
]
FindingKinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help=f"Only this kind of finding; may be repeated. One of {', '.join(KINDS)}.",
        callback=_known(KINDS, "finding"),
        autocompletion=lambda: list(KINDS),
    ),
]
WorkloadKinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help=f"Only this kind of workload; may be repeated. One of {', '.join(WORKLOAD_KINDS)}.",
        callback=_known(WORKLOAD_KINDS, "workload"),
        autocompletion=lambda: list(WORKLOAD_KINDS),
    ),
]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch",
        metavar="SECONDS",
        help="Look again every so many seconds, until ^C.",
        callback=_watchable,
    ),
]
Replay = Annotated[
    str | None,
    typer.Option(
        "--replay",
        metavar="FILE",
        help="Decide from a file of `ds01ctl snapshot`, or from the shipped `example`.",
        autocompletion=lambda: ["example"],
    ),
]


@app.command(short_help="What the platform did not start, and ill GPUs.")
def unmanaged(
    user: User = None,
    gpu: GpuOption = None,
    kind: FindingKinds = None,
    show_all: Annotated[
        bool,
        typer.Option("--all", help="Also list what is left alone as no finding, and why."),
    ] = False,
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
    from ds01ctl.commands.interaction import need_terminal

    wish = run.Wish(user, gpu, tuple(kind or ()), show_all, explain, replay, config)
    if interactive:
        need_terminal()
    run.check(wish, watch=watch, interactive=interactive, record=record, as_json=as_json)
    if interactive:
        return run.interact(wish)
    if watch is not None:
        return run.keep_watching(wish, watch, "unmanaged")
    return run.unmanaged(wish, record=record, as_json=as_json, exit_on_findings=exit_code)


@app.command(short_help="All GPU workloads, managed or not.")
def workloads(
    by: Annotated[
        Literal["user", "gpu", "container"],
        typer.Option("--by", help="Group the rows by user, GPU or container."),
    ] = "user",
    user: User = None,
    gpu: GpuOption = None,
    kind: WorkloadKinds = None,
    show_all: Annotated[
        bool,
        typer.Option(
            "--all", help="Also infrastructure, system processes and containers without a GPU."
        ),
    ] = False,
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
