"""Time fields of all kinds, and what is known about each from Debian's cron itself."""

import random

from ds01ctl.cron.fields import NAMED

# what systemd-cron 1.15.19 and 2.8.2 get wrong, or once did
MISTAKES = [
    "30 4 1,15 * 5",  # OR, made an AND
    "0 2 1-7 * 1",
    "0 2 */2 * 1",  # AND: the field starts with a star
    "0 2 1-31/2 * 1",  # OR: it does not
    "0 12 * * sun",
    "0 12 * * sat,sun",
    "0 12 * * 5-7",
    "0 12 * * fri-sat",
    "0 12 * * 7",
    "0 12 * * 0",
    "0 12 * * 0,7",
    "0 12 * * 1-5/2",
    "0 12 1 jan-mar *",
    "*/7 * * * *",
    "*/40 * * * *",
    *NAMED,
]
_STEPS = [f"*/{step} * * * *" for step in range(1, 60)]
_HOURS = [f"17 */{step} * * *" for step in range(1, 24)]
_DAYS = [f"5 4 */{step} * *" for step in range(1, 32)]
_WEEKDAYS = [f"5 4 * * {field}" for field in ("*/2", "*/3", "*/7", "0-7", "1-7/2", "7-7", "mon")]
_PAIRS = [
    f"59 23 {day} {month} {weekday}"
    for day in ("*", "*/10", "1-31", "31", "29,30", "1,*", "*,1")
    for month in ("*", "2", "*/5", "FEB,Apr")
    for weekday in ("*", "*/2", "1", "0-7", "1,*", "sun,wed")
]
_ODD = [
    "* * * * *",
    "0 0 29 2 *",
    "0 0 29 2 1",
    "0 0 30 2 1",
    "0 0 */29 2 1",
    "0-59/59 0-23/23 1-31/30 1-12/11 *",
    "00 007 01 02 03",
    "1,1,1 2-3,3-4 * * *",
    "*/100 * * * *",
    "*,5 0 * * *",
    "0 0 31 4,6,9,11,12 *",
    "* * 29 2 *",
    "59 23 31 12 5",
]


def _field(dice: random.Random, low: int, high: int) -> str:
    """Roll one field: a star, a step, numbers, ranges, or a list of them."""
    kind = dice.randrange(6)
    if kind == 0:
        return "*"
    if kind == 1:
        return f"*/{dice.randint(1, high)}"
    if kind == 2:
        return str(dice.randint(low, high))
    parts = []
    for _ in range(dice.randint(1, 3)):
        first, last = sorted((dice.randint(low, high), dice.randint(low, high)))
        step = f"/{dice.randint(1, 9)}" if dice.random() < 0.3 else ""
        parts.append(f"{first}-{last}{step}" if kind > 3 or step else str(first))
    return ",".join(parts)


def _random(count: int) -> list[str]:
    dice = random.Random(3)
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    return [" ".join(_field(dice, *limit) for limit in limits) for _ in range(count)]


LINES = list(
    dict.fromkeys([*MISTAKES, *_STEPS, *_HOURS, *_DAYS, *_WEEKDAYS, *_PAIRS, *_ODD, *_random(200)])
)
