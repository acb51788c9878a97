"""Ask systemd when calendar expressions fire."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.schedule_checks import HORIZON, Calendar, split_zone
from ds01ctl.errors import Ds01Error
from ds01ctl.observe.trial import untried
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import tzinfo

    from ds01ctl.core.model import Gap

FEW = 50
"""So many firings are asked of every expression."""
MANY = 2400
"""So many of what fires so often that the few do not reach to the horizon: a week of each 5 min."""
TIMEOUT_S = 20.0
_BLOCK = re.compile(
    r"(?:^ *Original form: (?P<original>.*)\n)?^ *Normalized form: (?P<normalized>.*)\n"
    r"(?P<rest>(?:(?! *(?:Original|Normalized) form:).*\n?)*)",
    re.MULTILINE,
)
_FIRING = re.compile(r"(?:Next elapse|Iter\. #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


class Calendars(NamedTuple):
    """What systemd said."""

    found: Mapping[str, Calendar]
    """By expression."""
    gaps: tuple[Gap, ...] = ()


def read(expressions: Iterable[str], now: datetime, tz: tzinfo | None = None) -> Calendars:
    """Ask for the next firings of all expressions at once.

    tz: the zone of those that name none; None: the machine's.
    """
    wanted = sorted({one for one in expressions if one.isprintable()})
    zoneless = {one: split_zone(one)[0] for one in wanted}
    asked = list(dict.fromkeys([*wanted, *zoneless.values()]))
    if not asked:
        return Calendars({})
    try:
        blocks = _ask(asked, now, FEW)
        often = [one for one, walls in blocks.items() if len(walls) == FEW and _is_near(walls)]
        blocks |= _ask(often, now, MANY) if often else {}
    except Ds01Error as error:
        return Calendars({}, (untried("systemd-analyze", error),))
    found = {}
    for one, bare in zoneless.items():
        if one not in blocks:
            found[one] = Calendar(f"{one!a} is no calendar expression that systemd knows")
            continue
        walls = blocks.get(bare, ())
        zoned = [at.replace(tzinfo=timezone.utc) for at in blocks[one]]
        local = [at.replace(tzinfo=tz).astimezone(timezone.utc) for at in walls]
        found[one] = Calendar(None, walls, tuple(local if bare == one else zoned))
    return Calendars(found)


def _is_near(walls: tuple[datetime, ...]) -> bool:
    return walls[-1] - walls[0] < HORIZON


def _ask(expressions: list[str], now: datetime, count: int) -> dict[str, tuple[datetime, ...]]:
    """Give the firings of those that systemd takes, as it says them in UTC."""
    base = now.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    argv = ["systemd-analyze", "calendar", f"--iterations={count}", f"--base-time={base}"]
    done = run([*argv, "--", *expressions], timeout_s=TIMEOUT_S, env={"TZ": "UTC", "LC_ALL": "C"})
    return dict(_matched(expressions, done.stdout))


def _matched(expressions: list[str], output: str) -> Iterator[tuple[str, tuple[datetime, ...]]]:
    """Match what is printed to what was asked: in its order, those left out that it refused."""
    blocks = list(_BLOCK.finditer(output))
    for expression in expressions:
        if blocks and expression == (blocks[0]["original"] or blocks[0]["normalized"]):
            firings = _FIRING.findall(blocks.pop(0)["rest"])
            yield expression, tuple(map(datetime.fromisoformat, firings))
