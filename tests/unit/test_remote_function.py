"""``RemoteFunction`` and ``Session.function``, as far as they go without a service."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cwsandbox import (
    AsyncFunctionError,
    NetworkOptions,
    RemoteFunction,
    SandboxDefaults,
    Serialization,
    Session,
)

NOWHERE = SandboxDefaults(base_url="http://127.0.0.1:1", temp_dir="/var/tmp")


def plain(value: int, other: int = 2) -> int:
    """Adds."""
    return value + other


def test_it_looks_like_the_function() -> None:
    remote = Session(NOWHERE).function()(plain)
    assert isinstance(remote, RemoteFunction)
    assert remote.__name__ == remote.__qualname__ == "plain"
    assert (remote.__doc__, remote.__module__) == ("Adds.", __name__)
    assert remote.__annotations__ == plain.__annotations__
    assert not hasattr(remote, "__wrapped__")
    assert not callable(remote)
    assert repr(remote) == f"<RemoteFunction {__name__}.plain>"
    assert remote.local(1, other=5) == 6
    for make in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            make(remote)


def test_options_reach_the_sandbox_and_nothing_else_does() -> None:
    defaults = NOWHERE.with_overrides(tags=("t",), containers=({"name": "a", "image": "i"},))
    session = Session(defaults)
    remote = session.function(
        container_image="python:3.13",
        environment_variables={"A": "1"},
        runner_ids=["r"],
        network={"deny_egress": True},
        request_timeout_seconds=7,
        mounted_files=({"mount_path": "/m", "file_content": b"x"},),  # type: ignore[arg-type]
    )(plain)
    sandbox = remote._prepare((1,), {}).sandbox
    assert sandbox._workload is not None
    container = sandbox._workload.containers
    assert not isinstance(container, tuple)
    assert container.image == "python:3.13"
    assert container.environment_variables == {"A": "1"}
    assert container.mounted_files[0]["mount_path"] == "/m"
    assert sandbox._workload.network == NetworkOptions(deny_egress=True)
    assert sandbox._workload.placement.runner_ids == ("r",)
    assert sandbox._workload.tags == ("t",)
    assert sandbox._connection.request_timeout == 7
    assert session.sandbox_count == 0


def test_temp_dir_and_serialization() -> None:
    session = Session(NOWHERE)
    assert session.function()(plain)._prepare((1,), {}).temp_dir == "/var/tmp"
    assert session.function(temp_dir="")(plain)._temp_dir == "/var/tmp"
    assert session.function(temp_dir="/x y'\"\\")(plain)._temp_dir == "/x y'\"\\"
    assert RemoteFunction(plain, session=session)._temp_dir == "/tmp"
    for mode in ("PICKLE", Serialization.PICKLE):
        assert session.function(serialization=mode)(plain)._serialization is Serialization.PICKLE
    with pytest.raises(ValueError, match=r"serialization: 'xml' .* \(one of: json, pickle\)"):
        session.function(serialization="xml")(plain)


def test_wrong_options() -> None:
    session = Session(NOWHERE)
    with pytest.raises(TypeError, match="network must be NetworkOptions or dict, got 5"):
        session.function(network=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="network must be"):
        RemoteFunction(plain, session=session, network=5)  # type: ignore[arg-type]
    decorator = session.function(profile_ids=["b"])
    with pytest.raises(TypeError, match="'profile_ids' is no longer supported: use runner_ids"):
        decorator(plain)
    bad = session.function(data_plane_mode="sideways")(plain).remote(1)
    with pytest.raises(ValueError, match="sideways"):
        bad.result()
    assert session.sandbox_count == 0


def test_async_functions_are_refused() -> None:
    async def coroutine() -> None: ...

    async def generator() -> AsyncIterator[int]:
        yield 1

    @functools.wraps(coroutine)
    def wrapper() -> None: ...

    for function in (coroutine, generator, wrapper):
        with pytest.raises(AsyncFunctionError, match=r"is async.*asyncio\.run"):
            Session(NOWHERE).function()(function)


class Thing:
    def method(self) -> None: ...


@pytest.mark.parametrize("wrong", [functools.partial(plain, 1), Thing(), 5, None])
def test_what_is_no_function(wrong: Any) -> None:
    with pytest.raises(TypeError, match="is made of a function, not of"):
        Session(NOWHERE).function()(wrong)


def test_bound_methods_are_refused() -> None:
    with pytest.raises(TypeError, match="is bound to an object of this process"):
        Session(NOWHERE).function()(Thing().method)


def test_what_cannot_be_sent_is_the_operations_failure() -> None:
    session = Session(NOWHERE)
    for function, arguments, kind in (
        (plain, (object(),), TypeError),
        (len, ((),), TypeError),
        (lambda: 1, (), ValueError),
    ):
        operation = session.function()(function).remote(*arguments)  # type: ignore[arg-type]
        with pytest.raises(kind):
            operation.result()
    assert session.sandbox_count == 0


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ("ab", "'ab'"),
        (b"ab", "b'ab'"),
        (5, "5"),
        ({"x": 1}, r"\{'x': 1\}"),
        ({1}, r"\{1\}"),
        (frozenset(), r"frozenset\(\)"),
    ],
)
def test_items_that_are_no_arguments(wrong: Any, shown: str) -> None:
    session = Session(NOWHERE)
    taken = []

    def items() -> Iterator[Any]:
        for item in ((1, 2), wrong, (3, 4)):
            taken.append(item)
            yield item

    for start in (session.function()(plain).map, session.function()(plain).starmap):
        with pytest.raises(TypeError, match=f"item 1 is {shown}: each item is a tuple"):
            start(items())
    assert session.sandbox_count == 0
