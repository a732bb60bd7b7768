"""Remote functions with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import sys
from typing import Any

from cwsandbox import OperationRef, SandboxDefaults, SandboxExecutionError, Session, results

OFFSET = 100
DEFAULTS = SandboxDefaults(container_image="python:3.11", tags=("published-functions",))


def values() -> None:
    with Session(DEFAULTS) as session:
        text = "0123456789abcdef" * (20 << 16)

        @session.function()
        def add(x: int, y: int = 1) -> list[int]:
            print("noise")
            return [x + y + OFFSET]

        @session.function(temp_dir="/var/new/folder")
        def back(value: str) -> str:
            return value

        assert results(add.map([(1,), (2, 3)])) == [[102], [105]]
        assert add.remote(1, y=5).result() == [106]
        assert back.remote(text).result() == text
        assert session.list().result() == []


def failure(call: OperationRef[Any]) -> SandboxExecutionError:
    try:
        call.result()
    except SandboxExecutionError as error:
        return error
    raise AssertionError("it did not fail")


def failures() -> None:
    with Session(DEFAULTS) as session:

        @session.function()
        def divide(by: int) -> float:
            return 1 / by

        @session.function()
        def leave() -> None:
            import sys

            sys.exit(3)

        error = failure(divide.remote(0))
        assert error.exception_type == "ZeroDivisionError", error
        assert error.exec_result is not None
        assert error.exec_result.returncode == 1
        error = failure(leave.remote())
        assert error.exec_result is not None
        assert error.exec_result.returncode == 3
        assert session.list().result() == []


{"values": values, "failures": failures}[sys.argv[1]]()
