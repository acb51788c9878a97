"""Units mean what the line means: systemd's own reading of them is compared."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ds01ctl.cron import command as commands
from ds01ctl.cron.crontab import Entry, Known, parse
from ds01ctl.cron.naming import names
from ds01ctl.cron.translate import Options, Pair, translate

ANYBODY = Known(lambda name: True, lambda zone: True)
NEEDS = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")


def entries(text: str, owner: str | None = None, file: str = "/etc/crontab") -> list[Entry]:
    crontab = parse(text.encode(), file, ANYBODY, owner=owner)
    assert not crontab.problems
    return list(crontab.entries)


def pair_of(text: str, options: Options | None = None, owner: str | None = None) -> Pair:
    file = f"/var/spool/cron/crontabs/{owner}" if owner else "/etc/crontab"
    entry = entries(text, owner, file)[-1]
    return translate(entry, names([entry])[0], options or Options())


def words(line: str) -> list[str]:
    """Split a command line as systemd prints it: words in double quotes, with C's escapes."""
    escape = re.compile(r"\\([0-7]{3}|.)")
    signs = {"t": "\t", "n": "\n", "a": "\a", "b": "\b", "f": "\f", "r": "\r", "v": "\v"}

    def plain(found: re.Match[str]) -> str:
        sign = found[1]
        return chr(int(sign, 8)) if len(sign) == 3 else signs.get(sign, sign)

    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    return [bare or escape.sub(plain, quoted) for quoted, bare in found]


