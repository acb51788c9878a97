"""Programs on PATH that say what a test wants them to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

REAL = "/usr/bin:/bin"


class Tools:
    """A folder of programs; only they, and the system's plain ones if asked for, are found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, name: str, body: str) -> None:
        """Write a program: lines of a shell script."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def says(self, name: str, text: str, status: int = 0) -> None:
        """Write a program that says a text and ends."""
        to = "" if status == 0 else " >&2"
        self.put(name, f"printf '%s\\n' '{text}'{to}\nexit {status}")

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let nothing else be found."""
        monkeypatch.setenv("PATH", str(self.folder))

    def path(self) -> str:
        """Give a PATH on which they come first."""
        return f"{self.folder}{os.pathsep}{REAL}"
