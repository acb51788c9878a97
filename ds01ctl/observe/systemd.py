"""Ask systemd how units are: one ``systemctl show`` for all of them.

Source: systemctl(1), systemd.timer(5); seen with systemd 252. What it does not know is left empty,
``n/a``, ``[not set]``, ``infinity`` or 2^64-1: all of that is None here.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.model import Gap
from ds01ctl.core.unit_state import UnitState
from ds01ctl.errors import Ds01Error
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.model import GapKind
    from ds01ctl.paths import Paths

TIMEOUT_S = 15.0
PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,NeedDaemonReload,DropInPaths,InvocationID,Result,"
    "ExecMainCode,ExecMainStatus,ExecMainStartTimestamp,ExecMainStartTimestampMonotonic,"
    "ExecMainExitTimestamp,ExecMainExitTimestampMonotonic,CPUUsageNSec,MemoryPeak,"
    "ActiveEnterTimestampMonotonic,LastTriggerUSec,LastTriggerUSecMonotonic,"
    "NextElapseUSecRealtime,NextElapseUSecMonotonic,TimersCalendar,TimersMonotonic"
)
"""What is asked for; one that this systemd does not have is just not in the answer."""
FIRINGS_MAX = 1000
# a zone's name cannot be read back, and "pretty" lacks the microseconds
_PLAIN = {"TZ": "UTC", "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
_UNKNOWN = {"", "n/a", "[not set]", "infinity", str(2**64 - 1)}
_MOMENT = re.compile(r"(?:\w{3} )?(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? UTC")
_EPOCH = re.compile(r"@(\d{1,12})(?:\.(\d{1,6}))?")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(y|month|w|d|h|min|s|ms|us|μs|µs) ?")
_SECONDS = {
    "y": 31_557_600.0, "month": 2_629_800.0, "w": 604_800.0, "d": 86_400.0, "h": 3600.0,
    "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "μs": 1e-6, "µs": 1e-6,
}  # fmt: skip
_SCHEDULE = re.compile(r"\{ (\w+=.*?) ; next_elapse=.*\}")
_FIRED = re.compile(r"\s*(?:Next elapse|Iter\. #\d+): (.*)")


def read(names: Sequence[str], paths: Paths) -> tuple[dict[str, UnitState] | None, tuple[Gap, ...]]:
    """Ask for units by name; None and a gap where systemd could not be asked."""
    if not paths.under("/run/systemd/system").is_dir():
        return None, (Gap("systemd", "absent", "systemd is not PID 1 here"),)
    if not names:
        return {}, ()
    argv = ["systemctl", "show", "--no-pager", "--timestamp=us+utc"]
    argv += ["--property", PROPERTIES, "--", *names]
    try:
        done = run(argv, timeout_s=TIMEOUT_S, env=_PLAIN)
    except Ds01Error as error:
        kind: GapKind = "absent" if error.message.endswith(": not found") else "failed"
        return None, (Gap("systemd", kind, error.message),)
    found = parse(done.stdout)
    missing = [name for name in names if name not in found]
    if done.status or missing:
        return None, (_gap(done.stderr, missing),)
    return found, ()


def _gap(said: str, missing: Sequence[str]) -> Gap:
    lines = said.strip().splitlines() or [f"systemctl said nothing of {', '.join(missing)}"]
    words = lines[-1].lower()
    kind: GapKind = "denied" if "denied" in words or "not permitted" in words else "failed"
    return Gap("systemd", kind, lines[-1])


def parse(text: str) -> dict[str, UnitState]:
    """Read what ``systemctl show`` prints: a block of ``Name=value`` for each unit."""
    states = (_unit(said) for said in said_of(text) if said.get("Id"))
    return {state.name: state for state in states}


def said_of(text: str) -> list[dict[str, str]]:
    """Split what ``systemctl show`` prints into one map a unit."""
    return [_said(block) for block in re.split(r"\n\s*\n", text)]


def _said(block: str) -> dict[str, str]:
    """Collect a block's values; a name that comes more than once has one a line."""
    said: dict[str, str] = {}
    for line in block.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            said[name] = f"{said[name]}\n{value}" if name in said else value
    return said


