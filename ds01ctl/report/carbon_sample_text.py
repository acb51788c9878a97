"""What the other commands of `carbon` show, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.carbon_text import age, energy, mass
from ds01ctl.core.energy_counters import ABOVE_LIMIT
from ds01ctl.report.carbon_text import finding_line, kilowatt_hours, now_line
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean, columns, gap_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.core.plan import Result

_WHOLE = 2000
_LONGEST = 44


def sample_lines(result: Result, *, whole: bool) -> list[str]:
    """Say what the interval was; whole: each counter and each share."""
    data = result.data
    lines = gap_lines(result)
    if whole:
        lines += [*_counters(data), "", *_portions(data), ""]
    lines.append(_summary(data))
    lines += [_skipped(why, n) for why, n in sorted(data["skipped"].items())]
    lines += [f"note: {clean(note, _WHOLE)}" for note in data["factors"]["notes"]]
    lines += map(finding_line, result.findings)
    if not data["stored"]:
        lines.append("nothing was stored; the next run counts it")
    return lines


def _skipped(why: str, count: int) -> str:
    if why == ABOVE_LIMIT:
        return f"above the power limit it is said to have, and counted: {count}"
    return f"not decided: {count} x {clean(why)}"


def _summary(data: Mapping[str, Any]) -> str:
    if data["is_first"]:
        return "first run: the counters were read, and from now on they are counted"
    return (
        f"{joules(data['energy_joules'])} in {data['seconds']:.1f} s, {mass(data['carbon_grams'])}"
        f" CO2e at {now_line(data['factors'])}"
    )


def joules(value: float) -> str:
    """Write joules: ``812 J``, ``21.5 kJ``."""
    return energy(value).replace("Wh", "J") if value else "0 J"


def _counters(data: Mapping[str, Any]) -> list[str]:
    rows = [("COUNTER", "COUNTED", "IN", "MEAN", "HOW")]
    for one in data["counters"]:
        seconds = one["seconds"]
        watts = f"{one['joules'] / seconds:.1f} W" if seconds > 0 else ""
        how = one["reason"] if one["basis"] == "measured" else f"modelled: {one['reason']}"
        rows.append(
            (clean(one["name"], _LONGEST), joules(one["joules"]), f"{seconds:.1f} s", watts, how)
        )
    return columns(rows, _LONGEST) if len(rows) > 1 else ["no counter could be read"]


def _portions(data: Mapping[str, Any]) -> list[str]:
    rows = [("USER", "WHAT", "ENERGY", "BASIS", "BY", "")]
    for one in data["portions"]:
        what = f"{one['component']} {one['device'] or ''}".strip()
        waste = f"idle, held by {clean(one['holder'])}" if one["is_waste"] else ""
        whose = f"{one['user']} ({one['project']})" if one["project"] else one["user"]
        row = (clean(whose, 60), clean(what, 60), joules(one["joules"]))
        rows.append((*row, one["basis"], one["split_by"], waste))
    return columns(rows, 60) if len(rows) > 1 else ["nothing to share out"]


def estimate_lines(result: Result) -> list[str]:
    """Say what a computation will take, and from which values that is."""
    data = result.data
    parts = (
        ("cores", data["cores"], data["core"], data["core_kwh"]),
        ("GPUs", data["gpus"], data["gpu"], data["gpu_kwh"]),
    )
    lines = [f"{kilowatt_hours(data['energy_kwh'])}, {mass(data['carbon_g'])} CO2e"]
    for name, count, model, used in parts:
        if model is not None:
            source = f"{clean(model['name'])}, {model['watts']:g} W each, {clean(model['source'])}"
            what = name.removesuffix("s") if count == 1 else name
            lines.append(f"  {count:g} {what}: {kilowatt_hours(used)} ({source})")
    if data["memory_gb"]:
        used = kilowatt_hours(data["memory_kwh"])
        lines.append(f"  {data['memory_gb']:g} GB of memory: {used} (0.3725 W/GB)")
    times = "" if data["repeat"] == 1 else f", {data['repeat']:g} times"
    lines.append(f"for {data['hours']:g} h at {data['usage']:.0%} use{times}")
    lines.append(f"PUE {data['pue']:g} ({data['pue_source']}); {clean(data['intensity'], _WHOLE)}")
    lines += [f"note: {clean(note, _WHOLE)}" for note in data["notes"]]
    if data["equivalences"]:
        same = data["equivalences"]
        lines.append(
            f"as much as {same['car_km']:.3g} km by car, {same['train_km']:.3g} km by train, or"
            f" what a tree takes up in {same['tree_months']:.3g} months"
        )
    return lines


def recompute_lines(result: Result) -> list[str]:
    """Say what the carbon of a past time was, and what it is now."""
    data = result.data
    lines = gap_lines(result)
    if data["left"]:
        told = "by what they were computed is not known"
        lines.append(f"{data['left']} hours stay as they are: {told}; --intensity or --zone")
    if not data["hours"]:
        return [*lines, "no energy is stored of that time: nothing to compute"]
    rows = [("USER", "WAS", "IS")]
    rows += [
        (clean(one["name"]), mass(one["before_g"]), mass(one["after_g"])) for one in data["rows"]
    ]
    rows.append(("all", mass(data["before_g"]), mass(data["after_g"])))
    lines += columns(rows, _LONGEST)
    for one in data["factors"]:
        zone = f", {clean(one['zone'])}" if one["zone"] else ""
        lines.append(
            f"at {one['g_per_kwh']:.4g} g CO2e/kWh{zone} ({clean(one['source'], _WHOLE)}),"
            f" PUE {one['pue']:g}"
        )
    if any(action.outcome == "planned" for action in result.actions):
        lines.append("nothing was changed yet; run it without --dry-run")
    else:
        lines.append("the counters of the metrics stay as they are: they never go back")
    return lines


def intensity_lines(result: Result) -> list[str]:
    """Show the chain, what counts first."""
    data = result.data
    first, *others = data["chain"]
    lines = [*gap_lines(result), f"counts: {_step(first)}"]
    lines += [f"  then: {_step(one)}" for one in others]
    if data["marginal"]:
        one = data["marginal"]
        lines.append(
            f"never counted: {one['g_per_kwh']:.4g} g CO2e/kWh, marginal, {one['provider']},"
            f" {local_time(one['at'])}"
        )
    if data["tried_at"]:
        failed = f", failed {data['failures']} times in a row" if data["failures"] else ""
        lines.append(
            f"{data['provider'] or 'nobody'} asked at {local_time(data['tried_at'])}{failed}"
        )
    notes = [*data["notes"], *data["provider_notes"]]
    return [*lines, *(f"note: {clean(note, _WHOLE)}" for note in notes)]


def _step(one: Mapping[str, Any]) -> str:
    scope = f"; {one['scope']}" if one["scope"] else ""
    licence = f"; {one['licence']}" if one["licence"] else ""
    return clean(f"{one['words']}{scope}{licence}", _WHOLE)


def check_lines(result: Result) -> list[str]:
    """Say what is measured, how, and what is wrong."""
    data = result.data
    lines = [*gap_lines(result), *_check_counters(data)]
    lines += [f"left out, shows the same as another: {clean(one)}" for one in data["duplicates"]]
    lines += [
        f"{clean(one)}: without persistence mode its counter may begin anew when nobody uses it"
        for one in data["without_persistence"]
    ]
    lines += [f"{_skipped(why, n)}, since counting began" for why, n in data["skipped"].items()]
    lines += _timer(data, result)
    lines.append(f"shared out by the processor time of {data['groups']} control groups"
                 f" of {data['parties']} parties" if data["cpu_time"]
                 else "processor time could not be read: energy is nobody's")  # fmt: skip
    lines.append(f"now: {now_line(data['factors'])}")
    lines += [f"note: {clean(note, _WHOLE)}" for note in data["factors"]["notes"]]
    return [*lines, *map(finding_line, result.findings)]


def _check_counters(data: Mapping[str, Any]) -> list[str]:
    rows = [("COUNTER", "READ", "AT MOST", "GOES ROUND AFTER", "")]
    rows += [_check_counter(one) for one in data["counters"]]
    return columns(rows, _LONGEST) if len(rows) > 1 else ["no energy counter was found"]


def _check_counter(one: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    known = "" if one["is_max_known"] else " (assumed)"
    wrap = "never" if one["wrap_s"] is None else f"{one['wrap_s']:.0f} s"
    how = "counter" if one["has_counter"] else "power only: integrated, modelled"
    in_time = {None: "", True: "in time", False: "TOO SLOW"}[one["is_in_time"]]
    read = how if one["is_read"] else "NOT READ"
    return clean(one["name"], _LONGEST), read, f"{one['max_watts']:.0f} W{known}", wrap, in_time


def _timer(data: Mapping[str, Any], result: Result) -> Iterator[str]:
    timer = data["timer"]
    state = "not installed: ds01ctl units install"
    if timer["is_installed"]:
        state = {True: "enabled", False: "not enabled", None: "enabled or not, cannot be seen"}[
            timer["is_enabled"]
        ]
    yield f"{timer['unit']}: {state}; every {timer['schedule']}"
    if data["last_success"]:
        passed = (result.time - data["last_success"]).total_seconds()
        yield f"last success: {local_time(data['last_success'])}, {age(max(passed, 0))} ago"
