"""Images, tags, networks and volumes are removed only if nothing uses them then."""

from __future__ import annotations

import gc
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.act import images
from ds01ctl.act.images import HELD, Done, Removal
from ds01ctl.errors import Ds01Error
from tests import engine as docker_engine
from tests.act.act_worlds import count, create, image_id, kill_daemon, tiny_image
from tests.observe.stub_engine import StubEngine
from tests.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine import Engine

pytestmark = pytest.mark.engine
SETTLE_S = 0.3


@pytest.fixture
def engine(engine: Engine) -> Iterator[Engine]:
    """The engine of the session; images that a test leaves are removed."""
    yield engine
    _clear(engine)


@pytest.fixture
def each_engine(each_engine: Engine) -> Iterator[Engine]:
    """So on both."""
    yield each_engine
    _clear(each_engine)


def _clear(engine: Engine) -> None:
    engine.remove_all()
    for listed in engine.client.images():
        if docker_engine.IMAGE not in (listed["RepoTags"] or ()):
            engine.client.remove_image(listed["Id"], force=True)


def remove(engine: Engine, id_: str, *tags: str, **options: Any) -> Done:
    return images.remove_image(
        engine.host, id_, **{"expected_tags": tags, "settle_s": SETTLE_S} | options
    )


def tags_of(engine: Engine, id_: str) -> list[str]:
    return sorted(engine.client.inspect_image(id_)["RepoTags"])


# --- images -----------------------------------------------------------------------------------


