"""How much each container used its GPUs: the activity of processes, matched by control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cgroup_path import classify, is_within
from ds01ctl.core.cleanup_model import Reading
from ds01ctl.core.gpu_access import gpu_access
from ds01ctl.observe import procfs
from ds01ctl.observe.cleanup_cgroups import GONE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ds01ctl.core.model import Container, GpuUse
    from ds01ctl.observe.gpu_activity import GpuActivity


class GpuReading(NamedTuple):
    """The signal of one container, and the memory that its processes hold."""

    reading: Reading
    memory_bytes: int | None
    """None: not known."""


class Gpus:
    """The uses of GPUs by the processes of containers."""

    def __init__(self, uses: Iterable[GpuUse], activity: GpuActivity, proc: str) -> None:
        self._activity = activity
        self._uses: dict[str, list[tuple[str, GpuUse]]] = {}
        """By container id: the control group of the process, and the use."""
        self._unplaced = ""
        """Of a process that is there, and may be anybody's."""
        known: dict[int, str | None] = {}
        for use in uses:
            if use.pid not in known:
                known[use.pid] = self._cgroup(use.pid, proc)
            self._place(use, known[use.pid])

    def of(self, container: Container, own: Collection[str]) -> GpuReading:
        """Give the highest use of a GPU by a process of a container; own: its control groups."""
        if why := self._activity.problem:
            is_absent = self._activity.is_absent
            return GpuReading(Reading("absent" if is_absent else "failed", detail=why), None)
        # a user can name a group like another's container, but not put it in its place
        uses = [use for where, use in self._uses.get(container.id, ()) if _is_in(where, own)]
        if problem := self._problem(container, uses):
            return GpuReading(Reading("failed", detail=problem), _memory(uses))
        return GpuReading(self._most(uses), _memory(uses))

    def _cgroup(self, pid: int, proc: str) -> str | None:
        """Read where a process is; None: it ended, or that is not known."""
        try:
            return procfs.cgroup_path(procfs.read(f"{proc}/{pid}/cgroup"))
        except OSError as error:
            if error.errno not in GONE:
                why = (error.strerror or "unreadable").lower()
                self._unplaced = f"a process on a GPU may be anybody's (pid {pid}: {why})"
            return None

    def _place(self, use: GpuUse, cgroup: str | None) -> None:
        place = classify(cgroup) if cgroup else None
        if cgroup and place and place.home == "container" and place.id:
            self._uses.setdefault(place.id, []).append((cgroup, use))

    def _problem(self, container: Container, uses: Sequence[GpuUse]) -> str:
        """Say why the use of a container is not known; nothing if it is."""
        for use in uses:
            if self._percent(use) is None:
                why = self._activity.failed.get(use.gpu_uuid) or _of_one(use)
                return f"pid {use.pid} on {use.gpu_uuid}: {why}"
        if self._unplaced:
            return self._unplaced
        blind = self._activity.blind
        if blind and (blind & self._reach(container)):
            return f"whoever uses {', '.join(sorted(blind))} is not known"
        return ""

    def _reach(self, container: Container) -> frozenset[str]:
        """Find the GPUs that a container may use; where that is not known, all of them."""
        gpus = self._activity.gpus
        every = frozenset(gpu.uuid for gpu in gpus)
        access = gpu_access(container.config, gpus) if container.config else None
        if access is None or access.gpu_uuids is None:
            return every
        whole = {device.uuid: gpu.uuid for gpu in gpus for device in gpu.mig_devices}
        return frozenset(whole.get(uuid, uuid) for uuid in access.gpu_uuids)

    def _percent(self, use: GpuUse) -> float | None:
        return self._activity.by_pid.get((use.pid, use.gpu_uuid))

    def _most(self, uses: Sequence[GpuUse]) -> Reading:
        if not uses:
            return Reading("known", 0.0, "no process on a GPU")
        percents: Mapping[GpuUse, float] = {use: self._percent(use) or 0.0 for use in uses}
        most = max(uses, key=lambda use: percents[use])
        return Reading("known", percents[most], f"pid {most.pid} on {most.gpu_uuid}")


def _is_in(where: str, own: Collection[str]) -> bool:
    return any(is_within(where, one) for one in own)


def _of_one(use: GpuUse) -> str:
    if use.type == "M":
        return "what it does through MPS is not told"
    return "the driver does not tell it for MIG instances" if use.mig_uuid else "not known"


def _memory(uses: Iterable[GpuUse]) -> int | None:
    total = 0
    for use in uses:
        if use.memory_bytes is None:
            return None
        total += use.memory_bytes
    return total
