"""The file of a saved plan, whichever command has made it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST = 64 << 20


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a plan, for its owner alone. Raises Ds01Error."""
    try:
        write_atomic(path, json.dumps(data, indent=1) + "\n", mode=0o600)
    except OSError as error:
        hint = "give a file in a folder that can be written to"
        raise Ds01Error(f"{path}: cannot be written: {error.strerror}", hint) from None


def read(path: Path, command: str) -> Any:
    """Read what was written, if nobody but root and us could have changed it.

    Raises Ds01Error, OSError, or ValueError for what is no JSON.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
            who = f"uid {found.st_uid}, mode {found.st_mode & 0o777:04o}"
            what = f"{path}: somebody else than you could have written it ({who})"
            raise Ds01Error(what, f"plan it yourself: ds01ctl {command} plan --out FILE")
        return json.loads(file.read(_LARGEST))
