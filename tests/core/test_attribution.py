"""Whose energy it is: of processors, memory, GPUs, the rest, and of what idles."""

from __future__ import annotations

import pytest

from ds01ctl.core.attribution import attribute
from ds01ctl.core.energy_interval import account
from ds01ctl.core.energy_model import (
    OWN,
    SYSTEM,
    UNATTRIBUTED,
    Activity,
    Counter,
    Delta,
    GpuShare,
    SplitPolicy,
    Work,
)
from ds01ctl.core.pending import dump, joined, load, remember
from ds01ctl.core.split import largest_remainder

J = 1_000_000
USAGE = SplitPolicy("usage")
ALLOCATION = SplitPolicy("allocation")
UNCHARGED = SplitPolicy("unattributed")
IDLE_50W = {"cpu": 50.0, "gpu": 50.0}
Parts = dict[tuple[str, str], int]


def delta(component: str, joules: float, name: str = "", *, reason: str = "measured") -> Delta:
    named = name or f"rapl:{component}-0"
    return Delta(named, component, round(joules * J), 0.0, 60.0, "measured", reason)  # type: ignore[arg-type]


def board(joules: float = 6000) -> Delta:
    return delta("gpu", joules, "gpu:GPU-1")


def share(party: str, sm: float | None = None, gb: float | None = None, **more: object) -> GpuShare:
    memory = None if gb is None else round(gb * 1e9)
    return GpuShare(party, sm, memory)._replace(**more)  # type: ignore[arg-type]


def held(party: str, sm: float | None = 0.0, gb: float | None = None, mig: float = 0) -> GpuShare:
    return share(party, sm, gb, is_holder=True, mig_slices=mig)


def on_gpu(*shares: GpuShare) -> Work:
    return Work(60.0, gpus={"GPU-1": shares})


def joules(deltas: list[Delta], work: Work, policy: SplitPolicy = USAGE) -> dict[str, float]:
    """Give joules by ``party split_by``, with a mark for waste and who wasted it."""
    found: dict[str, float] = {}
    for one in attribute(deltas, work, policy):
        waste = f" wasted by {one.holder}" if one.is_waste else ""
        key = f"{one.party} {one.split_by}{waste}"
        found[key] = found.get(key, 0) + one.uj / J
    return found


# -- GPUs ----------------------------------------------------------------------------------------

