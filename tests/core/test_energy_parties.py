"""Control groups and GPU processes made parties: who did what in an interval."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core import energy_memory
from ds01ctl.core.energy_booking import holders
from ds01ctl.core.energy_memory import Judged, Memory
from ds01ctl.core.energy_model import SYSTEM, UNATTRIBUTED, Activity, GpuShare
from ds01ctl.core.energy_owners import Parties, of_groups
from ds01ctl.core.energy_parties import (
    AT_BOOT,
    GroupUse,
    Usage,
    done,
    paced,
    uid_of,
    worth_reading,
)
from ds01ctl.core.gpu_shares import GpuPast, GpuRecord, Scene, Worked, past_of, shares
from ds01ctl.core.model import Gpu, GpuUse, MigDevice, Snapshot
from ds01ctl.core.owner import People
from ds01ctl.core.policy import Policy, builtin_policy

NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
ID = "{:064x}".format
GROUP = "/ds01.slice/ds01-student.slice"
ALICE, BOB = f"{GROUP}/ds01-student-alice.slice", f"{GROUP}/ds01-student-bob.slice"
IN_ALICE = f"{ALICE}/docker-{ID(1)}.scope"
MIB = 1 << 20


def use(
    cpu_us: int,
    memory: int | None = 0,
    at_s: float = 100.0,
    inode: int = 1,
    cores: float | None = 1.0,
) -> GroupUse:
    return GroupUse(cpu_us, memory, at_s, inode, cores)


def look(
    at_s: float, total: int, groups: dict[str, GroupUse], parties: dict[str, str], memory: int = 0
) -> Usage:
    placed = {path: one._replace(at_s=at_s) for path, one in groups.items()}
    here = {path: party for path, party in parties.items() if path in groups}
    return Usage(placed, GroupUse(total, memory, at_s), here)


PARTIES = {ALICE: "alice", BOB: "bob"}


def cpu_of(earlier: Usage, now: Usage) -> dict[str, int]:
    return {party: one.cpu_us for party, one in done(earlier, now).parties.items() if one.cpu_us}


# --- CPU and memory ---------------------------------------------------------------------------


def test_an_interval() -> None:
    first = look(100, 1000, {ALICE: use(10, 100), BOB: use(20)}, PARTIES, memory=500)
    second = look(160, 1900, {ALICE: use(310, 300), BOB: use(20)}, PARTIES, memory=700)
    found = done(first, second)
    assert found.seconds == 60
    assert found.total == Activity(900, 600)
    assert found.parties == {"alice": Activity(300, 200)}


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (None, look(100, 10, {}, {})),
        (look(100, 10, {}, {}), Usage({}, None)),
        (Usage({}, None), look(100, 10, {}, {})),
        (look(100, 10, {}, {}), look(100, 20, {}, {})),
        (look(100, 10, {}, {}), look(90, 20, {}, {})),
    ],
)
def test_nothing_is_known(earlier: Usage | None, now: Usage) -> None:
    found = done(earlier, now)
    assert (found.parties, found.total) == ({}, None)


def test_groups_are_brought_to_one_length() -> None:
    """Two users as active as each other, of whom one was read 1 s later."""
    first = look(100, 0, {ALICE: use(0), BOB: use(0)}, PARTIES)
    second = look(160, 0, {ALICE: use(60_000), BOB: use(61_000)}, PARTIES)
    late = {**second.groups, BOB: second.groups[BOB]._replace(at_s=161.0)}
    assert cpu_of(first, second._replace(groups=late)) == {"alice": 60_000, "bob": 60_000}


def test_a_group_made_anew_counts_from_its_start() -> None:
    first = look(100, 0, {ALICE: use(5000, inode=7, cores=0.0)}, PARTIES)
    second = look(160, 9000, {ALICE: use(800, inode=8)}, PARTIES)
    assert cpu_of(first, second) == {"alice": 800}


def test_who_came_meanwhile() -> None:
    first = look(100, 0, {}, {})
    assert cpu_of(first, look(160, 0, {BOB: use(44)}, PARTIES)) == {"bob": 44}


def test_after_a_boot_all_since_counts() -> None:
    found = done(AT_BOOT, look(40, 900, {ALICE: use(300, 80)}, PARTIES, memory=80))
    assert (found.seconds, found.total) == (40, Activity(900, 80))
    assert found.parties == {"alice": Activity(300, 40)}


def test_a_container_in_its_users_slice_counts_once() -> None:
    """Also where both are read."""
    parties = {**PARTIES, IN_ALICE: "alice"}
    first = look(100, 0, {ALICE: use(0), IN_ALICE: use(0)}, parties)
    second = look(160, 0, {ALICE: use(500, 50), IN_ALICE: use(400, 40)}, parties)
    found = done(first, second)
    assert found.parties == {"alice": Activity(500, 25)}
    assert worth_reading([ALICE, IN_ALICE], parties) == (ALICE,)


def test_somebody_elses_container_in_a_slice() -> None:
    parties = {**PARTIES, IN_ALICE: "bob"}
    first = look(100, 0, {ALICE: use(0), IN_ALICE: use(0)}, parties)
    second = look(160, 0, {ALICE: use(500, 50), IN_ALICE: use(400, 40)}, parties)
    assert done(first, second).parties == {"alice": Activity(100, 5), "bob": Activity(400, 20)}
    assert worth_reading([ALICE, IN_ALICE], parties) == (ALICE, IN_ALICE)


def test_common_parents_are_read() -> None:
    assert worth_reading(["/user.slice", GROUP, ALICE], PARTIES) == ("/user.slice", GROUP, ALICE)


def test_what_a_departed_slice_used_to_its_end() -> None:
    """Its group is gone; the one above it has counted all of it."""
    first = look(100, 0, {GROUP: use(1000), ALICE: use(600), BOB: use(400)}, PARTIES)
    second = look(160, 0, {GROUP: use(1900), BOB: use(700)}, PARTIES)
    assert cpu_of(first, second) == {"alice": 600, "bob": 300}


def test_a_slice_that_went_and_came_back() -> None:
    """What it used before it went is its user's, too."""
    first = look(100, 0, {GROUP: use(600), ALICE: use(600, inode=7)}, PARTIES)
    second = look(160, 0, {GROUP: use(1000), ALICE: use(150, inode=8)}, PARTIES)
    assert cpu_of(first, second) == {"alice": 400}


