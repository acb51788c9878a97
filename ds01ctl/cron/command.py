"""The command of a line: what cron runs, what it feeds to it, and what is wrapped round it."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_BYTES = 998
"""Debian's cron refuses a longer one: ``command too long`` (MAX_COMMAND)."""

_LOG = re.compile(
    r"\s*(?:(?<![0-9&>])(?P<out>1?>>?|&>>?|>&)\s*(?P<file>[\w./@%+:,=$~{}-]+)(?:\s*2>&1)?"
    r"|(?:2>&1\s*)?\|\s*(?:/usr/bin/)?logger(?P<logger>(?:\s+[\w./:=-]+)*))\s*$"
)
_LOG_NAME = re.compile(r"/dev/null|.*(?:^|[/._-])logs?(?:[/._-].*)?|.*\.(?:out|err)", re.IGNORECASE)
"""What is by its name no log may be a dump, or a list that another program reads."""
_TAG = re.compile(r"(?:^|\s)(?:-t\s*|--tag[= ])(?P<tag>[\w.-]+)")
_FLOCK = re.compile(r"(?:^|[;&|]\s*)(?:/usr/bin/)?flock\s+(?:-\S+\s+(?:\d+\s+)?)*(?P<file>/\S+)")
_RUN_PARTS = re.compile(r"run-parts\s+(?:-\S+\s+)*(?P<folder>/etc/cron\.\w+)")
_ANACRON = re.compile(r"(?:test|\[)\s+-x\s+/usr/sbin/anacron\s+(?:\]\s+)?\|\|")
_WRAPPER = re.compile(
    r"(?:cd\s+\S+\s*(?:&&|;)|\w+=\S*|(?:test|\[)\s[^&|;]*(?:&&|\|\||;)|flock\s(?:-\S+\s+)*\S+"
    r"|(?:/usr/bin/)?(?:nice|ionice|timeout|env|sudo|chronic|exec)(?:\s+-\S+|\s+\d\S*)*|[({])\s*"
)


def split(text: str) -> tuple[str, str | None]:
    """Split at the first ``%`` that no backslash quotes into command and standard input.

    None: nothing is fed. Source: child_process() of do_command.c, with Debian's patch.
    """
    command: list[str] = []
    escaped = False
    for at, sign in enumerate(text):
        if escaped:
            if sign in "%\\":
                command.pop()
            command.append(sign)
            escaped = False
        elif sign == "%":
            return "".join(command), _fed(text[at + 1 :])
        else:
            command.append(sign)
            escaped = sign == "\\"
    return "".join(command), None


def _fed(text: str) -> str | None:
    """Translate what comes after the first ``%``: ``\\%`` is a percent sign, ``%`` a line end."""
    if not text:
        return None
    fed = re.sub(r"\\%|%", lambda found: "%" if found[0] == "\\%" else "\n", text)
    return fed if fed.endswith("\n") else fed + "\n"


class Redirection(NamedTuple):
    """Where a command sends its output at its end, and the command without that."""

    to: str
    command: str
    tag: str | None = None


def redirection(command: str, shell: str = "/bin/sh") -> Redirection | None:
    """Recognise a log file, /dev/null or logger at the end of a command, outside of quotes."""
    found = _LOG.search(command)
    if not found or not _is_plain(command[: found.start()]) or loses_output(command, shell):
        return None
    rest = command[: found.start()].rstrip()
    if not rest:
        return None
    if found["logger"] is None:
        is_log = _LOG_NAME.fullmatch(found["file"])
        return Redirection(found["file"], rest) if is_log else None
    tag = _TAG.search(found["logger"])
    return Redirection("logger", rest, tag["tag"] if tag else None)


def loses_output(command: str, shell: str) -> bool:
    """Tell whether ``&> file`` stands before a shell to which that means: in the background."""
    found = _LOG.search(command)
    short = bool(found and (found["out"] or "").startswith("&"))
    return short and shell.rpartition("/")[2] not in {"bash", "zsh", "ksh", "mksh"}


def _is_plain(text: str) -> bool:
    """Tell whether no quote and no command substitution is open at the end of a text."""
    quote = ""
    signs = iter(text)
    for sign in signs:
        if sign == "\\" and quote != "'":
            next(signs, "")
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"`":
            quote = sign
    return not quote and text.count("(") == text.count(")")


def lock_file(command: str) -> str | None:
    """Name the file of a ``flock`` that is wrapped round a command."""
    found = _FLOCK.search(command)
    return found["file"] if found else None


def run_parts(command: str) -> str | None:
    """Name the folder below /etc whose scripts the command runs."""
    found = _RUN_PARTS.search(command)
    return found["folder"] if found else None


def leaves_to_anacron(command: str) -> bool:
    """Tell whether the command does nothing where anacron is installed."""
    return bool(_ANACRON.search(command))


def program(command: str) -> str:
    """Name the program a person would call the command by, wrappers aside."""
    rest = command.lstrip()
    folder = run_parts(command)
    if folder:
        return folder.rpartition("/")[2]
    while match := _WRAPPER.match(rest):
        rest = rest[match.end() :]
    word = rest.split(maxsplit=1)[0] if rest.split() else "command"
    return word.rpartition("/")[2] or "command"