FREE_SLICE = share(UNATTRIBUTED, 0, mig_slices=1)
GPUS: dict[str, tuple[tuple[GpuShare, ...], SplitPolicy, dict[str, float]]] = {
    "nobody": ((), USAGE, {"_unattributed none": 6000}),
    "exclusive": ((held("ann", 90, 20),), USAGE, {"ann exclusive": 6000}),
    "exclusive, use unknown": ((held("ann", None, 20),), USAGE, {"ann exclusive": 6000}),
    "two processes of one party": (
        (share("ann", 40, 1), share("ann", 20, 3)),
        USAGE,
        {"ann exclusive": 6000},
    ),
    "the holder is away, another one is on it": (
        (held("ann"), share("bob", 50, 2)),
        USAGE,
        {"bob exclusive": 6000},
    ),
    "shared by SM use": (
        (held("ann", 60, 1), held("bob", 20, 40)),
        USAGE,
        {"ann sm-use": 4500, "bob sm-use": 1500},
    ),
    "shared, one does nothing": (
        (held("ann", 60, 1), held("bob", 0, 40)),
        USAGE,
        {"ann sm-use": 6000},
    ),
    "shared, SM use of one unknown: by memory": (
        (share("ann", 60, 10), share("bob", None, 30)),
        USAGE,
        {"ann memory": 1500, "bob memory": 4500},
    ),
    "shared, nothing known: equally": (
        (share("ann", None, 10), share("bob")),
        USAGE,
        {"ann equal": 3000, "bob equal": 3000},
    ),
    "equally by party, not by process": (
        (share("ann"), share("ann"), share("bob")),
        USAGE,
        {"ann equal": 3000, "bob equal": 3000},
    ),
    "SM use is not a number": (
        (share("ann", float("nan"), 10), share("bob", -3, 30)),
        USAGE,
        {"ann memory": 1500, "bob memory": 4500},
    ),
    "idle: nobody's, and whose waste": (
        (held("ann"),),
        USAGE,
        {"_unattributed idle wasted by ann": 6000},
    ),
    "idle by allocation": ((held("ann"),), ALLOCATION, {"ann allocation wasted by ann": 6000}),
    "idle, unattributed": ((held("ann"),), UNCHARGED, {"_unattributed idle wasted by ann": 6000}),
    "idle, memory full": (
        (held("ann", 0, 70),),
        ALLOCATION,
        {"ann allocation wasted by ann": 6000},
    ),
    "idle, two holders": (
        (held("ann"), held("bob")),
        ALLOCATION,
        {"ann allocation wasted by ann": 3000, "bob allocation wasted by bob": 3000},
    ),
    "idle, held by none, kept by one": (
        (share("ann", 0, 70),),
        ALLOCATION,
        {"ann allocation wasted by ann": 6000},
    ),
    "idle, held one after the other, with a pause": (
        (held("ann")._replace(held=0.5), held("bob")._replace(held=0.25)),
        ALLOCATION,
        {
            "ann allocation wasted by ann": 3000,
            "bob allocation wasted by bob": 1500,
            "_unattributed allocation": 1500,
        },
    ),
    "idle, held for a part of the time: what is left is nobody's waste": (
        (held("ann")._replace(held=0.25),),
        USAGE,
        {"_unattributed idle wasted by ann": 1500, "_unattributed idle": 4500},
    ),
    "idle, held for more than all of the time": (
        (held("ann")._replace(held=1.0), held("bob")._replace(held=0.5)),
        ALLOCATION,
        {"ann allocation wasted by ann": 4000, "bob allocation wasted by bob": 2000},
    ),
    "idle, held for no time": (
        (held("ann")._replace(held=0.0),),
        ALLOCATION,
        {"_unattributed allocation": 6000},
    ),
    "idle, the time is not a number": (
        (held("ann")._replace(held=float("nan")), held("bob")._replace(held=-1.0)),
        ALLOCATION,
        {"ann allocation wasted by ann": 6000},
    ),
    "idle, somebody unknown is on it: the holder keeps it": (
        (held("ann"), share(UNATTRIBUTED, 0, 5)),
        ALLOCATION,
        {"ann allocation wasted by ann": 6000},
    ),
    "idle, held by none, somebody unknown is on it": (
        (share("ann", 0, 5), share(UNATTRIBUTED, 0, 5)),
        ALLOCATION,
        {"ann allocation wasted by ann": 3000, "_unattributed allocation": 3000},
    ),
    "idle part of one in use, held for a part of the time": (
        (held("ann", 60)._replace(held=0.5), held("bob")._replace(held=0.25)),
        SplitPolicy("allocation", IDLE_50W),
        {
            "ann exclusive": 3000,
            "ann allocation": 1500,
            "bob allocation": 750,
            "_unattributed allocation": 750,
        },
    ),
    "idle part of one in use, usage": (
        (held("ann", 60), held("bob")),
        SplitPolicy("usage", IDLE_50W),
        {"ann exclusive": 6000},
    ),
    "idle part of one in use, allocation": (
        (held("ann", 60), held("bob")),
        SplitPolicy("allocation", IDLE_50W),
        {"ann exclusive": 3000, "ann allocation": 1500, "bob allocation": 1500},
    ),
    "idle part of one in use, unattributed": (
        (held("ann", 60),),
        SplitPolicy("unattributed", IDLE_50W),
        {"ann exclusive": 3000, "_unattributed idle": 3000},
    ),
    "idle part is not more than all": (
        (held("ann", 60),),
        SplitPolicy("unattributed", {"gpu": 900.0}),
        {"_unattributed idle": 6000},
    ),
    "MIG: slices x activity": (
        (held("ann", 50, mig=3), held("bob", 25, mig=2), held("cy", 0, mig=1)),
        USAGE,
        {"ann mig": 4500, "bob mig": 1500},
    ),
    "MIG, activity unknown: slices": (
        (held("ann", None, mig=3), held("bob", None, mig=1)),
        USAGE,
        {"ann mig": 4500, "bob mig": 1500},
    ),
    "MIG, a party with two instances": (
        (held("ann", None, mig=1), held("ann", None, mig=2), held("bob", None, mig=1)),
        USAGE,
        {"ann mig": 4500, "bob mig": 1500},
    ),
    "MIG, what is known to do nothing uses nothing": (
        (held("ann", None, mig=3), held("bob", 0, mig=2), share(UNATTRIBUTED, 0, mig_slices=1)),
        USAGE,
        {"ann mig": 6000},
    ),
    "MIG, the idle part of free instances is nobody's": (
        (held("ann", None, mig=3), share("bob", None, mig_slices=2), FREE_SLICE),
        SplitPolicy("allocation", IDLE_50W),
        {
            "ann mig": 1800,
            "bob mig": 1200,
            "ann allocation": 1500,
            "bob allocation": 1000,
            "_unattributed allocation": 500,
        },
    ),
    "MIG, an instance that was held for half of the time": (
        (held("ann", mig=3)._replace(held=0.5), held("bob", mig=3)),
        ALLOCATION,
        {
            "ann allocation wasted by ann": 1500,
            "bob allocation wasted by bob": 3000,
            "_unattributed allocation": 1500,
        },
    ),
    "MIG, one holder of a part": ((held("ann", 10, mig=1),), USAGE, {"ann mig": 6000}),
    "MIG, idle by allocation": (
        (held("ann", mig=1), held("bob", mig=2), share(UNATTRIBUTED, 0, mig_slices=3)),
        ALLOCATION,
        {
            "ann allocation wasted by ann": 1000,
            "bob allocation wasted by bob": 2000,
            "_unattributed allocation": 3000,
        },
    ),
    "MIG, idle": (
        (held("ann", mig=1), held("bob", mig=2)),
        USAGE,
        {"_unattributed idle wasted by ann": 2000, "_unattributed idle wasted by bob": 4000},
    ),
}


