"""What `enforce show` tells, as lines: a table of everybody, or all about one user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.subjects import short
from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.plan import Result

_KINDS = {"logins": "log-ins", "slice": "containers"}
_HEAD = ("USER", "GROUP", "HOME", "CPU", "OF", "MEMORY", "OF", "TASKS", "OF", "THROTTLED",
         "KILLED", "WAITS")  # fmt: skip


def show_lines(result: Result) -> list[str]:
    """Show one user whole, or everybody who is at work in a table."""
    lines = [f"note: {gap.source}: {clean(gap.reason)}" for gap in result.gaps]
    users: Sequence[Mapping[str, Any]] = result.data["users"]
    if result.data["user"] is not None:
        return [*lines, *(line for user in users for line in user_lines(user))]
    rows = [row for user in users for row in _rows(user)]
    if rows:
        lines += columns([_HEAD, *rows])
    idle = sum(1 for user in users if not any(home["is_live"] for home in user["homes"]))
    count = f"{len(users)} user{'' if len(users) == 1 else 's'}"
    lines.append(f"{count} with limits, {idle} of them with nothing running")
    if spared := result.data["spared"]:
        people = [one for one in spared if one["uid"] >= 1000]
        named = ", ".join(clean(one["login"]) for one in people[:8])
        more = ", …" if len(people) > 8 else ""
        lines.append(f"never limited: {named}{more}" if named else "nobody is exempt")
    return lines


def _rows(user: Mapping[str, Any]) -> Iterator[list[str]]:
    for home in user["homes"]:
        if home["is_live"] and (used := home["usage"]):
            limits = {one["property"]: one["effective"] or "?" for one in home["limits"]}
            kind = _KINDS[home["kind"]] + (" (old group)" if home["is_old"] else "")
            yield [
                clean(user["user"], 32),
                clean(user["group"], 20),
                kind,
                _percent(used["cpu_percent"]),
                limits.get("CPUQuota", "-"),
                _size(used["memory_bytes"]),
                limits.get("MemoryMax", "-"),
                _number(used["tasks"]),
                limits.get("TasksMax", "-"),
                _seconds(used["throttled_s"]),
                _number(used["oom_kills"]),
                _waits(used),
            ]


def _waits(used: Mapping[str, Any]) -> str:
    """Name what tasks wait for, by PSI of the last 10 s."""
    found = [
        f"{name} {used[f'{name}_pressure_percent']:.0f}%"
        for name in ("cpu", "memory", "io")
        if (used[f"{name}_pressure_percent"] or 0) >= 1
    ]
    return " ".join(found) or "-"


def user_lines(user: Mapping[str, Any]) -> Iterator[str]:
    """Show all about one user."""
    yield f"{clean(user['user'])} (uid {user['uid']}, group {clean(user['group'])})"
    for home in user["homes"]:
        yield ""
        old = ", of a group that was left" if home["is_old"] else ""
        live = "" if home["is_live"] else ", nothing runs there now"
        yield f"{_KINDS[home['kind']]}: {home['unit']}{old}{live}"
        yield from (f"  {line}" for line in _limit_table(home["limits"]))
        yield from (f"  {line}" for line in usage_lines(home["usage"]))
    for one in user["containers"]:
        yield ""
        yield from _container_lines(one)
    yield ""
    reach = ", ".join(f"{name} {value}" for name, value in user["reach"].items())
    yield f"all that {clean(user['user'])} can reach at once: {reach}"


def _limit_table(limits: Sequence[Mapping[str, Any]]) -> list[str]:
    if not limits:
        return ["no limits"]
    rows = [("LIMIT", "POLICY", "KERNEL", "EFFECTIVE", "FROM", "")]
    rows += [
        (
            one["property"],
            one["policy"],
            one["kernel"] or "-",
            one["effective"] or "-",
            clean(one["origin"]),
            f"DRIFT: {one['drift']}" if one["drift"] else "",
        )
        for one in limits
    ]
    return columns(rows)


def usage_lines(used: Mapping[str, Any] | None) -> Iterator[str]:
    """Tell what is used now, and what limits have done."""
    if used is None:
        return
    if used["memory_bytes"] is not None or used["cpu_percent"] is not None:
        yield (
            f"uses now: CPU {_percent(used['cpu_percent'])}, memory {_size(used['memory_bytes'])}"
            f" with page cache, tasks {_number(used['tasks'])}; waits for {_waits(used)}"
        )
    yield (
        f"since the first recorded run: throttled {_seconds(used['throttled_s'])},"
        f" killed for memory {_number(used['oom_kills'])},"
        f" forks refused {_number(used['forks_refused'])}"
    )


def _container_lines(one: Mapping[str, Any]) -> Iterator[str]:
    where = (
        f"in {one['home']}" if one["home"] else f"outside of its owner's slices: {one['cgroup']}"
    )
    yield f"container {clean(one['name'])} {clean(short(where))}"
    rows = [
        (each["property"], each["limit"], f"now {each['kernel']}", clean(each["why"]))
        for each in one["limits"]
    ]
    yield from (f"  {line}" for line in columns(rows))


def _size(value: int | None) -> str:
    return "?" if value is None else _rounded(value)


def _rounded(size: int) -> str:
    """Show bytes to one decimal, in systemd's spelling."""
    for power, letter in ((40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if size >= 1 << power:
            return f"{size / (1 << power):.1f}{letter}"
    return str(size)


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}%"


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}s"
