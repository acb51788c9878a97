"""What `doctor` reads of a host, as it was found: no verdicts here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ds01ctl.core.disk_quota import QuotaKind
    from ds01ctl.core.model import Gap, GapKind, Gpu


QuotaState = Literal["off", "counted", "held"]
"""counted: usage is known, and limits hold nobody."""


class Unread(NamedTuple):
    """A reading that is missing: nothing may be concluded from it."""

    kind: GapKind
    reason: str


class FileFact(NamedTuple):
    """A file or folder, without what is in it."""

    path: str
    uid: int
    gid: int
    mode: int
    """Permission bits only."""
    modified_at: datetime
    is_folder: bool = False

    @property
    def is_open(self) -> bool:
        """Tell whether everybody may write to it."""
        return bool(self.mode & 0o002) and not self.mode & 0o1000


class SystemdFacts(NamedTuple):
    """PID 1 and the control groups."""

    is_init: bool
    version: int | Unread
    hierarchy: Literal["unified", "hybrid", "legacy"] | Unread
    controllers: tuple[str, ...]
    has_pressure: bool
    reload_pending: tuple[str, ...] | Unread
    """Units whose files changed since systemd read them."""


class DaemonConfig(NamedTuple):
    """/etc/docker/daemon.json."""

    path: str
    settings: Mapping[str, object]
    problem: str | None = None
    """What is wrong with it, as file:line:column: what."""


class EngineFacts(NamedTuple):
    """What a Docker engine says of itself: /version and /info."""

    version: str
    api_version: str
    cgroup_driver: str
    cgroup_version: str
    default_runtime: str
    runtimes: tuple[str, ...]
    security: tuple[str, ...]
    """``name=apparmor``, ``name=seccomp,profile=default``, ``name=userns``, …"""
    live_restore: bool
    log_driver: str
    storage_driver: str
    backing: str
    """The file system below overlay2."""
    data_root: str
    running: int
    """How many containers run."""
    cdi_folders: tuple[str, ...]
    """Empty: CDI is off in this engine."""
    warnings: tuple[str, ...]


class DockerFacts(NamedTuple):
    """The engine, its configuration file, its group."""

    host: str
    engine: EngineFacts | Unread
    is_expected: bool
    """Somebody named this engine, or requires one: that it is not there is a failure."""
    config_path: str
    config: DaemonConfig | Unread
    group: tuple[str, ...] | Unread
    """Members of the group docker, in /etc/group."""
    command: tuple[str, ...] = ()
    """The command line of the dockerd that listens there."""


class GpuFacts(NamedTuple):
    """The NVIDIA driver and the container toolkit."""

    on_bus: int
    """NVIDIA's display and 3D controllers on the PCI bus."""
    driver: str | None
    driver_error: str | None
    """NVML's name of an error."""
    gpus: tuple[Gpu, ...]
    gaps: tuple[Gap, ...]
    nodes: tuple[FileFact, ...]
    """/dev/nvidia*."""
    unlinked: tuple[str, ...]
    """Those without a link in /dev/char."""
    toolkit: tuple[int, ...] | Unread
    mode: str | None
    """``mode`` of /etc/nvidia-container-runtime/config.toml; None: not set."""
    cdi_specs: tuple[str, ...]


class RaplZone(NamedTuple):
    """One energy counter."""

    name: str
    path: str
    mode: int
    is_read: bool


class Ext4Features(NamedTuple):
    """What the superblock of an ext4 says about quotas."""

    names: frozenset[str]
    """Of quota, project: features; usrquota, grpquota, prjquota: what is tracked."""
    inode_bytes: int


class KernelQuotas(NamedTuple):
    """What of quotas is in the kernel that runs."""

    release: str
    options: Mapping[str, str] | Unread
    """Of its configuration: y or m by CONFIG_…; one that is not set has no entry."""
    modules: frozenset[str] | Unread
    """Quota modules that are built in, or lie ready to be loaded."""


