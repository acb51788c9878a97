"""Events on their way into the log and the journal."""

from __future__ import annotations

import array
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.report.events import LINE_MAX, Event, append, line
from ds01ctl.report.text import printable

NOON = datetime(2026, 11, 23, 12, 0, 0, 5000, timezone.utc)
FOUND = Event(
    "detection.container_discovered",
    "alice",
    "ds01ctl detect",
    {"container": "ab12", "gpus": 2, "at": NOON},
    "alice started a container",
)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log/events.jsonl"


@pytest.fixture
def nowhere(tmp_path):
    return tmp_path / "no-journal"


def test_schema_v1():
    assert json.loads(line(FOUND, NOON)) == {
        "timestamp": "2026-11-23T12:00:00.005Z",
        "event_type": "detection.container_discovered",
        "schema_version": "1",
        "user": "alice",
        "source": "ds01ctl detect",
        "details": {
            "container": "ab12",
            "gpus": 2,
            "at": "2026-11-23T12:00:00Z",
            "message": "alice started a container",
        },
    }


def test_no_user_and_no_details():
    record = json.loads(line(Event("health.check", None, "x"), NOON))
    assert "user" not in record
    assert record["details"] == {}


def test_time_is_utc():
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert line(FOUND, east) == line(FOUND, NOON)


def test_one_form_of_time_whatever_the_zone():
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    event = Event("a.b", "u", "s", {"at": east, "deep": [{"at": east, "ids": {"b", "a"}}]})
    record = json.loads(line(event, east))
    assert record["timestamp"] == "2026-11-23T12:00:00.005Z"
    noon = "2026-11-23T12:00:00Z"
    assert record["details"] == {"at": noon, "deep": [{"at": noon, "ids": ["a", "b"]}]}


def test_what_is_too_long_still_says_whom_it_is_about():
    event = Event("a.b", "u", "s", {"x": "y" * 9000}, "container raw of bob " + "\U0001f600" * 999)
    text = line(event, NOON)
    details = json.loads(text)["details"]
    assert len(text) <= LINE_MAX
    assert details["truncated"]
    assert details["message"].startswith("container raw of bob ")


CIRCLE: dict[str, object] = {}
CIRCLE["me"] = CIRCLE


@pytest.mark.parametrize(
    "event",
    [
        Event("a.b", "u", "s", {"label": "x" * 10_000}),
        Event("a.b", "u", "s", {"label": "\U0001f600" * 400}),
        Event("a.b", "u", "s", {f"k{n}": n for n in range(1000)}),
        Event("a.b" * 2000, "u\n" * 5000, "\U0001f600" * 4000, {}),
        Event("a.b", "u", "s", {"label": "one\ntwo\r\x1b[31m\u2028\x85\x00\udcff"}),
        Event("a.b", "u", "s", CIRCLE),
        Event("a.b", "u", "s", {("a", "tuple"): 1}),
        Event("a.b", None, "s", {"set": {1}}, "m" * 9000),
    ],
)
def test_whatever_it_holds_it_is_one_short_line(event):
    text = line(event, NOON)
    assert len(text) <= LINE_MAX
    assert text.count(b"\n") == 1
    assert text.endswith(b"\n")
    assert len(text.splitlines()) == 1
    assert text[:-1].decode("ascii").isprintable()
    record = json.loads(text)
    assert record["event_type"].startswith("a.b")


@pytest.mark.parametrize("size", range(3800, 3900))
def test_details_are_kept_up_to_the_last_byte(size):
    text = line(Event("a.b", "u", "s", {"x": "y" * size}), NOON)
    record = json.loads(text)
    assert len(text) <= LINE_MAX
    if "truncated" in record["details"]:
        assert record["details"] == {"truncated": True, "original_size": size + 8}
        whole = len(text) - len(json.dumps(record["details"], separators=(",", ":"))) + size + 8
        assert whole > LINE_MAX


def test_log_is_made_as_the_platform_has_it(log, nowhere):
    before = os.umask(0o077)
    try:
        assert append([FOUND, FOUND], log, nowhere, NOON) == ()
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o775
    assert stat.S_IMODE(log.stat().st_mode) == 0o664
    assert log.read_bytes() == line(FOUND, NOON) * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_log_is_of_the_directory_group(log, nowhere):
    log.parent.mkdir()
    os.chown(log.parent, 0, 65534)
    append([FOUND], log, nowhere, NOON)
    assert log.stat().st_gid == 65534


def test_no_events_make_no_log(log, nowhere):
    assert append([], log, nowhere, NOON) == ()
    assert not log.parent.exists()


def test_a_line_cut_short_by_another_writer_stays_alone(log, nowhere):
    log.parent.mkdir()
    log.write_bytes(b'{"timestamp": "20')
    append([FOUND, FOUND], log, nowhere, NOON)
    append([FOUND], log, nowhere, NOON)
    assert log.read_bytes() == b'{"timestamp": "20\n' + line(FOUND, NOON) * 3


