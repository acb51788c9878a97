"""Forecasts of disk use: what one takes, by how much is known: `python -m tests.bench.forecast`."""

from __future__ import annotations

import statistics
import time
from datetime import datetime, timedelta, timezone

from ds01ctl.core.forecast import trend_bytes_per_day

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
ROUNDS, TIMES = 15, 20


def main() -> None:
    """Measure, and print Markdown."""
    print(f"Medians of {ROUNDS} rounds:\n")
    print("| what is known | samples | CPU for one forecast |\n|---|---:|---:|")
    for name, days, step in (
        ("two weeks, by the hour", 14, timedelta(hours=1)),
        ("two weeks, by the minute", 14, timedelta(minutes=1)),
        ("a year, by the minute", 365, timedelta(minutes=1)),
    ):
        count = timedelta(days=days) // step
        samples = [(NOW - (count - one) * step, one * 1000) for one in range(count + 1)]
        costs = [_cost(samples) for _ in range(ROUNDS)]
        print(f"| {name} | {count + 1:,} | {statistics.median(costs) * 1000:.2f} ms |")


def _cost(samples: list[tuple[datetime, int]]) -> float:
    """Give the CPU seconds of one forecast."""
    began = time.process_time()
    for _ in range(TIMES):
        assert trend_bytes_per_day(samples, NOW)
    return (time.process_time() - began) / TIMES


if __name__ == "__main__":
    main()
