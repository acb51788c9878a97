"""The metrics of `quota`: what is used of disks, and of which limit; base units."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.report.prometheus import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.disk_quota import DiskQuota, QuotaFileSystem
    from ds01ctl.core.held import Held
    from ds01ctl.core.quota_model import Place, Plan


class Part(NamedTuple):
    """One metric of a record; a value of 0 that means "none" has no series."""

    suffix: str
    text: str
    value: Callable[[DiskQuota], int | None]


_PARTS = (
    Part("used_bytes", "Bytes that are used", lambda one: one.used_bytes),
    Part("soft_limit_bytes", "Soft limit of bytes", lambda one: one.limits.soft_bytes or None),
    Part("hard_limit_bytes", "Hard limit of bytes", lambda one: one.limits.hard_bytes or None),
    Part("used_inodes", "Inodes that are used", lambda one: one.used_inodes),
    Part("soft_limit_inodes", "Soft limit of inodes", lambda one: one.limits.soft_inodes or None),
    Part("hard_limit_inodes", "Hard limit of inodes", lambda one: one.limits.hard_inodes or None),
    Part("bytes_grace_end_seconds", "Time at which a soft limit of bytes begins to hold",
         lambda one: one.bytes_grace_end or None),
)  # fmt: skip


def families(
    file_systems: Sequence[QuotaFileSystem],
    names: Mapping[Place, str],
    plan: Plan,
    outcomes: Sequence[bool],
) -> Iterator[Family]:
    """Make the families of one run; names: of the places that somebody has, others have none."""
    for kind, label in (("user", "user"), ("project", "project")):
        seen = [
            (place, {label: name, "filesystem": place.mount})
            for place, name in _series(names, kind)
        ]
        prefix = "ds01_quota_" if kind == "user" else "ds01_quota_project_"
        records = {
            (one.mount, record.id): record
            for one in file_systems
            for record in one.records.get(kind, ())  # type: ignore[call-overload]  # the two kinds
        }
        for suffix, text, value in _PARTS:
            samples = tuple(
                Sample(labels, number)
                for place, labels in seen
                if (number := value(records[place.mount, place.id])) is not None
            )
            yield Family(prefix + suffix, "gauge", f"{text}, by {kind} and file system.", samples)
    yield from _of_run(plan, outcomes)


def _series(names: Mapping[Place, str], kind: str) -> list[tuple[Place, str]]:
    """List places and their names, each name once a file system: its lowest id.

    /etc/projid and /etc/passwd may have a name twice, and series twice make the file unreadable.
    """
    found: dict[tuple[str, str], Place] = {}
    for place, name in sorted(names.items()):
        if place.kind == kind:
            found.setdefault((name.encode(errors="replace").decode(), place.mount), place)
    return [(place, name) for (name, _), place in found.items()]


def _of_run(plan: Plan, outcomes: Sequence[bool]) -> Iterator[Family]:
    skipped = sum(1 for one in plan.changes if one.skip is not None)
    made = {"done": sum(outcomes), "failed": len(outcomes) - sum(outcomes), "skipped": skipped}
    yield Family(
        "ds01_quota_changes",
        "gauge",
        "Disk limits that the last run of quota set, by what came of them; skipped: only reported.",
        tuple(Sample({"outcome": name}, count) for name, count in made.items()),
    )
    waiting = sum(1 for one in plan.notices if one.kind == "hard-limit-waits")
    yield Family(
        "ds01_quota_waiting",
        "gauge",
        "Hard limits that wait until less is in use.",
        (Sample({}, waiting),),
    )


def held_families(rows: Iterable[Held]) -> Iterator[Family]:
    """Make the families of GPUs and containers that users hold."""
    rows = tuple(rows)
    for kind, name, text in (
        ("gpu", "ds01_quota_gpu_equivalents", "GPU-equivalents that a user holds"),
        ("containers", "ds01_quota_containers", "Containers of a user that live"),
    ):
        used = tuple(Sample({"user": one.user}, one.used) for one in rows if one.kind == kind)
        most = tuple(
            Sample({"user": one.user}, one.limit)
            for one in rows
            if one.kind == kind and one.limit is not None
        )
        yield Family(name, "gauge", f"{text}.", used)
        yield Family(f"{name}_limit", "gauge", f"{text} at most, by the policy.", most)
