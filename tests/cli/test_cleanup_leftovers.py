"""`cleanup` of images, networks and volumes on a real engine."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ds01ctl.commands import cleanup_imaging, cleanup_looking
from ds01ctl.commands.cleanup_book import Book
from ds01ctl.commands.cleanup_looking import Wish
from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.image_model import DiskUse
from ds01ctl.state import State
from tests.cli.cleanup_host import IMAGES, KILL_AFTER, POLICY, CleanupHost, was_killed
from tests.cli.conftest import Host, kinds
from tests.cli.test_failing import MailServer
from tests.engine import IMAGE, Engine

LONG_AGO = 1_700_000_000
UNUSED = "  images: {max_unused_d: 30, min_age_h: 0, keep_per_repository: 0}\n"


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    found = CleanupHost(host, engine)
    host.policy(POLICY + UNUSED)
    return found


def forget_uses(host: CleanupHost) -> None:
    """Have every image be unused for years."""
    with State.open_for_recording(host.paths) as state, state.transaction():
        known = state.image_uses()
        # a last use that is known is never made an earlier one: so it is forgotten first
        state.put_image_uses({}, gone=known)
        state.put_image_uses(dict.fromkeys(known, (LONG_AGO, LONG_AGO)))


def tags(host: CleanupHost) -> set[str]:
    return {tag for image in host.engine.client.images() for tag in image["RepoTags"] or ()}


def test_unused_images_go_and_used_ones_stay(host: CleanupHost) -> None:
    """First seen is used; what a container has stays, whatever its age; tags go one by one."""
    host.engine.build_image("old/one:1", env={"A": "1"})
    host.engine.client.tag("old/one:1", "old/two", "1")
    host.container("user")
    assert host.apply(only=IMAGES)["actions"] == []
    forget_uses(host)
    planned = host.json("plan", "--only", "images")
    assert {one["outcome"] for one in planned["actions"]} == {"planned"}
    document = host.apply(only=IMAGES)
    assert [one["outcome"] for one in document["actions"]] == ["done", "done"]
    assert tags(host) == {IMAGE}
    assert host.log() == [("untag-image", "done"), ("remove-image", "done")]
    metrics = (host.root / "var/lib/prometheus/node-exporter/ds01_cleanup_images.prom").read_text()
    assert 'ds01_cleanup_removed_images_total{part="images"} 1' in metrics
    assert host.apply(only=IMAGES)["actions"] == []


def test_killed_while_it_holds_an_image(host: CleanupHost) -> None:
    """The tag that was taken is put back, or the image is gone; nothing of ours is left."""
    host.engine.build_image("old/one:1", env={"A": "1"})
    host.container("user")
    host.apply(only=IMAGES)
    forget_uses(host)
    done = host.with_hook(KILL_AFTER, "apply", "--yes", "--only", IMAGES, AFTER="/tag?")
    assert was_killed(done)
    held = tags(host)
    assert any(tag.startswith("ds01-cleanup/") for tag in held)
    host.apply(only=IMAGES)
    assert not any(tag.startswith("ds01-cleanup/") for tag in tags(host))
    forget_uses(host)
    host.apply(only=IMAGES)
    assert tags(host) == {IMAGE}


@pytest.mark.parametrize("is_tagged_twice", [True, False])
def test_an_image_that_was_built_since_the_look_stays(
    host: CleanupHost, *, is_tagged_twice: bool
) -> None:
    """Its age is looked at again right before, by the engine's word."""
    host.engine.build_image("old/one:1", env={"A": "1"})
    if is_tagged_twice:
        host.engine.client.tag("old/one:1", "old/two", "1")
    host.container("user")
    host.apply(only=IMAGES)
    forget_uses(host)
    host.base.policy((POLICY + UNUSED).replace("min_age_h: 0", "min_age_h: 1"))
    document = host.apply(only=IMAGES)
    assert document["actions"][0]["outcome"] == "skipped"
    left = tags(host) - {IMAGE}
    assert "old/one:1" in left
    for tag in left:
        host.engine.client.remove_image(tag)


