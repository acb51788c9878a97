"""`cleanup` of several images at once, on a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands.cleanup_memory import LOCK_OF_IMAGES
from ds01ctl.lock import job_lock
from tests.cli.cleanup_host import (
    CONTAINERS,
    IMAGES,
    KILL_AFTER,
    POLICY,
    CleanupHost,
    was_killed,
)
from tests.cli.conftest import Host
from tests.cli.test_cleanup_leftovers import UNUSED, forget_uses, tags
from tests.cli.test_cleanup_unsure import DEAF
from tests.engine import IMAGE, Engine
from tests.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = {f"old/i{number}:1" for number in range(5)}
TERM = """
def hook(event, args):
    if event == "http.client.send" and os.environ["AT"].encode() in args[1]:
        os.kill(os.getpid(), signal.SIGTERM)
"""
"""Ends it as systemd does, right before it asks for something."""
DOWN = """
def hook(event, args):
    if event == "http.client.send":
        raise ConnectionRefusedError(111, "Connection refused")
"""
"""An engine that went down since the look, which does not use http.client."""


@pytest.fixture
def host(host: Host, engine: Engine) -> Iterator[CleanupHost]:
    """Five images that nobody has used for years, and one that a container has."""
    yield from _host(host, engine)


@pytest.fixture
def each_host(tmp_path: Path, each_engine: Engine) -> Iterator[CleanupHost]:
    """The same, and once more on an engine with the newest API."""
    yield from _host(Host(tmp_path / "root"), each_engine)


def _host(host: Host, engine: Engine) -> Iterator[CleanupHost]:
    found = CleanupHost(host, engine)
    host.policy(POLICY + UNUSED)
    for name in NAMES:
        engine.build_image(name, env={"NAME": name})
    found.container("user")
    found.apply(only=IMAGES)
    forget_uses(found)
    yield found
    for tag in tags(found) - {IMAGE}:
        engine.client.remove_image(tag)


def removal(host: CleanupHost) -> str:
    """How the request to remove an image by its id begins: by then all of them are held."""
    return f"DELETE /v{host.engine.client.api_version}/images/sha256:"


def test_several_go_in_one_run(each_host: CleanupHost) -> None:
    """Each is a decision, an action and an entry of its own."""
    host = each_host
    document = host.apply(only=IMAGES)
    assert {one["name"] for one in document["data"]["changes"]} == NAMES
    assert [one["outcome"] for one in document["actions"]] == ["done"] * 5
    assert host.log() == [("remove-image", "done")] * 5
    assert tags(host) == {IMAGE}


def test_killed_while_several_are_held(host: CleanupHost) -> None:
    """The one that was removed is gone; the next run gives all others their names back."""
    arguments = ("apply", "--yes", "--only", IMAGES)
    assert was_killed(host.with_hook(KILL_AFTER, *arguments, AFTER=removal(host)))
    assert tags(host) & NAMES == set()
    assert len(tags(host)) == 5
    host.apply(only=IMAGES)
    assert len(tags(host) & NAMES) == 4
    assert tags(host) - NAMES == {IMAGE}
    assert sorted(host.log())[:5] == [("remove-image", "done")] + [("remove-image", "failed")] * 4


def test_any_run_gives_images_their_names_back(host: CleanupHost, tmp_path: Path) -> None:
    """Not the daily one alone; but not while the job of images is at work, and may hold them."""
    arguments = ("apply", "--yes", "--only", IMAGES)
    assert was_killed(host.with_hook(KILL_AFTER, *arguments, AFTER=removal(host)))
    held = tags(host)
    assert (len(held), held & NAMES) == (5, set())
    with job_lock(host.paths, LOCK_OF_IMAGES):
        host.apply()
    assert tags(host) == held
    # what an engine that goes just then does not put back stays to be done
    failed = host.with_hook(DOWN, "apply", "--yes", "--only", CONTAINERS)
    assert (failed.returncode, failed.stdout.count("is the engine running?")) == (3, 4)
    assert tags(host) == held
    host.apply()
    assert len(tags(host) & NAMES) == 4
    assert tags(host) - NAMES == {IMAGE}
    assert "begun" not in {outcome for _, outcome in host.log()}
    with Tap(host.engine.host, tmp_path / "tap.sock") as tap:
        host.base.env["DOCKER_HOST"] = tap.host
        host.apply()
    assert tap.asked
    assert not [one for one in tap.asked if "/images/json" in one]


def test_a_removal_without_an_answer_is_settled(host: CleanupHost) -> None:
    """The look after it, or the next run, finds that all are gone."""
    done = host.with_hook(DEAF, "apply", "--yes", "--only", IMAGES, DEED=removal(host))
    assert done.returncode in {0, 3}, done.stdout + done.stderr
    assert "failed" not in {outcome for _, outcome in host.log()}
    host.apply(only=IMAGES)
    assert tags(host) == {IMAGE}
    assert [outcome for _, outcome in host.log()].count("done") == 5
    assert "begun" not in {outcome for _, outcome in host.log()}


def test_ended_while_several_are_held(host: CleanupHost) -> None:
    """A stop of its unit, or of the host, gives them their names back at once."""
    ended = host.with_hook(TERM, "apply", "--yes", "--only", IMAGES, AT=removal(host))
    assert ended.returncode == 130, ended.stderr
    assert tags(host) == {IMAGE, *NAMES}
    # and the next run knows of it
    host.apply(only=IMAGES)
    assert host.log() == [("remove-image", "failed")] * 5


def test_an_engine_that_has_gone_is_told_for_each(host: CleanupHost) -> None:
    """The run has failed in part; nothing was held."""
    ended = host.with_hook(DOWN, "apply", "--yes", "--only", IMAGES)
    assert ended.returncode == 3, ended.stderr
    assert ended.stdout.count("is the engine running?") == 5
    assert host.log() == [("remove-image", "failed")] * 5
    assert tags(host) == {IMAGE, *NAMES}
