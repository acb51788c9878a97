"""Look again at a container in the moment before it is stopped or removed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ds01ctl.commands import cleanup_keepers, cleanup_keeps, gathering
from ds01ctl.core import cleanup as core
from ds01ctl.core import cleanup_limits
from ds01ctl.core.cleanup_keeps import holds, settled
from ds01ctl.core.idle_verdict import judge
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Change, Keep, Sample
    from ds01ctl.core.model import Container
    from ds01ctl.observe.gpu_activity import GpuActivity
    from ds01ctl.observe.nvml import NvmlReading
    from ds01ctl.paths import Paths

LEAST_S = 1.0
"""Between the look and the sample that is compared with it."""


class Rechecks:
    """A few containers that are about to be struck: each is asked about once more.

    What forks (the driver, files on file systems that may hang) is asked for all of them here,
    before any thread is at work; the admins' file is read again for each.
    """

    def __init__(self, changes: Sequence[Change], seen: Look, paths: Paths) -> None:
        self._seen, self._paths = seen, paths
        self._containers = [c for one in changes if (c := seen.container(one.target))]
        self._files = self._keeps_of_users()
        idle = {one.target for one in changes if _must_be_idle(one)}
        self._samples = self._sampled([one for one in self._containers if one.id in idle])

    def of(self, change: Change) -> Callable[[], str | None]:
        """Make the question about one: a text says why it must not be."""
        return lambda: self._kept(change) or self._active(change)

    def _keeps_of_users(self) -> Mapping[str, Keep]:
        seen = self._seen
        clock = seen.clock._replace(now=gathering.utcnow())
        mine = [w for w in seen.workloads if w.container]
        files = cleanup_keepers.of_users(
            self._containers, mine, seen.policy, self._paths, clock
        )  # fmt: skip
        # those that were over the user's number before are so still
        over = {one.container for one in seen.plan.notices if one.kind == "keep-cap"}
        found = settled((), files, mine, seen.policy, clock.now).keeps
        return {id_: keep for id_, keep in found.items() if id_ not in over}

    def _kept(self, change: Change) -> str | None:
        now = gathering.utcnow()
        try:
            rows = cleanup_keeps.load(self._paths)
        except Ds01Error as error:
            return error.message
        mine = [one.keep for one in rows if one.keep.id == change.target]
        if file := self._files.get(change.target):
            mine.append(file)
        return next((f"kept meanwhile by {one.by}" for one in mine if holds(one, now)), None)

    def _active(self, change: Change) -> str | None:
        """Compare with the look: whatever was done since then counts."""
        if not _must_be_idle(change):
            return None
        last, sample = self._seen.samples.get(change.target), self._samples.get(change.target)
        workload = self._seen.workload(change.target)
        if last is None or sample is None or workload is None:
            return "it could not be sampled again right before the stop"
        limits = core.thresholds(self._seen.policy, cleanup_limits.account(workload))
        seconds = sample.at.boottime_s - last.at.boottime_s
        verdict, lines = judge(last, sample, limits, seconds)
        if verdict == "idle":
            return None
        return f"{verdict} right before the stop: {'; '.join(lines)}"

    # --- readings ---

    def _sampled(self, containers: Sequence[Container]) -> dict[str, Sample]:
        if not containers:
            return {}
        from ds01ctl.observe import cleanup_signals

        since = time.clock_gettime(time.CLOCK_BOOTTIME) - self._seen.clock.boottime_s
        time.sleep(max(0.0, LEAST_S - since))
        reading, activity = self._driver()
        value = self._seen.policy.value
        return cleanup_signals.read(
            containers,
            reading.uses,
            activity,
            self._paths,
            cleanup_signals.read_clock(self._paths),
            jupyter_ports=tuple(value("cleanup.jupyter_ports") or ()),
            deadline_s=float(value("docker.timeout_s")),
            addresses=self._seen.addresses,
        )

    def _driver(self) -> tuple[NvmlReading, GpuActivity]:
        from ds01ctl.observe import gpu_activity, nvml

        before = self._seen.memory.numbers("nvml_seen")
        newest = self._seen.activity.last_seen if self._seen.activity else {}
        last_seen = {gpu: int(at) for gpu, at in (before | dict(newest)).items()}
        timeout_s = float(self._seen.policy.value("nvml.timeout_s"))
        with nvml.start(last_seen) as child:
            reading = nvml.collect(child, deadline_s=timeout_s, paths=self._paths)
        return reading, gpu_activity.of(reading)


def _must_be_idle(change: Change) -> bool:
    return change.kind == "stop-container" and change.part in {"idle", "users"}