def test_one_engine_that_has_enough_ends_nothing_of_another(host: CleanupHost) -> None:
    """Each engine's reserve goes while its own disk is too full, and no longer."""
    other = f"unix://{host.root}/other.sock"
    (host.root / "other.sock").symlink_to(host.engine.host.removeprefix("unix://"))
    names = [host.engine.build_image(f"old/{name}:1", env={"A": name}) for name in "abcd"]
    ids = [host.engine.client.inspect_image(name)["Id"] for name in names]
    seen = cleanup_looking.look(Wish(only=("images",)), host.paths)
    engines = [host.engine.host, host.engine.host, other, other]
    above = [1 << 62, 1 << 62, 0, 0]
    first, *reserve = [
        Change("remove-image", "images", id_, tag, engine, None, "a test",
               identity={"image_id": id_, "tags": tag, "used_above_bytes": str(least)})
        for id_, tag, engine, least in zip(ids, names, engines, above, strict=True)
    ]  # fmt: skip
    assert seen.leftovers.reading is not None
    reading = seen.leftovers.reading._replace(disks=dict.fromkeys(engines, DiskUse("/", 0, 0)))
    left = seen.leftovers._replace(reading=reading, reserve=tuple(reserve))
    with State.open_for_recording(host.paths) as state:
        seen = seen._replace(leftovers=left)
        dids = list(cleanup_imaging.carry_out([first], seen, Book(state, seen), host.paths))
    assert [(one.change.name, one.outcome) for one in dids] == [
        ("old/a:1", "skipped"), ("old/c:1", "done"), ("old/d:1", "done"),
    ]  # fmt: skip
    assert tags(host) & set(names) == {"old/a:1", "old/b:1"}
    for name in names[:2]:
        host.engine.client.remove_image(name)


