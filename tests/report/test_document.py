"""The JSON document is one and the same, however long its lists are and whatever is in them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

import pytest

from ds01ctl.report import document

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, {}),
        ({"data": {}}, {"data": {}}),
        ({"data": {"rows": [], "deep": {"a": {"b": [1, None, "ö\x1b"]}}}},) * 2,
        ({"data": {"rows": [{"n": n, "t": "\u2028"} for n in range(1234)]}, "error": None},) * 2,
        ({"actions": list(range(200)), "more": list(range(201))},) * 2,
        ({"data": {"time": NOON, "set": {2, 1}, "map": MappingProxyType({"a": (1, 2)})}},
         {"data": {"time": "2026-11-23T12:00:00Z", "set": [1, 2], "map": {"a": [1, 2]}}}),
        ({"data": {1001: "alice", "b": 2}}, {"data": {"1001": "alice", "b": 2}}),
        ({"data": MappingProxyType({"a": tuple(range(500))})}, {"data": {"a": [*range(500)]}}),
    ],
)  # fmt: skip
def test_a_document_in_pieces_is_what_it_is_as_a_whole(value: Any, expected: Any) -> None:
    text = "".join(document.pieces(value))
    assert json.loads(text) == expected
    assert text.isascii()
    assert text.isprintable()
    assert document.dumps(value) == text


def test_no_piece_of_a_long_list_is_long() -> None:
    """Else the memory of a report of 10,000 users would be that of its text, twice."""
    rows = [{"user": f"user{number}", "places": [{"used": number}]} for number in range(10_000)]
    pieces = list(document.pieces({"data": {"rows": rows}}))
    assert max(map(len, pieces)) < sum(map(len, pieces)) / 40
