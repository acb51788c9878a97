"""Do what may be slow on a thread of its own, which is left behind when its time is over."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = tuple[int, str, "str | None"]
"""Which notice, by its place; the channel with its place; why it failed, None: it did not."""


class Slow:
    """Work that adds a row for each thing it has come to; begun at once."""

    def __init__(self, work: Callable[[list[Row]], None], limit_s: float, channel: str) -> None:
        self._rows: list[Row] = []
        self._limit_s, self._channel = limit_s, channel
        self._ends = time.monotonic() + limit_s
        self._thread = threading.Thread(target=work, args=(self._rows,), daemon=True)
        self._thread.start()

    def collected(self, places: Sequence[int]) -> list[Row]:
        """Wait for it no longer than its time, and say what it did not come to."""
        self._thread.join(max(self._ends - time.monotonic(), 0))
        why = f"not done after {self._limit_s:g} s" if self._thread.is_alive() else "not done"
        rows = list(self._rows)
        told = {place for place, _, _ in rows}
        return [*rows, *((one, self._channel, why) for one in places if one not in told)]
