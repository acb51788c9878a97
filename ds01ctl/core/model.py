"""What was seen on the host: frozen values, as the sources gave them.

`None` is "unknown" everywhere, never "zero" and never "none".
Memory is in bytes, times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from ds01ctl.core.record import NamedTuple

LIVE = frozenset({"running", "paused", "restarting"})
"""States of a container that has processes, or will have without a user's doing."""
GapKind = Literal["absent", "failed", "denied"]
Health = Literal["ok", "lost", "reset-required", "error", "unknown"]
"""unknown: announced, but not read to the end; a gap says why, and nothing is wrong with it."""


class Gap(NamedTuple):
    """A reading that is missing: nothing may be concluded from it."""

    source: str
    """nvml, docker, processes, users, policy, state, events, metrics."""
    kind: GapKind
    """absent: not there at all; failed: there, but no answer; denied: not permitted."""
    reason: str


# --- NVML -------------------------------------------------------------------------------------


SLICES_OF_A_GPU = 7
"""Compute slices, for MIG, of a GPU that does not tell how many it has; an A30 has 4."""


class MigDevice(NamedTuple):
    """One MIG instance of a GPU."""

    uuid: str
    gpu_instance: int
    compute_instance: int
    profile: str | None
    """For example ``1g.5gb``."""
    compute_slices: int | None
    """Of those that its GPU has: seven, or four."""
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None


class Gpu(NamedTuple):
    """One physical GPU, as NVML sees it."""

    index: int  # type: ignore[assignment]  # tuple's method of the name is not wanted
    uuid: str
    """``GPU-…``; for a GPU that is lost before its UUID was read, ``index:N``."""
    name: str | None = None
    minor: int | None = None
    """N of /dev/nvidiaN."""
    pci_bus_id: str | None = None
    health: Health = "ok"
    error: str | None = None
    """NVML's own words when health is not ok."""
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Without what the driver reserves, if memory_is_net."""
    memory_is_net: bool = True
    """False: an older driver, whose used memory has in it what it reserves for itself."""
    utilization_percent: int | None = None
    mig_mode: bool | None = None
    mig_mode_pending: bool | None = None
    mig_devices: tuple[MigDevice, ...] = ()
    persistence_mode: bool | None = None
    compute_mode: str | None = None
    processes_known: bool = True
    """False: this GPU's process list could not be read."""
    mig_slices: int | None = None
    """Compute slices that it has for MIG instances; None: it is in no MIG mode, or not told."""


class GpuUse(NamedTuple):
    """One process on one GPU or MIG instance."""

    pid: int
    gpu_uuid: str
    type: str
    """C compute, G graphics, C+G both, M compute through MPS."""
    memory_bytes: int | None = None
    mig_uuid: str | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None


class Driver(NamedTuple):
    """The NVIDIA driver as NVML reports it."""

    version: str | None = None
    nvml_version: str | None = None
    error: str | None = None
    """The NVML error name that kept us out, for example ``LIB_RM_VERSION_MISMATCH``."""


# --- /proc ------------------------------------------------------------------------------------


class Process(NamedTuple):
    """A process that uses a GPU, or holds its device node. Identity: boot id, pid, start_ticks."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat, clock ticks since boot."""
    started_at: datetime
    state: str
    """R S D Z T X as in proc(5)."""
    ppid: int
    comm: str
    uid: int
    """Real uid, as the host sees it."""
    loginuid: int | None = None
    """The audit login uid; None where it was never set or cannot be read."""
    exe: str | None = None
    cmdline: str | None = None
    cgroup: str | None = None
    """The path in /proc/PID/cgroup; None where it cannot be read."""
    container_pid: int | None = None
    """The innermost NSpid, when it is not the pid itself."""
    uid_map: tuple[tuple[int, int, int], ...] = ()
    """(inside, outside, length) of a user namespace of its own; empty on the host's."""


# --- containers -------------------------------------------------------------------------------


class Mount(NamedTuple):
    """A bind mount or volume."""

    type: str
    source: str
    destination: str


class DeviceRequest(NamedTuple):
    """One entry of HostConfig.DeviceRequests (``--gpus``, CDI)."""

    driver: str
    count: int  # type: ignore[assignment]  # tuple's method of the name is not wanted
    device_ids: tuple[str, ...]
    capabilities: tuple[str, ...]
    """Flattened."""


