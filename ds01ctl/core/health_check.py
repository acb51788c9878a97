"""Tell a container's HEALTHCHECK from what people run in it.

An engine runs both in the same way. What is known is the command (``Config.Healthcheck`` of an
inspect) and what a process was started with (``/proc/PID/cmdline``); between the two, a shell may
replace itself by a command that is its only one, and the kernel puts interpreters before a script.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPECIAL = frozenset("|&;<>()$`*?[]#~%!{}\n")
"""With one of these a shell does more than to part words."""
_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh"})
_INTERPRETERS = 2
"""Words that the kernel puts before a script: ``/usr/bin/env python3``."""


def is_run_by(argv: Sequence[bytes], command: Sequence[str]) -> bool:
    """Tell whether a process that was started with argv is a run of a health check's command.

    Also where it has ended already and argv is empty, or is about to begin: runc's own process is
    there for some milliseconds first, and nobody can tell then what it will be.
    """
    if not argv or (len(argv) == 2 and argv[1] == b"init" and argv[0].endswith(b"runc")):
        return True
    return any(_ends_with(argv, words) for words in (command, _alone(command)))


def _alone(command: Sequence[str]) -> Sequence[str]:
    """Give the only command of a shell's line; empty: it is more than that, or no shell's line."""
    is_shell = len(command) > 2 and command[0].rpartition("/")[2] in _SHELLS
    if not is_shell or not re.fullmatch("-[a-z]*c", command[-2]) or _SPECIAL & set(command[-1]):
        return ()
    try:
        words = shlex.split(command[-1])
    except ValueError:
        return ()
    return words[1:] if words[:1] == ["exec"] else words


def _ends_with(argv: Sequence[bytes], words: Sequence[str]) -> bool:
    # the kernel puts interpreters before the path of a script, and before nothing else
    most = _INTERPRETERS if words and words[0].startswith("/") else 0
    before = len(argv) - len(words)
    tail = [word.encode(errors="replace") for word in words]
    return bool(words) and 0 <= before <= most and list(argv[before:]) == tail
