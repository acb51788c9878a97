"""Users' projects: what users did is settled first, and shared out among these without a rest."""

from __future__ import annotations

import re
from collections import Counter as Tally
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.attribution import attribute
from ds01ctl.core.energy_booking import NO_EARLIER, Rates, book
from ds01ctl.core.energy_interval import Accounted, account
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
from ds01ctl.core.energy_parties import GroupUse, Usage, done
from ds01ctl.core.energy_projects import (
    MOST,
    OTHERS,
    in_project,
    party_of,
    project_in,
    project_of,
    user_of,
)
from ds01ctl.core.gpu_shares import GpuPast, Scene
from ds01ctl.core.pending import dump, load
from ds01ctl.core.project_split import of_embodied
from ds01ctl.core.project_views import past_of_users, scene_of_users, usage_of_users
from tests.core.energy_worlds import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.core.energy_model import Portion

J = 1_000_000
COMPOSE = "com.docker.compose.project"
WORLDS = 120
THESIS, WEB = party_of("ann", "thesis"), party_of("ann", "web")


@pytest.mark.parametrize(
    ("labels", "project"),
    [
        ({}, ""),
        ({"ds01.project": " "}, ""),
        ({"ds01.project": "thesis"}, "thesis"),
        ({"ds01.project": "Größe 2", COMPOSE: "web"}, "Größe 2"),
        ({"ds01.project": "", COMPOSE: "web"}, "web"),
        ({"aime.mlc.DS01_PROJECT": "old", COMPOSE: "web"}, "old"),
        ({"ds01.project": "x" * 64}, "x" * 64),
        ({"ds01.project": "x" * 65}, "x" * 55 + "~"),
        ({"ds01.project": "a\x1b[2Jb"}, "a?[2Jb~"),
        ({"ds01.project": "a\x1fb"}, "a?b~"),
        ({"ds01.project": "_no_project"}, "no_project~"),
    ],
)
def test_the_project_that_a_container_is_of(labels, project) -> None:
    assert re.sub("~[0-9a-f]{8}$", "~", project_in(labels)) == project


@pytest.mark.parametrize(
    "hostile",
    [
        "x" * 65_536,
        "\ud800",
        "\u202egnp",
        "\x00",
        "_system",
        "~" * 99,
        "a\nb",
        "a\u2028b",
        "💣" * 99,
    ],
)
def test_a_hostile_name_is_one_that_can_be_shown_and_stored(hostile) -> None:
    found, other = project_in({COMPOSE: hostile}), project_in({COMPOSE: hostile + "."})
    assert found.isprintable()
    assert len(found) <= 64
    assert not found.startswith("_")
    assert found.encode()
    assert project_of(party_of("ann", found)) == found
    assert found != other, "what was different stays different"


def test_only_users_have_projects() -> None:
    assert in_project("ann", "web") == WEB
    assert (user_of(WEB), project_of(WEB)) == ("ann", "web")
    assert (user_of("ann"), project_of("ann")) == ("ann", "")
    for nobody in (SYSTEM, UNATTRIBUTED, OWN):
        assert in_project(nobody, "web") == nobody


# --- conservation -------------------------------------------------------------------------------


def fine(world: World, work: Work) -> Work:
    """Tell some of what was done apart, at random: it need not even fit."""
    dice = world.dice

    def parties(user: str) -> list[str]:
        return [in_project(user, project) for project in dice.choice((("",), ("", "p"), "pqr"))]

    people = {
        party: Activity(*(round(value * dice.random()) for value in activity))
        for user, activity in work.parties.items()
        for party in parties(user)
    }
    gpus = {
        uuid: tuple(share._replace(party=p) for share in shares for p in parties(share.party))
        for uuid, shares in work.gpus.items()
        if dice.random() < 0.9
    }
    return work._replace(by_project=Work(work.seconds, people, work.total, gpus))


def whole(work: Work) -> Work:
    return work._replace(by_project=None)


def by_user(portions: Iterable[Portion]) -> Tally:
    found: Tally = Tally()
    for one in portions:
        key = (user_of(one.party), user_of(one.holder), one.is_waste, one.split_by, one.seconds)
        found[(*key, one.component, one.basis, one.device)] += one.uj
    return found


