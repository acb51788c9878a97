"""A small machine whose containers are looked at every five minutes, by clocks that may step."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core import cleanup
from ds01ctl.core.cleanup_holding import begun_anew
from ds01ctl.core.cleanup_limits import account
from ds01ctl.core.cleanup_model import PARTS, Clock, Keep, Reading, Sample, Warned
from ds01ctl.core.idle import advance
from ds01ctl.core.inventory import inventory
from ds01ctl.core.model import Gap
from tests.core.worlds import NOON, docker, replace, world

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.cleanup_model import Change, Notice, Plan, Trip, Watch
    from ds01ctl.core.model import Container
    from ds01ctl.core.policy import Policy

MB = 1 << 20
STEP_MIN = 5.0
UP_S = 10 * 86400.0
COUNTERS = {"cpu", "network", "block-io"}
IDLE: dict[str, float] = {"gpu": 0, "cpu": 0.5, "network": 1000, "block-io": 2000}
BUSY: dict[str, float] = {"gpu": 90, "cpu": 150, "network": 50 * MB, "block-io": 90 * MB}


class Look(NamedTuple):
    """What happens in the minutes before a look, and at it."""

    use: Mapping[str, float] = IDLE
    """gpu: percent; cpu: percent; network, block-io: bytes in five minutes."""
    minutes: float = STEP_MIN
    """By the clock since boot."""
    step_min: float = 0.0
    """By which the wall's clock is set ahead (or back) before the look."""
    failed: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    sample: bool = True
    """False: the look at the signals failed as a whole."""
    gaps: tuple[str, ...] = ()
    do: str = ""
    """start, stop, restart, pause, unpause, kill-engine, reboot, remove, rename NAME, lost-store,
    dead, restarting, skip (no look at all)."""
    delivered: bool = True
    """Whether warnings reach the user."""
    session_ago_min: float | None = None
    jupyter_ago_min: float | None = None
    reset: str = ""
    """A counter that begins anew."""
    gpu_memory: int = 0


def idle(times: int = 1, **more: Any) -> list[Look]:
    return [Look(**more)] * times


def busy(times: int = 1, **more: Any) -> list[Look]:
    return [Look(use={**BUSY, **more.pop("use", {})}, **more)] * times


def use(times: int = 1, **signals: float) -> list[Look]:
    return [
        Look(use={**IDLE, **{name.replace("_", "-"): v for name, v in signals.items()}})
    ] * times


def failing(*signals: str, times: int = 1, **more: Any) -> list[Look]:
    return [Look(failed=frozenset(signals), **more)] * times


