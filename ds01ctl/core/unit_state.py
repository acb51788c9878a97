"""What systemd says of a unit, and what a job notes of its own run. Unknown is None, never 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class UnitState(NamedTuple):
    """A service or a timer, as ``systemctl show`` has it."""

    name: str
    load: str = "not-found"
    """``loaded``, ``not-found``, ``masked``, ``bad-setting``, ``error``."""
    active: str = "inactive"
    sub: str = ""
    needs_reload: bool = False
    """Its file was changed since systemd read it."""
    drop_ins: tuple[str, ...] = ()
    invocation: str | None = None
    result: str | None = None
    """Of the last run: ``success``, ``exit-code``, ``signal``, ``timeout``, ``oom-kill``…"""
    exit_status: int | None = None
    """The exit code, or the number of the signal; None: it never ran since the boot."""
    began_at: datetime | None = None
    began_s: float | None = None
    """On the monotonic clock, which neither a step of the time nor a suspend moves."""
    ended_at: datetime | None = None
    ended_s: float | None = None
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None
    active_since_s: float | None = None
    triggered_at: datetime | None = None
    """A timer's last firing."""
    triggered_s: float | None = None
    next_at: datetime | None = None
    """A timer's next firing, its random delay included; None where it goes by `next_s`."""
    next_s: float | None = None
    schedules: tuple[str, ...] = ()
    """``OnCalendar=*-*-* 05:10:00``, ``OnUnitActiveUSec=30s``."""

    @property
    def is_busy(self) -> bool:
        """Tell whether a run is under way."""
        return self.active in {"activating", "active", "reloading", "deactivating"}


class Run(NamedTuple):
    """What a recording run noted of itself at its end."""

    began_at: datetime
    ended_at: datetime
    status: int
    """The exit code that it was about to give."""
    cpu_us: int
    peak_rss_bytes: int
