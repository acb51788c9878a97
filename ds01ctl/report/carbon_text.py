"""What `carbon report` shows: aligned rows, CSV, and where every figure comes from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ds01ctl.core.carbon_text import age, energy, mass
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean, columns, gap_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.plan import Finding, Result

_WHOLE = 2000
_LONGEST = 44
_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 31
_COMPONENTS = {"cpu": "processors", "dram": "memory", "gpu": "GPUs"}
_CSV = (
    "name", "energy_kwh", "cpu_kwh", "dram_kwh", "gpu_kwh", "other_kwh", "share", "carbon_g",
    "embodied_g", "waste_kwh", "modelled_kwh", "uncertainty_kwh", "water_l", "cost",
)  # fmt: skip


def print_report(result: Result, *, as_csv: bool) -> None:
    """Print it: with sparklines on a terminal, plain lines or CSV elsewhere."""
    if as_csv:
        print(csv_text(result), end="")
        for told in (*gap_lines(result), *foot(result.data)):
            print(told, file=sys.stderr)
        return
    can_draw = sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")
    print("\n".join(report_lines(result, is_drawn=can_draw)))


def report_lines(result: Result, *, is_drawn: bool) -> list[str]:
    """Lay it out: a table, what it rests on, and what an admin should know."""
    data = result.data
    return [
        *gap_lines(result),
        *_table(data, is_drawn=is_drawn),
        *foot(data),
        *map(finding_line, result.findings),
    ]


def finding_line(one: Finding) -> str:
    """Tell a finding in a line."""
    user = f" {clean(one.user)}" if one.user else ""
    return f"{one.severity} {one.kind}{user}: {clean('; '.join(one.evidence), _WHOLE)}"


def _table(data: Mapping[str, Any], *, is_drawn: bool) -> list[str]:
    *before, main = data["periods"]
    if main["total"] is None:
        return [f"no energy is known from {_span(main)}"]
    drawn = is_drawn and data["by"] != "day"
    extras = extras_of(data, main)
    titles = [
        data["by"].upper(), *(one["name"].upper() for one in before),
        main["name"].upper() if before else "ENERGY", "CO2e", "SHARE", "WASTE", "+-", *extras,
        *(["TREND"] if drawn else []),
    ]  # fmt: skip
    earlier = [{row["name"]: row for row in one["rows"]} for one in before]
    cells: list[Sequence[str]] = [titles]
    for row in main["rows"]:
        seen = [rows.get(row["name"]) for rows in earlier]
        cells.append(
            [*_cells(row, seen, extras), *([sparkline(row["series_kwh"])] if drawn else [])]
        )
    if len(main["rows"]) > 1:
        seen = [one["total"] for one in before]
        line = sparkline(main["total"]["series_kwh"])
        cells.append([*_cells(main["total"], seen, extras), *([line] if drawn else [])])
    return columns(cells, _LONGEST)


def extras_of(data: Mapping[str, Any], main: Mapping[str, Any]) -> dict[str, str]:
    """Name the columns that are there only where something is configured."""
    total, found = main["total"], {}
    if total["embodied_g"]:
        found["EMBODIED"] = "embodied_g"
    if total["water_l"] is not None:
        found["WATER"] = "water_l"
    if total["cost"] is not None:
        found[f"COST {clean(data['currency'], 8)}"] = "cost"
    return found


def _cells(
    row: Mapping[str, Any], earlier: Sequence[Mapping[str, Any] | None], extras: Mapping[str, str]
) -> list[str]:
    return [
        clean(row["name"], _LONGEST),
        *(kilowatt_hours(one["energy_kwh"]) if one else "-" for one in earlier),
        kilowatt_hours(row["energy_kwh"]),
        mass(row["carbon_g"]),
        "-" if row["share"] is None else f"{row['share']:.1%}",
        kilowatt_hours(row["waste_kwh"]) if row["waste_kwh"] else "",
        kilowatt_hours(row["uncertainty_kwh"]) if row["modelled_kwh"] else "",
        *(extra(name, row[name]) for name in extras.values()),
    ]


def extra(name: str, value: float) -> str:
    """Write the value of such a column."""
    if name == "embodied_g":
        return mass(value)
    return f"{value:.2f}" if name == "cost" else f"{value:.1f} l"


def kilowatt_hours(value: float) -> str:
    """Write kilowatt-hours with the unit that suits them."""
    return energy(value * 1000)


def sparkline(values: Sequence[float]) -> str:
    """Draw values as bars of eight heights, the newest at the right; nothing is an empty place."""
    shown = values[-_MOST_BARS:]
    highest = max(shown, default=0)
    if highest <= 0:
        return ""
    top = len(_BARS) - 1
    return "".join(" " if one <= 0 else _BARS[min(top, int(one / highest * top))] for one in shown)


# --- what it rests on ---------------------------------------------------------------------------


def foot(data: Mapping[str, Any]) -> list[str]:
    """Say for which time it is, whence the intensity, and what was modelled."""
    main = data["periods"][-1]
    lines = []
    if main["total"] is not None:
        lines.append(_span(main))
    lines += [factor_line(one) for one in main["factors"]]
    lines.append(f"now: {now_line(data['now'])}")
    lines += _modelled(data, main)
    if main["total"] is not None and main["not_counted"]:
        names = ", ".join(_COMPONENTS[one] for one in main["not_counted"])
        lines.append(f"nothing was counted of: {names}; ds01ctl carbon check says what is read")
    # of those that are near it a finding tells
    groups = [one for one in data["budgets"] if one["kind"] == "group"]
    lines += [_budget(one) for one in groups if not one["level_percent"]]
    lines += [f"note: {clean(note, _WHOLE)}" for note in data["notes"]]
    if data["equivalences"] and main["total"] is not None:
        lines.append(_equivalences(main["total"]["carbon_g"]))
    return lines


def _span(period: Mapping[str, Any]) -> str:
    return f"{local_time(period['since'])} to {local_time(period['until'])}"


def factor_line(one: Mapping[str, Any]) -> str:
    """Say by what some hours were computed."""
    low, high = one["g_per_kwh_min"], one["g_per_kwh_max"]
    value = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    zone = f", {clean(one['zone'])}" if one["zone"] else ""
    when = f", {clean(one['year_or_day'])}" if one["year_or_day"] else ""
    hours = f"{one['hours']} hour{'' if one['hours'] == 1 else 's'}"
    return (
        f"{hours} at {value} g CO2e/kWh{zone}{when} ({clean(one['source'], _WHOLE)}),"
        f" PUE {one['pue']:g}, idle energy by {one['idle']}"
    )


def now_line(now: Mapping[str, Any]) -> str:
    """Say which intensity counts now, and whence."""
    zone = f", {clean(now['zone'])}" if now["zone"] else ""
    when = f", {now['year']}" if now["year"] else ""
    if now["age_s"] is not None:
        when = f", {age(now['age_s'])} old{', stale' if now['is_stale'] else ''}"
    source = clean(f"{now['level']}: {now['source']}", _WHOLE)
    return (
        f"{now['g_per_kwh']:.4g} g CO2e/kWh{zone}{when} ({source}), PUE {now['pue']:g},"
        f" idle energy by {now['idle']}"
    )


def _budget(one: Mapping[str, Any]) -> str:
    """Say how much of a group's budget is used."""
    part = f" ({one['carbon_g'] / one['budget_g']:.0%})" if one["budget_g"] else ""
    amounts = f"{mass(one['carbon_g'])} of {mass(one['budget_g'])}"
    return f"budget of group {clean(one['name'])}: {amounts} CO2e this month{part}"


