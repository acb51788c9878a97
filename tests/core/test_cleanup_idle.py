"""Traces of idleness, of what is not known, and of the warnings.

``case N`` are the recorded failures of such tools, ``script N`` the bugs of the scripts before.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.core.cleanup_traces import (
    STOPS,
    Row,
    check,
    gpu_container,
    overridden,
    policy,
)
from tests.core.cleanup_worlds import MB, Look, busy, failing, idle, use
from tests.core.worlds import (
    NOON,
    PLAIN,
    managed,
    with_gpus,
)

IDLENESS = [
    Row(
        "all signals quiet: two warnings, then the stop",
        idle(8),
        STOPS,
        [
            "gpu 0 % < 5 %",
            "cpu 0.5 % < 2 %",
            "network 1000 bytes < 1 MiB in 5 min",
            "block-io 2 KiB < 10 MiB in 5 min",
            "sessions none",
            "idle in 7 checks in a row; 3 are needed",
            "idle for 35 min; idle_timeout_h is 0.5 (resource-limits.yaml:12 (defaults))",
            "warned 2026-11-23 12:30Z after 25 min (terminal pts/3)",
            "warned 2026-11-23 12:35Z after 30 min (terminal pts/3)",
        ],
    ),
    Row(
        "made with --rm: what a stop loses is told before",
        idle(8),
        STOPS,
        ["made with --rm: the engine removes it when it stops, and undo can't have it back"],
        policy("cleanup: {mode: enforce, auto_remove: stop}\n"),
        containers=[gpu_container(config=with_gpus("GPU-0")._replace(auto_remove=True))],
    ),
    Row(
        "made with --rm: only told, once it is due",
        idle(8),
        [],
        [
            "it is not stopped, as it was made with --rm",
            "cleanup.auto_remove is report (built-in)",
        ],
        containers=[gpu_container(config=with_gpus("GPU-0")._replace(auto_remove=True))],
    ),
    Row(
        "made with --rm: not due, not told",
        idle(5),
        [],
        containers=[gpu_container(config=with_gpus("GPU-0")._replace(auto_remove=True))],
    ),
    Row("GPU busy, all else quiet", use(12, gpu=50), [], ["gpu 50 % >= 5 %", "active"]),
    Row("at the threshold is not below it", use(12, gpu=5), [], ["gpu 5 % >= 5 %"]),
    Row("just below the threshold", use(8, gpu=4.9), STOPS, ["gpu 4.9 % < 5 %"]),
    Row("case 47: it loads data, the GPU waits", use(12, cpu=3), [], ["cpu 3 % >= 2 %"]),
    Row("it downloads", use(12, network=2 * MB), [], ["network 2 MiB >= 1 MiB in 5 min"]),
    Row("it writes a checkpoint", use(12, block_io=20 * MB), [], ["block-io 20 MiB >= 10 MiB"]),
    Row(
        "somebody types in it",
        idle(12, session_ago_min=1),
        [],
        ["sessions active at 2026-11-23 12:59:00Z"],
    ),
    Row(
        "a shell that nobody has touched",
        idle(8, session_ago_min=600),
        STOPS,
        ["sessions quiet since"],
    ),
    Row("a notebook at work", idle(12, jupyter_ago_min=2), [], ["jupyter active at"]),
    Row(
        "a notebook server that gives no answer in time now and then is not known",
        (idle(1, jupyter_ago_min=300) + idle(1, absent=frozenset({"jupyter"}))) * 20,
        ["55 warn1 idle", "65 warn2 idle"],
        ["jupyter unknown: it was read before, and is not there now"],
    ),
    Row(
        "a notebook server that was shut down is no more",
        idle(2, jupyter_ago_min=300) + idle(9, absent=frozenset({"jupyter"})),
        ["35 warn1 idle", "40 warn2 idle", "45 stop idle"],
        ["jupyter absent: for a test"],
    ),
    Row(
        "script 2: an idle notebook server with its kernels is idle",
        idle(8, jupyter_ago_min=300),
        STOPS,
        ["jupyter quiet since"],
    ),
    Row(
        "case 72, script 1: 5 GB received long ago are no activity",
        idle(8),
        STOPS,
        ["network 1000 bytes < 1 MiB"],
    ),
    Row(
        "a rate, not a sum: 0.9 MiB in ten minutes",
        [Look(use={"network": 0.9 * MB}, minutes=10)] * 5,
        ["40 warn1 idle", "50 warn2 idle"],
        ["network 922 KiB < 1 MiB in 5 min"],
    ),
    Row("busy for one look in three", (idle(2) + busy(1)) * 6, [], ["cpu 150 % >= 2 %"]),
    Row(
        "activity after the first warning begins all anew",
        idle(6) + busy(1) + idle(7),
        ["30 warn1 idle", "60 warn1 idle", "65 warn2 idle", "70 stop idle"],
    ),
    Row(
        "activity after the last warning",
        idle(7) + busy(1) + idle(4),
        ["30 warn1 idle", "35 warn2 idle"],
    ),
    Row(
        "case 73, script 3: another one of the same name inherits nothing",
        idle(7) + idle(1, do="recreate") + idle(8),
        ["30 warn1 idle", "35 warn2 idle"],
        ["first sample of this run", "in its start grace: 5 of 30 min"],
    ),
    Row(
        "a restart begins with its grace",
        idle(7) + idle(1, do="restart") + idle(8),
        ["30 warn1 idle", "35 warn2 idle"],
        ["first sample of this run", "in its start grace"],
    ),
    Row("a new name changes nothing", idle(3) + idle(1, do="rename other") + idle(4), STOPS),
    Row(
        "started just now: 30 minutes of grace first",
        idle(14),
        ["60 warn1 idle", "65 warn2 idle", "70 stop idle"],
        ["in its start grace: 25 of 30 min"],
        containers=[gpu_container(started_at=NOON + timedelta(minutes=4, seconds=59))],
    ),
    Row(
        "grace for ever",
        idle(20),
        [],
        ["never idle: grace_period_m is null"],
        overridden("policies: {grace_period_m: null}"),
    ),
    Row(
        "paused in between: what was counted is void",
        idle(6) + idle(1, do="pause") + idle(1, do="unpause") + idle(6),
        ["30 warn1 idle", "65 warn1 idle", "70 warn2 idle"],
        ["paused: c-aaaa is paused"],
    ),
    Row(
        "idle, but holding memory",
        idle(8, gpu_memory=12 << 30),
        STOPS,
        [
            "idle-holding: c-aaaa has been idle for 15 min, but holds 12 GiB of GPU memory",
            "idle but holding: it holds 12 GiB of GPU memory",
        ],
    ),
    Row("no GPU: not judged", idle(30), [], [], containers=[managed(config=PLAIN)]),
    Row(
        "no GPU, but to be judged",
        idle(8, absent=frozenset({"gpu"})),
        STOPS,
        ["gpu absent: for a test"],
        policy("cleanup: {mode: enforce, idle_without_gpu: true}\n"),
        [managed(config=PLAIN)],
    ),
    Row(
        "whether it has a GPU is not known",
        idle(8),
        [],
        ["gpu-unknown: c-aaaa: whether it has a GPU"],
        containers=[managed(config=None)],
    ),
]

UNKNOWN = [
    *(
        Row(
            f"case 75, script 7: {signal} fails, and unknown is never idle",
            failing(signal, times=12),
            [],
            [
                f"{signal} unknown: for a test",
                "idle-unknown: c-aaaa: whether it is idle is not known",
            ],
        )
        for signal in ("gpu", "cpu", "network", "block-io", "sessions", "jupyter")
    ),
    Row(
        "one failure breaks the row, not the sum",
        idle(6) + failing("gpu") + idle(3),
        ["30 warn1 idle", "40 warn2 idle", "50 stop idle"],
        ["idle in 3 checks in a row"],
    ),
    Row(
        "a failure every third look: never enough in a row",
        (idle(2) + failing("sessions")) * 6,
        ["40 warn1 idle", "50 warn2 idle"],
        ["idle in 2 checks in a row; 3 are needed"],
    ),
    Row(
        "a counter's failure costs two intervals",
        idle(6) + failing("cpu") + idle(4),
        ["30 warn1 idle", "45 warn2 idle", "55 stop idle"],
        ["cpu unknown: not read the time before"],
    ),
    Row(
        "a counter that goes back within one run",
        idle(3) + idle(1, reset="cpu") + idle(2),
        [],
        ["cpu unknown: its counter went back"],
    ),
    Row(
        "a counter that vanishes",
        idle(3) + idle(4, absent=frozenset({"network"})),
        [],
        ["network unknown: it was read before, and is not there now"],
    ),
    Row(
        "the host's network is not its own",
        idle(8, absent=frozenset({"network"})),
        STOPS,
        ["network absent: for a test"],
    ),
    Row("every container has a CPU", idle(8, absent=frozenset({"cpu"})), [], ["cpu unknown"]),
    Row("no sample at all", idle(3) + idle(9, sample=False), [], ["no sample could be taken"]),
    Row(
        "the driver is silent",
        idle(12, gaps=("nvml",), failed=frozenset({"gpu"})),
        [],
        ["gpu unknown"],
    ),
    Row("busy and unknown is busy", failing("network", times=3, use={"gpu": 80}), [], ["active"]),
    Row(
        "GPU not looked at",
        use(8, gpu=90),
        STOPS,
        ["gpu not looked at: its threshold is null"],
        overridden("policies: {gpu_idle_threshold: null}"),
    ),
    Row(
        "CPU not looked at: the GPU alone says it",
        use(8, cpu=90),
        STOPS,
        ["cpu not looked at"],
        overridden("policies: {cpu_idle_threshold: null}"),
    ),
    Row(
        "CPU not looked at, GPU not there",
        idle(8, absent=frozenset({"gpu"})),
        [],
        ["neither CPU nor GPU use is known"],
        overridden("policies: {cpu_idle_threshold: null}"),
    ),
    Row("one look proves nothing", idle(1, minutes=600), [], ["first sample of this run"]),
    Row(
        "25 minutes without a look are one check",
        idle(1) + idle(1, minutes=25) + idle(3),
        ["30 warn1 idle", "35 warn2 idle", "40 stop idle"],
        ["idle in 1 check in a row"],
    ),
    Row(
        "40 minutes without a look prove nothing",
        idle(6) + idle(1, minutes=40) + idle(7),
        ["30 warn1 idle", "95 warn1 idle", "100 warn2 idle", "105 stop idle"],
        ["first sample after 40 min without one"],
    ),
]

WARNINGS = [
    Row(
        "a warning that reaches nobody is repeated, and nothing follows",
        idle(30, delivered=False),
        [f"{minute} warn1 idle" for minute in range(30, 155, 5)],
    ),
    Row(
        "the last warning reaches nobody",
        idle(6) + idle(4, delivered=False),
        ["30 warn1 idle", "35 warn2 idle", "40 warn2 idle", "45 warn2 idle", "50 warn2 idle"],
    ),
    Row(
        "delivered late: the rest comes after it",
        idle(10, delivered=False) + idle(4),
        [*(f"{m} warn1 idle" for m in range(30, 60, 5)), "60 warn2 idle", "65 stop idle"],
    ),
    Row(
        "the job was off: no warning is skipped",
        idle(6) + idle(1, minutes=25) + idle(2),
        ["30 warn1 idle", "55 warn2 idle", "60 stop idle"],
    ),
    Row(
        "the store is lost after both warnings",
        idle(7) + idle(1, do="lost-store") + idle(7),
        ["30 warn1 idle", "35 warn2 idle", "65 warn1 idle", "70 warn2 idle", "75 stop idle"],
    ),
    Row(
        "two hours of timeout: 96, then 18 more, then the rest",
        idle(27),
        ["105 warn1 idle", "125 warn2 idle", "135 stop idle"],
        ["idle_timeout_h is 2 (user-overrides.yaml:1 (user override))"],
        overridden("idle_timeout_h: 2"),
    ),
]


@pytest.mark.parametrize("row", [*IDLENESS, *UNKNOWN, *WARNINGS], ids=lambda row: row.name)
def test_trace(row: Row) -> None:
    check(row)
