"""What `carbon report` does: read stored hours, and add them up."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import carbon_budgets, carbon_factors, carbon_memory, gathering
from ds01ctl.commands.carbon_sampling import factors_data
from ds01ctl.core import carbon_report, carbon_text
from ds01ctl.core.carbon_report import SPECIAL, Extras, Part, Period
from ds01ctl.core.energy_booking import HOUR_S
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.state import State, StateError, gap_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.commands.carbon_budgets import Spent
    from ds01ctl.commands.carbon_factors import Factors
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

BY = ("user", "group", "gpu", "day")
_DAY = len("2026-11-26")
_HOURLY = 49
"""Periods of fewer hours are drawn by the hour, longer ones by the day."""


class Question(NamedTuple):
    """What the admin asks."""

    by: str = "user"
    since: str | None = None
    until: str | None = None
    user: str | None = None
    config: Path | None = None
    equivalences: bool = False


class _Asked(NamedTuple):
    question: Question
    policy: Policy
    state: State | None
    factors: Factors


def report(question: Question) -> Result:
    """Report on stored energy. Changes nothing."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    periods = periods_of(question, now)
    loaded = gathering.load_policy(paths, question.config)
    state, gaps = _opened(paths)
    try:
        cache = carbon_memory.figures(state, now) if state else ()
        asked = _Asked(
            question,
            loaded.policy,
            state,
            carbon_factors.factors_of(loaded.policy, cache, now, paths),
        )
        data = _data(asked, periods)
        spent = carbon_budgets.spent(state, loaded.policy, now) if state else ()
    finally:
        if state:
            state.close()
    gaps = (*loaded.gaps, *gaps)
    return Result(
        "carbon report",
        os.uname().nodename,
        now,
        gaps,
        _findings(spent, question, now),
        data=data,
        failed_gaps=gathering.is_failure(gaps),
    )


def written(result: Result, path: Path) -> Result:
    """Write the report as a page, too. Raises Ds01Error where that cannot be done."""
    from ds01ctl.files import write_atomic
    from ds01ctl.report.carbon_html import page

    if path.exists() and not path.is_file():
        raise Ds01Error(f"{path}: is no file", "name a file that may be written anew")
    try:
        write_atomic(path, page(result))
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be written: {error.strerror or error}") from None
    return result._replace(data={**result.data, "html": str(path)})


def _findings(spent: tuple[Spent, ...], question: Question, now: datetime) -> Any:
    wanted = [one for one in spent if question.user in (None, one.user)]
    return carbon_budgets.findings(wanted, now)


def _opened(paths: Paths) -> tuple[State | None, tuple[Gap, ...]]:
    try:
        state = State.open_for_reading(paths)
    except StateError as error:
        return None, (gap_of(error),)
    if state is None:
        reason = "nothing was recorded yet: ds01ctl units install, or ds01ctl carbon sample"
        return None, (Gap("state", "absent", reason),)
    return state, ()


# --- times --------------------------------------------------------------------------------------


def periods_of(question: Question, now: datetime) -> tuple[Period, ...]:
    """Say which times are asked for; today and this month, where none is. Raises UsageError."""
    end = hour_after(now)
    if question.since is None and question.until is None:
        midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return (
            Period("today", hour_of(midnight), end),
            Period("this month", hour_of(midnight.replace(day=1)), end),
        )
    return (period_of(question.since, question.until, now),)


def period_of(since: str | None, until: str | None, now: datetime) -> Period:
    """Read one period; without an end it is now, without a beginning the end's month's."""
    last = moment("--until", until, now) if until is not None else now
    if since is not None:
        first = moment("--since", since, now)
    else:
        local = (last - timedelta(microseconds=1)).astimezone()
        first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if first >= last:
        raise UsageError(f"--since {since} is not before --until {until or 'now'}")
    return Period("period", hour_of(first), hour_after(last))


def moment(option: str, text: str, now: datetime) -> datetime:
    """Read a time as `events --since` does; a day is its beginning. Raises UsageError."""
    from ds01ctl.eventlog import parse_since

    try:
        return parse_since(text, now)
    except UsageError as error:
        raise UsageError(error.message.replace("--since", option, 1), error.hint) from None


