"""What Debian's cron 3.0pl1-162 itself does with these lines was seen before they were written."""

import pytest

from ds01ctl.cron.crontab import Crontab, Known, parse
from ds01ctl.cron.lint import lint

KNOWN = Known(lambda name: name in {"root", "www-data"}, lambda zone: zone == "Europe/Berlin")


def read(text: str | bytes, owner: str | None = None) -> Crontab:
    data = text if isinstance(text, bytes) else text.encode()
    return parse(data, "/etc/cron.d/x", KNOWN, owner=owner)


def problems(text: str | bytes, owner: str | None = None) -> list[str]:
    return [str(one).removeprefix("/etc/cron.d/x:") for one in read(text, owner).problems]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("60 * * * * root c", "1:1: 60 is out of range for the minute; expected 0 to 59"),
        ("0 24 * * * root c", "1:3: 24 is out of range for the hour; expected 0 to 23"),
        ("0 0 0 * * root c", "1:5: 0 is out of range for the day of the month; expected 1 to 31"),
        ("0 0 * 13 * root c", "1:7: 13 is out of range for the month; expected 1 to 12, or jan"),
        ("0 0 * * 8 root c", "1:9: 8 is out of range for the day of the week; expected 0 to 7"),
        ("0 23-1 * * * root c", "1:3: 23-1 runs backwards, and so never, in cron; expected 23,0-1"),
        ("0 0 * * sat-mon root c", "1:9: sat-mon runs backwards, and so never, in cron; expected "),
        (
            "0 0 * * fri-sun root c",
            "1:9: fri-sun never runs: cron takes sun for 0 here; expected 5",
        ),
        ("*/0 * * * * root c", "1:3: a step of 0; expected 1 or more"),
        ("5/10 * * * * root c", "1:2: a step after one number; expected 5, or 5-59/10"),
        ("1,,2 * * * * root c", "1:3: an empty minute in the list; expected 0 to 59"),
        ("5;6 * * * * root c", "1:2: ';6' in the minute; expected a number"),
        ("0 0 ? * * root c", "1:5: '?' in the day of the month; expected a number"),
        ("0 0 * * 5#1 root c", "1:10: '#1' in the day of the week"),
        ("0 0 * * sunday root c", "1:9: 'sunday' is no day of the week; expected 0 to 7, or sun"),
        ("0 0 * janu * root c", "1:7: 'janu' is no month"),
        (f"{'9' * 5000} * * * * root c", "1:1: 99999999999999999999 is out of range"),
        ("@every_minute root c", "1:1: '@every_minute' is no time that Debian's cron knows; write"),
        ("@dayly root c", "1:1: '@dayly' is no time that Debian's cron knows; did you mean @dai"),
        ("@Daily root c", "1:1: '@Daily' is no time that Debian's cron knows; did you mean @dai"),
        ("  0 0 * *", "1:10: no day of the week: the line has 4 of 5 time fields"),
        ("0 0 * * *", "1:10: no user and no command; expected both"),
        ("0 0 * * * root", "1:15: no command after the user root; expected one"),
        ("0 0 * * * root ", "1:16: no command after the user root; expected one"),
        ("0 0 * * * /bin/x -a", "1:11: '/bin/x' is no login on this host, where the user column"),
        ("0 0 * * * rot c", "1:11: 'rot' is no login on this host, where a user belongs"),
        ("0 0 * * * * c", "1:11: '*' is no login on this host"),
        ("MAILTO=", '1:8: no value: cron ignores the whole file; expected MAILTO=""'),
        ("A='b", '1:2: "=\'b" in the minute; expected a number'),
        ("A B=1", "1:1: 'A' is no minute; expected 0 to 59"),
        ('"A B"=1', "1:1: cron reads this as a setting of 'A B'; expected a name of letters"),
        ("CRON_TZ=Mars/Olympus", "1:9: 'Mars/Olympus' is no time zone; expected a name such as"),
        ("RANDOM_DELAY=1h", "1:14: '1h' is no delay; expected whole minutes"),
        ("SHELL=bash", "1:7: 'bash' is no SHELL; expected an absolute path"),
        ("A=\x1b[2J", "1:3: a control character in A; systemd refuses it"),
        (f"A={'x' * 999}", "1:999: a setting of more than 998 bytes"),
        (f"0 0 * * * root {'x' * 999}", "1:1014: a command of 999 bytes: cron takes 998"),
        (f"0 0 * * * root {'x' * 65536}", "1:8193: a line of 65551 bytes; expected at most 8192"),
        (f"{' ' * 65536}0 0 * * * root c", "1:8193: a line of 65552 bytes; expected at most 8192"),
        ("*/\u0663 0 * * * root c", "1:2: '/\u0663' in the minute; expected a number"),
        ("*/0000000000 0 * * * root c", "1:3: a step of 0; expected 1 or more"),
        ("0 0 * * * root echo \ufdd0", "1:21: U+FDD0 is no character, and systemd ignores lines"),
        ("A=\U0010ffff", "1:3: U+10FFFF is no character, and systemd ignores lines that have it"),
        ("SHELL=/bin/", "1:7: '/bin/' is no SHELL that systemd starts; expected the path"),
        ("SHELL=/bin/$x", "1:7: '/bin/$x' is no SHELL that systemd starts; expected the path"),
        ("HOME=/srv/../x", "1:6: '/srv/../x' is no HOME that systemd takes for a folder; expect"),
        # a backslash at the end of WorkingDirectory= would swallow the condition below it
        ("HOME=/srv\\", r"1:6: '/srv\\' is no HOME that systemd takes for a folder; expected it"),
    ],
)
def test_a_wrong_line_is_named_with_its_place(line: str, expected: str) -> None:
    found = problems(f"{line}\n")
    assert len(found) == 1
    assert found[0].startswith(expected)
    assert "expected" in found[0] or ";" in found[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"0 0 * * * root c", ["1:17: no line end after the last line: cron ignores the whole"]),
        (b"0 0 * * * root c\nA=1", ["2:4: no line end after the last line"]),
        (b"0 0 * * * root c\n# x", []),
        (b"0 0 * * * root c\n  ", []),
        (b"", []),
        (b"A=1\r\n0 0 * * * root c\r\n", ["1:4: a line that ends in CR LF"]),
        (b"0 0 * * * root a\0b\n", ["1:17: a NUL byte"]),
        (b"0 0 * * * root \xc3\xa9\xe9\n", ["1:17: the byte 0xe9 is no UTF-8"]),
        (b"# caf\xe9\n0 0 * * * root c\n", []),
    ],
)
def test_bytes_that_cron_chokes_on(data: bytes, expected: list[str]) -> None:
    found = problems(data)
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True))


