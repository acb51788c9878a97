"""Every planted fault is found by the real tools, and named with its file and line."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ds01ctl.core.problem import Problem
from ds01ctl.core.schedule_checks import problems as schedule_problems
from ds01ctl.core.schedule_checks import schedules
from ds01ctl.core.unit_text import UnitFile
from ds01ctl.observe import (
    calendar,
    journald_checks,
    logrotate_checks,
    program_checks,
    tmpfiles_checks,
    unit_checks,
)
from ds01ctl.paths import Paths

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can try files of root's")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def put(paths: Paths, place: str, text: str) -> Path:
    path = paths.under(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def told(found: object) -> list[tuple[str, str]]:
    return [(one.where, one.what) for one in found]  # type: ignore[attr-defined]


# --- systemd-analyze verify, security ---

SERVICE = "[Service]\nType=oneshot\nExecStart=/opt/not/there --x\n"


def unit(name: str, text: str, *, is_admins: bool = False) -> UnitFile:
    return UnitFile(name, text, f"/units/{name}", is_admins)


@needs("systemd-analyze")
@pytest.mark.parametrize(
    ("files", "where", "said"),
    [
        ([unit("a.service", SERVICE)], None, ""),
        ([unit("a.service", f"{SERVICE}Nicee=1\n")], "/units/a.service:4", "Unknown key 'Nicee'"),
        ([unit("a.service", f"{SERVICE}Nice=abc\n")], "/units/a.service:4", "'abc'"),
        ([unit("a.service", f"{SERVICE}MemoryMax=many\n")], "/units/a.service:4", "memory limit"),
        ([unit("a.service", f"{SERVICE}[Servce]\n")], "/units/a.service:4", "Unknown section"),
        ([unit("a.service", "[Unit]\nDescription=x\n")], "/units/a.service", "no ExecStart="),
        ([unit("a@.service", f"{SERVICE}Nicee=%i\n")], "/units/a@.service:4", "Unknown key"),
        ([unit("a.service", SERVICE), unit("a.timer", "[Timer]\n")], "/units/a.timer", "lacks"),
        ([unit("a.target", "[Unit]\nX=1\n")], "/units/a.target:2", "Unknown key 'X'"),
        ([unit("a.target", "[Unit]\nX-Mine=1\n")], None, ""),
        (
            [unit("a.service", SERVICE), unit("a.service.d/50-local.conf", "[Service]\nNicee=1\n")],
            "/units/a.service.d/50-local.conf:2",
            "Unknown key 'Nicee'",
        ),
    ],
)
def test_what_systemd_ignores_is_told(files: list[UnitFile], where: str, said: str) -> None:
    """Its exit code is 0 for most of these; the program that is not there is not the matter."""
    found = unit_checks.check(files).problems
    assert [one.where for one in found] == ([where] if where else [])
    assert all(said in one.what and one.severity == "error" for one in found)


@needs("systemd-analyze")
def test_units_that_are_only_named_make_no_noise() -> None:
    """Neither a missing engine, nor what is wrong with the host's own units, is ours."""
    head = "[Unit]\nWants=a.service\nAfter=docker.service b.service\nRequires=nosuch.service\n"
    checked = unit_checks.check([unit("x.service", head + SERVICE)])
    assert checked.problems == ()


@needs("systemd-analyze")
def test_an_admins_drop_in_is_a_warning(paths: Paths) -> None:
    put(paths, "/etc/systemd/system/a.service.d/50-local.conf", "[Service]\nNicee=1\n")
    (one,) = unit_checks.drop_ins(["a.service", "b.service"], paths)
    files = [unit("a.service", SERVICE), UnitFile(*one, is_admins=True)]
    (found,) = unit_checks.check(files).problems
    assert (found.severity, found.where) == ("warning", f"{one[2]}:2")


@needs("systemd-analyze")
def test_exposure_is_measured_for_all_at_once() -> None:
    files = [
        unit("a.service", SERVICE),
        unit("b@.service", f"{SERVICE}NoNewPrivileges=yes\nPrivateDevices=yes\n"),
        unit("b.timer", "[Timer]\nOnCalendar=daily\n"),
    ]
    found = unit_checks.check(files).exposures
    assert found.keys() == {"a.service", "b@.service"}
    assert 9 < found["a.service"] <= 10
    assert found["b@.service"] < found["a.service"]