def test_what_we_do_ourselves_hides_no_use(
    host: CleanupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each removal is events of its own, which push those of users out of the few that are kept."""
    monkeypatch.setattr(cleanup_imaging, "_HEAR_AFTER", 1)
    monkeypatch.setenv("DOCKER_HOST", host.engine.host)
    id_ = host.engine.client.inspect_image(host.engine.build_image("old/a:1", env={"A": "a"}))["Id"]
    host.apply(only=IMAGES)
    forget_uses(host)
    seen = cleanup_looking.look(Wish(only=("images",)), host.paths)
    one = Change("remove-image", "images", id_, "old/a:1", host.engine.host, None, "a test",
                 identity={"image_id": id_, "tags": "old/a:1"})  # fmt: skip
    host.engine.remove(host.container("short"))
    with State.open_for_recording(host.paths) as state:
        [did] = cleanup_imaging.carry_out([one], seen, Book(state, seen), host.paths)
    assert did.outcome == "done"
    with State.open_for_recording(host.paths) as state:
        assert state.image_uses()[host.engine.host, IMAGE][0] > LONG_AGO
    assert json.loads(host.marks()["events_at"]) > seen.clock.now.isoformat()


def one_at_a_time(
    host: CleanupHost, monkeypatch: pytest.MonkeyPatch, letters: str
) -> tuple[list[str], list[str]]:
    """Build images that will be removed one by one, with a look between; give names and ids."""
    monkeypatch.setattr(cleanup_imaging, "_HEAR_AFTER", 1)
    monkeypatch.setattr("ds01ctl.act.images.AT_ONCE", 1)
    monkeypatch.setenv("DOCKER_HOST", host.engine.host)
    names = [host.engine.build_image(f"old/{name}:1", env={"A": name}) for name in letters]
    ids = [host.engine.client.inspect_image(name)["Id"] for name in names]
    return names, ids


def removals(host: CleanupHost, names: list[str], ids: list[str]) -> list[Change]:
    """Make the changes that remove images."""
    return [
        Change("remove-image", "images", id_, name, host.engine.host, None, "a test",
               identity={"image_id": id_, "tags": name})
        for id_, name in zip(ids, names, strict=True)
    ]  # fmt: skip


def test_what_is_used_while_others_are_removed_stays(
    host: CleanupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if what tells of it has been pushed out of the engine's events meanwhile."""
    names, ids = one_at_a_time(host, monkeypatch, "ab")
    host.apply(only=IMAGES)
    forget_uses(host)
    seen = cleanup_looking.look(Wish(only=("images",)), host.paths)
    changes = removals(host, names, ids)
    host.engine.remove(host.engine.run("short", image=names[1]))
    with State.open_for_recording(host.paths) as state:
        dids = list(cleanup_imaging.carry_out(changes, seen, Book(state, seen), host.paths))
    assert [one.outcome for one in dids] == ["done", "skipped"]
    assert "may have been" in str(dids[1].error)
    assert tags(host) == {IMAGE, names[1]}
    host.engine.client.remove_image(names[1])


def burst(host: CleanupHost) -> None:
    """Have the engine forget what it was asked for before."""
    for _ in range(300):
        host.engine.client.tag(IMAGE, "burst", "1")
    host.engine.client.remove_image("burst:1")


def test_more_events_than_an_engine_keeps(host: CleanupHost) -> None:
    """Any image may have been used meanwhile: only one unused for longer goes; later runs know."""

    def planned(unseen_h: str) -> list[str]:
        """Look, where the least age of an image is so much, and a day otherwise."""
        host.base.policy(POLICY + UNUSED.replace("{", f"{{min_age_unseen_h: {unseen_h}, "))
        document = host.json("plan", "--only", "images")
        told = [one for one in document["findings"] if one["kind"] == "cleanup-events-lost"]
        assert [f"min_age_unseen_h {unseen_h}" in str(one) for one in told] == [True]
        assert {one["severity"] for one in told} == {"info"}
        return [one["name"] for one in document["data"]["changes"]]

    host.engine.build_image("old/one:1", env={"A": "1"})
    host.container("user")
    host.apply(only=IMAGES)
    forget_uses(host)
    host.apply(only="idle")
    assert "events_lost_at" not in host.marks()
    burst(host)
    assert planned("400") == ["old/one:1"]
    # nobody wrote it down, so it is found anew; then it is known
    for _ in range(2):
        assert planned("null") == []
        host.apply(only="idle")
        assert json.loads(host.marks()["events_lost_at"]).keys() == {host.engine.host}
    host.engine.client.remove_image("old/one:1")


@pytest.mark.parametrize(
    ("ago", "goes"), [(timedelta(minutes=5), True), (timedelta(hours=1), False)]
)
def test_events_lost_where_nobody_looked_for_long(
    host: CleanupHost, ago: timedelta, *, goes: bool
) -> None:
    """What nobody looked at for an hour may have been used for an hour: all counts as used now."""
    host.base.policy(POLICY + UNUSED.replace("min_age_h: 0", "min_age_h: 1"))
    host.engine.build_image("old/one:1", env={"A": "1"})
    host.container("user")
    host.apply(only=IMAGES)
    forget_uses(host)
    burst(host)
    at = datetime.now(timezone.utc) - ago
    with State.open_for_recording(host.paths) as state, state.transaction():
        state.put_marks({"events_at": json.dumps(at.isoformat())})
    planned = [one["name"] for one in host.json("plan", "--only", "images")["data"]["changes"]]
    assert planned == (["old/one:1"] if goes else [])
    host.engine.client.remove_image("old/one:1")


@pytest.mark.parametrize("is_told_by_another_job", [False, True])
def test_events_lost_while_images_are_removed(
    host: CleanupHost, monkeypatch: pytest.MonkeyPatch, *, is_told_by_another_job: bool
) -> None:
    """Who is not old enough for that stays; who is goes on."""
    names, ids = one_at_a_time(host, monkeypatch, "abc")
    host.apply(only=IMAGES)
    forget_uses(host)
    lately = int(time.time()) - 100 * 3600
    with State.open_for_recording(host.paths) as state, state.transaction():
        state.put_image_uses({(host.engine.host, ids[1]): (lately, LONG_AGO)})
    seen = cleanup_looking.look(Wish(only=("images",)), host.paths)
    changes = removals(host, names, ids)
    burst(host)
    if is_told_by_another_job:
        host.apply(only="idle")
    with State.open_for_recording(host.paths) as state:
        dids = list(cleanup_imaging.carry_out(changes, seen, Book(state, seen), host.paths))
    assert [(one.change.name, one.outcome) for one in dids] == [
        ("old/a:1", "done"), ("old/b:1", "skipped"), ("old/c:1", "done"),
    ]  # fmt: skip
    assert tags(host) == {IMAGE, names[1]}
    host.engine.client.remove_image(names[1])


def test_networks_that_nobody_has(host: CleanupHost) -> None:
    """After a day without containers, and not before; what a container has stays."""
    import docker.errors

    client = host.engine.client
    try:
        client.create_network("mine", driver="bridge")
    except docker.errors.APIError as error:
        pytest.skip(f"no network can be made here: {error}")
    try:
        assert host.apply(only="networks")["actions"] == []
        forget_uses(host)
        document = host.apply(only="networks")
        assert [(one["kind"], one["outcome"]) for one in document["actions"]] == [
            ("remove-network", "done")
        ]
        assert "mine" not in {one["Name"] for one in client.networks()}
    finally:
        with suppress(docker.errors.APIError):
            client.remove_network("mine")


def test_a_volume_goes_by_name_only(host: CleanupHost) -> None:
    """Its name twice, and no container that has it; the timer and prune never touch one."""
    host.engine.client.create_volume("keepsake")
    id_ = host.engine.run("user", mounts=[("keepsake", "/data")], start=False)
    told = host.json("plan", "--only", "volumes")
    assert "cleanup-volume" not in kinds(told)
    assert host.run("remove-volume", "keepsake").status == 2
    assert host.run("remove-volume", "keepsake", "--confirm", "other").status == 2
    ran = host.run("remove-volume", "keepsake", "--confirm", "keepsake")
    assert (ran.status, "volume keepsake is of user (created)" in ran.err) == (1, True)
    host.engine.client.remove_container(id_)
    host.apply(only="idle,stopped,created,images,networks,volumes")
    told = host.json("plan", "--only", "volumes")
    assert "cleanup-volume" in kinds(told)
    assert told["actions"] == []
    assert [one["name"] for one in host.json("report")["data"]["volumes"]] == ["keepsake"]
    assert "would remove volume keepsake" in host.run("remove-volume", "keepsake", "--dry-run").out
    document = host.json("remove-volume", "keepsake", "--confirm", "keepsake")
    assert [one["outcome"] for one in document["actions"]] == ["done"]
    assert host.engine.client.volumes()["Volumes"] in (None, [])
    assert host.log() == [("remove-volume", "done")]
    assert host.run("remove-volume", "keepsake", "--confirm", "keepsake").status == 2


def test_the_report_is_mailed(host: CleanupHost) -> None:
    server = MailServer()
    try:
        mail = f"mail: {{to: [admin@uni.example], host: 127.0.0.1, port: {server.port}}}\n"
        host.base.policy(POLICY + mail)
        document = host.json("report", "--mail")
    finally:
        server.stop()
    assert [(one["kind"], one["outcome"]) for one in document["actions"]] == [("send-mail", "done")]
    assert "cleanup: 0 stopped, 0 removed" in server.mail["Subject"]
    host.base.policy(POLICY)
    document = host.json("report", "--mail")
    assert [one["outcome"] for one in document["actions"]] == ["skipped"]


@pytest.mark.skipif(
    subprocess.run(["which", "promtool"], capture_output=True, check=False).returncode != 0,
    reason="promtool is not installed",
)
def test_promtool_finds_nothing_to_say(host: CleanupHost) -> None:
    host.container("one")
    host.apply(only=f"{IMAGES},idle,runtime,stopped,created,gpu-holds")
    folder: Path = host.root / "var/lib/prometheus/node-exporter"
    for file in sorted(folder.glob("ds01_cleanup*.prom")):
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=file.read_bytes(),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert json.loads(host.marks()["totals"]) is not None