def test_a_file_has_an_end() -> None:
    """A user's crontab is read by root: it must not take hours, nor fill the disk with units."""
    (problem,) = problems("* * * * * root c\n" * 1002)
    assert problem == "1001:1: more than 1000 jobs in one crontab; expected fewer: divide it"
    settings = "".join(f"A{number}={'x' * 900}\n" for number in range(40))
    assert problems(settings) == ["37:1: settings of more than 32768 characters; expected fewer"]


def test_a_login_that_is_a_number_is_no_uid() -> None:
    """Systemd would take it for one; so it gets the one that the login has."""
    known = KNOWN._replace(is_login=str.isdigit, uid={"4711": 5000}.get)
    (entry,) = parse(b"0 4 * * * 4711 c\n", "/etc/crontab", known).entries
    assert (entry.user, entry.uid) == ("4711", 5000)
    (problem,) = parse(b"0 4 * * * c\n", "/x", known, owner="12").problems
    assert problem.message.startswith("'12' is a number, and no login on this host; expected")


def test_every_problem_of_a_file_is_named() -> None:
    text = "60 * * * * root a\n0 0 * * * root b\nMAILTO=\n0 99 * * * root c\n"
    assert [one.split(":")[0] for one in problems(text)] == ["1", "3", "4"]


def test_settings_hold_for_the_lines_below() -> None:
    text = (
        "0 0 * * * root a\nA = a b  \nB='a b '\nC=\"'x'\"\n\"D\" = d\nF=$HOME/x # c\nG\t=\tg\tg\n"
        'H=""\n  A=over\n0 0 * * * root b\nLOGNAME=bob\n*/5 * * * * root c\n'
    )
    first, second, third = read(text).entries
    assert first.settings == ()
    # literal, trimmed, unquoted twice: as cron passed them to its jobs
    wanted = {"A": "over", "B": "a b", "C": "x", "D": "d", "F": "$HOME/x # c", "G": "g\tg", "H": ""}
    assert dict(second.settings) == wanted
    assert third.setting("LOGNAME") == "bob"


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        (r"a", "a", None),
        (r"date +\%F", "date +%F", None),
        (r"a\\b \% c%one%two\%three\\%four\x%", r"a\b % c", "one\ntwo%three\\%four\\x\n"),
        ("c%", "c", None),
        ("c%%", "c", "\n"),
        ("x%%a%b", "x", "\na\nb\n"),
        (r"\\\% x" + "\\", r"\% x" + "\\", None),
        ("a%b%", "a", "b\n"),
    ],
)
def test_the_percent_sign(text: str, command: str, stdin: str | None) -> None:
    (entry,) = read(f"0 0 * * * root\t {text}\n").entries
    assert (entry.command, entry.stdin) == (command, stdin)


