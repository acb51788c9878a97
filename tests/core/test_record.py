"""Named tuples whose constructors are shared do what those of `typing` do."""

from __future__ import annotations

import copy
import pickle
import typing
from functools import cached_property
from typing import Any

import pytest

from ds01ctl.core.record import NamedTuple


class Ours(NamedTuple):
    """A pair."""

    left: int
    right: str = "r"
    """Why."""

    @property
    def both(self) -> str:
        return f"{self.left}{self.right}"


class Theirs(typing.NamedTuple):
    """A pair."""

    left: int
    right: str = "r"

    @property
    def both(self) -> str:
        return f"{self.left}{self.right}"


class Derived(Ours):
    @cached_property
    def twice(self) -> str:
        return self.both * 2


class Other(NamedTuple):
    """As many fields as in the others."""

    one: int
    two: int = 2


ASKED: list[Any] = [
    lambda cls: cls(1),
    lambda cls: cls(1, "x"),
    lambda cls: cls(right="x", left=2),
    lambda cls: cls(1).both,
    lambda cls: cls(1)._replace(left=5),
    lambda cls: cls(1)._asdict(),
    lambda cls: cls._make([7, "y"]),
    lambda cls: cls(1) == (1, "r"),
    lambda cls: hash(cls(1)),
    lambda cls: cls(1)[1],
    lambda cls: [*cls(1)],
    lambda cls: sorted([cls(2), cls(1, "z"), cls(1, "a")]),
    lambda cls: pickle.loads(pickle.dumps(cls(1))),
    lambda cls: type(pickle.loads(pickle.dumps(cls(1)))) is cls,
    lambda cls: copy.deepcopy(cls(1)),
    lambda cls: cls._fields,
    lambda cls: cls._field_defaults,
    lambda cls: typing.get_type_hints(cls),
    lambda cls: cls.__doc__,
    lambda cls: hasattr(cls(1), "__dict__"),
]


@pytest.mark.parametrize("ask", ASKED)
def test_it_is_as_typing_has_it(ask: Any) -> None:
    assert ask(Ours) == ask(Theirs)


@pytest.mark.parametrize("cls", [Ours, Theirs])
@pytest.mark.parametrize("wrong", [(), (1, "a", 3)])
def test_wrong_values_are_refused(cls: Any, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        cls(*wrong)
    with pytest.raises(TypeError):
        cls(1, middle=2)
    with pytest.raises(AttributeError):
        cls(1).left = 2
    with pytest.raises(AttributeError):
        cls(1).other = 2


def test_repr_names_the_class() -> None:
    assert repr(Ours(1)) == "Ours(left=1, right='r')"
    assert repr(Derived(1)) == "Derived(left=1, right='r')"


def test_it_can_be_matched() -> None:
    match Ours(1, "x"):
        case Ours(left, right):
            assert (left, right) == (1, "x")


def test_a_class_derived_from_one_is_like_any_other() -> None:
    """It may have attributes of its own, and its values stay its own."""
    assert Derived(1).twice == "1r1r"
    assert type(Derived(1)._replace(left=2)) is Derived
    assert Derived(1) == Ours(1)


def test_a_wrong_call_names_the_class() -> None:
    with pytest.raises(TypeError, match=r"Ours\.__new__\(\).*'left'"):
        Ours()  # type: ignore[call-arg]  # on purpose
    with pytest.raises(TypeError, match="middle"):
        Ours(1)._replace(middle=2)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(TypeError, match="got 3"):
        Ours._make((1, "a", 3))


def test_classes_of_as_many_fields_keep_their_own_names_and_defaults() -> None:
    """Their constructors are compiled once."""
    assert (Other(1), Other(one=3, two=4)) == ((1, 2), (3, 4))
    assert Ours(left=1) == (1, "r")
    with pytest.raises(TypeError):
        Other(left=1)  # type: ignore[call-arg]  # on purpose


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_any_number_of_fields(count: int) -> None:
    names = [f"f{at}" for at in range(count)]
    kind: Any = type(NamedTuple)
    cls = kind("Many", (NamedTuple,), {"__annotations__": dict.fromkeys(names)})
    assert cls(*range(count)) == tuple(range(count))
    assert cls(**{name: at for at, name in enumerate(names)})._asdict() == {
        name: at for at, name in enumerate(names)
    }
