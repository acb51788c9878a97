"""Read the clocks by which energy is counted: neither is ever stepped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Instant(NamedTuple):
    """One moment, by two clocks; seconds since boot."""

    at_s: float
    """CLOCK_BOOTTIME, which goes on while the machine is suspended."""
    awake_s: float
    """CLOCK_MONOTONIC, which does not."""


def now() -> Instant:
    """Read both clocks."""
    return Instant(
        time.clock_gettime(time.CLOCK_BOOTTIME), time.clock_gettime(time.CLOCK_MONOTONIC)
    )


if TYPE_CHECKING:
    Clock = Callable[[], Instant]
