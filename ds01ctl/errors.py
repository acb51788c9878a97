"""What can go wrong, and the exit code for each."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """The process's exit status; units go red on 1 and 3."""

    OK = 0
    """Ran, findings or not."""
    FAILED = 1
    """Could not run: configuration, permission, missing tool."""
    USAGE = 2
    """The command line was wrong."""
    PARTIAL = 3
    """Ran in part: a source failed, or an action did."""
    FINDINGS = 4
    """Findings or pending changes; only with ``--exit-code``."""
    LOCKED = 5
    """Another instance of the job is running."""


class Ds01Error(Exception):
    """Anything the world can do to us; ``message`` says what, ``hint`` what to do about it.

    ``data`` is what scripts get of it, as the data of the JSON document.
    """

    exit_code = ExitCode.FAILED

    def __init__(
        self, message: str, hint: str | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data or {}


class UsageError(Ds01Error):
    """The arguments are well-formed but ask for something that does not exist."""

    exit_code = ExitCode.USAGE


class LockedError(Ds01Error):
    """Another instance of this job holds its lock."""

    exit_code = ExitCode.LOCKED
