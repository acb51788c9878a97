"""What `quota report` and `quota why` show: aligned rows, or CSV."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ds01ctl.core.sizes import size
from ds01ctl.report.text import clean, columns, gap_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.plan import Result

_BAR = 10
_LONGEST = 32
_WORDS = {
    "ok": "",
    "over-soft": "over soft limit",
    "grace-over": "GRACE OVER",
    "at-hard": "AT HARD LIMIT",
}
_COLOURS = {"at-hard": "red", "grace-over": "red", "over-soft": "yellow"}
_CSV = (
    "user", "known", "mount", "kind", "id", "name", "used_bytes", "soft_bytes", "hard_bytes",
    "used_inodes", "soft_inodes", "hard_inodes", "bytes_grace_end", "inodes_grace_end",
    "standing", "bytes_per_day", "days_until_full",
)  # fmt: skip


def print_report(result: Result, *, as_csv: bool) -> None:
    """Print it: coloured on a terminal, plain lines or CSV elsewhere."""
    if as_csv:
        print(csv_text(result), end="")
        for told in gap_lines(result):
            print(told, file=sys.stderr)
        return
    lines = report_lines(result, result.time.timestamp())
    if not sys.stdout.isatty():
        print("\n".join(line for line, _ in lines))
        return
    from rich.text import Text

    from ds01ctl.report.screen import console

    screen = console()
    for line, colour in lines:
        screen.print(Text(line, style=colour or ""), soft_wrap=True)


def report_lines(result: Result, now_s: float) -> list[tuple[str, str | None]]:
    """Lay the report out: each line with its colour."""
    data = result.data
    lines: list[tuple[str, str | None]] = [(line, None) for line in gap_lines(result)]
    if data["by"] == "user" and (data["file_systems"] or data["rows"]):
        lines += _users(data["rows"], now_s) if data["rows"] or _counts(data, "user") else []
    elif data["by"] == "project" and data["file_systems"]:
        lines += _projects(data["rows"], now_s)
    elif data["by"] == "filesystem":
        lines += _file_systems(data["rows"])
    if data["held"]:
        lines += [("", None)] if len(lines) > len(result.gaps) else []
        lines += _held(data["held"])
    lines += [(line, None) for line in _foot(data)]
    return lines


def _counts(data: Mapping[str, Any], kind: str) -> bool:
    """Tell whether any file system counts ids of a kind."""
    return any(one["accounting"][kind]["is_on"] for one in data["file_systems"])


def _users(rows: Sequence[Mapping[str, Any]], now_s: float) -> list[tuple[str, str | None]]:
    if not rows:
        return [("nobody uses anything there", None)]
    has_layers = any(row["layers_bytes"] for row in rows)
    titles = ("USER", "USED", *(["LAYERS"] if has_layers else []),
              "TIGHTEST", "", "OF", "HARD", "FILES", "GRACE", "TREND", "")  # fmt: skip
    cells = [titles]
    for row in rows:
        layers = (_layers(row),) if has_layers else ()
        tight = row["places"][0] if row["places"] else None
        place = _user_place(tight, now_s) if tight else ("",) * 7
        cells.append((
            clean(row["user"], _LONGEST), size(row["used_bytes"]), *layers, *place,
            _WORDS[row["standing"]],
        ))  # fmt: skip
    colours = [None, *(_COLOURS.get(row["standing"]) for row in rows)]
    return list(zip(columns(cells, _LONGEST), colours, strict=True))


def _user_place(tight: Mapping[str, Any], now_s: float) -> tuple[str, ...]:
    return (
        clean(_where(tight)), bar(tight["share"]),
        _limit(tight["soft_bytes"] or tight["hard_bytes"]), _limit(tight["hard_bytes"]),
        _files(tight), _grace(tight, now_s), _trend(tight),
    )  # fmt: skip


def _layers(row: Mapping[str, Any]) -> str:
    found = row["layers_bytes"]
    return "?" if found is None else size(found) if found else ""


def _projects(rows: Sequence[Mapping[str, Any]], now_s: float) -> list[tuple[str, str | None]]:
    if not rows:
        return [("no project uses anything there", None)]
    titles = ("PROJECT", "ID", "ON", "USED", "", "OF", "HARD", "FILES", "GRACE", "TREND", "")
    cells = [titles, *(_project(row, now_s) for row in rows)]
    colours = [None, *(_COLOURS.get(row["standing"]) for row in rows)]
    return list(zip(columns(cells, _LONGEST), colours, strict=True))


def _project(row: Mapping[str, Any], now_s: float) -> tuple[str, ...]:
    return (
        clean(row["name"] or "?", _LONGEST), str(row["id"]), clean(row["mount"]),
        size(row["used_bytes"]), bar(row["share"]),
        _limit(row["soft_bytes"] or row["hard_bytes"]), _limit(row["hard_bytes"]),
        _files(row), _grace(row, now_s), _trend(row), _WORDS[row["standing"]],
    )  # fmt: skip


def _file_systems(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    cells = [("FILE SYSTEM", "TYPE", "SIZE", "FREE", "", "USERS", "LIMITED", "OVER", "PROMISED",
              "TREND")]  # fmt: skip
    for row in rows:
        total, free = row["size_bytes"], row["free_bytes"]
        part = (total - free) / total if total and free is not None else None
        cells.append((
            clean(row["mount"]), row["type"], size(total) if total else "?",
            size(free) if free is not None else "?", bar(part), str(row["users"]),
            str(row["users_with_limits"]), str(row["over"]),
            size(row["promised_bytes"]) if row["promised_bytes"] else "none", _trend(row),
        ))  # fmt: skip
    return [(line, None) for line in columns(cells, _LONGEST)]


def _held(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    cells = [("USER", "WHAT", "HELD", "", "LIMIT", "IN")]
    colours: list[str | None] = [None]
    for row in rows:
        most = row["limit"]
        part = row["used"] / most if most else None
        what = "GPUs" if row["kind"] == "gpu" else "containers"
        cells.append((
            clean(row["user"], _LONGEST), what, f"{row['used']:g}", bar(part),
            f"{most:g}" if most is not None else "none", clean(", ".join(row["containers"]), 60),
        ))  # fmt: skip
        colours.append("red" if row["over"] else None)
    return list(zip(columns(cells, 60), colours, strict=True))


def _foot(data: Mapping[str, Any]) -> list[str]:
    lines = []
    more = data.get("total_rows", 0) - len(data["rows"])
    if more > 0:
        lines.append(f"and {more} more; leave out --top to see all")
    if unowned := data.get("unowned_layers"):
        lines += _unowned(unowned)
    for one in data["file_systems"]:
        for kind, state in one["accounting"].items():
            if not state["is_on"] and kind == "user":
                lines.append(f"{clean(one['mount'])}: no {kind} quotas: {clean(state['reason'])}")
    return lines


def _unowned(found: Mapping[str, Any]) -> list[str]:
    if not found["bytes"]:
        return []
    names = clean(", ".join(found["containers"]), 60)
    return [
        f"container layers of the platform, and of nobody known: {size(found['bytes'])} ({names})"
    ]


def bar(part: float | None) -> str:
    """Draw a part of a limit: ``######---- 62%``; nothing without a limit."""
    if part is None:
        return ""
    full = min(int(part * _BAR), _BAR)
    return f"{'#' * full}{'-' * (_BAR - full)} {part * 100:.0f}%"


