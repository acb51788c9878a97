"""What the user of a container is to know of a warning and of a stop."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.cleanup_holding import begun_anew
from ds01ctl.core.cleanup_words import Ending, stopped, warning
from tests.core.cleanup_traces import exempted, gpu_container, policy
from tests.core.cleanup_worlds import Machine, idle

if TYPE_CHECKING:
    from ds01ctl.core.policy import Policy

ONLY_TOLD = "cleanup: {mode: enforce, rules: {stopped: report}}\n"


EXEMPT = "username: alice, exempt_from: [container_hold_after_stop_h], expires_on: "


def endings(rules: Policy | None = None, **look: int) -> list[Ending]:
    machine = Machine(rules or policy(), gpu_container())
    machine.run(idle(8, **look))
    return [one.ending for one in machine.changes if one.ending]


def test_a_stop_is_told_as_its_warnings_were() -> None:
    """With the limit that held, and that it was memory of a GPU which it held."""
    *warned, last = endings(gpu_memory=1 << 30)
    assert len(warned) == 2
    assert all(one.left and "has held memory of a GPU" in warning(one) for one in warned)
    assert last.left is None
    assert last.limit == timedelta(minutes=30)
    assert "has held memory of a GPU without computing" in stopped(last)


@pytest.mark.parametrize(
    ("rules", "is_removed"),
    [
        (policy(), True),
        (policy(ONLY_TOLD), False),
        (exempted(f"{EXEMPT}null"), False),
        (exempted(f"{EXEMPT}2026-12-31"), False),
        (exempted(f"{EXEMPT}2026-11-01"), True),
    ],
    ids=["removed", "only told", "exempt for ever", "exempt", "no longer exempt"],
)
def test_no_removal_is_announced_that_will_not_be(rules: Policy, *, is_removed: bool) -> None:
    first, *_, last = endings(rules)
    assert ("when it is removed" in warning(first)) is is_removed
    assert ("when it is removed" in stopped(last)) is is_removed


def test_the_hold_of_who_is_back_begins_anew_until_it_is_told() -> None:
    """It ran while there was no account, and nobody who could be told that it did."""
    machine = Machine(policy(), gpu_container()).run(idle(10))
    seen = machine.seen
    assert seen is not None
    [workload] = seen.workloads
    [(id_, watch)] = seen.watches.items()
    uid = workload.owner.uid
    assert uid
    assert watch.not_running_s
    untold = seen._replace(watches={id_: watch._replace(hold_from_s=0.0, is_hold_told=False)})
    told = seen._replace(watches={id_: watch._replace(hold_from_s=0.0, is_hold_told=True)})
    again = begun_anew(untold, machine.policy, departed={uid})
    assert again[id_].hold_from_s == watch.not_running_s
    assert begun_anew(told, machine.policy, departed={uid}) == {}
    assert begun_anew(untold, machine.policy, departed=()) == {}
