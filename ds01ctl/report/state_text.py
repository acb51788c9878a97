"""The lines of the `state` commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.plan import Result

_LONGEST = 400


def check_lines(result: Result) -> list[str]:
    """Say how the store is."""
    return list(_facts(result))


def maintain_lines(result: Result) -> list[str]:
    """Say what was done to the store, and how it is."""
    told = []
    for action in result.actions:
        line = f"{action.outcome}: {action.kind} {clean(action.target)} ({clean(action.reason)})"
        told.append(f"{line}: {clean(action.error, _LONGEST)}" if action.error else line)
    return [*told, *_facts(result)]


def _facts(result: Result) -> Iterator[str]:
    data = result.data
    if not data.get("exists", True):
        yield f"{clean(data['file'])}: not there yet; the first recording run makes it"
    else:
        yield f"{clean(data['file'])}: whole, {_size(data['size_bytes'])}, {_schema(result)}"
        rows = (f"{count} in {clean(table)}" for table, count in data["rows"].items())
        yield f"rows: {', '.join(rows) or 'none'}"
        for job, at in data["last_success"].items():
            yield f"last success of {clean(job)}: {local_time(at)}"
    backup = data["backup"]
    if backup is None:
        yield "no copy yet; ds01ctl state maintain makes one"
    else:
        when = local_time(backup["written_at"])
        yield f"copy: {clean(backup['file'])}, {_size(backup['size_bytes'])}, of {when}"


def _schema(result: Result) -> str:
    version, newest = result.data["schema_version"], result.data["newest_schema_version"]
    if version == newest:
        return f"schema {version}"
    return f"schema {version} (the next recording run makes it {newest})"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1024:.0f} KiB" if size_bytes < 1 << 20 else f"{size_bytes >> 20} MiB"
