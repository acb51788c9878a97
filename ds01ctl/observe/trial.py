"""Try files out: in a folder where nobody can meddle with them, with tools that may be missing."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.core.model import Gap
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def private_dir() -> Iterator[Path]:
    """Make a folder that only we can enter, and remove it. Raises Ds01Error."""
    try:
        with tempfile.TemporaryDirectory(prefix="ds01-verify-") as folder:
            yield Path(folder).resolve()
    except OSError as error:
        place = error.filename or tempfile.gettempdir()
        hint = "make room there, or set TMPDIR to another folder"
        raise Ds01Error(f"{place}: {error.strerror or error}", hint) from None


def put(path: Path, text: str) -> None:
    """Write a file that others may read but not write, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    # whatever the umask: logrotate ignores what others may write
    path.chmod(0o644)


def untried(tool: str, error: Ds01Error) -> Gap:
    """Say that a tool could not be asked."""
    return Gap(tool, "absent" if error.message.endswith("not found") else "failed", error.message)
