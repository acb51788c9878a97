"""Which images go, in which order, and where it stops."""

from __future__ import annotations

import pytest

from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.image_model import Holder, Image
from ds01ctl.core.image_rules import Rules, rules
from ds01ctl.core.images import Decision, World, by_image, decide, due_together, still_due
from ds01ctl.core.policy import Origin, Policy, Setting, builtin_policy
from tests.core.image_worlds import (
    DAY,
    ENGINE,
    GIB,
    HOUR,
    NOW,
    NOW_S,
    SHA,
    MemoryEngine,
    carry_out,
    container,
    disk,
    ideal,
    image,
    unused_for,
)

FREE = Rules(keep_per_repository=0)


def world(
    *seen: Image,
    holders: tuple[Holder, ...] = (),
    uses: dict[tuple[str, str], tuple[int, int]] | None = None,
    used_gib: float = 90,
    infrastructure: tuple[str, ...] = (),
) -> World:
    known = unused_for(dict.fromkeys(range(1, 20), 10)) if uses is None else uses
    return World(seen, holders, known, {ENGINE: disk(used_gib)}, {ENGINE}, infrastructure)


def removed(decision: Decision) -> list[int]:
    """The numbers of the images that the changes remove."""
    return [_number(one) for one in decision.changes if one.kind == "remove-image"]


def _number(change: Change) -> int:
    return int(change.identity["image_id"].removeprefix("sha256:"), 16)


def test_least_recently_used_first_until_the_low_mark() -> None:
    """From 86 of 100 GiB to 80: six images of 1 GiB each, by use and not by age."""
    days = {number: float((number * 7) % 20 + 2) for number in range(1, 20)}
    seen = [image(number, f"r:{number}") for number in days]
    decision = decide(world(*seen, uses=unused_for(days), used_gib=86), FREE, NOW)
    by_use = sorted(days, key=lambda number: -days[number])
    assert removed(decision) == by_use[:6]
    assert [_number(one) for one in decision.reserve] == by_use[6:]
    assert decision.notices == ()
    first = decision.changes[0]
    assert first.kind == "remove-image"
    assert first.part == "images"
    assert first.target == first.identity["image_id"]
    assert first.identity["used_above_bytes"] == str(80 * GIB)
    assert first.identity["disk_path"] == "/var/lib/docker/overlay2"
    assert first.identity["tags"] == first.name == f"r:{by_use[0]}"
    assert first.identity["touched_before"] == "2026-11-25T12:00:00Z"
    assert first.frees_bytes == GIB
    assert "is 86.0 % full (cleanup.images.high_percent 85, built-in)" in first.reason
    assert "until cleanup.images.low_percent 80, built-in" in first.reason
    assert first.evidence[0].startswith("last used 21.0 days ago, 2026-11-05T12:00:00Z")
    assert first.evidence[2] == "frees about 1 GiB (layers of its own)"


@pytest.mark.parametrize(("used_gib", "count"), [(84.9, 0), (85, 5), (80, 0), (99, 19)])
def test_marks(used_gib: float, count: int) -> None:
    """Below the high mark nothing; from it on, down to the low one."""
    seen = [image(number) for number in range(1, 20)]
    assert len(removed(decide(world(*seen, used_gib=used_gib), FREE, NOW))) == count


@pytest.mark.parametrize("state", ["created", "running", "paused", "restarting", "removing",
                                   "exited", "dead", "unknown"])  # fmt: skip
@pytest.mark.parametrize("by", ["id", "reference", "hub", "short id", "digest"])
def test_what_a_container_uses_stays(state: str, by: str) -> None:
    """In any state, whether it names the image by id or by name (containerd's store differs)."""
    one = image(1, "busybox:latest", digests=(f"busybox@{SHA(7)}",))
    text = {"id": "", "reference": "busybox", "hub": "docker.io/library/busybox:latest",
            "short id": SHA(1)[7:19], "digest": f"busybox:latest@{SHA(7)}"}[by]  # fmt: skip
    holder = container("c", SHA(1) if by == "id" else SHA(99), text, state)
    decision = decide(world(one, holders=(holder,)), FREE, NOW)
    assert decision.changes == decision.reserve == ()
    (told,) = decision.notices
    assert told.kind == "images-hold-disk"
    assert "no image may be removed" in told.text
    assert f"container c ({state}) uses it" in told.evidence[0]


