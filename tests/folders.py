"""Let others into the folders of a test, which pytest makes for one user alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def let_others_in(folder: Path) -> None:
    """Let others read `folder`, and pass what lies above it that is closed."""
    folder.chmod(0o755)
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o011)
