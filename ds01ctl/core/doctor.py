"""Judge a host: what was read of it becomes one row a check, worst first in each area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core import (
    doctor_disk,
    doctor_docker,
    doctor_gpu,
    doctor_own,
    doctor_systemd,
    doctor_watch,
)
from ds01ctl.core.doctor_row import AREAS, STATES
from ds01ctl.core.model import Gap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import HostFacts, Unread
    from ds01ctl.core.model import GapKind
    from ds01ctl.core.policy import Policy

_WHEN = "when no GPU container runs"
_RELOADING = ("apt-get install", "daemon-reload", "ubuntu-drivers")


def decide(
    facts: HostFacts, policy: Policy, now: datetime, only: Collection[str] = ()
) -> tuple[Row, ...]:
    """Make a row of every check that applies to this host, in the order they are shown."""
    risk = doctor_gpu.reload_risk(facts)
    rows = [
        *doctor_systemd.rows(facts),
        *doctor_docker.rows(facts, policy),
        *doctor_gpu.rows(facts),
        *doctor_disk.rows(facts),
        *doctor_watch.rows(facts, policy, now),
        *doctor_own.rows(facts),
    ]
    chosen = (_careful(row, risk) for row in rows if not only or row.area in only)
    return tuple(sorted(chosen, key=_rank))


def _careful(row: Row, risk: str) -> Row:
    """Warn of a fix that would make systemd reload, where that may cost a container its GPU."""
    if row.fix is None or risk in {"none", "no-gpus"} or _WHEN in row.fix:
        return row
    if not any(word in row.fix for word in _RELOADING):
        return row
    return row._replace(fix=f"{_WHEN} (packages make systemd reload): {row.fix}")


def _rank(row: Row) -> tuple[int, int, str]:
    return AREAS.index(row.area), STATES.index(row.state), row.check


def gaps(rows: Iterable[Row]) -> tuple[Gap, ...]:
    """Give what should have been read and was not, as gaps: they make the run a partial one."""
    found = (
        Gap(row.area, _kind(row.gap), f"{row.check}: {row.gap.reason}") for row in rows if row.gap
    )
    return tuple(dict.fromkeys(found))


def _kind(gap: Unread) -> GapKind:
    """What a row misses should have been there: its absence is a failure."""
    return "denied" if gap.kind == "denied" else "failed"


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """Count the rows by state; a state that no row has counts 0."""
    states = [row.state for row in rows]
    return {state: states.count(state) for state in STATES}
