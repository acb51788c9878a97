"""Who has left, and what of theirs is touched: a table of worlds, and what must never be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import pytest

from ds01ctl.core import departed
from ds01ctl.core.cleanup_model import Clock, Interval, Keep, Watch
from ds01ctl.core.departed import Absence, Decision, Home, Quota, World, decide
from ds01ctl.core.model import Container, Grant
from ds01ctl.core.owner import FILES, KERNEL, WORD, Confidence, Owner
from ds01ctl.core.policy import Origin, Setting
from ds01ctl.core.workload import Verdict, Workload
from tests.core.worlds import A, B, C, container, replace

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
DAY = 86400.0
ALICE, BOB, GONE = 1001, 1002, 1005
HOME = Home("/home/carol", "carol", GONE)


def clock(days: float = 0, boot: str = "b", wall: float | None = None) -> Clock:
    return Clock(NOON + timedelta(days=days if wall is None else wall), boot, 1e6 + days * DAY)


def absent(days: float, ago: float = 0) -> Absence:
    """Known to be gone for so many days, asked last so many days ago."""
    return Absence(NOON - timedelta(days=days + ago), clock(-ago), days * DAY)


KNOWN = {key: absent(8, 1) for key in (f"uid {GONE}", "login carol", "listed carol")}
LISTED_LONG = {"listed carol": absent(8, 1)}
Verdicts = Literal["active", "idle", "unknown", "baseline"]


def world(*workloads: Workload, **more: Any) -> World:
    """A host that uid 1005, once carol, has left for long; alice and bob are there."""
    watches = {}
    for one in workloads:
        if one.container and one.container.state == "running":
            watches |= idle(one.container)
    base = World(
        clock(), "", frozenset({GONE, "carol"}), {ALICE: "alice", BOB: "bob"},
        {"alice": ALICE, "bob": BOB}, known=KNOWN, workloads=workloads, homes=(HOME,),
        holds={id_: hold(1) for id_ in (A, B, C)}, watches=watches,
    )  # fmt: skip
    return base._replace(**more)


def hold(hours: float | None, rule: str = "defaults") -> Setting:
    origin = Origin("resource-limits.yaml", 12, rule)
    return Setting("container_hold_after_stop_h", hours, origin)


def owned(
    one: Container,
    uid: int | None = GONE,
    login: str | None = None,
    confidence: Confidence = "likely",
    verdict: Verdict = "managed",
) -> Workload:
    weight = {"certain": KERNEL, "likely": FILES, "guess": WORD}[confidence]
    owner = Owner(login or str(uid), uid, confidence, "bind mount", ("for a test",), weight)
    return Workload("managed", verdict, "for a test", owner, None, one)


def theirs(id_: str = A, **more: Any) -> Container:
    return container(id_, {"ds01.user": "carol", **more.pop("labels", {})}, **more)


def exited(id_: str = A, **more: Any) -> Container:
    return theirs(id_, state="exited", finished_at=NOON - timedelta(days=2), **more)


def watch(one: Container, hours: float) -> dict[str, Watch]:
    seen = Watch(one.id, one.engine, one.name, "exited", one.started_at, one.finished_at, clock())
    return {one.id: seen._replace(stopped_s=hours * 3600)}


def promised(one: Container, hours: float, hold: float, since: float = 0) -> dict[str, Watch]:
    """Stopped for so long, of which its hold is only what is since then."""
    [seen] = watch(one, hours).values()
    return {one.id: seen._replace(promised_s=hold * 3600, hold_from_s=since * 3600)}


def labelled(one: Container) -> Workload:
    """Only its label says whose it is."""
    seen = owned(one)
    return replace(seen, owner=seen.owner._replace(weight=WORD))


def idle(one: Container, verdict: Verdicts = "idle") -> dict[str, Watch]:
    """It was seen at work, or at nothing."""
    seen = Watch(one.id, one.engine, one.name, "running", one.started_at, None, clock())
    last = Interval(NOON, 300.0, verdict, ("cpu 0 % < 2 %",))
    return {one.id: seen._replace(intervals=(last,))}


def done(decision: Decision) -> list[str]:
    """What would be done: ``stop aaaa``."""
    return [
        f"{one.kind.partition('-')[0]} {one.name}"
        for one in decision.plan.changes
        if one.skip is None
    ]


# --- who has left -----------------------------------------------------------------------------

NOBODY: dict[str, dict[str, Any]] = {
    "the first time": {"known": {}},
    "asked twice, with days between": {"known": {f"uid {GONE}": absent(0, 9)}},
    "asked for long, and then not": {"known": {f"uid {GONE}": absent(30, 2)}},
    "not for long": {"known": {f"uid {GONE}": absent(5, 1)}},
    "the name service is down": {"unknown": "the name service gave no answer"},
    "no certain answer now": {"gone": frozenset()},
    "has an account": {"users": {GONE: "carol"}, "uids": {"carol": GONE}, "gone": frozenset()},
    "the uid is somebody's again": {"users": {GONE: "dave"}, "uids": {"dave": GONE},
                                    "gone": frozenset({"carol"})},
    "said both": {"users": {GONE: "dave"}, "uids": {"dave": GONE}},
    "a clock an hour ahead": {"known": {f"uid {GONE}": absent(0)}, "clock": clock(0.01, wall=9)},
    "a clock that went back": {"known": {f"uid {GONE}": absent(6.9, -3)}},
    "rebooted just now": {"known": {f"uid {GONE}": absent(6)},
                          "clock": Clock(NOON + timedelta(days=30), "c", 60.0)},
    "a user of the system": {"gone": frozenset({33}), "known": {"uid 33": absent(30)},
                             "homes": (Home("/home/www", "www", 33),)},
    "nothing is left of them": {"homes": (), "grants": ()},
}  # fmt: skip


@pytest.mark.parametrize("more", NOBODY.values(), ids=NOBODY.keys())
def test_nobody_has_left(more: dict[str, Any]) -> None:
    """Nothing is decided about who may be there, and nothing done where it is not known."""
    workloads = [] if more.get("homes") == () else [owned(theirs())]
    made = decide(world(*workloads, **more))
    assert (made.plan.changes, made.people) == ((), ())


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "carol"),
        ({"known": {f"uid {GONE}": absent(7)}}, "carol"),
        ({"known": {f"uid {GONE}": absent(6.1, 1)}}, "carol"),
        ({"known": {f"uid {GONE}": absent(6.5)}, "clock": Clock(clock(1).now, "c", 0.6 * DAY)},
         "carol"),
        # the home's name is somebody else's, or there are two: only the number is sure
        ({"homes": (Home("/home/alice", "alice", GONE),)}, f"#{GONE}"),
        ({"homes": (HOME, Home("/home/c2", "c2", GONE))}, f"#{GONE}"),
    ],
)  # fmt: skip
def test_has_left(more: dict[str, Any], name: str) -> None:
    """Certain answers from day to day for a week, by both clocks."""
    [one] = decide(world(owned(theirs()), **more)).people
    assert (one.name, one.uid) == (name, GONE)
    assert one.why.startswith("no account at any look since 2026-11-")


def test_nothing_is_known() -> None:
    """It is said, and what earlier runs have learned stays."""
    made = decide(world(owned(theirs()), unknown="directory: no answer in 3 s"))
    [notice] = made.plan.notices
    assert notice.text == "who has left is not known: directory: no answer in 3 s"
    assert made.memory == KNOWN


def test_memory_from_run_to_run() -> None:
    """A week of daily answers makes it, and days of silence none; an account ends it."""
    memory: Any = {}
    left = []
    for day in range(14):
        now = world(owned(theirs()), clock=clock(day), known=memory)
        if day == 3:
            now = now._replace(gone=frozenset())
        if day == 4:
            now = now._replace(unknown="down")
        made = decide(now)
        memory = made.memory
        left.append(len(made.people))
    assert left == [0] * 12 + [1, 1]
    back = world(clock=clock(14), known=memory, users={GONE: "carol"}, uids={"carol": GONE})
    assert decide(back).memory == {}


def test_old_memory_is_dropped() -> None:
    assert departed.remembered(world(known={"uid 9999": absent(9, 100)})).keys() == {
        f"uid {GONE}", "login carol",
    }  # fmt: skip


LISTED = {"carol": "groups/archived.members:3"}


def test_listed_with_an_account() -> None:
    """Who has been listed for so long has left, by the uid that they still have."""
    made = decide(
        world(
            owned(theirs(), login="carol"), archived=LISTED, known=LISTED_LONG, gone=frozenset(),
            users={GONE: "carol"}, uids={"carol": GONE},
        )
    )  # fmt: skip
    [one] = made.people
    assert (one.login, one.uid, one.why) == ("carol", GONE, "listed in groups/archived.members:3")
    assert done(made) == ["stop c-aaaa"]


def test_listed_just_now() -> None:
    """It is said, and nothing done until the list has named them for as long as others."""
    memory: Any = {}
    done_by_day = []
    for day in range(9):
        now = world(
            owned(theirs(), login="carol"), archived=LISTED, known=memory, gone=frozenset(),
            users={GONE: "carol"}, uids={"carol": GONE}, clock=clock(day),
        )  # fmt: skip
        made = decide(now)
        memory = made.memory
        done_by_day.append(done(made))
        if day == 0:
            [notice] = made.plan.notices
            assert "nothing of theirs is touched for 7 d yet" in notice.text
    assert done_by_day == [[]] * 7 + [["stop c-aaaa"]] * 2
    assert decide(now._replace(archived={})).memory == {}


def test_listed_and_uid_reused() -> None:
    """The new login's container is theirs, whatever its home was called before."""
    made = decide(
        world(
            owned(theirs(), login="dave"), archived=LISTED, gone=frozenset({"carol"}),
            users={GONE: "dave"}, uids={"dave": GONE},
        )
    )  # fmt: skip
    assert (made.plan.changes, made.people) == ((), ())


