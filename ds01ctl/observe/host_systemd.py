"""Read PID 1, the control groups and the clock."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal

from ds01ctl.core.host_facts import ClockFacts, SystemdFacts, Unread
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import host_files
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.paths import Paths

TOOL_S = 2.0
"""How long a tool may take that has next to nothing to do."""
_ALL_UNITS_S = 5.0
"""Each unit costs systemd about a millisecond."""
_UNIT_KINDS = "service,timer,slice"
_V1_NAMES = {"blkio": "io"}


def tool(argv: Sequence[str], *, timeout_s: float = TOOL_S) -> str | Unread:
    """Run a tool that only tells; give its output, or why there is none."""
    try:
        done = run(list(argv), timeout_s=timeout_s)
    except Ds01Error as error:
        kind: Literal["absent", "failed"] = (
            "absent" if error.message.endswith(": not found") else "failed"
        )
        return Unread(kind, error.message)
    if done.status == 0:
        return done.stdout
    said = (done.stderr.strip() or done.stdout.strip()).partition("\n")[0]
    return Unread("failed", f"{argv[0]}: {said or f'ended with status {done.status}'}")


def read(paths: Paths) -> SystemdFacts:
    """Read what there is of systemd, with two calls of systemctl at most."""
    is_init = paths.under("/run/systemd/system").is_dir()
    hierarchy, controllers = control_groups(paths)
    return SystemdFacts(
        is_init=is_init,
        version=_version(),
        hierarchy=hierarchy,
        controllers=controllers,
        has_pressure=_has_pressure(paths),
        reload_pending=_pending() if is_init else Unread("absent", "systemd is not PID 1"),
    )


def _version() -> int | Unread:
    told = tool(["systemctl", "--version"])
    if isinstance(told, Unread):
        return told
    match = re.match(r"systemd (\d+)", told)
    return int(match[1]) if match else Unread("failed", "systemctl --version: not understood")


def _pending() -> tuple[str, ...] | Unread:
    """List units whose files are newer than what systemd has read."""
    argv = ["systemctl", "show", f"--type={_UNIT_KINDS}", "--property=Id,NeedDaemonReload", "*"]
    told = tool(argv, timeout_s=_ALL_UNITS_S)
    return told if isinstance(told, Unread) else parse_pending(told)


def parse_pending(told: str) -> tuple[str, ...]:
    """Pick out the units that need a reload; blocks of NAME=VALUE, an empty line between."""
    blocks = (
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in told.split("\n\n")
    )
    return tuple(
        sorted(
            {one["Id"] for one in blocks if one.get("NeedDaemonReload") == "yes" and "Id" in one}
        )
    )


def control_groups(
    paths: Paths,
) -> tuple[Literal["unified", "hybrid", "legacy"] | Unread, tuple[str, ...]]:
    """Tell the hierarchy, and the controllers that limits can use."""
    root = paths.under("/sys/fs/cgroup")
    unified = host_files.text(root / "cgroup.controllers")
    if not isinstance(unified, Unread):
        return "unified", tuple(sorted(unified.split()))
    if unified.kind != "absent":
        return unified, ()
    if (root / "unified/cgroup.controllers").exists():
        return "hybrid", _v1_controllers(paths)
    if (root / "memory").is_dir() or (root / "systemd").is_dir():
        return "legacy", _v1_controllers(paths)
    return Unread("failed", f"{root}: no control groups are mounted"), ()


def _v1_controllers(paths: Paths) -> tuple[str, ...]:
    """Read the enabled ones of /proc/cgroups, by their names of v2."""
    told = host_files.line(paths.proc / "cgroups") or ""
    lines = [line.split() for line in told.splitlines() if not line.startswith("#")]
    names = [fields[0] for fields in lines if len(fields) == 4 and fields[3] == "1"]
    return tuple(sorted(_V1_NAMES.get(name, name) for name in names))


def _has_pressure(paths: Paths) -> bool:
    """Tell whether PSI is on: with psi=0 the files may be there, and cannot be read."""
    return host_files.line(paths.proc / "pressure/cpu") is not None


def clock(paths: Paths) -> ClockFacts:
    """Ask whether the clock is synchronised, by whatever does it, and the time zone."""
    # unlike systemctl's, its --property takes one name only
    argv = ["timedatectl", "show", "--property=NTPSynchronized", "--property=Timezone"]
    told = tool(argv)
    flag = paths.under("/run/systemd/timesync/synchronized")
    if isinstance(told, Unread):
        # timesyncd's own word, where timedated does not answer
        return ClockFacts(True if flag.exists() else _no_clock(told, paths), _zone(paths))
    said = dict(line.partition("=")[::2] for line in told.splitlines())
    answer = {"yes": True, "no": False}.get(said.get("NTPSynchronized", ""))
    silent = Unread("failed", "timedatectl: does not say whether the clock is synchronised")
    return ClockFacts(silent if answer is None else answer, said.get("Timezone") or _zone(paths))


def _no_clock(told: Unread, paths: Paths) -> Unread:
    """Without systemd nobody is to be missed."""
    if paths.under("/run/systemd/system").is_dir():
        return told
    return Unread("absent", told.reason)


def _zone(paths: Paths) -> str | None:
    if named := host_files.line(paths.under("/etc/timezone")):
        return named
    try:
        target = os.readlink(paths.under("/etc/localtime"))  # noqa: PTH115 -- text is wanted
    except OSError:
        return None
    return target.partition("zoneinfo/")[2] or None