class ContainerConfig(NamedTuple):
    """What never changes for a container id: how it was asked for."""

    runtime: str
    privileged: bool
    device_requests: tuple[DeviceRequest, ...] = ()
    devices: tuple[str, ...] = ()
    """Host paths of HostConfig.Devices."""
    device_cgroup_rules: tuple[str, ...] = ()
    visible_devices: str | None = None
    """NVIDIA_VISIBLE_DEVICES of its environment; None where it is not set."""
    visible_devices_from_image: bool | None = None
    """True: inherited from the image; None: not known."""
    cgroup_parent: str = ""
    user: str = ""
    pid_mode: str = ""
    auto_remove: bool = False
    """``--rm``: whoever stops it removes it, and its anonymous volumes."""
    health_command: tuple[str, ...] = ()
    """What the engine runs in it for its HEALTHCHECK, with the shell; empty: it has none."""


class Container(NamedTuple):
    """One container of one engine. Identity: engine, id, started_at."""

    engine: str
    """The engine's address, for example ``unix:///run/docker.sock``."""
    id: str
    """64 hexadecimal digits."""
    name: str
    image: str
    state: str
    """created, running, paused, restarting, removing, exited, dead, unknown."""
    created_at: datetime | None
    labels: Mapping[str, str]
    mounts: tuple[Mount, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pid: int | None = None
    """The host's pid of its first process."""
    cgroup: str | None = None
    """The real cgroup of that process; None: not running, or not readable."""
    config: ContainerConfig | None = None
    """None: could not be inspected."""

    @property
    def is_live(self) -> bool:
        """Running or about to: it has processes or will have them without a user's doing."""
        return self.state in LIVE


class Engine(NamedTuple):
    """A container engine that was asked."""

    host: str
    answered: bool
    version: str | None = None
    uid: int | None = None
    """Who owns its socket: 0 for the host's own, else the user whose engine it is."""

    @property
    def is_users_own(self) -> bool:
        """Tell whether a user runs it: what it says proves nothing about others."""
        return bool(self.uid)


# --- people -----------------------------------------------------------------------------------


class Grant(NamedTuple):
    """Leave to use the host directly, from a file in bare_metal_access.state_dir."""

    user: str
    expires_at: datetime | None
    """None: for ever."""
    file: str


# --- all of it --------------------------------------------------------------------------------


class Snapshot(NamedTuple):
    """Everything one run saw, and what it could not see."""

    taken_at: datetime
    host: str
    boot_id: str
    euid: int
    driver: Driver = Driver()
    gpus: tuple[Gpu, ...] = ()
    uses: tuple[GpuUse, ...] = ()
    processes: Mapping[int, Process] = {}
    """By pid: every process named in uses that could be read."""
    unreadable: Mapping[int, str] = {}
    """By pid: why a GPU process that is there could not be read."""
    dead: tuple[GpuUse, ...] = ()
    """Uses by pids that do not exist although NVML, asked again, still lists them."""
    device_holders: Mapping[str, tuple[int, ...]] = {}
    """By GPU uuid: pids with its device node open; looked up for ghost memory only, as root."""
    units_loaded_at: datetime | None = None
    """When systemd last loaded its units, at boot or by a daemon-reload; None: not known, or not
    root, or no control groups v2."""
    gpu_denied: Mapping[str, tuple[str, ...]] = {}
    """By container id: nodes of its GPUs, such as /dev/nvidia0, that a program in it may not open.

    Empty where it may open all. Asked for those that run since before units_loaded_at; no entry
    is unknown.
    """
    engines: tuple[Engine, ...] = ()
    containers: tuple[Container, ...] = ()
    users: Mapping[int, str] = {}
    """Login by uid; a uid without an entry is absent."""
    uids: Mapping[str, int] = {}
    """Uid by login, for the logins that labels and names claim."""
    path_owners: Mapping[str, int] = {}
    """Uid that owns the home above a path, for bind mounts and work folders."""
    grants: tuple[Grant, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def lacks(self, source: str) -> bool:
        """Tell whether anything of this source is missing, for whatever reason.

        A user's own engine is no part of "docker": by being silent it makes nothing unknown.
        """
        if source == "docker" and self.engines:
            return any(not e.answered for e in self.engines if not e.is_users_own)
        return any(gap.source == source for gap in self.gaps)
