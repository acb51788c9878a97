"""Metrics for node_exporter's textfile collector, in the text exposition format 0.0.4.

Printed here: importing prometheus-client costs 53 ms of CPU, more than the rest of such a run,
and its ``write_to_textfile`` does not fsync. No timestamps: node_exporter refuses them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, get_args

from ds01ctl.core.model import Gap, GapKind, Health
from ds01ctl.core.record import NamedTuple
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.core.job_health import JobRow
    from ds01ctl.core.plan import Finding

SOURCES = ("nvml", "docker", "processes", "users", "policy", "state", "events")
"""Gaps of the metrics themselves come too late for the file."""
NOBODY = "unknown"
"""Who is named by a label, but does not exist: what users write makes no series."""


class Sample(NamedTuple):
    """One series and its value."""

    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """A metric with all its series; a name belongs to one file, and has one help text."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    samples: tuple[Sample, ...]


def render(families: Iterable[Family]) -> str:
    """Render families and their series sorted, so that equal readings give equal files."""
    ordered = sorted(families, key=lambda family: family.name)
    # many families may have the same labels: those that are one object are written once
    written: dict[int, str] = {}
    return "".join(_family(family, written) for family in ordered if family.samples)


def write(path: Path, families: Iterable[Family]) -> tuple[Gap, ...]:
    """Replace a ``.prom`` file, mode 0644; a gap where that cannot be done."""
    if not path.parent.is_dir():
        reason = f"{path.parent}: no such directory; is node_exporter installed?"
        return (Gap("metrics", "absent", reason),)
    try:
        write_atomic(path, render(families), mode=0o644)
    except OSError as error:
        kind: GapKind = "denied" if isinstance(error, PermissionError) else "failed"
        return (Gap("metrics", kind, f"{path}: {error.strerror or error}"),)
    return ()


def detect_metrics(
    findings: Sequence[Finding],
    gpu_health: Sequence[Health] | None,
    gaps: Sequence[Gap],
    kinds: Sequence[str],
) -> tuple[Family, ...]:
    """Count confirmed findings, GPUs and gaps.

    Each of ``kinds``, those that could be seen, has a series with user="" at least, so that an
    alert resolves to 0; one that could not be seen has none. ``gpu_health`` is None when NVML did
    not answer: then no GPU is counted.
    """
    found = Counter((f.kind, _user(f)) for f in findings if not f.new)
    users = {"", *(user for _, user in found)}
    states = Counter(gpu_health or ())
    missing = Counter((gap.source, gap.kind) for gap in gaps)
    sources = {*SOURCES, *(gap.source for gap in gaps)}
    return (
        Family(
            "ds01_detect_findings",
            "gauge",
            "Confirmed findings of the last run of detect, by kind and owner.",
            tuple(
                Sample({"kind": kind, "user": user}, found[kind, user])
                for kind in {*kinds, *(kind for kind, _ in found)}
                for user in users
            ),
        ),
        Family(
            "ds01_detect_gpus",
            "gauge",
            "GPUs by state, as NVML told; no series while NVML does not answer.",
            ()
            if gpu_health is None
            else tuple(Sample({"state": state}, states[state]) for state in get_args(Health)),
        ),
        Family(
            "ds01_detect_gaps",
            "gauge",
            "Readings that the last run of detect lacked, by source and kind of gap.",
            tuple(
                Sample({"source": source, "kind": kind}, missing[source, kind])
                for source in sources
                for kind in get_args(GapKind)
            ),
        ),
    )


def job_metrics(
    job: str, finished_at: datetime, duration_s: float, last_success: datetime | None
) -> tuple[Family, ...]:
    """Tell when a job ran, for how long, and when it last succeeded; every job's file has these.

    ``last_success`` is this run's end only if it succeeded, else what it was; None: never.
    """
    labels = {"job": job}
    success = () if last_success is None else (Sample(labels, last_success.timestamp()),)
    return (
        Family(
            "ds01_job_last_run_timestamp_seconds",
            "gauge",
            "When the job last ran to its end, successful or not.",
            (Sample(labels, finished_at.timestamp()),),
        ),
        Family(
            "ds01_job_last_success_timestamp_seconds",
            "gauge",
            "When the job last ran with every source answering.",
            success,
        ),
        Family(
            "ds01_job_duration_seconds",
            "gauge",
            "How long the job's last run took.",
            (Sample(labels, duration_s),),
        ),
    )


def unit_metrics(rows: Sequence[JobRow]) -> tuple[Family, ...]:
    """Tell how systemd runs each job; what is not known has no series.

    No name here is one of `job_metrics`: each job tells those itself, and a series that is in two
    files breaks the collector.
    """
    last_ran = [row for row in rows if row.last_run]
    return (
        _of_jobs(
            "ds01_job_enabled",
            "Whether the job's timer is started with the host.",
            {row.job: row.enabled for row in rows},
        ),
        _of_jobs(
            "ds01_job_last_start_timestamp_seconds",
            "When the job's last run began.",
            {row.job: row.last_run.timestamp() for row in last_ran if row.last_run},
        ),
        _of_jobs(
            "ds01_job_last_run_success",
            "Whether the last run of the job that is over was a success.",
            {row.job: row.state != "failing" for row in last_ran if row.result},
        ),
        _of_jobs(
            "ds01_job_last_run_duration_seconds",
            "How long the last run of the job took, as systemd saw it.",
            {row.job: row.duration_s for row in rows},
        ),
        _of_jobs(
            "ds01_job_missed_runs",
            "Runs of the job that should have begun since the last one.",
            {row.job: row.missed_runs for row in rows},
        ),
    )


def _of_jobs(name: str, help_text: str, values: Mapping[str, float | None]) -> Family:
    samples = (Sample({"job": job}, value) for job, value in values.items() if value is not None)
    return Family(name, "gauge", help_text, tuple(samples))


def _user(finding: Finding) -> str:
    """Name the owner if there is such a user: a login that exists, or the number of a uid."""
    if not finding.user:
        return ""
    owner = finding.subject.get("owner") or {}
    exists = owner.get("uid") is not None or finding.subject.get("type") == "user"
    return finding.user if exists or re.fullmatch("[0-9]{1,10}", finding.user) else NOBODY


def _family(family: Family, written: dict[int, str]) -> str:
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    series = []
    for labels, value in family.samples:
        shown = written.get(id(labels))
        if shown is None:
            shown = written[id(labels)] = _labels(labels)
        series.append(f"{family.name}{shown} {_value(value)}")
    head = [f"# HELP {family.name} {text}", f"# TYPE {family.name} {family.type}"]
    return "\n".join([*head, *sorted(series), ""])


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = [f'{name}="{_escape(value)}"' for name, value in sorted(labels.items())]
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    if value.isalnum() and value.isascii():
        # as most are, and there may be many thousands
        return value
    # what is not UTF-8 came from a host's file name and would make the file unreadable
    valid = value.encode(errors="replace").decode()
    return valid.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _value(value: float) -> str:
    if type(value) is int:
        return repr(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    # True and False are numbers to Python, but not to the exporter
    return "NaN" if math.isnan(value) else repr(int(value) if isinstance(value, bool) else value)