def test_an_image_that_nothing_uses_goes_with_its_only_tag(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/unused:1")
    assert remove(engine, id_, "x/unused:1") == Done("done")
    assert image_id(engine, id_) is None
    assert image_id(engine, "x/unused:1") is None
    assert remove(engine, id_, "x/unused:1") == Done("already", "it is gone")


def test_an_image_without_a_tag_goes(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/old:1")
    tiny_image(engine, "x/new:1")
    engine.client.tag("x/new:1", "x/old", tag="1")
    assert tags_of(engine, id_) == []
    assert remove(engine, id_) == Done("done")
    assert image_id(engine, id_) is None


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_an_image_that_a_container_in_any_state_uses_stays(engine: Engine, state: str) -> None:
    id_ = engine.client.inspect_image(docker_engine.IMAGE)["Id"]
    container_id = create(engine)
    if state != "created":
        engine.client.start(container_id)
    if state == "exited":
        engine.client.stop(container_id, timeout=5)
    done = remove(engine, id_, docker_engine.IMAGE)
    assert done == Done("refused", f"container {container_id[:12]} uses it")
    assert tags_of(engine, id_) == [docker_engine.IMAGE]


def test_an_image_whose_tags_are_others_by_now_stays(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/mine:1")
    engine.client.tag(id_, "x/more", tag="2")
    for expected in (("x/mine:1",), ("x/more:2",), ()):
        assert remove(engine, id_, *expected).outcome == "refused"
    both = ("x/mine:1", "x/more:2")
    assert "one at a time" in remove(engine, id_, *both).why
    assert tags_of(engine, id_) == sorted(both)


def test_a_young_image_stays(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/young:1")
    now = datetime.now(timezone.utc)
    done = remove(engine, id_, "x/young:1", touched_before=now - timedelta(hours=24))
    assert done.outcome == "refused"
    assert "built or tagged at" in done.why
    old = tiny_image(engine, "x/old:1")
    engine.client.tag(old, "x/other", tag="1")
    engine.client.remove_image("x/old:1")
    # built before, but given a tag since
    built = engine.client.inspect_image(old)["Created"]
    assert remove(engine, old, "x/other:1", touched_before=built).outcome == "refused"
    assert remove(engine, id_, "x/young:1", touched_before=now + timedelta(1)).outcome == "done"


@pytest.mark.parametrize("way", ["load", "create", "another"])
def test_one_that_was_used_since_it_was_looked_at_stays(engine: Engine, way: str) -> None:
    """A pull or a load of what is there changes nothing that an inspect tells."""
    id_ = tiny_image(engine, "x/again:1")
    packed = b"".join(engine.client.get_image("x/again:1"))
    seen_at = datetime.now(timezone.utc)
    before = engine.client.inspect_image(id_)["Metadata"]
    if way == "create":
        # and is gone, as after docker run --rm
        engine.remove(create(engine, id_[7:19]))
    elif way == "load":
        engine.client.load_image(packed)
    else:
        tiny_image(engine, "x/another:1")
    assert engine.client.inspect_image(id_)["Metadata"] == before
    done = remove(engine, id_, "x/again:1", seen_at=seen_at)
    if way == "another":
        assert done == Done("done")
    else:
        assert done == Done("refused", f"it was used since it was looked at: {way}")
        assert tags_of(engine, id_) == ["x/again:1"]
    engine.client.load_image(packed)
    engine.client.tag(id_, "x/more", tag="1")
    taken = images.untag(engine.host, "x/more:1", expected_id=id_, seen_at=seen_at)
    assert taken.outcome == "refused"
    assert remove_both(engine, id_, seen_at=datetime.now(timezone.utc)) == ["done", "done"]


def remove_both(engine: Engine, id_: str, seen_at: datetime) -> list[str]:
    """Take the one tag, then the image with the other."""
    taken = images.untag(engine.host, "x/more:1", expected_id=id_, seen_at=seen_at)
    return [taken.outcome, remove(engine, id_, "x/again:1", seen_at=seen_at).outcome]


def test_a_parent_stays_as_long_as_it_has_children(engine: Engine) -> None:
    parent = tiny_image(engine, "x/parent:1")
    container_id = create(engine, "x/parent:1")
    child = str(engine.client.commit(container_id, "x/child", "1")["Id"])
    engine.remove(container_id)
    done = remove(engine, parent, "x/parent:1")
    assert done.outcome == "refused"
    assert "dependent child" in done.why
    # and is what it was
    assert tags_of(engine, parent) == ["x/parent:1"]
    removals = [Removal(child, ("x/child:1",)), Removal(parent, ("x/parent:1",))]
    told: list[str] = []
    for one, became in images.remove_images(
        engine.host,
        removals,
        begin=lambda one: told.append(f"begin {one.tags[0]}"),
        settle_s=SETTLE_S,
    ):
        told.append(f"end {one.tags[0]}")
        assert became == Done("done")
    assert told == ["begin x/child:1", "begin x/parent:1", "end x/child:1", "end x/parent:1"]


def test_an_untagged_parent_is_a_decision_of_its_own(engine: Engine) -> None:
    parent = tiny_image(engine, "x/parent:1")
    container_id = create(engine, "x/parent:1")
    child = str(engine.client.commit(container_id, "x/child", "1")["Id"])
    engine.remove(container_id)
    engine.client.remove_image("x/parent:1")
    assert tags_of(engine, parent) == []
    assert remove(engine, child, "x/child:1") == Done("done")
    assert image_id(engine, parent) == parent


def test_the_one_who_asks_may_still_say_no(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/kept:1")
    done = remove(engine, id_, "x/kept:1", recheck=lambda: "the disk is below 80 %")
    assert done == Done("refused", "the disk is below 80 %")
    assert tags_of(engine, id_) == ["x/kept:1"]


@pytest.mark.parametrize("name", ["x/a:1", "sha256:ab", "", "ab" * 32])
def test_names_and_short_ids_are_not_taken(engine: Engine, name: str) -> None:
    with pytest.raises(Ds01Error, match="not the full id"):
        remove(engine, name, "x/a:1")


# --- what happens while it is held ------------------------------------------------------------


def held(engine: Engine, id_: str) -> bool:
    return f"{HELD}:{id_[7:]}" in tags_of(engine, id_)


def test_one_that_is_used_while_it_is_held_is_put_back(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/late:1")
    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove, engine, id_, "x/late:1", settle_s=1.5)
        while not held(engine, id_):
            time.sleep(0.01)
        container_id = create(engine, id_)
        done = removing.result()
    assert done == Done("refused", f"container {container_id[:12]} uses it")
    assert tags_of(engine, id_) == ["x/late:1"]


def test_one_that_is_tagged_while_it_is_held_keeps_that_tag(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/late:1")
    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove, engine, id_, "x/late:1", settle_s=1.5)
        while not held(engine, id_):
            time.sleep(0.01)
        engine.client.tag(id_, "x/again", tag="1")
        done = removing.result()
    assert done.outcome == "refused"
    assert tags_of(engine, id_) == ["x/again:1", "x/late:1"]


def test_a_tag_that_is_given_to_another_meanwhile_stays_there(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/moves:1")
    ours = f"{HELD}:{id_[7:]}"
    other = tiny_image(engine, "x/other:1")
    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove, engine, id_, "x/moves:1", settle_s=3)
        # not before its own tag is gone: an engine removes that of whoever has it then
        while tags_of(engine, id_) != [ours]:
            time.sleep(0.01)
        engine.client.tag(other, "x/moves", tag="1")
        create(engine, id_)
        done = removing.result()
    assert done.outcome == "refused"
    assert image_id(engine, "x/moves:1") == other
    assert tags_of(engine, id_) == [ours]
    again = images.put_back(engine.host, id_, tags=["x/moves:1"])
    assert "another image now" in again.why
    # nothing uses it any more: it is removed as any other
    engine.remove_all()
    assert remove(engine, id_, ours) == Done("done")
    assert image_id(engine, id_) is None


def _step(line: str) -> str:
    """Name a request by what it does: ``GET /v1.41/images/x/json HTTP/1.1`` is a look."""
    method, path, _ = line.split()
    if path == "/version":
        return "version"
    if "/containers/json" in path:
        return "list"
    return "tag" if "/tag" in path else {"GET": "look", "DELETE": "remove"}[method]


def test_those_that_wait_together_are_each_looked_at_right_before(
    engine: Engine, tmp_path: Path
) -> None:
    """And so are all containers; while they wait all are held."""
    removals = [Removal(tiny_image(engine, f"x/n{n}:1"), (f"x/n{n}:1",)) for n in range(3)]
    with Tap(engine.host, tmp_path / "tap.sock") as tap:
        ended = list(images.remove_images(tap.host, removals, settle_s=SETTLE_S))
    assert ended == [(one, Done("done")) for one in removals]
    hold, drop = ["look", "tag", "look", "remove"], ["look", "list", "remove", "look"]
    assert [_step(line) for line in tap.asked] == ["version", "list", *hold * 3, *drop * 3]


def test_one_that_is_not_due_any_more_is_put_back(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/enough:1")
    told = iter([None, "the low mark is reached"])
    done = remove(engine, id_, "x/enough:1", recheck=lambda: next(told))
    assert done == Done("refused", "the low mark is reached")
    assert tags_of(engine, id_) == ["x/enough:1"]


def test_what_is_held_when_nobody_wants_more_is_put_back(engine: Engine) -> None:
    ids = [tiny_image(engine, f"x/held{number}:1") for number in range(3)]
    removals = [Removal(id_, (f"x/held{number}:1",)) for number, id_ in enumerate(ids)]
    ended = images.remove_images(engine.host, removals, settle_s=SETTLE_S)
    assert next(ended) == (removals[0], Done("done"))
    assert held(engine, ids[1])
    ended.close()
    assert [tags_of(engine, id_) for id_ in ids[1:]] == [["x/held1:1"], ["x/held2:1"]]


def test_what_is_held_when_a_signal_comes_is_put_back(engine: Engine) -> None:
    ids = [tiny_image(engine, f"x/held{number}:1") for number in range(3)]
    removals = [Removal(id_, (f"x/held{number}:1",)) for number, id_ in enumerate(ids)]

    def interrupt(one: Removal) -> None:
        if one.id == ids[2]:
            assert held(engine, ids[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(images.remove_images(engine.host, removals, begin=interrupt, settle_s=SETTLE_S))
    assert [tags_of(engine, id_) for id_ in ids] == [[f"x/held{n}:1"] for n in range(3)]


def test_what_a_killed_run_left_held_is_put_back_by_the_next(engine: Engine) -> None:
    id_ = tiny_image(engine, "localhost:5000/x/lost:1")
    engine.client.tag(id_, HELD, tag=id_[7:])
    engine.client.remove_image("localhost:5000/x/lost:1")
    assert held(engine, id_)
    results = [
        images.put_back(engine.host, id_, tags=["localhost:5000/x/lost:1"]) for _ in range(2)
    ]
    assert results == [Done("done"), Done("already", "it is not held")]
    assert tags_of(engine, id_) == ["localhost:5000/x/lost:1"]


# --- tags -------------------------------------------------------------------------------------


def test_one_tag_of_several_goes_and_the_image_stays(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/two:1")
    engine.client.tag(id_, "x/two", tag="2")
    results = [images.untag(engine.host, "x/two:1", expected_id=id_) for _ in range(2)]
    assert results == [Done("done"), Done("already", "it is gone")]
    assert tags_of(engine, id_) == ["x/two:2"]
    last = images.untag(engine.host, "x/two:2", expected_id=id_)
    assert last == Done("refused", "it is the last tag of its image")


def test_a_tag_that_is_another_images_by_now_stays(engine: Engine) -> None:
    id_ = tiny_image(engine, "x/two:1")
    engine.client.tag(id_, "x/two", tag="2")
    other = tiny_image(engine, "x/three:1")
    engine.client.tag(other, "x/two", tag="1")
    done = images.untag(engine.host, "x/two:1", expected_id=id_)
    assert done == Done("refused", f"it is another image now: {other[:19]}")
    engine.client.tag(id_, "x/two", tag="3")
    early = datetime(2026, 1, 1, tzinfo=timezone.utc)
    young = images.untag(engine.host, "x/two:3", expected_id=id_, touched_before=early)
    assert young.outcome == "refused"
    create(engine, "x/two:2")
    assert "uses it" in images.untag(engine.host, "x/two:3", expected_id=id_).why


# --- races ------------------------------------------------------------------------------------


def _user(engine: Engine, number: int, random_: random.Random) -> tuple[str, str | None]:
    """Do what a user may at any time; return what it was, and the id of what it made."""
    import docker.errors

    time.sleep(random_.random() * 0.15)
    reference = f"x/race{number}:1"
    try:
        if number % 4 == 2:
            # what a pull or a build ends with: the same name for something new
            return "new", tiny_image(engine, reference, "new")
        if number % 4 == 3:
            engine.client.tag(reference, f"x/mine{number}", tag="1")
            return "tag", image_id(engine, f"x/mine{number}:1")
        return "create", create(engine, reference)
    except docker.errors.APIError:
        return "none", None


def _check_race(
    engine: Engine, number: int, id_: str, done: Done | Ds01Error, what: str, made: str | None
) -> str:
    """What somebody uses is there, with its name; return what was seen."""
    reference, there = f"x/race{number}:1", image_id(engine, id_) is not None
    if isinstance(done, Ds01Error):
        # a known limit: engines remove by name whatever has it then, and offer no comparison. A
        # name that becomes another image's between our look and that is lost; it must be said
        assert (what, "another image in that moment" in done.message) == ("new", True)
        return "new lost"
    assert (done.outcome == "done") == (not there)
    if what == "new":
        # nothing goes that is not told of
        assert made is not None
        assert image_id(engine, made) == made
        if image_id(engine, reference) != made:
            # the engine's own race, between its look and its removal of the name
            return "new untagged"
    elif there:
        assert reference in tags_of(engine, id_)
        assert not held(engine, id_)
    # no image goes that a container uses, or that got another name
    assert there or what in {"new", "none"}
    return f"{what} {done.outcome}"


def test_a_hundred_creates_tags_and_builds_against_removal(each_engine: Engine) -> None:
    engine, seen = each_engine, list[str]()
    random_ = random.Random(7)
    for first in range(0, count(engine, 100), 10):
        ids = {n: tiny_image(engine, f"x/race{n}:1") for n in range(first, first + 10)}
        removals = [Removal(ids[n], (f"x/race{n}:1",)) for n in ids]
        with ThreadPoolExecutor(4) as pool:
            users = {n: pool.submit(_user, engine, n, random_) for n in random_.sample([*ids], 10)}
            ended = images.remove_images(engine.host, removals, settle_s=SETTLE_S)
            became = {one.id: done for one, done in ended}
        seen += [_check_race(engine, n, ids[n], became[ids[n]], *users[n].result()) for n in ids]
    assert {"create refused", "none done", "tag refused"} <= set(seen)
    assert seen.count("new lost") + seen.count("new untagged") <= 3


# --- the rest ---------------------------------------------------------------------------------


# the SDK leaves a socket open on which it is refused
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_goes_while_an_image_is_held_leaves_it_for_put_back() -> None:
    if reason := docker_engine.missing():
        pytest.skip(reason)
    engine = docker_engine.Engine()
    try:
        id_ = tiny_image(engine, "x/held:1")
        with ThreadPoolExecutor(1) as pool:
            removing = pool.submit(remove, engine, id_, "x/held:1", settle_s=3)
            while not held(engine, id_):
                time.sleep(0.01)
            time.sleep(0.3)
            kill_daemon(engine)
            with pytest.raises(Ds01Error):
                removing.result(30)
        engine.restart_daemon()
        assert images.put_back(engine.host, id_, tags=["x/held:1"]) == Done("done")
        assert tags_of(engine, id_) == ["x/held:1"]
    finally:
        engine.stop()
        gc.collect()


def test_build_cache_is_left_to_the_engines_own_policy(engine: Engine, tmp_path: Path) -> None:
    assert images.prune_build_cache(engine.host, 1 << 30) == Done("already", freed_bytes=0)
    stub = StubEngine(tmp_path)
    try:
        stub.answer("/version", {"ApiVersion": "1.45"})
        stub.answer("/v1.45/build/prune?keep-storage=1024", {"SpaceReclaimed": 7})
        assert images.prune_build_cache(stub.host, 1024) == Done("done", freed_bytes=7)
        stub.answer("/v1.45/build/prune?keep-storage=1024", {})
        with pytest.raises(Ds01Error, match="what it pruned"):
            images.prune_build_cache(stub.host, 1024)
    finally:
        stub.stop()


def test_a_network_goes_only_if_no_container_refers_to_it(engine: Engine) -> None:
    client = engine.client
    id_ = client.create_network("ds01-net", driver="bridge")["Id"]
    config = client.create_host_config(network_mode="ds01-net")
    # never started: the engine itself would let its network go
    made = client.create_container(docker_engine.IMAGE, ["sleep", "1"], host_config=config)
    done = images.remove_network(engine.host, id_)
    assert done == Done("refused", f"container {made['Id'][:12]} refers to it")
    engine.remove(made["Id"])
    early = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert images.remove_network(engine.host, id_, created_before=early).outcome == "refused"
    assert images.remove_network(engine.host, id_) == Done("done")
    assert images.remove_network(engine.host, id_) == Done("already", "it is gone")


def test_the_engines_own_networks_stay(engine: Engine) -> None:
    own = {each["Name"]: each["Id"] for each in engine.client.networks()}
    for id_ in own.values():
        assert images.remove_network(engine.host, id_).outcome == "refused"
    assert {each["Name"] for each in engine.client.networks()} == set(own)
    with pytest.raises(Ds01Error, match="not the full id"):
        images.remove_network(engine.host, "host")


def test_a_volume_goes_only_if_no_container_mounts_it(engine: Engine) -> None:
    client = engine.client
    client.create_volume("work")
    container_id = create(engine, binds=["work:/work"])
    created_at = client.inspect_volume("work")["CreatedAt"]
    done = images.remove_volume(engine.host, "work")
    assert done == Done("refused", f"container {container_id[:12]} mounts it")
    engine.remove(container_id)
    other = images.remove_volume(engine.host, "work", created_at="2026-01-01T00:00:00Z")
    assert other == Done("refused", "it is another volume of this name")
    results = [images.remove_volume(engine.host, "work", created_at=created_at) for _ in range(2)]
    assert results == [Done("done"), Done("already", "it is gone")]


def test_all_of_it_with_the_newest_engine(each_engine: Engine, tmp_path: Path) -> None:
    engine = each_engine
    with Tap(engine.host, tmp_path / "tap.sock") as tap:
        id_ = tiny_image(engine, "x/newer:1")
        engine.client.tag(id_, "x/newer", tag="2")
        engine.client.create_volume("newer")
        results = [
            images.untag(tap.host, "x/newer:2", expected_id=id_),
            images.remove_image(tap.host, id_, expected_tags=["x/newer:1"], settle_s=SETTLE_S),
            images.remove_volume(tap.host, "newer"),
            images.prune_build_cache(tap.host, 0),
        ]
    assert [done.outcome for done in results] == ["done", "done", "done", "already"]
    deleted = [line.split()[1] for line in tap.asked if line.startswith("DELETE")]
    images_ = [path for path in deleted if "/images/" in path]
    assert len(images_) == 3
    assert all(path.endswith("?force=False&noprune=True") for path in images_)
