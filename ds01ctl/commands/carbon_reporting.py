"""What `carbon report` does: read stored hours, and add them up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import carbon_budgets, carbon_factors, carbon_memory, carbon_times, gathering
from ds01ctl.commands.carbon_sampling import factors_data
from ds01ctl.core import carbon_report, carbon_text
from ds01ctl.core.carbon_report import SPECIAL, Extras, Part
from ds01ctl.core.energy_books import Hour
from ds01ctl.core.energy_projects import NO_PROJECT, notes_on, project_of, user_of
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error
from ds01ctl.state import State, StateError, gap_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ds01ctl.commands.carbon_factors import Factors
    from ds01ctl.core.carbon_report import Period
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

BY = ("user", "group", "project", "gpu", "day")
_DAY = len("2026-11-26")


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
    now: datetime


def report(question: Question) -> Result:
    """Report on stored energy. Changes nothing."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    periods = carbon_times.periods_of(question.since, question.until, now)
    loaded = gathering.load_policy(paths, question.config)
    state, gaps = _opened(paths)
    try:
        cache = carbon_memory.figures(state, now) if state else ()
        asked = _Asked(
            question,
            loaded.policy,
            state,
            carbon_factors.factors_of(loaded.policy, cache, now, paths),
            now,
        )
        spent = carbon_budgets.spent(state, loaded.policy, now) if state else ()
        spent = tuple(one for one in spent if question.user in (None, one.user))
        data = {
            **_data(asked, periods),
            "budgets": [carbon_budgets.row(one) for one in spent if one.budget_g is not None],
        }
    finally:
        if state:
            state.close()
    gaps = (*loaded.gaps, *gaps)
    return Result(
        "carbon report",
        os.uname().nodename,
        now,
        gaps,
        carbon_budgets.findings(spent, now),
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
        write_atomic(path, page(result), mode=_mode(path))
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be written: {error.strerror or error}") from None
    return result._replace(data={**result.data, "html": str(path)})


def _mode(path: Path) -> int:
    """Say who may read it: as before, else the group at most, as everybody's use is in it."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o640 & ~mask


def _opened(paths: Paths) -> tuple[State | None, tuple[Gap, ...]]:
    try:
        state = State.open_for_reading(paths)
    except StateError as error:
        return None, (gap_of(error),)
    if state is None:
        reason = "nothing was recorded yet: ds01ctl units install, or ds01ctl carbon sample"
        return None, (Gap("state", "absent", reason),)
    return state, ()


# --- rows ---------------------------------------------------------------------------------------


def _data(asked: _Asked, periods: tuple[Period, ...]) -> dict[str, Any]:
    value = asked.policy.value
    found = [_period(asked, one) for one in periods]
    names = {row["name"] for one in found for row in one["rows"]}
    is_of_projects = asked.question.by == "project"
    return {
        "by": asked.question.by,
        "user": asked.question.user,
        "periods": found,
        "now": factors_data(asked.factors),
        "notes": [*_notes(asked.factors), *(notes_on(names) if is_of_projects else ())],
        "currency": value("carbon.currency") if value("carbon.price_per_kwh") else None,
        "equivalences": asked.question.equivalences or bool(value("carbon.equivalences")),
        "model_bound": carbon_report.MODEL_BOUND,
        "html": None,
    }


def _notes(factors: Factors) -> list[str]:
    notes = list(factors.intensity.notes)
    return notes if factors.is_pue_known else [*notes, carbon_text.NO_PUE]


def _period(asked: _Asked, period: Period) -> dict[str, Any]:
    by, value = asked.question.by, asked.policy.value
    buckets = carbon_times.buckets(period, carbon_times.stored_part(asked.state, period, asked.now))
    parts = [part for bucket in buckets for part in _parts(asked, bucket)]
    sums = carbon_report.summed(parts)
    whole = carbon_report.summed(one._replace(name="all") for one in parts).get("all")
    everybody = _everybody(asked, period)
    # of which a share is one, whoever is asked for
    whole_uj = everybody.gpu_uj if by == "gpu" else everybody.uj
    extras = Extras(value("carbon.water_l_per_kwh"), value("carbon.price_per_kwh"))
    factors = asked.state.energy_factors(period.first, period.end) if asked.state else {}
    names = carbon_report.in_order(sums, by_name=by == "day")
    labels = [one.name for one in buckets]
    return {
        "name": period.name,
        "since": carbon_times.time_of(period.first),
        "until": carbon_times.time_of(period.end),
        "buckets": labels,
        "rows": [carbon_report.row(one, sums[one], whole_uj, labels, extras) for one in names],
        "total": carbon_report.row("all", whole, whole_uj, labels, extras) if whole else None,
        "factors": carbon_report.factor_rows(factors),
        "modelled": carbon_report.modelled(factors, of_gpus=by == "gpu"),
        "not_counted": carbon_report.not_counted(everybody),
    }


def _everybody(asked: _Asked, period: Period) -> Hour:
    sums = asked.state.energy_sums(period.first, period.end) if asked.state else []
    parts = (Part("", "", used) for _, used in sums)
    found = carbon_report.summed(parts).get("")
    return found.hour if found else Hour()


def _parts(asked: _Asked, bucket: Period) -> list[Part]:
    """Read what was used in a part of the time."""
    state, user = asked.state, asked.question.user
    if state is None:
        return []
    if asked.question.by == "gpu":
        return [
            Part(uuid, bucket.name, used)
            for uuid, party, used in state.energy_gpu_sums(bucket.first, bucket.end)
            if user in (None, user_of(party))
        ]
    name_of = _namer(asked, bucket)
    return [
        Part(name_of(party), bucket.name, used)
        for party, used in state.energy_sums(bucket.first, bucket.end)
        if user in (None, user_of(party))
    ]


def _namer(asked: _Asked, bucket: Period) -> Callable[[str], str]:
    """Say which row a party belongs to."""
    if asked.question.by == "day":
        return lambda _: bucket.name[:_DAY]
    if asked.question.by == "group":
        return lambda party: _group(user_of(party), asked.policy)
    return _project if asked.question.by == "project" else user_of


def _group(user: str, policy: Policy) -> str:
    return user if user in SPECIAL else str(policy.group_of(user).value)


def _project(party: str) -> str:
    return party if party in SPECIAL else project_of(party) or NO_PROJECT
