"""What systemctl and journalctl print, read back; the samples are of a real systemd 252."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.observe import journal, systemd
from ds01ctl.observe.journal import Line
from ds01ctl.paths import Paths


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


SHOWN = """\
TimersCalendar={ OnCalendar=*-*-* 05:10:00 ; next_elapse=Tue 2026-11-24 05:10:00.000000 UTC }
NextElapseUSecRealtime=Tue 2026-11-24 05:17:12 UTC
NextElapseUSecMonotonic=0
LastTriggerUSec=
LastTriggerUSecMonotonic=0
Result=success
Id=ds01-state.timer
LoadState=loaded
ActiveState=active
SubState=waiting
DropInPaths=
ActiveEnterTimestampMonotonic=188523146
NeedDaemonReload=no
InvocationID=92434b7e060049f68f947bd43b4cb5c3

TimersMonotonic={ OnUnitActiveUSec=10min ; next_elapse=13min 8.589408s }
TimersMonotonic={ OnBootUSec=30s ; next_elapse=30s }
NextElapseUSecRealtime=
NextElapseUSecMonotonic=13min 8.589408s
LastTriggerUSec=Mon 2026-11-23 17:55:19 UTC
LastTriggerUSecMonotonic=3min 8.547596s
Result=success
Id=ds01-detect.timer
LoadState=loaded
ActiveState=active
SubState=waiting
NeedDaemonReload=yes
ActiveEnterTimestampMonotonic=188541822

Result=exit-code
NRestarts=0
ExecMainStartTimestamp=Mon 2026-11-23 17:55:19.957560 UTC
ExecMainStartTimestampMonotonic=188584951
ExecMainExitTimestamp=Mon 2026-11-23 17:55:19.987613 UTC
ExecMainExitTimestampMonotonic=188615003
ExecMainCode=1
ExecMainStatus=3
CPUUsageNSec=26465000
Id=ds01-detect.service
LoadState=loaded
ActiveState=failed
SubState=failed
DropInPaths=/etc/systemd/system/ds01-detect.service.d/50-local.conf
NeedDaemonReload=no
InvocationID=4414a54f4b91488e9f64119bc7e55370

