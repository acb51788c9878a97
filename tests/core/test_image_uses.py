"""When images were last used: what a one-shot job can know, beside a daemon that sees all."""

from __future__ import annotations

import random
from collections import OrderedDict
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.core.image_model import EngineEvent, Holder, Image, Network, Volume
from ds01ctl.core.image_names import reference, repository
from ds01ctl.core.image_rules import Rules
from ds01ctl.core.image_uses import Here, Names, Use, fold, kind_of, network_key, volume_key
from ds01ctl.core.images import World, decide
from tests.core.image_worlds import ENGINE, GIB, NOW, NOW_S, SHA, container, disk, image

Uses = dict[tuple[str, str], Use]
ALL = {ENGINE: frozenset({"images", "networks", "volumes"})}
OLD = Use(NOW_S - 1000, NOW_S - 2000)


def event(
    kind: str, action: str, id_: str = "", at: int = NOW_S - 100, **named: str
) -> EngineEvent:
    return EngineEvent(ENGINE, at, kind, action, id_, named)


def used(uses: Uses, key: str) -> int:
    """How long ago a key was used, in seconds."""
    return NOW_S - uses[ENGINE, key].used_at


def test_where_nobody_looked_for_long() -> None:
    """All images and volumes of that engine count as used now; networks go by containers."""
    keys = [SHA(1), "a:1", volume_key("data"), network_key("n")]
    known = {(engine, key): OLD for engine in (ENGINE, "another") for key in keys}
    uses = fold(known, Here(unseen={ENGINE}), NOW)
    assert [used(uses, key) for key in keys] == [0, 0, 0, 1000]
    assert all(uses["another", key] == OLD for key in keys)
    assert uses[ENGINE, SHA(1)].first_seen == OLD.first_seen


@pytest.mark.parametrize(
    ("text", "full", "name"),
    [
        ("busybox", "busybox:latest", "busybox"),
        ("docker.io/library/busybox", "busybox:latest", "busybox"),
        ("index.docker.io/a/b:1", "a/b:1", "a/b"),
        ("docker.io/a/b", "a/b:latest", "a/b"),
        ("host:5000/x", "host:5000/x:latest", "host:5000/x"),
        ("host:5000/x:2", "host:5000/x:2", "host:5000/x"),
        ("x@sha256:ab", "x@sha256:ab", "x"),
        ("host:5000/x:2@sha256:ab", "host:5000/x@sha256:ab", "host:5000/x"),
    ],
)
def test_references(text: str, full: str, name: str) -> None:
    assert reference(text) == full
    assert repository(full) == name
    assert reference(full) == full


def test_names() -> None:
    twins = "sha256:" + "ab" * 8 + "{:048x}"
    seen = [image(1, "a:1"), Image(ENGINE, twins.format(1)), Image(ENGINE, twins.format(2))]
    names = Names(seen)
    found = [names.find(ENGINE, text) for text in (
        "a:1", "docker.io/library/a:1", SHA(1), SHA(1)[7:], SHA(1)[7:19], SHA(1)[:30], "a:2", "",
        "ab" * 8, "ab" * 3, SHA(5), "elsewhere/a:1")]  # fmt: skip
    assert found == [SHA(1)] * 6 + [None] * 6
    assert names.find("unix:///other", "a:1") is None


def test_first_seen_counts_as_used() -> None:
    uses = fold({}, Here([image(1, "a:1", digests=("a@sha256:ab",))], listed=ALL), NOW)
    now = Use(NOW_S, NOW_S)
    assert uses == {(ENGINE, key): now for key in (SHA(1), "a:1", "a@sha256:ab")}


def test_what_a_container_has_is_used_now() -> None:
    """By id, and by name where the id is of no image here."""
    images = [image(1, "a:latest"), image(2, "b:1"), image(3, "c:1")]
    known = {(ENGINE, key): OLD for key in (SHA(1), "a:latest", SHA(2), "b:1", SHA(3), "c:1")}
    holders = [
        container("x", SHA(99), "docker.io/library/a"),
        container("y", SHA(2), "sha256:dead"),
    ]
    uses = fold(known, Here(images, holders, listed=ALL), NOW)
    assert [used(uses, key) for key in (SHA(1), "a:latest", SHA(2), "b:1", SHA(3))] == [
        0, 0, 0, 1000, 1000,
    ]  # fmt: skip
    assert {use.first_seen for use in uses.values()} == {OLD.first_seen}
    assert (ENGINE, SHA(99)) not in uses


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (event("container", "create", "c", image="a"), 100),
        (event("container", "start", "c", image=SHA(1)), 100),
        (event("container", "destroy", "c", image=SHA(1)[7:19]), 100),
        (event("container", "destroy", "c", image="b:1"), 1000),
        (event("container", "destroy", "c"), 1000),
        (event("image", "pull", "a:latest", name="a"), 100),
        (event("image", "pull", "a:2", name="a"), 1000),
        (event("image", "tag", SHA(1), name="z:1"), 100),
        # held while it was tried to remove it
        (event("image", "tag", SHA(1), name=f"ds01-cleanup/removing:{SHA(1)[7:]}"), 1000),
        (event("image", "import", SHA(1), name=SHA(1)), 100),
        (event("image", "load", SHA(1), name=SHA(1)), 100),
        (event("image", "push", "a:latest", name="a"), 100),
        (event("image", "untag", SHA(1), name=SHA(1)), 1000),
        (event("image", "delete", SHA(1), name=SHA(1)), 1000),
        (event("network", "connect", SHA(1)), 1000),
        (event("image", "pull", "a:latest", at=NOW_S - 5000), 1000),
    ],
)
def test_events(happened: EngineEvent, expected: int) -> None:
    """A use moves the time on, and never back."""
    known = {(ENGINE, SHA(1)): OLD, (ENGINE, "a:latest"): OLD}
    uses = fold(known, Here([image(1, "a:latest")], events=[happened], listed=ALL), NOW)
    assert used(uses, SHA(1)) == expected