@pytest.mark.parametrize(("shares", "policy", "expected"), GPUS.values(), ids=GPUS)
def test_gpu(shares: tuple[GpuShare, ...], policy: SplitPolicy, expected: dict[str, float]) -> None:
    """One board, 100 W for a minute."""
    assert joules([board()], on_gpu(*shares), policy) == expected


def test_who_is_on_a_gpu_is_not_known() -> None:
    """A missing reading is not an empty one: nobody is charged, and nothing is called waste."""
    assert joules([board()], Work(60.0), ALLOCATION) == {"_unattributed none": 6000}


def test_each_gpu_is_split_for_itself() -> None:
    work = Work(60.0, gpus={"GPU-1": (held("ann", 9),), "GPU-2": (held("bob", 1),)})
    found = attribute([board(), delta("gpu", 10, "gpu:GPU-2")], work, USAGE)
    assert [(one.device, one.party, one.uj) for one in found] == [
        ("GPU-1", "ann", 6000 * J),
        ("GPU-2", "bob", 10 * J),
    ]


# -- processors, memory, the rest ----------------------------------------------------------------

PEOPLE = {"ann": Activity(30, 2), "bob": Activity(10, 6), OWN: Activity(5, 0)}
TOTAL = Activity(60, 10)
HOST: dict[str, tuple[str, dict[str, Activity], Activity | None, SplitPolicy, dict[str, float]]] = {
    "by CPU time": (
        "cpu",
        PEOPLE,
        TOTAL,
        USAGE,
        {"ann cpu-time": 300, "bob cpu-time": 100, f"{OWN} cpu-time": 50, "_system cpu-time": 150},
    ),
    "by memory": (
        "dram",
        PEOPLE,
        TOTAL,
        USAGE,
        {"ann memory": 120, "bob memory": 360, "_system memory": 120},
    ),
    "parties read after the total": (
        "cpu",
        PEOPLE,
        Activity(40),
        USAGE,
        {"ann cpu-time": 400, "bob cpu-time": 133.333333, f"{OWN} cpu-time": 66.666667},
    ),
    "no users": ("cpu", {}, TOTAL, USAGE, {"_system cpu-time": 600}),
    "no activity": ("cpu", {"ann": Activity()}, Activity(), USAGE, {"_unattributed none": 600}),
    "activity not known": ("cpu", PEOPLE, None, USAGE, {"_unattributed none": 600}),
    "negative activity": (
        "cpu",
        {"ann": Activity(-5), "bob": Activity(5)},
        Activity(5),
        USAGE,
        {"bob cpu-time": 600},
    ),
    "idle part unattributed": (
        "cpu",
        {"ann": Activity(30)},
        Activity(60),
        SplitPolicy("unattributed", {"cpu": 5.0}),
        {"ann cpu-time": 150, "_system cpu-time": 150, "_unattributed idle": 300},
    ),
    "idle part not configured": (
        "cpu",
        {"ann": Activity(30)},
        Activity(60),
        UNCHARGED,
        {"ann cpu-time": 300, "_system cpu-time": 300},
    ),
    "idle part by allocation goes by use": (
        "cpu",
        {"ann": Activity(30)},
        Activity(60),
        SplitPolicy("allocation", {"cpu": 5.0}),
        {"ann cpu-time": 300, "_system cpu-time": 300},
    ),
    "the rest of the machine": ("other", PEOPLE, TOTAL, USAGE, {"_unattributed none": 600}),
}


