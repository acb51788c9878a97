"""`units status`: the table, the document, the exit codes, and what --record tells of a change."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from ds01ctl.core.job_findings import KINDS
from ds01ctl.core.job_health import State
from tests.cli.conftest import Host, gaps, kinds
from tests.cli.fake_systemd import FakeSystemd, line

STATUS = ("units", "status")
FAILED = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": 1}


@pytest.fixture
def systemd(host: Host) -> FakeSystemd:
    """A healthy host with all its jobs."""
    (host.root / "var/log/ds01").mkdir()
    host.metrics_path = host.metrics_path.with_name("ds01_units.prom")
    fake = FakeSystemd(host)
    fake.all_well()
    return fake


def job(document, name):
    [row] = [row for row in document["data"]["jobs"] if row["job"] == name]
    return row


def fail_detect(systemd):
    systemd.ran("ds01-detect", 12, **FAILED)
    systemd.journal(
        line("ds01-detect", "an earlier line"),
        line("ds01-detect", "ds01ctl: resource-limits.yaml:3: \x1b[31mbad"),
        line("ds01-detect", "hint: correct it"),
    )


# --- looking ------------------------------------------------------------------------------------


def test_all_is_well(host, systemd):
    document = host.json(*STATUS, "--exit-code")
    assert (document["status"], document["findings"]) == ("ok", [])
    assert [row["job"] for row in document["data"]["jobs"]] == [
        "detect", "enforce", "quota", "cleanup-containers", "cleanup-images", "cleanup-report",
        "quota-volumes", "carbon", "carbon-intensity", "state", "units-check",
    ]  # fmt: skip
    detect = job(document, "detect")
    assert (detect["state"], detect["enabled"], detect["missed_runs"]) == ("ok", True, 0)
    assert (detect["result"], detect["exit_code"], detect["duration_s"]) == ("success", 0, 0.5)
    assert (detect["cpu_s"], detect["cpu_source"], detect["memory_bytes"]) == (
        0.25, "systemd", None,
    )  # fmt: skip
    assert job(document, "units-check")["state"] == "never-ran"


def test_systemd_is_asked_once_and_the_journal_not_at_all(host, systemd):
    host.json(*STATUS)
    assert len(systemd.asked()) == 1
    assert systemd.asked("journal-asked") == []


def test_looking_writes_nothing(host, systemd):
    before = sorted(host.root.rglob("*"))
    host.run(*STATUS)
    assert [path for path in sorted(host.root.rglob("*")) if path not in before] == []


def test_the_table_in_a_pipe(host, systemd):
    fail_detect(systemd)
    ran = host.run(*STATUS)
    head, *rows = ran.out.splitlines()
    assert head.split("  ")[0] == "JOB"
    assert rows[0].split()[:4] == ["detect", "failing", "30s", "12s"]
    assert "exit code 1" in rows[0]
    [told] = [row for row in rows if row.startswith("job-failing")]
    assert "resource-limits.yaml:3: \\x1b[31mbad" in told
    assert "journalctl -u ds01-detect -n 20" in told
    assert rows[-1] == "11 jobs: 7 ok, 1 failing, 2 disabled, 1 never-ran; 1 finding"


@pytest.mark.parametrize("columns", [80, 60, 200])
def test_the_table_fits_a_terminal(host, systemd, columns):
    # bash would set COLUMNS to what stty says
    host.env |= {"COLUMNS": str(columns), "SHELL": "/bin/sh"}
    shown = re.sub(r"\x1b\[[\d;]*m", "", host.on_terminal(*STATUS)).splitlines()
    table = [
        text
        for text in shown
        if text.startswith(("JOB", "detect", "enforce", "quota", "state", "units-check"))
    ]
    assert len(table) == 7
    assert all(len(text.rstrip()) <= columns for text in table)
    assert ("MEMORY" in table[0]) == (columns == 200)


@pytest.mark.parametrize(
    ("spoil", "state", "kind", "status"),
    [
        (fail_detect, "failing", "job-failing", 4),
        (lambda s: s.polling("ds01-detect", 30, 300), "ok", None, 0),
        (lambda s: (s.polling("ds01-detect", 30, 300), s.ran("ds01-detect", 300)), "overdue",
         "job-overdue", 4),
        (lambda s: s.polling("ds01-detect", 30, 9, ActiveState="inactive"), "stopped",
         "job-stopped", 4),
        (lambda s: s.unit("ds01-detect.timer", LoadState="masked"), "disabled", "job-disabled", 0),
        (lambda s: (s.bin / "units/ds01-detect.service").unlink(), "not-installed", None, 0),
        (lambda s: s.ran("ds01-detect", 3, ActiveState="activating"), "running", None, 0),
    ],
)  # fmt: skip
def test_a_job_that_is_not_well(host, systemd, spoil, state, kind, status):
    spoil(systemd)
    document = host.json(*STATUS, "--exit-code", status=status)
    assert job(document, "detect")["state"] == state
    assert kinds(document) == ({kind} if kind else set())
    assert host.run(*STATUS).status == 0


def test_missed_runs_of_the_calendar_are_counted(host, systemd):
    last = systemd.now - timedelta(days=3)
    systemd.calendar(
        "ds01-state", "*-*-* 05:10:00", -7200,
        LastTriggerUSec=f"{last:%a %Y-%m-%d %H:%M:%S} UTC",
    )  # fmt: skip
    row = job(host.json(*STATUS), "state")
    assert (row["state"], row["missed_runs"]) == ("overdue", 3)


def test_the_policy_turns_a_job_off(host, systemd):
    host.policy("jobs: {state: {enabled: false}}\n")
    systemd.calendar("ds01-state", "*-*-* 05:10:00", 60, ActiveState="inactive")
    (systemd.unit_dir / "ds01.target.wants/ds01-state.timer").unlink()
    assert "job-disabled" not in kinds(host.json(*STATUS))


def test_a_job_that_is_off_by_default_is_missed_once_it_is_wanted(host, systemd):
    document = host.json(*STATUS)
    assert job(document, "quota-volumes")["state"] == "disabled"
    assert kinds(document) == set()
    host.policy("jobs: {quota-volumes: {enabled: true}}\n")
    assert kinds(host.json(*STATUS)) == {"job-disabled"}


def test_a_timer_from_a_cron_line_is_watched(host, systemd):
    from ds01ctl.unitfiles.stamp import stamped

    for suffix in ("timer", "service"):
        path = systemd.unit_dir / f"ds01-cron-backup-1a2b3c.{suffix}"
        path.write_text(stamped("[Unit]\n"))
    systemd.calendar("ds01-cron-backup-1a2b3c", "*-*-* 04:00:00", 600)
    systemd.ran("ds01-cron-backup-1a2b3c", 9000, **FAILED)
    document = host.json(*STATUS, "--exit-code", status=4)
    row = job(document, "cron-backup-1a2b3c")
    assert (row["state"], row["schedule"], row["enabled"]) == ("failing", "*-*-* 04:00:00", False)


# --- files --------------------------------------------------------------------------------------


def test_files_that_are_not_as_installed(host, systemd):
    (systemd.unit_dir / "ds01-detect.timer").write_text("# ds01ctl: generated, digest 0\n[Timer]\n")
    (systemd.unit_dir / "ds01-state.service").unlink()
    (systemd.unit_dir / "ds01-tracker.service").write_text("[Service]\nExecStart=/bin/true\n")
    systemd.polling("ds01-detect", 30, 12, NeedDaemonReload="yes")
    document = host.json(*STATUS, "--exit-code")
    found = [(one["kind"], one["subject"].get("name")) for one in document["findings"]]
    assert found == [
        ("unit-edited", "ds01-detect.timer"),
        ("unit-missing", "ds01-state.service"),
        ("foreign-unit", "ds01-tracker.service"),
        ("reload-pending", None),
    ]


def test_nothing_is_installed(host, systemd):
    for folder in ("systemd", "tmpfiles.d", "logrotate.d"):
        for path in (host.root / "etc" / folder).rglob("*"):
            if path.is_file() or path.is_symlink():
                path.unlink()
    for path in (systemd.bin / "units").iterdir():
        path.unlink()
    document = host.json(*STATUS)
    assert {row["state"] for row in document["data"]["jobs"]} == {"not-installed"}
    [finding] = document["findings"]
    assert (finding["kind"], finding["subject"]["look"]) == (
        "unit-missing", "ds01ctl units install",
    )  # fmt: skip


def test_another_ds01ctl_on_path_makes_no_unit_outdated(host, systemd):
    """The units run the program that they were installed with, whoever looks."""
    for path in systemd.unit_dir.glob("*.service"):
        from ds01ctl.unitfiles.stamp import stamped

        _, _, text = path.read_text().partition("\n")
        path.write_text(stamped(text.replace("/opt/ds01ctl/bin/ds01ctl", "/usr/bin/ds01ctl")))
    assert host.json(*STATUS)["findings"] == []


# --- who could not be asked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "kind"),
    [("Failed to connect to bus: Permission denied", "denied"), ("Connection timed out", "failed")],
)
def test_systemd_does_not_answer(host, systemd, says, kind):
    """Never taken for "no timers"."""
    systemd.fail(says)
    document = host.json(*STATUS, "--exit-code", status=3)
    assert ("systemd", kind) in gaps(document)
    assert {row["state"] for row in document["data"]["jobs"]} == {"unknown"}
    assert document["findings"] == []


def test_no_systemd(host, systemd):
    (host.root / "run/systemd/system").rmdir()
    assert ("systemd", "absent") in gaps(host.json(*STATUS, status=3))


def test_no_journal(host, systemd):
    fail_detect(systemd)
    (systemd.bin / "no-journal").write_text("No journal files were found.\n")
    document = host.json(*STATUS, status=3)
    assert ("journal", "failed") in gaps(document)
    assert job(document, "detect")["state"] == "failing"


def test_a_policy_that_cannot_be_used_hides_no_job(host, systemd):
    host.policy("detect: {scans: never}\n")
    fail_detect(systemd)
    document = host.json(*STATUS, status=3)
    assert ("policy", "failed") in gaps(document)
    assert job(document, "detect")["state"] == "failing"


def test_a_store_that_is_broken(host, systemd):
    host.state_path.write_text("x" * 5000)
    assert ("state", "failed") in gaps(host.json(*STATUS, status=3))
    assert ("state", "failed") in gaps(host.json(*STATUS, "--record", status=3))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to break what root wrote")
def test_the_memory_of_a_run_comes_from_the_store(host, systemd):
    host.run("detect", "unmanaged", "--record")
    with closing(sqlite3.connect(host.state_path)) as db:
        began = (systemd.now - timedelta(seconds=11.9)).isoformat()
        ended = (systemd.now - timedelta(seconds=11.6)).isoformat()
        db.execute("UPDATE runs SET began_at = ?, ended_at = ?", (began, ended))
        db.commit()
    row = job(host.json(*STATUS), "detect")
    assert row["memory_bytes"] > 1 << 20
    assert (row["memory_source"], row["cpu_source"]) == ("program", "systemd")


def test_every_state_and_kind_is_documented():
    page = Path("docs/how-to/watch-the-timers.md")
    text = (Path(__file__).parent.parent.parent / page).read_text()
    for word in (*get_args(State), *KINDS):
        assert f"`{word}`" in text


# --- recording ----------------------------------------------------------------------------------


def told(host):
    return [(event["event_type"], event["details"].get("job")) for event in host.events()]


def test_a_healthy_host_tells_nothing(host, systemd):
    host.json(*STATUS, "--record")
    host.json(*STATUS, "--record")
    assert told(host) == []
    assert host.metric('ds01_job_enabled{job="detect"}') == 1
    assert host.metric('ds01_job_last_run_success{job="detect"}') == 1
    assert host.metric('ds01_job_missed_runs{job="state"}') == 0
    assert host.metric('ds01_job_last_success_timestamp_seconds{job="units-check"}') > 0


def test_a_failure_is_told_once_then_daily_and_its_end_once(host, systemd):
    fail_detect(systemd)
    host.json(*STATUS, "--record")
    host.json(*STATUS, "--record")
    assert told(host) == [("health.fail", "detect")]
    [event] = host.events()
    assert event["details"]["evidence"][-1].endswith("bad")
    assert host.metric('ds01_job_last_run_success{job="detect"}') == 0
    yesterday = (systemd.now - timedelta(hours=24)).isoformat()
    with closing(sqlite3.connect(host.state_path)) as db:
        db.execute("UPDATE inventory SET row = ? WHERE kind = 'units'", (yesterday,))
        db.commit()
    host.json(*STATUS, "--record")
    assert told(host) == [("health.fail", "detect")] * 2
    systemd.all_well()
    host.json(*STATUS, "--record")
    host.json(*STATUS, "--record")
    assert told(host) == [*[("health.fail", "detect")] * 2, ("health.check", None)]


def test_silence_of_systemd_is_no_recovery(host, systemd):
    fail_detect(systemd)
    host.json(*STATUS, "--record")
    systemd.fail("Connection timed out")
    host.json(*STATUS, "--record", status=3)
    (systemd.bin / "fails").unlink()
    host.json(*STATUS, "--record")
    assert told(host) == [("health.fail", "detect")]


def test_what_could_not_be_told_is_told_next_time(host, systemd):
    fail_detect(systemd)
    host.events_path.mkdir()
    assert ("events", "failed") in gaps(host.json(*STATUS, "--record", status=3))
    host.events_path.rmdir()
    host.json(*STATUS, "--record")
    assert told(host) == [("health.fail", "detect")]


def test_no_series_is_in_two_files(host, systemd):
    """node_exporter drops the second of two equal series."""
    host.run("detect", "unmanaged", "--record")
    host.json(*STATUS, "--record")
    series = [
        text.rpartition(" ")[0]
        for path in host.metrics_path.parent.glob("*.prom")
        for text in path.read_text().splitlines()
        if not text.startswith("#")
    ]
    assert len(series) == len(set(series)) > 20
