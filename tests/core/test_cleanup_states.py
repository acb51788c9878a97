"""Traces of containers that do not run, and of those that run too long.

``case N`` are the recorded failures of such tools, ``script N`` the bugs of the scripts before.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from ds01ctl.core.cleanup_model import Keep
from tests.core.cleanup_traces import (
    ALICES,
    CREATED,
    EXITED,
    FREE,
    OWNED,
    STOPS,
    Row,
    check,
    exempted,
    gpu_container,
    overridden,
    policy,
    raw,
)
from tests.core.cleanup_worlds import busy, failing, idle
from tests.core.worlds import (
    NOON,
    A,
    container,
    managed,
)

STATES = [
    *(
        Row(
            f"case 22: {state} is left alone",
            idle(40),
            [],
            [f"{state}: c-aaaa is"],
            policy(FREE),
            [gpu_container(state=state)],
        )
        for state in ("paused", "restarting", "removing", "unknown")
    ),
    Row(
        "case 22: dead goes after its hold, and is told",
        idle(7),
        ["35 remove stopped"],
        ["dead: c-aaaa is dead"],
        overridden("gpu_hold_after_stop_h: null"),
        [gpu_container(**{**EXITED, "state": "dead"})],
    ),
    Row(
        "case 66: stopped three days ago by its own word, and seen so for the hold",
        idle(7),
        ["20 release-gpu gpu-holds", "35 remove stopped"],
        [
            "stopped for 30 min; container_hold_after_stop_h is 0.5 (resource-limits.yaml:14",
            "finished 2026-11-20 12:00:00Z",
            "seen stopped for 30 min",
            "its volumes stay",
            "stopped for 15 min; gpu_hold_after_stop_h is 0.25",
            "GPU-0 by its configuration",
        ],
        None,
        [gpu_container(**EXITED)],
    ),
    Row(
        "a null hold is for ever",
        idle(60),
        [],
        [],
        overridden("container_hold_after_stop_h: null, gpu_hold_after_stop_h: null"),
        [gpu_container(**EXITED)],
    ),
    Row(
        "no hold at all: still not at first sight",
        idle(2),
        ["10 remove stopped"],
        [],
        overridden("container_hold_after_stop_h: 0"),
        [managed(**EXITED)],
    ),
    Row(
        "started again and stopped: the hold is anew",
        idle(6) + idle(1, do="start") + idle(1, do="stop") + idle(7),
        ["70 remove stopped"],
        [],
        None,
        [managed(**EXITED)],
    ),
    Row(
        "a reboot prolongs the hold",
        idle(5) + idle(1, do="reboot") + idle(3),
        ["40 remove stopped"],
        [],
        policy(FREE),
        [managed(**EXITED)],
    ),
    Row(
        "a lost store prolongs it",
        idle(6) + idle(1, do="lost-store") + idle(6),
        ["65 remove stopped"],
        [],
        None,
        [managed(**EXITED)],
    ),
    Row(
        "a weekend without the job ends no hold at once",
        idle(1) + idle(1, minutes=3000),
        [],
        [],
        overridden("container_hold_after_stop_h: 3"),
        [managed(**EXITED)],
    ),
    Row(
        "exempt from removal",
        idle(40),
        [],
        [],
        exempted("username: alice, exempt_from: [container_hold_after_stop_h], expires_on: null"),
        [managed(**EXITED)],
    ),
    Row("case 71: protected from removal", idle(40), [], [], None, [managed(**EXITED, **ALICES)]),
    Row(
        "kept from removal",
        idle(40),
        [],
        [],
        None,
        [managed(**EXITED)],
        {"keeps": [Keep(A, None, "labadmin")]},
    ),
    Row(
        "case 18: unlabelled ones are told, not removed",
        idle(8),
        ["35 (its) remove stopped", "40 (its) remove stopped"],
        ["its owner is not known"],
        None,
        [container(**EXITED)],
    ),
    Row(
        "case 23: created and forgotten",
        idle(7),
        ["35 remove created"],
        [
            "created 1 h 35 min ago and never started; created_container_timeout_m is 30",
            "seen so for 30 min",
        ],
        None,
        [managed(**CREATED)],
    ),
    Row(
        "case 67: create … start in progress survives",
        idle(5) + idle(1, do="start") + busy(6),
        [],
        [],
        policy(FREE),
        [managed(**CREATED, created_at=NOON)],
    ),
    Row(
        "case 67: exited without an end was never started",
        idle(7),
        ["35 remove created"],
        ["never started"],
        None,
        [managed(**{**EXITED, "finished_at": None, "started_at": None})],
    ),
    Row(
        "seen for an hour, but made five minutes ago by its Created",
        idle(12),
        [],
        [],
        None,
        [managed(**CREATED, created_at=NOON + timedelta(minutes=55))],
    ),
    Row("Created is not known", idle(12), [], [], None, [managed(**CREATED, created_at=None)]),
    Row(
        "created: never",
        idle(40),
        [],
        [],
        overridden("policies: {created_container_timeout_m: null}"),
        [managed(**CREATED)],
    ),
    Row(
        "a stopped one that is removed by hand gives up its GPU",
        idle(2) + idle(1, do="remove") + idle(2),
        ["15 release-gpu gpu-holds"],
        ["the container is gone", "no process is ended"],
        None,
        [gpu_container(**EXITED)],
    ),
    Row(
        "case 68: an engine that is silent says nothing is gone",
        idle(2) + idle(3, do="remove", gaps=("docker",)),
        [],
        [],
        None,
        [gpu_container(**EXITED)],
    ),
    Row(
        "a GPU is released once",
        idle(8),
        ["20 release-gpu gpu-holds"],
        [],
        overridden("container_hold_after_stop_h: null"),
        [gpu_container(**EXITED)],
    ),
    Row(
        "a stop of ours is removed with its reason",
        idle(15),
        [*STOPS, "60 release-gpu gpu-holds", "75 remove stopped"],
        ["stopped by cleanup: idle for 35 min; idle_timeout_h is 0.5"],
    ),
]

HOUR = "max_runtime_h: 1, idle_timeout_h: null, container_hold_after_stop_h: null"
NEW = [gpu_container(started_at=NOON, created_at=NOON)]
OLD = [gpu_container(started_at=NOON - timedelta(hours=100))]
RUNTIME = [
    Row(
        "an hour: 45, 54, 60 minutes",
        busy(12),
        ["45 warn1 runtime", "55 warn2 runtime", "65 stop runtime"][:2],
        [
            "has run for 45 min; max_runtime_h is 1 (user-overrides.yaml:1 (user override))",
            "first started 2026-11-23 12:00Z",
        ],
        overridden(HOUR),
        NEW,
    ),
    Row(
        "the rest after the last warning",
        busy(13),
        ["45 warn1 runtime", "55 warn2 runtime", "65 stop runtime"],
        ["warned 2026-11-23 12:45Z after 45 min (terminal pts/3)"],
        overridden(HOUR),
        NEW,
    ),
    Row(
        "first seen after 100 hours: warned first, and given the rest",
        busy(5),
        ["5 warn1 runtime", "15 warn2 runtime", "25 stop runtime"],
        ["has run for 4 d 4 h"],
        overridden(HOUR),
        OLD,
    ),
    Row(
        "case 1: 48 hours are not 48 seconds", busy(40), [], [], None, [raw()], {"snapshot": OWNED}
    ),
    Row("no GPU", busy(20), [], [], overridden(HOUR), [managed(started_at=NOON)]),
    Row(
        "no GPU, but to be held",
        busy(10),
        ["45 warn1 runtime"],
        [],
        policy(
            "cleanup: {mode: enforce, runtime_without_gpu: true}\n",
            user_overrides_yaml=f"alice: {{{HOUR}}}\n",
        ),
        [managed(started_at=NOON)],
    ),
    Row("null", busy(40), [], [], overridden("max_runtime_h: null"), OLD),
    Row(
        "case 73: restarts do not begin anew",
        (busy(2) + busy(1, do="restart")) * 5,
        ["50 warn1 runtime", "60 warn2 runtime", "70 stop runtime"],
        ["earlier runs count: "],
        overridden(HOUR),
        NEW,
    ),
    Row(
        "time between runs does not count",
        busy(6) + busy(1, do="stop") + busy(10, minutes=30) + busy(1, do="start") + busy(4),
        ["65 release-gpu gpu-holds", "355 warn1 runtime"],
        [],
        overridden(HOUR),
        NEW,
    ),
    Row(
        "a reboot loses no run time",
        busy(6) + busy(1, do="reboot") + busy(1, do="start") + busy(4),
        ["55 warn1 runtime"],
        [],
        policy(FREE, user_overrides_yaml=f"alice: {{{HOUR}}}\n"),
        NEW,
    ),
    Row(
        "a lost store: warned again, then the rest",
        busy(11) + busy(1, do="lost-store") + busy(3),
        ["45 warn1 runtime", "55 warn2 runtime", "60 warn1 runtime", "70 warn2 runtime"],
        [],
        overridden(HOUR),
        NEW,
    ),
    Row(
        "unknown use does not matter",
        failing("gpu", "cpu", times=9),
        ["45 warn1 runtime"],
        [],
        overridden(HOUR),
        NEW,
    ),
    Row(
        "exempt",
        busy(20),
        [],
        [],
        exempted("username: alice, exempt_from: [max_runtime_h], expires_on: null"),
        OLD,
    ),
    Row(
        "case 47: the grace of its type",
        busy(5),
        [],
        [],
        None,
        [raw(started_at=NOON)],
        {"snapshot": OWNED},
    ),
]


@pytest.mark.parametrize("row", [*STATES, *RUNTIME], ids=lambda row: row.name)
def test_trace(row: Row) -> None:
    check(row)
