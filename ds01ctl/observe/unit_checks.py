"""Let systemd read unit files that are not installed yet, and say what it thinks of them.

They are copied to a folder of their own, with empty stand-ins for the targets that every unit
needs, so that neither broken units of the host nor those that are not there make any noise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.core.problem import Problem, Severity
from ds01ctl.core.unit_text import directives, program
from ds01ctl.errors import Ds01Error
from ds01ctl.observe.trial import private_dir, put, untried
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ds01ctl.core.unit_text import UnitFile
    from ds01ctl.paths import Paths

TIMEOUT_S = 60.0
UNIT_PATH = (
    "etc/systemd/system", "run/systemd/system", "run/systemd/generator",
    "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system",
)  # fmt: skip
"""Where units lie. Source: systemd.unit(5)."""
ADMINS_UNITS = "etc/systemd/system"
_ALWAYS_NEEDED = ("sysinit", "basic", "shutdown", "timers", "multi-user", "time-sync", "time-set")
_A_PROGRAM = "/bin/true"
_EXEC = re.compile(r"^(\s*Exec\w+\s*=\s*)(.*)$", re.MULTILINE)
_LINE = re.compile(r"(?P<path>/.*?):(?P<line>\d+): (?P<what>.*)")
_UNIT = re.compile(r"(?:Unit )?(?P<unit>[\w@.:\\-]+\.\w+):? (?P<what>.*)")
_NOT_THERE = re.compile(r"Unit \S+ not found")
_EXPOSURE = re.compile(r"Overall exposure level for (\S+): (\d+\.\d)")


class Checked(NamedTuple):
    """What systemd says."""

    problems: tuple[Problem, ...] = ()
    exposures: Mapping[str, float] = {}
    """By the service's name."""
    gaps: tuple[Gap, ...] = ()


def check(files: Sequence[UnitFile]) -> Checked:
    """Have the units read, and their exposure measured. Raises Ds01Error."""
    with private_dir() as folder:
        for name in _ALWAYS_NEEDED:
            put(folder / f"{name}.target", "[Unit]\nDescription=stand-in\n")
        for file in files:
            put(folder / file.name, with_stand_in(file.text))
        units = sorted(str(folder / file.name) for file in files if "/" not in file.name)
        if not units:
            return Checked()
        try:
            problems = _verify(units, folder, files)
            exposures, gaps = _exposures([one for one in units if one.endswith(".service")])
        except Ds01Error as error:
            return Checked(gaps=(untried("systemd-analyze", error),))
    return Checked(tuple(problems), exposures, gaps)


def with_stand_in(text: str) -> str:
    """Let each command run a program that every host has; its arguments stay."""
    return _EXEC.sub(lambda found: found[1] + _replaced(found[2]), text)


def _replaced(command: str) -> str:
    path, start, end = program(command)
    return command[:start] + _A_PROGRAM + command[end:] if path.startswith("/") else command


def _verify(units: list[str], folder: Path, files: Sequence[UnitFile]) -> list[Problem]:
    # the empty path: nothing of the host's is read
    env = {"SYSTEMD_UNIT_PATH": "", "LC_ALL": "C", "SYSTEMD_LOG_LEVEL": "info"}
    argv = ["systemd-analyze", "verify", "--man=no", *units]
    done = run(argv, timeout_s=TIMEOUT_S, env={**env, "SYSTEMD_LOG_TARGET": "console"})
    told = [_problem(line, folder, files) for line in done.stderr.splitlines() if line.strip()]
    # that a unit is refused follows a line that says why
    problems = [one for one in told if one and not one.what.startswith("has a bad unit file")]
    if done.status and not done.stderr.strip():
        what = f"systemd-analyze verify ended with {done.status} and said nothing"
        problems.append(Problem("error", "syntax", "units", what, "run it by hand on these files"))
    return problems


def _problem(line: str, folder: Path, files: Sequence[UnitFile]) -> Problem | None:
    """Attribute a line; its copy has the same line numbers as the file."""
    by_name = {file.name: file for file in files}
    if _NOT_THERE.search(line):
        # a unit of the host, which is looked for elsewhere
        return None
    if found := _LINE.fullmatch(line):
        name = found["path"].removeprefix(f"{folder}/")
        file, place = by_name.get(name), f":{found['line']}"
    elif found := _UNIT.fullmatch(line):
        file, place = by_name.get(re.sub(r"@[^.]*\.", "@.", found["unit"])), ""
        file = file or by_name.get(found["unit"])
    if not found:
        return Problem("error", "syntax", "units", line.replace(f"{folder}/", ""), _FIX)
    if file is None:
        return None
    severity: Severity = "warning" if file.is_admins else "error"
    return Problem(severity, "syntax", f"{file.where}{place}", found["what"], _FIX)


_FIX = "correct it: systemd ignores such a line, or the whole unit"


def _exposures(services: list[str]) -> tuple[dict[str, float], tuple[Gap, ...]]:
    """Measure all services at once, in tenths as systemd shows them."""
    if not services:
        return {}, ()
    argv = ["systemd-analyze", "security", "--no-pager", "--offline=yes", *services]
    env = {"SYSTEMD_UNIT_PATH": "", "LC_ALL": "C"}
    done = run(argv, timeout_s=TIMEOUT_S, env=env)
    found = {
        re.sub(r"@[^.]*\.", "@.", name): float(figure)
        for name, figure in _EXPOSURE.findall(done.stdout)
    }
    if found:
        return found, ()
    why = done.stderr.strip().splitlines()[-1:] or [f"status {done.status}"]
    reason = f"systemd-analyze security --offline: {why[0]} (it came with systemd 250)"
    return {}, (Gap("systemd-analyze security", "absent", reason),)


# --- what the host has ---


def units_there(paths: Paths) -> frozenset[str]:
    """Name all unit files of the host."""
    found: set[str] = set()
    for place in UNIT_PATH:
        try:
            found |= {one.name for one in paths.under(place).iterdir()}
        except OSError:
            continue
    return frozenset(found)


def drop_ins(names: Iterable[str], paths: Paths) -> list[tuple[str, str, str]]:
    """Find the admin's drop-ins for these units: name, text and path of each."""
    found = []
    for name in sorted(names):
        for path in sorted(paths.under(f"{ADMINS_UNITS}/{name}.d").glob("*.conf")):
            try:
                text = path.read_text(encoding="utf-8", errors="surrogateescape")
            except OSError:
                continue
            found.append((f"{name}.d/{path.name}", text, str(path)))
    return found


def commands(files: Iterable[UnitFile]) -> dict[str, list[str]]:
    """List the programs that the units start, by absolute path, each with its places."""
    found: dict[str, list[str]] = {}
    for file in files:
        for line in directives(file.text):
            path = program(line.value)[0]
            if line.key.startswith("Exec") and path.startswith("/"):
                found.setdefault(path, []).append(file.at(line.line))
    return found