def booked(one: Accounted) -> tuple[object, Tally]:
    found = book(one.interval, Rates(330.5, 1.3), {}, {5: 7.0, 6: 3.0}, lambda _: 1, NO_EARLIER)
    hours: Tally = Tally()
    for (_, party), row in found.hours.items():
        for name in ("cpu_uj", "dram_uj", "gpu_uj", "other_uj", "modelled_uj", "waste_uj"):
            hours[user_of(party), name] += getattr(row, name)
    for (_, uuid, party), row in found.gpu_hours.items():
        hours[user_of(party), uuid] += row.uj
    months = sum(found.months.values())
    return (found.totals.energy, found.totals.node, found.totals.gpus, months), hours


@pytest.mark.parametrize("first", range(0, WORLDS, 40))
def test_projects_add_up_to_what_users_have_without_them(first) -> None:
    """To the microjoule: every interval, component, GPU, and kind of waste; also bridged ones."""
    apart = 0
    for seed in range(first, first + 40):
        world = World(seed)
        last: dict[str, Counter] = {}
        pending: dict[str, Work] = {}
        for _ in range(2):
            seconds = world.pass_time()
            work, counters = fine(world, world.work(seconds)), world.counters()
            known = {name: whole(one) for name, one in pending.items()}
            policy, at_s = world.policy, world.at_s
            one = account(last, counters, work, policy, pending, at_s=at_s)
            plain = account(last, counters, whole(work), policy, known, at_s=at_s)
            assert by_user(one.interval.portions) == by_user(plain.interval.portions)
            assert booked(one) == booked(plain)
            # as text, in which what is no number is like itself
            assert dump({n: whole(w) for n, w in one.pending.items()}) == dump(plain.pending)
            last, pending = dict(one.last), load(dump(one.pending))
            apart += sum(bool(project_of(p.party)) for p in one.interval.portions)
    assert apart > 100


# --- who gets what ------------------------------------------------------------------------------


