"""`doctor` on worlds: each check where all is well, where it is not, and where it is unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ds01ctl.core import doctor
from ds01ctl.core.doctor_gpu import reload_risk
from ds01ctl.core.doctor_quota_ways import KERNEL, fstab_line
from ds01ctl.core.doctor_row import AREAS, STATES, Row
from ds01ctl.core.host_facts import (
    AccessFacts,
    ClockFacts,
    DaemonConfig,
    DiskFacts,
    DockerFacts,
    EngineFacts,
    Ext4Features,
    FileFact,
    GpuFacts,
    HostFacts,
    KernelQuotas,
    LogFacts,
    MetricsFacts,
    OwnFacts,
    PolicyFacts,
    RaplZone,
    StoreFacts,
    SystemdFacts,
    UnitFacts,
    Unread,
    Volume,
)
from ds01ctl.core.model import Gap, Gpu
from ds01ctl.core.policy import Origin, Policy, Setting, builtin_policy

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
DENIED = Unread("denied", "x: Permission denied")
FAILED = Unread("failed", "x: no answer in 2 s")
ABSENT = Unread("absent", "x: not there")
NO_NVML = Gap("nvml", "absent", "no driver")
CONFIG = "/etc/docker/daemon.json"
TEXTFILES = "/var/lib/prometheus/node-exporter"


def file(path: str, mode: int = 0o644, uid: int = 0, gid: int = 0, old_s: int = 5) -> FileFact:
    return FileFact(path, uid, gid, mode, NOON - timedelta(seconds=old_s))


def folder(path: str, mode: int = 0o755, uid: int = 0) -> FileFact:
    return FileFact(path, uid, 0, mode, NOON, is_folder=True)


def volume(mount: str = "/home", kind: str = "xfs", *options: str, **fields: Any) -> Volume:
    made = Volume(mount, "/dev/sda1", kind, ("rw", *options), (mount,), True, False, 60.0, 90.0)
    return made._replace(**fields)


def gpu(number: int = 0, **fields: Any) -> Gpu:
    made = Gpu(number, f"GPU-{number}", persistence_mode=True, compute_mode="Default")
    return made._replace(**fields)


OPTIONS = ("usrquota", "prjquota")
NONE = Ext4Features(frozenset(), 256)
ONLY_USER = Ext4Features(frozenset({"quota", "usrquota"}), 256)
BOTH = Ext4Features(frozenset({"quota", "project", *OPTIONS}), 256)
BUILT = {"CONFIG_QUOTA": "y", "CONFIG_QFMT_V2": "m", "CONFIG_XFS_QUOTA": "y"}
V2 = frozenset({"quota_v2", "quota_tree"})
NODES = tuple(
    file(f"/dev/{name}", 0o666) for name in ("nvidia0", "nvidiactl", "nvidia-uvm")
)  # fmt: skip
SETTINGS: dict[str, object] = {"cgroup-parent": "ds01.slice", "log-opts": {"max-size": "50m"}}
ENGINE = EngineFacts(
    version="27.3.1", api_version="1.47", cgroup_driver="systemd", cgroup_version="2",
    default_runtime="nvidia", runtimes=("nvidia", "runc"),
    security=("name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"), live_restore=True,
    log_driver="json-file", storage_driver="overlay2", backing="extfs",
    data_root="/var/lib/docker", running=3, cdi_folders=("/etc/cdi",), warnings=(),
)  # fmt: skip
WELL = HostFacts(
    systemd=SystemdFacts(True, 255, "unified", ("cpu", "cpuset", "io", "memory", "pids"), True, ()),
    docker=DockerFacts(
        "unix:///run/docker.sock", ENGINE, False, CONFIG, DaemonConfig(CONFIG, SETTINGS), ()
    ),
    gpu=GpuFacts(
        1, "570.1", None, (gpu(),), (), NODES, (), (1, 18, 0), "auto", ("/run/cdi/nvidia.yaml",)
    ),
    disk=DiskFacts(
        (volume("/home", "xfs", "usrquota", "prjquota"),),
        (RaplZone("package-0", "/sys/p0", 0o400, True), RaplZone("dram", "/sys/d", 0o400, True)),
        None,
    ),
    metrics=MetricsFacts(
        folder(TEXTFILES), TEXTFILES, True, (file(f"{TEXTFILES}/ds01_detect.prom"),), (TEXTFILES,)
    ),
    logs=LogFacts(
        True, ((file("/etc/logrotate.d/ds01"), False),),
        file("/var/log/ds01/events.jsonl", 0o664, gid=999), "/var/log/ds01/events.jsonl", "docker",
        "auto", True, "2G",
    ),
    units=UnitFacts(("ds01-detect.timer",), ("ds01-detect.timer", "ds01-start.service"), (), ()),
    clock=ClockFacts(True, "Europe/Berlin"),
    own=OwnFacts(
        0, None,
        (folder("/var/lib/ds01", 0o775), folder("/var/log/ds01", 0o775), folder("/run/ds01")),
        ("/var/lib/ds01", "/var/log/ds01", "/run/ds01"), file("/var/lib/ds01/ds01ctl.db", 0o640),
        (file("/run/ds01/detect.lock", 0o600),), "/opt/ds01ctl", (), (3, 10, 12),
    ),
    store=StoreFacts("/var/lib/ds01/ds01ctl.db", 1, 1),
    policy=PolicyFacts("/etc/ds01/p.yaml", (), (), False, (file("/etc/ds01/p.yaml"),)),
    access=AccessFacts(True, ("docker-default (enforce)",), 100, None),
)  # fmt: skip
AT_RISK = WELL._replace(gpu=WELL.gpu._replace(toolkit=(1, 17, 8)))
BARE = WELL._replace(gpu=GpuFacts(0, None, None, (), (NO_NVML,), (), (), ABSENT, None, ()))

Change = Callable[[HostFacts], HostFacts]


def put(part: str, **fields: Any) -> Change:
    """Change fields of one part of the world."""
    return lambda host: host._replace(**{part: getattr(host, part)._replace(**fields)})


def engine(**fields: Any) -> Change:
    return put("docker", engine=ENGINE._replace(**fields))


def config(**settings: object) -> Change:
    return put("docker", config=DaemonConfig(CONFIG, settings))


def disk(**fields: Any) -> Change:
    return put("disk", **fields)


def mounted(*volumes: Volume) -> Change:
    return put("disk", volumes=volumes)


COUNTED = mounted(
    volume("/home", "xfs", "uqnoenforce", "prjquota", fstab="/dev/x /home xfs uqnoenforce")
)


def kernel(
    options: Mapping[str, str] | Unread,
    *volumes: Volume,
    modules: frozenset[str] | Unread = frozenset(),
) -> Change:
    """A kernel and file systems; those of the healthy host where none are given."""
    found = KernelQuotas("6.8.0-45-generic", options, modules)
    return put("disk", volumes=volumes or WELL.disk.volumes, kernel=found)


def only(world: HostFacts, area: str, check: str) -> Row:
    [row] = [one for one in decide(world) if (one.area, one.check) == (area, check)]
    return row


def decide(world: HostFacts) -> tuple[Row, ...]:
    return doctor.decide(world, builtin_policy(), NOON)


TOLD = ("dockerd", "--cgroup-parent=ds01.slice")
UNHEARD = put("docker", engine=FAILED)(AT_RISK)

# area, check, what is other than in a healthy world, the state, what is said of it
WORLDS: list[tuple[str, str, Change, str, str]] = [
    # --- systemd ---
    ("systemd", "init", put("systemd", is_init=False), "problem", "not PID 1"),
    ("systemd", "version", put("systemd", version=249), "ok", "249"),
    ("systemd", "version", put("systemd", version=248), "problem", "248"),
    ("systemd", "version", put("systemd", version=FAILED), "unknown", "no answer"),
    ("systemd", "version", put("systemd", version=ABSENT), "unknown", "not there"),
    ("systemd", "version", put("systemd", version=ABSENT, is_init=False), "not-here", "systemctl"),
    ("systemd", "control groups", put("systemd", hierarchy="hybrid"), "warning", "hybrid"),
    ("systemd", "control groups", put("systemd", hierarchy="legacy"), "warning", "unified_cgroup"),
    ("systemd", "control groups", put("systemd", hierarchy=FAILED), "unknown", "no answer"),
    ("systemd", "controllers", put("systemd", controllers=("cpu", "pids")),
     "problem", "cpuset, io"),
    ("systemd", "pressure (PSI)", put("systemd", has_pressure=False), "warning", "psi=1"),
    ("systemd", "reload pending", put("systemd", reload_pending=("a.service",)),
     "warning", "no container"),
    ("systemd", "reload pending", put("systemd", reload_pending=("user-1000.slice",)), "ok", "no"),
    ("systemd", "reload pending", put("systemd", reload_pending=DENIED), "unknown", "needs root"),
    ("systemd", "reload pending", put("systemd", is_init=False, reload_pending=ABSENT),
     "not-here", "PID 1"),
    # --- docker ---
    ("docker", "engine", put("docker", engine=ABSENT), "not-here", "none at unix"),
    ("docker", "engine", put("docker", engine=ABSENT, is_expected=True),
     "problem", "systemctl start"),
    ("docker", "engine", put("docker", engine=DENIED), "unknown", "needs root"),
    ("docker", "engine", put("docker", engine=FAILED), "problem", "no answer in 2 s"),
    ("docker", "daemon.json", put("docker", config=ABSENT), "not-here", "default"),
    ("docker", "daemon.json", put("docker", config=DENIED), "unknown", "needs root"),
    ("docker", "daemon.json", put("docker", config=DaemonConfig(CONFIG, {}, f"{CONFIG}:3:5: bad")),
     "problem", f"{CONFIG}:3:5"),
    ("docker", "group docker", put("docker", group=("alice", "bob")),
     "warning", "2 in /etc/group: alice, bob"),
    ("docker", "group docker", put("docker", group=tuple("abcdefgh")), "warning", "f and 2 more"),
    ("docker", "group docker", put("docker", group=ABSENT), "not-here", "no such group"),
    ("docker", "group docker", put("docker", group=DENIED), "unknown", "needs root"),
    ("docker", "API over TCP", config(hosts=["fd://", "tcp://0.0.0.0:2375"]),
     "problem", "without TLS"),
    ("docker", "API over TCP", config(hosts=["tcp://0.0.0.0:2376"], tlsverify=True),
     "ok", "with TLS"),
    ("docker", "API over TCP", put("docker", command=("dockerd", "-H=tcp://127.0.0.1:1")),
     "problem", "root on this"),
    ("docker", "API over TCP", engine(warnings=("WARNING: API is accessible on http://x",)),
     "problem", "http://x"),
    ("docker", "API over TCP", put("docker", engine=FAILED), "unknown", "no answer"),
    ("docker", "version", engine(version="19.03.1"), "problem", "too old"),
    ("docker", "version", engine(version="dev"), "ok", "dev"),
    ("docker", "cgroup driver", engine(cgroup_driver="cgroupfs"),
     "problem", "native.cgroupdriver=systemd"),
    ("docker", "default cgroup-parent", config(), "warning", '"cgroup-parent": "ds01.slice"'),
    ("docker", "default cgroup-parent", config(**{"cgroup-parent": "x.slice"}),
     "warning", "x.slice"),
    ("docker", "default cgroup-parent", put("docker", config=DENIED), "unknown", "needs root"),
    ("docker", "default cgroup-parent", put("docker", config=ABSENT, command=TOLD),
     "ok", "ds01.slice"),
    ("docker", "default runtime", engine(default_runtime="runc"), "ok", "runc"),
    ("docker", "default runtime", engine(runtimes=("runc",), cdi_folders=()),
     "warning", "nvidia-ctk runtime"),
    ("docker", "userns-remap", engine(security=("name=userns", "name=seccomp,profile=x")),
     "ok", "on"),
    ("docker", "userns-remap", put("docker"), "not-here", "off"),
    ("docker", "AppArmor", engine(security=("name=seccomp,profile=x",)), "warning", "not used"),
    ("docker", "seccomp", engine(security=("name=apparmor",)), "problem", "off"),
    ("docker", "seccomp", engine(security=("name=seccomp,profile=unconfined",)),
     "problem", "unconfined"),
    ("docker", "live-restore", engine(live_restore=False), "warning", "systemctl reload docker"),
    ("docker", "container logs", config(), "warning", "max-size"),
    ("docker", "container logs", engine(log_driver="journald"), "ok", "journald"),
    ("docker", "container logs", put("docker", config=DENIED), "unknown", "needs root"),
    ("docker", "storage driver", engine(storage_driver="vfs"), "warning", "overlay2"),
    # --- gpu ---
    ("gpu", "driver", put("gpu", gpus=(), gaps=(NO_NVML,), on_bus=0),
     "not-here", "no NVIDIA"),
    ("gpu", "driver", put("gpu", gpus=(), gaps=(NO_NVML,), on_bus=2),
     "problem", "2 NVIDIA GPUs"),
    ("gpu", "driver", put("gpu", driver_error="LIB_RM_VERSION_MISMATCH"), "problem", "reboot"),
    ("gpu", "driver", put("gpu", driver_error="DRIVER_NOT_LOADED"), "problem", "modprobe nvidia"),
    ("gpu", "driver", put("gpu", gaps=(Gap("nvml", "denied", "nvml: no"),)),
     "unknown", "root"),
    ("gpu", "driver", put("gpu", gaps=(Gap("nvml", "failed", "nvmlInit: no answer in 10 s"),)),
     "unknown", "nvmlInit"),
    ("gpu", "health", put("gpu", gpus=(gpu(1, health="lost", error="GPU_IS_LOST"),)),
     "problem", "GPU 1: GPU_IS_LOST"),
    ("gpu", "persistence", put("gpu", gpus=(gpu(persistence_mode=False),)),
     "warning", "off on GPU 0"),
    ("gpu", "compute mode", put("gpu", gpus=(gpu(compute_mode="Prohibited"),)),
     "warning", "-c DEFAULT"),
    ("gpu", "compute mode", put("gpu", gpus=(gpu(compute_mode="Exclusive_Process"),)),
     "ok", "Exclusive"),
    ("gpu", "device nodes", put("gpu", nodes=NODES[:2]), "warning", "nvidia-modprobe"),
    ("gpu", "device nodes", put("gpu", nodes=(NODES[2], file("/dev/nvidia0", 0o660))),
     "warning", "0660"),
    ("gpu", "/dev/char links", put("gpu", unlinked=("/dev/nvidia0",)),
     "warning", "create-dev-char"),
    ("gpu", "container toolkit", put("gpu", toolkit=(1, 17, 8)), "ok", "1.17.8"),
    ("gpu", "container toolkit", put("gpu", toolkit=(1, 17, 7)), "problem", "CVE-2025-23266"),
    ("gpu", "container toolkit", put("gpu", toolkit=(1, 16, 1)), "problem", "CVE-2024-0132"),
    ("gpu", "container toolkit", put("gpu", toolkit=ABSENT), "warning", "not installed"),
    ("gpu", "container toolkit", put("gpu", toolkit=FAILED), "unknown", "no answer"),
    ("gpu", "toolkit mode", put("gpu", mode="legacy"), "ok", "legacy"),
    ("gpu", "toolkit mode", put("gpu", toolkit=(1, 17, 8), cdi_specs=()),
     "ok", "hook; no CDI spec"),
    ("gpu", "daemon-reload", put("gpu", toolkit=(1, 17, 8)), "warning", "running: 3 containers"),
    ("gpu", "daemon-reload", put("gpu", mode="legacy"), "warning", "CDI mode"),
    ("gpu", "daemon-reload", engine(default_runtime="runc"), "warning", "--gpus"),
    ("gpu", "daemon-reload", put("gpu", toolkit=FAILED), "unknown", "cannot tell"),
    ("gpu", "daemon-reload", engine(cgroup_driver="cgroupfs"), "ok", "no container"),
    # --- energy, access: /proc ---
    ("energy", "RAPL", disk(rapl=()), "not-here", "virtual machine"),
    ("energy", "RAPL", disk(rapl=(RaplZone("p", "/sys/p", 0o400, False),)),
     "unknown", "needs root"),
    ("energy", "RAPL", disk(rapl=(RaplZone("p", "/sys/p", 0o444, True),)),
     "warning", "CVE-2020-8694"),
    ("energy", "RAPL", disk(rapl=(RaplZone("p", "/sys/p", 0o400, True),)), "ok", "no dram"),
    ("access", "hidepid", disk(hidepid="2"), "ok", "root sees"),
    # --- disk ---
    ("disk", "file systems", disk(volumes=DENIED), "unknown", "needs root"),
    ("disk", "quotas on /home", mounted(volume()), "warning", "umount /home && mount /home"),
    ("disk", "quotas on /home", mounted(volume("/home", "ext4")),
     "warning", "tune2fs -O quota,project"),
    ("disk", "quotas on /home", mounted(volume("/home", "ext4", "prjquota")), "ok", "prjquota"),
    ("disk", "quotas on /", mounted(volume("/", "xfs")), "warning", "rootflags=uquota,prjquota"),
    ("disk", "quotas on /", mounted(volume("/", "ext4")), "warning", "rescue system"),
    ("disk", "quotas on /home", mounted(volume("/home", "nfs4", is_remote=True)),
     "not-here", "server"),
    ("disk", "quotas on /home", mounted(volume("/home", "btrfs")), "not-here", "qgroups"),
    # each kind has a row where it is not as it should be
    ("disk", "project quotas on /home", mounted(volume("/home", "xfs", "usrquota")),
     "warning", "in /etc/fstab: /dev/sda1 /home xfs defaults,prjquota 0 2; with nobody"),
    ("disk", "user quotas on /home", mounted(volume("/home", "ext4", "prjquota")),
     "warning", "umount /home && tune2fs -O quota -Q usrquota /dev/sda1; then in /etc/fstab"),
    ("disk", "user quotas on /home",
     COUNTED,
     "warning", "counted, not enforced"),
    ("disk", "user quotas on /home",
     COUNTED,
     "warning", "xfs_quota -x -c 'enable -u' /home (no unmount"),
    ("disk", "project quotas on /", mounted(volume("/", "xfs", "usrquota", "pqnoenforce")),
     "warning", "rootflags=uquota,prjquota"),
    ("disk", "project quotas on /home", mounted(volume("/home", "ext4", ext4=BOTH)),
     "warning", "quotaon -P /home (no unmount; a remount does not do it)"),
    # a remount shows the option, and the kernel holds nobody
    ("disk", "user quotas on /home",
     mounted(volume("/home", "ext4", *OPTIONS, quota={"user": "counted", "project": "held"})),
     "warning", "quotaon -u /home"),
    ("disk", "user quotas on /home",
     mounted(volume("/home", "ext4", ext4=BOTH, quota={"user": "held", "project": "held"})),
     "warning", "on, until it is unmounted"),
    ("disk", "ext4 features on /home", mounted(volume("/home", "ext4", *OPTIONS, ext4=BOTH)),
     "ok", "quota, project"),
    ("disk", "ext4 features on /home", mounted(volume("/home", "ext4", ext4=NONE)),
     "warning", "umount /home && tune2fs -O quota,project -Q usrquota,prjquota /dev/sda1 && mount"),
    ("disk", "ext4 features on /home", mounted(volume("/home", "ext4", ext4=ONLY_USER)),
     "warning", "tune2fs -O project -Q prjquota /dev/sda1"),
    ("disk", "ext4 features on /", mounted(volume("/", "ext4", ext4=ONLY_USER)),
     "warning", "from a rescue system: tune2fs"),
    ("disk", "ext4 features on /home",
     mounted(volume("/home", "ext4", ext4=NONE._replace(inode_bytes=128))),
     "warning", "mke2fs -t ext4 -I 256"),
    ("disk", "ext4 features on /home", mounted(volume("/home", "ext4", ext4=DENIED)),
     "unknown", "needs root"),
    ("disk", "old quota files on /home",
     mounted(volume("/home", "ext4", ext4=NONE, quota_files=("aquota.user",))),
     "warning", "quotaoff -ug /home; the ext4 features"),
    ("disk", "old quota files on /home",
     mounted(volume("/home", "ext4", *OPTIONS, ext4=BOTH, quota_files=("aquota.user",))),
     "warning", "after a crash"),
    # the kernel: what is on proves it
    ("disk", KERNEL, kernel({}), "ok", "there (6.8.0-45-generic)"),
    ("disk", KERNEL, kernel({}, volume()), "warning", "6.8.0-45-generic lacks CONFIG_XFS_QUOTA"),
    ("disk", KERNEL, kernel(BUILT, volume()), "ok", "there"),
    ("disk", KERNEL, kernel(BUILT, volume("/home", "ext4")), "warning",
     "apt-get install linux-modules-extra-6.8.0-45-generic"),
    ("disk", KERNEL, kernel(BUILT, volume("/home", "ext4"), modules=V2), "ok", "there"),
    ("disk", KERNEL, kernel({"CONFIG_QUOTA": "y"}, volume("/home", "ext4")), "warning",
     "lacks CONFIG_QFMT_V2"),
    ("disk", KERNEL, kernel(ABSENT, volume("/home", "ext4"), modules=V2), "ok", "there"),
    ("disk", KERNEL, kernel(ABSENT, volume("/home", "ext4"), modules=ABSENT), "unknown", "CONFIG"),
    ("disk", KERNEL, kernel(ABSENT, volume(), modules=V2), "unknown", "CONFIG_XFS_QUOTA"),
    ("disk", KERNEL, kernel({}, volume(), volume("/", "overlay")), "warning", "XFS_QUOTA"),
    ("disk", "quotas on /home", kernel({}, volume()), "warning",
     "first mend `quotas in the kernel`"),
    ("disk", "space on /home", mounted(volume(space_percent=9.0)), "warning", "9 % free"),
    ("disk", "space on /home", mounted(volume(space_percent=1.0)), "problem", "du -x --max"),
    ("disk", "space on /home", mounted(volume(inodes_percent=1.0)), "problem", "du -x --inodes"),
    ("disk", "space on /home", mounted(volume(inodes_percent=None)), "ok", "60 % free"),
    ("disk", "space on /home", mounted(volume(space_percent=None)), "unknown", "size"),
    ("disk", "space on /home", mounted(volume(is_remote=True, space_percent=None)),
     "not-here", "not asked"),
    # --- metrics ---
    ("metrics", "textfile folder", put("metrics", folder=ABSENT, exporters=()),
     "not-here", "no /var"),
    ("metrics", "textfile folder", put("metrics", folder=ABSENT), "warning", "install -d"),
    ("metrics", "textfile folder", put("metrics", folder=DENIED), "unknown", "needs root"),
    ("metrics", "textfile folder", put("metrics", folder=file("/x")), "problem", "no folder"),
    ("metrics", "textfile folder", put("metrics", folder=folder("/x", 0o777)),
     "problem", "chmod 0755"),
    ("metrics", "textfile folder", put("metrics", is_writable=False), "unknown", "needs root"),
    ("metrics", "node_exporter", put("metrics", exporters=()), "warning", "does not run"),
    ("metrics", "node_exporter", put("metrics", exporters=(None,)),
     "warning", "--collector.textfile.directory="),
    ("metrics", "node_exporter", put("metrics", exporters=("/other",)), "warning", "reads /other"),
    ("metrics", "metrics files", put("metrics", files=(file("/x/ds01_detect.prom", old_s=7200),)),
     "warning", "2.0 h old"),
    ("metrics", "metrics files", put("metrics", files=(file("/x/ds01_quota.prom", old_s=7200),)),
     "ok", "none stale"),
    ("metrics", "metrics files", put("metrics", files=(file("/x/ds01.prom", 0o600),)),
     "warning", "chmod 0644"),
    # --- logs ---
    ("logs", "logrotate", put("logs", has_logrotate=False), "warning", "apt-get install"),
    ("logs", "rotation", put("logs", rotations=()), "warning", "units install"),
    ("logs", "rotation", put("logs", rotations=((file("/l", 0o664), False),)),
     "problem", "root alone"),
    ("logs", "rotation", put("logs", rotations=((file("/l"), True),)), "warning", "copytruncate"),
    ("logs", "event log", put("logs", event_log=ABSENT), "not-here", "first recorded run"),
    ("logs", "event log", put("logs", event_log=DENIED), "unknown", "needs root"),
    ("logs", "event log", put("logs", event_log=file("/e", 0o644)), "warning", "in silence"),
    ("logs", "event log", put("logs", event_log=file("/e", 0o666)), "problem", "forge"),
    ("logs", "journal", put("logs", has_journal_folder=False), "warning", "/var/log/journal"),
    ("logs", "journal", put("logs", journal_storage="volatile"), "warning", "Storage=persistent"),
    ("logs", "journal", put("logs", journal_cap=None), "ok", "4 GiB"),
    # --- timers, clock ---
    ("timers", "units", put("units", ours=()), "warning", "none installed"),
    ("timers", "units", put("units", enabled=()),
     "warning", "detect.timer, ds01-start.service"),
    ("timers", "old cron files", put("units", cron=("/etc/cron.d/ds01-maintenance",)),
     "warning", "import-cron"),
    ("timers", "old cron files", put("units", cron=DENIED), "unknown", "needs root"),
    ("timers", "foreign units", put("units", foreign=("ds01-container-sync.service",)),
     "warning", "container-sync"),
    ("clock", "synchronised", put("clock", is_synchronised=False),
     "warning", "--no-reload systemd-timesyncd"),
    ("clock", "synchronised", put("clock", is_synchronised=FAILED), "unknown", "no answer"),
    ("clock", "time zone", put("clock", zone=None), "ok", "UTC"),
    # --- ds01 ---
    ("ds01", "place", put("own", place="runs in a container"), "warning", "on the host itself"),
    ("ds01", "folder /var/lib/ds01", put("own", folders=(ABSENT, DENIED, folder("/r"))),
     "not-here", "first recorded"),
    ("ds01", "folder /var/log/ds01", put("own", folders=(ABSENT, DENIED, folder("/r"))),
     "unknown", "needs root"),
    ("ds01", "folder /run/ds01", put("own", folders=(ABSENT, ABSENT, folder("/r", 0o777))),
     "problem", "chmod o-w"),
    ("ds01", "folder /run/ds01", put("own", folders=(ABSENT, ABSENT, folder("/r", uid=5))),
     "problem", "chown root"),
    ("ds01", "folder /run/ds01", put("own", folders=(ABSENT, ABSENT, file("/r"))),
     "problem", "no folder"),
    ("ds01", "state store", put("own", database=file("/d", 0o644)), "problem", "chmod 0640"),
    ("ds01", "state store", put("store", schema=0), "ok", "makes it 1"),
    ("ds01", "state store", put("store", schema=ABSENT), "not-here", "first recorded run"),
    ("ds01", "state store", put("store", schema=DENIED), "unknown", "needs root"),
    ("ds01", "state store", put("store", schema=Unread("failed", "is corrupt")),
     "problem", ".broken"),
    ("ds01", "lock files", put("own", locks=(file("/run/ds01/x.lock", 0o644),)),
     "warning", "rm /run"),
    ("ds01", "program", put("own", program="/home/bob/ds01ctl"), "problem", "users write"),
    ("ds01", "program", put("own", weak=(file("/opt/x", uid=1000),)),
     "problem", "chown root:root /opt/x"),
    ("ds01", "Python", put("own", python=(3, 9, 1)), "problem", "3.10 is needed"),
    # --- policy, access ---
    ("policy", "content", put("policy", path=None, files=()), "warning", "config init"),
    ("policy", "content", put("policy", problems=("p.yaml:3: a: wrong", "b")),
     "problem", "and 1 more"),
    ("policy", "content", put("policy", problems=("p.yaml: no",), is_denied=True),
     "unknown", "needs root"),
    ("policy", "content", put("policy", warnings=("p.yaml:4: odd",)), "warning", "p.yaml:4"),
    ("policy", "who may change it", put("policy", files=(file("/p", 0o666),)),
     "problem", "chmod o-w /p"),
    ("policy", "who may change it", put("policy", files=(file("/p", uid=1000),)),
     "problem", "chown root /p"),
    ("access", "AppArmor", put("access", apparmor=False), "warning", "apparmor=1"),
    ("access", "AppArmor", put("access", apparmor=None), "not-here", "kernel"),
    ("access", "docker-default", put("access", profiles=()), "warning", "not loaded"),
    ("access", "docker-default", put("access", profiles=("docker-default (complain)",)),
     "warning", "complain"),
    ("access", "docker-default", put("access", profiles=DENIED), "unknown", "needs root"),
    ("access", "user namespaces", put("access", userns_max=0), "ok", "none allowed"),
    ("access", "user namespaces", put("access", userns_unprivileged=False), "ok", "root's only"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("area", "check", "change", "state", "said"),
    WORLDS,
    ids=[f"{area}: {check}: {said}" for area, check, _, _, said in WORLDS],
)
def test_check(area: str, check: str, change: Change, state: str, said: str) -> None:
    """Each check says what is there; what is not ok has a cost and a fix."""
    row = only(change(WELL), area, check)
    assert row.state == state
    assert said in f"{row.found} {row.why} {row.fix}"


def test_a_healthy_host_is_all_ok() -> None:
    """Nothing is wrong in the world that the others are changes of, and every check is in it."""
    rows = decide(WELL)
    assert {row.state for row in rows} == {"ok", "not-here"}
    assert {row.check for row in rows if row.state == "not-here"} == {"userns-remap"}
    assert {row.area for row in rows} == set(AREAS)
    assert doctor.gaps(rows) == ()
    named = {(area, check) for area, check, *_ in WORLDS}
    # those without another state than ok
    assert {(row.area, row.check) for row in rows} <= named | {("disk", "quotas on /home")}


@pytest.mark.parametrize("change", [change for _, _, change, _, _ in WORLDS])
def test_every_row_that_is_not_ok_can_be_mended(change: Change) -> None:
    """A cost and a fix with whatever must be mended; never with what is fine; in order."""
    rows = decide(change(WELL))
    for row in rows:
        must = row.state in {"problem", "warning", "unknown"}
        assert bool(row.fix) is bool(row.why) is must, row
        assert (row.gap is not None) or row.state != "unknown"
        assert "\n" not in f"{row.found}{row.why}{row.fix}"
    ranks = [(AREAS.index(row.area), STATES.index(row.state)) for row in rows]
    assert ranks == sorted(ranks)
    assert len({(row.area, row.check) for row in rows}) == len(rows)


def test_unknown_is_a_gap_and_an_absence_too() -> None:
    """What should have been read and was not makes the run partial."""
    world = put("systemd", version=ABSENT)(put("clock", is_synchronised=DENIED)(WELL))
    kinds = {(gap.source, gap.kind) for gap in doctor.gaps(decide(world))}
    assert kinds == {("systemd", "failed"), ("clock", "denied")}


def test_only_some_areas() -> None:
    rows = doctor.decide(WELL, builtin_policy(), NOON, ("gpu", "clock"))
    assert [row.area for row in rows] == sorted((row.area for row in rows), key=AREAS.index)
    assert {row.area for row in rows} == {"gpu", "clock"}
    assert sum(doctor.counts(rows).values()) == len(rows)


# --- what a reload costs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "risk"),
    [
        (WELL, "none"),
        (BARE, "no-gpus"),
        (AT_RISK, "lost"),
        (engine(cgroup_driver="cgroupfs")(AT_RISK), "none"),
        (put("systemd", is_init=False)(AT_RISK), "none"),
        (put("gpu", mode="legacy")(WELL), "lost"),
        (put("gpu", mode="cdi")(WELL), "none"),
        # CDI mode of an older toolkit: not known to be safe
        (put("gpu", mode="cdi")(AT_RISK), "lost"),
        (put("gpu", toolkit=ABSENT)(WELL), "none"),
        (put("gpu", toolkit=FAILED)(WELL), "unknown"),
        (put("docker", engine=FAILED)(WELL), "unknown"),
        (UNHEARD, "unknown"),
        (config(**{"exec-opts": ["native.cgroupdriver=systemd"]})(UNHEARD), "lost"),
        (engine(default_runtime="runc")(WELL), "mixed"),
    ],
)  # fmt: skip
def test_reload_risk(world: HostFacts, risk: str) -> None:
    """Who loses what: the table of the measured facts."""
    assert reload_risk(world) == risk


@pytest.mark.parametrize("change", [change for _, _, change, _, _ in WORLDS])
def test_no_fix_takes_gpus_away(change: Change) -> None:
    """Where a reload costs GPUs, each fix that would make systemd reload says when not to."""
    world = change(AT_RISK)
    if reload_risk(world) in {"none", "no-gpus"}:
        return
    for row in decide(world):
        fix = row.fix or ""
        if "apt-get install" in fix or "daemon-reload" in fix:
            assert "when no GPU container runs" in fix, row
        # timedated reloads by itself; so does `enable` without the option
        assert "set-ntp" not in fix
        assert "systemctl enable" not in fix or "enable --no-reload" in fix


def test_a_pending_reload_says_its_cost() -> None:
    """Our own timers come into force without a reload; nobody else's unit is told to stop."""
    ours = put("systemd", reload_pending=("ds01-detect.timer",))(AT_RISK)
    assert only(ours, "systemd", "reload pending").fix == (
        "systemctl stop ds01.target && systemctl start ds01.target"
    )
    other = only(
        put("systemd", reload_pending=("docker.service",))(AT_RISK), "systemd", "reload pending"
    )
    assert "stop" not in (other.fix or "")
    assert "costs running containers their GPUs" in (other.why or "")