def _modelled(data: Mapping[str, Any], main: Mapping[str, Any]) -> list[str]:
    total = main["total"]
    if total is None or not main["modelled"]:
        return []
    part = total["modelled_kwh"] / total["energy_kwh"] if total["energy_kwh"] else 0.0
    what = clean(", ".join(main["modelled"]), _WHOLE)
    bound = f"+- is {data['model_bound']:.0%} of that"
    return [f"modelled: {what}; {part:.1%} of the energy; {bound}"]


def _equivalences(grams: float) -> str:
    from ds01ctl.core.green_algorithms import equivalents

    same = equivalents(grams)
    return (
        f"as much as {same.car_km:.3g} km by car, {same.train_km:.3g} km by train, or what a tree"
        f" takes up in {same.tree_months:.3g} months"
    )


# --- CSV ----------------------------------------------------------------------------------------


def csv_text(result: Result) -> str:
    """Write one line a period and row, with a heading; numbers as they are."""
    import csv
    import io

    from ds01ctl.report.quota_report_text import safe_cell

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("period", "since", "until", "by", *_CSV))
    for period in result.data["periods"]:
        times = [f"{period[name]:%Y-%m-%dT%H:%M:%SZ}" for name in ("since", "until")]
        for row in period["rows"]:
            values = [safe_cell(row[name]) if name == "name" else row[name] for name in _CSV]
            writer.writerow((period["name"], *times, result.data["by"], *values))
    return out.getvalue()
