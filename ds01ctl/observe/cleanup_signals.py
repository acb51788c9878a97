"""What running containers do: one look at all signals of each, from the host alone.

Nothing is run in a container, and what it can make long, slow or senseless costs only itself:
such a signal is failed, and nobody is idle on a failed signal.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.cleanup_model import SIGNALS, Clock, Reading, Sample
from ds01ctl.observe import cleanup_network, cleanup_sessions, jupyter, procfs
from ds01ctl.observe.cleanup_cgroups import GONE, Hierarchies, own_groups
from ds01ctl.observe.cleanup_gpus import Gpus
from ds01ctl.observe.own_place import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.cleanup_model import Signal
    from ds01ctl.core.model import Container, GpuUse
    from ds01ctl.observe.cleanup_cgroups import Groups
    from ds01ctl.observe.gpu_activity import GpuActivity
    from ds01ctl.paths import Paths


class _Ended(Exception):  # noqa: N818 -- no error
    """The container is no longer there, or not as it was listed."""


def read_clock(paths: Paths) -> Clock:
    """Read what time it is. Raises Ds01Error where there is no /proc."""
    return Clock(
        datetime.now(timezone.utc), boot_id(paths), time.clock_gettime(time.CLOCK_BOOTTIME)
    )


def read(
    containers: Sequence[Container],
    uses: Iterable[GpuUse],
    gpu: GpuActivity,
    paths: Paths,
    clock: Clock,
    *,
    jupyter_ports: Sequence[int],
    deadline_s: float,
    addresses: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Sample]:
    """Sample the running ones, by id; one that ended meanwhile has no sample.

    deadline_s: for all Jupyter servers together. addresses: by id, as the engine lists them.
    """
    running = [one for one in containers if one.state == "running" and one.pid and one.started_at]
    seen_at = {one.id: list((addresses or {}).get(one.id, ())) for one in running}
    asked = jupyter.read(seen_at, jupyter_ports, deadline_s=deadline_s, now=clock.now)
    sampler = _Sampler(Gpus(uses, gpu, str(paths.proc)), asked, paths, clock)
    samples = (sampler.sample(one) for one in running)
    return {sample.id: sample for sample in samples if sample is not None}


class _Sampler:
    """What all containers of one run have in common."""

    def __init__(
        self, gpus: Gpus, asked: Mapping[str, Reading], paths: Paths, clock: Clock
    ) -> None:
        self._gpus = gpus
        self._jupyter = asked
        self._clock = clock
        self._proc = str(paths.proc)
        self._hierarchies = Hierarchies(paths)
        self._host_network = cleanup_network.host_namespace(self._proc)

    def sample(self, container: Container) -> Sample | None:
        """Sample one container; None where it ended."""
        try:
            # the open folder stays with this very process, also when its pid is used again
            process = os.open(
                f"{self._proc}/{container.pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except OSError as error:
            return None if error.errno in GONE else _nothing(container, self._clock, _why(error))
        try:
            return self._of(container, process)
        except _Ended:
            return None
        except OSError as error:
            return _nothing(container, self._clock, _why(error))
        finally:
            os.close(process)

    def _of(self, container: Container, process: int) -> Sample:
        text = _cgroup(process)
        groups = own_groups(container.id, text)
        if not groups:
            strange = f"pid {container.pid} is not in its control group"
            return _nothing(container, self._clock, strange)
        gpu = self._gpus.of(container, set(groups.values()))
        readings = self._readings(container, groups, process, gpu.reading)
        # whatever failed because it ended meanwhile says nothing of a container that runs
        if own_groups(container.id, _cgroup(process)) != groups:
            moved = Reading("failed", detail="its first process was moved meanwhile")
            readings |= {"cpu": moved, "network": moved, "block-io": moved}
        return _sample(container, self._clock, readings, gpu.memory_bytes)

    def _readings(
        self, container: Container, groups: Groups, process: int, gpu: Reading
    ) -> dict[Signal, Reading]:
        return {
            "gpu": gpu,
            "cpu": self._hierarchies.cpu(groups),
            "network": cleanup_network.read(process, self._host_network),
            "block-io": self._hierarchies.block_io(groups),
            "sessions": cleanup_sessions.read(
                self._hierarchies,
                groups,
                container.pid or 0,
                proc=self._proc,
                clock=self._clock,
                health_command=container.config.health_command if container.config else (),
            ),
            "jupyter": self._jupyter.get(container.id, jupyter.ABSENT),
        }


def _cgroup(process: int) -> bytes:
    """Read /proc/PID/cgroup of an open folder. Raises OSError, _Ended."""
    try:
        return procfs.read("cgroup", folder=process)
    except OSError as error:
        if error.errno in GONE:
            raise _Ended from None
        raise


def _sample(
    container: Container,
    clock: Clock,
    readings: Mapping[Signal, Reading],
    memory_bytes: int | None = None,
) -> Sample:
    if container.started_at is None:
        raise _Ended
    return Sample(container.id, container.started_at, clock, readings, memory_bytes)


def _nothing(container: Container, clock: Clock, why: str) -> Sample:
    """Make the sample of a container of which nothing could be read."""
    return _sample(container, clock, dict.fromkeys(SIGNALS, Reading("failed", detail=why)))


def _why(error: OSError) -> str:
    return f"/proc: {(error.strerror or 'unreadable').lower()}"
