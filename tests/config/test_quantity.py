"""Sizes and durations are exact, and never guessed."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.quantity import parse_duration, parse_percent, parse_size
from tests.config.sample import load

if TYPE_CHECKING:
    from pathlib import Path

G = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32g", 32 * G),
        ("32G", 32 * G),
        ("32gb", 32 * G),
        ("32GiB", 32 * G),
        ("1.5g", 3 * G // 2),
        ("1T", 1024 * G),
        ("512m", G // 2),
        ("4096k", 4 << 20),
        ("100b", 100),
        ("1048576", 1 << 20),
        ("0.1k", 102),
        ("infinity", None),
        ("max", None),
    ],
)
def test_size(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "g", "-1g", "1x", "1 2g", "0x10", "80%", "1,5g", "1e3", "1gg"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize(
    "text", ["", "48", "h", "0,5h", "-1h", "1x", "24 h 3", "1h-2m", "hh", "1..5h"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("0.5h", 1800), ("0.01h", 36), ("90m", 5400), ("1h30m", 5400),
     ("1h 30m", 5400), ("30s", 30), ("1d", 86400), ("2 days", 172800), ("15 min", 900)],
)  # fmt: skip
def test_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


def test_any_duration_is_exact() -> None:
    """Digits are never joined, nor a fraction lost, whatever the number and the unit."""
    chance = random.Random(2)
    for _ in range(2000):
        whole, digits = chance.randrange(10**6), chance.randrange(1, 7)
        part = chance.randrange(10**digits)
        unit, seconds = chance.choice([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)])
        expected = (whole + Fraction(part, 10**digits)) * seconds
        assert parse_duration(f"{whole}.{part:0{digits}}{unit}") == expected


def test_percent() -> None:
    assert (parse_percent("9600%"), parse_percent("12.5 %")) == (9600, 12.5)


def test_sizes_of_the_two_kinds(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        "defaults: {memory: 32g, shm_size: 1073741824}\n"
        "groups:\n"
        "  student: {aggregate: {memory_max: 80%, memory_high: infinity, cpu_quota: infinity}}\n",
    )
    limits = ("memory", "shm_size", "aggregate.memory_max", "aggregate.memory_high")
    assert [policy.limit("x", key).value for key in limits] == [32 * G, G, "80%", None]
    assert policy.limit("x", "aggregate.cpu_quota").origin is not None
