"""What `detect` does once its options are read: gather or replay, decide, record, show."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ds01ctl.commands import gathering
from ds01ctl.commands.shown import Shown
from ds01ctl.core import detect, selection
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Result
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.detect import Verdicts
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.plan import Finding
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

    @property
    def filters(self) -> dict[str, Any]:
        """Repeat what was asked for, so that nothing found is not taken for nothing there."""
        return {"user": self.user, "gpu": self.gpu, "kinds": sorted(self.kinds)}


class Look(NamedTuple):
    """One look at the host, judged."""

    snapshot: Snapshot
    policy: Policy
    verdicts: Verdicts
    gaps: tuple[Gap, ...]
    about: Mapping[str, Any] = MappingProxyType({})
    """What else the result should say: where it was replayed from."""


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
    gathered = gathering.gather(paths, wish.config, past.facts, past.sources)
    snapshot, policy = gathered.snapshot, gathered.loaded.policy
    gaps = (*snapshot.gaps, *past.gaps)
    verdicts = detect.decide(snapshot, policy, snapshot.taken_at, past.memory)
    return Look(snapshot, policy, verdicts, gaps)


def _replayed(wish: Wish, paths: Paths) -> Look:
    """Judge a recorded host by the policy of today, and say so."""
    from ds01ctl.commands import replaying

    replay = replaying.load(str(wish.replay), wish.config, paths)
    snapshot, policy = replay.snapshot, replay.policy
    verdicts = detect.decide(snapshot, policy, snapshot.taken_at)
    about = {
        "file": wish.replay,
        "host": snapshot.host,
        "taken_at": snapshot.taken_at,
        "policy": policy.files[0] if policy.files else None,
    }
    return Look(snapshot, policy, verdicts, snapshot.gaps, {"replay": about})


def unmanaged(wish: Wish, *, record: bool, as_json: bool, exit_on_findings: bool) -> Shown:
    """Run `detect unmanaged` once."""
    from ds01ctl.commands import remembering

    paths = gathering.host_paths()
    seen = remembering.look_and_record(wish.config, paths) if record else look(wish, paths)
    result = _unmanaged_result(seen, wish, recording=record)

    def render() -> None:
        from ds01ctl.report import detect_table

        detect_table.print_result(result, explain=wish.explain)

    return Shown(result, render, as_json, exit_on_findings)


def _unmanaged_result(seen: Look, wish: Wish, *, recording: bool = False) -> Result:
    """Select the findings to report; the timer leaves new ones for its next runs."""
    gpus = _gpus(wish, seen)
    found = selection.findings(seen.verdicts.findings, wish.user, wish.kinds, gpus)
    reported = tuple(finding for finding in found if not (recording and finding.new))
    data = {**selection.overview(reported, seen.snapshot), **seen.about, "filters": wish.filters}
    if recording:
        data["held_back"] = len(found) - len(reported)
    if wish.show_all:
        every = selection.workloads(seen.verdicts.workloads, wish.user, (), gpus, show_all=True)
        data["left_alone"] = selection.left_alone(every, seen.snapshot)
    return _result("detect unmanaged", seen, reported, data)


def _result(
    command: str, seen: Look, findings: tuple[Finding, ...], data: dict[str, Any]
) -> Result:
    return Result(
        command,
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

        detect_table.print_result(result, explain=wish.explain)

    return Shown(result, render, as_json)


def _workloads_result(seen: Look, wish: Wish) -> Result:
    gpus = _gpus(wish, seen)
    chosen = selection.workloads(
        seen.verdicts.workloads, wish.user, wish.kinds, gpus, show_all=wish.show_all
    )
    rows = [selection.row(workload, seen.snapshot) for workload in chosen]
    found = selection.findings(seen.verdicts.findings, wish.user, (), gpus)
    data: dict[str, Any] = {
        **selection.overview(found, seen.snapshot),
        **seen.about,
        "filters": wish.filters,
        "by": wish.by,
        "workloads": sorted(rows, key=lambda row: selection.sort_key(row, wish.by)),
    }
    return _result("detect workloads", seen, (), data)


def _gpus(wish: Wish, seen: Look) -> frozenset[str] | None:
    """Resolve ``--gpu`` to UUIDs. Raises UsageError where there is no such GPU."""
    if wish.gpu is None:
        return None
    uuids = selection.gpu_uuids(wish.gpu, seen.snapshot)
    if uuids is None:
        there = ", ".join(str(gpu.index) for gpu in seen.snapshot.gpus) or "none"
        hint = f"GPUs that can be seen: {there}; a UUID, or GPU:INSTANCE for MIG, is fine too"
        raise UsageError(f"no GPU {wish.gpu}", hint)
    return uuids


def keep_watching(wish: Wish, seconds: float, view: View) -> Shown:
    """Show a live table until ^C; on a pipe print one report after the other.

    What is wrong from the start ends it. Later, a policy saved half-edited does not: the last
    table stays, with the reason, until a look succeeds again.
    """
    from ds01ctl.report import detect_table

    paths = gathering.host_paths()
    build = _unmanaged_result if view == "unmanaged" else _workloads_result
    result = build(look(wish, paths), wish)
    trouble: str | None = None
    with suppress(KeyboardInterrupt), detect_table.live() as display:
        while True:
            detect_table.refresh(display, result, seconds, explain=wish.explain, trouble=trouble)
            time.sleep(seconds)
            try:
                result, trouble = build(look(wish, paths), wish), None
            except Ds01Error as error:
                trouble = error.message
    return Shown(result, lambda: None)


def interact(wish: Wish) -> Shown:
    """Number the findings and ask what to do about them."""
    from ds01ctl.commands import interaction

    paths = gathering.host_paths()

    def look_again() -> tuple[Result, Policy]:
        seen = look(wish, paths)
        return _unmanaged_result(seen, wish), seen.policy

    return interaction.run(look_again, paths, read_only=bool(wish.replay))
