"""All that is known of one finding, in lines for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ds01ctl.report.detect_rows import WHOLE, use_name
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean, memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.core.plan import Finding


def lines(finding: Finding) -> Iterator[str]:
    """Give the finding, its evidence, and then its subject, one fact a line."""
    new = ", new" if finding.new else ""
    yield f"{finding.severity} {finding.kind}{new}, user {clean(finding.user or 'unknown')}"
    yield from (f"  because: {clean(text, WHOLE)}" for text in finding.evidence)
    if finding.first_seen:
        yield f"  first seen: {local_time(finding.first_seen)}"
    for name, value in finding.subject.items():
        if value in (None, [], {}, ()):
            continue
        if name == "owner":
            yield from _owner(value)
        elif name == "gpus":
            yield from map(_use, value)
        else:
            yield f"  {_words(name)}: {_shown(name, value)}"


def _owner(owner: Mapping[str, Any]) -> Iterator[str]:
    if owner["login"] is None and owner["uid"] is None:
        yield "  owner: unknown"
        return
    uid = "" if owner["uid"] is None else f" (uid {owner['uid']})"
    bound = "" if owner["corroborated"] else "; only a label or a name says so"
    login = clean(owner["login"] or "?", WHOLE)
    yield f"  owner: {login}{uid}, {owner['confidence']}, by {clean(owner['rule'])}{bound}"


def _use(use: Mapping[str, Any]) -> str:
    name, _, instance = use_name(use).partition(":")
    place = f"GPU {name}, MIG instance {instance}" if instance else f"GPU {name}"
    size = use["memory_bytes"]
    amount = "memory unknown" if size is None else memory(size)
    return f"  uses: {place}: {amount} by pid {use['pid']}"


def _words(name: str) -> str:
    words = name.removesuffix("_bytes").removesuffix("_at").replace("_", " ")
    return words.replace("gpu", "GPU").replace("uuid", "UUID")


def _shown(name: str, value: object) -> str:
    if isinstance(value, datetime):
        return local_time(value)
    if name.endswith("_bytes") and isinstance(value, int):
        return memory(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(clean(item, WHOLE) for item in value)
    return clean(value, WHOLE)