class Machine:
    """One host with one or more containers, and what `cleanup` remembers of them."""

    def __init__(
        self,
        policy: Policy,
        *containers: Container,
        keeps: Iterable[Keep] = (),
        apply: bool = True,
        snapshot: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self.policy = policy
        self.containers = {one.id: one for one in containers}
        self.keeps = {keep.id: keep for keep in keeps}
        self.apply = apply
        self.more = more
        self.snapshot_more = dict(snapshot or {})
        self.up_s, self.boot, self.skew_s = UP_S, "boot-1", 0.0
        self.watches: dict[str, Watch] = {}
        self.previous: Clock | None = None
        self.seen: cleanup.World | None = None
        self.counters = {
            one.id: {"cpu": 1e9, "network": 5e9, "block-io": 9e9} for one in containers
        }
        self.minute = 0.0
        self.began = {
            one.id: UP_S - (NOON - one.started_at).total_seconds()
            for one in containers
            if one.started_at
        }
        self.events: list[str] = []
        self.done: list[Change] = []
        self.changes: list[Change] = []
        self.notices: list[Notice] = []
        self.trips: list[Trip] = []

    # --- time ---

    @property
    def clock(self) -> Clock:
        now = NOON + timedelta(minutes=self.minute, seconds=self.skew_s)
        return Clock(now, self.boot, self.up_s)

    def _pass(self, look: Look) -> None:
        self.minute += look.minutes
        self.up_s += look.minutes * 60
        self.skew_s += look.step_min * 60

    # --- what users and engines do ---

    def _do(self, what: str) -> None:
        verb, _, name = what.partition(" ")
        now = self.clock.now
        if verb == "lost-store":
            self.watches, self.previous = {}, None
            return
        if verb == "reboot":
            self.boot, self.up_s = f"boot-{now:%H%M}", 120.0
        for key, one in list(self.containers.items()):
            if verb == "recreate":
                self._recreate(one, now)
            else:
                self._do_to(key, one, verb, name, now)

    def _recreate(self, one: Container, now: datetime) -> None:
        """Remove it and make another of the same name."""
        del self.containers[one.id]
        new = "f" * 64
        self.containers[new] = replace(
            one,
            id=new,
            started_at=now,
            created_at=now,
            cgroup=(one.cgroup or "").replace(one.id, new),
        )
        self.began[new] = self.up_s
        self.counters[new] = {"cpu": 1e5, "network": 1e5, "block-io": 1e5}

    def _do_to(self, key: str, one: Container, verb: str, name: str, now: datetime) -> None:
        half = now - timedelta(minutes=1)
        if verb in {"stop", "reboot"} and one.state == "running":
            self.containers[key] = stopped(one, half)
        elif verb == "start" or (verb == "restart" and one.state == "running"):
            end = half if verb == "restart" else one.finished_at
            self.containers[key] = running(one, now - timedelta(seconds=30), end)
            self.began[key] = self.up_s - 30
            self.counters[key] = {"cpu": 1e5, "network": 1e5, "block-io": 1e5}
        elif verb in {"pause", "restarting", "dead", "unpause", "removing", "unknown"}:
            states = {"pause": "paused", "unpause": "running"}
            self.containers[key] = replace(one, state=states.get(verb, verb))
        elif verb == "remove":
            del self.containers[key]
        elif verb == "rename":
            self.containers[key] = replace(one, name=name)

    # --- a look ---

    def run(self, looks: Iterable[Look]) -> Machine:
        for look in looks:
            self.look(look)
        return self

    def look(self, look: Look) -> Plan | None:
        self._pass(look)
        if look.do and look.do != "skip":
            self._do(look.do)
        for key, one in self.containers.items():
            if one.state == "running":
                self._count(key, look)
        if look.do == "skip":
            return None
        plan = self.plan(look)
        self._note(plan)
        self._carry_out(plan, look)
        self.previous = self.clock
        return plan

    def _count(self, key: str, look: Look) -> None:
        seconds = look.minutes * 60
        counters = self.counters[key]
        counters["cpu"] += look.use.get("cpu", 0) / 100 * seconds * 1e6
        for name in ("network", "block-io"):
            counters[name] += look.use.get(name, 0) * seconds / 300
        if look.reset:
            counters[look.reset] = 0.0

    def plan(self, look: Look) -> Plan:
        snapshot = world(*self.containers.values(), **self.snapshot_more)
        gaps = tuple(Gap(source, "failed", "for a test") for source in look.gaps)
        snapshot = replace(
            snapshot, gaps=(*snapshot.gaps, *gaps), taken_at=self.clock.now, boot_id=self.boot
        )
        if "docker" in look.gaps:
            engines = tuple(one._replace(answered=False) for one in snapshot.engines)
            snapshot = replace(snapshot, engines=engines)
        if "nvml" in look.gaps:
            snapshot = replace(snapshot, gpus=())
        workloads = inventory(snapshot, self.policy, self.clock.now)
        for one in workloads:
            if one.container is not None:
                limits = cleanup.thresholds(self.policy, account(one))
                key = one.container.id
                self.watches[key] = advance(
                    self.watches.get(key), one.container, self._sample(one.container, look),
                    limits, self.clock,
                )  # fmt: skip
        seen = cleanup.World(
            snapshot, workloads, dict(self.watches), self.keeps, self.clock,
            **{
                "version_since": NOON - timedelta(days=30),
                "previous": self.previous,
                "only": frozenset(PARTS),
                **self.more,
            },
        )  # fmt: skip
        self.watches |= begun_anew(seen, self.policy)
        seen = self.seen = seen._replace(watches=dict(self.watches))
        return cleanup.bounded(cleanup.proposed(seen, self.policy), seen, self.policy)

    def _sample(self, one: Container, look: Look) -> Sample | None:
        if one.state != "running" or not look.sample or one.started_at is None:
            return None
        readings: dict[Any, Reading] = {"gpu": Reading("known", look.use.get("gpu", 0))}
        readings |= {n: Reading("known", v) for n, v in self.counters[one.id].items()}
        for name, ago in (("sessions", look.session_ago_min), ("jupyter", look.jupyter_ago_min)):
            at = 0.0 if ago is None else self.clock.now.timestamp() - ago * 60
            readings[name] = Reading("known", at)
        readings |= {n: Reading("failed", 0, "for a test") for n in look.failed}
        readings |= {n: Reading("absent", 0, "for a test") for n in look.absent}
        age_s = self.up_s - self.began[one.id]
        return Sample(one.id, one.started_at, self.clock, readings, look.gpu_memory, age_s)

    # --- what comes of it ---

    def _note(self, plan: Plan) -> None:
        self.changes += plan.changes
        self.notices += plan.notices
        self.trips += plan.trips
        for one in plan.changes:
            what = {"stop-container": "stop", "remove-container": "remove"}.get(one.kind, one.kind)
            stage = str(one.stage) if one.stage else ""
            mark = "(" + re.split(r"[: ]", one.skip)[0] + ") " if one.skip else ""
            if one.skip and one.skip.startswith("breaker"):
                mark = f"({one.skip.split(':')[0].split()[1]}) "
            self.events.append(f"{self.minute:g} {mark}{what}{stage} {one.part}")

    def _carry_out(self, plan: Plan, look: Look) -> None:
        for one in plan.changes:
            if one.skip is not None:
                continue
            self.done.append(one)
            watch = self.watches[one.target]
            if one.kind == "warn" and look.delivered:
                counted = watch.idle_s if one.part == "idle" else watch.ran_s
                told = Warned(one.part, one.stage, self.clock.now, counted, ("terminal pts/3",))
                self.watches[one.target] = watch._replace(warned=(*watch.warned, told))
            elif one.kind == "release-gpu":
                self.watches[one.target] = watch._replace(gpu_released=True)
            elif one.kind == "stop-container" and self.apply:
                seen = self.containers[one.target]
                self.containers[one.target] = stopped(seen, self.clock.now)
                self.watches[one.target] = watch._replace(stopped_by_us=one.reason)
            elif one.kind == "remove-container" and self.apply:
                del self.containers[one.target]


def stopped(one: Container, at: datetime) -> Container:
    """The container after it has ended."""
    return replace(one, state="exited", finished_at=at, pid=None, cgroup=None)


def running(one: Container, at: datetime, ended: datetime | None) -> Container:
    """The container in a new run."""
    cgroup = one.cgroup or docker(one.id)
    return replace(one, state="running", started_at=at, finished_at=ended, pid=4001, cgroup=cgroup)
