"""Start programs: the only module that does, never through a shell, always with a deadline."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Mapping


class Completed(NamedTuple):
    """What a program left behind."""

    status: int
    stdout: str
    stderr: str


def run(
    argv: list[str],
    *,
    timeout_s: float,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program to its end and return its status and output, decoded with replacement.

    env: variables that it gets besides ours.
    Raises Ds01Error when the program is missing, may not be run, or exceeds its deadline.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **env} if env else None,
        )
    except FileNotFoundError:
        hint = f"install the package that has {argv[0]}"
        raise Ds01Error(f"{argv[0]}: not found", hint) from None
    except OSError as error:
        hint = f"see what a shell says: {argv[0]} --version"
        raise Ds01Error(f"{argv[0]}: cannot be started: {error.strerror}", hint) from None
    except subprocess.TimeoutExpired:
        hint = "run it by hand: the host is overloaded, or a server or disk that it asks is silent"
        raise Ds01Error(f"{argv[0]}: no answer in {timeout_s:g} s", hint) from None
    return Completed(done.returncode, done.stdout, done.stderr)
