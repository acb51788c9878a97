"""What holds whatever happens: many random histories, each from a seed that can be told."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core import cleanup
from ds01ctl.core.cleanup_model import SIGNALS, Keep
from ds01ctl.core.inventory import inventory
from ds01ctl.core.model import Engine
from tests.core.cleanup_traces import CREATED, EXITED, FREE, OWNED, gpu_container, policy
from tests.core.cleanup_worlds import BUSY, IDLE, Look, Machine
from tests.core.worlds import ALICE, ENGINE, NOON, container, managed, replace, with_gpus, world

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.core.cleanup_model import Change
    from ds01ctl.core.model import Container

STRIKES = {"stop-container", "remove-container"}
USERS_ENGINE = "unix:///run/user/1001/docker.sock"
TIMEOUT_S = 1800.0
RULES = policy(
    FREE,
    user_overrides_yaml="alice: {max_runtime_h: 2}\nbob: {container_hold_after_stop_h: 1}\n",
    lifecycle_exemptions_yaml=(
        "exemptions: [{username: erin, category: waiver, reason: r, approved_by: a,"
        " exempt_from: [idle_timeout_h, max_runtime_h, gpu_hold_after_stop_h,"
        " container_hold_after_stop_h], expires_on: null}]\n"
    ),
)
PEOPLE = {
    **OWNED,
    "users": {0: "root", ALICE: "alice", 1002: "bob", 1003: "erin"},
    "uids": {"alice": ALICE, "bob": 1002, "erin": 1003},
    "engines": (Engine(ENGINE, True), Engine(USERS_ENGINE, True, uid=ALICE)),
}
LABELS = ({"ds01.protected": "true"}, {"ds01.monitoring": "TRUE"})


def ordinary(random: Random) -> list[Container]:
    """Containers that may be stopped or removed."""
    made = [NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=40)]
    return [
        gpu_container("1" * 64, started_at=random.choice(made)),
        gpu_container("2" * 64, "bob", started_at=random.choice(made)),
        managed("bob", "3" * 64, **EXITED),
        managed("alice", "4" * 64, **{**CREATED, "created_at": random.choice(made)}),
    ]


def untouchable(random: Random) -> list[Container]:
    """Containers that nothing may touch: by label, name, exemption, engine; kept; no owner."""
    state: dict[str, Any] = random.choice([{}, EXITED, CREATED])
    return [
        gpu_container("a" * 64, labels=random.choice(LABELS), **state),
        container("b" * 64, config=with_gpus("all"), name="ds01-grafana", **state),
        gpu_container("c" * 64, "erin", **state),
        gpu_container("d" * 64, engine=USERS_ENGINE, **state),
        gpu_container("e" * 64, **state),
    ]


def history(random: Random, length: int, *, calm: bool = False, odd: float = 0.15) -> list[Look]:
    """Make a history: idle for the most part, or nothing would ever be due."""
    looks = []
    for _ in range(length):
        look = Look(use=BUSY if random.random() < 0.04 else IDLE)
        if random.random() < odd:
            some = frozenset(random.sample(SIGNALS, random.randint(1, 3)))
            look = random.choice(
                [
                    look._replace(failed=some),
                    look._replace(sample=False),
                    look._replace(minutes=random.choice([0.01, 1, 20, 45, 300])),
                    look._replace(session_ago_min=random.choice([1, 30, 500])),
                    look._replace(delivered=False),
                    look._replace(do="skip"),
                    look._replace(gaps=("docker",)),
                    look._replace(reset=random.choice(["cpu", "network", "block-io"])),
                ]
            )
        if not calm and random.random() < 0.05:
            look = look._replace(do=random.choice(["start", "stop", "restart", "reboot", "pause"]))
        if not calm and random.random() < 0.05:
            look = look._replace(step_min=random.choice([-600, -61, -3, 3, 61, 600]))
        looks.append(look)
    return looks


def machine_of(containers: list[Container], **more: Any) -> Machine:
    return Machine(RULES, *containers, snapshot=PEOPLE, **more)


def each_look(
    machine: Machine, looks: list[Look], seen: Callable[[Look, list[Change]], None]
) -> None:
    """Run a history, and show each look with what was done at it."""
    for look in looks:
        before = len(machine.done)
        machine.look(look)
        seen(look, machine.done[before:])


@pytest.mark.parametrize("seed", range(30))
def test_no_stop_without_two_warnings_and_the_rest_after_each(seed: int) -> None:
    """By the clock since boot, and by nothing that the rules themselves count."""
    random = Random(seed)
    machine = machine_of(ordinary(random))
    told: dict[tuple[str, str], list[tuple[int, float]]] = {}

    def check(look: Look, done: list[Change]) -> None:
        for change in done:
            key = (change.target, change.part)
            if change.kind == "warn" and look.delivered:
                told.setdefault(key, []).append((change.stage, machine.minute * 60))
            elif change.kind == "stop-container":
                limit_s = TIMEOUT_S if change.part == "idle" else 7200
                least = (0.20, 0.05) if change.part == "idle" else (0.25, 0.10)
                first = [at for stage, at in told.get(key, []) if stage == 1]
                last = [at for stage, at in told.get(key, []) if stage == 2]
                assert first, "stopped without a first warning"
                assert last, "stopped without a last warning"
                now = machine.minute * 60 + 1e-3
                assert now - first[-1] >= least[0] * limit_s
                assert now - last[-1] >= least[1] * limit_s
                assert last[-1] >= first[-1] + 0.15 * limit_s - 1e-3
                if change.part == "idle":
                    # the next idleness has to be warned of anew
                    told[key] = []

    each_look(machine, history(random, 80), check)


@pytest.mark.parametrize("seed", range(30))
def test_nothing_with_a_failed_signal_is_stopped_as_idle(seed: int) -> None:
    random = Random(1000 + seed)
    machine = machine_of(ordinary(random))
    recent: list[bool] = []

    def check(look: Look, done: list[Change]) -> None:
        if look.do != "skip" and look.minutes > 0.1:
            recent.append(bool(look.failed) or not look.sample or look.use is BUSY)
        for change in done:
            if change.kind == "stop-container" and change.part == "idle":
                assert not any(recent[-3:])
                assert not look.failed

    each_look(machine, history(random, 80, odd=0.3), check)


@pytest.mark.parametrize("seed", range(25))
def test_whom_nothing_may_touch_is_in_no_change(seed: int) -> None:
    random = Random(2000 + seed)
    keeps = [Keep("e" * 64, None, "labadmin")]
    spared = untouchable(random)
    machine = machine_of([*ordinary(random), *spared], keeps=keeps)
    machine.run(history(random, 60))
    touched = {change.target for change in machine.changes}
    assert not touched & {one.id for one in spared}
    assert touched <= {one.id for one in ordinary(random)}


@pytest.mark.parametrize("seed", range(30))
def test_no_step_of_a_clock_brings_anything_nearer(seed: int) -> None:
    """The same history with and without steps of the wall's clock."""
    random = Random(3000 + seed)
    containers = ordinary(random)
    looks = history(random, 60, calm=True)
    steps = [random.choice([0, 0, 0, 0, 0, -600, -61, -2, 2, 61, 600]) for _ in looks]
    stepped = [look._replace(step_min=by) for look, by in zip(looks, steps, strict=True)]
    # a container that is stopped by one rule is not warned by another: one rule at a time
    for part in ("idle", "runtime", "stopped", "created", "gpu-holds"):
        calm = _first_times(containers, looks, part)
        for what, minute in _first_times(containers, stepped, part).items():
            assert minute >= calm.get(what, float("inf")), what


