"""One cron line as a service and a timer: text in, text out, without our stamp."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.cron import command as commands
from ds01ctl.cron.calendar import calendars
from ds01ctl.cron.marker import marked
from ds01ctl.cron.quoting import assignment, input_line, told, word
from ds01ctl.unitfiles.directives import Line, section, unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.cron.crontab import Entry

_MANUAL = Line("Documentation", "man:crontab(5)")
WANTED_BY = "timers.target"
BOOT_DELAY = "15s"
_CRON_PATH = "/usr/bin:/bin"
_CATCHES_UP = {"/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"}

# -a: to grep a file with a NUL byte is binary, and NUL ends a line in it
_NOT_IN_CRON = '! /bin/grep -aqxFe "$1" -- "$2"'
_IS_MARKED = '/bin/grep -aqxFe "$1" -- "$2"'
_GUARD = (
    "as long as the line stands in the crontab cron runs it, and this service does not:\n"
    "one of the two, never both; `+`: the crontab may not be readable for the user"
)
_OWN_GUARD = (
    "only as long as the line is marked in the user's crontab: what the user deletes ends,\n"
    "and what cron has again cron runs; `+`: others may not read the crontab"
)


class Options(NamedTuple):
    """How lines are translated."""

    journal: bool = False
    """Drop a log file or logger at the end of a command: the journal has the output."""
    session: Mapping[str, str] = {}
    """What PAM gives every cron job: /etc/environment and /etc/default/locale."""


class Pair(NamedTuple):
    """The two units of one line."""

    name: str
    service: str
    timer: str


PLAIN = Options()


def translate(entry: Entry, name: str, options: Options = PLAIN) -> Pair:
    """Write the units of an entry."""
    return Pair(name, _service(entry, name, options), _timer(entry))


def place(entry: Entry) -> str:
    """Say where an entry stands."""
    return f"{entry.file}:{entry.line}" if entry.line else entry.file


def expressions(entry: Entry) -> tuple[str, ...]:
    """Give the OnCalendar= of an entry; none for ``@reboot``."""
    return calendars(entry.schedule, entry.setting("CRON_TZ")) if entry.schedule else ()


def guard(entry: Entry, name: str) -> str:
    """Write the condition that keeps the service still while cron has the line; it may be empty.

    A file of root's may be deleted when its lines have moved. Of a user's, who can reach no unit,
    the timer runs what the crontab says.
    """
    if not entry.line:
        return ""
    test, line = _NOT_IN_CRON, entry.text
    if entry.is_own:
        test, line = _IS_MARKED, marked(name, entry.text)
    told_to = ["/bin/sh", "-c", test, "sh", line, entry.file]
    return "ExecCondition=+" + " ".join(word(one) for one in told_to)


def mail_to(entry: Entry) -> str:
    """Tell who gets cron's mail; empty: nobody. A recipient of several words counts for none."""
    wanted = entry.setting("MAILTO")
    if wanted is None or len(wanted.split()) > 1 or wanted.startswith("-"):
        return entry.user
    return wanted.strip()


# --- the service --------------------------------------------------------------------------------


def _service(entry: Entry, name: str, options: Options) -> str:
    key, _, value = guard(entry, name).partition("=")
    why = _OWN_GUARD if entry.is_own else _GUARD
    lines = [
        Line("Type", "oneshot"),
        Line("User", told(entry.user) if entry.uid is None else str(entry.uid)),
        _folder(entry),
        *_environment(entry, options),
        *([Line(key, value, why)] if value else []),
        _start(entry, options),
        *_input(entry.stdin),
        Line("SyslogIdentifier", _identifier(entry, options) or name),
        Line("SyslogFacility", "cron"),
        Line("KillMode", "process", "what a job leaves running goes on, as it does with cron"),
        Line("IgnoreSIGPIPE", "no", "cron's jobs end by it; systemd's own default differs"),
        Line("TimeoutStartSec", "infinity", "cron ends no job; lower it if yours may hang"),
    ]
    return unit(
        section("Unit", _service_head(entry)), section("Service", lines), about=_about(entry)
    )


def _identifier(entry: Entry, options: Options) -> str | None:
    """Give the tag that the line gave to logger, where the journal takes its place."""
    away = commands.redirection(entry.command, _shell(entry)) if options.journal else None
    return away.tag if away else None


def _about(entry: Entry) -> str:
    line = "".join(sign if sign.isprintable() else " " for sign in entry.text)
    return f"from {entry.file}\n{line}".rstrip()