def test_a_name_that_moved_on() -> None:
    """The new image was used, the old one was used as long as it had the name."""
    known = {(ENGINE, SHA(1)): OLD, (ENGINE, "a:1"): OLD}
    early = fold(
        known, Here(events=[event("container", "create", image="a:1", at=NOW_S - 500)]), NOW
    )
    assert (used(early, "a:1"), used(early, SHA(1))) == (500, 1000)
    uses = fold(early, Here([image(1), image(2, "a:1")], listed=ALL), NOW)
    assert (used(uses, SHA(1)), used(uses, SHA(2)), used(uses, "a:1")) == (1000, 0, 500)


def test_only_of_what_was_all_told_is_anything_forgotten() -> None:
    keys = (SHA(1), "a:1", network_key("n"), volume_key("v"))
    known = {(ENGINE, key): OLD for key in keys}
    assert set(fold(known, Here(), NOW)) == set(known)
    assert set(fold(known, Here(listed={ENGINE: {"networks"}}), NOW)) == {
        (ENGINE, key) for key in keys if kind_of(key) != "networks"
    }
    assert fold(known, Here(listed=ALL), NOW) == {}
    assert set(fold(known, Here(listed={"unix:///other": ALL[ENGINE]}), NOW)) == set(known)


def test_networks_and_volumes() -> None:
    """Known by the id of the network, which one that never started does not have."""
    networks = [Network(ENGINE, one, one, "bridge", "local", None) for one in ("n1", "n2")]
    volumes = [Volume(ENGINE, one, "local", None) for one in ("v1", "v2", "v3")]
    known = {(ENGINE, key): OLD for key in (
        *map(network_key, ("n1", "n2")), *map(volume_key, ("v1", "v2", "v3")))}  # fmt: skip
    holder = Holder(ENGINE, "c", "c", "exited", "", "", networks=("n1", "none"), volumes=("v1",))
    events = [event("volume", "mount", "v2"), event("volume", "create", "v3"),
              event("network", "disconnect", "n2", at=NOW_S - 7)]  # fmt: skip
    here = Here((), [holder], events, networks, volumes, ALL)
    uses = fold(known, here, NOW)
    found = {key: used(uses, key) for _, key in uses}
    assert found == {"network=n1": 0, "network=n2": 7, "volume=v1": 0, "volume=v2": 100,
                     "volume=v3": 1000}  # fmt: skip


@pytest.mark.parametrize("step", [-400 * 86400, -3600, 3600])
def test_a_stepped_clock_makes_no_use_earlier(step: int) -> None:
    """Whatever the clock said for a while, afterwards the order is as it was."""
    images = [image(number) for number in (1, 2, 3)]
    known = {(ENGINE, SHA(number)): Use(NOW_S - number, NOW_S - 9000) for number in (1, 2, 3)}
    holders = [container("c", SHA(3))]
    wrong = fold(known, Here(images, holders, listed=ALL), NOW + timedelta(seconds=step))
    after = fold(wrong, Here(images, listed=ALL), NOW)
    assert used(after, SHA(1)) == 1
    assert used(after, SHA(2)) == 2
    assert after[ENGINE, SHA(3)].used_at == max(NOW_S - 3, NOW_S + step)


def test_pairs_as_they_are_stored() -> None:
    uses = fold({(ENGINE, SHA(1)): (5, 3)}, Here([image(1)], listed=ALL), NOW)
    assert uses == {(ENGINE, SHA(1)): (5, 3)}


# --- beside a daemon -----------------------------------------------------------------------------

START = datetime(2026, 1, 5, tzinfo=timezone.utc)
ROOM = 40
"""Images of 1 GiB that fit; from 85 % on some go, until there are 80 %."""
KEPT_EVENTS = 256


