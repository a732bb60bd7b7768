"""The lists of options against the methods that take them."""

from __future__ import annotations

import inspect

import pytest

from cwsandbox import Sandbox, SandboxPool
from cwsandbox._messages import from_file, options


def keywords(method: object) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(method).parameters.items()  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def test_each_parameter_is_an_option_and_each_option_a_parameter() -> None:
    assert keywords(Sandbox) - {"defaults"} == set(options.SANDBOX)
    assert keywords(Sandbox.run) - {"defaults"} == set(options.RUN)
    assert keywords(Sandbox.run_from_file) == {*options.FROM_FILE, *from_file.OF_FILE}
    assert len(options.SANDBOX) == len(set(options.SANDBOX))


def test_a_near_name_is_never_one_that_was_removed() -> None:
    with pytest.raises(TypeError) as caught:
        SandboxPool(prts=[80])
    assert str(caught.value) == "SandboxPool() got an unexpected keyword argument 'prts'"
    with pytest.raises(TypeError, match=r"Did you mean 'size'\?"):
        SandboxPool(sise=1)
    with pytest.raises(TypeError, match=r"Did you mean 'container_image'\?"):
        SandboxPool(image="debian")
    with pytest.raises(TypeError, match="'ports' is no longer supported: use services"):
        SandboxPool(ports=[80])


def test_only_what_is_listed_is_picked() -> None:
    assert options.pick(("a", "b"), {"a": 1, "b": None, "other": 3}) == {"a": 1, "b": None}
    with pytest.raises(KeyError, match="b"):
        options.pick(("a", "b"), {"a": 1})