Result=success
ExecMainStartTimestamp=
ExecMainStartTimestampMonotonic=0
ExecMainExitTimestamp=
ExecMainExitTimestampMonotonic=0
ExecMainCode=0
ExecMainStatus=0
CPUUsageNSec=[not set]
Id=nothere.service
LoadState=not-found
ActiveState=inactive
SubState=dead
InvocationID=
"""


@pytest.fixture
def units():
    return systemd.parse(SHOWN)


def test_a_timer_of_the_calendar(units):
    timer = units["ds01-state.timer"]
    assert (timer.next_at, timer.next_s) == (utc(2026, 11, 24, 5, 17, 12), None)
    assert (timer.triggered_at, timer.triggered_s) == (None, None)
    assert timer.schedules == ("OnCalendar=*-*-* 05:10:00",)


def test_a_polling_timer(units):
    timer = units["ds01-detect.timer"]
    assert (timer.next_at, timer.next_s) == (None, pytest.approx(788.589408))
    assert timer.triggered_at == utc(2026, 11, 23, 17, 55, 19)
    assert timer.triggered_s == pytest.approx(188.547596)
    assert timer.active_since_s == pytest.approx(188.541822)
    assert timer.schedules == ("OnUnitActiveUSec=10min", "OnBootUSec=30s")
    assert timer.needs_reload


def test_a_service_that_failed(units):
    service = units["ds01-detect.service"]
    assert (service.result, service.exit_status, service.active) == ("exit-code", 3, "failed")
    assert service.began_at == utc(2026, 11, 23, 17, 55, 19, 957560)
    assert service.ended_s - service.began_s == pytest.approx(0.030052)
    assert service.cpu_s == pytest.approx(0.026465)
    assert service.memory_peak_bytes is None
    assert service.drop_ins == ("/etc/systemd/system/ds01-detect.service.d/50-local.conf",)


def test_what_is_not_known_is_not_zero(units):
    unit = units["nothere.service"]
    assert unit.load == "not-found"
    assert {unit.exit_status, unit.began_at, unit.began_s, unit.cpu_s, unit.invocation} == {None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon 2026-11-23 17:55:28.066462 UTC", utc(2026, 11, 23, 17, 55, 28, 66462)),
        ("Mon 2026-11-23 17:55:28 UTC", utc(2026, 11, 23, 17, 55, 28)),
        ("@1795456528", utc(2026, 11, 23, 17, 55, 28)),
        ("", None),
        ("n/a", None),
        (None, None),
        ("Mon 2026-11-23 17:55:28 CET", None),
        ("Mon 2026-13-23 17:55:28 UTC", None),
        ("yesterday", None),
    ],
)
def test_moments(text, expected):
    assert systemd.moment(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13min 8.589408s", 788.589408),
        ("1w 2d 3h", 788_400),
        ("1month 500ms", 2_629_800.5),
        ("12us", 12e-6),
        ("infinity", None),
        ("[not set]", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_spans(text, expected):
    assert systemd.span(text) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("26465000", 26465000), ("0", 0), ("18446744073709551615", None), ("-1", None), ("٣", None)],
)
def test_counts(text, expected):
    assert systemd.integer(text) == expected


@pytest.mark.parametrize("text", ["", "\n\n\n", "nonsense", "=x", "Id=\n", "\x00\xff=1\n\n=\n"])
def test_nonsense_is_no_unit(text):
    assert systemd.parse(text) == {}


# --- who could not be asked ---------------------------------------------------------------------


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A host with systemd as PID 1, and nothing on PATH but what a test puts there."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/env").symlink_to(shutil.which("env"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def gaps_of(read):
    _, gaps = read
    return [(gap.source, gap.kind) for gap in gaps]


def test_systemd_is_not_pid_1(tmp_path):
    found, gaps = systemd.read(["a.timer"], Paths(tmp_path))
    assert found is None
    assert gaps_of((found, gaps)) == [("systemd", "absent")]


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (None, "absent"),
        ("echo 'Failed to connect to bus: No such file or directory' >&2; exit 1", "failed"),
        ("echo 'Failed to connect to bus: Permission denied' >&2; exit 1", "denied"),
        ("exit 1", "failed"),
        ("exit 0", "failed"),
        ("printf 'Id=other.timer\\n'", "failed"),
    ],
)
def test_systemctl_does_not_answer(fake, says, kind):
    if says:
        program(fake / "bin", "systemctl", says)
    found, gaps = systemd.read(["a.timer"], Paths(fake))
    assert found is None
    assert gaps_of((found, gaps)) == [("systemd", kind)]


def test_one_call_for_all(fake):
    text = (
        'echo "$*" >> "${0}.asked"; printf \'Id=a.timer\\n\\nId=b.service\\nLoadState=loaded\\n\''
    )
    program(fake / "bin", "systemctl", text)
    found, gaps = systemd.read(["a.timer", "b.service"], Paths(fake))
    assert (set(found), gaps) == ({"a.timer", "b.service"}, ())
    assert len((fake / "bin/systemctl.asked").read_text().splitlines()) == 1


# --- calendar -----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    ("expressions", "days", "count"),
    [
        (["*-*-* 05:10:00"], 3, 3),
        (["*-*-* 05:10:00", "*-*-* 06:00:00"], 3, 6),
        (["*-*-* 05:10:00", "*-*-* 05:10:00"], 3, 3),
        (["Mon *-*-* 04:00:00"], 1, 0),
        (["2001-01-01 00:00:00"], 30, 0),
        (["no calendar"], 3, None),
    ],
)
def test_firings(expressions, days, count):
    since = utc(2026, 11, 23, 12)
    assert systemd.firings(expressions, since, since + timedelta(days=days)) == count


# --- the journal --------------------------------------------------------------------------------

RUN = "4414a54f4b91488e9f64119bc7e55370"
OTHER = "0" * 32


def test_lines_of_runs(fake):
    said = [
        {"MESSAGE": "one", "PRIORITY": "6", "_SYSTEMD_INVOCATION_ID": RUN},
        {"MESSAGE": [116, 119, 255], "_SYSTEMD_INVOCATION_ID": RUN},
        {"MESSAGE": None, "_SYSTEMD_INVOCATION_ID": RUN},
        {"MESSAGE": "an event", "DS01_EVENT": "x", "_SYSTEMD_INVOCATION_ID": RUN},
        {"MESSAGE": "Failed.", "PRIORITY": "3", "INVOCATION_ID": RUN},
        {"MESSAGE": "another's", "_SYSTEMD_INVOCATION_ID": OTHER},
        ["no object"],
    ]
    (fake / "said").write_text("".join(json.dumps(one) + "\n" for one in said) + "{broken\n")
    program(fake / "bin", "journalctl", f'while read -r l; do echo "$l"; done < {fake / "said"}')
    lines, gaps = journal.read([RUN])
    assert gaps == ()
    assert lines == (
        Line(RUN, "one"),
        Line(RUN, "tw\\xff"),
        Line(RUN, "Failed.", 3, is_own=False),
    )


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (None, "absent"),
        ("echo 'No journal files were found.' >&2; exit 1", "failed"),
        ("echo 'No journal files were opened: Permission denied' >&2; exit 1", "denied"),
    ],
)
def test_no_journal(fake, says, kind):
    if says:
        program(fake / "bin", "journalctl", says)
    assert gaps_of(journal.read([RUN])) == [("journal", kind)]


def test_nothing_is_asked_where_nothing_failed(fake):
    assert journal.read([]) == ((), ())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([Line(RUN, "one"), Line(RUN, "ds01ctl: bad"), Line(RUN, "hint: do")], "ds01ctl: bad"),
        ([Line(RUN, "marked", 3), Line(RUN, "later")], "marked"),
        ([Line(OTHER, "another's", 3)], None),
        ([Line(RUN, "Main process exited", 5, False), Line(RUN, "Failed", 3, False)], "Failed"),
        ([Line(RUN, "mine"), Line(RUN, "Failed to start", 3, False)], "mine"),
    ],
)
def test_last_error(lines, expected):
    assert journal.last_error(lines, RUN) == expected
