"""How a run of a unit ended, in words. Source: systemd.exec(5), systemd.service(5)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ds01ctl.core.unit_state import UnitState

_EXEC_FAILED = range(200, 246)
"""systemd's own: it could not get as far as the program (systemd.exec(5))."""
_RESULTS = {
    "timeout": "timeout",
    "oom-kill": "out of memory",
    "watchdog": "watchdog",
    "start-limit-hit": "started too often",
    "resources": "no resources for it",
    "protocol": "protocol",
}


def was_killed(service: UnitState) -> bool:
    """Tell whether the last run ended by a signal; its exit status is the signal's number then."""
    return service.result in {"signal", "core-dump"}


def result_in_words(service: UnitState) -> str | None:
    """Say how a run ended: ``success``, ``exit code 1``, ``killed by SIGKILL``, ``timeout``."""
    return in_words(service.result, service.exit_status)


def in_words(result: str | None, status: int | str | None) -> str | None:
    """Say how a run ended, from systemd's result and the exit status or the signal."""
    if result == "exit-code":
        failed_early = isinstance(status, int) and status in _EXEC_FAILED
        return f"exit code {status}" + (": it could not be started" if failed_early else "")
    if result == "signal":
        return f"killed by {signal_name(status)}"
    if result == "core-dump":
        return f"crashed ({signal_name(status)})"
    return None if result is None else _RESULTS.get(result, result)


def signal_name(number: int | str | None) -> str:
    """Name a signal; systemd gives its number, or to a failure handler its name."""
    if isinstance(number, str) and not number.isdigit():
        return number if number.startswith("SIG") else f"SIG{number}"
    try:
        return signal.Signals(int(number or 0)).name
    except ValueError:
        return f"signal {number}"
