"""Paths that go into units, logrotate.d and tmpfiles.d mean there what they say, or are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.config.sample import load, problems_of

if TYPE_CHECKING:
    from pathlib import Path

LOG = "events.path"
FOLDER = "metrics.textfile_dir"
SECRET = "mail.password_file"


def policy(key: str, value: str) -> str:
    section, _, name = key.partition(".")
    return f"{section}:\n  {name}: {json.dumps(value)}\n"


@pytest.mark.parametrize("key", [LOG, FOLDER, SECRET])
@pytest.mark.parametrize(
    "value",
    [
        "relative/x", "/", "//", "/a//b.log", "/a/../b.log", "/a/..", "/../a/b", "/a/./b.log",
        '/x/a" /etc/shadow "b.log', "/x/a'b.log", "/x/a\\b.log", "/x/$HOME/b.log",
        "/x/a\nb.log", "/x/a\tb.log", "/x/a\x1bb.log", "/x/\u202eb.log", "/x/b.log ",
        "/x/b.log\u00a0",
    ],
)  # fmt: skip
def test_what_is_refused_everywhere(tmp_path: Path, key: str, value: str) -> None:
    (problem,) = problems_of(tmp_path, policy(key, value))
    assert (problem.line, problem.key) == (2, key)
    assert "expected" in problem.message


@pytest.mark.parametrize(
    "value",
    ["/e.jsonl", "/x/e v.log", "/x/ev[1].log", "/x/e*.log", "/x/e?.log", "/x/e{v.log", "/x/e}",
     "/var/log/ds01/"],
)  # fmt: skip
def test_what_a_log_may_not_be(tmp_path: Path, value: str) -> None:
    (problem,) = problems_of(tmp_path, policy(LOG, value))
    assert (problem.line, problem.key) == (2, LOG)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (LOG, "/var/log/ds01/events.jsonl"),
        (LOG, "/srv/ö..x/100%#~,;.log"),
        (FOLDER, "/var/lib/prometheus/node-exporter/"),
        (FOLDER, "/srv/my  metrics 5%"),
        (FOLDER, "/metrics"),
        (SECRET, "/etc/ds01/mail secret: x{1}*"),
    ],
)
def test_what_is_taken_as_it_is(tmp_path: Path, key: str, value: str) -> None:
    assert load(tmp_path, policy(key, value)).value(key) == value