def test_a_users_own_crontab_has_no_user_column() -> None:
    (entry,) = read("0 0 * * *\techo root\n", owner="alice").entries
    assert (entry.user, entry.command, entry.is_own) == ("alice", "echo root", True)
    assert problems("0 0 * * * * c\n", owner="alice") == [
        "1:11: a sixth time field; expected the command"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 4 1-7 * 1 root c", ["did you mean the first Monday of the month?"]),
        ("0 4 8-14 * sat root c", ["did you mean the second Saturday of the month?"]),
        ("30 4 1,15 * 5 root c", ["on every Friday: either day field is enough"]),
        ("0 4 */2 * 1 root c", []),
        ("0 0 30 2 * root c", ["never comes: cron never runs the line; no timer is made"]),
        ("0 4 31 4,6 * root c", ["never comes"]),
        ("0 4 * jan-mar * root c", ["a range of names"]),
        ("30 2 * * * root c", ["between 01:00 and 03:00"]),
        ("*/5 2 * * * root c", []),
        ("@reboot root c", ["@reboot: the timer runs it after a boot"]),
        ("0 4 * * * root c &> /x", ["/bin/sh runs the command in the background"]),
        ("0 4 * * * root flock -n /run/x c", ["flock /run/x: a unit is never started twice"]),
        ("0 4 * * * root c >> /var/log/x 2>&1", ["--journal gives it to the journal"]),
        ("MAILTO=a b\n0 4 * * * root c", ["MAILTO is no single address"]),
        ("CRON_TZ=Europe/Berlin\n0 4 * * * root c", ["CRON_TZ: the timer follows it"]),
        ("RANDOM_DELAY=5\n0 4 * * * root c", ["RANDOM_DELAY: the timer follows it"]),
        ("@daily root c", []),
        ("0 4 * * * root c 2> /dev/stderr", ["systemd gives it a socket, which can't be opened"]),
        ("0 4 * * * www-data c 2> /dev/stderr", []),
        ("0 4 * * * root c > /dev/null", ["--journal gives it to the journal"]),
    ],
)
def test_what_is_odd_is_told(text: str, expected: list[str]) -> None:
    crontab = read(f"{text}\n")
    assert not crontab.problems
    told = [one.message for one in lint(crontab.entries[0])]
    assert len(told) == len(expected)
    assert all(part in one for one, part in zip(told, expected, strict=True))
