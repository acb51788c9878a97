"""For which part of an interval each party had a GPU, from what two looks tell."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core.energy_memory import Judged, Memory
from ds01ctl.core.energy_model import UNATTRIBUTED, GpuShare
from ds01ctl.core.energy_owners import held_times
from ds01ctl.core.energy_parties import AT_BOOT
from ds01ctl.core.gpu_shares import GpuPast, GpuRecord, Scene, Worked, past_of, shares
from ds01ctl.core.gpu_stays import Stay, parts
from ds01ctl.core.model import Container, Gpu, GpuUse, MigDevice

if TYPE_CHECKING:
    from collections.abc import Mapping

S = 1_000_000
A = "GPU-a"
FROM, TO = 1000 * S, 1060 * S
PARTY_OF = {100: "ann", 200: "bob", 300: "cy"}
SLICED = Gpu(0, A, mig_mode=True, mig_devices=(MigDevice("M3", 1, 0, None, 3),), mig_slices=3)


class Case(NamedTuple):
    """Holders and pids now and before; all times in seconds of the interval."""

    parts: Mapping[str, float] = {}
    now: tuple[str, ...] = ()
    before: tuple[str, ...] | None = ()
    pids: tuple[int, ...] = ()
    old_pids: tuple[int, ...] = ()
    began: Mapping[int, float] = {}
    last: Mapping[int, float] = {}
    since: Mapping[str, float] = {}
    until: Mapping[str, float] = {}


CASES: dict[str, Case] = {
    "all of the time": Case({"ann": 1}, ("ann",), ("ann",)),
    "at once": Case({"ann": 0.5, "bob": 0.5}, ("ann", "bob"), ("ann", "bob")),
    "given after 45 s": Case({"ann": 0.25}, ("ann",), since={"ann": 45}),
    "given long ago": Case({"ann": 1}, ("ann",), since={"ann": -500}),
    "taken back after 15 s": Case({"ann": 0.25}, (), ("ann",), until={"ann": 15}),
    "taken back, unknown when": Case({"ann": 0.5}, (), ("ann",)),
    "taken back, the process ended after 15 s": Case(
        {"ann": 0.25}, (), ("ann",), old_pids=(100,), last={100: 15}
    ),
    "given, unknown when": Case({"ann": 0.5}, ("ann",)),
    "given, unknown when, and the process began after 45 s": Case(
        {"ann": 0.25}, ("ann",), pids=(100,), began={100: 45}
    ),
    "given, the look before knew nothing": Case({"ann": 1}, ("ann",), None),
    "one after the other": Case(
        {"ann": 0.25, "bob": 0.5}, ("bob",), ("ann",), since={"bob": 30}, until={"ann": 15}
    ),
    "one after the other, unknown when the first ended": Case(
        {"ann": 1 / 6, "bob": 2 / 3}, ("bob",), ("ann",), since={"bob": 20}
    ),
    "one joined another": Case(
        {"ann": 0.75, "bob": 0.25}, ("ann", "bob"), ("ann",), since={"ann": -9, "bob": 30}
    ),
    "one of two left, and another one came": Case(
        {"ann": 0.5, "bob": 0.25, "cy": 0.25},
        ("ann", "cy"),
        ("ann", "bob"),
        since={"ann": -9, "cy": 30},
        until={"bob": 30},
    ),
    "a second container of the same party": Case(
        {"ann": 0.75}, ("ann",), ("ann",), since={"ann": 30}, until={"ann": 15}
    ),
    "a guest does not hold": Case({"ann": 1}, ("ann",), ("ann",), pids=(200,)),
    "a guest keeps what nobody was given": Case(
        {"ann": 0.5, "bob": 0.5}, ("ann",), pids=(200,), since={"ann": 30}
    ),
    "nobody was given it, processes keep it": Case(
        {"ann": 0.25, "bob": 0.75}, pids=(100, 200), began={100: 30, 200: -10}
    ),
    "a process ended": Case({"ann": 0.25}, old_pids=(100,), last={100: 15}),
    "a process ended that did nothing": Case({"ann": 0.5}, old_pids=(100,)),
    "one came and went unseen": Case({UNATTRIBUTED: 0.25}, last={999: 30}),
    "a start yet to come": Case({}, ("ann",), since={"ann": 99}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_had_it(case: Case) -> None:
    found = look(case, Gpu(0, A), [GpuUse(pid, A, "C", 5) for pid in case.pids])
    held = {one.party: one.held for one in found if one.held}
    assert held == pytest.approx(case.parts)
    if case.now or case.before:
        assert {one.party for one in found if one.is_holder} >= set(case.parts)


def look(case: Case, gpu: Gpu, uses: list[GpuUse], device: str = A) -> tuple[GpuShare, ...]:
    """Look at one GPU twice, and give what the second look makes of both."""

    def us(at: float) -> int:
        return FROM + round(at * S)

    given = None if case.before is None else {device: case.before}
    instances = dict.fromkeys(case.old_pids, device) if device != A else {}
    past = GpuPast({pid: PARTY_OF[pid] for pid in case.old_pids}, {}, 0, given, instances)
    record = GpuRecord(A, {pid: Worked(50.0, us(at)) for pid, at in case.last.items()})
    scene = Scene(
        PARTY_OF,
        {pid: us(at) for pid, at in case.began.items()},
        {device: set(case.now)},
        FROM,
        TO,
        {(device, party): us(at) for party, at in case.since.items()},
        {(device, party): us(at) for party, at in case.until.items()},
    )
    return shares(gpu, uses, record, past, scene)


MIG: dict[str, tuple[Case, list[GpuShare]]] = {
    "given for a part of the time, the rest is free": (
        Case(now=("ann",), since={"ann": 40}),
        [GpuShare(UNATTRIBUTED, 0, 0, 2), GpuShare("ann", 0, 0, 1, is_holder=True)],
    ),
    "one after the other": (
        Case(
            now=("bob",),
            before=("ann",),
            pids=(200,),
            began={200: 30},
            since={"bob": 20},
            until={"ann": 20},
        ),
        [
            GpuShare("ann", 0, 0, 1, is_holder=True),
            GpuShare("bob", None, 5, 2, is_holder=True),
        ],
    ),
    "nobody was given it, a process ended": (
        Case(old_pids=(100,)),
        [GpuShare(UNATTRIBUTED, 0, 0, 1.5), GpuShare("ann", None, 0, 1.5)],
    ),
}


@pytest.mark.parametrize(("case", "expected"), MIG.values(), ids=MIG)
def test_slices_count_their_time(case: Case, expected: list[GpuShare]) -> None:
    """One instance of three slices."""
    uses = [GpuUse(pid, A, "C", 5, "M3") for pid in case.pids]
    found = look(case, SLICED, uses, "M3")
    rounded = [one._replace(mig_slices=round(one.mig_slices, 9)) for one in found]
    assert rounded == expected


def test_where_the_clock_was_set_back() -> None:
    scene = Scene({}, {}, {A: {"ann", "bob"}}, TO, FROM)
    found = shares(Gpu(0, A), [], None, None, scene)
    assert [(one.party, one.held) for one in found] == [("ann", 1.0), ("bob", 1.0)]


def test_what_is_kept_of_holders_and_instances() -> None:
    uses = [GpuUse(100, A, "C", 5, "M3")]
    holders = {"M3": {"bob", "ann"}, "GPU-z": {"cy"}}
    kept = past_of(SLICED, uses, None, None, PARTY_OF, holders)
    assert (kept.holders, kept.instances) == ({"M3": ("ann", "bob")}, {100: "M3"})


STAYS = st.lists(
    st.builds(Stay, st.sampled_from("abc"), st.integers(-9, 70), st.integers(-9, 70)), max_size=8
)


@given(STAYS, STAYS)
@settings(max_examples=300, deadline=None)
def test_no_moment_is_shared_out_twice(first: list[Stay], second: list[Stay]) -> None:
    """Compare with a count of whole seconds."""
    found = parts(first, second, (), Scene({}, {}, {}, 0, 60))
    expected = dict.fromkeys("abc", 0.0)
    for at in range(60):
        here = [{s.party for s in stays if s.from_us <= at < s.to_us} for stays in (first, second)]
        for party in here[0] or here[1]:
            expected[party] += 1 / 60 / len(here[0] or here[1])
    assert {party: found.get(party, 0.0) for party in "abc"} == pytest.approx(expected)


def test_when_containers_were_given_a_gpu() -> None:
    def at(second: int) -> datetime:
        return datetime(2026, 11, 26, 12, 0, second, tzinfo=timezone.utc)

    def container(name: str, start: int | None, end: int | None = None) -> Container:
        state = "running" if end is None else "exited"
        started, ended = (None if one is None else at(one) for one in (start, end))
        return Container(
            "unix:///x", name, name, "", state, None, {}, started_at=started, finished_at=ended
        )

    containers = [
        container("one", 20),
        container("two", 10),
        container("bare", 5),
        container("old", None),
        container("gone", 1, 30),
    ]
    held = Judged(1, None, (A,))
    now = {"one": held, "two": held, "bare": Judged(1, None), "old": held}
    parties = {"one": "ann", "two": "ann", "bare": "ann", "old": "bob"}
    before = {"gone": Judged(1, "cy", (A, "M3"))}
    found = held_times(containers, now, before, parties)
    us = at(0).timestamp() * S
    assert found.since_us == {(A, "ann"): us + 10 * S, (A, "bob"): 0}
    assert found.until_us == {(A, "cy"): us + 30 * S, ("M3", "cy"): us + 30 * S}


def test_what_was_before_a_boot_holds_nothing() -> None:
    """The interval begins with the boot, and nobody was on a GPU then."""
    past = GpuPast({100: "ann"}, {"ann": 5}, 77, {A: ("ann",)}, {100: "M3"})
    memory = Memory("one", FROM, AT_BOOT, {A: past})
    assert memory.gpus_since("one") == {A: past}
    assert memory.gpus_since("two") == {A: GpuPast(seen_us=77, holders={})}
    assert memory.from_us("one", TO, 40.0) == FROM
    assert memory.from_us("two", TO, 40.0) == TO - 40 * S
    # the clock was set meanwhile
    assert memory.from_us("two", TO, 4000.0) == FROM
