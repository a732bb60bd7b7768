"""What a type checker makes of remote functions."""

from __future__ import annotations

from typing import assert_type

from cwsandbox import OperationRef, RemoteFunction, Session, results

session = Session()


@session.function(container_image="python:3.12")
def add(x: int, y: int = 1) -> float:
    return x + y


async def main() -> None:
    assert_type(add.remote(1, y=2), OperationRef[float])
    assert_type(add.remote(1).result(), float)
    assert_type(await add.remote(1), float)
    assert_type(add.local(1), float)
    assert_type(add.map([(1, 2)]), list[OperationRef[float]])
    assert_type(results(add.starmap([(1, 2)])), list[float])


async def wrong() -> None:
    add.remote("1")  # type: ignore[arg-type]
    add.local()  # type: ignore[call-arg]
    add(1)  # type: ignore[operator]
    RemoteFunction(add.local)  # type: ignore[call-arg]