USER, ALICES, BOBS = "/user.slice", "/user.slice/user-1001.slice", "/user.slice/user-1002.slice"
S = 1_000_000


@pytest.mark.parametrize(
    ("cores", "alices"), [(4.0, 240 * S), (0.001, 60_000), (0.0, 0), (None, 0), (99.0, 1920 * S)]
)
def test_who_left_is_charged_what_they_can_have_used(cores: float | None, alices: int) -> None:
    """Somebody else may have come and gone unseen meanwhile, as of `ssh host make -j64`."""
    first = look(100, 0, {USER: use(5), ALICES: use(5, cores=cores)}, {ALICES: "alice"})
    second = look(160, 0, {USER: use(5 + 1920 * S)}, {})
    expected = {"alice": alices, UNATTRIBUTED: 1920 * S - alices}
    assert cpu_of(first, second) == {party: us for party, us in expected.items() if us}


def test_somebody_elses_container_that_left_a_slice() -> None:
    """What may have been its own is nobody's; the rest is the slice's user's."""
    parties = {**PARTIES, IN_ALICE: "bob"}
    first = look(100, 0, {ALICE: use(0), IN_ALICE: use(0, cores=0.5)}, parties)
    second = look(160, 0, {ALICE: use(100 * S)}, parties)
    assert cpu_of(first, second) == {"alice": 70 * S, UNATTRIBUTED: 30 * S}


