"""Reading the event log: every form it takes on disk, and what is asked of it."""

from __future__ import annotations

import gzip
import json
import os
import time
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.commands import reading_events as command
from ds01ctl.commands.reading_events import Query, as_json
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.eventlog import Wanted, follow, parse_since, read_record, select
from ds01ctl.loglines import BLOCK, end_of
from ds01ctl.report.events import Event, append, line
from ds01ctl.report.events_text import cut, headings, malformed_note, none_note, rows

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def event(minutes, kind="a.b", user="alice", **details):
    return line(Event(kind, user, "test", {"n": minutes, **details}), at(minutes))


def numbers(log, **wanted):
    return [record.details["n"] for record in select(log, Wanted(**wanted)).records]


def put(path, data, *, minutes=0):
    """Write a file that was last written so many minutes after noon."""
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    os.utime(path, (at(minutes).timestamp(),) * 2)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events.jsonl"


@pytest.fixture
def filled(log):
    data = [
        event(0, "detection.container_discovered"),
        event(1, "detection.container_exited", "bob"),
        event(2, "health.check", None),
        event(3, "detection.container_exited"),
    ]
    put(log, b"".join(data), minutes=3)
    return log


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"since": at(2)}, [2, 3]),
        ({"since": at(60)}, []),
        ({"user": "alice"}, [0, 3]),
        ({"types": ("detection.*",)}, [0, 1, 3]),
        ({"types": ("health.check", "*_discovered")}, [0, 2]),
        ({"types": ("detection",)}, []),
        ({"limit": 2}, [2, 3]),
        ({"limit": 1, "user": "bob"}, [1]),
        ({"limit": 5, "since": at(1), "user": "alice", "types": ("*.container_*",)}, [3]),
    ],
)
def test_select(filled, wanted, expected):
    assert numbers(filled, **wanted) == expected


def test_no_log_is_no_events(log):
    found = select(log, Wanted())
    assert (found.lines, found.malformed, found.exists) == ((), 0, False)
    found = select(log.parent / "none/events.jsonl", Wanted())
    assert (found.lines, found.exists) == ((), False)
    put(log.with_name("events.jsonl.1"), b"")
    assert select(log, Wanted()).exists


def test_rotated_siblings_of_every_form(log):
    put(log, event(9), minutes=9)
    put(log.with_name("events.jsonl.1"), event(8), minutes=8)
    put(log.with_name("events.jsonl.2.gz"), event(6) + event(7), minutes=7)
    put(log.with_name("events.jsonl-20261122"), event(5), minutes=5)
    put(log.with_name("events.jsonl-20261121-1732233600.gz"), event(4), minutes=4)
    for other in ("events.jsonl.bak", "events.jsonl.1.swp", "other.jsonl.1", "events.jsonlx"):
        put(log.with_name(other), event(99))
    assert numbers(log) == [4, 5, 6, 7, 8, 9]
    assert numbers(log, limit=3) == [7, 8, 9]
    assert numbers(log, since=at(7)) == [7, 8, 9]
    log.unlink()
    assert numbers(log) == [4, 5, 6, 7, 8]


def test_old_files_are_not_even_opened(log):
    put(log, event(600), minutes=600)
    old = log.with_name("events.jsonl.1.gz")
    old.write_bytes(b"not gzip")
    os.utime(old, (at(0).timestamp(),) * 2)
    assert select(log, Wanted(since=at(590))).malformed == 0
    assert select(log, Wanted()).malformed == 1


@pytest.mark.parametrize("size", [1, 100, 500])
def test_blocks_never_tear_a_line(log, size):
    count = 2_500_000 // (150 + size)
    data = b"\n".join(event(n, text="ü" * (n % size)) for n in range(count))
    assert len(data) > 3 * BLOCK
    put(log, data)
    found = select(log, Wanted())
    assert [record.details["n"] for record in found.records] == list(range(count))
    assert found.malformed == 0


