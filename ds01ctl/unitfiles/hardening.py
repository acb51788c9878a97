"""What a job's service may do: everything is shut, then what the job needs is opened.

Each line that shuts something an admin may need says what for. Directives are those of systemd 249
(Ubuntu 22.04) and newer. Source: systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.unitfiles.directives import Line, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.jobs import Job

NEEDS = (
    "docker", "nvml", "processes", "metrics", "mail", "cgroups", "quotas", "terminals", "homes",
    "network",
)  # fmt: skip
"""What a job may have to reach; `docker` is a socket, which needs nothing opened.
`quotas`: to set disk limits. `terminals`: to write to people who are logged in.
`homes`: to write into users' folders; which ones, the job's `writes` say.
`network`: to ask a server far away.
`cgroups`: to write into control groups, be it only to look on from within one."""

WHY = {
    "SYS_ADMIN": "limits of disk quotas; everything else that it allows is shut below",
    "SYS_PTRACE": "/proc/PID/exe, cwd and environ of other users' processes",
    "SETUID": "to leave a note (.ds01-alerts) in a user's folder as that user: files alone",
    "SETGID": "the same, for the user's group",
    "FOWNER": "the project of files of other users",
    "DAC_READ_SEARCH": "files that only their owner may read: /proc/PID/fd, private home folders",
}
"""Why a job has a capability."""

_DENIED = Line("SystemCallFilter", "~@privileged @resources")
_QUOTAS = Line("SystemCallFilter", "quotactl quotactl_fd", "these two of @privileged")
_AS_USERS = Line(
    "SystemCallFilter", "setfsuid setfsgid", "to write a user's file as that user, not as root"
)
_ALWAYS = (
    Line("NoNewPrivileges", "yes"),
    Line("ProtectSystem", "strict", "read-only but for ReadWritePaths="),
    Line("ProtectHome", "read-only"),
    Line("PrivateTmp", "yes", "a program below /tmp would not be found"),
    Line("ProtectClock", "yes"),
    Line("ProtectHostname", "yes"),
    Line("ProtectKernelLogs", "yes"),
    Line("ProtectKernelModules", "yes"),
    Line("ProtectKernelTunables", "yes"),
    Line("ProtectControlGroups", "yes"),
    Line("RestrictNamespaces", "yes"),
    Line("RestrictRealtime", "yes"),
    Line("RestrictSUIDSGID", "yes"),
    Line("LockPersonality", "yes"),
    Line("MemoryDenyWriteExecute", "yes"),
    Line("RemoveIPC", "yes"),
    Line("KeyringMode", "private"),
    Line("UMask", "0027"),
    Line("SystemCallArchitectures", "native"),
    Line("SystemCallFilter", "@system-service"),
    _DENIED,
    Line("SystemCallErrorNumber", "EPERM"),
)
_HOMES = Line("ProtectHome", "no", "it leaves notes there; writable is only what is named below")
# ProtectSystem= has the same effect; said for those who audit
_PRIVATE_MOUNTS = Line("PrivateMounts", "yes")
_CGROUPS = Line("ProtectControlGroups", "no", "it goes into control groups, or sets their limits")


def hardening(job: Job, *extra_writes: str) -> list[Line]:
    """List the directives that bound one job's service; extra_writes: folders of the policy."""
    return [
        *_always(job),
        *_writes(job, extra_writes),
        *_capabilities(job),
        *_devices(job),
        *_groups(job),
        *_processes(job),
        *_network(job),
    ]


def _always(job: Job) -> Iterator[Line]:
    for line in _ALWAYS:
        if line.key == _CGROUPS.key and "cgroups" in job.needs:
            yield _CGROUPS
        elif line.key == _HOMES.key and "homes" in job.needs:
            yield _HOMES
            yield _PRIVATE_MOUNTS
        else:
            yield line
        if line == _DENIED and "quotas" in job.needs:
            yield _QUOTAS
        if line == _DENIED and "homes" in job.needs:
            yield _AS_USERS


def _writes(job: Job, extra: tuple[str, ...]) -> list[Line]:
    folders = dict.fromkeys((*job.writes, *extra))
    # a folder that is missing is told by the program, in words; systemd would just fail with 226
    return [Line("ReadWritePaths", quoted(f"-{folder}")) for folder in folders]


def _capabilities(job: Job) -> list[Line]:
    reasons = "\n".join(f"CAP_{name}: {WHY[name]}" for name in job.capabilities)
    if "docker" in job.needs:
        owned = "CAP_DAC_OVERRIDE would let it ask engines of users' own (docker.hosts)"
        reasons = f"{reasons}\n{owned}" if reasons else owned
    names = " ".join(f"CAP_{name}" for name in job.capabilities)
    return [Line("CapabilityBoundingSet", names, reasons)]


def _devices(job: Job) -> list[Line]:
    if "nvml" not in job.needs:
        return [Line("PrivateDevices", "yes")]
    return [
        Line("DevicePolicy", "closed", "no device but the GPUs: NVML reads them through these"),
        Line("DeviceAllow", "char-nvidia* rw"),
        Line("DeviceAllow", "/dev/nvidiactl rw"),
        Line("DeviceAllow", "/dev/nvidia-modeset rw"),
    ]


def _groups(job: Job) -> list[Line]:
    if "terminals" not in job.needs:
        return []
    why = "terminals are their user's, and this group may write to them, as write(1) does"
    return [Line("SupplementaryGroups", "tty", why)]


def _processes(job: Job) -> list[Line]:
    if "processes" in job.needs:
        return []
    return [Line("ProtectProc", "invisible")]


def _network(job: Job) -> list[Line]:
    for need, where in (("mail", "to the mail server"), ("network", "to the provider")):
        if need in job.needs:
            return [Line("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6", where)]
    closed = ("AF_UNIX", "yes", "any")
    why = ("", "", "")
    if "docker" in job.needs:
        why = (
            "add AF_INET AF_INET6 for an engine or a user directory (LDAP without SSSD) over TCP",
            "set to no for the same",
            "and clear this one",
        )
    keys = ("RestrictAddressFamilies", "PrivateNetwork", "IPAddressDeny")
    return [Line(*parts) for parts in zip(keys, closed, why, strict=True)]