@pytest.mark.parametrize("now", [{}, {ALICE: UNATTRIBUTED}, {ALICE: "alice"}])
@pytest.mark.parametrize("gone", ["alice", "bob", UNATTRIBUTED, SYSTEM])
@pytest.mark.parametrize("cores", [None, 0.5, 99.0])
def test_no_processor_time_is_lost(now: dict[str, str], gone: str, cores: float | None) -> None:
    """Whoever left, and whoever stays: all of it is somebody's, and what is not told the host's."""
    parties = {**now, IN_ALICE: gone}
    first = look(100, 0, {ALICE: use(0), IN_ALICE: use(0, cores=cores)}, parties)
    found = cpu_of(first, look(160, 200 * S, {ALICE: use(100 * S)}, now))
    hosts = min(30 * S, 100 * S) if cores == 0.5 else 100 * S
    is_hosts = gone == SYSTEM and not now and cores is not None
    assert sum(found.values()) == 100 * S - (hosts if is_hosts else 0)


def test_ones_own_container_that_left_a_slice() -> None:
    parties = {**PARTIES, IN_ALICE: "alice"}
    first = look(100, 0, {ALICE: use(0), IN_ALICE: use(0)}, parties)
    assert cpu_of(first, look(160, 0, {ALICE: use(100 * S)}, parties)) == {"alice": 100 * S}


IN_SYSTEM = f"/system.slice/docker-{ID(2)}.scope"


@pytest.mark.parametrize(
    ("cores", "total", "nobodys"),
    [(0.5, 100 * S, 30 * S), (0.5, 20 * S, 20 * S), (None, 100 * S, 0), (0.0, 100 * S, 0)],
)
def test_a_container_that_left_the_hosts_own_slice(
    cores: float | None, total: int, nobodys: int
) -> None:
    """Its parent counts services, too: what may have been its own is not the host's."""
    first = look(100, 0, {IN_SYSTEM: use(7, cores=cores)}, {IN_SYSTEM: "alice"})
    found = done(first, look(160, total, {}, {}))
    assert found.parties.get(UNATTRIBUTED, Activity()).cpu_us == nobodys
    assert found.total == Activity(total, 0)


def test_pace() -> None:
    """Of one that was made meanwhile it is not known when: it was there for half of the time."""
    first = look(100, 0, {ALICE: use(10 * S)}, PARTIES)
    now = paced(first, look(160, 0, {ALICE: use(100 * S), BOB: use(30 * S, cores=None)}, PARTIES))
    assert {path: one.cores for path, one in now.groups.items()} == {ALICE: 1.5, BOB: 1.0}
    for unknown in (None, Usage({}, None)):
        now = paced(unknown, look(160, 0, {ALICE: use(100 * S, cores=None)}, PARTIES))
        assert now.groups[ALICE].cores is None


def test_two_departed_slices_of_one_parent() -> None:
    """The sum is known, the parts are not: it is nobody's, and says so."""
    first = look(100, 0, {GROUP: use(1000), ALICE: use(600), BOB: use(400)}, PARTIES)
    assert cpu_of(first, look(160, 0, {GROUP: use(1900)}, PARTIES)) == {UNATTRIBUTED: 900}


def test_who_came_and_went_unseen() -> None:
    first = look(100, 0, {"/user.slice": use(0)}, {})
    assert cpu_of(first, look(160, 0, {"/user.slice": use(70)}, {})) == {UNATTRIBUTED: 70}


def test_a_parent_read_a_little_earlier_takes_nothing_away() -> None:
    first = look(100, 0, {GROUP: use(0), ALICE: use(0)}, PARTIES)
    assert cpu_of(first, look(160, 0, {GROUP: use(499), ALICE: use(500)}, PARTIES)) == {
        "alice": 500
    }


def test_the_hosts_own_is_what_is_left() -> None:
    parties = {**PARTIES, "/user.slice/user-0.slice": SYSTEM}
    first = look(100, 0, {"/user.slice/user-0.slice": use(0)}, parties)
    second = look(160, 900, {"/user.slice/user-0.slice": use(800)}, parties)
    assert done(first, second).parties == {}


