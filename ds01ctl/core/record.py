"""Named tuples that cost nothing to define: a run defines 140 classes and makes values of half.

`typing.NamedTuple` compiles a constructor, and every annotation, of each class when that is
defined: 0.3 ms each, an eighth of a short run. Here `collections.namedtuple` makes them when the
first value is made. To a type checker it is `typing.NamedTuple`, and so it is in all that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple as NamedTuple
else:

    class _Defined(type):
        """Take a class's fields from its annotations, and their defaults out of it."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            # a class derived from one that has fields is like any other
            if any(vars(base).get("_is_root") for base in bases):
                fields = tuple(body.get("__annotations__", ()))
                defaults = {field: body.pop(field) for field in fields if field in body}
                body |= {"__slots__": (), "_fields": fields, "_field_defaults": defaults}
            return super().__new__(cls, name, bases, body)

    class NamedTuple(tuple, metaclass=_Defined):
        """The base of all that have fields."""

        __slots__ = ()
        _is_root = True

        def __new__(cls, *values: Any, **named: Any) -> Any:
            """Make the first value of a class; from then on the class does it itself."""
            owner = next(one for one in cls.__mro__ if "_fields" in vars(one))
            _complete(owner)
            return owner.__new__(cls, *values, **named)

        @classmethod
        def _make(cls, values: Iterable[Any]) -> Any:
            return cls(*values)

    def _complete(owner: type) -> None:
        """Give a class what `collections.namedtuple` makes for its fields."""
        from collections import namedtuple

        defaults = owner._field_defaults.values()
        made = namedtuple(owner.__name__, owner._fields, defaults=defaults)
        for name, what in vars(made).items():
            if name not in vars(owner):
                setattr(owner, name, what)
