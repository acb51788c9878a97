"""How a job is, by what systemd says, what it noted itself, and what time it is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.core import job_findings
from ds01ctl.core.failure import (
    Failure,
    Streak,
    advance,
    dump,
    is_mailable,
    load,
    mail_to,
    quiet_of,
)
from ds01ctl.core.job_health import Clock, JobRow, Watched, judge, made_from_cron
from ds01ctl.core.keeping import Stored, stale
from ds01ctl.core.run_result import in_words
from ds01ctl.core.unit_state import Run, UnitState

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
UPTIME_S = 10_000.0
CLOCK = Clock(NOON, UPTIME_S)
POLLING = Watched("detect", "ds01-detect", "30s", 30, 25, enabled=True)
DAILY = Watched("state", "ds01-state", "*-*-* 05:10:00", None, 300, enabled=True)
REPEATS = ("OnUnitActiveUSec=30s", "OnBootUSec=30s")
CALENDAR = ("OnCalendar=*-*-* 05:10:00",)


def ago(seconds):
    return NOON - timedelta(seconds=seconds)


def timer(**values):
    fixed = {"load": "loaded", "active": "active", "sub": "waiting", "active_since_s": 10.0}
    return UnitState("x.timer", **{**fixed, **values})


def polled(seconds, **values):
    """A polling timer that fired so long ago."""
    fired = UPTIME_S - seconds
    times = {"triggered_at": ago(seconds), "triggered_s": fired, "next_s": fired + 30}
    return timer(**{"schedules": REPEATS, **times, **values})


def daily(seconds, **values):
    """A calendar timer that is to fire in so many seconds."""
    return timer(**{"schedules": CALENDAR, "next_at": ago(-seconds), **values})


def service(seconds=None, took=1.0, **values):
    """A service that ran so long ago; None: never since the boot."""
    ran = {}
    if seconds is not None:
        ran = {"began_at": ago(seconds), "began_s": UPTIME_S - seconds, "exit_status": 0}
        ran |= {"ended_at": ago(seconds - took), "ended_s": UPTIME_S - seconds + took}
        ran |= {"cpu_s": 0.3}
    return UnitState("x.service", **{"load": "loaded", "result": "success", **ran, **values})


def run(seconds, status=0, took=0.9):
    return Run(ago(seconds), ago(seconds - took), status, 500_000, 40 << 20)


FAILED = {"active": "failed", "result": "exit-code", "exit_status": 1}
BUSY = {"active": "activating", "sub": "start", "ended_at": None, "ended_s": None}


@pytest.mark.parametrize(
    ("about", "its_timer", "its_service", "noted", "state"),
    [
        (POLLING, polled(12), service(12), None, "ok"),
        (POLLING, polled(12), service(12, **BUSY), None, "running"),
        (POLLING, polled(12), service(12, **FAILED), None, "failing"),
        (POLLING, polled(12), service(12, result="timeout", active="failed"), None, "failing"),
        # failed, then reset-failed or started again by hand: the result is what counts
        (POLLING, polled(12), service(12, result="exit-code", exit_status=1), None, "failing"),
        (POLLING, polled(115), service(115), None, "ok"),
        (POLLING, polled(116), service(116), None, "overdue"),
        # a run by hand, with the timer stuck
        (POLLING, polled(500), service(20), None, "ok"),
        (POLLING, polled(500), service(500, **BUSY), None, "running"),
        # just booted, or just installed
        (POLLING, timer(active_since_s=UPTIME_S - 20), service(), None, "never-ran"),
        (POLLING, timer(active_since_s=UPTIME_S - 200), service(), None, "overdue"),
        # after a reboot only the store knows
        (POLLING, timer(active_since_s=UPTIME_S - 20), service(), run(900), "ok"),
        (DAILY, daily(60_000), service(), run(900, status=3), "failing"),
        (DAILY, daily(60_000), service(), run(900, status=4), "ok"),
        (DAILY, daily(60_000), service(26_000), None, "ok"),
        (DAILY, daily(60_000), service(), None, "never-ran"),
        (DAILY, daily(-100), service(90_000), None, "ok"),
        (DAILY, daily(-121), service(90_000), None, "overdue"),
        (DAILY, daily(-121), service(130, **BUSY), None, "running"),
        (DAILY, timer(schedules=CALENDAR), service(900), None, "overdue"),
        (DAILY, timer(schedules=("OnBootUSec=1min",), sub="elapsed"), service(900), None, "ok"),
        (DAILY, daily(0, active="inactive", next_at=None), service(900), None, "stopped"),
        (
            DAILY._replace(enabled=False),
            daily(0, active="inactive", next_at=None),
            service(900),
            None,
            "disabled",
        ),
        # what failed before it was disabled is over
        (DAILY._replace(enabled=False), timer(active="inactive"), service(9, **FAILED), None,
         "disabled"),
        (DAILY._replace(enabled=False), daily(900), service(900), None, "ok"),
        (DAILY, timer(load="masked"), service(), None, "disabled"),
        (DAILY, timer(load="not-found"), service(), None, "not-installed"),
        (DAILY, daily(900), service(load="not-found"), None, "not-installed"),
        (DAILY, daily(900), service(load="bad-setting"), None, "failing"),
        (DAILY, None, None, run(900), "unknown"),
    ],
)  # fmt: skip
def test_state(about, its_timer, its_service, noted, state):
    row = judge(about, its_timer, its_service, noted, CLOCK)
    assert (row.state, row.why) == (state, row.why)
    assert bool(row.why) == (state not in {"ok", "running", "never-ran"} or about.enabled is False)


BACKUP = Watched("cron-backup", "ds01-cron-backup", "daily", enabled=False)
AT_BOOT = ("OnBootUSec=1min",)


@pytest.mark.parametrize(
    ("about", "its_timer", "state", "why"),
    [
        # still a line of cron: nothing is wrong with that
        (BACKUP, timer(active="inactive"), "with-cron", "cron still has its line"),
        # to start it now would run the job now
        (
            BACKUP._replace(enabled=True),
            timer(active="inactive", schedules=AT_BOOT),
            "ok",
            "waits for the next boot",
        ),
        (
            BACKUP._replace(enabled=True),
            timer(active="inactive", schedules=(*AT_BOOT, *CALENDAR)),
            "stopped",
            "its timer is enabled, but not started",
        ),
        # Persistent= touches its stamp when the timer starts: no run has begun by that
        (DAILY, daily(900, triggered_at=ago(60)), "never-ran", None),
    ],
)
def test_what_is_no_fault(about, its_timer, state, why):
    row = judge(about, its_timer, service(), None, CLOCK)
    assert (row.state, row.why) == (state, why)


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_a_step_of_the_time_makes_no_polling_job_overdue(jump_s):
    clock = Clock(NOON + timedelta(seconds=jump_s), UPTIME_S)
    row = judge(POLLING, polled(12), service(12), None, clock)
    assert (row.state, row.missed_runs) == ("ok", 0)


@pytest.mark.parametrize(
    ("schedules", "schedule", "state"),
    [
        (("OnBootUSec=2min", "OnUnitActiveUSec=5min"), "5min", "ok"),
        (("OnUnitActiveUSec=30s",), "30s", "overdue"),
        (("OnCalendar=hourly",), "hourly", "overdue"),
        ((), "30s", "overdue"),
    ],
)
def test_the_schedule_in_force_counts_not_that_of_the_policy(schedules, schedule, state):
    its_timer = polled(400, schedules=schedules, next_s=None)
    row = judge(POLLING, its_timer, service(400), None, CLOCK)
    assert (row.schedule, row.state) == (schedule, state)


@pytest.mark.parametrize(
    ("waited_s", "missed"),
    [(0, 0), (30, 0), (31, 0), (60, 0), (61.5, 1), (92, 2), (3001, 99), (-5, 0)],
)
def test_missed_runs_of_a_polling_job(waited_s, missed):
    assert judge(POLLING, polled(waited_s), service(), None, CLOCK).missed_runs == missed


def test_missed_runs_are_not_known_of_a_timer_that_is_off():
    row = judge(POLLING, timer(active="inactive"), service(900), None, CLOCK)
    assert row.missed_runs is None


def test_the_last_run_as_systemd_has_it():
    row = judge(POLLING, polled(12), service(12, memory_peak_bytes=7), run(11.5), CLOCK)
    assert (row.last_run, row.result, row.exit_code) == (ago(12), "success", 0)
    assert (row.duration_s, row.cpu_s, row.cpu_source) == (1.0, 0.3, "systemd")
    assert (row.memory_bytes, row.memory_source) == (7, "systemd")
    assert row.next_run == ago(-18)


def test_memory_as_the_program_noted_it():
    """Before 256 systemd forgets it at the end of a run."""
    row = judge(POLLING, polled(12), service(12), run(11.95), CLOCK)
    assert (row.memory_bytes, row.memory_source) == (40 << 20, "program")
    assert row.cpu_source == "systemd"


def test_an_earlier_run_lends_no_memory():
    row = judge(POLLING, polled(12), service(12, **FAILED), run(42), CLOCK)
    assert (row.memory_bytes, row.memory_source) == (None, None)


def test_a_run_of_before_the_boot():
    row = judge(DAILY, daily(900), service(), run(80_000, status=3), CLOCK)
    assert (row.last_run, row.result, row.exit_code) == (ago(80_000), "exit code 3", 3)
    assert (row.cpu_s, row.cpu_source, row.memory_source) == (0.5, "program", "program")


def test_without_systemd_nothing_is_made_up():
    row = judge(POLLING, None, None, None, CLOCK)
    assert row == JobRow(
        "detect", "ds01-detect", "unknown", "30s", True, why="systemd could not be asked"
    )


@pytest.mark.parametrize(
    ("result", "status", "words"),
    [
        ("success", 4, "success"),
        ("exit-code", 1, "exit code 1"),
        ("exit-code", 203, "exit code 203: it could not be started"),
        ("signal", 9, "killed by SIGKILL"),
        ("signal", "TERM", "killed by SIGTERM"),
        ("signal", 999, "killed by signal 999"),
        ("core-dump", 11, "crashed (SIGSEGV)"),
        ("timeout", 15, "timeout"),
        ("oom-kill", 9, "out of memory"),
        ("something-new", 1, "something-new"),
        (None, None, None),
    ],
)
def test_results_in_words(result, status, words):
    assert in_words(result, status) == words


def test_a_killed_run_has_no_exit_code():
    killed = service(12, active="failed", result="signal", exit_status=9)
    row = judge(POLLING, polled(12), killed, None, CLOCK)
    assert (row.result, row.exit_code) == ("killed by SIGKILL", None)


def test_a_timer_made_from_a_cron_line():
    its_timer = daily(900, schedules=("OnCalendar=Mon *-*-* 04:00:00", "OnCalendar=*-*-1 04:00"))
    about = made_from_cron("ds01-cron-backup-1a2b3c", its_timer, enabled=True)
    assert (about.name, about.every_s) == ("cron-backup-1a2b3c", None)
    assert about.schedule == "Mon *-*-* 04:00:00, *-*-1 04:00"


# --- findings -----------------------------------------------------------------------------------


def found_of(rows, watched):
    return [(one.kind, one.severity) for one in job_findings.of_jobs(rows, watched)]


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        ("ok", True, []),
        ("running", True, []),
        ("never-ran", True, []),
        ("unknown", True, []),
        ("not-installed", True, []),
        ("failing", True, [("job-failing", "warning")]),
        ("overdue", True, [("job-overdue", "warning")]),
        ("stopped", True, [("job-stopped", "warning")]),
        ("disabled", True, [("job-disabled", "info")]),
        ("disabled", False, []),
        ("with-cron", True, []),
    ],
)
def test_findings_of_jobs(state, wanted, expected):
    row = JobRow("detect", "ds01-detect", state, "30s", why="x")
    assert found_of([row], {"ds01-detect": POLLING._replace(wanted=wanted)}) == expected


@pytest.mark.parametrize(
    ("placed", "expected"),
    [
        ({"/a": "current", "/b": "current"}, []),
        ({"/a": "missing", "/b": "missing"}, [("unit-missing", None)]),
        ({"/a": "missing", "/b": "current"}, [("unit-missing", "/a")]),
        ({"/a": "outdated", "/b": "edited"}, [("unit-outdated", "/a"), ("unit-edited", "/b")]),
        ({"/a": "foreign", "/b": "current"}, [("foreign-unit", "/a")]),
        ({"/a": "current", "/b": "current", "/old": "outdated"}, [("unit-outdated", "/old")]),
        ({"/a": "current", "/b": "current", "/old": "foreign"}, []),
        ({}, []),
    ],
)
def test_findings_of_files(placed, expected):
    found = job_findings.of_files(placed, ["/a", "/b"])
    assert [(one.kind, one.subject["path"]) for one in found] == expected


def test_every_finding_has_evidence_and_a_way_on():
    placed = {"/a": "missing", "/b": "outdated", "/c": "edited", "/d": "foreign"}
    found = [
        *job_findings.of_files(placed, placed),
        *job_findings.of_foreign(["/etc/systemd/system/ds01-x.service"]),
        *job_findings.of_reloads([UnitState("x.timer", needs_reload=True)]),
    ]
    assert {one.kind for one in found} <= set(job_findings.KINDS)
    assert all(one.evidence and one.subject["look"] and one.subject["type"] for one in found)
    assert len({one.key for one in found}) == len(found)


# --- rows of failures ---------------------------------------------------------------------------


def after(streak, seconds, quiet_s=3600):
    return advance(streak, NOON + timedelta(seconds=seconds), timedelta(seconds=quiet_s))


def test_a_row_of_failures_is_told_once_an_hour_and_mailed_once_a_day():
    streak, told, mailed = None, [], []
    for seconds in range(0, 2 * 86_400, 30):
        now = NOON + timedelta(seconds=seconds)
        streak = after(streak, seconds)
        if streak.event_is_due(now):
            told.append(seconds)
            streak = streak._replace(told_at=now)
        if streak.mail_is_due(now):
            mailed.append(seconds)
            streak = streak._replace(mailed_at=now, tried_at=None)
    assert told == list(range(0, 2 * 86_400, 3600))
    assert mailed == [0, 23 * 3600, 46 * 3600]
    assert streak.failures == 5760


def test_a_mail_that_could_not_be_sent_is_tried_again_after_a_while():
    streak = after(None, 0)._replace(tried_at=NOON)
    assert not streak.mail_is_due(NOON + timedelta(minutes=9))
    assert streak.mail_is_due(NOON + timedelta(minutes=10))


@pytest.mark.parametrize(
    ("seconds", "failures"), [(30, 2), (3600, 2), (3601, 1), (-3601, 1), (-30, 2)]
)
def test_a_quiet_time_or_a_step_of_the_clock_ends_a_row(seconds, failures):
    assert after(after(None, 0), seconds).failures == failures


@pytest.mark.parametrize(("every_s", "hours"), [(30, 1), (1200, 1), (3600, 3), (None, 25)])
def test_how_long_is_quiet(every_s, hours):
    assert quiet_of(every_s) == timedelta(hours=hours)


def test_a_row_is_kept_as_it_is():
    streak = Streak(ago(90), NOON, 3, ago(90), None, ago(30))
    assert load(dump(streak)) == streak


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", "3", '{"began_at": 3}', "\x00", "[" * 100_000,
     '{"began_at":"2026-11-23T12:00:00","last_at":"2026-11-23T12:00:00Z","failures":1,'
     '"told_at":null,"mailed_at":null,"tried_at":null}',
     dump(Streak(NOON, NOON, -1)), dump(Streak(NOON, NOON)).replace("0,", '"x",'),
     dump(Streak(NOON, NOON)).replace("null", '"soon"')],
)  # fmt: skip
def test_a_row_that_makes_no_sense_is_none(text):
    assert load(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("[Unit]\nDescription=x\n", None),
        ("[Unit]\nX-DS01-MailTo=alice\n", ("alice",)),
        ("[Unit]\nX-DS01-MailTo=a@b.org, c@d.org\n", ("a@b.org", "c@d.org")),
        ("[Unit]\nX-DS01-MailTo=50%%@b.org\n", ("50%@b.org",)),
        ("[Unit]\nX-DS01-MailTo=\n", ()),
    ],
)
def test_whom_a_unit_names(text, expected):
    assert mail_to(text) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("admin@uni.example", True),
        ("alice", True),
        ("a.b+c@x-y.org", True),
        ("a@b.org\nBcc: x@y.org", False),
        ("a@b.org\r", False),
        ("a b@c.org", False),
        ("<a@b.org>", False),
        ("a@b.org,c@d.org", False),
        ("-oQ/tmp@x.org", False),
        ("ü@x.org", False),
        ("", False),
        ("@x.org", False),
        ("a@b@c", False),
        ("x" * 400, False),
    ],
)
def test_addresses(address, expected):
    assert is_mailable(address) is expected


def test_a_failure_in_words():
    assert Failure("x.service", NOON, "exit-code", "3").in_words == "exit code 3"
    assert Failure("x.service", NOON, "signal", "KILL").in_words == "killed by SIGKILL"
    assert Failure("x.service", NOON).in_words == "for an unknown reason"


# --- what the store need not keep ---------------------------------------------------------------

ENGINE = "unix:///run/docker.sock"
OLD, YOUNG = ago(29 * 86_400), ago(27 * 86_400)


@pytest.mark.parametrize(
    ("answered", "gone"), [(OLD, 1), (YOUNG, 0), (NOON + timedelta(days=1), 0)]
)
def test_what_rests_on_a_silent_engine_goes_with_it(answered, gone):
    stored = Stored(
        {f"engine:{ENGINE}": answered, "nvml": NOON},
        {
            ("workload", "a"): f'{{"sources": ["engine:{ENGINE}"]}}',
            ("workload", "b"): f'{{"sources": ["engine:{ENGINE}", "nvml"]}}',
            ("workload", "c"): '{"sources": []}',
            ("units", "d"): '"2026"',
            ("workload", "e"): "broken",
        },
        [
            ("unmanaged-container", "container", ENGINE, "ab12"),
            ("outside-slice", "container", ENGINE, "ab12"),
            ("gpu-unhealthy", "GPU-1"),
            ("host-gpu-process", "process", "boot", "4"),
        ],
        {},
    )
    found = stale(stored, ["detect"], NOON)
    assert found.counts == {
        "sources": gone, "inventory": gone, "findings": 2 * gone, "runs": 0,
    }  # fmt: skip
    assert bool(found) == bool(gone)


def test_runs_of_jobs_that_are_no_more():
    stored = Stored({}, {}, [], {"detect": OLD, "gone": OLD, "going": YOUNG})
    assert stale(stored, ["detect"], NOON).runs == ("gone",)