@pytest.mark.parametrize(
    ("one", "rules", "why"),
    [
        (image(1, labels={"ds01.keep": ""}), FREE, "its label ds01.keep"),
        (image(1, labels={"ds01.keep": "FALSE"}), FREE, ""),
        (image(1, labels={"ds01.keep": "yes"}), FREE._replace(keep_label=""), ""),
        (image(1, labels={"ds01.protected": "true"}), FREE, "its label ds01.protected=true"),
        (image(1, labels={"ds01.monitoring": "false"}), FREE, ""),
        (image(1, "a/b:1"), FREE._replace(keep=("a/*",)), "a/b:1 is kept as a/*"),
        (image(1, "a/b:1"), FREE._replace(keep=("b:1", "a/b", "b")), ""),
        (image(1, "A/b:1"), FREE._replace(keep=("a/*",)), ""),
        (image(1, "docker.io/library/x:1"), FREE._replace(keep=("x:*",)), "is kept as x:*"),
        (image(1, digests=(f"x@{SHA(3)}",)), FREE._replace(keep=("x@*",)), "is kept as x@*"),
        (image(1, "r:1"), Rules(), "among the newest of r"),
        (image(1), Rules(), ""),
        # what a run that was killed held while it removed it
        (image(1, f"ds01-cleanup/removing:{SHA(1)[7:]}"), Rules(), ""),
        (image(2), FREE, "infrastructure is made from it"),
        (image(3, "prom:1"), FREE, "infrastructure is made from it"),
    ],
)
def test_what_is_kept(one: Image, rules: Rules, why: str) -> None:
    decision = decide(world(one, infrastructure=(SHA(2), "prom:1")), rules, NOW)
    assert (len(decision.changes), len(decision.reserve)) == ((0, 0) if why else (1, 0))
    assert why in (decision.notices[0].evidence[0] if decision.notices else "")


@pytest.mark.parametrize(
    ("id_age_h", "tag_age_h", "goes"),
    [(23.9, 400, False), (400, 23.9, False), (400, 24, True), (24, 400, True), (-5, 400, False)],
)
def test_min_age(id_age_h: float, tag_age_h: float, goes: bool) -> None:
    """The image and each of its names must have been here, and unused, for so long."""
    ages = {(ENGINE, SHA(1)): int(id_age_h * HOUR), (ENGINE, "a:1"): int(tag_age_h * HOUR)}
    first_seen = {key: (NOW_S - age, NOW_S - age) for key, age in ages.items()}
    used = {key: (NOW_S - age, NOW_S - 500 * HOUR) for key, age in ages.items()}
    for uses in (first_seen, used):
        assert bool(removed(decide(world(image(1, "a:1"), uses=uses), FREE, NOW))) is goes


@pytest.mark.parametrize(
    ("used_h", "lost_h", "limit_h", "goes"),
    [
        # what was used since the loss is known again
        (30, 31, 336, True), (30, 30, 336, True),
        (30, 29, 336, False), (335.9, 1, 336, False), (336, 1, 336, True),
        (5000, 1, None, False), (30, 31, None, True),
        # not less than for others
        (23, 1, 12, False), (25, 1, 12, True),
    ],
)  # fmt: skip
def test_where_uses_may_have_gone_unseen(
    used_h: float, lost_h: float, limit_h: float | None, goes: bool
) -> None:
    """An engine keeps few events: what is older than a loss of some has to be older still."""
    at = NOW_S - int(used_h * HOUR)
    one = world(image(1, "a:1"), uses={(ENGINE, SHA(1)): (at, NOW_S - 9000 * HOUR)})
    one = one._replace(lost_at={ENGINE: NOW_S - lost_h * HOUR, "another": NOW_S})
    decision = decide(one, FREE._replace(min_age_unseen_h=limit_h), NOW)
    assert bool(removed(decision)) is goes
    told = "".join(line for notice in decision.notices for line in notice.evidence)
    assert ("perhaps used unseen" in told) is (not goes and used_h >= 24)


def test_a_child_makes_its_parent_young_too() -> None:
    """Its files are those of the parent: a loss after the child's use is one after the parent's."""
    uses = unused_for({1: 400, 2: 3})
    parent, child = image(1, "base:1"), image(2, "child:1", parent=SHA(1))
    one = world(parent, child, uses=uses)
    assert removed(decide(one, FREE, NOW)) == [2, 1]
    assert removed(decide(one._replace(lost_at={ENGINE: NOW_S - HOUR}), FREE, NOW)) == []