def cpu_portions(users: dict[str, int], projects: dict[str, int]) -> dict[str, int]:
    made = [{name: Activity(us) for name, us in some.items()} for some in (users, projects)]
    total = Activity(sum(users.values()))
    work = Work(60.0, made[0], total, by_project=Work(60.0, made[1], total))
    delta = Delta("rapl:package-0", "cpu", 1000 * J, 0.0, 60.0, "measured", "measured")
    return {one.party: one.uj // J for one in attribute([delta], work, SplitPolicy())}


def test_processor_time_is_split_by_what_each_project_used() -> None:
    found = cpu_portions({"ann": 750, "bob": 250}, {"ann": 150, THESIS: 600, "bob": 250})
    assert found == {"ann": 150, THESIS: 600, "bob": 250}


def test_what_is_too_little_is_not_told_apart() -> None:
    """A slice is read a moment before the containers in it: that is no work outside of them."""
    found = cpu_portions({"ann": 1_000_000}, {"ann": 900, THESIS: 999_100})
    assert found == {THESIS: 1000}
    some = {THESIS: 998_400, WEB: 800, party_of("ann", "x"): 800}
    assert cpu_portions({"ann": 1_000_000}, some) == {THESIS: 1000}


def test_ten_thousand_projects_are_a_hundred_and_others() -> None:
    projects = {party_of("ann", f"p{n}"): 1000 - n if n < 200 else 10 for n in range(10_000)}
    found = cpu_portions({"ann": sum(projects.values())}, projects)
    assert len(found) == MOST + 1
    assert party_of("ann", "p0") in found
    assert found[party_of("ann", OTHERS)] > 300
    assert sum(found.values()) >= 1000 - len(found)


def gpu_portions(
    users: list[GpuShare], projects: list[GpuShare], policy: SplitPolicy
) -> dict[tuple[str, str], int]:
    work = Work(60.0, gpus={"G": tuple(users)})
    work = work._replace(by_project=work._replace(gpus={"G": tuple(projects)}))
    delta = Delta("gpu:G", "gpu", 1000 * J, 0.0, 60.0, "measured", "measured")
    found = attribute([delta], work, policy)
    return {(one.party, one.holder): one.uj // J for one in found}


@pytest.mark.parametrize(
    ("users", "projects", "idle", "expected"),
    [
        pytest.param(
            [GpuShare("ann", 60.0), GpuShare("bob", 20.0)],
            [GpuShare(THESIS, 40.0), GpuShare(WEB, 20.0), GpuShare("bob", 20.0)],
            "usage",
            {(THESIS, ""): 500, (WEB, ""): 250, ("bob", ""): 250},
            id="by use",
        ),
        pytest.param(
            [GpuShare("ann", None, None), GpuShare("bob", None, None)],
            [GpuShare(THESIS), GpuShare(WEB), GpuShare("bob")],
            "usage",
            {(THESIS, ""): 250, (WEB, ""): 250, ("bob", ""): 500},
            id="two projects are no two users",
        ),
        pytest.param(
            [GpuShare("ann", 0.0, is_holder=True)],
            [GpuShare(THESIS, 0.0, is_holder=True), GpuShare("ann", 0.0)],
            "allocation",
            {(THESIS, THESIS): 1000},
            id="idle, by who holds it",
        ),
        pytest.param(
            [GpuShare("ann", 0.0, is_holder=True, held=0.5)],
            [GpuShare(THESIS, 0.0, is_holder=True, held=0.5)],
            "unattributed",
            {(UNATTRIBUTED, THESIS): 500, (UNATTRIBUTED, ""): 500},
            id="idle and nobody's, the project's waste",
        ),
        pytest.param(
            [GpuShare("ann", None, mig_slices=3), GpuShare("bob", None, mig_slices=1)],
            [
                GpuShare(THESIS, None, mig_slices=2),
                GpuShare(WEB, None, mig_slices=1),
                GpuShare("bob", None, mig_slices=1),
            ],
            "usage",
            {(THESIS, ""): 500, (WEB, ""): 250, ("bob", ""): 250},
            id="instances",
        ),
        pytest.param(
            [GpuShare("ann", 60.0)], [], "usage", {("ann", ""): 1000}, id="nobody was seen"
        ),
    ],
)
def test_a_gpu(users, projects, idle, expected) -> None:
    assert gpu_portions(users, projects, SplitPolicy(idle)) == expected


def test_embodied_carbon_goes_to_who_held_it() -> None:
    held = {"G": {THESIS: 0.5, "bob": 0.5}, "H": {WEB: 0.5, THESIS: 0.25}}
    charged = {"ann": 1000, "bob": 7, UNATTRIBUTED: 9}
    found = of_embodied(charged, held)
    assert found == {THESIS: 600, WEB: 400, "bob": 7, UNATTRIBUTED: 9}


# --- control groups -----------------------------------------------------------------------------

SLICE = "/ds01.slice/ds01-student.slice/ds01-student-ann.slice"
BOX, OTHER = (f"{SLICE}/docker-{digit * 64}.scope" for digit in "ab")


def look(at_s: float, total_us: int, groups: dict[str, tuple[int, str]], cores=None) -> Usage:
    return Usage(
        {path: GroupUse(us, 0, at_s, 7, cores) for path, (us, _) in groups.items()},
        GroupUse(total_us, 0, at_s),
        {path: party for path, (_, party) in groups.items()},
    )


def test_a_container_that_ended_was_its_projects_up_to_what_it_can_have_used() -> None:
    before = look(0, 0, {SLICE: (10, "ann"), BOX: (10, THESIS), OTHER: (0, WEB)}, cores=0.5)
    after = look(60, 60 * J, {SLICE: (50 * J + 10, "ann"), OTHER: (5 * J, WEB)})
    found = done(before, after)
    assert {party: one.cpu_us for party, one in found.parties.items()} == {
        "ann": 15 * J,
        THESIS: 30 * J,
        WEB: 5 * J,
    }
    users = done(*(usage_of_users(usage) for usage in (before, after)))
    assert {party: one.cpu_us for party, one in users.parties.items()} == {"ann": 50 * J}


def test_seen_by_users_nobody_labelled_anything() -> None:
    usage = look(0, 9, {SLICE: (5, "ann"), BOX: (3, THESIS), "/user.slice": (1, "bob")})
    assert usage_of_users(usage) == look(0, 9, {SLICE: (5, "ann"), "/user.slice": (1, "bob")})
    past = GpuPast({1: THESIS, 2: "ann"}, {THESIS: 3, WEB: 4, "bob": 1}, 5, {"G": (THESIS, WEB)})
    assert past_of_users(past) == GpuPast(
        {1: "ann", 2: "ann"}, {"ann": 7, "bob": 1}, 5, {"G": ("ann",)}
    )
    times = {("G", THESIS): 30, ("G", WEB): 10, ("H", "ann"): 5}
    scene = scene_of_users(Scene({1: WEB}, {}, {"G": {THESIS, WEB}}, 0, 60, times, times))
    assert (scene.party_of_pid, scene.holders) == ({1: "ann"}, {"G": {"ann"}})
    assert scene.since_us == {("G", "ann"): 10, ("H", "ann"): 5}
    assert scene.until_us == {("G", "ann"): 30, ("H", "ann"): 5}
