"""Budgets of carbon: what users and groups have caused this month, and who is near what he may.

What a group has caused is what those have who are in it now, in all of the month: as in a report
by group, whoever changes the group takes his month along.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ds01ctl.core.carbon_findings import BUDGET
from ds01ctl.core.carbon_series import MONTH
from ds01ctl.core.carbon_text import UG_PER_G, mass
from ds01ctl.core.energy_model import OWN, SYSTEM, UNATTRIBUTED
from ds01ctl.core.plan import Finding
from ds01ctl.core.prom_recovery import MICRO
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.core.carbon_series import Month
    from ds01ctl.core.policy import Policy
    from ds01ctl.report.events import Event
    from ds01ctl.state import State

KEY = "carbon_budget_kg_per_month"
GROUP_KEY = "group_carbon_budget_kg_per_month"
LEVELS = (80, 100)
"""Percent of the budget at which it is told."""
NOBODY = frozenset({SYSTEM, UNATTRIBUTED, OWN})
_MARK, _GROUP_MARK = "budget ", "group-budget "
_LAST_S = 4e9
"""Of the year 2096: a file that says it was written later is none of ours."""


class Spent(NamedTuple):
    """What one party, or one group as a whole, has caused this month."""

    name: str
    ug: int
    budget_g: float | None = None
    """None: there is none."""
    origin: str = ""
    """Where the budget is written."""
    is_group: bool = False

    @property
    def user(self) -> str | None:
        """Name the user; a group is none."""
        return None if self.is_group else self.name

    @property
    def who(self) -> str:
        """Say who it is."""
        return f"group {self.name}" if self.is_group else self.name

    @property
    def level(self) -> int:
        """Say which level is reached, in percent; 0: none."""
        if self.budget_g is None:
            return 0
        grams = self.ug / UG_PER_G
        # a budget of nothing is over as soon as there is anything
        reached = [one for one in LEVELS if grams > 0 and grams * 100 >= self.budget_g * one]
        return max(reached, default=0)


class Crossing(NamedTuple):
    """A level that was reached since the run before."""

    spent: Spent
    level: int
    month: int


def month_number(now: datetime) -> int:
    """Name the month of a time, in the host's time zone: 202611."""
    local = now.astimezone()
    return local.year * 100 + local.month


def spent(state: State, policy: Policy, now: datetime) -> tuple[Spent, ...]:
    """Say what everybody has caused this month, by name, and then groups that have a budget."""
    rows = sorted(state.carbon_month(month_number(now)).items())
    users = tuple(_spent(party, ug, policy) for party, ug in rows)
    return (*users, *_of_groups(users, policy))


def _of_groups(users: Iterable[Spent], policy: Policy) -> Iterator[Spent]:
    limits = {name: policy.of_group(name, GROUP_KEY) for name in sorted(policy.groups)}
    limits = {name: limit for name, limit in limits.items() if limit.value is not None}
    if not limits:
        return
    sums: dict[str, int] = {}
    for one in users:
        if one.name not in NOBODY:
            group = str(policy.group_of(one.name).value)
            sums[group] = sums.get(group, 0) + one.ug
    for name, limit in limits.items():
        grams = float(limit.value) * 1000
        yield Spent(name, sums.get(name, 0), grams, str(limit.origin), is_group=True)


def _spent(party: str, ug: int, policy: Policy) -> Spent:
    if party in NOBODY:
        return Spent(party, ug)
    limit = policy.limit(party, KEY)
    if limit.value is None:
        return Spent(party, ug)
    return Spent(party, ug, float(limit.value) * 1000, str(limit.origin))


def note_crossings(state: State, found: Iterable[Spent], now: datetime) -> tuple[Crossing, ...]:
    """Remember which levels are reached, and give those that are news; inside a transaction."""
    month, marks = month_number(now), state.energy_marks()
    crossed = []
    for one in found:
        name = f"{_GROUP_MARK if one.is_group else _MARK}{one.name}"
        if one.level and _told(marks.get(name), month) < one.level:
            crossed.append(Crossing(one, one.level, month))
            state.put_energy_marks({name: f"{month}:{one.level}"})
    return tuple(crossed)


def recover(state: State, seen: Month | None) -> tuple[str, ...]:
    """Take the grams of a month from our last file where the store knows less of it.

    To be called only where the store is known to have lost something: `carbon recompute` lowers a
    month for good. Inside a transaction, after the run's own grams were added.
    """
    if seen is None or not 0 <= seen.at_s <= _LAST_S:
        return ()
    month = month_number(datetime.fromtimestamp(seen.at_s, timezone.utc))
    known = state.carbon_month(month)
    more = {
        party: ug - known.get(party, 0)
        for party, ug in sorted(seen.ug.items())
        # a series at 0 goes on to be shown, too
        if party not in known or ug // MICRO > known[party] // MICRO
    }
    state.add_carbon_months({(month, party): ug for party, ug in more.items()})
    return tuple(f"{MONTH} (user {party})" for party, ug in more.items() if ug)


def _told(mark: str | None, month: int) -> int:
    """Say which level was told this month."""
    of_month, _, level = (mark or "").partition(":")
    return int(level) if of_month == str(month) and level.isdecimal() else 0


def findings(found: Iterable[Spent], now: datetime) -> tuple[Finding, ...]:
    """Tell who has reached a level; nothing is stopped for it."""
    return tuple(_finding(one, now) for one in found if one.level)


def _finding(one: Spent, now: datetime) -> Finding:
    month = month_number(now)
    subject = {"type": "carbon-budget", "month": f"{month // 100}-{month % 100:02d}"}
    subject |= {"group": one.name} if one.is_group else {}
    told = f"{one.who}: {words(one)}" if one.is_group else words(one)
    evidence = (told, f"budget from {one.origin}")
    severity = "warning" if one.level >= max(LEVELS) else "info"
    key = (BUDGET, one.who, str(month))
    return Finding(BUDGET, severity, one.user, subject, evidence, key, first_seen=now)  # type: ignore[arg-type]  # of two words


def words(one: Spent) -> str:
    """Say it in a line: ``41.2 kg of 50.0 kg CO2e this month (82 %)``."""
    grams, budget = one.ug / UG_PER_G, one.budget_g or 0.0
    part = f" ({grams / budget:.0%})" if budget else ""
    return f"{mass(grams)} of {mass(budget)} CO2e this month{part}"


def row(one: Spent) -> dict[str, Any]:
    """Give a budget as data."""
    return {
        "kind": "group" if one.is_group else "user",
        "name": one.name,
        "carbon_g": one.ug / UG_PER_G,
        "budget_g": one.budget_g,
        "level_percent": one.level,
        "origin": one.origin,
    }


def event(one: Crossing) -> Event:
    """Make the event of a level that was reached."""
    from ds01ctl.report.events import Event

    spent_ = one.spent
    details: dict[str, Any] = {"group": spent_.name} if spent_.is_group else {}
    details |= {
        "month": f"{one.month // 100}-{one.month % 100:02d}",
        "level_percent": one.level,
        "carbon_grams": spent_.ug / UG_PER_G,
        "budget_grams": spent_.budget_g,
    }
    message = f"{spent_.who}: {words(spent_)}"
    return Event("carbon.budget_warning", spent_.user, "ds01ctl carbon", details, message, 4)
