"""What each kind of key accepts, and what it becomes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from ds01ctl.config import disk, scalars
from ds01ctl.config.forms import (
    EXPECTED,
    ITEM,
    is_address,
    is_host,
    is_log_path,
    is_plain_path,
    is_schedule,
    is_url,
)
from ds01ctl.config.nearest import did_you_mean
from ds01ctl.config.nodes import is_null, is_plain, line_of, shown, text_of
from ds01ctl.config.rates import MOST_OPERATIONS, cpu_list, device_rate
from ds01ctl.config.scalars import NUMBER, count_from, up_to
from ds01ctl.core.policy import canonical
from ds01ctl.core.quantity import parse_duration, parse_percent, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from ds01ctl.config.nodes import Node
    from ds01ctl.core.key import Key

T = TypeVar("T")
_HUNDRED_YEARS_S = 100 * 366 * 86400
_SMALLEST_SIZE = 1 << 20
UNIT_SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
LISTS = {"texts", "logins", "paths", "hosts", "choices", "addresses", "percents", "ports"}
_NO_LOGIN = r"""[\s:/,#;"|=*?<>()\[\]{}]"""


class WrongValueError(ValueError):
    """A value is wrong; the message says how."""

    def __init__(
        self, message: str, *, expects: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message)
        self.expects = expects
        """What would be right; None: what the key accepts, empty: the message says it all."""
        self.line = line
        """Of a list's entry."""


def expected(key: Key) -> str:
    """Say what a key accepts, for messages and the reference."""
    if key.kind in {"choice", "choices"}:
        words = ", ".join(key.choices)
        what = f"one of {words}" if key.kind == "choice" else f"a list of any of {words}"
    else:
        what = EXPECTED[key.kind]
    above = " above 0" if key.positive and key.kind != "cpu_quota" else ""
    most = f" up to {key.most:g}" if key.most is not None else ""
    return f"{what}{above}{most}" + (f", or null: {key.null}" if key.null else "")


def read_value(key: Key, node: Node) -> Any:
    """Read the value of a key. Raises WrongValueError: what is wrong and what is expected."""
    if is_null(node):
        return _null(key)
    try:
        value = READERS[key.kind](key, node)
    except WrongValueError as error:
        wanted = expected(key) if error.expects is None else error.expects
        message = f"{error}; expected {wanted}" if wanted else str(error)
        raise WrongValueError(message, line=error.line) from None
    except ValueError:
        raise WrongValueError(f"{shown(node)}; expected {expected(key)}") from None
    if isinstance(value, (int, float)) and not _is_within(key, value):
        raise WrongValueError(f"{shown(node)}; expected {expected(key)}")
    return value


def _is_within(key: Key, value: float) -> bool:
    return (value > 0 or not key.positive) and (key.most is None or value <= key.most)


def read_old_duration(key: Key, node: Node) -> int | float | None:
    """Read the value of a key's old name, which carries its unit. Raises ValueError."""
    if is_null(node):
        value = _null(key)
        return value if value is None else float(value)
    text = text_of(node).strip()
    if NUMBER.fullmatch(text) and not (key.old.endswith("_seconds") and is_plain(node)):
        meant = f"write {key.name}: {text} if it means {key.kind}"
        raise ValueError(f"{text} has no unit; {meant}")
    return _checked_duration(key, node, text)


def _checked_duration(key: Key, node: Node, text: str) -> int | float:
    try:
        seconds = parse_duration(f"{text}s" if NUMBER.fullmatch(text) else text)
    except ValueError:
        raise ValueError(f"{shown(node)}; expected a duration such as 24h or 90m") from None
    value = _tidy(seconds / UNIT_SECONDS[key.kind])
    if seconds > _HUNDRED_YEARS_S or not _is_within(key, value):
        raise ValueError(f"{shown(node)}; expected {expected(key)}")
    return value


def _null(key: Key) -> Any:
    if key.kind in LISTS:
        return ()
    if not key.null:
        raise ValueError(f"is null; expected {expected(key)}")
    return None


def _tidy(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def _size(_key: Key, node: Node) -> int | None:
    text = text_of(node)
    size = parse_size(text) if text[:1].isdigit() else None
    if size is None:
        raise ValueError
    if size < _SMALLEST_SIZE:
        raise WrongValueError(f"is {size} bytes, too small to be meant")
    return size


def _host_size(key: Key, node: Node) -> int | str | None:
    text = text_of(node).strip()
    if text.endswith("%"):
        if not 0 < parse_percent(text) <= 100:
            raise ValueError
        return text
    return None if text.lower() in {"infinity", "max"} else _size(key, node)


def _swap_size(key: Key, node: Node) -> int | None:
    text = text_of(node).strip()
    if text.lower() in {"infinity", "max"}:
        return None
    return 0 if re.fullmatch(r"0+[a-zA-Z]?", text) else _size(key, node)


def _cpu_quota(_key: Key, node: Node) -> int | float | None:
    text = text_of(node).strip()
    return None if text.lower() == "infinity" else parse_percent(text)


def _percentage(_key: Key, node: Node) -> int | float:
    text = text_of(node).strip()
    # systemd keeps two decimals; with more, a small share would become 0%
    if not re.fullmatch(r"\d+(\.\d\d?)?\s*%", text) or not 0 < parse_percent(text) <= 100:
        raise ValueError
    return parse_percent(text)


def _text_read_by(read: Callable[[str], T]) -> Callable[[Key, Node], T]:
    return lambda _key, node: read(text_of(node))


def _device_rate(key: Key, node: Node) -> str:
    path, rate = device_rate(text_of(node))
    if key.unit == "operations a second" and rate > MOST_OPERATIONS:
        raise ValueError
    return f"{path} {rate}"


def _device_rates(key: Key, node: Node) -> tuple[str, ...]:
    """Read a list of rates, or one rate alone; one path has one rate."""
    if node.id != "sequence":
        return (_device_rate(key, node),)
    rates = _list_of(_device_rate)(key, node)
    seen: set[str] = set()
    for item, rate in zip(node.value, rates, strict=True):
        path = rate.partition(" ")[0]
        if path in seen:
            raise WrongValueError(f"{path} is here twice", expects="", line=line_of(item))
        seen.add(path)
    return rates


def _word(_key: Key, node: Node) -> str:
    text = text_of(node)
    if not text.strip() or not text.isprintable():
        raise ValueError
    return text


def _path(key: Key, node: Node) -> str:
    if not (text := _word(key, node)).startswith("/"):
        raise ValueError
    return text


def _path_that(is_right: Callable[[str], bool]) -> Callable[[Key, Node], str]:
    def read(key: Key, node: Node) -> str:
        if not is_right(text := _path(key, node)):
            raise ValueError
        return text

    return read


def _formed(is_right: Callable[[str], bool]) -> Callable[[Key, Node], str]:
    def read(key: Key, node: Node) -> str:
        text = " ".join(_word(key, node).split())
        if not is_right(text):
            raise ValueError
        return text

    return read


def login(_key: Key | None, node: Node) -> str:
    """Read a login, digits included. Raises ValueError."""
    check_login(text := text_of(node))
    return text


def check_login(text: str) -> None:
    """Refuse what cannot be a login, or would have an empty slice name. Raises ValueError."""
    if re.search(_NO_LOGIN, text) or not text.isprintable() or not canonical(text):
        raise WrongValueError(f"{text[:60]!r} is not a login", expects="")


def _choice(key: Key, node: Node) -> str:
    if (text := text_of(node)) not in key.choices:
        near = did_you_mean(text, key.choices)
        raise WrongValueError(f"{text[:60]!r} is not known{near}", expects="")
    return text


def _list_of(read: Callable[[Key, Node], T]) -> Callable[[Key, Node], tuple[T, ...]]:
    def read_list(key: Key, node: Node) -> tuple[T, ...]:
        if node.id != "sequence":
            raise ValueError
        return tuple(
            _read_item(read, key, item, number) for number, item in enumerate(node.value, 1)
        )

    return read_list


def _read_item(read: Callable[[Key, Node], T], key: Key, item: Node, number: int) -> T:
    line = line_of(item)
    try:
        return read(key, item)
    except WrongValueError as error:
        raise WrongValueError(str(error), expects=error.expects, line=line) from None
    except ValueError:
        message = f"entry {number} {shown(item)}"
        raise WrongValueError(message, expects=ITEM.get(key.kind), line=line) from None


def _percents(key: Key, node: Node) -> tuple[int, ...]:
    return tuple(sorted(set(_list_of(count_from(1, 100))(key, node))))


def _any(_key: Key, node: Node) -> str | None:
    return str(node.value) if node.id == "scalar" else None


READERS: dict[str, Callable[[Key, Node], Any]] = {
    **scalars.READERS,
    "days": up_to(_HUNDRED_YEARS_S / 86400),
    "hours": up_to(_HUNDRED_YEARS_S / 3600),
    "minutes": up_to(_HUNDRED_YEARS_S / 60),
    "seconds": up_to(_HUNDRED_YEARS_S),
    "size": _size,
    "host_size": _host_size,
    "cpu_quota": _cpu_quota,
    "text": _word,
    "path": _path,
    "plain_path": _path_that(is_plain_path),
    "log_path": _path_that(is_log_path),
    "choice": _choice,
    "texts": _list_of(_word),
    "logins": _list_of(login),
    "paths": _list_of(_path),
    "hosts": _list_of(_formed(is_host)),
    "schedule": _formed(is_schedule),
    "address": _formed(is_address),
    "addresses": _list_of(_formed(is_address)),
    "choices": _list_of(_choice),
    "weight": count_from(1, 10_000),
    "cpu_list": _text_read_by(cpu_list),
    "swap_size": _swap_size,
    "device_rates": _device_rates,
    "percentage": _percentage,
    "percents": _percents,
    "ports": _list_of(count_from(1, 65535)),
    "url": _formed(is_url),
    "login": login,
    **{kind: _text_read_by(read) for kind, read in disk.READERS.items()},
    "any": _any,
}