class Cache:
    """Images on a disk; one that is wanted and not there is pulled."""

    def __init__(self) -> None:
        self.here: OrderedDict[int, datetime] = OrderedDict()
        """By number: when it was pulled, which is as good as when it was built."""
        self.hits: list[bool] = []

    def use(self, number: int, at: datetime) -> bool:
        self.hits.append(number in self.here)
        self.here.setdefault(number, at)
        return self.hits[-1]


def wanted(seed: int) -> list[tuple[datetime, int, float]]:
    """1,000 uses over two weeks: when, which image, and for how many minutes.

    Few images are wanted often, many seldom, and tastes change.
    """
    rng = random.Random(seed)
    at, found = START, []
    for step in range(1000):
        at += timedelta(minutes=rng.expovariate(1 / 20))
        number = int(rng.paretovariate(0.6)) % 120 + step // 250 * 15
        found.append((at, number, rng.choice([0.5, 3, 30, 300])))
    return found


def daemon(uses: list[tuple[datetime, int, float]]) -> list[bool]:
    """See every event, and remove at once what was used the longest ago."""
    cache, order = Cache(), OrderedDict[int, None]()
    running: list[tuple[datetime, int]] = []
    for at, number, minutes in uses:
        for ended in sorted(one for one in running if one[0] <= at):
            order.move_to_end(ended[1])
        running = [one for one in running if one[0] > at]
        cache.use(number, at)
        running.append((at + timedelta(minutes=minutes), number))
        order[number] = None
        order.move_to_end(number)
        if len(cache.here) >= ROOM * 0.85:
            free = [one for one in order if one not in {held for _, held in running}]
            for one in free[: len(cache.here) - int(ROOM * 0.80)]:
                del cache.here[one], order[one]
    return cache.hits


def job(uses: list[tuple[datetime, int, float]], *, noise: int = 0) -> list[bool]:
    """Run every ten minutes, with the containers of that moment and what events are left."""
    cache = Cache()
    known: Uses = {}
    events: list[EngineEvent] = []
    running: list[tuple[datetime, int]] = []
    looks = START + timedelta(minutes=10)
    for at, number, minutes in uses:
        while looks < at:
            known = _look(cache, known, events, running, looks)
            events.clear()
            looks += timedelta(minutes=10)
        if not cache.use(number, at):
            events.append(_event(at, "image", "pull", f"r{number}:1"))
        events.append(_event(at, "container", "create", image=f"r{number}:1"))
        # health checks, execs: an engine forgets what was before them
        events += [_event(at, "container", "exec_start", image="r0:1")] * noise
        running.append((at + timedelta(minutes=minutes), number))
    return cache.hits


def _event(at: datetime, kind: str, action: str, id_: str = "", **named: str) -> EngineEvent:
    return EngineEvent(ENGINE, int(at.timestamp()), kind, action, id_, named)


def _look(
    cache: Cache,
    known: Uses,
    events: list[EngineEvent],
    running: list[tuple[datetime, int]],
    now: datetime,
) -> Uses:
    gone = [one for one in running if one[0] <= now]
    events += [_event(ended, "container", "destroy", image=f"r{one}:1") for ended, one in gone]
    running[:] = [one for one in running if one[0] > now]
    images = [image(one, f"r{one}:1") for one in cache.here]
    holders = [container(f"c{index}", SHA(one)) for index, (_, one) in enumerate(running)]
    events.sort(key=lambda one: one.at)
    uses = fold(known, Here(images, holders, events[-KEPT_EVENTS:], listed=ALL), now)
    disks = {ENGINE: disk(len(images), ROOM)}
    rules = Rules(min_age_h=0, keep_per_repository=0)
    for change in decide(World(images, holders, uses, disks, {ENGINE}), rules, now).changes:
        assert change.frees_bytes == GIB
        del cache.here[int(change.target.removeprefix("sha256:"), 16)]
    return uses


def by_build_time(uses: list[tuple[datetime, int, float]]) -> list[bool]:
    """Remove the oldest first, as prune does."""
    cache = Cache()
    for at, number, _ in uses:
        cache.use(number, at)
        if len(cache.here) >= ROOM * 0.85:
            oldest = sorted(cache.here, key=lambda one: cache.here[one])
            for one in oldest[: len(cache.here) - int(ROOM * 0.80)]:
                del cache.here[one]
    return cache.hits


@pytest.mark.parametrize(("seed", "noise"), [(0, 0), (1, 0), (2, 0), (1, 50)])
def test_a_job_every_ten_minutes_is_nearly_a_daemon(seed: int, noise: int) -> None:
    """At least 95 % of the uses are hits or misses as with the daemon, and of its hits are hits."""
    uses = wanted(seed)
    ideal, ours = daemon(uses), job(uses, noise=noise)
    same = sum(a == b for a, b in zip(ideal, ours, strict=True)) / len(uses)
    kept = sum(a and b for a, b in zip(ideal, ours, strict=True)) / sum(ideal)
    assert min(same, kept) >= 0.95
    assert sum(by_build_time(uses)) < sum(ours)