class Volume(NamedTuple):
    """A mounted file system, and which of the host's folders lie on it."""

    mount: str
    source: str
    type: str
    options: tuple[str, ...]
    holds: tuple[str, ...]
    """In the order: what quotas are for, then the rest."""
    wants_quota: bool
    is_remote: bool
    """A server, or a program, answers for it."""
    space_percent: float | None
    """Free, for whoever is not root; None: not asked, or not told."""
    inodes_percent: float | None
    fstab: str | None = None
    """Its line in /etc/fstab."""
    quota: Mapping[QuotaKind, QuotaState] | None = None
    """As the kernel tells; None: not asked, or not told."""
    ext4: Ext4Features | Unread | None = None
    """None: not an ext4, or not asked."""
    quota_files: tuple[str, ...] = ()
    """Files of old in its topmost folder that quotas were kept in."""


class DiskFacts(NamedTuple):
    """The file systems that matter, and the energy counters."""

    volumes: tuple[Volume, ...] | Unread
    rapl: tuple[RaplZone, ...]
    hidepid: str | None
    """As /proc is mounted; None: everybody sees every process."""
    kernel: KernelQuotas | None = None
    """None: nothing here wants quotas."""


class MetricsFacts(NamedTuple):
    """The way of our metrics to Prometheus."""

    folder: FileFact | Unread
    path: str
    is_writable: bool
    files: tuple[FileFact, ...]
    """ds01*.prom."""
    exporters: tuple[str | None, ...]
    """For each node_exporter that runs: its textfile folder, if it has one."""


class LogFacts(NamedTuple):
    """The event log, logrotate and the journal."""

    has_logrotate: bool
    rotations: tuple[tuple[FileFact, bool], ...]
    """Files of logrotate that name our logs; with copytruncate or not."""
    event_log: FileFact | Unread
    event_path: str
    event_group: str
    journal_storage: str
    """auto, persistent, volatile, none."""
    has_journal_folder: bool
    journal_cap: str | None


class UnitFacts(NamedTuple):
    """Units and cron files of the platform."""

    ours: tuple[str, ...]
    """Timers that carry our mark."""
    enabled: tuple[str, ...]
    """What is wanted by a target, of ours and of others called ds01*."""
    foreign: tuple[str, ...]
    """Units called ds01-* that do not carry it."""
    cron: tuple[str, ...] | Unread
    """Cron files called ds01* with a line in force."""


class ClockFacts(NamedTuple):
    """The clock."""

    is_synchronised: bool | Unread
    zone: str | None


class OwnFacts(NamedTuple):
    """Our own folders, store and program."""

    euid: int
    place: str | None
    """What is wrong with where we run; None where that is the host itself."""
    folders: tuple[FileFact | Unread, ...]
    folder_paths: tuple[str, ...]
    database: FileFact | Unread
    locks: tuple[FileFact, ...]
    program: str
    weak: tuple[FileFact, ...]
    """What of the way to the program somebody else than root could replace."""
    python: tuple[int, ...]


class StoreFacts(NamedTuple):
    """The state store."""

    path: str
    schema: int | Unread
    newest: int


class PolicyFacts(NamedTuple):
    """The policy file, and who could change it."""

    path: str | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    is_denied: bool
    files: tuple[FileFact, ...]
    """The file, those beside it that were read, and the folder."""


class AccessFacts(NamedTuple):
    """AppArmor and user namespaces."""

    apparmor: bool | None
    """None: not in this kernel."""
    profiles: tuple[str, ...] | Unread
    userns_max: int | None
    userns_unprivileged: bool | None


class HostFacts(NamedTuple):
    """All of it."""

    systemd: SystemdFacts
    docker: DockerFacts
    gpu: GpuFacts
    disk: DiskFacts
    metrics: MetricsFacts
    logs: LogFacts
    units: UnitFacts
    clock: ClockFacts
    own: OwnFacts
    store: StoreFacts
    policy: PolicyFacts
    access: AccessFacts