def test_a_restart_of_docker_is_not_told_lightly() -> None:
    """Without live-restore it ends every container; a new cgroup driver does so in any case."""
    world = config()(engine(live_restore=False)(WELL))
    assert "when no container runs" in (only(world, "docker", "container logs").fix or "")
    changed = engine(cgroup_driver="cgroupfs")(WELL)
    assert "when no container runs" in (only(changed, "docker", "cgroup driver").fix or "")


def test_a_fix_can_be_pasted_whatever_a_file_is_called() -> None:
    """Where others can make files, a name is no part of a command line."""
    world = put("own", locks=(file("/run/ds01/$(id).lock", 0o666),))(WELL)
    assert only(world, "ds01", "lock files").fix == "rm '/run/ds01/$(id).lock'"


def test_a_job_that_the_policy_switches_off() -> None:
    """Its timer is there, and is not missed."""
    setting = Setting("jobs.detect.enabled", False, Origin("p.yaml", 3, "jobs.detect"))
    policy = Policy(host={setting.key: setting})
    world = put("units", enabled=("ds01-start.service",))(WELL)
    assert only(world, "timers", "units").state == "warning"
    [row] = [one for one in doctor.decide(world, policy, NOON) if one.check == "units"]
    assert (row.state, row.found) == ("ok", "1 timer, 1 of them off by the policy")