def test_losses_leave_the_order_as_it_is() -> None:
    days = {number: float((number * 7) % 20 + 15) for number in range(1, 20)}
    seen = [image(number, f"r:{number}") for number in days]
    quiet = world(*seen, uses=unused_for(days), used_gib=86)
    busy = quiet._replace(lost_at={ENGINE: NOW_S})
    assert removed(decide(busy, FREE, NOW)) == removed(decide(quiet, FREE, NOW))


def test_what_was_never_seen_is_young() -> None:
    """A lost store removes nothing."""
    decision = decide(world(image(1), uses={}), FREE._replace(max_unused_d=1), NOW)
    assert decision.changes == ()
    assert "used or first seen lately: 1 image" in decision.notices[0].evidence[0]


def test_newest_of_each_repository() -> None:
    """Two tags of one image count once; images without a name have no repository."""
    seen = [image(1, "r:1"), image(2, "r:2"), image(3, "r:3", "r:three"), image(4), image(5, "s:1")]
    rules = Rules(keep_per_repository=2)
    assert sorted(removed(decide(world(*seen), rules, NOW))) == [1, 4]


def test_of_images_built_at_the_same_time_the_last_to_come_is_newest() -> None:
    """Reproducible builders date all their images 1980."""
    seen = [image(number, f"r:{number}")._replace(created_at=None) for number in (1, 2, 3)]
    uses = unused_for({1: 10, 3: 10}, seen_d=40) | unused_for({2: 10}, seen_d=20)
    assert sorted(removed(decide(world(*seen, uses=uses), Rules(), NOW))) == [1, 3]


def test_children_go_first_and_keep_their_parents() -> None:
    """A parent is as recently used as its child; under a kept child all parents stay."""
    seen = [image(1), image(2, parent=SHA(1)), image(3, "kid:1", parent=SHA(2)),
            image(4), image(5, "kept:1", parent=SHA(4))]  # fmt: skip
    uses = unused_for({1: 20, 2: 15, 3: 10, 4: 30, 5: 30})
    decision = decide(world(*seen, uses=uses), FREE._replace(keep=("kept:*",)), NOW)
    assert removed(decision) == [3, 2, 1]
    assert any("kept:1, which is kept, was built upon it" in line
               for line in decision.notices[0].evidence)  # fmt: skip


def test_an_image_that_is_its_own_ancestor_ends() -> None:
    seen = [image(1, parent=SHA(2)), image(2, parent=SHA(1)), image(3, parent=SHA(3))]
    assert sorted(removed(decide(world(*seen), FREE, NOW))) == [1, 2, 3]


@pytest.mark.parametrize(
    ("tags", "digests", "untagged", "left"),
    [
        ((), (), [], ""),
        (("a:1",), (), [], "a:1"),
        (("a:1", "a:2"), (), ["a:1"], "a:2"),
        (("b:1", "a:2", "a:1"), (), ["a:1", "a:2"], "b:1"),
        (("a:1",), ("a@" + SHA(5),), [], "a:1"),
        ((), ("a@" + SHA(5),), [], ""),
        ((), ("a@" + SHA(5), "b@" + SHA(5)), ["a@" + SHA(5)], ""),
        (("b:1",), ("a@" + SHA(5), "b@" + SHA(5)), ["a@" + SHA(5)], "b:1"),
        (("a:1", "b:1"), ("a@" + SHA(5),), ["a:1"], "b:1"),
        (("h:5000/a:1", "h:5000/a:2"), (), ["h:5000/a:1"], "h:5000/a:2"),
    ],
)
def test_a_tag_at_a_time(
    tags: tuple[str, ...], digests: tuple[str, ...], untagged: list[str], left: str
) -> None:
    """An engine removes by id only what has names of one repository, and one tag at most."""
    decision = decide(world(image(1, *tags, digests=digests), used_gib=85), FREE, NOW)
    *untags, last = decision.changes
    assert [one.target for one in untags] == untagged
    assert {one.kind for one in untags} <= {"untag-image"}
    assert [one.frees_bytes for one in untags] == [None] * len(untags)
    assert (last.kind, last.target, last.identity["tags"]) == ("remove-image", SHA(1), left)
    assert by_image(decision.changes) == [decision.changes]


def test_a_name_that_is_kept_keeps_the_other_names() -> None:
    decision = decide(world(image(1, "a:1", "keep:1")), FREE._replace(keep=("keep:*",)), NOW)
    assert decision.changes == ()


