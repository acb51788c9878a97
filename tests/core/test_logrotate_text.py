"""What a file of logrotate's rotates, and what two of them can have in common."""

from __future__ import annotations

import pytest

from ds01ctl.core.logrotate_text import includes, is_read, may_meet, patterns

TEXT = """\
# see logrotate(8)
weekly
include /etc/logrotate.d
/var/log/a.log /var/log/b/*.log {
    daily
    postrotate
        if true; then { echo }; fi
        /usr/bin/killall /x {
    endscript
    # a } in a comment
}
"/var/log/with space.log"
/var/log/c.log
{
    missingok }
'/var/log/d.log' { rotate 3 }
/var/log/"e'.log {
}
/var/log/last.log {
"""


def test_patterns_are_found_outside_blocks_and_scripts() -> None:
    assert [tuple(one) for one in patterns(TEXT)] == [
        ("/var/log/a.log", 4),
        ("/var/log/b/*.log", 4),
        ("/var/log/with space.log", 12),
        ("/var/log/c.log", 13),
        ("/var/log/d.log", 16),
        ("/var/log/last.log", 19),
    ]
    assert includes(TEXT) == ["/etc/logrotate.d"]


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("/a/*.log", "/a/*.log", True),
        ("/a/*.log", "/a/x.log", True),
        ("/a/*.log", "/b/x.log", False),
        ("/a/*.log", "/a/x.jsonl", False),
        ("/a/*.log", "/a/b/x.log", False),
        ("/*/x*", "/a/*y", True),
        ("/a/x*", "/a/y*", False),
        ("/a/*x", "/a/*y", False),
        ("/a/?.log", "/a/bc.log", False),
        ("/a/[bc].log", "/a/b.log", True),
        ("/a/b[0-9]", "/a/b?", True),
        ("/a/**", "/a/*", True),
        ("/a/*b*c*", "/a/*c*b*", True),
        ("/a/", "/a/*", True),
    ],
)
def test_two_globs(one: str, other: str, meet: bool) -> None:
    assert may_meet(one, other) is meet
    assert may_meet(other, one) is meet


def test_names_that_an_include_leaves_out() -> None:
    names = ["ds01", "ds01.dpkg-old", "ds01~", ".ds01", "ds01.conf", "ds01,v"]
    assert [name for name in names if is_read(name)] == ["ds01", "ds01.conf"]