def test_listed_and_gone_is_one_person() -> None:
    made = decide(world(owned(theirs()), archived=LISTED))
    assert [(one.login, one.uid) for one in made.people] == [("carol", GONE)]


@pytest.mark.parametrize("login", ["root", "daemon"])
def test_the_system_cannot_be_listed(login: str) -> None:
    uids = {"root": 0, "daemon": 1}
    made = decide(
        world(owned(theirs(), uids[login]), archived={login: "x:1"}, uids=uids, gone=frozenset())
    )
    assert made.people == ()


# --- containers -------------------------------------------------------------------------------

FATES: dict[str, tuple[Workload, dict[str, Any], list[str], str]] = {
    "runs": (owned(theirs()), {}, ["stop c-aaaa"], "to be stopped"),
    "runs, named by the platform of old": (
        owned(container(A, name=f"x._.{GONE}")), {}, [f"stop x._.{GONE}"], "to be stopped"),
    "the kernel says so": (owned(container(A), confidence="certain"), {}, ["stop c-aaaa"],
                           "to be stopped"),
    "only a folder of theirs is mounted": (owned(container(A)), {}, [], "not sure"),
    "a label alone": (owned(theirs(), None, "carol", "guess"), {}, [], "not sure"),
    "a copied label": (labelled(theirs()), {}, [], "not sure"),
    "at work": (owned(theirs()), {"watches": idle(theirs(), "active")}, [], "is at work"),
    "perhaps at work": (owned(theirs()), {"watches": idle(theirs(), "unknown")}, [],
                        "is not known"),
    "sampled once": (owned(theirs()), {"watches": idle(theirs(), "baseline")}, [], "is not known"),
    "never sampled": (owned(theirs()), {"watches": {}}, [], "is not known yet"),
    "started again since": (
        owned(theirs()), {"watches": idle(replace(theirs(), started_at=NOON))}, [],
        "is not known yet"),
    "stopped, and promised longer": (
        owned(exited()), {"watches": promised(exited(), 1.1, 3)}, [], "removed in 1.9 h"),
    "stopped, but the hold did not count": (
        owned(exited()), {"watches": promised(exited(), 1.1, 0, since=1)}, [], "removed in 0.9 h"),
    "a label against a folder": (owned(theirs(), confidence="guess"), {}, [], "not sure"),
    "another's label": (owned(container(A, {"ds01.user": "bob"})), {}, [], "not sure"),
    "stopped, hold over": (owned(exited()), {"watches": watch(exited(), 1.1)},
                           ["remove c-aaaa"], "to be removed"),
    "stopped, held": (owned(exited()), {"watches": watch(exited(), 0.5)}, [], "removed in 0.5 h"),
    "stopped, not watched": (owned(exited()), {}, [], "removed in 1.0 h"),
    "stopped again since": (
        owned(exited()), {"watches": watch(replace(exited(), finished_at=NOON), 99)}, [],
        "removed in 1.0 h"),
    "stopped, null hold": (owned(exited()), {"holds": {A: hold(None)},
                                             "watches": watch(exited(), 99)}, [], "never removed"),
    "stopped, no hold": (owned(exited()), {"holds": {}, "watches": watch(exited(), 99)}, [],
                         "never removed"),
    "paused": (owned(theirs(state="paused")), {}, [], "is paused"),
    "restarting": (owned(theirs(state="restarting")), {}, [], "is restarting"),
    "created": (owned(theirs(state="created")), {}, [], "is created"),
    "dead": (owned(theirs(state="dead")), {}, [], "is dead"),
    "removing": (owned(theirs(state="removing")), {}, [], "is removing"),
    "kept": (owned(theirs()), {"keeps": {A: Keep(A, None, "labadmin")}}, [], "kept by labadmin"),
    "protected": (owned(theirs()), {"spared": {A: "label ds01.protected"}}, [],
                  "label ds01.protected"),
    "an engine is silent": (owned(theirs()), {"docker_unknown": True}, [], "engines"),
    "report mode": (owned(theirs()), {"skip": "report mode"}, [], "to be stopped"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "more", "acts", "said"), FATES.values(), ids=FATES.keys())