def _where(place: Mapping[str, Any]) -> str:
    if place["kind"] == "project":
        return f"{place['mount']} (volumes)"
    return str(place["mount"])


def _limit(count: int) -> str:
    return size(count) if count else "none"


def _files(place: Mapping[str, Any]) -> str:
    most = place["soft_inodes"] or place["hard_inodes"]
    return f"{place['used_inodes']} of {most}" if most else str(place["used_inodes"])


def _grace(place: Mapping[str, Any], now_s: float) -> str:
    from datetime import datetime

    ends = [place[name] for name in ("bytes_grace_end", "inodes_grace_end") if place[name]]
    if place["standing"] in {"ok", "at-hard"} or not ends:
        return "not begun" if place["standing"] == "over-soft" else ""
    left = min(datetime.fromisoformat(end.replace("Z", "+00:00")).timestamp() for end in ends)
    return span(left - now_s) if left > now_s else "over"


def span(seconds: float) -> str:
    """Show what is left of a grace: ``6d 23h``, ``3h 5m``, ``40s``."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m" if minutes else f"{whole}s"


def _trend(place: Mapping[str, Any]) -> str:
    speed, full = place["bytes_per_day"], place["days_until_full"]
    if speed is None or abs(speed) < 1 << 20:
        return ""
    said = f"{'+' if speed > 0 else ''}{size(int(speed))}/day"
    return said if full is None else f"{said}, full in {full:.0f} d"


def csv_text(result: Result) -> str:
    """Write one line a user, file system and kind, with a heading; numbers as they are."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for row in result.data["rows"]:
        for place in row.get("places", (row,)):
            whole = {"user": row.get("user"), "known": row.get("known"), **place}
            writer.writerow([_csv(whole.get(name)) for name in _CSV])
        if row.get("layers_bytes"):
            # their own line, with no file system's record behind it
            whole = {"user": row["user"], "known": row["known"], "kind": "layers",
                     "used_bytes": row["layers_bytes"]}  # fmt: skip
            writer.writerow([_csv(whole.get(name)) for name in _CSV])
    return out.getvalue()


def _csv(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.0f}"
    return safe_cell(value) if isinstance(value, str) else value


def safe_cell(text: str) -> str:
    """Write a text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def why_lines(result: Result) -> list[str]:
    """Tell what refuses a write, what soon will, and what does not."""
    signs = {"refuses": "REFUSES", "soon": "soon", "fine": "fine", "unknown": "unknown"}
    lines = [*gap_lines(result)]
    for place in result.data["places"]:
        lines.append(clean(place["title"], 2000))
        for one in place["verdicts"]:
            error = f" ({one['error']})" if one["error"] else ""
            lines.append(f"  {signs[one['severity']]:8}{clean(one['text'], 2000)}{error}")
            if one["todo"] and one["severity"] in {"refuses", "soon"}:
                lines.append(f"          -> {clean(one['todo'], 2000)}")
    return [*lines, result.data["answer"]]
