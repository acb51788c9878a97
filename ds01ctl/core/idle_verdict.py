"""Judge what was between two samples of one run: active, idle, or not known.

A counter means nothing until it is read twice. Unknown is never idle.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.cleanup_model import SIGNALS
from ds01ctl.core.sizes import size

if TYPE_CHECKING:
    from ds01ctl.core.cleanup_model import Reading, Sample, Signal

RATE_S = 300.0
"""Network and block IO are compared as bytes in so many seconds, however long the interval."""
_ABSENT_IS_NORMAL = frozenset({"gpu", "sessions", "jupyter"})
# what proves activity by a time, not by a counter
_TIMES = frozenset({"sessions", "jupyter"})


class Thresholds(NamedTuple):
    """Below which use a container may be idle; None: the signal is not looked at."""

    gpu_percent: float | None
    cpu_percent: float | None
    """100 is one core."""
    network_bytes: float | None
    """In RATE_S seconds."""
    block_io_bytes: float | None
    """In RATE_S seconds."""
    grace_s: float | None
    """After its start a container is never idle for so long; None: for ever."""


class Found(NamedTuple):
    """What one signal says of an interval."""

    says: Literal["active", "idle", "unknown", "nothing"]
    """nothing: the container has no such signal, or the policy does not look at it."""
    line: str


def judge(
    last: Sample, sample: Sample, limits: Thresholds, seconds: float
) -> tuple[Literal["active", "idle", "unknown"], tuple[str, ...]]:
    """Judge an interval of so many real seconds, with one line of evidence a signal."""
    found = {signal: _look(signal, last, sample, limits, seconds) for signal in SIGNALS}
    lines = tuple(one.line for one in found.values())
    said = {one.says for one in found.values()}
    if "active" in said:
        return "active", lines
    if "unknown" in said:
        return "unknown", lines
    if not {"idle"} & {found["cpu"].says, found["gpu"].says}:
        return "unknown", (*lines, "neither CPU nor GPU use is known")
    return "idle", lines


def remembered(last: Sample, sample: Sample) -> Sample:
    """Give what to compare the next sample with: a counter that vanished is not forgotten.

    So it stays unknown for the rest of the run, or until it is there again.
    """
    lost: dict[Signal, Reading] = {}
    for signal, before in last.readings.items():
        now = sample.readings.get(signal)
        is_gone = now is None or now.state == "absent"
        if signal not in _ABSENT_IS_NORMAL and before.state == "known" and is_gone:
            lost[signal] = before
    return sample._replace(readings={**sample.readings, **lost}) if lost else sample


def _look(
    signal: Signal, last: Sample, sample: Sample, limits: Thresholds, seconds: float
) -> Found:
    reading = sample.readings.get(signal)
    before = last.readings.get(signal)
    if signal not in _TIMES and _threshold(signal, limits) is None:
        return Found("nothing", f"{signal} not looked at: its threshold is null")
    if reading is None or reading.state == "absent":
        return _absent(signal, reading, before)
    if reading.state == "failed":
        return Found("unknown", f"{signal} unknown: {reading.detail or 'could not be read'}")
    if signal in _TIMES:
        return _by_time(signal, reading, _began(last, sample, seconds))
    if signal == "gpu":
        return _compared("gpu", reading.value, limits.gpu_percent)
    return _by_counter(signal, reading, before, limits, seconds)


def _threshold(signal: Signal, limits: Thresholds) -> float | None:
    by_signal = {
        "gpu": limits.gpu_percent,
        "cpu": limits.cpu_percent,
        "network": limits.network_bytes,
        "block-io": limits.block_io_bytes,
    }
    return by_signal.get(signal)


def _absent(signal: Signal, reading: Reading | None, before: Reading | None) -> Found:
    """A counter of a run that was there and is not there any more is a failed reading."""
    if signal == "cpu":
        return Found("unknown", "cpu unknown: every container has one, and it was not read")
    was_read = before is not None and before.state == "known"
    if was_read and (signal not in _ABSENT_IS_NORMAL or signal == "jupyter"):
        # a server that is slow looks like none; one that is gone was there a moment ago
        return Found("unknown", f"{signal} unknown: it was read before, and is not there now")
    why = f": {reading.detail}" if reading is not None and reading.detail else ""
    return Found("nothing", f"{signal} absent{why}")


def _began(last: Sample, sample: Sample, seconds: float) -> float:
    """Give the interval's begin by the wall's clock of now and of then, the earlier of both.

    After a step back, what was done since then has times before the last sample.
    """
    return min(last.at.now.timestamp(), sample.at.now.timestamp() - seconds)


def _by_time(signal: Signal, reading: Reading, began: float) -> Found:
    if reading.value <= 0:
        return Found("idle", f"{signal} none")
    if reading.value > began:
        return Found("active", f"{signal} active at {_clock(reading.value)}")
    return Found("idle", f"{signal} quiet since {_clock(reading.value)}")


def _clock(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s"


def _by_counter(
    signal: Signal, reading: Reading, before: Reading | None, limits: Thresholds, seconds: float
) -> Found:
    if before is None or before.state != "known":
        return Found("unknown", f"{signal} unknown: not read the time before")
    delta = reading.value - before.value
    if delta < 0:
        return Found("unknown", f"{signal} unknown: its counter went back")
    if signal == "cpu":
        return _compared("cpu", delta / 1e6 / seconds * 100, limits.cpu_percent)
    most = _threshold(signal, limits) or 0.0
    rate = delta * RATE_S / seconds
    is_idle = rate < most
    sign = "<" if is_idle else ">="
    line = f"{signal} {size(int(rate))} {sign} {size(int(most))} in 5 min"
    return Found("idle" if is_idle else "active", line)


def _compared(signal: str, value: float, threshold: float | None) -> Found:
    most = threshold or 0.0
    is_idle = value < most
    sign = "<" if is_idle else ">="
    return Found(
        "idle" if is_idle else "active", f"{signal} {_percent(value)} {sign} {_percent(most)}"
    )


def _percent(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") + " %"