def _first_times(
    containers: list[Container], looks: list[Look], part: str
) -> dict[tuple[str, str, str, int], float]:
    machine = machine_of(containers, apply=False, only=frozenset({part}))
    first: dict[tuple[str, str, str, int], float] = {}

    def note(_look: Look, done: list[Change]) -> None:
        for change in done:
            key = (change.kind, change.part, change.target, change.stage)
            first.setdefault(key, machine.minute)

    each_look(machine, looks, note)
    return first


@pytest.mark.parametrize("seed", range(25))
def test_a_lost_store_stops_and_removes_nothing(seed: int) -> None:
    random = Random(4000 + seed)
    machine = machine_of(ordinary(random))
    machine.run(history(random, random.randint(0, 40)))
    before = len(machine.done)
    machine.look(Look(do="lost-store"))
    assert not [one for one in machine.done[before:] if one.kind in STRIKES]
    snapshot = replace(world(*machine.containers.values(), **PEOPLE), taken_at=machine.clock.now)
    workloads = inventory(snapshot, RULES, machine.clock.now)
    seen = cleanup.World(
        snapshot, workloads, {}, {}, machine.clock, version_since=NOON - timedelta(days=9)
    )
    assert cleanup.proposed(seen, RULES).changes == ()


def test_the_histories_do_something() -> None:
    """A property of what never happens would prove nothing."""
    kinds: set[str] = set()
    for seed in range(10):
        random = Random(seed)
        machine = machine_of(ordinary(random))
        machine.run(history(random, 80))
        kinds |= {f"{one.kind} {one.part}" for one in machine.done}
    assert kinds == {
        "warn idle",
        "warn runtime",
        "stop-container idle",
        "stop-container runtime",
        "remove-container stopped",
        "remove-container created",
        "release-gpu gpu-holds",
    }
