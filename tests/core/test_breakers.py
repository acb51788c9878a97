"""Traces of the circuit breakers, and of clocks that step.

``case N`` are the recorded failures of such tools, ``script N`` the bugs of the scripts before.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ds01ctl.core.breakers import Facts, held_back, limited, tripped
from ds01ctl.core.cleanup_model import Change, Clock, Trip
from ds01ctl.core.model import Mount
from tests.core.cleanup_traces import (
    EXITED,
    STOPS,
    Row,
    check,
    gpu_container,
    policy,
    raw,
)
from tests.core.cleanup_worlds import idle
from tests.core.worlds import (
    ENGINE,
    NOON,
    PLAIN,
    B,
    managed,
    replace,
)

MANY = [gpu_container(one * 64, on="GPU-0", name=f"c-{one}") for one in "abcdef"]
EVERYBODY = [
    raw(
        f"{number}" * 64,
        mounts=(Mount("bind", f"/home/u{number}", "/workspace"),),
        config=PLAIN,
        **EXITED,
    )
    for number in range(4)
]
PEOPLE = {
    "path_owners": {f"/home/u{number}": 2000 + number for number in range(4)},
    "users": {2000 + number: f"u{number}" for number in range(4)},
}
BREAKERS = [
    Row(
        "more than a fifth at once: none",
        idle(8),
        [
            *(f"{m} warn{n} idle" for m, n in ((30, 1), (35, 2)) for _ in MANY),
            *["40 (share) stop idle"] * 6,
        ],
        ["share: 6 of 6 running containers are due to stop; cleanup.breaker.max_share is 0.2"],
        None,
        MANY,
    ),
    Row(
        "two are always fine",
        idle(8),
        [x for x in STOPS for _ in "12"],
        [],
        None,
        [gpu_container(), gpu_container(B)],
    ),
    Row(
        "a share of all is to be removed",
        idle(7),
        ["35 (share) remove stopped"] * 4,
        ["share: 4 of 4 existing containers are due to remove"],
        None,
        EVERYBODY,
        {"snapshot": PEOPLE},
    ),
    Row(
        "--limit: the longest due are done, and it is a way out",
        idle(7),
        ["35 remove stopped"] * 2 + ["35 (--limit) remove stopped"] * 2,
        ["--limit 2: others have been due for longer"],
        None,
        EVERYBODY,
        {"snapshot": PEOPLE, "limit": 2},
    ),
    Row(
        "too many users",
        idle(7),
        ["35 (users) remove stopped"] * 4,
        ["users: containers of 4 users are concerned; cleanup.breaker.max_users is 3"],
        policy("cleanup: {mode: enforce, breaker: {always: 9, max_users: 3}}\n"),
        EVERYBODY,
        {"snapshot": PEOPLE},
    ),
    Row(
        "the hour after boot",
        idle(12),
        [*(f"{m} (boot) remove stopped" for m in range(35, 60, 5)), "60 remove stopped"],
        ["boot: the machine started"],
        None,
        [managed(**EXITED)],
        {"up_s": 60.0},
    ),
    Row(
        "a new version",
        idle(8),
        ["30 warn1 idle", "35 warn2 idle", "40 (upgrade) stop idle"],
        ["upgrade: this version first ran here 40 min ago; cleanup.breaker.after_upgrade_m is 60"],
        more={"version_since": NOON},
    ),
    Row(
        "a version that is not on record",
        idle(8),
        ["30 warn1 idle", "35 warn2 idle", "40 (upgrade) stop idle"],
        ["upgrade: this version has not run here before"],
        more={"version_since": None},
    ),
    Row(
        "the clock is set an hour ahead: nothing is nearer, nothing is done in that run",
        idle(5) + idle(1, step_min=60) + idle(2),
        ["30 (clock) warn1 idle", "35 warn1 idle", "40 warn2 idle"],
        ["clock: the clock was set ahead by 1 h since the last run"],
    ),
    Row(
        "the clock is set an hour back: it takes longer",
        idle(5) + idle(1, step_min=-60) + idle(3),
        ["35 warn1 idle", "40 warn2 idle", "45 stop idle"],
        [],
    ),
    Row(
        "an hour ahead ends no hold",
        idle(2) + idle(1, step_min=600) + idle(3),
        [],
        [],
        None,
        [managed(**EXITED)],
    ),
    Row(
        "case 57: Docker is silent",
        idle(7) + idle(2, gaps=("docker",)) + idle(1),
        [
            "30 warn1 idle",
            "35 warn2 idle",
            "40 (source) stop idle",
            "45 (source) stop idle",
            "50 stop idle",
        ],
        ["source: docker is not known in this run"],
    ),
    Row(
        "names can't be looked up",
        idle(7) + idle(1, gaps=("users",)),
        ["30 warn1 idle", "35 warn2 idle", "40 (source) stop idle"],
        ["source: users is not known"],
    ),
    Row(
        "the store can't be read",
        idle(8),
        ["30 (source) warn1 idle", "35 (source) warn1 idle", "40 (source) warn1 idle"],
        ["source: state is not known in this run"],
        more={"sources_down": frozenset({"state"})},
    ),
    Row(
        "NVML was there and is not: stopped ones go all the same",
        idle(7),
        ["35 remove stopped"],
        [],
        None,
        [managed(**EXITED)],
        {"sources_down": frozenset({"nvml"})},
    ),
    Row(
        "only what was asked for",
        idle(7),
        [],
        [],
        None,
        [managed(**EXITED)],
        {"only": frozenset({"idle"})},
    ),
    Row(
        "only whom was asked for",
        idle(7),
        [],
        [],
        None,
        [managed(**EXITED)],
        {"users": frozenset({"bob"})},
    ),
]


@pytest.mark.parametrize("row", [*BREAKERS], ids=lambda row: row.name)
def test_trace(row: Row) -> None:
    check(row)


def change(kind: str, part: str, target: str = "x", **more: Any) -> Change:
    return Change(kind, part, target, target, ENGINE, "alice", "r", **more)  # type: ignore[arg-type]


def facts(**more: Any) -> Facts:
    clock = Clock(NOON, "boot-1", 1e6)
    return replace(Facts(clock, 10, 10, frozenset(), None, NOON - timedelta(days=9)), **more)


HELD = [
    # a source that is down, a change, and whether it is held back
    ("docker", "remove-image", "images", True),
    ("docker", "prune-build-cache", "cache", True),
    ("docker", "remove-network", "networks", True),
    ("users", "remove-image", "images", False),
    ("nvml", "remove-image", "images", False),
    ("nvml", "stop-container", "idle", True),
    ("nvml", "stop-container", "runtime", False),
    ("processes", "stop-container", "idle", True),
    ("processes", "remove-container", "stopped", False),
    ("users", "stop-container", "runtime", True),
    ("users", "remove-container", "created", True),
    ("users", "revoke-grant", "users", True),
    ("users", "warn", "idle", True),
    ("docker", "release-gpu", "gpu-holds", True),
    ("state", "remove-image", "images", True),
    ("policy", "stop-container", "runtime", True),
    ("something", "stop-container", "idle", False),
]


@pytest.mark.parametrize(("source", "kind", "part", "is_held"), HELD)
def test_what_a_silent_source_holds_back(source: str, kind: str, part: str, is_held: bool) -> None:
    one = change(kind, part)
    trips = tripped([one], facts(sources_down=frozenset({source})), policy())
    assert [trip.breaker for trip in trips] == ["source"] * is_held
    (after,) = held_back([one], trips)
    told = f"breaker source: {source} is not known in this run"
    assert after.skip == (told if is_held else None)


@pytest.mark.parametrize("kind", ["warn", "release-gpu"])
def test_the_hour_after_boot_takes_nothing_away_and_tells_all(kind: str) -> None:
    boot = facts(clock=Clock(NOON, "boot-2", 600.0))
    assert tripped([change(kind, "idle")], boot, policy()) == ()
    assert tripped([change("remove-image", "images")], boot, policy())[0].breaker == "boot"


def test_what_is_skipped_is_no_load() -> None:
    many = [change("stop-container", "idle", f"{n}", skip="report mode") for n in range(9)]
    assert tripped(many, facts(), policy()) == ()
    assert held_back(many, [Trip("boot", ("idle",), "t")]) == tuple(many)


@pytest.mark.parametrize(
    ("number", "running", "trips"),
    [(2, 2, False), (3, 15, False), (3, 14, True), (4, 20, False), (5, 20, True)],
)
def test_share(number: int, running: int, trips: bool) -> None:
    due = [change("stop-container", "runtime", f"{n}") for n in range(number)]
    found = tripped(due, facts(running=running), policy())
    assert [one.breaker for one in found] == ["share"] * trips
    assert all(one.parts == ("runtime",) for one in found)


@pytest.mark.parametrize(
    ("rows", "trips"),
    [
        ("{max_share: null}", False),
        ("{max_share: 1}", False),
        ("{always: 9}", False),
        ("{max_share: 0, always: 0}", True),
        ("{max_share: 0.89}", True),
    ],
)
def test_share_as_the_policy_has_it(rows: str, trips: bool) -> None:
    due = [change("remove-container", "stopped", f"{n}") for n in range(9)]
    rules = policy(f"cleanup: {{breaker: {rows}}}\n")
    assert bool(tripped(due, facts(), rules)) is trips


def test_limit_keeps_the_longest_due_and_all_warnings() -> None:
    due = [change("remove-image", "images", f"{n}", overdue_s=n) for n in range(4)]
    warning = change("warn", "idle")
    found = limited([warning, *due], 1)
    assert [one.target for one in found if one.skip is None] == ["x", "3"]
    assert limited([warning, *due], None) == (warning, *due)
    assert all(one.skip for one in limited(due, 0))


def test_a_limit_takes_an_image_with_all_its_tags_or_not_at_all() -> None:
    """And counts a container and an image together: the longest due first, images as they come."""
    images = [
        change(kind, "images", f"{name}{tag}", identity={"image_id": name})
        for name in ("z", "a")
        for tag, kind in (("1", "untag-image"), ("2", "remove-image"))
    ]
    stop = change("stop-container", "idle", overdue_s=60.0)
    for limit, done in (
        (0, []),
        (1, ["x"]),
        (2, ["x", "z1", "z2"]),
        (3, ["x", "z1", "z2", "a1", "a2"]),
    ):
        found = limited([*images, stop], limit)
        assert sorted(one.target for one in found if one.skip is None) == sorted(done), limit