def hour_of(time: datetime) -> int:
    """Say which hour a time is in."""
    return int(time.timestamp() // HOUR_S)


def hour_after(time: datetime) -> int:
    """Say which hour is the first that begins at a time or after it."""
    return -int(-time.timestamp() // HOUR_S)


def time_of(hour: int) -> datetime:
    """Give the beginning of an hour."""
    return datetime.fromtimestamp(hour * HOUR_S, timezone.utc)


# --- rows ---------------------------------------------------------------------------------------


def _data(asked: _Asked, periods: tuple[Period, ...]) -> dict[str, Any]:
    value = asked.policy.value
    return {
        "by": asked.question.by,
        "user": asked.question.user,
        "periods": [_period(asked, one) for one in periods],
        "now": factors_data(asked.factors),
        "notes": _notes(asked.factors),
        "currency": value("carbon.currency") if value("carbon.price_per_kwh") else None,
        "equivalences": asked.question.equivalences or bool(value("carbon.equivalences")),
        "model_bound": carbon_report.MODEL_BOUND,
        "html": None,
    }


def _notes(factors: Factors) -> list[str]:
    notes = list(factors.intensity.notes)
    return notes if factors.is_pue_known else [*notes, carbon_text.NO_PUE]


def _period(asked: _Asked, period: Period) -> dict[str, Any]:
    buckets = _buckets(period)
    parts = [part for bucket in buckets for part in _parts(asked, bucket)]
    sums = carbon_report.summed(parts)
    whole = carbon_report.summed(one._replace(name="all") for one in parts).get("all")
    whole_uj = whole.hour.uj if whole else 0
    value = asked.policy.value
    extras = Extras(
        asked.factors.pue, value("carbon.water_l_per_kwh"), value("carbon.price_per_kwh")
    )
    factors = asked.state.energy_factors(period.first, period.end) if asked.state else {}
    names = carbon_report.in_order(sums, by_name=asked.question.by == "day")
    labels = [one.name for one in buckets]
    return {
        "name": period.name,
        "since": time_of(period.first),
        "until": time_of(period.end),
        "buckets": labels,
        "rows": [carbon_report.row(one, sums[one], whole_uj, labels, extras) for one in names],
        "total": carbon_report.row("all", whole, whole_uj, labels, extras) if whole else None,
        "factors": carbon_report.factor_rows(factors),
        "modelled": carbon_report.modelled(factors),
    }


def _parts(asked: _Asked, bucket: Period) -> list[Part]:
    """Read what was used in a part of the time."""
    state, user = asked.state, asked.question.user
    if state is None:
        return []
    if asked.question.by == "gpu":
        return [
            Part(uuid, bucket.name, hours, hour)
            for uuid, party, hours, hour in state.energy_gpu_sums(bucket.first, bucket.end)
            if user in (None, party)
        ]
    name_of = _namer(asked, bucket)
    return [
        Part(name_of(party), bucket.name, hours, hour)
        for party, hours, hour in state.energy_sums(bucket.first, bucket.end)
        if user in (None, party)
    ]


def _namer(asked: _Asked, bucket: Period) -> Callable[[str], str]:
    """Say which row a party belongs to."""
    if asked.question.by == "day":
        return lambda _: bucket.name[:_DAY]
    if asked.question.by == "group":
        return lambda party: _group(party, asked.policy)
    return lambda party: party


def _group(party: str, policy: Policy) -> str:
    return party if party in SPECIAL else str(policy.group_of(party).value)


def _buckets(period: Period) -> list[Period]:
    """Divide the time for a plot: into hours where it is short, else into days of the host's."""
    is_short = period.end - period.first < _HOURLY
    found: dict[str, Period] = {}
    for hour in range(period.first, period.end):
        local = time_of(hour).astimezone()
        name = f"{local:%Y-%m-%d %H:%M}" if is_short else f"{local:%Y-%m-%d}"
        found[name] = found.get(name, Period(name, hour, hour))._replace(end=hour + 1)
    return list(found.values())
