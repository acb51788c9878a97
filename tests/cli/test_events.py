"""`events` as an admin runs it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.report.events import Event, line
from tests.cli.conftest import Host

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def fill(host: Host, count: int) -> None:
    """Write a log."""
    host.events_path.parent.mkdir()
    text = "container raw " + "y" * 200
    with host.events_path.open("wb") as file:
        for n in range(count):
            event = Event("detection.x", "alice", "test", {"n": n, "gpus": [{"index": 1}]}, text)
            file.write(line(event, NOON + timedelta(seconds=n)))


def test_no_log_yet(host: Host) -> None:
    """A fresh host has no event, and is told what writes them."""
    ran = host.run("events")
    assert ran.status == 0
    assert ran.out.startswith(f"no events in {host.events_path}: there is no such file yet")
    data = host.json("events")["data"]
    assert (data["events"], data["log_exists"], data["truncated"]) == ([], False, False)


def test_filters_that_hide_all(host: Host) -> None:
    """The options are named that nothing fits."""
    fill(host, 1)
    ran = host.run("events", "--user", "eve", "--type", "a.*")
    assert ran.out == f"no events in {host.events_path} that fit --type, --user\n"


def test_a_log_that_is_a_directory(host: Host) -> None:
    """The error says what to do."""
    host.events_path.mkdir(parents=True)
    ran = host.run("events")
    assert (ran.status, ran.out) == (1, "")
    assert "Is a directory" in ran.err
    assert "hint: events.path" in ran.err
    assert "events.path" in host.json("events", status=1)["error"]["hint"]


@pytest.mark.parametrize(("options", "shown"), [((), 1000), (("--since", "2026-11-01"), 1100)])
def test_many_events(host: Host, options: tuple[str, ...], shown: int) -> None:
    """Only the last thousand unless a time is given; what is left out is told."""
    fill(host, 1100)
    ran = host.run("events", "--json", *options)
    data = ran.document["data"]
    assert [event["details"]["n"] for event in data["events"]] == list(range(1100 - shown, 1100))
    assert data["truncated"] == (shown == 1000)
    assert ("only the last 1000 events" in ran.err) == (shown == 1000)
    last = json.loads(host.events_path.read_text().splitlines()[-1])
    assert data["events"][-1]["timestamp"] == last["timestamp"]


def test_rows_end_at_the_edge_of_the_screen(host: Host) -> None:
    """A terminal gets short rows that say which container and GPU, a pipe gets whole ones."""
    fill(host, 1)
    piped = host.run("events").out.splitlines()
    assert piped[0].startswith("TIME (")
    assert piped[1].endswith("GPU 1: container raw " + "y" * 200)
    shown = host.on_terminal("events").replace("\r", "").splitlines()
    assert "GPU 1: container raw yyy" in shown[1]
    assert (len(shown[1]), shown[1][-1]) == (200, "…")
