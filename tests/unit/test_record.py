"""Immutable values without dataclasses."""

from __future__ import annotations

import pytest

from cwsandbox._types.record import Record


class Point(Record):
    """A class with a field that has to be given, and one that has not."""

    x: int
    y: int = 0

    @property
    def total(self) -> int:
        return self.x + self.y


class Other(Record):
    x: int
    y: int = 0


def test_fields_by_position_by_name_and_by_default() -> None:
    for point in (Point(1, 2), Point(1, y=2), Point(y=2, x=1)):
        assert (point.x, point.y, point.total) == (1, 2, 3)
    assert Point(1).y == 0


def test_equal_when_the_fields_are() -> None:
    assert Point(1) == Point(x=1, y=0)
    assert Point(1) != Point(1, 1)
    assert Point(1) != Other(1)


def test_a_changed_copy() -> None:
    point = Point(1, 2)
    assert point.changed(y=5) == Point(1, 5)
    assert point == Point(1, 2)


def test_no_change() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 2  # type: ignore[misc]
    assert point.x == 1


def test_a_field_that_is_missing_or_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="x"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Point has no field z"):
        Point(1, z=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Point has no field z"):
        Point(1).changed(z=3)


def test_text() -> None:
    assert repr(Point(1)) == "Point(x=1, y=0)"