class Reading:
    """What systemd understood of a service."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        for kind, text in (("service", pair.service), ("timer", pair.timer)):
            (folder / f"{pair.name}.{kind}").write_text(text)
        (folder / "ds01-failure@.service").write_text("[Service]\nExecStart=/bin/true\n")
        done = subprocess.run(
            [
                "systemd-analyze",
                "verify",
                "--man=no",
                *(str(folder / f"{pair.name}.{kind}") for kind in ("timer", "service")),
            ],
            env={
                "PATH": "/usr/bin:/bin",
                "SYSTEMD_LOG_LEVEL": "debug",
                "SYSTEMD_UNIT_PATH": f"{folder}:",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        ours = done.stdout.split(f"-> Unit {pair.name}.service:")[1].split("-> Unit ")[0]
        # a complaint names the file and the line
        assert not re.findall(rf"{pair.name}\.(?:service|timer):\d+:.*", done.stderr)
        self.environment = dict(
            line.split("=", 1) for line in re.findall(r"^\s*Environment: (.*)$", ours, re.MULTILINE)
        )
        lines = re.findall(r"^\s*-> (Exec\w+):\n\s*Command Line: (.*)$", ours, re.MULTILINE)
        self.commands = {
            name: [word.replace("$$", "$") for word in words(line)] for name, line in lines
        }
        self.text = ours


HARD = r"""echo "a $HOME" 'b' ${X} $(date +\%F) \\\\ 100\% $$ ; é | cat"""


@NEEDS
@pytest.mark.parametrize(
    "command", [HARD, "x", "a\tb", "-c", "'", '"', "\\", "%%n \\% ", "a;", ";"]
)
def test_systemd_reads_the_very_command(command: str, tmp_path: Path) -> None:
    line = f"*/5 1 * * *\troot\t{command}"
    pair = pair_of(f"{line}\n")
    read = Reading(pair, tmp_path)
    wanted, _ = commands.split(command)
    assert read.commands["ExecStart"] == ["/bin/sh", "-c", wanted]
    # the condition gets the line as it stands in the file
    assert read.commands["ExecCondition"][-2:] == [line, "/etc/crontab"]


@NEEDS
def test_systemd_reads_the_very_environment(tmp_path: Path) -> None:
    text = 'A = x \\ 5% "y" $HOME é\nB="  b"\nSHELL=/bin/bash\nHOME=/srv/a b\nLOGNAME=bob\n'
    session = {"LANG": "de_DE.UTF-8", "PATH": "/never", "HOME": "/never"}
    read = Reading(pair_of(f"{text}0 4 * * * www-data c\n", Options(session=session)), tmp_path)
    assert read.environment == {
        "LANG": "de_DE.UTF-8",
        "SHELL": "/bin/bash",
        "PATH": "/usr/bin:/bin",
        "A": 'x \\ 5% "y" $HOME é',
        "B": "  b",
        "HOME": "/srv/a b",
    }
    assert read.commands["ExecStart"] == ["/bin/bash", "-c", "c"]
    assert "WorkingDirectory: /srv/a b" in read.text
    assert "User: www-data" in read.text
    assert "KillMode: process" in read.text
    assert "IgnoreSIGPIPE: no" in read.text
    assert "TimeoutStartSec: infinity" in read.text


@NEEDS
def test_a_users_settings_never_reach_root(tmp_path: Path) -> None:
    """The condition runs as root: an LD_PRELOAD of the user's must not be in its environment."""
    text = "LD_PRELOAD=/home/alice/x.so\nPATH=/home/alice\n0 4 * * * c $A\n"
    read = Reading(pair_of(text, owner="alice"), tmp_path)
    assert read.environment == {}
    assert read.commands["ExecStart"] == [
        "/usr/bin/env",
        "SHELL=/bin/sh",
        "PATH=/home/alice",
        "LD_PRELOAD=/home/alice/x.so",
        "/bin/sh",
        "-c",
        "c $A",
    ]
    assert read.commands["ExecCondition"][0] == "/bin/sh"
    # root's own settings are root's
    assert "LD_PRELOAD" in Reading(pair_of(text, owner="root"), tmp_path).environment


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("c%one%two", ["StandardInput=data", "StandardInputText=one", "StandardInputText=two"]),
        ("c%5\\% \\\\", ["StandardInput=data", "StandardInputText=5%% \\\\\\\\"]),
        ("c% one", ["StandardInput=data", "StandardInputData=IG9uZQo="]),
        ("c%a%%b", ["StandardInput=data", "StandardInputData=YQoKYgo="]),
        ("c", []),
    ],
)
def test_what_stands_behind_the_percent_sign_is_fed(text: str, lines: list[str]) -> None:
    service = pair_of(f"0 4 * * * root {text}\n").service
    assert re.findall(r"^StandardInput.*$", service, re.MULTILINE) == lines


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", "alice"),
        ('MAILTO=""\n', ""),
        ("MAILTO=ops@example.org\n", "ops@example.org"),
        ("MAILTO=a b\n", "alice"),
        ("MAILTO=-x\n", "alice"),
    ],
)
def test_who_gets_the_mail(settings: str, expected: str) -> None:
    service = pair_of(f"{settings}0 4 * * * alice c\n").service
    assert f"X-DS01-MailTo={expected}\n" in service
    assert "OnFailure=ds01-failure@%N.service\n" in service


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "0 4 1 * 1 root c",
            "OnCalendar=*-*-01 04:00:00 OnCalendar=Mon *-*-* 04:00:00 Persistent=false",
        ),
        ("@reboot root c", "OnBootSec=15s"),
        (
            "25 6 * * * root cd / && run-parts --report /etc/cron.daily",
            "OnCalendar=*-*-* 06:25:00 Persistent=true",
        ),
        (
            "CRON_TZ=Europe/Berlin\nRANDOM_DELAY=5\n0 4 * * * root c",
            "OnCalendar=*-*-* 04:00:00 Europe/Berlin Persistent=false RandomizedDelaySec=5min",
        ),
    ],
)
def test_timers(text: str, expected: str) -> None:
    timer = pair_of(f"{text}\n").timer
    keys = r"^(?:On\w+|Persistent|RandomizedDelaySec)=.*$"
    assert " ".join(re.findall(keys, timer, re.MULTILINE)) == expected
    assert "AccuracySec=1s\n" in timer
    assert "WantedBy=timers.target\n" in timer
    assert "Requires=" not in timer