MALFORMED = [
    b"no json",
    b'{"timestamp": "2026-11-23T12:0',
    b"[1, 2]",
    b'"text"',
    b"{}",
    b'{"timestamp": "yesterday", "event_type": "a.b"}',
    b'{"timestamp": null, "event_type": "a.b"}',
    b'{"timestamp": "2026-11-23T12:00:00Z", "event_type": 7}',
    b'{"timestamp": 1e99, "event_type": "a.b"}',
    b'{"timestamp": true, "event_type": "a.b"}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"timestamp": ' + b"9" * 5000 + b"}",
    b"x" * (3 << 20),
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:20].decode(errors="replace"))
@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.1", "events.jsonl.1.gz"])
def test_malformed_lines_are_counted_and_told(tmp_path, name, text):
    put(tmp_path / name, event(0) + b"\n \n" + text + b"\n" + event(1) + b"oops\n" + event(2))
    found = select(tmp_path / "events.jsonl", Wanted())
    assert [record.details["n"] for record in found.records] == [0, 1, 2]
    # a zipped line that is too long is given in pieces
    assert found.malformed == 2 or (name.endswith("gz") and len(text) > 1 << 20)
    assert found.first_malformed == f"{tmp_path / name}:4"


def test_a_zip_cut_short_gives_what_it_has(tmp_path):
    whole = gzip.compress(b"".join(event(n, noise=os.urandom(500).hex()) for n in range(200)))
    (tmp_path / "events.jsonl.1.gz").write_bytes(whole[: len(whole) // 2])
    found = select(tmp_path / "events.jsonl", Wanted())
    assert 20 < len(found.lines) < 180
    assert found.malformed == 1
    assert found.first_malformed.startswith(str(tmp_path / "events.jsonl.1.gz:"))


@pytest.mark.parametrize(
    ("data", "kind", "when", "details"),
    [
        ({"ts": "2026-11-23T12:00:00Z", "event": "old.one", "gpu": 3}, "old.one", NOON, {"gpu": 3}),
        ({"ts": "2026-11-23T13:00:00+0100", "event": "x", "details": {}}, "x", NOON, {}),
        ({"timestamp": "2026-11-23T12:00:00.000000001", "event_type": "x"}, "x", NOON, {}),
        ({"ts": NOON.timestamp(), "event": "x", "details": "text"}, "x", NOON, {"details": "text"}),
    ],
)
def test_older_records(data, kind, when, details):
    record = read_record(json.dumps(data).encode())
    assert (record.type, record.time, record.details) == (kind, when, details)


def test_one_clock_gone_wrong_does_not_end_the_search(log):
    texts = [event(n) for n in range(10)]
    put(log, b"".join([*texts[:5], event(-9999), *texts[5:]]))
    assert numbers(log, since=at(2)) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_a_large_log_is_read_no_further_than_asked(log):
    old = event(0, text="x" * 900)
    with log.open("wb") as file:
        for _ in range(100):
            file.write(old * 1000)
        file.write(event(600) + event(601))
    os.utime(log, (at(601).timestamp(),) * 2)
    assert numbers(log, since=at(500)) == [600, 601]
    assert numbers(log, limit=1) == [601]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOON - timedelta(seconds=90)),
        ("30m", NOON - timedelta(minutes=30)),
        ("2h", NOON - timedelta(hours=2)),
        ("1d12h", NOON - timedelta(hours=36)),
        ("2w", NOON - timedelta(days=14)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=timezone.utc)),
        ("2026-11-22T10:00+02:00", datetime(2026, 11, 22, 8, tzinfo=timezone.utc)),
        ("2026-11-22 10:00Z", datetime(2026, 11, 22, 10, tzinfo=timezone.utc)),
        ("2026-11-22", datetime(2026, 11, 22).astimezone()),
        ("2026-11-22 10:00", datetime(2026, 11, 22, 10).astimezone()),
        ("2026-11-22T10:00:30", datetime(2026, 11, 22, 10, 0, 30).astimezone()),
    ],
)
def test_parse_since(text, expected):
    assert parse_since(text, NOON) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "10:00",
        "2026-11-22Z",
        "h",
        "-2h",
        "yesterday",
        "2026-13-01",
        "٢h",
        "2h\x1b[m",
        "999999w",
    ],
)
def test_a_time_that_is_none(text):
    with pytest.raises(UsageError) as caught:
        parse_since(text, NOON)
    assert "--since" in caught.value.message
    assert caught.value.message.isprintable()


