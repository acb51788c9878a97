"""The weekly report of cleanup, from the rows of its log."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from ds01ctl.core.plan import Result
from ds01ctl.report.cleanup_report_text import (
    VolumeLine,
    data_of,
    lines,
    of_rows,
    report_lines,
    subject,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
WEEK_AGO = NOON - timedelta(days=7)
GIB = 1 << 30


def row(kind: str, part: str, outcome: str = "done", **more: Any) -> dict[str, Any]:
    base = {"kind": kind, "part": part, "outcome": outcome, "name": "c1", "target": "a" * 64,
            "error": None, "freed_bytes": None}  # fmt: skip
    return {**base, **more}


ROWS = [
    row("warn", "idle"),
    row("warn", "idle", "skipped", error="it reached nobody"),
    row("warn", "idle", "skipped", error="it reached nobody"),
    row("stop-container", "idle"),
    row("stop-container", "runtime"),
    row("stop-container", "idle", "skipped"),
    row("stop-container", "idle", "failed", error="timed out\x1b[2J"),
    row("remove-container", "stopped", freed_bytes=2 * GIB),
    row("remove-image", "images", freed_bytes=30 * GIB),
    row("untag-image", "images", freed_bytes=0),
    row("trip", "idle", target="source"),
    row("trip", "idle", target="source"),
    row("trip", "idle", target="upgrade"),
    row("stop-container", "idle", "begun"),
]


def test_figures() -> None:
    """Only what was done counts; what failed is named, and what tripped."""
    week = of_rows(ROWS, "gpu01", WEEK_AGO, NOON)
    assert (week.stopped, week.removed) == ({"idle": 1, "runtime": 1}, {"stopped": 1, "images": 2})
    assert subject(week) == "[gpu01] cleanup: 2 stopped, 3 removed, 32 GiB freed"
    told = lines(week._replace(gpu_hours=12.34))
    cells = [" ".join(line.split()) for line in told]
    for line in (
        "freed 32 GiB",
        "unused images 30 GiB",
        "GPU time reclaimed 12.3 h",
        "warnings 1 delivered, 1 reached nobody: those containers run on",
    ):
        assert line in cells
    assert "  stop-container c1: timed out\\x1b[2J" in told
    assert "  source: 2 times" in told
    assert "  upgrade: 1 time" in told


def test_an_empty_week() -> None:
    week = of_rows([], "gpu01", WEEK_AGO, NOON)._replace(mode="report")
    text = "\n".join(lines(week))
    assert subject(week) == "[gpu01] cleanup: 0 stopped, 0 removed, 0 bytes freed"
    assert "cleanup.mode is report" in text
    assert "GPU time reclaimed  not known" in text
    assert "Volumes" not in text


def test_sizes_that_are_not_known() -> None:
    week = of_rows([row("remove-container", "stopped")], "gpu01", WEEK_AGO, NOON)
    assert "0 bytes, and what is not known of some" in "\n".join(lines(week))


def test_volumes_and_people() -> None:
    """The largest first, not without end, and nobody's name is obeyed by a terminal."""
    volumes = [VolumeLine(f"v{n:02}", "alice", n * GIB) for n in range(30)]
    volumes.append(VolumeLine("evil\x1b[2J", None, None, NOON))
    people = [("carol (uid 1005) has left: …", [f"home /home/{n}" for n in range(25)])]
    week = of_rows([], "gpu01", WEEK_AGO, NOON)._replace(volumes=volumes, departed=people)
    told = lines(week)
    assert report_lines(Result("cleanup report", "gpu01", NOON, data=data_of(week))) == told
    first = told.index("Volumes that no container has; none is removed but by name:")
    assert told[first + 2].split()[:4] == ["v29", "29", "GiB", "alice"]
    assert "  and 11 more" in told
    assert "    and 5 more" in told
    assert all(line.isprintable() for line in told)