def test_long_unused_goes_whatever_the_disk_says() -> None:
    """Without the condition that the disk is full; the rest by the marks."""
    uses = unused_for({1: 40, 2: 29, 3: 31, 4: 10})
    seen = [image(number, f"r:{number}") for number in (1, 2, 3, 4)]
    rules = FREE._replace(max_unused_d=30, origins={"images.max_unused_d": "f.yaml:7 (cleanup)"})
    decision = decide(world(*seen, uses=uses, used_gib=10), rules, NOW)
    assert removed(decision) == [1, 3]
    assert decision.reserve == ()
    assert decision.changes[0].reason == (
        "not used for longer than cleanup.images.max_unused_d 30, f.yaml:7 (cleanup)"
    )
    assert still_due(decision.changes[0], None) is None
    decision = decide(world(*seen, uses=uses, used_gib=85), rules._replace(low_percent=82.5), NOW)
    assert removed(decision) == [1, 3, 2]
    assert [_number(one) for one in decision.reserve] == [4]
    assert "used_above_bytes" in decision.changes[2].identity
    unknown = world(*seen, uses=uses)._replace(disks={})
    decision = decide(unknown, rules, NOW)
    assert removed(decision) == [1, 3]
    assert [one.kind for one in decision.notices] == ["images-disk-unknown"]


def test_only_where_all_was_told() -> None:
    """An engine whose containers could not be listed loses nothing."""
    decision = decide(world(image(1))._replace(complete=frozenset()), FREE, NOW)
    assert decision == Decision()


def test_engines_are_apart() -> None:
    """A full disk of one engine is none of another; nor are its containers."""
    other = "unix:///other.sock"
    mine, theirs = image(1, "r:1"), image(1, "r:1")._replace(engine=other)
    uses = {(engine, SHA(1)): (NOW_S - 9 * DAY, NOW_S - 9 * DAY) for engine in (ENGINE, other)}
    holder = container("c", SHA(1))._replace(engine=other)
    both = World([mine, theirs], [holder], uses, {ENGINE: disk(90), other: disk(90)},
                 {ENGINE, other})  # fmt: skip
    assert [one.engine for one in decide(both, FREE, NOW).changes] == [ENGINE]
    calm = both._replace(holders=(), disks={ENGINE: disk(10), other: disk(90)})
    assert [one.engine for one in decide(calm, FREE, NOW).changes] == [other]


def test_an_estimate_is_told_as_what_it_is() -> None:
    base = image(1, size_bytes=5 * GIB, shared_bytes=None)
    child = image(2, parent=SHA(1), size_bytes=6 * GIB, shared_bytes=None)
    none = image(3, size_bytes=None, shared_bytes=None)
    decision = decide(world(base, child, none), FREE, NOW)
    told = {_number(one): (one.frees_bytes, one.evidence[2]) for one in decision.changes}
    assert told == {
        2: (GIB, "frees about 1 GiB (layers of its own)"),
        1: (5 * GIB, "frees at most 5 GiB (layers of its own)"),
        3: (None, "frees not known"),
    }


def test_what_holds_the_disk() -> None:
    """Nothing to free: each group with its size and its largest images, and what is no image."""
    seen = [image(number, f"r:{number}", size_bytes=number * GIB) for number in range(1, 7)]
    holders = tuple(container(f"c{number}", SHA(number)) for number in range(1, 6))
    uses = unused_for(dict.fromkeys(range(1, 6), 10))
    decision = decide(world(*seen, holders=holders, uses=uses), FREE, NOW)
    (told,) = decision.notices
    assert told.text == (
        f"{ENGINE}: /var/lib/docker/overlay2 is 90.0 % full: 10 GiB are to be freed for the low"
        " mark (cleanup.images.low_percent 80, built-in), no image may be removed"
    )
    assert told.evidence == (
        "used by a container: 5 images, about 15 GiB: r:5: container c5 (exited) uses it; r:4:"
        " container c4 (exited) uses it; r:3: container c3 (exited) uses it; and 2 more",
        "used or first seen lately: 1 image, about 6 GiB: r:6: used or first seen 0.0 h ago"
        " (cleanup.images.min_age_h 24, built-in)",
        "no image: about 69 GiB of the 90 GiB used there are something else (containers, volumes,"
        " build cache, logs, other files)",
    )


def test_too_little_is_told_with_what_can_go() -> None:
    decision = decide(world(image(1), image(2, labels={"ds01.keep": "1"})), FREE, NOW)
    assert removed(decision) == [1]
    assert "only about 1 GiB can be" in decision.notices[0].text


@pytest.mark.parametrize(
    ("used_gib", "why"),
    [(80.1, None), (80, "is at 80.0 %: the low mark is reached"), (10, "10.0 %"), (None, "can't")],
)
def test_measured_again(used_gib: float | None, why: str | None) -> None:
    (change,) = decide(world(image(1)), FREE, NOW).changes
    told = still_due(change, None if used_gib is None else disk(used_gib))
    assert told is None if why is None else (told and why in told)