JUDGED = {ID(1): Judged(5, "alice", ("GPU-a",)), ID(2): Judged(6, None)}
PATHS = st.sampled_from(
    ["/user.slice", "/user.slice/user-1001.slice", GROUP, ALICE, BOB, IN_ALICE, f"/docker/{ID(2)}"]
)
USES = st.builds(
    GroupUse,
    st.integers(0, 10**12),
    st.one_of(st.none(), st.integers(0, 10**12)),
    st.floats(0, 1e6, allow_nan=False),
    st.integers(1, 3),
    st.one_of(st.none(), st.floats(0, 1000)),
)
LOOKS = st.builds(
    Usage,
    st.dictionaries(PATHS, USES),
    st.one_of(st.none(), USES),
    st.dictionaries(PATHS, st.sampled_from(["alice", "bob", SYSTEM, UNATTRIBUTED])),
)


@given(LOOKS, LOOKS)
@settings(max_examples=300, deadline=None)
def test_nothing_is_negative_whatever_was_read(earlier: Usage, now: Usage) -> None:
    found = done(earlier, now)
    assert SYSTEM not in found.parties
    assert all(one.cpu_us >= 0 and one.memory_bytes >= 0 for one in found.parties.values())
    assert found.total is None or min(found.total) >= 0


@given(LOOKS)
@settings(max_examples=200, deadline=None)
def test_memory_comes_back_as_it_was(seen: Usage) -> None:
    kept = {path: party for path, party in seen.parties.items() if path in seen.groups}
    held = GpuPast({7: "alice"}, {"alice": 5}, 99, {"GPU-a": ("alice", "bob")}, {7: "MIG-1"})
    past = {"GPU-a": held, "GPU-b": GpuPast()}
    memory = Memory("boot", 5, seen._replace(parties=kept), past, {1001: "alice"}, 3, JUDGED, 9)
    assert energy_memory.from_json(energy_memory.to_json(memory)) == memory


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", "[2, 3]", "null", "[1,2,3,4,5,6,7,8]"])
def test_a_memory_of_something_else(text: str) -> None:
    assert energy_memory.from_json(text) is None


def test_memory_of_another_boot() -> None:
    memory = Memory("one", 5, look(100, 5, {}, {}), {})
    assert memory.usage_since("one") == memory.usage
    assert memory.usage_since("two") == AT_BOOT


# --- whose groups they are --------------------------------------------------------------------


def the_parties(users: dict[int, str], *groups: str) -> Parties:
    snapshot = Snapshot(NOON, "host", "boot", 0, users=users)
    policy = Policy(groups={name: {} for name in groups}) if groups else builtin_policy()
    return Parties(People(snapshot), policy)


USERS = {1001: "alice", 1002: "bob", 1003: "vision", 0: "root", 998: "gdm"}


@pytest.mark.parametrize(
    ("path", "party"),
    [
        ("/user.slice/user-1001.slice", "alice"),
        ("/user.slice/user-1009.slice", "1009"),
        ("/user.slice/user-0.slice", SYSTEM),
        ("/user.slice/user-998.slice", SYSTEM),
        ("/user.slice/user-61200.slice", SYSTEM),
        ("/user.slice/user-65534.slice", UNATTRIBUTED),
        ("/user.slice", None),
        ("/user.slice/user-1001.slice/user-1002.slice", None),
        ("/ds01.slice", None),
        (GROUP, None),
        (ALICE, "alice"),
        (f"{GROUP}/ds01-student-u1002.slice", "bob"),
        (f"{GROUP}/ds01-student-u1009.slice", "1009"),
        (f"{GROUP}/ds01-student-nobody_knows.slice", None),
        # a group's name has a dash, and somebody is called like its last part
        ("/ds01.slice/ds01-phd.slice/ds01-phd-vision.slice", None),
        ("/ds01.slice/ds01-phd.slice/ds01-phd-vision.slice/ds01-phd-vision-bob.slice", "bob"),
    ],
)
def test_slices(path: str, party: str | None) -> None:
    assert the_parties(USERS, "student", "phd", "phd-vision").of_slice(path) == party