def test_a_log_that_is_no_file(log):
    log.mkdir()
    with pytest.raises(Ds01Error, match="Is a directory") as caught:
        select(log, Wanted())
    assert "events.path" in caught.value.hint


def test_a_log_below_a_file(log):
    log.write_text("in the way")
    with pytest.raises(Ds01Error, match="Not a directory") as caught:
        select(log / "events.jsonl", Wanted())
    assert "events.path" in caught.value.hint


@pytest.mark.parametrize(
    ("limit", "is_cut"), [(None, False), (5, False), (4, False), (3, True), (1, True)]
)
def test_what_a_limit_leaves_out_is_noticed(filled, limit, is_cut):
    assert select(filled, Wanted(limit=limit)).is_cut == is_cut
    # only what fits counts
    assert not select(filled, Wanted(limit=1, user="bob")).is_cut


# --- follow ---


class Meanwhile:
    """What happens to the log while the follower waits, one step each time."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self):
        if self.steps:
            self.steps.pop(0)()
            return True
        return False


def followed(log, *steps, **wanted):
    records = follow(log, end_of(log), Wanted(**wanted), Meanwhile(*steps))
    return [record.details["n"] for record in records]


def add(log, data):
    def step():
        with log.open("ab") as file:
            file.write(data)

    return step


def rotate(log):
    return lambda: log.rename(log.with_name("events.jsonl.1"))


def test_follow(log):
    put(log, event(0))
    steps = [add(log, event(1)), lambda: None, add(log, event(2) + event(3, user="bob") + event(4))]
    assert followed(log, *steps, user="alice") == [1, 2, 4]


def test_follow_waits_for_the_rest_of_a_line(log):
    put(log, event(0) + event(1)[:20])
    assert followed(log, add(log, event(1)[20:-5]), add(log, event(1)[-5:])) == [1]


def test_follow_a_log_that_is_not_there_yet(log):
    assert followed(log, lambda: None, add(log, event(0))) == [0]


def test_follow_through_rotation_loses_nothing(log):
    old = log.with_name("events.jsonl.1")
    put(log, event(0))
    steps = [
        rotate(log),
        add(old, event(1)),
        add(log, event(2)),
        lambda: (add(old, event(3))(), rotate(log)(), add(log, event(4))()),
        add(log, event(5)),
    ]
    # 3 was written into the file of before the last rotation, which nobody follows any more
    assert followed(log, *steps) == [1, 2, 4, 5]


def test_follow_through_copytruncate(log):
    put(log, event(0) * 10)
    steps = [add(log, event(1)), lambda: os.truncate(log, 0), add(log, event(2))]
    assert followed(log, *steps) == [1, 2]


def test_follow_steps_over_malformed_lines(log):
    put(log, event(0))
    assert followed(log, add(log, b"oops\n\n" + event(1))) == [1]


def test_follow_on_from_what_was_shown(log):
    put(log, event(0))
    later = command.run(log, Query(), host="h", now=NOON).coming
    append([Event("a.b", "alice", "test", {"n": 1})], log, log.parent / "none", at(1))
    assert next(later).details["n"] == 1
    later.close()


# --- the command ---


def test_result(filled):
    add(filled, b"oops\n")()
    query = Query(since="1h", types=("detection.*",), limit=1)
    reading = command.run(filled, query, host="gpu01", now=NOON)
    document = json.loads("".join(reading.document()))
    assert (document["command"], document["status"]) == ("events", "ok")
    assert document["data"] == {
        "log": str(filled),
        "log_exists": True,
        "limit": 1,
        "truncated": True,
        "events": [
            {
                "timestamp": "2026-11-23T12:03:00.000Z",
                "event_type": "detection.container_exited",
                "user": "alice",
                "source": "test",
                "details": {"n": 3},
            }
        ],
        "malformed_lines": 1,
        "first_malformed": f"{filled}:5",
    }
    note = malformed_note(document["data"])
    assert note == f"1 line is not an event, the first at {filled}:5"


def test_time_is_the_same_in_the_log_and_in_what_is_told(log):
    moment = NOON + timedelta(microseconds=123_999)
    append([Event("a.b", None, "s", {"at": moment})], log, log.parent / "none", moment)
    (record,) = select(log, Wanted()).records
    logged = json.loads(log.read_bytes())
    told = as_json(record)
    assert told["timestamp"] == logged["timestamp"] == "2026-11-23T12:00:00.123Z"
    assert told["details"] == logged["details"] == {"at": "2026-11-23T12:00:00Z"}


def test_a_host_with_a_name_like_json_does_not_break_the_document(filled):
    reading = command.run(filled, Query(), host='"events":[]', now=NOON)
    document = json.loads("".join(reading.document()))
    assert document["host"] == '"events":[]'
    assert len(document["data"]["events"]) == 4


def data_of(log, **query):
    return command.run(log, Query(**query), host="h", now=NOON).result.data


def test_only_the_last_thousand_unless_more_are_asked_for(log):
    put(log, b"".join(event(n) for n in range(1001)), minutes=1001)
    reading = command.run(log, Query(), host="h", now=NOON)
    assert [record.details["n"] for record in reading.found.records] == list(range(1, 1001))
    assert (reading.result.data["limit"], reading.result.data["truncated"]) == (1000, True)
    assert not data_of(log, since="2026-11-01")["truncated"]
    assert not data_of(log, limit=1001)["truncated"]
    assert data_of(log, since="2026-11-01")["limit"] is None


def test_no_events_says_where_and_why(filled):
    none = filled.with_name("none.jsonl")
    assert none_note(data_of(none), ()) == (
        f"no events in {none}: there is no such file yet (detect --record writes it)"
    )
    query = Query(since="1h", types=("x",), user="eve")
    assert query.filters == ("--since", "--type", "--user")
    note = none_note(data_of(filled), query.filters)
    assert note == f"no events in {filled} that fit --since, --type, --user"
    assert none_note(data_of(filled), Query().filters) == f"no events in {filled}"


def test_no_note_when_all_is_well(filled):
    assert malformed_note(data_of(filled)) is None


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ({}, ""),
        ({"gpus": 2, "name": "x\n\x1b[31m[red]"}, r"x\n\x1b[31m[red] gpus=2"),
        ({"kind": "k", "name": "python", "pid": 7}, "7 python kind=k"),
        ({"gpus": [{"index": 3}, {"index": 0}, {"index": 0}], "pid": 7}, "7 [GPU 0, 3]"),
        ({"gpus": [{"index": None}, 5, {"index": "x"}], "name": ""}, None),
        ({"message": "container raw", "gpus": [{"index": 1}]}, "GPU 1: container raw"),
        ({"message": "raw uses GPU 1", "gpus": [{"index": 1}]}, "raw uses GPU 1"),
        ({"message": "one\ttwo", "gpus": 2}, r"one\ttwo"),
        ({"list": ["ü"], "k\n": None}, 'list=["ü"] k\\n=null'),
    ],
)
def test_rows_are_harmless(details, shown):
    record = read_record(line(Event("a.b\x07", None, "s", details), NOON))
    (row,) = rows([as_json(record)])
    shown = 'gpus=[{"index": null}, 5, {"index": "x"}] name=' if shown is None else shown
    assert row == (f"{NOON.astimezone():%Y-%m-%d %H:%M:%S}", r"a.b\x07", "-", shown)


def test_the_heading_names_the_zone(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    summer = datetime(2026, 7, 1, tzinfo=timezone.utc)
    assert headings([NOON]) == ("TIME (CET)", "EVENT", "USER", "DETAILS")
    assert headings([summer, NOON, NOON])[0] == "TIME (CEST/CET)"
    assert headings([])[0] == "TIME"


@pytest.fixture
def local_zone(monkeypatch):
    """Move the test to another zone."""

    def move(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        ("abcdef", None, "abcdef"),
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("ab", 1, "…"),
    ],
)
def test_lines_fit_the_screen(line, width, shown):
    assert list(cut([line], width)) == [shown]
