"""The report of `carbon` as one HTML page: no script, nothing from elsewhere, all escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ds01ctl.core.carbon_text import mass
from ds01ctl.report.carbon_text import (
    extra,
    extras_of,
    factor_line,
    finding_line,
    foot,
    kilowatt_hours,
)
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.plan import Result

_WIDTH, _HEIGHT, _LEFT, _BELOW = 900, 260, 70, 40
_MOST_PARTS = 8
"""So many rows are drawn apart; the rest is drawn as one."""
_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f",
    "#bbbbbb",
)  # fmt: skip
"""Okabe and Ito's, which colour-blind people can tell apart, and greys."""
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:960px;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;width:100%}
td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}
tr.sum td{font-weight:bold;border-top:2px solid #222}
svg{width:100%;height:auto}
svg text{font:12px system-ui,sans-serif;fill:#444}
.note{background:#fff3cd;padding:.4rem .8rem}
.key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(result: Result) -> str:
    """Make the page."""
    data = result.data
    title = f"Energy and CO2e by {data['by']}, {result.host}"
    body = "\n".join(
        (
            f"<h1>{_text(title)}</h1>",
            f"<p>Made {_text(local_time(result.time))} by ds01ctl carbon report.</p>",
            *(f'<p class="note">{_text(gap.reason)}</p>' for gap in result.gaps),
            *(f'<p class="note">{_text(note)}</p>' for note in data["notes"]),
            *(f'<p class="note">{_text(finding_line(one))}</p>' for one in result.findings),
            *(part for period in reversed(data["periods"]) for part in _period(data, period)),
            "<h2>What it rests on</h2>",
            "<ul>",
            *(f"<li>{_text(line)}</li>" for line in foot({**data, "notes": []})),
            "</ul>",
        )
    )
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _text(value: object) -> str:
    return escape(printable(str(value)), quote=True)


def _period(data: Mapping[str, Any], period: Mapping[str, Any]) -> Iterator[str]:
    span = f"{local_time(period['since'])} to {local_time(period['until'])}"
    yield f"<h2>{_text(period['name'].capitalize())}: {_text(span)}</h2>"
    if period["total"] is None:
        yield "<p>No energy is known.</p>"
        return
    yield _plot(period, is_by_day=data["by"] == "day")
    yield _table(data, period)
    yield from (f"<p>{_text(factor_line(one))}</p>" for one in period["factors"])


def _table(data: Mapping[str, Any], period: Mapping[str, Any]) -> str:
    extras = extras_of(data, period)
    titles = [
        data["by"].capitalize(), "Energy", "CPU", "Memory", "GPU", "Other", "CO2e", "Share",
        "Waste", "± (modelled)", *map(_title, extras),
    ]  # fmt: skip
    head = "".join(f"<th>{_text(title)}</th>" for title in titles)
    rows = [_row(row, extras) for row in period["rows"]]
    total = _row(period["total"], extras, mark=' class="sum"')
    return f"<table><tr>{head}</tr>\n" + "\n".join([*rows, total]) + "</table>"


def _title(name: str) -> str:
    kind, _, currency = name.partition(" ")
    return f"{kind.capitalize()}, {currency}" if currency else kind.capitalize()


def _row(row: Mapping[str, Any], extras: Mapping[str, str], *, mark: str = "") -> str:
    energies = ("energy_kwh", "cpu_kwh", "dram_kwh", "gpu_kwh", "other_kwh")
    cells = [
        row["name"],
        *(kilowatt_hours(row[name]) for name in energies),
        mass(row["carbon_g"]),
        "" if row["share"] is None else f"{row['share']:.1%}",
        kilowatt_hours(row["waste_kwh"]),
        kilowatt_hours(row["uncertainty_kwh"]) if row["modelled_kwh"] else "",
        *(extra(name, row[name]) for name in extras.values()),
    ]
    return f"<tr{mark}>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"


# --- the plot -----------------------------------------------------------------------------------


def _plot(period: Mapping[str, Any], *, is_by_day: bool) -> str:
    """Draw stacked bars: a bar for each part of the time, a colour for each row."""
    series = [("all", period["total"]["series_kwh"])] if is_by_day else _series(period["rows"])
    sums = period["total"]["series_kwh"]
    highest = max(sums, default=0.0)
    if highest <= 0:
        return ""
    step = (_WIDTH - _LEFT) / len(sums)
    bars = [
        bar
        for index in range(len(sums))
        for bar in _bar(index, step, [values[index] for _, values in series], highest)
    ]
    drawn = "".join([*_axis(period["buckets"], step, highest), *bars])
    label = f"Energy over time, the highest {kilowatt_hours(highest)}"
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT + _BELOW}" role="img" aria-label="{_text(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{drawn}</svg>\n{_key(series)}'


def _series(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Sequence[float]]]:
    largest = sorted(rows, key=lambda row: -row["energy_kwh"])
    found = [(row["name"], row["series_kwh"]) for row in largest[:_MOST_PARTS]]
    if rest := [row["series_kwh"] for row in largest[_MOST_PARTS:]]:
        found.append((f"{len(rest)} others", [sum(values) for values in zip(*rest, strict=True)]))
    return found


def _bar(index: int, step: float, values: Sequence[float], highest: float) -> Iterator[str]:
    x, width, top = _LEFT + index * step, max(step * 0.85, 0.5), float(_HEIGHT)
    for value, colour in zip(values, _COLOURS, strict=False):
        height = value / highest * (_HEIGHT - 10)
        if height > 0:
            top -= height
            yield (
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
                f' fill="{colour}"/>'
            )


def _axis(buckets: Sequence[str], step: float, highest: float) -> Iterator[str]:
    yield f'<line x1="{_LEFT}" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}" stroke="#444"/>'
    yield f'<text x="0" y="20">{_text(kilowatt_hours(highest))}</text>'
    yield f'<text x="0" y="{_HEIGHT}">0</text>'
    for index in sorted({0, len(buckets) // 2, len(buckets) - 1}):
        x = min(_LEFT + index * step, _WIDTH - 110)
        yield f'<text x="{x:.1f}" y="{_HEIGHT + 20}">{_text(buckets[index])}</text>'


def _key(series: Sequence[tuple[str, Sequence[float]]]) -> str:
    parts = (
        f'<span style="background:{colour}"></span>{_text(name)}'
        for (name, _), colour in zip(series, _COLOURS, strict=False)
    )
    return f'<p class="key">{"".join(parts)}</p>'
