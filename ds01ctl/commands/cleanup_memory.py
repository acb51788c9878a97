"""What `cleanup` remembers from run to run: watches, marks, totals."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands.cleanup_rows import read_clock, read_watch
from ds01ctl.commands.quota_memory import gap_of
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.cleanupstate import ImageKey, Logged
    from ds01ctl.core.cleanup_model import Clock, Watch
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths

LOCK = "cleanup"
"""Whoever stops or removes containers holds it; only then are watches written."""
LOCK_OF_IMAGES = "cleanup-images"
"""Removing images may take long: samples are taken meanwhile."""
KEPT = timedelta(days=400)
KEPT_ROWS = 5000
"""What was done is kept so long, and the last so many whatever the clock says."""


class Memory(NamedTuple):
    """What earlier runs left."""

    watches: Mapping[str, Watch]
    """By full id; as they were at the last look."""
    texts: Mapping[str, str]
    """The same as they are stored: what has not changed is not written again."""
    uses: Mapping[ImageKey, tuple[int, int]]
    """Last use and first seen of images and their references."""
    marks: Mapping[str, str]
    gaps: tuple[Gap, ...] = ()
    begun: tuple[Logged, ...] = ()
    """What a run that was killed had begun."""

    def mark(self, name: str) -> Any:
        """Read a mark as JSON; None where there is none, or it makes no sense."""
        with suppress(ValueError):
            return json.loads(self.marks.get(name, "null"))
        return None

    @property
    def clock(self) -> Clock | None:
        """Say what time it was at the last look."""
        return read_clock(self.mark("clock"))

    def version_since(self, version: str) -> datetime | None:
        """Say since when this version runs here; None: it has not run yet."""
        with suppress(ValueError, TypeError):
            known, since = self.mark("version")
            return datetime.fromisoformat(since) if known == version else None
        return None

    def numbers(self, name: str) -> dict[str, float]:
        """Read a mark that is a table of numbers."""
        told = self.mark(name)
        rows = told.items() if isinstance(told, dict) else ()
        return {str(key): value for key, value in rows if isinstance(value, (int, float))}


NOTHING = Memory({}, {}, {}, {})


def recall(paths: Paths) -> Memory:
    """Read what earlier runs left, without writing; a store that can't be read is a gap."""
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return NOTHING
        with state:
            return recalled(state)
    except StateError as error:
        return NOTHING._replace(gaps=(gap_of(error),))


def has_begun(paths: Paths, kind: str) -> bool:
    """Tell whether something of a kind was begun, and nobody wrote what came of it."""
    with suppress(StateError):
        if state := State.open_for_reading(paths):
            with state:
                return any(row.kind == kind for row in state.begun_log())
    return False


def recalled(state: State) -> Memory:
    """Read what an open store remembers; a watch that makes no sense begins anew."""
    # before the uses: an event may be folded in twice, but none may be left out
    marks = state.marks()
    texts = state.watches()
    watches = {id_: one for id_, text in texts.items() if (one := read_watch(text))}
    begun = tuple(state.begun_log())
    return Memory(watches, texts, state.image_uses(), marks, begun=begun)


def at_text(moment: datetime) -> str:
    """Write a time so that texts sort as times do."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")
