"""The lists of options against the methods that take them."""

from __future__ import annotations

import inspect

import pytest

from cwsandbox import Sandbox
from cwsandbox._messages import options


def keywords(method: object) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(method).parameters.items()  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def test_each_parameter_is_an_option_and_each_option_a_parameter() -> None:
    assert keywords(Sandbox) - {"defaults"} == set(options.SANDBOX)
    assert keywords(Sandbox.run) - {"defaults"} == set(options.RUN)
    assert len(options.SANDBOX) == len(set(options.SANDBOX))


def test_only_what_is_listed_is_picked() -> None:
    assert options.pick(("a", "b"), {"a": 1, "b": None, "other": 3}) == {"a": 1, "b": None}
    with pytest.raises(KeyError, match="b"):
        options.pick(("a", "b"), {"a": 1})
