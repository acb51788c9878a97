"""Rules on the text of units, one planted fault each."""

from __future__ import annotations

import pytest

from ds01ctl.core.unit_rules import NEWER, OLDEST, problems
from ds01ctl.core.unit_text import UnitFile, directives, is_true, program

SERVICE = """\
[Unit]
OnFailure=ds01-failure@%N.service
[Service]
Type=oneshot
ExecStart=/bin/true
TimeoutStartSec=10s
SuccessExitStatus=4 5
"""
TIMER = "[Timer]\nOnCalendar=5:10\n"


def found(service: str = SERVICE, timer: str = TIMER) -> list[tuple[str, str]]:
    files = [
        UnitFile("ds01-a.service", service, "s"),
        UnitFile("ds01-a.timer", timer, "t"),
        UnitFile("ds01-failure@.service", "", "f"),
    ]
    told = problems(files, {"ds01-a.service"}, {"docker.service", "docker.socket"})
    return [(one.kind, one.where) for one in told]


def with_line(line: str, after: str = "[Service]") -> str:
    return SERVICE.replace(after, f"{after}\n{line}")


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        (SERVICE, []),
        (with_line("Requires=docker.service", "[Unit]"), [("requires-docker", "s:2")]),
        (with_line("BindsTo=docker.socket docker.service", "[Unit]"), [("requires-docker", "s:2")]),
        (with_line("Wants=docker.service nosuch.service", "[Unit]"), []),
        (with_line("Requires=nosuch.service", "[Unit]"), [("missing-unit", "s:2")]),
        (with_line("Requires=system.slice -.mount a@%i.service", "[Unit]"), []),
        (SERVICE.replace("ds01-failure@", "nobody@"), [("missing-unit", "s:2")]),
        (SERVICE.replace("OnFailure=ds01-failure@%N.service", ""), [("silent-failure", "s")]),
        (SERVICE.replace("10s", "infinity"), [("no-timeout", "s")]),
        (SERVICE.replace("TimeoutStartSec", "TimeoutStopSec"), [("no-timeout", "s")]),
        (SERVICE.replace("4 5", "4"), [("exit-status", "s")]),
        (with_line("RemainAfterExit=yes"), [("runs-once", "s:4")]),
        (with_line("RemainAfterExit=no"), []),
        (with_line("ExecStartPost=-/bin/systemctl daemon-reload"), [("daemon-reload", "s:4")]),
        (with_line("ExecStartPre=/bin/sh -c \\\n 'x; systemctl daemon-reexec'"),
         [("daemon-reload", "s:4")]),
        (with_line('Environment="SMTP_PASSWORD=x"'), [("open-secret", "s:4")]),
        (with_line("Environment=LANG=C"), []),
        (with_line("ImportCredential=x"), [("too-new", "s:4")]),
        (with_line("# ImportCredential=x"), []),
    ],
)  # fmt: skip
def test_a_service(service: str, kind: list[tuple[str, str]]) -> None:
    assert found(service) == kind


@pytest.mark.parametrize(
    ("timer", "kind"),
    [
        (f"[Unit]\nRequires=ds01-a.service\n{TIMER}", [("timer-requires", "t:2")]),
        (f"{TIMER}Unit=other.service\n", [("missing-unit", "t")]),
        (f"{TIMER}Unit=docker.service\n", []),
        (f"{TIMER}RandomizedOffsetSec=5\n", [("too-new", "t:3")]),
    ],
)
def test_a_timer(timer: str, kind: list[tuple[str, str]]) -> None:
    assert found(timer=timer) == kind


def test_a_foreign_unit_is_held_to_less() -> None:
    """A unit that does not run ds01ctl needs neither our exit codes nor Ubuntu 22.04."""
    file = UnitFile("backup.service", "[Service]\nExecStart=/bin/true\nOpenFile=/x\n", "b")
    assert problems([file], set(), set()) == []


def test_nothing_older_counts_as_new() -> None:
    assert min(NEWER.values()) > OLDEST


def test_lines_are_read_as_systemd_does() -> None:
    text = "# c\n[A]\nx = 1\n; y=2\nz=a \\\n# comment within\n  b\n\n[B]\nx=yes\nlast=1 \\\n"
    assert [tuple(one) for one in directives(text)] == [
        ("A", "x", "1", 3),
        ("A", "z", "a  b", 5),
        ("B", "x", "yes", 10),
        ("B", "last", "1", 11),
    ]
    assert is_true(directives(text), "x")
    assert not is_true(directives(text + "\nx=off\n"), "x")


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("/bin/true", "/bin/true"),
        ("-/bin/true a b", "/bin/true"),
        ("@!-/bin/true x", "/bin/true"),
        ('"/opt/a b/c" x', "/opt/a b/c"),
        (r'"/opt/a\"b\\c" x', '/opt/a"b\\c'),
        ("/opt/100%%/x", "/opt/100%/x"),
        ('"/no/end', "/no/end"),
        ("", ""),
    ],
)
def test_the_program_of_a_command(command: str, path: str) -> None:
    assert program(command)[0] == path
