"""Reading yes or no, and numbers: what YAML writes without quotes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.config.nodes import is_plain, text_of
from ds01ctl.core.grid_providers import HIGHEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.config.nodes import Node
    from ds01ctl.core.key import Key

NUMBER = re.compile(r"[+-]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_YES = {"true", "yes", "on"}
_NO = {"false", "no", "off"}


def read_bool(_key: Key, node: Node) -> bool:
    """Read yes or no, in the words of YAML 1.1. Raises ValueError."""
    word = text_of(node).lower()
    if not is_plain(node) or word not in _YES | _NO:
        raise ValueError
    return word in _YES


def read_number(_key: Key, node: Node) -> int | float:
    """Read a number that is not negative. Raises ValueError."""
    text = text_of(node)
    if not is_plain(node) or not NUMBER.fullmatch(text) or len(text) > 30:
        raise ValueError
    number = float(text)
    if not 0 <= number < 1e18:
        raise ValueError
    return int(text) if text.lstrip("+").replace("_", "").isdecimal() else number


def read_count(key: Key, node: Node) -> int:
    """Read a whole number that is not negative. Raises ValueError."""
    number = read_number(key, node)
    if not isinstance(number, int):
        raise ValueError  # noqa: TRY004 -- the file's type is wrong, not the program's
    return number


def count_from(lowest: int, highest: int) -> Callable[[Key, Node], int]:
    """Make a reader of whole numbers within bounds."""

    def read(key: Key, node: Node) -> int:
        number = read_count(key, node)
        if not lowest <= number <= highest:
            raise ValueError
        return number

    return read


def number_within(lowest: float, highest: float) -> Callable[[Key, Node], int | float]:
    """Make a reader of numbers within bounds."""

    def read(key: Key, node: Node) -> int | float:
        number = read_number(key, node)
        if not lowest <= number <= highest:
            raise ValueError
        return number

    return read


def up_to(highest: float) -> Callable[[Key, Node], int | float]:
    """Make a reader of numbers with an upper bound."""
    return number_within(0, highest)


READERS: dict[str, Callable[[Key, Node], bool | int | float]] = {
    "bool": read_bool,
    "count": read_count,
    "number": read_number,
    "fraction": up_to(1),
    "percent": up_to(100),
    "intensity": up_to(HIGHEST),
    "pue": number_within(1, 10),
}
