"""The next 1,000 firings of each line, three ways: systemd, our walker, an independent model."""

import re
import shutil
from datetime import datetime, timezone
from itertools import islice, takewhile

import pytest

from ds01ctl.cron import proof
from ds01ctl.cron.calendar import calendars
from ds01ctl.cron.fields import NAMED, Schedule, named, parse
from ds01ctl.cron.walk import firings
from ds01ctl.run import run
from tests.cron.lines import LINES, MISTAKES

BASE = datetime(2026, 12, 30, 22, 58, tzinfo=timezone.utc)
END = BASE + proof.HORIZON
_AT_ONCE = 40
_ALONE = re.compile(r"\b(\d+)-\1/")
"""``3-3/4``: cronsim takes it for ``3/4``; Debian's cron, when asked, for ``3``."""


def schedule_of(line: str) -> Schedule:
    if line in NAMED:
        return named(line)
    minute, hour, day, month, weekday = line.split()
    return parse((minute, hour, day, month, weekday))


def elapses(lines: list[str]) -> dict[str, list[list[datetime]]]:
    """Ask systemd for the elapses of many lines at once."""
    wanted = [(line, one) for line in lines for one in calendars(schedule_of(line))]
    found: dict[str, list[list[datetime]]] = {line: [] for line in lines}
    for at in range(0, len(wanted), _AT_ONCE):
        batch = wanted[at : at + _AT_ONCE]
        done = run(
            proof.question([one for _, one in batch], BASE), timeout_s=60, env=proof.ENVIRONMENT
        )
        assert done.status == 0, done.stderr
        answers = proof.answers(done.stdout)
        assert len(answers) == len(batch)
        for (line, _), answer in zip(batch, answers, strict=True):
            found[line].append(answer)
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_timers_elapse_when_cron_runs() -> None:
    """Systemd's elapses of our expressions are the walker's firings."""
    assert len(LINES) >= 300
    found = elapses(LINES)
    proofs = {
        line: proof.compare(schedule_of(line), answers, BASE) for line, answers in found.items()
    }
    assert {line: one for line, one in proofs.items() if not one.holds} == {}
    # a rare line is compared as far as the horizon, and a frequent one to the end
    assert proofs["* * * * *"].firings == proof.FIRINGS
    assert proofs["0 0 29 2 *"].firings == 7


def model(line: str) -> list[datetime]:
    cronsim = pytest.importorskip("cronsim")
    text = NAMED.get(line, line)
    try:
        runs = cronsim.CronSim(text, BASE)
    except cronsim.CronSimError:
        # it refuses what can never come, and numbers with zeros before them
        plain = " ".join(part.lstrip("0") or "0" for part in text.split())
        runs = cronsim.CronSim(plain, BASE)
    return list(islice(takewhile(lambda moment: moment < END, runs), proof.FIRINGS))


def test_an_independent_model_of_cron_agrees() -> None:
    """The walker's firings are those of cronsim, which was made from Debian's cron."""
    wrong = {}
    lines = [line for line in LINES if not _ALONE.search(line)]
    assert len(lines) > 500
    for line in lines:
        schedule = schedule_of(line)
        if schedule.never_runs:
            continue
        mine = list(islice(firings(schedule, BASE, END), proof.FIRINGS))
        theirs = model(line)
        if mine != theirs:
            wrong[line] = next((a, b) for a, b in zip(mine, theirs, strict=False) if a != b)
    assert wrong == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("30 4 1,15 * 5", ("*-*-01,15 04:30:00", "Fri *-*-* 04:30:00")),
        ("0 2 */2 * 1", ("Mon *-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 02:00:00",)),
        ("0 12 * * sun", ("Sun *-*-* 12:00:00",)),
        ("0 12 * * sat,sun", ("Sat,Sun *-*-* 12:00:00",)),
        ("0 12 * * 5-7", ("Fri..Sun *-*-* 12:00:00",)),
        ("0 12 * * 0-7", ("*-*-* 12:00:00",)),
        ("0 12 * * 0,1,3-5", ("Mon,Wed..Fri,Sun *-*-* 12:00:00",)),
        ("*/7 * * * *", ("*-*-* *:00,07,14,21,28,35,42,49,56:00",)),
        ("*/40 9-17 * * *", ("*-*-* 09..17:00,40:00",)),
        ("0 0 1,* * 1", ("*-*-* 00:00:00",)),
    ],
)
def test_expressions(line: str, expected: tuple[str, ...]) -> None:
    assert calendars(schedule_of(line)) == expected


def test_no_step_is_left_to_systemd() -> None:
    """``*:0/7`` misses the first minute of the day in systemd 252."""
    assert not [line for line in LINES for one in calendars(schedule_of(line)) if "/" in one]
    assert set(MISTAKES) <= set(LINES)


def test_a_zone_goes_along() -> None:
    assert calendars(schedule_of("0 12 1 * 1"), "Europe/Berlin") == (
        "*-*-01 12:00:00 Europe/Berlin",
        "Mon *-*-* 12:00:00 Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("line", "expressions", "difference"),
    [
        # systemd-cron's translation
        ("30 4 1,15 * 5", ["Fri *-*-1,15 4:30:00"], "cron runs at"),
        # the midnight that is missed
        ("*/7 * * * *", ["*:0/7"], "cron runs at"),
        ("0 0 1 1 *", ["2027-01-01 00:00:00"], "times"),
    ],
)
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_a_wrong_conversion_is_not_proved(
    line: str, expressions: list[str], difference: str
) -> None:
    done = run(proof.question(expressions, BASE), timeout_s=20, env=proof.ENVIRONMENT)
    found = proof.compare(schedule_of(line), proof.answers(done.stdout), BASE)
    assert not found.holds
    assert difference in str(found.difference)
