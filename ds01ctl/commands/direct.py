"""Run what timers and scripts run all the time without typer, whose loading is a third of a run.

Only a command with nothing but flags after it is known here. Everything else, a wrong flag as
well, is typer's, and so are help, completion and every error of the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl import __version__
from ds01ctl.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ds01ctl.commands.shown import Shown

    Flags = Collection[str]


def find(arguments: list[str]) -> Callable[[], Shown | int] | None:
    """Give what runs the command that the arguments name; None: they are for typer."""
    run, known = _RUNS.get(tuple(arguments[:2]), (None, frozenset()))
    flags = frozenset(arguments[2:])
    if run is None or not flags <= known:
        return None
    return lambda: run(flags)


def _sample(flags: Flags) -> Shown:
    from ds01ctl.commands import carbon_sampling

    return carbon_sampling.shown(None, dry_run="--dry-run" in flags, as_json="--json" in flags)


def _unmanaged(flags: Flags) -> Shown:
    from ds01ctl.commands import detecting

    return detecting.unmanaged(
        detecting.Wish(),
        record="--record" in flags,
        as_json="--json" in flags,
        exit_on_findings="--exit-code" in flags,
    )


def _version(_: Flags) -> int:
    print(f"ds01ctl {__version__}")
    return ExitCode.OK


_RUNS: dict[tuple[str, ...], tuple[Callable[[Flags], Shown | int], frozenset[str]]] = {
    ("--version",): (_version, frozenset()),
    ("carbon", "sample"): (_sample, frozenset({"--dry-run", "--json"})),
    ("detect", "unmanaged"): (_unmanaged, frozenset({"--record", "--json", "--exit-code"})),
}
"""By command: what runs it, and its flags."""