def test_containers(one: Workload, more: dict[str, Any], acts: list[str], said: str) -> None:
    """What is done to a container of somebody who has left, and why it is not."""
    made = decide(world(one, **more))
    assert done(made) == acts
    [notice] = made.plan.notices
    [line] = [line for line in notice.evidence if line.startswith("container c") or "._." in line]
    assert said in line


def test_identity_and_reason() -> None:
    """A change names the very run or stop, and says who has left and where that is known from."""
    one, other = theirs(A), exited(B)
    watches = watch(other, 2) | idle(one)
    made = decide(world(owned(one), owned(other), watches=watches, graces={A: 30},
                        sizes={B: 1 << 30}, archived=LISTED))  # fmt: skip
    stop, remove = made.plan.changes
    assert stop.identity == {"state": "running", "started_at": "2026-11-23T11:00:00Z"}
    assert (stop.target, stop.grace_s, stop.part, stop.user) == (A, 30, "users", "carol")
    assert stop.reason == "carol has left (listed in groups/archived.members:3)"
    assert remove.identity == {"state": "exited", "finished_at": "2026-11-21T12:00:00Z"}
    assert remove.frees_bytes == 1 << 30
    assert "container_hold_after_stop_h 1 (resource-limits.yaml:12 (defaults))" in remove.reason


