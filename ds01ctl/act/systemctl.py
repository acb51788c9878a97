"""Ask and tell systemd, never by a daemon-reload: it can take the GPUs away from containers.

A unit that is not loaded is read from its file when it is started; so new units are just started,
and changed ones stopped first, with all that refers to them. Source: systemctl(1); measured.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.errors import Ds01Error
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

TIMEOUT_S = 60.0
_POLL_S = 0.5
_SEE = "see journalctl -b -n 50"
_BUSY = {"activating", "deactivating", "active", "reloading"}


class Unit(NamedTuple):
    """What systemd says of a unit."""

    name: str
    load: str
    """``loaded``, ``not-found``, ``masked``, ``bad-setting``…"""
    active: str
    file_state: str
    """``enabled``, ``disabled``, ``static``, empty…"""
    needs_reload: bool
    """Its file is newer than what systemd has in memory."""


def is_live(root: Path) -> bool:
    """Tell whether this is the running host, and systemd runs it; else files are all there is."""
    return str(root) == "/" and (root / "run/systemd/system").is_dir()


def show(units: Sequence[str]) -> dict[str, Unit]:
    """Ask for units by name, all in one call. Raises Ds01Error, also for one that is not told."""
    keys = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")
    text = _systemctl("show", "-p", ",".join(keys), "--", *units) if units else ""
    blocks = [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in text.strip().split("\n\n")
    ]
    found = {
        block["Id"]: _unit(block) for block in blocks if block.get("ActiveState") and "Id" in block
    }
    if missing := [name for name in units if name not in found]:
        # what is not told may well be running
        raise Ds01Error(f"systemctl show tells nothing of {', '.join(missing)}", _SEE)
    return {name: found[name] for name in units}


def _unit(said: dict[str, str]) -> Unit:
    return Unit(
        said["Id"],
        said.get("LoadState", ""),
        said["ActiveState"],
        said.get("UnitFileState", ""),
        said.get("NeedDaemonReload") == "yes",
    )


def start(units: Sequence[str]) -> None:
    """Start units. Raises Ds01Error."""
    if units:
        _systemctl("start", "--", *units)


def stop(units: Sequence[str]) -> None:
    """Stop units. Raises Ds01Error."""
    if units:
        _systemctl("stop", "--", *units)


def reset_failed(units: Sequence[str]) -> None:
    """Forget failures; a failed unit would stay loaded with its old definition."""
    if units:
        _systemctl("reset-failed", "--", *units)


def enable(units: Sequence[str], root: Path | None = None) -> None:
    """Have units started at boot; root: in a tree that does not run. Raises Ds01Error."""
    if units:
        _systemctl(*_place(root), "enable", "--no-reload", "--", *units)


def disable(units: Sequence[str], root: Path | None = None) -> None:
    """Have units not started at boot. Raises Ds01Error."""
    if units:
        _systemctl(*_place(root), "disable", "--no-reload", "--", *units)


def wait_until_idle(
    units: Sequence[str], *, at_most_s: float, waiting: Callable[[Iterable[str]], None]
) -> tuple[str, ...]:
    """Wait for runs to end, without stopping them; return what still runs after so long.

    They have to be idle twice in a row: a run that fails at its end starts what tells of it.
    """
    end = time.monotonic() + at_most_s
    told: set[str] = set()
    idle = False
    while True:
        busy = tuple(name for name, unit in show(units).items() if unit.active in _BUSY)
        if time.monotonic() >= end or (not busy and (idle or not told)):
            return busy
        idle = not busy
        if new := [name for name in busy if name not in told]:
            waiting(new)
            told |= set(new)
        time.sleep(_POLL_S)


def _place(root: Path | None) -> tuple[str, ...]:
    return (f"--root={root}",) if root is not None else ()


def _systemctl(*arguments: str) -> str:
    done = run(["systemctl", "--no-pager", "--no-ask-password", *arguments], timeout_s=TIMEOUT_S)
    if done.status:
        said = done.stderr.strip().splitlines()
        what = said[-1] if said else f"exit code {done.status}"
        raise Ds01Error(f"systemctl {' '.join(arguments)}: {what}", _hint(what))
    return done.stdout


def _hint(what: str) -> str:
    if "denied" in what.lower() or "permission" in what.lower() or "authentication" in what.lower():
        return "run it as root"
    return _SEE


def create_folders(conf: Path) -> None:
    """Have systemd-tmpfiles make the folders of one of our files. Raises Ds01Error."""
    done = run(["systemd-tmpfiles", "--create", str(conf)], timeout_s=TIMEOUT_S)
    if done.status:
        said = done.stderr.strip().splitlines()
        what = said[-1] if said else f"exit code {done.status}"
        raise Ds01Error(f"systemd-tmpfiles --create {conf}: {what}", "see what it names")
