"""Generate and verify the units of 20 jobs: `python -m tests.bench.units`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from ds01ctl.commands import verifying
from ds01ctl.jobs import JOBS, Job
from ds01ctl.paths import Paths
from ds01ctl.unitfiles.files import DEFAULT, Site, render
from tests.bench.measure import once, side_by_side

JOB_COUNT = 20
ROUNDS = 9


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.units", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do it, and measure nothing")
    if parser.parse_args().once:
        generate_and_verify()
        return
    argv = [sys.executable, "-m", "tests.bench.units", "--once"]
    once(argv, os.environ)
    (cost,) = side_by_side({"units": argv}, os.environ, ROUNDS).values()
    print(
        f"generate and verify, {JOB_COUNT} jobs: {cost.wall_s * 1000:.0f} ms wall,"
        f" {cost.cpu_s * 1000:.0f} ms CPU, {cost.peak_mib:.0f} MiB"
    )


def generate_and_verify() -> None:
    """Render the files, write them to a folder, and check that folder as `units verify` does."""
    site = DEFAULT._replace(jobs=jobs())
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as name:
        folder = Path(name)
        _program(folder, site)
        for file in render(site):
            path = folder / "made" / file.source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
        asked = verifying.Asked(
            Paths(folder), (folder / "made",), "bench", datetime.now(timezone.utc)
        )
        result = verifying.verify(asked, (), site.jobs)
    assert result.findings == (), result.findings
    assert result.gaps == (), result.gaps
    assert len(result.data["exposures"]) == JOB_COUNT + 2


def jobs() -> tuple[Job, ...]:
    """Make up rows like ours, four of them polling."""
    polling, calendar = JOBS[0], JOBS[1]
    rows = [polling._replace(name=f"poll{n}") for n in range(4)]
    rows += [
        calendar._replace(name=f"daily{n}", schedule=f"*-*-* {4 + n:02d}:10:00")
        for n in range(JOB_COUNT - len(rows))
    ]
    return tuple(rows)


def _program(root: Path, site: Site) -> None:
    """Put the programs there that the units start."""
    for place in (site.program, "/usr/bin/systemctl"):
        path = root / place.lstrip("/")
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)


if __name__ == "__main__":
    main()
