"""What a user is told of a limit: whether he can write on, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core import quota_uses
from ds01ctl.core.disk_quota import DiskQuota, Limits
from ds01ctl.core.held import Held
from ds01ctl.core.quota_model import Place

if TYPE_CHECKING:
    from ds01ctl.core.quota_warnings import Use

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
SOON = NOW + timedelta(days=3)
CET = timezone(timedelta(hours=1), "CET")
HOME = Place("/home", "user", 1001)
MIB = 1 << 20
SOFT, BOTH = Limits(40 * MIB), Limits(40 * MIB, 44 * MIB)
BELOW = "Delete what you no longer need."
REFUSED = "Every write is refused until you delete something."
THEN = "; then every write is refused."


def uses(record: DiskQuota, place: Place = HOME, lax: tuple[Place, ...] = ()) -> list[Use]:
    return list(quota_uses.of_records({place: record}, {place: "alice"}, NOW, lax))


def told(use: Use) -> str:
    """Say it as to somebody in Berlin, without what he uses."""
    until = use.grace_end.astimezone(CET) if use.grace_end else None
    text = quota_uses.message(use, until)
    return text.partition(" %). ")[2]


@pytest.mark.parametrize(
    ("used_mib", "limits", "grace_end", "expected"),
    [
        (38, BOTH, 0, BELOW),
        (40, BOTH, 0, BELOW),
        (41, BOTH, SOON.timestamp(),
         f"You can go on writing until Thu 2026-11-26 13:00 CET, up to 44 MiB{THEN}"),
        (41, SOFT, SOON.timestamp(),
         f"You can go on writing until Thu 2026-11-26 13:00 CET{THEN}"),
        # XFS starts the timer when the blocks are written
        (41, SOFT, 0, f"You can go on writing until your grace is over{THEN}"),
        (41, SOFT, 2**62, f"You can go on writing until your grace is over{THEN}"),
        (41, BOTH, NOW.timestamp(), REFUSED),
        (44, BOTH, SOON.timestamp(), REFUSED),
        (60, BOTH, SOON.timestamp(), REFUSED),
        (44, Limits(0, 44 * MIB), 0, REFUSED),
        (40, Limits(0, 44 * MIB), 0, BELOW),
        # one more is not refused, but a whole write is
        (43.8, BOTH, SOON.timestamp(), REFUSED),
    ],
)  # fmt: skip
def test_honest_words(used_mib: float, limits: Limits, grace_end: float, expected: str) -> None:
    (use,) = uses(DiskQuota(1001, int(used_mib * MIB), 5, limits, int(grace_end)))
    assert told(use) == expected


def test_each_of_bytes_and_files_as_it_stands() -> None:
    """That no file can be made says nothing of the bytes."""
    limits = Limits(40 * MIB, 44 * MIB, 10, 12)
    size, files = uses(DiskQuota(1001, 10 * MIB, 12, limits, 0, int(SOON.timestamp())))
    assert (told(size), told(files)) == (BELOW, REFUSED)
    size, files = uses(DiskQuota(1001, 60 * MIB, 11, limits, 0, int(SOON.timestamp())))
    assert told(size) == REFUSED
    assert told(files) == f"You can go on writing until Thu 2026-11-26 13:00 CET, up to 12{THEN}"


def test_limits_that_do_not_hold() -> None:
    """Where the kernel only counts, nothing is refused, and nothing of it is said."""
    (use,) = uses(DiskQuota(1001, 60 * MIB, 5, BOTH, int(NOW.timestamp())), lax=(HOME,))
    assert told(use) == BELOW


@pytest.mark.parametrize(("used", "is_told"), [(2, False), (3, False), (4, True)])
def test_gpus_and_containers(used: float, is_told: bool) -> None:
    """Holding what one may hold is no news."""
    (use,) = quota_uses.of_held([Held("alice", "containers", used, 3, None, (), ())])
    assert quota_uses.is_for_terminal(use) == is_told
    assert quota_uses.message(use).startswith(f"You use {used} of 3 of your containers (")