def test_a_job_that_is_off_by_default() -> None:
    """Until the policy turns it on; a cron line's timer has no word of the policy's."""
    name = "ds01-quota-volumes.timer"
    world = put("units", ours=(name,), enabled=("ds01-start.service",))(WELL)
    row = only(world, "timers", "units")
    assert (row.state, row.found) == ("ok", "1 timer, 1 of them off by the policy")
    setting = Setting("jobs.quota-volumes.enabled", True, Origin("p.yaml", 3, "jobs"))
    policy = Policy(host={setting.key: setting})
    [row] = [one for one in doctor.decide(world, policy, NOON) if one.check == "units"]
    assert (row.state, row.found) == ("warning", f"not enabled: {name}")
    cron = put("units", ours=("ds01-cron-x.timer",), enabled=("ds01-start.service",))(WELL)
    assert only(cron, "timers", "units").found == "not enabled: ds01-cron-x.timer"


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (volume(fstab="UUID=1 /home xfs defaults,noatime 0 2"),
         "UUID=1 /home xfs defaults,noatime,uquota,prjquota 0 2"),
        (volume("/home", "ext4", fstab="UUID=1 /home ext4 defaults"),
         "UUID=1 /home ext4 defaults,usrquota,prjquota 0 2"),
        (volume(), "/dev/sda1 /home xfs defaults,uquota,prjquota 0 2"),
        (volume(fstab="LABEL=h /home xfs noquota,uqnoenforce,pquota 0 0"),
         "LABEL=h /home xfs pquota,uquota 0 0"),
        (volume(fstab="LABEL=h /home xfs usrquota,prjquota"),
         "LABEL=h /home xfs usrquota,prjquota 0 2"),
        (volume("/my home"), r"/dev/sda1 /my\040home xfs defaults,uquota,prjquota 0 2"),
    ],
)  # fmt: skip
def test_fstab_line(made: Volume, line: str) -> None:
    """The line is the admin's own, and the options that were missing."""
    assert fstab_line(made) == line
