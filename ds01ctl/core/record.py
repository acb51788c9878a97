"""Named tuples that cost little to define: a run defines 140 classes and makes values of most.

`typing.NamedTuple` compiles a constructor, and every annotation, of each class: 0.1 to 0.3 ms each,
an eighth of a short run. Here a constructor is compiled once for each number of fields, and only
given their names. To a type checker it is `typing.NamedTuple`, and so it is in all that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple as NamedTuple
else:
    from collections import _tuplegetter
    from functools import lru_cache
    from types import CodeType, FunctionType

    class _Defined(type):
        """Take a class's fields from its annotations, and their defaults out of it."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            # a class derived from one that has fields is like any other
            if any(vars(base).get("_is_root") for base in bases):
                fields = tuple(body.get("__annotations__", ()))
                defaults = {field: body.pop(field) for field in fields if field in body}
                body |= {field: _tuplegetter(at, "") for at, field in enumerate(fields)}
                body |= {"__slots__": (), "__match_args__": fields}
                body |= {"_fields": fields, "_field_defaults": defaults}
                body["__new__"] = _constructor(name, fields, tuple(defaults.values()))
            return super().__new__(cls, name, bases, body)

    class NamedTuple(tuple, metaclass=_Defined):
        """The base of all that have fields; its methods are those of `collections.namedtuple`."""

        __slots__ = ()
        _is_root = True

        @classmethod
        def _make(cls, values: Iterable[Any]) -> Any:
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **named: Any) -> Any:
            made = self._make(map(named.pop, self._fields, self))
            if named:
                raise TypeError(f"Got unexpected field names: {list(named)!r}")
            return made

        __replace__ = _replace

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            told = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({told})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

    def _constructor(name: str, fields: tuple[str, ...], defaults: tuple[Any, ...]) -> FunctionType:
        code = _taking(len(fields)).replace(co_name="__new__", co_varnames=("_cls", *fields))
        made = FunctionType(code, {"new": tuple.__new__}, "__new__", defaults)
        made.__qualname__ = f"{name}.__new__"
        return made

    @lru_cache(None)
    def _taking(count: int) -> CodeType:
        """Compile a constructor of so many fields."""
        names = [f"_{at}" for at in range(count)]
        values = "".join(f"{name}, " for name in names)
        made = eval(f"lambda {', '.join(('_cls', *names))}: new(_cls, ({values}))")  # noqa: S307 -- text of our own
        return made.__code__
