"""What users read: every line fits, can be copied, and says when in their own time."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ds01ctl.act.notify import LONGEST_LINE, MOST_LINES
from ds01ctl.core import cleanup_words
from ds01ctl.core.cleanup_words import Ending, span

BERLIN = ZoneInfo("Europe/Berlin")
AT = datetime(2026, 11, 23, 12, 30, tzinfo=timezone.utc).astimezone(BERLIN)
HALF = timedelta(minutes=30)
IDLE = Ending(
    "train", "idle", AT, HALF, timedelta(minutes=24), timedelta(minutes=6),
    workspace="/home/alice/work", keep_for=timedelta(hours=24), hold=HALF, id="a" * 64,
)  # fmt: skip


def test_idle() -> None:
    assert cleanup_words.warning(IDLE).splitlines() == [
        'Your container "train" will be stopped in about 6 minutes, at 2026-11-23 13:30 CET.',
        "Why: for 24 minutes it has done nothing that can be seen; the limit for it is 30 minutes.",
        "To keep it running: touch /home/alice/work/.keep-alive (good for 1 day, then again)",
        "To use it again is enough, too. If it needs longer than that, ask the admin of this"
        " machine.",
        "Once stopped, start it again with: docker start train"
        " (until 2026-11-23 14:00 CET, when it is removed)",
        "Your folders and volumes stay in any case; save what is only inside of the container.",
    ]


def test_runtime_and_the_last() -> None:
    one = IDLE._replace(part="runtime", stage=2, limit=timedelta(days=2), hold=None, workspace=None)
    text = cleanup_words.warning(one)
    assert "This is the last warning." in text
    assert "it has been running for 24 minutes; the limit for it is 2 days." in text
    assert "mkdir -p ~/.ds01/keep && touch ~/.ds01/keep/train" in text
    assert "docker start train\n" in text
    assert "use it again" not in text


def test_who_removes_itself_is_told_what_is_lost() -> None:
    """A container made with --rm is gone when it stops: no word of a second start."""
    before = cleanup_words.warning(IDLE._replace(removes_itself=True)).splitlines()
    assert before[-2:] == [
        "It was made with --rm: once stopped, it is removed and can't be started again.",
        "Your folders and the volumes that have a name stay; save what is only inside of it"
        " before that.",
    ]
    after = cleanup_words.stopped(IDLE._replace(removes_itself=True, left=None)).splitlines()
    assert after[-2:] == [
        "It was made with --rm, so it is removed: what was only inside of it is gone.",
        "Your folders and the volumes that have a name stay.",
    ]
    assert "docker start" not in "\n".join([*before, *after])


def test_stopped_and_removed() -> None:
    text = cleanup_words.stopped(IDLE._replace(left=None, is_high_demand=True))
    assert text.startswith('Your container "train" was stopped at 2026-11-23 13:30 CET.\nWhy: ')
    assert "while many others wait for GPUs" in text
    assert "\nStart it again with: docker start train (until" in text
    gone = cleanup_words.removed("train", AT, HALF, was_started=True)
    assert "30 minutes after it was stopped" in gone


@pytest.mark.parametrize("name", ["x" * 5000, "a\x1b[2J\nb", "\u202e", "a'b; rm -rf ~", "", "../x"])
@pytest.mark.parametrize("folder", ["/home/a b/$(id)", "/" + "y" * 5000, "/home/\x1b[2J", None])
@pytest.mark.parametrize("left", [HALF, None])
def test_hostile_names(name: str, folder: str | None, left: timedelta | None) -> None:
    """Each line is whole on a terminal, and a command given is of one word each."""
    one = IDLE._replace(container=name, workspace=folder, left=left, is_holding=True)
    text = cleanup_words.warning(one) if left else cleanup_words.stopped(one)
    lines = text.split("\n")
    assert len(lines) <= MOST_LINES
    for line in lines:
        assert line.isprintable()
        assert len(line) <= LONGEST_LINE - len("ds01: ")
        if "docker start" in line:
            command = line.partition("with: ")[2].partition(" (until")[0]
            assert shlex.split(command)[2:] in ([name], ["a" * 12])
        if "touch /" in line:
            command = line.partition(": ")[2].partition(" (good")[0]
            assert shlex.split(command) == ["touch", f"{folder}/.keep-alive"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"), (-5, "less than a minute"), (29, "less than a minute"),
        (31, "1 minute"), (3600, "1 hour"), (5400, "1 hour 30 minutes"), (86400, "1 day"),
        (90000, "1 day 1 hour"), (86460, "1 day"), (3599, "1 hour"), (9e6, "104 days 4 hours"),
    ],
)  # fmt: skip
def test_spans(seconds: float, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


def test_summer_time() -> None:
    """The end of a hold is told in the zone of its own day."""
    before = datetime(2026, 10, 24, 23, 30, tzinfo=timezone.utc).astimezone(BERLIN)
    text = cleanup_words.warning(IDLE._replace(ends_at=before, hold=timedelta(hours=12)))
    assert "at 2026-10-25 01:30 CEST." in text
    assert "until 2026-10-25 12:30 CET" in text


def test_no_file_is_advised_where_none_would_count() -> None:
    text = cleanup_words.warning(IDLE._replace(kept_already=2))
    assert "files keep 2 of your containers already" in text
    assert "touch" not in text
    assert "To use it again is enough." in text


@pytest.mark.parametrize("name", ["train", "a b", "x" * 300, "'; rm -rf ~"])
def test_what_does_not_run_and_what_was_found(name: str) -> None:
    """Every line fits, and the command names the container whatever it is called."""
    texts = (
        cleanup_words.held(name, "a" * 64, AT, was_started=True),
        cleanup_words.stopped_before(name, "a" * 64, AT, f"idle for {name}\x1b[2J"),
    )
    for text in texts:
        lines = text.splitlines()
        assert len(lines) <= MOST_LINES
        assert all(len(line) <= LONGEST_LINE and line.isprintable() for line in lines)
        [command] = [line for line in lines if "docker start" in line]
        assert shlex.split(command.rpartition("docker start ")[2])[0] in {name, "a" * 12}