def test_others_are_not_touched() -> None:
    """Somebody else's containers are no part of it, not even with a label that names who left."""
    made = decide(world(owned(theirs(A), ALICE, "alice"), owned(container(B), BOB, "bob")))
    [one] = made.people
    assert (one.containers, made.plan.changes) == ((), ())


# --- the rest ---------------------------------------------------------------------------------


def test_all_traces() -> None:
    """Everything of one person is in one list, and homes are only told."""
    made = decide(
        world(
            owned(theirs(A, image="mine:1")),
            owned(theirs(B, image="shared:1")),
            owned(container(C, image="shared:1"), BOB, "bob"),
            slices=(("user-1005.slice", "u1005"), ("ds01-student-carol.slice", "carol"),
                    ("ds01-student-bob.slice", "bob")),
            quotas=(Quota("/home", GONE, 3 << 30, "soft 10 GiB"), Quota("/home", BOB, 1, "")),
            grants=(Grant("carol", None, "/g/carol.json"), Grant("bob", None, "/g/bob.json")),
            grant_marks={"/g/carol.json": {"inode": "1"}, "/g/bob.json": {"inode": "2"}},
            keeps={A: Keep(A, None, "labadmin")},
        )
    )  # fmt: skip
    [one] = made.people
    assert [w.container.id for w in one.containers if w.container] == [A, B]
    assert one.images == ("mine:1",)
    assert one.slices == ("ds01-student-carol.slice", "user-1005.slice")
    assert [quota.uid for quota in one.quotas] == [GONE]
    assert [grant.user for grant in one.grants] == ["carol"]
    assert one.homes == (HOME,)
    assert done(made) == ["stop c-bbbb", "revoke /g/carol.json"]
    [notice] = made.plan.notices
    assert notice.text == (
        "carol (uid 1005) has left: no account at any look since 2026-11-14, for 9 days;"
        " left: 2 containers, 1 image, 2 slices, 1 quota, 1 grant, 1 keep, 1 home"
    )
    told = "\n".join(notice.evidence)
    assert "home /home/carol, uid 1005: never touched" in told
    assert "quota on /home: 3 GiB used, soft 10 GiB; ds01ctl quota report; setquota -u 1005" in told
    assert "slice user-1005.slice has limits of ours: ds01ctl enforce apply --only prune" in told


def test_a_grant_alone() -> None:
    """Who had no home here, only leave to use the host, is known by that name alone."""
    made = decide(world(homes=(), gone=frozenset({"carol"}),
                        grants=(Grant("carol", None, "/g/carol"),),
                        grant_marks={"/g/carol": {"inode": "1"}}))  # fmt: skip
    assert [(one.login, one.uid) for one in made.people] == [("carol", None)]
    assert done(made) == ["revoke /g/carol"]


def test_a_slice_of_two_names() -> None:
    """c.arol and c_arol have one form: the slice is the living one's."""
    made = decide(
        world(
            slices=(("ds01-student-c_arol.slice", "c_arol"),), uids={"c-arol": ALICE},
            archived={"c.arol": "x:1"}, homes=(), gone=frozenset(),
        )
    )  # fmt: skip
    assert made.people == ()


@pytest.mark.parametrize(("chosen", "count"), [({"carol"}, 1), ({"1005"}, 1), ({"bob"}, 0)])
def test_only_some(chosen: set[str], count: int) -> None:
    assert len(decide(world(owned(theirs()), chosen=frozenset(chosen))).people) == count