@pytest.mark.parametrize(
    ("component", "people", "total", "policy", "expected"), HOST.values(), ids=HOST
)
def test_host(
    component: str,
    people: dict[str, Activity],
    total: Activity | None,
    policy: SplitPolicy,
    expected: dict[str, float],
) -> None:
    """10 W for a minute."""
    work = Work(60.0, people, total)
    assert joules([delta(component, 600)], work, policy) == pytest.approx(expected, abs=1e-6)


def test_two_packages_are_split_as_one() -> None:
    two = [delta("cpu", 1e-6, "rapl:package-0"), delta("cpu", 2e-6, "rapl:package-1")]
    found = attribute(two, Work(60.0, {"ann": Activity(1), "bob": Activity(1)}, Activity(3)), USAGE)
    assert [(one.party, one.uj) for one in found] == [(SYSTEM, 1), ("ann", 1), ("bob", 1)]


def test_the_basis_goes_with_the_energy() -> None:
    two = [delta("cpu", 1), delta("cpu", 2, "rapl:package-1")._replace(basis="modelled")]
    found = attribute(two, Work(60.0, {"ann": Activity(1)}, Activity(1)), USAGE)
    assert {(one.basis, one.uj) for one in found} == {("measured", J), ("modelled", 2 * J)}


# -- energy that was bridged ---------------------------------------------------------------------


