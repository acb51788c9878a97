"""What `cleanup why` does: tell all that is known of one container, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.commands import cleanup_looking, gathering
from ds01ctl.commands.cleanup_did import host, planned, row
from ds01ctl.commands.cleanup_finding import Named, find, need_engines
from ds01ctl.commands.cleanup_history import rows_about
from ds01ctl.commands.cleanup_looking import Wish
from ds01ctl.commands.cleanup_running import coming_row, kept_rows
from ds01ctl.core import cleanup as core
from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core import cleanup_protect as protect
from ds01ctl.core.cleanup_coming import cases, of_case
from ds01ctl.core.cleanup_findings import finding_of
from ds01ctl.core.cleanup_none import why_none
from ds01ctl.core.plan import Result

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Interval, Part, Watch
    from ds01ctl.core.model import Container
    from ds01ctl.core.policy import Setting
    from ds01ctl.core.workload import Workload
    from ds01ctl.paths import Paths

_LIMITS = (
    (limits.IDLE, "hours"),
    (limits.RUNTIME, "hours"),
    (limits.HOLD, "hours"),
    (limits.GRACE, "seconds"),
)
_OF_ACCOUNT = (
    "gpu_hold_after_stop_h",
    "policies.gpu_idle_threshold",
    "policies.cpu_idle_threshold",
    "policies.network_idle_threshold",
    "policies.idle_detection_window",
    "policies.grace_period_m",
    "policies.created_container_timeout_m",
    "policies.high_demand_threshold",
    "policies.high_demand_idle_reduction",
    "policies.keepalive_max_duration_h",
)
_MOST_WARNINGS = 4
"""That are looked at for those that reached nobody."""
_OF_HOST = ("cleanup.block_io_idle_threshold",)
_PARTS: tuple[Part, ...] = ("idle", "runtime", "stopped", "created", "gpu-holds", "users")


def why(container: str, config: Path | None) -> Result:
    """Look at everything, and tell of one container. Raises UsageError for one that is not."""
    paths = gathering.host_paths()
    seen = cleanup_looking.look(Wish(only=_PARTS, config=config), paths)
    need_engines(seen.snapshot)
    known = [Named(one.id, one.name) for one in seen.snapshot.containers]
    wanted = find(container, known, hint="ds01ctl cleanup plan, or docker ps -a, lists them")
    return Result(
        "cleanup why",
        host(),
        seen.clock.now,
        seen.gaps,
        tuple(
            finding_of(one, seen.clock.now)
            for one in seen.plan.notices
            if one.container == wanted.id
        ),
        (),
        _data(wanted.id, seen, paths),
        failed_gaps=gathering.is_failure(seen.gaps),
    )


def _data(id_: str, seen: Look, paths: Paths) -> dict[str, Any]:
    container, workload = seen.container(id_), seen.workload(id_)
    watch = seen.watches.get(id_)
    changes = [one for one in seen.plan.changes if one.target == id_]
    return {
        "container": _container(container, workload) if container else None,
        "left_alone": _left_alone(container, workload, seen),
        "keep": next((one for one in kept_rows(seen) if one["id"] == id_), None),
        "limits": [_limit(one) for one in _settings(workload, seen)] if workload else [],
        "counted": _counted(watch, seen) if watch else None,
        "intervals": [_interval(one) for one in watch.intervals] if watch else [],
        "warnings": [_warned(one) for one in watch.warned] if watch else [],
        "undelivered": _undelivered(id_, paths),
        "due": [row(planned(one)) for one in changes],
        "next": [coming_row(one, seen) for one in _coming(id_, seen)],
        "nothing_next": _nothing_next(id_, seen),
        "modes": _modes(seen),
    }


def _container(container: Container, workload: Workload | None) -> dict[str, Any]:
    return {
        "id": container.id,
        "name": container.name,
        "engine": container.engine,
        "image": container.image,
        "state": container.state,
        "created_at": container.created_at,
        "started_at": container.started_at,
        "finished_at": container.finished_at,
        "user": workload.owner.login if workload else None,
        "owner_by": workload.owner.rule if workload else None,
        "kind": workload.kind if workload else None,
        "type": (limits.container_type(workload) or "platform") if workload else None,
        "has_gpu": workload.has_gpu if workload else None,
    }


def _left_alone(container: Container | None, workload: Workload | None, seen: Look) -> list[str]:
    """Say why rules do not touch it; none: they do."""
    if container is None or workload is None or seen.world is None:
        return []
    told = protect.spared(workload, container, seen.world, seen.policy)
    config = container.config
    if config and config.auto_remove and seen.policy.value("cleanup.auto_remove") != "stop":
        told_only = "made with --rm: a stop would remove it, and cleanup.auto_remove is report"
    else:
        told_only = None
    exempt = (protect.exempt(workload, part, seen.policy, seen.clock.now) for part in _PARTS)
    first = [one for one in (told.why if told else None, told_only) if one]
    return [*first, *dict.fromkeys(one for one in exempt if one)]


def _settings(workload: Workload, seen: Look) -> list[Setting]:
    policy, account = seen.policy, limits.account(workload)
    found = [limits.limit(workload, policy, key) for key, _ in _LIMITS]
    found += [policy.limit(account, key) for key in _OF_ACCOUNT]
    return [*found, *(policy.setting(key) for key in _OF_HOST)]


def _limit(setting: Setting) -> dict[str, Any]:
    return {
        "key": setting.key,
        "value": setting.value,
        "origin": str(setting.origin) if setting.origin else None,
    }


def _counted(watch: Watch, seen: Look) -> dict[str, Any]:
    sample = watch.last
    return {
        "idle_s": int(watch.idle_s),
        "idle_streak": watch.streak,
        "ran_s": int(watch.ran_s),
        "this_run_s": int(watch.run_s),
        "first_started_at": watch.first_started_at,
        "stopped_s": int(watch.stopped_s),
        "created_s": int(watch.created_s),
        "gpu_memory_bytes": sample.gpu_memory_bytes if sample else None,
        "stopped_by_cleanup": watch.stopped_by_us or None,
        "gpu_released": watch.gpu_released,
        "known_before": watch.id in seen.memory.watches,
    }


def _interval(one: Interval) -> dict[str, Any]:
    return {
        "at": one.at,
        "seconds": int(one.seconds),
        "verdict": one.verdict,
        "evidence": list(one.evidence),
    }


def _warned(one: Any) -> dict[str, Any]:
    lists = {"channels": list(one.channels), "errors": list(one.errors)}
    return {**one._asdict(), **lists, "counted_s": int(one.counted_s)}


def _undelivered(id_: str, paths: Paths) -> list[dict[str, Any]]:
    """Tell of the last warnings that reached nobody; the look has told of a store that fails."""
    names = ("time", "part", "stage", "error", "channel_errors")
    rows = rows_about(id_, "warn", paths, most=_MOST_WARNINGS)
    return [{name: row[name] for name in names} for row in rows if row["outcome"] == "skipped"]


def _coming(id_: str, seen: Look) -> list[Any]:
    """Tell what comes next, however far off."""
    if seen.world is None:
        return []
    world: core.World = seen.world
    mine = [case for case in cases(world, seen.policy) if case.container.id == id_]
    found = [one for case in mine for one in of_case(case, world, seen.policy)]
    return sorted(found, key=lambda one: one.in_s)


def _nothing_next(id_: str, seen: Look) -> list[str]:
    """Say why a rule has nothing in sight for it."""
    if seen.world is None:
        return []
    world: core.World = seen.world
    mine = [case for case in cases(world, seen.policy) if case.container.id == id_]
    there = {one.part for one in _coming(id_, seen)}
    there |= {one.part for one in seen.plan.changes if one.target == id_}
    return [text for case in mine for part, text in why_none(case) if part not in there]


def _modes(seen: Look) -> dict[str, str]:
    from ds01ctl.core.cleanup_case import mode_of

    return {part: mode_of(seen.policy, part) for part in _PARTS}