def test_containers() -> None:
    outside = f"/system.slice/docker-{ID(2)}.scope"
    stranger = f"/docker/{ID(3)}"
    unknown_in_slice = f"{BOB}/docker-{ID(4)}.scope"
    paths = ["/docker", stranger, outside, ALICE, IN_ALICE, BOB, unknown_in_slice, "/mine/x"]
    owners = {outside: "bob", IN_ALICE: "bob", "/mine/x": None}
    assert of_groups(paths, owners, the_parties(USERS, "student")) == {
        stranger: UNATTRIBUTED,
        outside: "bob",
        ALICE: "alice",
        IN_ALICE: "bob",
        BOB: "bob",
        unknown_in_slice: "bob",
        "/mine/x": UNATTRIBUTED,
    }


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("/user.slice/user-1001.slice", 1001),
        ("/user.slice/user-x.slice", None),
        ("/docker/user-1001.slice", None),
        ("/user.slice", None),
    ],
)
def test_uid_of(path: str, uid: int | None) -> None:
    assert uid_of(path) == uid


# --- GPUs -------------------------------------------------------------------------------------

A = "GPU-a"


def of_gpu(
    uses: list[GpuUse],
    worked: dict[int, Worked] | None,
    *,
    past: GpuPast | None = None,
    holders: dict[str, set[str]] | None = None,
    began_us: dict[int, int] | None = None,
    gpu: Gpu = Gpu(0, A),  # noqa: B008 -- a value
) -> list[GpuShare]:
    record = GpuRecord(A, worked) if worked is not None else None
    scene = Scene({100: "alice", 200: "bob", 300: SYSTEM}, began_us or {}, holders or {}, 0, 60 * S)
    # for how long each held it is another matter
    return [one._replace(held=1.0) for one in shares(gpu, uses, record, past, scene)]


def on(pid: int, mib: int | None = 10, **fields: object) -> GpuUse:
    memory = None if mib is None else mib * MIB
    return GpuUse(pid, A, "C", memory, **fields)  # type: ignore[arg-type] -- the test says which


def test_nobody_is_there() -> None:
    assert of_gpu([], {}) == []


def test_two_share() -> None:
    worked = {100: Worked(80, 59 * S), 200: Worked(20, 59 * S)}
    assert of_gpu([on(100), on(200, 30)], worked) == [
        GpuShare("alice", 80, 10 * MIB),
        GpuShare("bob", 20, 30 * MIB),
    ]


def test_who_is_there_and_does_nothing() -> None:
    assert of_gpu([on(100)], {}) == [GpuShare("alice", 0, 10 * MIB)]


def test_two_processes_of_one_party() -> None:
    both = {100: Worked(30, 59 * S), 101: Worked(20, 59 * S)}
    past = GpuPast({101: "alice"}, {"alice": 10 * MIB})
    assert of_gpu([on(100), on(101)], both, past=past) == [GpuShare("alice", 50, 15 * MIB)]


def test_who_was_there_for_a_part_of_the_time_counts_for_that_part() -> None:
    """One began after 45 s, another ended after 15 s: the driver's means are of their own times."""
    worked = {100: Worked(80, 59 * S), 200: Worked(80, 15 * S)}
    past = GpuPast({200: "bob"}, {"bob": 40 * MIB})
    found = of_gpu([on(100, 20)], worked, past=past, began_us={100: 45 * S})
    assert found == [GpuShare("alice", 20, 10 * MIB), GpuShare("bob", 20, 20 * MIB)]