def test_bridged_energy_is_split_by_all_of_its_time() -> None:
    """Ann worked while the counters failed, Bob after: the one delta is of both."""
    first = Work(60.0, {"ann": Activity(30)}, Activity(30), {"GPU-1": (share("ann", 90, 1),)})
    second = Work(60.0, {"bob": Activity(10)}, Activity(10), {"GPU-1": (share("bob", 30, 1),)})
    last: dict[str, Counter] = {}
    pending: dict[str, Work] = {}
    found = []
    for i, (uj, work) in enumerate([(0, Work(0.0)), (None, first), (4000 * J, second)]):
        now = [
            Counter("rapl:package-0", "cpu", "b", 60.0 * i, uj),
            Counter("gpu:GPU-1", "gpu", "b", 60.0 * i, uj),
        ]
        one = account(last, now, work, USAGE, pending, at_s=60.0 * i)
        last, pending = dict(one.last), load(dump(one.pending))
        found = [(p.component, p.party, p.uj // J) for p in one.interval.portions]
    assert found == [
        ("cpu", "ann", 3000),
        ("cpu", "bob", 1000),
        ("gpu", "ann", 3000),
        ("gpu", "bob", 1000),
    ]
    assert pending == {}


def test_what_was_done_before_a_boot_does_not_share_what_was_used_after_it() -> None:
    pending = {"rapl:cpu-0": Work(60.0, {"ann": Activity(30)}, Activity(30))}
    work = Work(60.0, {"bob": Activity(10)}, Activity(10))
    found = attribute([delta("cpu", 1, reason="reset")], work, USAGE, pending)
    assert [one.party for one in found] == ["bob"]


def test_joined_work_is_the_mean_over_time() -> None:
    one = Work(30.0, {"ann": Activity(5, 400)}, Activity(5, 800), {"G": (held("ann", 80, 4),)})
    two = Work(90.0, {"bob": Activity(7, 400)}, Activity(9, 400), {"G": (share("bob", 40, 4),)})
    assert joined(one, two) == Work(
        120.0,
        {"ann": Activity(5, 100), "bob": Activity(7, 300)},
        Activity(14, 500),
        {"G": (held("ann", 20, 1)._replace(held=0.25), held("bob", 30, 3)._replace(held=0.75))},
    )


def test_joined_work_has_each_intervals_own_holders() -> None:
    """Ann and Bob share a GPU for a minute, then Cy has half of one to himself; Dan is a guest."""
    one = Work(60.0, gpus={"G": (held("ann"), held("bob"), share("dan", 0))})
    two = Work(60.0, gpus={"G": (held("cy")._replace(held=0.5),)})
    (found,) = joined(joined(one, two), Work(120.0, gpus={"G": ()})).gpus.values()
    parts = {share.party: share.held for share in found}
    assert parts == {"ann": 0.125, "bob": 0.125, "cy": 0.125, "dan": 0}
    assert load(dump({"x": Work(1.0, gpus={"G": found})}))["x"].gpus == {"G": found}


def test_only_the_package_that_failed_is_split_by_the_time_before() -> None:
    pending = {"rapl:package-1": Work(60.0, {"ann": Activity(30)}, Activity(30))}
    work = Work(60.0, {"bob": Activity(10)}, Activity(10))
    two = [delta("cpu", 100, "rapl:package-0"), delta("cpu", 400, "rapl:package-1")]
    found = attribute(two, work, USAGE, pending)
    assert sorted((one.party, one.uj // J) for one in found) == [
        ("ann", 300),
        ("bob", 100),
        ("bob", 100),
    ]


def test_joined_instances_of_a_party_keep_slices_times_activity() -> None:
    two = (held("ann", 80, 1, mig=3), held("ann", 20, 1, mig=1))
    work = Work(60.0, gpus={"G": two})
    assert joined(work, work).gpus == {"G": (held("ann", 65, 2, mig=4),)}


def test_joined_instances_count_their_time_once() -> None:
    """Three slices for half of the time are one and a half for all of it, and held."""
    one, two = (Work(60.0, gpus={"G": (held(party, mig=3),)}) for party in ("ann", "bob"))
    (found,) = joined(one, two).gpus.values()
    assert [(share.mig_slices, share.held) for share in found] == [(1.5, 1), (1.5, 1)]


def test_unknown_work_does_not_count_as_none() -> None:
    known = Work(60.0, {"ann": Activity(5)}, Activity(5), {"G": (share("ann", 1),)})
    unknown = Work(60.0)
    for found in (joined(known, unknown), joined(unknown, known)):
        assert found == known._replace(seconds=120.0)


def test_pending_is_of_the_counters_that_failed_and_ends() -> None:
    work = Work(60.0, {"ann": Activity(5)}, Activity(5), {"G": (share("ann", 1),), "H": ()})
    missed = Counter("gpu:G", "gpu", "b", 0.0, 1, missed=1)
    read = Counter("gpu:H", "gpu", "b", 0.0, 1)
    last = {one.name: one for one in (missed, read)}
    assert remember({}, last, work) == {"gpu:G": Work(60.0, gpus={"G": (share("ann", 1),)})}
    assert remember({"gpu:H": work}, {"gpu:H": read}, work) == {}
    gone = {"gpu:G": missed._replace(missed=100_000)}
    assert remember({"gpu:G": work}, gone, work) == {}


@pytest.mark.parametrize("text", ["", "x", "[]", '{"a": 1}', '{"a": [1, 2, 3, 4]}', '{"a": [1]}'])
def test_pending_that_is_something_else(text: str) -> None:
    with pytest.raises(ValueError):
        load(text)


def test_memory_without_counter_is_modelled_if_that_is_configured() -> None:
    policy = SplitPolicy(dram_model_watts=40.0)
    work = Work(60.0, {"ann": Activity(0, 3)}, Activity(0, 4))
    found = account({}, [], work, policy, {}, at_s=100.0).interval
    assert [(one.party, one.basis, one.uj) for one in found.portions] == [
        (SYSTEM, "modelled", 600 * J),
        ("ann", "modelled", 1800 * J),
    ]
    assert (found.from_s, found.to_s, found.deltas[0].reason) == (40.0, 100.0, "model")
    counted = [Counter("rapl:dram-0", "dram", "b", 100.0, 5)]
    assert account({}, counted, work, policy, {}, at_s=100.0).interval.portions == ()


# -- whole numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (0, {"a": 1}, {"a": 0}),
        (7, {}, {}),
        (7, {"a": 0, "b": 0.0}, {}),
        (7, {"a": -1, "b": float("nan"), "c": float("inf")}, {}),
        (7, {"a": -1, "b": float("nan"), "c": 2}, {"c": 7}),
        (1, {"b": 1, "a": 1}, {"a": 1, "b": 0}),
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        (100, {"a": 1, "b": 2.0}, {"a": 33, "b": 67}),
        (10**15 + 1, {"a": 1, "b": 10**15}, {"a": 1, "b": 10**15}),
        (3, {"a": 5e-324, "b": 5e-324}, {"a": 2, "b": 1}),
        (5, {"a": 1e308, "b": 1e308}, {"a": 3, "b": 2}),
    ],
)
def test_largest_remainder(
    total: int, weights: dict[str, int | float], expected: dict[str, int]
) -> None:
    assert largest_remainder(total, weights) == expected


def test_less_than_nothing_is_not_shared_out() -> None:
    with pytest.raises(ValueError):
        largest_remainder(-1, {"a": 1})
