"""Turn the frozen values of ``core.model`` into JSON and back: the format of snapshot files."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ds01ctl.core.model import Snapshot
from ds01ctl.core.timestamp import format_time, parse_time

SCHEMA = "ds01ctl-snapshot/v1"
_LARGEST = 2**63 - 1
T = TypeVar("T")


class CodecError(ValueError):
    """The data is not what it claims to be; the message names the place, like a.b[3].c."""


def dump_snapshot(snapshot: Snapshot) -> str:
    """Render a snapshot as the text of a snapshot file."""
    return json.dumps({"schema": SCHEMA, "snapshot": to_json(snapshot)}, indent=1) + "\n"


def load_snapshot(text: str) -> Snapshot:
    """Read the text of a snapshot file. Raises CodecError."""
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except CodecError:
        raise
    except json.JSONDecodeError as error:
        raise CodecError(f"line {error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise CodecError(f"not JSON that can be read: {error}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise CodecError(f"schema: {_shown(schema)}, expected {SCHEMA!r}")
    return from_json(Snapshot, data.get("snapshot"))


def to_json(value: Any) -> Any:
    """Turn named tuples, mappings, tuples and times into what json can write."""
    if _is_record(type(value)):
        return {name: to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in sorted(value.items())}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return format_time(value) if isinstance(value, datetime) else value


def from_json(cls: type[T], data: object) -> T:
    """Build a named tuple from what ``to_json`` gave. Raises CodecError."""
    value: T = _record(cls, data, "")
    return value


def _value(hint: Any, data: object, path: str) -> Any:
    """Read one value of a type from the model's annotations."""
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        options = [option for option in get_args(hint) if option is not type(None)]
        return None if data is None else _value(options[0], data, path)
    if origin is Literal:
        return _one_of(get_args(hint), data, path)
    if origin is tuple:
        return _tuple(get_args(hint), data, path)
    if origin is Mapping:
        return _mapping(get_args(hint), data, path)
    if _is_record(hint):
        return _record(hint, data, path)
    return _scalar(hint, data, path)


def _is_record(cls: Any) -> bool:
    return isinstance(cls, type) and hasattr(cls, "_fields")


def _record(cls: Any, data: object, path: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(path, data, "an object")
    hints = _hints(cls)
    if unknown := sorted(set(data) - set(hints)):
        raise CodecError(f"{_join(path, unknown[0])}: unknown key")
    for name in cls._fields:
        if name not in cls._field_defaults and name not in data:
            raise CodecError(f"{_join(path, name)}: missing")
    return cls(**{name: _value(hints[name], data[name], _join(path, name)) for name in data})


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _tuple(hints: tuple[Any, ...], data: object, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise _wrong(path, data, "a list")
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(data)
    if len(hints) != len(data):
        raise _wrong(path, data, f"a list of {len(hints)}")
    pairs = enumerate(zip(hints, data, strict=True))
    return tuple(_value(hint, item, f"{path}[{index}]") for index, (hint, item) in pairs)


def _mapping(hints: tuple[Any, ...], data: object, path: str) -> dict[Any, Any]:
    if not isinstance(data, dict):
        raise _wrong(path, data, "an object")
    key_type, value_type = hints
    return {
        _key(key_type, key, path): _value(value_type, value, f"{path}[{_shown(key)}]")
        for key, value in data.items()
    }


def _key(hint: Any, key: str, path: str) -> Any:
    if hint is str:
        return key
    if re.fullmatch(r"-?[0-9]{1,19}", key):
        return int(key)
    raise _wrong(f"{path}[{_shown(key)}]", key, "an integer as key")


def _one_of(options: tuple[Any, ...], data: object, path: str) -> Any:
    if data in options:
        return data
    raise _wrong(path, data, "one of " + ", ".join(map(str, options)))


def _scalar(hint: Any, data: object, path: str) -> Any:
    if hint is datetime:
        return _aware(data, path)
    # a bool is an int to Python, but not to us
    if hint is Any or type(data) is hint:
        if isinstance(data, int) and abs(data) > _LARGEST:
            raise CodecError(f"{path}: no number here is that large")
        return data
    raise _wrong(path, data, {str: "a string", int: "an integer", bool: "a boolean"}[hint])


def _aware(data: object, path: str) -> datetime:
    try:
        time = parse_time(data) if isinstance(data, str) else None
        if time is not None and time.tzinfo is not None:
            return time.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise CodecError(f"{path}: {_shown(data)}: {error}") from None
    raise _wrong(path, data, "a time with its zone")


def _wrong(path: str, data: object, expected: str) -> CodecError:
    return CodecError(f"{path or 'snapshot'}: {_shown(data)}, expected {expected}")


def _shown(data: object) -> str:
    """Quote what was found, harmless and short."""
    text = ascii(data) if isinstance(data, (str, int, float, type(None))) else type(data).__name__
    return text if len(text) <= 60 else text[:60] + "..."


def _join(path: str, name: str) -> str:
    shown = name if name.isidentifier() and name.isascii() else _shown(name)
    return f"{path}.{shown}" if path else shown


def _no_constant(name: str) -> Any:
    raise CodecError(f"not JSON: {name}")
