"""Keep the output that docs show real: run each `$ ds01ctl …` of a console block and compare."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)


def refreshed(path: Path) -> str:
    """Give a page's text with the output of its replayed commands as it is now."""
    return _BLOCK.sub(lambda match: match[1] + _run(match[2]) + match[3], path.read_text())


def _run(block: str) -> str:
    """Run the commands of a block that need no host of their own; leave other blocks alone."""
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    if not commands or not all(_is_repeatable(command) for command in commands):
        return block
    return "".join(f"$ {command}\n{_output(command)}" for command in commands)


def _is_repeatable(command: str) -> bool:
    return command.startswith("ds01ctl ") and "--replay example" in command


def _output(command: str) -> str:
    arguments = shlex.split(command)[1:]
    argv = [sys.executable, "-m", "ds01ctl", *arguments]
    # times are shown as they are where the docs are at home
    env = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env)
    return done.stdout
