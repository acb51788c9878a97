"""One policy file: its text, and what is wrong in it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ds01ctl.core.policy import Origin, Problem
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_MAX_BYTES = 4 << 20


class PolicyError(Ds01Error):
    """Policy files are wrong; every problem is named."""

    def __init__(self, findings: Findings) -> None:
        self.problems = _in_order(findings.problems)
        self.warnings = _in_order(findings.warnings)
        self.files = tuple(findings.files)
        self.is_denied = findings.is_denied
        hint = "correct the policy, then try: ds01ctl config check"
        super().__init__(
            "\n".join(["the policy cannot be used as it is:", *map(str, self.problems)]),
            "run it as root" if self.is_denied else hint,
            {
                "files": list(self.files),
                "problems": [row_of(problem) for problem in self.problems],
                "warnings": [row_of(warning) for warning in self.warnings],
            },
        )


def row_of(problem: Problem) -> dict[str, Any]:
    """Give a problem or warning as scripts get it; null where it has no line or no key."""
    return {**problem._asdict(), "key": problem.key or None}


class Findings:
    """What was found wrong so far, in all files."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.files: list[str] = []
        """What was read, or should have been."""
        self.is_denied = False
        """Whether something may not be read by whoever asks."""

    def stop_on_problems(self) -> None:
        """Raise PolicyError when there is any problem."""
        if self.problems:
            raise PolicyError(self)

    def told(self) -> tuple[Problem, ...]:
        """Give the warnings, in the order of the files."""
        return _in_order(self.warnings)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: (problem.file, problem.line or 0)))


class Source:
    """One file that is being read; name is its path from the policy's folder, for origins."""

    def __init__(self, path: Path, name: str, findings: Findings) -> None:
        self.path = path
        self.name = name
        self.findings = findings

    def error(self, line: int | None, key: str, message: str) -> None:
        """Note something that is wrong."""
        self.findings.problems.append(self._problem(line, key, message))

    def warn(self, line: int | None, key: str, message: str) -> None:
        """Note something that is odd."""
        self.findings.warnings.append(self._problem(line, key, message))

    def _problem(self, line: int | None, key: str, message: str) -> Problem:
        # a key may hold what a terminal would obey
        return Problem(str(self.path), line, key if key.isprintable() else ascii(key), message)

    def origin(self, line: int, rule: str) -> Origin:
        """Say where a value was written."""
        return Origin(self.name, line, rule)

    def text(self) -> str | None:
        """Read the file; None where it cannot be read, which is then noted as a problem."""
        self.findings.files.append(str(self.path))
        try:
            return read_text(self.path)
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self.error(line, "", "is not UTF-8 text")
        except OSError as error:
            self.failed("cannot be read", error)
        return None

    def failed(self, what: str, error: OSError) -> None:
        """Note a file or folder that the system does not give."""
        self.findings.is_denied |= isinstance(error, PermissionError)
        self.error(None, "", f"{what}: {error.strerror}")


def read_text(path: Path) -> str:
    """Read a regular file of at most 4 MiB. Raises OSError or UnicodeDecodeError."""
    # never wait for the writer of a pipe
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > _MAX_BYTES:
            raise OSError(0, "larger than 4 MiB")
        # some editors begin a file with a mark
        return os.read(fd, _MAX_BYTES).decode("utf-8").removeprefix("\ufeff")
    finally:
        os.close(fd)


def is_there(path: Path) -> bool:
    """Tell whether a path exists, be it a link to nowhere. Raises Ds01Error if that is hidden."""
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            path.lstat()
        except PermissionError:
            raise Ds01Error(f"{path}: may not be looked at", "run it as root") from None
        return True
    return False
