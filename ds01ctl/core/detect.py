"""Decide what about the host's GPU workloads an admin should know."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from ds01ctl.core.findings import of_gpus, of_owners, of_workload
from ds01ctl.core.inventory import inventory
from ds01ctl.core.model import LIVE
from ds01ctl.core.plan import SEVERITIES
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload


class Seen(NamedTuple):
    """What earlier recorded runs remember of a finding."""

    first_seen: datetime
    scans: int
    """In how many recorded scans it was there."""
    confirmed: bool = False
    """It was old enough once, and has been told as an event."""


Memory = dict[tuple[str, ...], Seen]


class Verdicts(NamedTuple):
    """The inventory, and the findings in it, worst first."""

    workloads: tuple[Workload, ...]
    findings: tuple[Finding, ...]


def decide(
    snapshot: Snapshot,
    policy: Policy,
    now: datetime,
    memory: Mapping[tuple[str, ...], Seen] | None = None,
    *,
    recording: bool = False,
) -> Verdicts:
    """Judge every workload and GPU.

    `memory` is what recorded runs saw, by finding key; None where nothing was ever recorded.
    Findings too young to act upon are marked new. `recording` counts this run as a scan.
    """
    seen = inventory(snapshot, policy, now)
    raw = [
        *(finding for one in seen for finding in of_workload(one, snapshot, policy)),
        *of_owners(seen, snapshot, policy, now),
        *of_gpus(snapshot, policy),
    ]
    dated = (_date(finding, policy, now, memory, recording=recording) for finding in raw)
    return Verdicts(seen, tuple(sorted(dated, key=_worst_first)))


def _date(
    finding: Finding,
    policy: Policy,
    now: datetime,
    memory: Mapping[tuple[str, ...], Seen] | None,
    *,
    recording: bool,
) -> Finding:
    """Fill in when a finding was first seen, and whether it is new."""
    earlier = (memory or {}).get(finding.key)
    first_seen = earlier.first_seen if earlier else now
    scans = (earlier.scans if earlier else 0) + (1 if recording else 0)
    age = now - (finding.since or first_seen)
    is_young = age < timedelta(seconds=float(policy.value("detect.min_age_s")))
    # a start that could not be read is no identity: the next run may tell it as another
    is_tentative = finding.subject.get("state") in LIVE and finding.key[-1] == ""
    is_rare = memory is not None and scans < int(policy.value("detect.scans"))
    return finding._replace(first_seen=first_seen, new=is_young or is_rare or is_tentative)


def _worst_first(finding: Finding) -> tuple[object, ...]:
    """Sort by severity, then user and subject, so that what is about one thing stands together."""
    name = str(finding.subject.get("name") or finding.subject.get("index") or "")
    return (
        SEVERITIES.index(finding.severity),
        finding.user or "~",
        natural(name),
        finding.key[1:],
        finding.kind,
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """Make a sort key by which ``batch-2`` comes before ``batch-10``."""
    parts = re.split(r"(\d{1,18})", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