def _going(
    above_gib: float | None = None,
    frees_gib: float | None = 1,
    names: int = 1,
    engine: str = ENGINE,
) -> tuple[Change, ...]:
    above = {} if above_gib is None else {"used_above_bytes": str(int(above_gib * GIB))}
    frees = None if frees_gib is None else int(frees_gib * GIB)
    one = Change("remove-image", "images", "sha256:1", "r:1", engine, None, "", identity=above)
    return (one._replace(frees_bytes=frees),) * names


@pytest.mark.parametrize(
    ("groups", "count"),
    [
        ([], 0),
        ([_going()], 1),
        ([_going()] * 9, 4),
        # at 90 GiB: after the second one it may be at the mark
        ([_going(88)] * 4, 2),
        ([_going(88, None)] * 3, 3),
        ([_going(99)] * 3, 1),
        # a tag at a time
        ([_going(names=2)] * 2, 1),
        ([_going(), _going(), _going(names=2)], 2),
        # long unused ones first, then what the disk needs
        ([_going(), _going(80)], 1),
        ([_going(80), _going(80, engine="unix:///other")], 1),
    ],
)
def test_which_wait_together(groups: list[tuple[Change, ...]], count: int) -> None:
    """Only those that will be due whatever the others free; four at most."""
    assert due_together(groups, disk(90), 4) == count


def test_a_disk_that_is_not_known_is_looked_at_for_each() -> None:
    assert due_together([_going(80)] * 3, None, 4) == 1
    assert due_together([_going()] * 3, None, 4) == 3


def test_rules_of_a_policy() -> None:
    """Each value with where it was written; null is no rule."""
    assert rules(builtin_policy())._replace(origins={}) == Rules()
    origin = Origin("resource-limits.yaml", 7, "cleanup.images")
    written = {"cleanup.images.max_unused_d": 90, "cleanup.images.keep": ("a/*",),
               "cleanup.images.keep_label": None, "cleanup.networks_unused_h": None,
               "monitoring.infrastructure_label": "site.protected"}  # fmt: skip
    host = {key: Setting(key, value, origin) for key, value in written.items()}
    read = rules(Policy(host=host))
    assert (read.max_unused_d, read.keep, read.keep_label) == (90, ("a/*",), "")
    assert read.networks_unused_h is None
    assert read.protected_labels == ("ds01.protected", "ds01.monitoring", "site.protected")
    assert read.told("images.max_unused_d") == (
        "cleanup.images.max_unused_d 90, resource-limits.yaml:7 (cleanup.images)"
    )


# --- seeded worlds -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(300))
def test_random_worlds(seed: int) -> None:
    """The order is the ideal daemon's; nothing kept goes; it stops within one image of the mark."""
    engine = MemoryEngine(seed)
    rng = engine.rng
    chosen = Rules(
        keep=("keep/*",), keep_per_repository=rng.choice([0, 0, 1, 2]),
        min_age_h=rng.choice([0, 12, 24, 48]), low_percent=rng.choice([50, 70, 80]),
    )  # fmt: skip
    may_go = ideal(engine, chosen)
    before = engine.disk()
    decision = decide(engine.world(), chosen, NOW)
    carry_out(engine, decision)
    after, low = engine.disk().used_bytes, before.bytes_at(chosen.low_percent)
    if before.percent < chosen.high_percent:
        assert engine.removed == []
        assert decision.changes == decision.reserve == ()
        return
    assert engine.removed == may_go[: len(engine.removed)]
    if len(engine.removed) < len(may_go):
        assert after <= low
    if engine.removed and after <= low:
        assert after + engine.freed[-1] > low
    if not may_go:
        assert [one.kind for one in decision.notices] == ["images-hold-disk"]
        assert decision.notices[0].evidence


def test_random_worlds_are_worth_it() -> None:
    """Enough of them are full, lose images, and reach the mark."""
    full = lost = reached = kept = 0
    for seed in range(300):
        engine = MemoryEngine(seed)
        before = engine.disk()
        carry_out(engine, decide(engine.world(), FREE, NOW))
        full += before.percent >= 85
        lost += bool(engine.removed)
        reached += bool(engine.removed) and engine.disk().percent <= 80
        kept += before.percent >= 85 and not engine.removed
    assert min(full, lost, reached) > 60
    assert kept > 0
