"""A crontab's text as entries, exactly as Vixie cron 3.0pl1 of Debian reads it, and more strictly.

Cron ignores a whole file for one wrong line, and reads over other mistakes in silence; here each
is a problem with its file, line and column.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.cron import command as commands
from ds01ctl.cron import fields, settings, unfit
from ds01ctl.cron.fields import KINDS, NAMED, REBOOT, FieldError, Schedule
from ds01ctl.cron.marker import Mark, read_mark
from ds01ctl.cron.naming import may_name

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(r"[^ \t]+")
_EMPTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Remark(NamedTuple):
    """Something wrong, or odd, at a place in a file; line and column count from 1."""

    file: str
    line: int | None
    column: int | None
    message: str

    def __str__(self) -> str:
        place = ":".join(str(part) for part in self[:3] if part is not None)
        return f"{place}: {self.message}"


class Known(NamedTuple):
    """What only the host can tell."""

    is_login: Callable[[str], bool]
    is_zone: Callable[[str], bool]
    uid: Callable[[str], int | None] = lambda _: None


class Entry(NamedTuple):
    """One line that cron runs."""

    file: str
    line: int
    text: str
    """The line as it stands in the file, without its end."""
    when: str
    """The time fields, or the name, as written."""
    schedule: Schedule | None
    """None for ``@reboot``."""
    user: str
    command: str
    """What the shell gets: up to the first ``%``, with ``\\%`` resolved."""
    stdin: str | None
    settings: tuple[settings.Setting, ...] = ()
    """The settings above the line, each name once."""
    is_own: bool = False
    """From a user's own crontab, not from one that root writes."""
    uid: int | None = None
    """Of a login that is a number, which systemd would take for a uid."""

    def setting(self, name: str) -> str | None:
        """Give a variable that the crontab sets for this line."""
        return dict(self.settings).get(name)


class Crontab(NamedTuple):
    """What was read in one file; with any problem, nothing of it may be used."""

    entries: tuple[Entry, ...]
    marks: tuple[Mark, ...]
    """Lines that were handed over to a timer."""
    problems: tuple[Remark, ...]


class _WrongLineError(Exception):
    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def parse(data: bytes, file: str, known: Known, *, owner: str | None = None) -> Crontab:
    """Read a crontab; owner is the login of a user's own one, which has no user column."""
    lines = data.split(b"\n")
    reader = _Reader(file, known, owner)
    if b"\r\n" in data or data.endswith(b"\r"):
        reader.refuse_carriage_returns(lines)
    for number, line in enumerate(lines, 1):
        reader.read(number, line, is_unended=number == len(lines))
    reader.refuse_too_many()
    return Crontab(tuple(reader.entries), tuple(reader.marks), tuple(reader.problems))


