"""The steps that systemd takes part in: stop, wait, disable, forget failures.

The order holds the promise that no daemon-reload is needed: systemd reads a unit's file when it
starts a unit that it does not have in memory. So the target and its timers are stopped first, then
runs are waited for and failures forgotten, then the files change, then everything is started again.
Measured on systemd 252: a unit that a lasting target wants, that has failed, or that still runs,
keeps its old definition.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.act import systemctl
from ds01ctl.commands.stepping import Step
from ds01ctl.core import placing as compared
from ds01ctl.core.plan import Action
from ds01ctl.errors import Ds01Error
from ds01ctl.jobs import FAILURE, JOBS, Job
from ds01ctl.unitfiles.files import UNIT_DIR
from ds01ctl.unitfiles.units import TARGET

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ds01ctl.core.placing import Change
    from ds01ctl.paths import Paths

STARTER = "ds01-start.service"
_TELLER = "ds01-failure@"
_SPARE_S = 5


class Situation(NamedTuple):
    """What is to be done, and on what."""

    paths: Paths
    changes: tuple[Change, ...]
    jobs: tuple[Job, ...]
    is_live: bool
    units: dict[str, systemctl.Unit]
    """What systemd says, where it runs."""
    enabled: frozenset[str]
    """Units that are started at boot."""

    @property
    def changed_units(self) -> list[str]:
        """Name the units whose file changes, or whose file systemd has not read."""
        names = {change.place.rpartition("/")[2] for change in self._unit_changes()}
        stale = {name for name, unit in self.units.items() if unit.needs_reload}
        return sorted((names | stale) - {STARTER})

    def _unit_changes(self) -> Iterable[Change]:
        return (c for c in compared.pending(self.changes) if c.place.startswith(f"{UNIT_DIR}/"))

    @property
    def timers(self) -> list[str]:
        """Name the timers that are to run."""
        return [f"{job.unit}.timer" for job in self.jobs if job.enabled]


def look(
    paths: Paths,
    changes: tuple[Change, ...],
    jobs: tuple[Job, ...],
    foreign: Collection[str] = (),
) -> Situation:
    """Ask systemd about the units that the changes and jobs are about, but not foreign ones."""
    names = {c.place.rpartition("/")[2] for c in changes if c.place.startswith(f"{UNIT_DIR}/")}
    names = {name for name in names if "@" not in name} | {TARGET, STARTER}
    names |= {f"{job.unit}.{kind}" for job in jobs for kind in ("timer", "service")}
    # those that told of a failure, and failed in it
    names |= {f"{_TELLER}{job.unit}.service" for job in jobs}
    is_live = systemctl.is_live(paths.root)
    units = systemctl.show(sorted(names - set(foreign))) if is_live else {}
    return Situation(paths, changes, jobs, is_live, units, _enabled(paths))


def _enabled(paths: Paths) -> frozenset[str]:
    folder = paths.under(UNIT_DIR)
    links = [*folder.glob(f"{TARGET}.wants/*"), *folder.glob(f"multi-user.target.wants/{STARTER}")]
    return frozenset(link.name for link in links)


def stop_steps(now: Situation, changed: Sequence[str]) -> list[Step]:
    """Stop the target, and with it the timers; then wait for runs of changed services."""
    running = [n for n, u in now.units.items() if u.active == "active" and _is_ours_to_stop(n)]
    services = [n for n in changed if n.endswith(".service") and n in now.units]
    if any(name.endswith(".service") for name in changed):
        # a run that fails at its end starts one of these
        services += [name for name in now.units if name.startswith(_TELLER)]
    services = list(dict.fromkeys(services))
    steps = []
    if running:
        action = Action("stop", " ".join(running), "systemd reads changed units when they start")
        steps.append(
            Step(action, lambda: systemctl.stop(running), lambda: systemctl.start(running))
        )
    if any(now.units[name].load == "loaded" for name in services):
        action = Action("wait", "runs that are under way", "they are not cut short")
        steps.append(Step(action, lambda: _wait(services)))
    return steps


def _is_ours_to_stop(name: str) -> bool:
    return name == TARGET or name.endswith(".timer")


def _wait(services: Sequence[str]) -> None:
    longest = max(job.timeout_s for job in JOBS) + FAILURE.timeout_s

    def tell(busy: Iterable[str]) -> None:
        print(f"waiting for {', '.join(busy)} to end (at most {longest} s)", file=sys.stderr)

    busy = systemctl.wait_until_idle(services, at_most_s=longest + _SPARE_S, waiting=tell)
    if busy:
        hint = f"systemctl stop {' '.join(busy)}, then run this again"
        raise Ds01Error(f"{', '.join(busy)}: still running after {longest} s", hint)


def disable_steps(now: Situation, names: Sequence[str]) -> list[Step]:
    """Have units not started at boot any more."""
    listed = [name for name in names if name in now.enabled]
    if not listed:
        return []
    root = None if now.is_live else now.paths.root
    action = Action("disable", " ".join(listed), "no longer wanted")
    return [
        Step(
            action,
            lambda: systemctl.disable(listed, root),
            lambda: systemctl.enable(listed, root),
        )
    ]


def reset_steps(now: Situation, changed: Sequence[str]) -> list[Step]:
    """Forget the failures of units that change: a failed unit keeps its old definition."""
    names = [name for name in now.units if name in changed or name.startswith(_TELLER)]
    if not any(now.units[name].load == "loaded" for name in names):
        return []
    action = Action("reset-failed", "ds01 units", "a failed unit keeps its old definition")

    def reset() -> None:
        said = systemctl.show(names)
        systemctl.reset_failed([name for name, unit in said.items() if unit.active == "failed"])

    return [Step(action, reset)]
