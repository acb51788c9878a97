"""What is odd in a line though cron takes it, and what differs between cron and a timer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.cron import command as commands
from ds01ctl.cron.crontab import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.cron.crontab import Entry
    from ds01ctl.cron.fields import Schedule

_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDINALS = {1: "first", 8: "second", 15: "third", 22: "fourth"}
_STREAM = re.compile(r"/dev/(?:stdout|stderr|fd/[12])\b|/proc/self/fd/[12]\b")
_NAME_RANGE = re.compile(r"[a-z]{3}-|-[a-z]{3}", re.IGNORECASE)


def lint(entry: Entry) -> tuple[Remark, ...]:
    """List the warnings of an entry."""
    start = len(entry.text) - len(entry.text.lstrip(" \t")) + 1
    told = (*_of_time(entry), *_of_settings(entry), *_of_command(entry))
    line, column = (entry.line, start) if entry.line else (None, None)
    return tuple(Remark(entry.file, line, column, message) for message in told)


def _of_time(entry: Entry) -> Iterator[str]:
    schedule = entry.schedule
    if schedule is None:
        yield "@reboot: the timer runs it after a boot; when the timer is started by hand, at once"
        return
    if schedule.never_runs:
        yield f"{entry.when} never comes: cron never runs the line; no timer is made"
        return
    if schedule.either_day:
        yield _either(schedule)
    if _NAME_RANGE.search(entry.when) and not entry.when.startswith("@"):
        yield "a range of names: cron takes it, though crontab(5) does not allow it"
    if not schedule.is_wild and set(schedule.hours) & {1, 2}:
        yield (
            "between 01:00 and 03:00: when the clock changes, cron and systemd differ on what is"
            " run twice or late; another hour avoids that"
        )


def _either(schedule: Schedule) -> str:
    """Tell of the OR of the day fields, which is seldom what was meant."""
    names = " or ".join(_NAMES[day] for day in schedule.weekdays)
    days = schedule.days
    week = len(days) == 7 and days[6] - days[0] == 6 and len(schedule.weekdays) == 1
    if week and days[0] in _ORDINALS:
        return (
            f"runs on the days {days[0]} to {days[6]} and on every {names}, for either day field"
            f" is enough; did you mean the {_ORDINALS[days[0]]} {names} of the month?"
        )
    return f"runs on the days of the month and on every {names}: either day field is enough"


def _of_settings(entry: Entry) -> Iterator[str]:
    if entry.setting("CRON_TZ"):
        yield "CRON_TZ: the timer follows it; Debian's cron does not, only cronie's does"
    if entry.setting("RANDOM_DELAY") not in {None, "0"}:
        yield "RANDOM_DELAY: the timer follows it; Debian's cron does not, only cronie's does"
    mail = entry.setting("MAILTO")
    if mail and (len(mail.split()) > 1 or mail.startswith("-")):
        yield f"MAILTO is no single address; mail goes to {entry.user}, as with cron"


def _of_command(entry: Entry) -> Iterator[str]:
    shell = entry.setting("SHELL") or "/bin/sh"
    if commands.loses_output(entry.command, shell):
        yield f"&> is for bash: {shell} runs the command in the background and logs nothing"
    # cron's pipe is root's: others can't open it there, either
    if entry.user == "root" and _STREAM.search(entry.command):
        yield "opens /dev/stdout or /dev/stderr: systemd gives it a socket, which can't be opened"
    lock = commands.lock_file(entry.command)
    if lock:
        yield f"flock {lock}: a unit is never started twice; it may go, if nothing else uses it"
    if commands.redirection(entry.command, shell):
        yield "its output goes elsewhere at the end; --journal gives it to the journal instead"
    if entry.command.startswith("root "):
        yield "begins with root: a user's own crontab has no user column"