def test_a_tool_that_is_missing_is_a_gap(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gaps = [
        *unit_checks.check([unit("a.service", SERVICE)]).gaps,
        *calendar.read(["daily"], NOW).gaps,
    ]
    if os.geteuid() == 0:
        gaps += logrotate_checks.check("/etc/logrotate.d/x", "", "x", paths).gaps
        gaps += tmpfiles_checks.check("/etc/tmpfiles.d/x.conf", "", "x", paths).gaps
    assert {gap.kind for gap in gaps} == {"absent"}
    assert all(gap.source in gap.reason for gap in gaps)


def test_an_older_systemd_cannot_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 249 there is no --offline; nothing fails for it."""
    tool = tmp_path / "systemd-analyze"
    tool.write_text(
        "#!/bin/sh\n[ $1 = verify ] && exit 0\n"
        "echo \"systemd-analyze: unrecognized option '--offline=yes'\" >&2; exit 1\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    checked = unit_checks.check([unit("a.service", SERVICE)])
    assert (checked.problems, dict(checked.exposures)) == ((), {})
    (gap,) = checked.gaps
    assert "unrecognized option" in gap.reason


def test_no_room_is_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from ds01ctl.errors import Ds01Error

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(Ds01Error, match="No such file") as caught:
        unit_checks.check([unit("a.service", SERVICE)])
    assert caught.value.hint


# --- programs ---


def programs(paths: Paths, name: str) -> list[tuple[str, str]]:
    return [(one.severity, one.kind) for one in program_checks.check({name: ["u:1"]}, paths)]


def test_a_program_below_a_moved_root(paths: Paths) -> None:
    assert programs(paths, "/opt/x") == [("info", "program")]
    path = put(paths, "/opt/x", "")
    assert programs(paths, "/opt/x") == [("error", "program")]
    path.chmod(0o755)
    assert programs(paths, "/opt/x") == []
    put(paths, "/var/tmp/x", "").chmod(0o755)
    assert programs(paths, "/var/tmp/x") == [("error", "program")]


@AS_ROOT
def test_a_program_that_others_can_change(tmp_path: Path) -> None:
    """The folder of the test lies below /tmp, which is an error of its own."""
    path = put(Paths(tmp_path), "/bin/x", "")
    path.chmod(0o755)
    assert programs(Paths(), str(path))[1:] == []
    path.parent.chmod(0o777)
    assert programs(Paths(), str(path))[1:] == [("error", "open-program")]
    path.parent.chmod(0o755)
    os.chown(path, 12345, 0)
    assert programs(Paths(), str(path))[1:] == [("warning", "open-program")]
    assert programs(Paths(), "/bin/true") == []
    assert programs(Paths(), "/opt/nothing/here") == [("error", "program")]


def test_one_program_of_many_units_is_told_once(paths: Paths) -> None:
    (found,) = program_checks.check({"/opt/x": ["a:1", "b:1", "c:1"]}, paths)
    assert found.where == "a:1 (and 2 more)"


# --- calendar ---


def timer(expression: str, delay: str = "0") -> UnitFile:
    return unit("a.timer", f"[Timer]\nOnCalendar={expression}\nRandomizedDelaySec={delay}\n")


@needs("systemd-analyze")
@pytest.mark.parametrize(
    ("expression", "kinds"),
    [
        ("*-*-* 05:10:00", []),
        ("*-*-* 02:30", ["clock-change"]),
        ("*-*-* 02:30 UTC", []),
        ("*-*-* 02:30 Europe/Berlin", ["clock-change"]),
        ("daily", ["runs-at-midnight"]),
        ("*:0/7", ["step-at-midnight"]),
        ("*:0..59/7", []),
        ("hourly", []),
        ("2020-01-01 05:00", ["never-fires"]),
        ("foo bar", ["bad-schedule"]),
        ("05:10 Nowhere/Land", ["bad-schedule"]),
        ("60 * * * *", ["bad-schedule"]),
        ("--help", ["bad-schedule"]),
    ],
)
def test_a_schedule_is_judged_by_what_systemd_makes_of_it(
    expression: str, kinds: list[str]
) -> None:
    rows = schedules([timer(expression)], [])
    found = calendar.read([expression], NOW).found
    told = schedule_problems(rows, found)
    assert [one.kind for one in told] == kinds
    assert all(one.where == "/units/a.timer:2" for one in told)


@needs("systemd-analyze")
def test_every_step_that_misses_midnight_is_found() -> None:
    """Asks systemd for each step of minutes, seconds and hours, and for its range."""
    forms = {f"*:0/{n}": f"*:0..59/{n}" for n in range(1, 60, 2)}
    forms |= {f"*:*:0/{n}": f"*:*:0..59/{n}" for n in (7, 45, 59)}
    forms |= {f"0/{n}:15": f"0..23/{n}:15" for n in range(1, 24)}
    # steps of hours miss only some midnights, among them that of a month's end
    late = datetime(2026, 3, 31, 20, 30, tzinfo=timezone.utc)
    found = calendar.read([*forms, *forms.values()], late).found
    missing = {one for one, range_ in forms.items() if found[one].walls != found[range_].walls}
    rows = [row for one in forms for row in schedules([timer(one)], [])]
    steps = [one for one in schedule_problems(rows, found) if one.kind == "step-at-midnight"]
    named = {one.what.split("'")[1] for one in steps}
    assert len(missing) > 30
    assert missing <= named
    assert all(found[forms[one]].error is None for one in forms)
    # those that come out even are left alone
    assert not {f"*:0/{n}" for n in (1, 3, 5, 15)} & named


@needs("systemd-analyze")
def test_times_are_told_in_utc_and_on_the_wall() -> None:
    zone = timezone(timedelta(hours=5))
    found = calendar.read(["05:10", "05:10 UTC", "nonsense"], NOW, zone).found
    assert found["05:10"].walls[0].isoformat() == "2026-03-02T05:10:00"
    assert found["05:10"].instants[0].isoformat() == "2026-03-02T00:10:00+00:00"
    assert found["05:10 UTC"].instants[0].isoformat() == "2026-03-02T05:10:00+00:00"
    assert found["nonsense"].error


@needs("systemd-analyze")
def test_what_fires_often_is_followed_for_a_week() -> None:
    found = calendar.read(["*:0..59/5", "05:10"], NOW).found
    assert found["*:0..59/5"].walls[-1] - NOW.replace(tzinfo=None) > timedelta(days=8)
    assert len(found["05:10"].walls) < 100


def test_nothing_is_asked_of_nothing() -> None:
    assert calendar.read([], NOW) == ({}, ())
    assert calendar.read(["\udcff", "a\x00b"], NOW) == ({}, ())


# --- logrotate ---

PLACE = "/etc/logrotate.d/ds01"
OURS = "/var/log/ds01/*.log /var/log/ds01/*.jsonl {\n    weekly\n    missingok\n}\n"


def rotated(paths: Paths, text: str = OURS) -> list[Problem]:
    return list(logrotate_checks.check(PLACE, text, "ours", paths).problems)


@AS_ROOT
@needs("logrotate")
@pytest.mark.parametrize(
    ("line", "where", "said"),
    [
        ("rotate 3", None, ""),
        ("wekly", "ours:2", "unknown option 'wekly'"),
        ("rotate many", "ours:2", "many"),
        ("su root nosuchgroup", "ours:2", "unknown group 'nosuchgroup'"),
        ("create 0640 nosuchuser root", "ours:2", "unknown user 'nosuchuser'"),
    ],
)
def test_what_logrotate_says(paths: Paths, line: str, where: str | None, said: str) -> None:
    found = rotated(paths, f"/nothing/*.log {{\n    {line}\n    missingok\n}}\n")
    assert [one.where for one in found] == ([where] if where else [])
    assert all(said in one.what for one in found)


@pytest.mark.parametrize(
    ("theirs", "severity", "said"),
    [
        ("/var/log/ds01/*.log { daily }", "error", "is rotated by"),
        ("daily\n/x\n/var/log/ds01/*.jsonl\n{\n daily\n}", "error", "is rotated by"),
        ("/var/log/ds01/events.jsonl { daily }", "error", "both match /var/log/ds01/events.jsonl"),
        ("/var/log/*/cron.log { daily }", "error", "both match"),
        ("/var/log/*/z*.log { daily }", "warning", "can match"),
        ("/var/log/ds01-infra/*.log { daily }", None, ""),
        ("/var/log/*.log { daily }", None, ""),
    ],
)
def test_the_same_logs_in_two_files(
    paths: Paths, theirs: str, severity: str | None, said: str
) -> None:
    put(paths, "/var/log/ds01/cron.log", "")
    put(paths, "/etc/logrotate.d/ds01-infra", theirs)
    put(paths, PLACE, OURS)
    put(paths, f"{PLACE}.dpkg-old", OURS)
    found = rotated(paths)
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(said in one.what and "ds01-infra:" in one.what for one in found)


def test_a_file_that_the_main_one_includes_counts(paths: Paths) -> None:
    put(paths, "/etc/logrotate.conf", "weekly\ninclude /etc/more\n/var/log/ds01/a.log {\n}\n")
    put(paths, "/etc/more/x", "/var/log/ds01/b.log {\n}\n")
    found = rotated(paths)
    assert ["logrotate.conf:3" in found[0].what, "more/x:1" in found[1].what] == [True, True]


def test_a_file_that_logrotate_would_ignore(paths: Paths) -> None:
    put(paths, PLACE, OURS).chmod(0o664)
    (found,) = rotated(paths)
    assert (found.severity, found.kind) == ("error", "logrotate-mode")


# --- tmpfiles ---

FOLDERS = "d /run/ds01 0755 root root -\nd /var/lib/ds01 2775 root thegroup -\n"


def made(paths: Paths, text: str) -> list[Problem]:
    return list(tmpfiles_checks.check("/etc/tmpfiles.d/ds01.conf", text, "ours", paths).problems)


@AS_ROOT
@needs("systemd-tmpfiles")
@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (FOLDERS, None, ""),
        ("# c\nd /x 0755 root nogroupatall -\n", "ours:2", "nogroupatall"),
        ("d /x 0755 nouseratall root -\n", "ours:1", "nouseratall"),
        ("d relative 0755\n", "ours:1", "not absolute"),
        ("d /x 0999\n", "ours:1", "Invalid mode"),
        ("d /x 0755 root root foo\n", "ours:1", "Invalid age"),
        ("zz /x\n", "ours:1", "zz"),
    ],
)
def test_what_tmpfiles_says(paths: Paths, text: str, where: str | None, said: str) -> None:
    put(paths, "/etc/group", "root:x:0:\nthegroup:x:4711:\n")
    found = made(paths, text)
    assert [one.where for one in found] == ([where] if where else [])
    assert all(said in one.what for one in found)
    assert not paths.under("/run/ds01").exists()


@AS_ROOT
@needs("systemd-tmpfiles")
def test_who_else_makes_our_folders(paths: Paths) -> None:
    put(paths, "/etc/group", "thegroup:x:4711:\n")
    put(paths, "/usr/lib/tmpfiles.d/ds01.conf", "d /other\n")
    put(paths, "/usr/lib/tmpfiles.d/abc.conf", "# x\nd /var/lib/ds01/ 0700 root root\nd /other\n")
    found = made(paths, FOLDERS)
    assert [one.severity for one in found] == ["warning", "warning"]
    assert "abc.conf holds" in found[0].what + found[1].what
    assert "same name" in found[0].what + found[1].what


# --- journald ---


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/etc/systemd/journald.conf", "ours, 2G, holds"),
        ("/etc/systemd/journald.conf.d/00-admin.conf", "ours, 2G, holds"),
        ("/etc/systemd/journald.conf.d/zz.conf", "500M holds"),
        ("/usr/lib/systemd/journald.conf.d/zz.conf", "500M holds"),
    ],
)
def test_whose_cap_on_the_journal_holds(paths: Paths, place: str, said: str) -> None:
    text = "[Journal]\nSystemMaxUse=2G\n"
    ours = "/etc/systemd/journald.conf.d/ds01.conf"
    put(paths, ours, text)
    put(paths, place, "[Journal]\n#SystemMaxUse=1G\nSystemMaxUse=500M\n")
    (found,) = journald_checks.check(ours, text, "ours", paths)
    assert found.severity == "info"
    assert said in found.what


def test_nobody_else_sets_it(paths: Paths) -> None:
    put(paths, "/etc/systemd/journald.conf", "[Journal]\n#SystemMaxUse=\n")
    ours = "/etc/systemd/journald.conf.d/ds01.conf"
    assert journald_checks.check(ours, "[Journal]\nSystemMaxUse=2G\n", "ours", paths) == []
