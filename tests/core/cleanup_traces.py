"""Rows of traces: what is seen look by look, and what comes of it, with its evidence."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Container, Mount
from ds01ctl.core.policy import Policy
from tests.config.sample import SAMPLE, load
from tests.core.cleanup_worlds import Look, Machine
from tests.core.worlds import (
    ALICE,
    NOON,
    A,
    container,
    managed,
    with_gpus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENFORCE = "cleanup: {mode: enforce}\n"
# a run that may stop or remove everything, so that a rule's own words are seen
FREE = (
    "cleanup:\n  mode: enforce\n"
    "  breaker: {max_share: null, max_users: null, after_boot_m: 0, after_upgrade_m: 0}\n"
)


@cache
def policy(text: str = ENFORCE, base: str = SAMPLE, **beside: str) -> Policy:
    """The policy of DS01 with something more in it, read from real files."""
    with TemporaryDirectory() as folder:
        return load(Path(folder), base + text, **beside)


def overridden(row: str, text: str = ENFORCE) -> Policy:
    return policy(text, user_overrides_yaml=f"alice: {{{row}}}\n")


def exempted(row: str, **more: str) -> Policy:
    rows = f"exemptions: [{{category: waiver, reason: r, approved_by: a, {row}}}]\n"
    return policy(ENFORCE, lifecycle_exemptions_yaml=rows, **more)


def gpu_container(
    container_id: str = A, user: str = "alice", on: str = "GPU-0", **m: Any
) -> Container:
    return managed(user, container_id, **{"config": with_gpus(on), **m})


def raw(container_id: str = A, labels: dict[str, str] | None = None, **more: Any) -> Container:
    """What a user made with docker itself, with a folder of his in it."""
    work = (Mount("bind", "/home/alice/work", "/workspace"),)
    return container(container_id, labels, **{"config": with_gpus("GPU-0"), "mounts": work, **more})


OWNED = {"path_owners": {"/home/alice/work": ALICE}}
EXITED = {"state": "exited", "finished_at": NOON - timedelta(days=3), "cgroup": None, "pid": None}
CREATED = {"state": "created", "started_at": None, "cgroup": None, "pid": None}
ALICES = {"labels": {"ds01.protected": "true"}}
STOPS = ["30 warn1 idle", "35 warn2 idle", "40 stop idle"]


class Row(NamedTuple):
    """One trace."""

    name: str
    looks: Sequence[Look]
    events: Sequence[str]
    """``MINUTE [(why it is not done)] what part``."""
    said: Sequence[str] = ()
    """What the evidence, reasons, notices and trips have in them."""
    policy: Policy | None = None
    containers: Sequence[Container] = ()
    more: Mapping[str, Any] = {}


def said_by(machine: Machine) -> str:
    """All that a run says, a line each."""
    lines = [f"{t.breaker}: {t.text}" for t in machine.trips]
    for change in machine.changes:
        lines += [change.reason, *change.evidence, change.skip or ""]
    for notice in machine.notices:
        lines += [f"{notice.kind}: {notice.text}", *notice.evidence]
    for watch in machine.watches.values():
        for interval in watch.intervals:
            lines += [f"{interval.verdict}", *interval.evidence]
    return "\n".join(lines)


def check(row: Row) -> Machine:
    """Run a trace; it has to have its outcome, and to say why."""
    more = dict(row.more)
    up_s = more.pop("up_s", None)
    machine = Machine(row.policy or policy(), *(row.containers or [gpu_container()]), **more)
    if up_s is not None:
        machine.up_s = up_s
    machine.run(row.looks)
    assert machine.events == list(row.events)
    text = said_by(machine)
    for said in row.said:
        assert said in text
    for change in machine.changes:
        # which value, and where it is written
        assert re.search(r" is \S+ \(.+\)|the container is gone", change.reason)
        assert change.evidence
        assert change.kind in {"warn", "stop-container", "remove-container", "release-gpu"}
    return machine