def test_who_came_and_went_unseen_on_a_gpu() -> None:
    worked = {999: Worked(60, 30 * S)}
    assert of_gpu([on(100)], worked) == [GpuShare("alice", 15, 10 * MIB)]
    assert of_gpu([], worked, holders={A: {"alice"}}) == [GpuShare("alice", 15, 0, is_holder=True)]
    found = of_gpu([on(100), on(200)], {999: Worked(60, 30 * S)})
    assert found[0] == GpuShare(UNATTRIBUTED, 15, 0)


def test_a_record_that_is_not_known() -> None:
    assert [one.sm_percent for one in of_gpu([on(100)], None)] == [None]
    busy = Gpu(0, A, utilization_percent=90)
    assert [one.sm_percent for one in of_gpu([on(100)], {}, gpu=busy)] == [None]


def test_memory_that_is_not_told() -> None:
    assert of_gpu([on(100), on(100, None)], {}) == [GpuShare("alice", 0, None)]


def test_holders_without_processes() -> None:
    assert of_gpu([], {}, holders={A: {"alice"}, "GPU-b": {"bob"}}) == [
        GpuShare("alice", 0, 0, is_holder=True)
    ]


def test_a_process_that_ended_while_we_looked() -> None:
    past = GpuPast({555: "bob"}, {})
    assert of_gpu([on(555), on(556)], {}, past=past) == [
        GpuShare(UNATTRIBUTED, 0, 5 * MIB),
        GpuShare("bob", 0, 5 * MIB),
    ]


def test_instances() -> None:
    devices = (
        MigDevice("MIG-3", 1, 0, "3g.20gb", 3),
        MigDevice("MIG-2", 2, 0, "2g.10gb", None),
        MigDevice("MIG-1", 3, 0, None, None),
        MigDevice("MIG-4", 4, 0, "1g.5gb", 1),
    )
    gpu = Gpu(0, A, mig_mode=True, mig_devices=devices)
    uses = [on(100, mig_uuid="MIG-3"), on(200, mig_uuid="MIG-1"), on(100, mig_uuid="MIG-1")]
    found = of_gpu(uses, None, gpu=gpu, holders={"MIG-2": {"bob"}, "MIG-3": {"alice"}})
    assert found == [
        GpuShare(UNATTRIBUTED, 0, 0, 1),
        GpuShare("alice", None, 10 * MIB, 3, is_holder=True),
        GpuShare("alice", None, 10 * MIB, 0.5),
        GpuShare("bob", 0, 0, 2, is_holder=True),
        GpuShare("bob", None, 10 * MIB, 0.5),
    ]


@pytest.mark.parametrize(("slices", "free"), [(4, 2), (None, 5)])
def test_slices_in_no_instance(slices: int | None, free: float) -> None:
    """They draw as idle, and are nobody's; a GPU that does not tell how many has seven."""
    device = MigDevice("MIG-2", 1, 0, "2g.12gb", 2)
    gpu = Gpu(0, A, mig_mode=True, mig_devices=(device,), mig_slices=slices)
    found = of_gpu([], None, gpu=gpu, holders={"MIG-2": {"alice"}})
    mine = GpuShare("alice", 0, 0, 2, is_holder=True)
    assert found == [GpuShare(UNATTRIBUTED, 0, 0, free), mine]
    assert holders({A: tuple(found)}) == {A: {"alice": pytest.approx(2 / (2 + free))}}


def test_what_is_kept_of_a_gpu() -> None:
    party_of = {100: "alice", 200: "bob"}
    kept = past_of(Gpu(0, A), [on(100), on(200, None)], GpuRecord(A, {}, 77), None, party_of)
    assert kept == GpuPast({100: "alice", 200: "bob"}, {"alice": 10 * MIB}, 77)
    # nothing was recorded: where the record goes on stays
    assert past_of(Gpu(0, A), [], GpuRecord(A), kept, party_of).seen_us == 77
    blind = Gpu(0, A, processes_known=False)
    assert past_of(blind, [], None, kept, party_of) == kept
