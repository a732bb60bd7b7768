"""Checks of arguments that several methods have."""

from __future__ import annotations

import math

import pytest

from cwsandbox._types import check


def test_time_limit() -> None:
    assert check.time_limit(None, 300.0) == 300.0
    assert check.time_limit(None, math.inf) is None
    assert check.time_limit(2, 300.0) == 2.0
    assert check.time_limit(math.inf, 300.0) is None
    with pytest.raises(ValueError, match="timeout_seconds must be a positive number of seconds"):
        check.time_limit(0, 300.0)
