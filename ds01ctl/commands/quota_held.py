"""Read for `quota` what users hold of GPUs and containers: as `detect` sees it, in one look."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import detecting
from ds01ctl.core import held

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.core.held import Held
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths


class HeldReading(NamedTuple):
    """What users hold, and what could not be read: held.unknown_kinds says what that concerns."""

    rows: tuple[Held, ...]
    gaps: tuple[Gap, ...]


def read(paths: Paths, config: Path | None) -> HeldReading:
    """Look at the host once, and count. Raises Ds01Error for a bad policy."""
    seen = detecting.look(detecting.Wish(config=config), paths)
    rows = held.rows(seen.verdicts.workloads, seen.snapshot, seen.policy, seen.snapshot.taken_at)
    return HeldReading(rows, seen.gaps)