def test_many_writers_never_mix(log, nowhere):
    log.parent.mkdir()
    events = [[Event("a.b", str(n), "s", {"x": "y" * 3000})] * 25 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        gaps = list(pool.map(lambda some: append(some, log, nowhere, NOON), events))
    assert gaps == [()] * 8
    users = [json.loads(text)["user"] for text in log.read_bytes().splitlines()]
    assert sorted(users) == sorted(str(n) for n in range(8) for _ in range(25))


def in_a_file(log):
    log.parent.write_text("in the way")


def a_directory(log):
    log.mkdir(parents=True)


def a_link(log):
    log.parent.mkdir()
    log.symlink_to(log.parent / "elsewhere")


@pytest.mark.parametrize("spoil", [in_a_file, a_directory, a_link])
def test_what_cannot_be_written_is_a_gap(log, nowhere, spoil):
    spoil(log)
    (gap,) = append([FOUND], log, nowhere, NOON)
    assert (gap.source, gap.kind) == ("events", "failed")
    assert gap.reason.startswith(f"{log}: ")


def test_no_parent_for_the_directory(tmp_path, nowhere):
    (gap,) = append([FOUND], tmp_path / "a/b/events.jsonl", nowhere, NOON)
    assert gap.reason.endswith("No such file or directory")


def test_full_disk_is_a_gap_and_the_journal_still_hears(log, journal):
    log.parent.mkdir()
    log.write_bytes(b"x" * 4090 + b"\n")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4100, limit[1]))
    try:
        gaps = append([FOUND], log, journal.path, NOON)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert [(gap.source, gap.kind) for gap in gaps] == [("events", "failed")]
    assert "of" in gaps[0].reason
    assert journal.entry()["DS01_USER"] == "alice"
    # and the next one is whole
    append([FOUND], log, journal.path, NOON)
    assert log.read_bytes().endswith(b"\n" + line(FOUND, NOON))


# --- the journal ---


class Journal:
    """Listen as journald does, and take datagrams and memory files apart by its protocol."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.bind(str(path))

    def entry(self):
        size = array.array("i").itemsize
        data, rights, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(size))
        if rights:
            fd = int.from_bytes(rights[0][2][:size], "little")
            with os.fdopen(fd, "rb") as file, mmap.mmap(fd, 0, prot=mmap.PROT_READ) as memory:
                # journald takes only what can't be changed while it reads
                seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
                assert seals & fcntl.F_SEAL_WRITE
                assert seals & fcntl.F_SEAL_SHRINK
                data = memory[:]
        return parse(data)


def parse(data):
    fields = {}
    while data:
        head, _, data = data.partition(b"\n")
        if b"=" in head:
            name, _, value = head.partition(b"=")
        else:
            name, size = head, int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size :]
            assert data[:1] == b"\n"
            data = data[1:]
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def journal(tmp_path):
    listening = Journal(tmp_path / "journal")
    yield listening
    listening.socket.close()


def test_journal_fields(log, journal):
    assert append([FOUND], log, journal.path, NOON) == ()
    entry = journal.entry()
    assert json.loads(entry.pop("DS01_DETAILS"))["container"] == "ab12"
    assert entry == {
        "MESSAGE": "alice started a container",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "ds01ctl",
        "DS01_EVENT": "detection.container_discovered",
        "DS01_SOURCE": "ds01ctl detect",
        "DS01_USER": "alice",
    }


def test_journal_takes_no_forged_fields(log, journal):
    forged = Event("a.b", "eve\nPRIORITY=0\n", "s", {}, "hi\nMESSAGE=forged\x1b[31m", 4)
    append([forged], log, journal.path, NOON)
    entry = journal.entry()
    assert entry["PRIORITY"] == "4"
    assert entry["DS01_USER"] == "eve\nPRIORITY=0\n"
    assert entry["MESSAGE"] == r"hi\nMESSAGE=forged\x1b[31m"


def test_journal_takes_what_is_too_large_for_a_datagram(log, journal):
    append([Event("a.b", "u", "s", {"x": "y" * 2_000_000})], log, journal.path, NOON)
    entry = journal.entry()
    assert entry["DS01_USER"] == "u"
    assert len(entry["DS01_DETAILS"]) > 2_000_000


def test_no_user_is_no_field(log, journal):
    append([Event("a.b", None, "s")], log, journal.path, NOON)
    entry = journal.entry()
    assert "DS01_USER" not in entry
    assert entry["MESSAGE"] == "a.b"


def test_a_journal_that_is_gone_is_no_gap(log, journal):
    journal.socket.close()
    assert append([FOUND], log, journal.path, NOON) == ()


def test_a_journal_that_hangs_is_a_gap(log, journal):
    gaps = append([FOUND] * 5000, log, journal.path, NOON)
    assert [(gap.kind, gap.reason) for gap in gaps] == [("failed", "journal: timed out")]
    assert log.read_bytes() == line(FOUND, NOON) * 5000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü [red]", "plain ü [red]"),
        ("\x1b[31m\n", r"\x1b[31m\n"),
        ("\u2028\x85\x9b\udcff", r"\u2028\x85\x9b\udcff"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
