"""The table of what units may do has a row for each, with the limit of its job."""

import re
from pathlib import Path

import pytest

from ds01ctl.jobs import FAILURE, JOBS, START, Job

PAGE = Path(__file__).parent.parent / "docs/explanation/units.md"
_ROW = re.compile(r"^\| (`ds01-[^|]*`) \| ([\d.]+) \| ([\d.]+) \|", re.MULTILINE)


def rows() -> dict[str, tuple[float, float]]:
    """By unit: how exposed it is, and how exposed it may be."""
    found = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {
        name: (float(is_), float(most))
        for names, is_, most in found
        for name in re.findall(r"`([^`]+)`", names)
    }


@pytest.mark.parametrize("job", [*JOBS, FAILURE, START], ids=lambda job: job.name)
def test_each_job_has_its_row(job: Job) -> None:
    exposure, most = rows()[job.unit]
    assert exposure <= most == job.exposure


def test_there_is_no_row_of_another() -> None:
    assert rows().keys() == {job.unit for job in (*JOBS, FAILURE, START)}
