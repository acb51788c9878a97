"""Say what is wrong with the scheduled jobs and with their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.plan import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.job_health import JobRow, Watched
    from ds01ctl.core.placing import State as Placed
    from ds01ctl.core.plan import Severity
    from ds01ctl.core.unit_state import UnitState

KINDS = (
    "job-failing",
    "job-overdue",
    "job-stopped",
    "job-disabled",
    "unit-missing",
    "unit-outdated",
    "unit-edited",
    "foreign-unit",
    "reload-pending",
)
"""Every kind of finding of `units status`, in the order of the documentation."""
PRESSING = frozenset({"job-failing", "job-overdue", "job-stopped"})
"""A job does not do its work: exit code 4 with ``--exit-code``."""
_FOLDERS = "/etc/tmpfiles.d/ds01.conf"
_INSTALL = "ds01ctl units install"


def of_jobs(rows: Iterable[JobRow], watched: Mapping[str, Watched]) -> Iterator[Finding]:
    """Find the jobs that do not do their work."""
    for row in rows:
        if row.state in {"failing", "overdue", "stopped"}:
            yield _job(f"job-{row.state}", "warning", row)
        elif row.state == "disabled" and watched[row.unit].wanted:
            yield _job("job-disabled", "info", row)


def _job(kind: str, severity: Severity, row: JobRow) -> Finding:
    subject: dict[str, Any] = {
        "type": "job",
        "job": row.job,
        "unit": f"{row.unit}.service",
        "look": _look(kind, row),
    }
    evidence = [row.why or row.state]
    if row.last_error:
        evidence.append(row.last_error)
    return Finding(kind, severity, None, subject, tuple(evidence), (kind, row.unit))


def _look(kind: str, row: JobRow) -> str:
    if kind == "job-failing":
        return f"journalctl -u {row.unit} -n 20"
    if kind == "job-overdue":
        return f"systemctl status {row.unit}.timer"
    return f"systemctl start {row.unit}.timer" if kind == "job-stopped" else _INSTALL


def of_files(placed: Mapping[str, Placed], wanted: Iterable[str]) -> Iterator[Finding]:
    """Find the files that are not as `units install` would have them."""
    wanted = set(wanted)
    if placed and all(placed[place] == "missing" for place in placed if place in wanted):
        text = f"none of the {len(wanted)} files is there"
        yield _file("unit-missing", "warning", "", (text,), _INSTALL)
        return
    for place, state in sorted(placed.items()):
        diff = "ds01ctl units diff"
        if state == "missing" and place in wanted:
            yield _file("unit-missing", "warning", place, ("is not there",), _INSTALL)
        elif state == "outdated":
            why = "is of an older ds01ctl or policy" if place in wanted else "is wanted no more"
            is_folders = place == _FOLDERS
            if is_folders:
                why = "tells another mode or group of a folder than the folder has now"
            yield _file("unit-outdated", "info" if is_folders else "warning", place, (why,), diff)
        elif state == "edited":
            yield _file("unit-edited", "info", place, ("was edited since it was installed",), diff)
        elif state == "foreign" and place in wanted:
            yield _file("foreign-unit", "warning", place, ("stands where ours belongs",), diff)


def of_foreign(places: Iterable[str]) -> Iterator[Finding]:
    """Find units with a name of ours that are not ours: they would be lost with this host."""
    for place in sorted(places):
        why = "bears a name of ds01, and was not made by ds01ctl"
        look = f"systemctl cat {place.rpartition('/')[2]}"
        yield _file("foreign-unit", "info", place, (why,), look)


def of_reloads(units: Iterable[UnitState]) -> Iterator[Finding]:
    """Find the units whose file was changed and whose old text is in force."""
    for unit in sorted(units, key=lambda one: one.name):
        # one whose file is gone is told as missing
        if unit.needs_reload and unit.load == "loaded":
            why = "its file was changed, and what was there before is still in force"
            subject = {"type": "unit", "unit": unit.name, "look": _INSTALL}
            key = ("reload-pending", unit.name)
            yield Finding("reload-pending", "warning", None, subject, (why,), key)


def _file(kind: str, severity: Severity, place: str, evidence: Sequence[str], look: str) -> Finding:
    name = place.rpartition("/")[2]
    subject = {"type": "file", "path": place or None, "name": name or None, "look": look}
    return Finding(kind, severity, None, subject, tuple(evidence), (kind, place))
