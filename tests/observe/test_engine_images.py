"""Images, networks, volumes, cache and events, as engines of all ages tell them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.core.image_model import DiskUse
from ds01ctl.core.image_rules import Rules
from ds01ctl.core.image_uses import Here, fold
from ds01ctl.core.images import World, decide
from ds01ctl.core.model import Gap
from ds01ctl.observe import engine_images, image_disk
from ds01ctl.observe.engine_images import EVERYTHING, USES, ImagesReading
from ds01ctl.paths import Paths
from tests.engine import IMAGE, Engine
from tests.observe.stub_engine import ID, StubEngine, entry

SHA = "sha256:{:064x}".format
DF = "/system/df?type=build-cache&verbose=1"


def read(host: str, **options: Any) -> ImagesReading:
    usual: dict[str, Any] = {
        "paths": Paths(), "deadline_s": 20, "now": datetime.now(timezone.utc),
    }  # fmt: skip
    return engine_images.read([host], **(usual | options))


@pytest.mark.engine
def test_a_real_engine(each_engine: Engine) -> None:
    """What is built, tagged, run and mounted is seen, and no inspect is asked for it."""
    engine, client = each_engine, each_engine.client
    begins = datetime.now(timezone.utc)
    recipe = io.BytesIO(f"FROM {IMAGE}\nLABEL ds01.keep=yes\nENV a=b\n".encode())
    list(client.build(fileobj=recipe, tag="child:1", rm=True, decode=True))
    client.tag("child:1", "other.example:5000/child", "2")
    client.create_volume("data", labels={"ds01.user": "alice"})
    try:
        running = engine.run("works", mounts=[("data", "/data")])
        engine.run("waits", start=False)
        seen = read(engine.host, since=begins)
        assert seen.gaps == ()
        # newer ones are asked for their build cache and for what images share, too
        newer = () if engine.is_machines else ("cache",)
        assert seen.requests == 7 + 2 * len(newer)
        assert seen.listed[engine.host] == {
            "containers", "images", "events", "networks", "volumes", *newer,
        }  # fmt: skip
        by_tag = {tag: image for image in seen.images for tag in image.tags}
        child, base = by_tag["child:1"], by_tag[IMAGE]
        assert child.tags == ("child:1", "other.example:5000/child:2")
        assert child.labels == {"ds01.keep": "yes"}
        assert child.size_bytes
        assert child.shared_bytes == (child.size_bytes if newer else None)
        parents = {image.id: image.parent for image in seen.images}
        assert parents[child.parent] == base.id
        assert base.parent == ""
        holders = {one.name: one for one in seen.holders}
        assert holders["works"].volumes == ("data",)
        assert holders["works"].image_id == base.id
        assert holders["works"].image == IMAGE
        assert {one.state for one in seen.holders} == {"running", "created"}
        assert "none" in holders["waits"].networks
        assert {one.name for one in seen.networks} == {"none", "host"}
        assert seen.volumes[0].labels == {"ds01.user": "alice"}
        happened = [(one.type, one.action) for one in seen.events]
        assert ("image", "tag") in happened
        assert ("volume", "mount") in happened
        assert ("container", "start") in happened
        disk = seen.disks[engine.host]
        assert disk.path == f"{engine.folder}/data/overlay2"
        assert disk.used_bytes + disk.available_bytes > 0
        assert engine_images.measure_disk(disk, Paths()) is not None
        engine.remove(running)
        after = read(engine.host, since=begins, wanted=USES)
        assert after.requests == 2
        assert ("container", "destroy") in [(one.type, one.action) for one in after.events]
        earlier = read(engine.host, now=begins - timedelta(days=1), wanted=USES)
        assert (earlier.events, earlier.gaps) == ((), ())
    finally:
        engine.remove_all()
        client.remove_image("other.example:5000/child:2")
        client.remove_image("child:1")
        client.remove_volume("data")


@pytest.mark.engine
def test_a_container_that_came_and_went_is_a_use(engine: Engine) -> None:
    """Between two runs of a one-shot job a container lives and dies; its image was used."""
    early = datetime.now(timezone.utc) - timedelta(days=9)
    first = read(engine.host)
    known = fold({}, Here(first.images, listed=first.listed), early)
    begins = datetime.now(timezone.utc)
    time.sleep(1.1)
    engine.remove(engine.run("short"))
    again = read(engine.host, since=begins)
    assert again.holders == ()
    here = Here(again.images, again.holders, again.events, listed=again.listed)
    uses = fold(known, here, datetime.now(timezone.utc))
    base = next(image.id for image in again.images if IMAGE in image.tags)
    assert uses[engine.host, base].used_at >= begins.timestamp()
    assert uses[engine.host, base].first_seen == int(early.timestamp())


@pytest.mark.engine
def test_what_is_decided_an_engine_does(engine: Engine) -> None:
    """In the order of the plan nothing is refused; what a container uses, and its parents, stay."""
    client = engine.client
    for tag, base in (("used:1", IMAGE), ("free:1", IMAGE), ("free:2", "free:1")):
        recipe = f"FROM {base}\nENV a={tag}\nENV b={tag}\n".encode()
        list(client.build(fileobj=io.BytesIO(recipe), tag=tag, rm=True, decode=True))
    client.tag("free:2", "free", "also")
    client.tag("free:2", "other.example:5000/free", "2")
    try:
        engine.run("stopped", image="used:1", start=False)
        seen = read(engine.host)
        before = {tag: image for image in seen.images for tag in image.tags}
        uses = fold({}, Here(seen.images, seen.holders, listed=seen.listed), seen_at := now_())
        rules = Rules(high_percent=0.01, low_percent=0.001, min_age_h=0, keep_per_repository=0)
        world = World(seen.images, seen.holders, uses, seen.disks, seen.complete("images"))
        decision = decide(world, rules, seen_at)
        done = [(one.kind, one.name) for one in decision.changes]
        assert ("untag-image", "free:2") in done
        for change in decision.changes:
            client.remove_image(change.target, noprune=True)
        left = {image.id: image for image in read(engine.host).images}
        kept = before["used:1"]
        parents = [kept.parent, left[kept.parent].parent]
        assert set(left) == {kept.id, *parents}
        assert left[parents[1]].tags == (IMAGE,)
        assert len(decision.changes) == len(seen.images) - 3 + 2
        assert [one.kind for one in decision.notices] == ["images-hold-disk"]
    finally:
        engine.remove_all()
        client.remove_image("used:1")


def now_() -> datetime:
    return datetime.now(timezone.utc)


@pytest.mark.engine
def test_events_end_at_once(engine: Engine) -> None:
    begun = time.monotonic()
    read(engine.host, wanted=USES)
    assert time.monotonic() - begun < 2


def images_of(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    """Make list entries as Docker 20.10 writes them."""
    usual = {
        "ParentId": "", "RepoTags": None, "RepoDigests": None, "Created": 1795445825,
        "Size": 100, "SharedSize": -1, "VirtualSize": 100, "Labels": None, "Containers": -1,
    }  # fmt: skip
    return [usual | one for one in entries]


def answer_all(stub: StubEngine, api: str = "1.41") -> datetime:
    """Answer everything with an engine of one image; give the time to ask for."""
    now = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
    stub.answer("/containers/json?all=1", [entry(1)])
    stub.answer("/images/json?all=1", images_of({"Id": SHA(1), "RepoTags": ["a:1"]}))
    stub.answer("/info", {"DockerRootDir": "/", "Driver": "overlay2", "ID": "X"})
    stub.answer("/version", {"ApiVersion": api})
    stub.answer("/networks", [])
    stub.answer("/volumes", {"Volumes": None, "Warnings": None})
    events(stub, events_path(now), b"")
    return now


def events(stub: StubEngine, path: str, body: bytes) -> None:
    stub.raw(path, body, length=len(body))


def events_path(now: datetime, since: float = 0) -> str:
    return f"/events?since={since:.6f}&until={now.timestamp():.6f}"


def test_what_an_old_engine_is_asked(stub: StubEngine) -> None:
    """Before API 1.42 the disk usage comes whole: only for whoever wants the sizes of volumes."""
    now = answer_all(stub)
    seen = read(stub.host, now=now)
    assert seen.gaps == ()
    assert len(stub.asked) == 7
    assert stub.count("df") + stub.count("shared") == 0
    assert seen.complete("cache") == frozenset()
    volume = {"Name": "v", "UsageData": {"Size": 7, "RefCount": 0}}
    stub.answer("/volumes", {"Volumes": [{"Name": "v"}, {"Name": "w"}]})
    record = {"ID": "r", "Type": "regular", "Size": 5, "Shared": True, "InUse": False}
    stub.answer("/system/df", {"Volumes": [volume], "BuildCache": [record]})
    seen = read(stub.host, now=now, wanted={*EVERYTHING, "volume-sizes"})
    assert [(one.name, one.size_bytes) for one in seen.volumes] == [("v", 7), ("w", None)]
    assert [(one.id, one.shared) for one in seen.cache] == [("r", True)]
    assert seen.complete("cache", "images", "containers") == {stub.host}


@pytest.mark.parametrize(
    "usage",
    [
        {"BuildCache": [{"ID": "r", "Type": "regular", "Size": 5}]},
        {"BuildCacheUsage": {"TotalSize": 5, "Items": [{"ID": "r", "Type": "x", "Size": 5}]}},
    ],
)
def test_what_a_new_engine_is_asked(stub: StubEngine, usage: dict[str, Any]) -> None:
    """Up to API 1.51 the usage is a list, from 1.52 on it has sums and another name."""
    now = answer_all(stub, "1.52")
    shared = images_of({"Id": SHA(1), "RepoTags": ["a:1"], "SharedSize": 30})
    stub.answer("/images/json?shared-size=1", shared)
    stub.answer(DF, usage)
    seen = read(stub.host, now=now)
    assert seen.gaps == ()
    assert len(stub.asked) == seen.requests == 9
    assert seen.images[0].shared_bytes == 30
    assert [one.size_bytes for one in seen.cache] == [5]
    stub.answer(DF, {})
    assert read(stub.host, now=now).complete("cache") == frozenset()


def test_without_what_is_shared_there_is_no_gap(stub: StubEngine) -> None:
    now = answer_all(stub, "1.48")
    stub.answer(DF, {"BuildCache": None})
    seen = read(stub.host, now=now)
    assert seen.images[0].shared_bytes is None
    assert seen.gaps == ()
    assert seen.complete("images", "cache") == {stub.host}


def test_an_engine_that_says_anything(stub: StubEngine) -> None:
    """What has no identity is left out, and told; the engine has not told all then."""
    now = answer_all(stub)
    entries = [
        7,
        {"Id": "sha256:short"},
        *images_of({"Id": ID(2), "ParentId": ID(3), "RepoTags": ["<none>:<none>", 7, "b:1", "c\n"],
                    "RepoDigests": ["<none>@<none>", "b@" + SHA(9)], "Created": -62135596800,
                    "Size": -1, "Labels": {"a": 1, "b": "c"}}),
    ]  # fmt: skip
    stub.answer("/images/json?all=1", entries)
    stub.answer("/containers/json?all=1", {"a": 1})
    stub.answer("/networks", [{"Name": "x"}, {"Id": "1", "Name": "y", "Labels": 7}])
    stub.answer("/volumes", 7)
    events(stub, events_path(now), b'{"Type":"image","time":5}\n\n7\n')
    stub.answer("/info", [])
    seen = read(stub.host, now=now)
    (image,) = seen.images
    assert (image.id, image.parent) == (SHA(2), SHA(3))
    assert (image.tags, image.digests) == (("b:1",), ("b@" + SHA(9),))
    assert image.size_bytes is None
    assert image.labels == {"b": "c"}
    assert [one.name for one in seen.networks] == ["y"]
    assert len(seen.events) == 1
    assert seen.listed == {stub.host: frozenset()}
    reasons = [gap.reason.removeprefix(f"{stub.host}: ") for gap in seen.gaps]
    assert sorted(reasons) == [
        "1 of 2 events without identity",
        "1 of 2 networks without identity",
        "2 of 3 images without identity",
        "containers: the answer is no list",
        "the engine does not tell where its images are: how full its disk is can't be read",
        "volumes: the answer is no list",
    ]


def test_each_failure_is_a_gap(stub: StubEngine, tmp_path: Path) -> None:
    now = answer_all(stub)
    stub.answer("/images/json?all=1", {"message": "broken"}, status="500 Internal")
    events(stub, events_path(now), b'{"Type":"image"')
    seen = read(stub.host, now=now)
    assert sorted(gap.reason.removeprefix(f"{stub.host}: ") for gap in seen.gaps) == [
        "answer cut short or not JSON",
        "status 500: broken",
    ]
    assert seen.complete("containers", "networks") == {stub.host}
    assert seen.complete("images") == frozenset()
    stub.delay_s = 5
    seen = read(stub.host, now=now, deadline_s=0.2)
    assert [gap.kind for gap in seen.gaps] == ["failed"]
    assert "no answer in 0.2 s" in seen.gaps[0].reason
    nobody = f"unix://{tmp_path}/nobody.sock"
    assert [gap.kind for gap in read(nobody).gaps] == ["absent"]
    assert [gap.kind for gap in read(nobody, named_by_admin=True).gaps] == ["failed"]


def test_a_users_own_engine_is_not_asked(new_stub: Callable[..., StubEngine]) -> None:
    theirs, ours = new_stub(1001), new_stub()
    now = answer_all(ours)
    answer_all(theirs)
    seen = engine_images.read([theirs.host, ours.host], paths=Paths(), deadline_s=5, now=now)
    assert theirs.asked == []
    assert set(seen.listed) == {ours.host}
    none = engine_images.read([theirs.host], paths=Paths(), deadline_s=5, now=now)
    assert [gap.kind for gap in none.gaps] == ["absent"]
    assert theirs.asked == []


def test_two_addresses_of_one_engine(new_stub: Callable[..., StubEngine]) -> None:
    """It says who it is: nothing is planned, nor counted, twice."""
    one, two = new_stub(), new_stub()
    now = answer_all(one)
    answer_all(two)
    seen = engine_images.read([one.host, two.host], paths=Paths(), deadline_s=5, now=now)
    assert len(seen.images) == 1
    assert set(seen.listed) == {one.host}


@pytest.mark.parametrize(
    ("number", "is_lost"), [(200, False), (256, True), (245, True), (257, False)]
)
def test_as_many_events_as_an_engine_keeps(stub: StubEngine, number: int, is_lost: bool) -> None:
    """Some of the last 256 may be of the time after the look; who gives more keeps more."""
    now = answer_all(stub)
    since = now - timedelta(hours=1)
    path = events_path(now, since.timestamp())
    happened = [{"Type": "container", "Action": "exec_start: x", "time": 1000 + number,
               "Actor": {"ID": "c", "Attributes": {"image": "a:1"}}}
              for number in range(number)]  # fmt: skip
    events(stub, path, b"\n".join(json.dumps(one).encode() for one in happened))
    seen = read(stub.host, now=now, since=since, wanted=USES)
    assert len(seen.events) == number
    assert seen.lost == ({stub.host} if is_lost else set())
    assert seen.events[0].action == "exec_start"
    assert len(stub.asked) == 2
    # also where it is not known when somebody looked before
    events(stub, events_path(now), b"\n".join(json.dumps(one).encode() for one in happened))
    assert read(stub.host, now=now, wanted=USES).lost == seen.lost


@pytest.mark.engine
def test_a_burst_of_events_hides_a_use(engine: Engine) -> None:
    """What an engine does not tell any more may be a use of any image."""
    begins = now_()
    engine.remove(engine.run("short"))
    assert not read(engine.host, since=begins, wanted=USES).lost
    for _ in range(300):
        engine.client.tag(IMAGE, "burst", "1")
    try:
        again = read(engine.host, since=begins, wanted=USES)
    finally:
        engine.client.remove_image("burst:1")
    assert len(again.events) <= 256
    assert {one.type for one in again.events} == {"image"}
    assert again.lost == {engine.host}


# --- the disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "config", "expected"),
    [
        ({"Driver": "overlay2"}, None, ("/d/overlay2", "/d/storage/overlay2", "/d")),
        ({"Driver": "../x"}, None, ("/d",)),
        ({"Driver": None}, None, ("/d",)),
        ({"Driver": "devicemapper"}, None, ()),
        ({"DockerRootDir": "relative"}, None, ()),
        ({"DockerRootDir": None}, None, ()),
        (
            {"Driver": "overlayfs", "DriverStatus": [["driver-type", image_disk._SNAPSHOTTER]]},
            None,
            (f"/var/lib/containerd/{image_disk._SNAPSHOTTER}.overlayfs", "/var/lib/containerd"),
        ),
        (
            {"Driver": "overlayfs", "DriverStatus": [["driver-type", image_disk._SNAPSHOTTER]]},
            'version = 2\nroot = "/data/ctd/"\n[plugins]\nroot = "/no"\n',
            (f"/data/ctd/{image_disk._SNAPSHOTTER}.overlayfs", "/data/ctd"),
        ),
        (
            {"Driver": "overlayfs", "DriverStatus": [["driver-type", image_disk._SNAPSHOTTER]],
             "Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"}},
            'root = "/data/ctd"\n',
            (f"/d/containerd/daemon/{image_disk._SNAPSHOTTER}.overlayfs", "/d/containerd/daemon"),
        ),
    ],
)  # fmt: skip
def test_where_images_are(
    tmp_path: Path, info: dict[str, Any], config: str | None, expected: tuple[str, ...]
) -> None:
    if config is not None:
        (tmp_path / "etc/containerd").mkdir(parents=True)
        (tmp_path / "etc/containerd/config.toml").write_text(config)
    assert image_disk.place({"DockerRootDir": "/d/", **info}, Paths(tmp_path)) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_the_file_system_of_the_layers_is_measured(tmp_path: Path) -> None:
    """Layers on a disk of their own below the engine's folder: that disk counts."""
    layers = tmp_path / "var/lib/docker/overlay2"
    layers.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(layers)], check=True)
    try:
        (layers / "x").write_bytes(bytes(512 << 10))
        info = {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2"}
        paths = Paths(tmp_path)
        disk = image_disk.measure(image_disk.place(info, paths), paths)
        assert isinstance(disk, DiskUse)
        assert disk.path == "/var/lib/docker/overlay2"
        assert (disk.used_bytes, disk.available_bytes) == (512 << 10, 512 << 10)
        assert disk.percent == 50
        assert engine_images.measure_disk(disk, paths) == disk
    finally:
        subprocess.run(["umount", str(layers)], check=True)
    assert engine_images.measure_disk(disk._replace(path="/gone"), paths) is None


def test_a_disk_that_is_not_there(tmp_path: Path) -> None:
    told = image_disk.measure(("/a/overlay2", "/a"), Paths(tmp_path))
    assert told == Gap("docker", "failed", "/a: how full its disk is can't be read")
