"""Judge PID 1 and the control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.doctor_gpu import reload_risk
from ds01ctl.core.doctor_row import absent, fine, problem, unknown, warning
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import HostFacts, SystemdFacts

_AREA = "systemd"
OLDEST = 249
"""The systemd of Ubuntu 22.04, the oldest that the units are made for."""
_NEEDED = ("cpu", "cpuset", "io", "memory", "pids")
_SHOWN = 4
_KERNEL = "in /etc/default/grub append to GRUB_CMDLINE_LINUX: {}; then: update-grub && reboot"


def kernel_option(option: str) -> str:
    """Say how an option is given to the kernel."""
    return _KERNEL.format(option)


def rows(facts: HostFacts) -> Iterator[Row]:
    """Make the rows of systemd."""
    systemd = facts.systemd
    yield _init(systemd)
    yield _version(systemd)
    yield _hierarchy(systemd)
    yield _controllers(systemd)
    yield _pressure(systemd)
    yield _reload(facts)


def _init(systemd: SystemdFacts) -> Row:
    if systemd.is_init:
        return fine(_AREA, "init", "systemd is PID 1")
    return problem(
        _AREA, "init", "systemd is not PID 1", "no timer runs, and no slice holds a limit",
        "run ds01ctl on the host itself, not in a container; in WSL: /etc/wsl.conf, [boot],"
        " systemd=true",
    )  # fmt: skip


def _version(systemd: SystemdFacts) -> Row:
    version = systemd.version
    if isinstance(version, Unread):
        if version.kind == "absent" and not systemd.is_init:
            return absent(_AREA, "version", "no systemctl")
        return unknown(_AREA, "version", version)
    if version >= OLDEST:
        return fine(_AREA, "version", f"{version} (needed: {OLDEST})")
    return problem(
        _AREA, "version", f"{version}, but the units need {OLDEST}",
        "older ones ignore settings that the units rely on",
        "upgrade the distribution (Ubuntu 22.04, Debian 12 or newer): do-release-upgrade",
        reboot=True,
    )  # fmt: skip


def _hierarchy(systemd: SystemdFacts) -> Row:
    kind = systemd.hierarchy
    if isinstance(kind, Unread):
        return unknown(_AREA, "control groups", kind)
    if kind == "unified":
        return fine(_AREA, "control groups", "v2")
    found = "v1 and v2 mixed (hybrid)" if kind == "hybrid" else "v1"
    return warning(
        _AREA, "control groups", found,
        "memory.high, io.max and PSI of a user's slice need v2: those limits are not held",
        kernel_option("systemd.unified_cgroup_hierarchy=1"), reboot=True,
    )  # fmt: skip


def _controllers(systemd: SystemdFacts) -> Row:
    missing = [name for name in _NEEDED if name not in systemd.controllers]
    if isinstance(systemd.hierarchy, Unread):
        return unknown(_AREA, "controllers", systemd.hierarchy)
    if not missing:
        return fine(_AREA, "controllers", ", ".join(_NEEDED))
    options = " ".join(f"cgroup_enable={name}" for name in missing)
    return problem(
        _AREA, "controllers", f"missing: {', '.join(missing)}",
        "limits of that kind are accepted and never held", kernel_option(options), reboot=True,
    )  # fmt: skip


def _pressure(systemd: SystemdFacts) -> Row:
    if systemd.has_pressure:
        return fine(_AREA, "pressure (PSI)", "on")
    return warning(
        _AREA, "pressure (PSI)", "off",
        "nobody can see whether a limit hurts its user, and systemd-oomd cannot act",
        kernel_option("psi=1"), reboot=True,
    )  # fmt: skip


def _reload(facts: HostFacts) -> Row:
    check, pending = "reload pending", facts.systemd.reload_pending
    if isinstance(pending, Unread):
        if not facts.systemd.is_init:
            return absent(_AREA, check, "systemd is not PID 1")
        return unknown(_AREA, check, pending)
    # `enforce` sets people's slices live, and compares them itself: theirs is no reload to wait for
    pending = tuple(name for name in pending if not _is_persons_slice(name))
    if not pending:
        return fine(_AREA, check, "no")
    more = f" and {len(pending) - _SHOWN} more" if len(pending) > _SHOWN else ""
    found = ", ".join(pending[:_SHOWN]) + more + " changed on disk"
    risk = reload_risk(facts)
    if risk in {"none", "no-gpus"}:
        why = "the old files are in force; on this host a reload costs no container its GPU"
        return warning(_AREA, check, found, why, "systemctl daemon-reload")
    why = (
        "the old files are in force, and the daemon-reload that would change it"
        f" {'costs' if risk == 'lost' else 'may cost'} running containers their GPUs"
    )
    return warning(_AREA, check, found, why, _without_reload(pending))


def _is_persons_slice(name: str) -> bool:
    return name.endswith(".slice") and name.startswith(("user-", "ds01-"))


def _without_reload(pending: tuple[str, ...]) -> str:
    """Say how changed units come into force; only our own may be stopped without asking."""
    if all(name.startswith("ds01-") and name.endswith((".timer", ".service")) for name in pending):
        # what systemd has not in memory it reads anew; a run that is under way goes on
        return "systemctl stop ds01.target && systemctl start ds01.target"
    return "when no GPU container runs (docker ps): systemctl daemon-reload"
