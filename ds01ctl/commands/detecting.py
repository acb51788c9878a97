"""What `detect` does once its options are read: gather or replay, decide, record, show."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.shown import Shown
from ds01ctl.core import detect, selection
from ds01ctl.core.findings import KINDS
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Result
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.core.detect import Verdicts
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

View = Literal["unmanaged", "workloads"]


class Wish(NamedTuple):
    """What the admin asked to see."""

    user: str | None = None
    gpu: str | None = None
    kinds: tuple[str, ...] = ()
    show_all: bool = False
    explain: bool = False
    replay: str | None = None
    config: Path | None = None
    by: Literal["user", "gpu", "container"] = "user"


class Look(NamedTuple):
    """One look at the host, judged."""

    snapshot: Snapshot
    policy: Policy
    verdicts: Verdicts
    gaps: tuple[Gap, ...]


def check(
    wish: Wish,
    *,
    watch: float | None = None,
    interactive: bool = False,
    record: bool = False,
    as_json: bool = False,
) -> None:
    """Refuse options that contradict each other. Raises UsageError."""
    if record and (wish.replay or wish.user or wish.gpu or wish.kinds):
        raise UsageError("--record remembers the whole host", "leave out filters and --replay")
    if as_json and (watch is not None or interactive):
        raise UsageError("--json prints one document", "leave out --watch and --interactive")
    if interactive and (watch is not None or record or not sys.stdin.isatty()):
        raise UsageError("--interactive needs a terminal of its own", "leave out the other option")
    if watch is not None and (record or wish.replay):
        raise UsageError("--watch looks at the live host", "leave out --record and --replay")


def look(wish: Wish, paths: Paths) -> Look:
    """Look once, with what recorded runs remember, and judge. Writes nothing."""
    if wish.replay:
        return _replayed(wish, paths)
    from ds01ctl.commands import remembering

    past = remembering.recall(paths)
    gathered = gathering.gather(paths, wish.config, past.facts)
    snapshot, policy = gathered.snapshot, gathered.loaded.policy
    gaps = gathering.required((*snapshot.gaps, *past.gaps), policy, past.sources)
    verdicts = detect.decide(snapshot, policy, snapshot.taken_at, past.memory)
    return Look(snapshot, policy, verdicts, gaps)


def _replayed(wish: Wish, paths: Paths) -> Look:
    from ds01ctl.commands import replaying

    snapshot, policy = replaying.load(str(wish.replay), wish.config, paths)
    verdicts = detect.decide(snapshot, policy, snapshot.taken_at)
    return Look(snapshot, policy, verdicts, snapshot.gaps)


def unmanaged(wish: Wish, *, record: bool, as_json: bool, exit_on_findings: bool) -> Shown:
    """Run `detect unmanaged` once."""
    from ds01ctl.commands import remembering

    paths = gathering.host_paths()
    _check_kinds(wish.kinds, KINDS)
    seen = remembering.look_and_record(wish.config, paths) if record else look(wish, paths)
    result = _unmanaged_result(seen, wish, recording=record)

    def render() -> None:
        from ds01ctl.report import detect_table

        detect_table.print_findings(result, explain=wish.explain)

    return Shown(result, render, as_json, exit_on_findings)


def _unmanaged_result(seen: Look, wish: Wish, *, recording: bool = False) -> Result:
    """Select the findings to report; the timer leaves new ones for its next runs."""
    findings = selection.findings(seen.verdicts.findings, wish.user, wish.kinds, _gpu(wish, seen))
    if recording:
        findings = tuple(finding for finding in findings if not finding.new)
    data = selection.overview(seen.verdicts, seen.snapshot)
    if wish.show_all:
        data["left_alone"] = selection.left_alone(seen.verdicts, seen.snapshot)
    return Result(
        "detect unmanaged",
        seen.snapshot.host,
        seen.snapshot.taken_at,
        seen.gaps,
        findings,
        data=data,
        failed_gaps=gathering.is_failure(seen.gaps),
    )


def workloads(wish: Wish, *, as_json: bool) -> Shown:
    """Run `detect workloads` once."""
    result = _workloads_result(look(wish, gathering.host_paths()), wish)

    def render() -> None:
        from ds01ctl.report import detect_table

        detect_table.print_workloads(result, explain=wish.explain)

    return Shown(result, render, as_json)


def _workloads_result(seen: Look, wish: Wish) -> Result:
    chosen = selection.workloads(
        seen.verdicts.workloads, wish.user, wish.kinds, _gpu(wish, seen), show_all=wish.show_all
    )
    rows = [selection.row(workload, seen.snapshot) for workload in chosen]
    data: dict[str, Any] = {
        **selection.overview(seen.verdicts, seen.snapshot),
        "by": wish.by,
        "workloads": sorted(rows, key=lambda row: selection.sort_key(row, wish.by)),
    }
    return Result(
        "detect workloads",
        seen.snapshot.host,
        seen.snapshot.taken_at,
        seen.gaps,
        data=data,
        failed_gaps=gathering.is_failure(seen.gaps),
    )


def _gpu(wish: Wish, seen: Look) -> str | None:
    """Resolve ``--gpu`` to a UUID. Raises UsageError where there is no such GPU."""
    if wish.gpu is None:
        return None
    uuid = selection.gpu_uuid(wish.gpu, seen.snapshot)
    if uuid is None:
        there = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in seen.snapshot.gpus) or "none"
        raise UsageError(f"no GPU {wish.gpu}", f"GPUs that can be seen: {there}")
    return uuid


def _check_kinds(wanted: tuple[str, ...], known: tuple[str, ...]) -> None:
    for kind in wanted:
        if kind not in known:
            raise UsageError(f"no kind of finding is called {kind}", f"kinds: {', '.join(known)}")


def keep_watching(wish: Wish, seconds: float, view: View) -> Shown:
    """Show a live table until ^C. On a pipe, print one report after the other."""
    from ds01ctl.report import detect_table

    paths = gathering.host_paths()
    _check_kinds(wish.kinds if view == "unmanaged" else (), KINDS)
    build = _unmanaged_result if view == "unmanaged" else _workloads_result
    live = detect_table.live() if sys.stdout.isatty() else nullcontext()
    result: Result | None = None
    with live as screen:
        while True:
            try:
                result = build(look(wish, paths), wish)
                detect_table.refresh(screen, result, seconds, explain=wish.explain)
                time.sleep(seconds)
            except KeyboardInterrupt:
                break
    if result is None:
        raise KeyboardInterrupt
    return Shown(result, lambda: None)


def interact(wish: Wish) -> Shown:
    """Number the findings and ask what to do about them."""
    from ds01ctl.commands import interaction

    paths = gathering.host_paths()
    _check_kinds(wish.kinds, KINDS)
    seen = look(wish, paths)
    result = _unmanaged_result(seen, wish)
    return interaction.run(result, seen.policy, read_only=bool(wish.replay))