def _service_head(entry: Entry) -> list[Line]:
    mail = mail_to(entry)
    told_of = f"mail on failure; cron mailed all output to {mail}" if mail else 'MAILTO="": no mail'
    return [
        Line("Description", f"cron: {told(entry.command)}"),
        # no SourcePath=: a hand-over edits that file, and systemd would ask for a reload ever after
        _MANUAL,
        Line(
            "CollectMode", "inactive-or-failed", "else a failed run keeps an old definition alive"
        ),
        Line("OnFailure", "ds01-failure@%N.service"),
        Line("X-DS01-MailTo", told(mail, 200), told_of),
    ]


def _shell(entry: Entry) -> str:
    return entry.setting("SHELL") or "/bin/sh"


def _folder(entry: Entry) -> Line:
    home = entry.setting("HOME")
    why = "`-`: a job whose home is missing runs all the same"
    return Line("WorkingDirectory", f"-{home.replace('%', '%%')}" if home else "-~", why)


def _variables(entry: Entry) -> dict[str, str]:
    """Give cron's own variables and the crontab's; LOGNAME can't be set, systemd does it."""
    own = {"SHELL": "/bin/sh", "PATH": _CRON_PATH, **dict(entry.settings)}
    own.pop("LOGNAME", None)
    return own


def _environment(entry: Entry, options: Options) -> Iterator[Line]:
    """Set PAM's variables, which cron's own and the crontab's overrule."""
    own = _variables(entry)
    why = "from /etc/environment and /etc/default/locale, which cron gives its jobs"
    for key, value in options.session.items():
        if key not in {*own, "HOME", "LOGNAME", "USER"}:
            yield Line("Environment", assignment(key, value), why)
            why = ""
    if _is_trusted(entry):
        for key, value in own.items():
            yield Line("Environment", assignment(key, value))


def _is_trusted(entry: Entry) -> bool:
    """Tell whether root wrote the settings: only then may a root process of ours have them."""
    return not entry.is_own or entry.user == "root"


def _start(entry: Entry, options: Options) -> Line:
    """Run the command by the line's shell.

    The settings of a user come by env(1): in Environment= an LD_PRELOAD of theirs would get into
    the condition, which root runs.
    """
    shell = _shell(entry)
    away = commands.redirection(entry.command, shell) if options.journal else None
    run = f"{word(shell)} -c {word(away.command if away else entry.command)}"
    if _is_trusted(entry):
        return Line("ExecStart", run)
    pairs = " ".join(word(f"{key}={value}") for key, value in _variables(entry).items())
    return Line(
        "ExecStart", f"/usr/bin/env {pairs} {run}", "the user's settings are for this alone"
    )


def _input(stdin: str | None) -> Iterator[Line]:
    """Feed what stands behind the first ``%``; without that cron's jobs read an empty input."""
    if stdin is None:
        return
    yield Line("StandardInput", "data", "what stood behind the first % of the line")
    written = [input_line(line) for line in stdin.removesuffix("\n").split("\n")]
    if None in written:
        yield Line("StandardInputData", b64encode(stdin.encode()).decode())
    else:
        for line in written:
            yield Line("StandardInputText", line or "")


# --- the timer ----------------------------------------------------------------------------------


def _timer(entry: Entry) -> str:
    return unit(
        section("Unit", [Line("Description", f"cron: {told(entry.command)}"), _MANUAL]),
        section("Timer", list(_elapses(entry))),
        section("Install", [Line("WantedBy", WANTED_BY)]),
        about=_about(entry),
    )


def _elapses(entry: Entry) -> Iterator[Line]:
    if entry.schedule is None:
        why = "@reboot; a timer that is started later than that runs the job at once"
        yield Line("OnBootSec", BOOT_DELAY, why)
    for number, expression in enumerate(expressions(entry)):
        why = "cron runs the line when either day field fits" if number else ""
        yield Line("OnCalendar", expression, why or ("" if number else entry.when))
    if entry.schedule is not None:
        yield _persistence(entry)
    yield Line("AccuracySec", "1s")
    delay = entry.setting("RANDOM_DELAY")
    if delay and int(delay):
        yield Line("RandomizedDelaySec", f"{int(delay)}min", "RANDOM_DELAY")


def _persistence(entry: Entry) -> Line:
    if commands.run_parts(entry.command) in _CATCHES_UP:
        return Line("Persistent", "true", "a run missed while the host was off is made up for")
    return Line("Persistent", "false", "cron does not make up for missed runs")