class _Reader:
    """Goes through one file and keeps what it found."""

    def __init__(self, file: str, known: Known, owner: str | None) -> None:
        self.file = file
        self.known = known
        self.owner = owner
        self.entries: list[Entry] = []
        self.marks: list[Mark] = []
        self.problems: list[Remark] = []
        self.settings: dict[str, settings.Setting] = {}

    def refuse_carriage_returns(self, lines: list[bytes]) -> None:
        """Say once of a file with DOS line ends that cron passes them on to the commands."""
        first, line = next((n, one) for n, one in enumerate(lines, 1) if one.endswith(b"\r"))
        message = "a line that ends in CR LF: the command gets the CR; expected LF alone (dos2unix)"
        self.problems.append(Remark(self.file, first, len(line), message))

    def refuse_too_many(self) -> None:
        """Say once of a file that it is none that a person wrote."""
        if len(self.entries) > unfit.MAX_JOBS:
            line = self.entries[unfit.MAX_JOBS].line
            message = f"more than {unfit.MAX_JOBS} jobs in one crontab; expected fewer: divide it"
            self.problems.append(Remark(self.file, line, 1, message))

    def read(self, number: int, raw: bytes, *, is_unended: bool) -> None:
        """Read one line; what is wrong with it is noted."""
        try:
            self._read(number, _decoded(raw.removesuffix(b"\r")), is_unended=is_unended)
        except _WrongLineError as wrong:
            self.problems.append(Remark(self.file, number, wrong.at + 1, wrong.message))

    def _read(self, number: int, text: str, *, is_unended: bool) -> None:
        mark = read_mark(text, number)
        # a user could mark lines of others, and have us take them for handed over
        if mark and (self.owner is None or may_name(mark.name, self.file)):
            self.marks.append(mark)
        start = len(text) - len(text.lstrip(" \t"))
        if start == len(text) or text[start] == "#":
            return
        misfit = unfit.in_line(text)
        if misfit:
            raise _WrongLineError(*misfit)
        if is_unended:
            what = "no line end after the last line: cron ignores the whole file; add one"
            raise _WrongLineError(len(text), what)
        setting = settings.parse(text[start:])
        if setting:
            self._set(setting, text, start)
        elif _EMPTY.fullmatch(text, start):
            name = text[start:].partition("=")[0].strip()
            message = f'no value: cron ignores the whole file; expected {name}=""'
            raise _WrongLineError(text.index("=", start) + 1, message)
        else:
            self.entries.append(self._entry(number, text, start))

    def _set(self, setting: settings.Setting, text: str, start: int) -> None:
        if not _NAME.fullmatch(setting.name):
            what = f"cron reads this as a setting of {setting.name[:40]!r}"
            raise _WrongLineError(start, f"{what}; expected a name of letters, digits and _")
        if len(text.encode()) > settings.MAX_BYTES:
            what = f"a setting of more than {settings.MAX_BYTES} bytes: cron cuts it; shorten it"
            raise _WrongLineError(settings.MAX_BYTES, what)
        value_at = text.index("=", start) + 1
        self._check_setting(setting, value_at)
        self.settings[setting.name] = setting
        if (
            sum(len(f"{one.name}{one.value}") for one in self.settings.values())
            > unfit.MAX_SETTINGS
        ):
            self.settings.clear()
            raise _WrongLineError(
                start, f"settings of more than {unfit.MAX_SETTINGS} characters; expected fewer"
            )

    def _check_setting(self, setting: settings.Setting, at: int) -> None:
        name, value = setting
        if not value.isprintable() and any(ord(sign) < 32 and sign != "\t" for sign in value):
            raise _WrongLineError(at, f"a control character in {name}; systemd refuses it")
        if name == "CRON_TZ" and not self.known.is_zone(value):
            what = f"{value[:40]!r} is no time zone; expected a name such as Europe/Berlin"
            raise _WrongLineError(at, what)
        if name == "RANDOM_DELAY" and not (value.isascii() and value.isdigit() and len(value) < 6):
            raise _WrongLineError(at, f"{value[:40]!r} is no delay; expected whole minutes")
        misfit = unfit.in_setting(name, value)
        if misfit:
            raise _WrongLineError(at, misfit)

    def _entry(self, number: int, text: str, start: int) -> Entry:
        when, schedule, at = _time(text, start)
        user = self.owner
        if user is None:
            user, at = self._user(text, at)
        rest = text[at:].lstrip(" \t")
        at = len(text) - len(rest)
        if not rest:
            what = "no command" if self.owner else f"no command after the user {user[:40]}"
            raise _WrongLineError(at, f"{what}; expected one")
        if self.owner and rest.startswith("*"):
            raise _WrongLineError(at, "a sixth time field; expected the command")
        if len(rest.encode()) > commands.MAX_BYTES:
            what = f"a command of {len(rest.encode())} bytes: cron takes {commands.MAX_BYTES}"
            raise _WrongLineError(at + commands.MAX_BYTES, f"{what}; put it into a script")
        run, stdin = commands.split(rest)
        return Entry(
            self.file,
            number,
            text,
            when,
            schedule,
            user,
            run,
            stdin,
            tuple(self.settings.values()),
            is_own=self.owner is not None,
            uid=self._uid(user, start),
        )

    def _uid(self, user: str, at: int) -> int | None:
        """Look up whose login a number is: systemd would take it for a uid."""
        if not user.isdigit():
            return None
        uid = self.known.uid(user)
        if uid is None:
            what = f"{user[:40]!r} is a number, and no login on this host"
            raise _WrongLineError(at, f"{what}; expected the login of a user")
        return uid

    def _user(self, text: str, at: int) -> tuple[str, int]:
        """Read the user column of a system crontab."""
        found = _TOKEN.search(text, at)
        if not found:
            raise _WrongLineError(len(text), "no user and no command; expected both")
        user = found[0]
        if not self.known.is_login(user):
            hint = "expected the user who runs the command, as root"
            what = "a user" if len(user) <= 32 and "/" not in user else "the user column"
            message = f"{user[:40]!r} is no login on this host, where {what} belongs; {hint}"
            raise _WrongLineError(found.start(), message)
        return user, found.end()


def _decoded(raw: bytes) -> str:
    if raw.lstrip(b" \t").startswith(b"#"):
        # a comment may be anything
        return raw.decode(errors="surrogateescape")
    at = raw.find(b"\0")
    if at >= 0:
        raise _WrongLineError(at, "a NUL byte: cron stops reading there; remove it")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        what = f"the byte 0x{raw[error.start]:02x} is no UTF-8; expected UTF-8"
        before = len(raw[: error.start].decode())
        raise _WrongLineError(before, what) from None


def _time(text: str, start: int) -> tuple[str, Schedule | None, int]:
    """Read the time of a line: as written, its meaning, and where the rest begins."""
    if text[start] == "@":
        return _named_time(text, start)
    found: list[str] = []
    at = start
    for kind in KINDS:
        token = _TOKEN.search(text, at)
        if not token:
            what = f"no {kind.name}: the line has {len(found)} of 5 time fields"
            raise _WrongLineError(len(text), f"{what}; expected {kind.expected()}, or *")
        try:
            fields.values(token[0], kind)
        except FieldError as error:
            raise _WrongLineError(token.start() + error.offset, error.message) from None
        found.append(token[0])
        at = token.end()
    minute, hour, day, month, weekday = found
    return " ".join(found), fields.parse((minute, hour, day, month, weekday)), at


def _named_time(text: str, start: int) -> tuple[str, Schedule | None, int]:
    token = _TOKEN.search(text, start)
    name = token[0] if token else ""
    if name == REBOOT:
        return name, None, start + len(name)
    if name in NAMED:
        return name, fields.named(name), start + len(name)
    from difflib import get_close_matches

    known = [*NAMED, REBOOT]
    near = get_close_matches(name.lower(), known, 1, 0.6)
    meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    if name == "@every_minute":
        meant = "write * * * * * instead"
    raise _WrongLineError(start, f"{name[:40]!r} is no time that Debian's cron knows; {meant}")