def _unit(said: Mapping[str, str]) -> UnitState:
    get = said.get
    cpu_ns = integer(get("CPUUsageNSec"))
    ran = integer(get("ExecMainCode"))
    return UnitState(
        said["Id"],
        load=get("LoadState", ""),
        active=get("ActiveState", ""),
        sub=get("SubState", ""),
        needs_reload=get("NeedDaemonReload") == "yes",
        drop_ins=tuple(get("DropInPaths", "").split()),
        invocation=get("InvocationID") or None,
        result=get("Result") or None,
        exit_status=integer(get("ExecMainStatus")) if ran else None,
        began_at=moment(get("ExecMainStartTimestamp")),
        began_s=_since_boot(get("ExecMainStartTimestampMonotonic")),
        ended_at=moment(get("ExecMainExitTimestamp")),
        ended_s=_since_boot(get("ExecMainExitTimestampMonotonic")),
        cpu_s=None if cpu_ns is None else cpu_ns / 1e9,
        memory_peak_bytes=integer(get("MemoryPeak")),
        active_since_s=_since_boot(get("ActiveEnterTimestampMonotonic")),
        triggered_at=moment(get("LastTriggerUSec")),
        triggered_s=_since_boot(get("LastTriggerUSecMonotonic")),
        next_at=moment(get("NextElapseUSecRealtime")),
        next_s=_since_boot(get("NextElapseUSecMonotonic")),
        schedules=tuple(
            _SCHEDULE.findall(f"{get('TimersCalendar', '')}\n{get('TimersMonotonic', '')}")
        ),
    )


def integer(text: str | None) -> int | None:
    """Read a count; what systemd does not know is None."""
    if text is None or text in _UNKNOWN or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


def moment(text: str | None) -> datetime | None:
    """Read a time, ``Mon 2026-11-23 17:55:28.066462 UTC`` or ``@1795456528``."""
    if text is None or text in _UNKNOWN:
        return None
    try:
        if match := _EPOCH.fullmatch(text):
            at = datetime.fromtimestamp(int(match[1]), timezone.utc)
            return at.replace(microsecond=int((match[2] or "0").ljust(6, "0")))
        if match := _MOMENT.fullmatch(text):
            year, month, day, hour, minute, second = (int(match[n]) for n in range(1, 7))
            micros = int((match[7] or "0").ljust(6, "0"))
            return datetime(year, month, day, hour, minute, second, micros, timezone.utc)
    except (ValueError, OverflowError):
        pass
    return None


def span(text: str | None) -> float | None:
    """Read a time span, ``13min 8.589408s``, in seconds; None where it is not one."""
    if text is None or text in _UNKNOWN or _SPAN.sub("", text):
        return None
    return sum(float(count) * _SECONDS[unit] for count, unit in _SPAN.findall(text))


def _since_boot(text: str | None) -> float | None:
    """Read a time of the monotonic clock, in µs or as a span; 0 is never."""
    micros = integer(text)
    seconds = span(text) if micros is None else micros / 1e6
    return seconds or None


def firings(expressions: Sequence[str], since: datetime, until: datetime) -> int | None:
    """Count the times between two moments at which a calendar timer fires; None: nobody can say."""
    found: set[datetime] = set()
    for expression in expressions:
        argv = ["systemd-analyze", "calendar", f"--base-time=@{int(since.timestamp())}"]
        argv += [f"--iterations={FIRINGS_MAX}", "--", expression]
        try:
            done = run(argv, timeout_s=TIMEOUT_S, env=_PLAIN)
        except Ds01Error:
            return None
        if done.status:
            return None
        lines = (_FIRED.fullmatch(line) for line in done.stdout.splitlines())
        times = {moment(line[1].strip()) for line in lines if line}
        found |= {at for at in times if at and since + timedelta(seconds=1) <= at <= until}
    return len(found)