@pytest.mark.parametrize(
    ("command", "shell", "expected"),
    [
        ("a >> /var/log/x.log 2>&1", "/bin/sh", ("/var/log/x.log", "a", None)),
        ("a > /dev/null 2>&1", "/bin/sh", ("/dev/null", "a", None)),
        ("(a; b) >> $HOME/log", "/bin/sh", ("$HOME/log", "(a; b)", None)),
        ("a &> /x.log", "/bin/bash", ("/x.log", "a", None)),
        ("a &> /x.log", "/bin/sh", None),
        ("a 1>>/x.log", "/bin/sh", ("/x.log", "a", None)),
        ("a >> /srv/logs/a", "/bin/sh", ("/srv/logs/a", "a", None)),
        ("a > /var/log/b", "/bin/sh", ("/var/log/b", "a", None)),
        # these are what the job is for
        ("pg_dumpall > /backup/all.sql", "/bin/sh", None),
        ("date > /run/stamp", "/bin/sh", None),
        ("catalog > /srv/catalog", "/bin/sh", None),
        # and of these only a part goes to the log
        ("a 2> /dev/null", "/bin/sh", None),
        ("a 2>&1", "/bin/sh", None),
        ("a >&2", "/bin/sh", None),
        ("a >> /x.log 2>> /y.log", "/bin/sh", None),
        ("a 3> /x.log", "/bin/sh", None),
        ("a | logger -t x", "/bin/sh", ("logger", "a", "x")),
        ("a 2>&1 | logger -p daemon.info --tag=y", "/bin/sh", ("logger", "a", "y")),
        ("echo 'a >> b'", "/bin/sh", None),
        ("echo $(a >> b)", "/bin/sh", None),
        ("a | tee /x", "/bin/sh", None),
        ("a", "/bin/sh", None),
        ("> /x", "/bin/sh", None),
    ],
)
def test_redirection(command: str, shell: str, expected: tuple[str, ...] | None) -> None:
    assert commands.redirection(command, shell) == expected


def test_the_journal_takes_the_place_of_a_log_only_when_asked() -> None:
    text = "0 4 * * * root /opt/a --b | logger -t ds01\n"
    assert 'ExecStart=/bin/sh -c "/opt/a --b | logger -t ds01"\n' in pair_of(text).service
    service = pair_of(text, Options(journal=True)).service
    assert 'ExecStart=/bin/sh -c "/opt/a --b"\n' in service
    assert "SyslogIdentifier=ds01\n" in service


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("/opt/ds01/bin/monitor --record >> /x", "monitor"),
        ("flock -n /run/x.lock /opt/foo bar", "foo"),
        ("cd /opt/x && ./run.sh", "run.sh"),
        ("A=b nice -n 10 python3 /x.py", "python3"),
        ("[ -x /usr/bin/certbot ] && /usr/bin/certbot -q", "certbot"),
        (
            "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
            "cron.daily",
        ),
        ("timeout 5m /bin/x", "x"),
        ("%", "%"),
    ],
)
def test_the_name_of_the_program(command: str, program: str) -> None:
    assert commands.program(command) == program


def test_names_stay_when_other_lines_come_and_go() -> None:
    first = "0 4 * * * root /opt/a\n0 5 * * * root /opt/b\n"
    old = names(entries(first))
    new = names(entries(f"# x\n\nA=1\n1 1 * * * root /opt/new\n{first}"))
    assert new[1:] == old
    assert re.fullmatch(r"ds01-cron-crontab-a-[0-9a-f]{6}", old[0])
    # not when the line itself changes
    assert names(entries("0 6 * * * root /opt/a\n"))[0] != old[0]


def test_lines_that_are_all_the_same_have_names_of_their_own() -> None:
    both = names(entries("0 4 * * * root a\n0 4 * * * root a\n"))
    assert len(set(both)) == 2
    # one was handed over: the other keeps its own
    assert names(entries("0 4 * * * root a\n"), taken=[both[0]]) == [both[1]]
