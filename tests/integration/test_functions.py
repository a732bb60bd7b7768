"""Remote functions in sandboxes of the daemon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cwsandbox import (
    Sandbox,
    SandboxDefaults,
    SandboxExecutionError,
    SandboxNotRunningError,
    SandboxTimeoutError,
    SandboxUnavailableError,
    Session,
    results,
)

OFFSET = 100
TAG = "remote-functions"


@dataclass
class Point:
    x: int
    y: int


@pytest.fixture
def session(base_url: str, request: pytest.FixtureRequest) -> Iterator[Session]:
    with Session(SandboxDefaults(tags=(TAG, request.node.name))) as session:
        yield session


def those_of(request: pytest.FixtureRequest) -> list[Sandbox]:
    return Sandbox.list(tags=[TAG, request.node.name]).result()


def eventually(condition: Any) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_call(session: Session, request: pytest.FixtureRequest) -> None:
    @session.function()
    def add(x: int, *, y: int = OFFSET) -> Any:
        print("this is not the result")
        return [x + y, x]

    assert add.remote(1).result() == [101, 1]
    assert add.remote(1, y=2).result() == [3, 1]
    assert add.local(1) == [101, 1]
    assert session.sandbox_count == 0
    assert those_of(request) == []
    assert session.get_metrics()["cwsandbox/sandboxes_created"] == 2


async def test_a_call_is_awaited(base_url: str) -> None:
    async with Session() as session:

        @session.function()
        def double(x: int) -> int:
            return 2 * x

        assert await asyncio.gather(*double.map((n,) for n in range(4))) == [0, 2, 4, 6]


def test_map_keeps_the_order(session: Session) -> None:
    @session.function()
    def tell(number: int, text: str) -> str:
        import time

        time.sleep(0.3 if number == 0 else 0)
        return f"{number} {text}"

    expected = [f"{number} x" for number in range(6)]
    assert results(tell.map((number, "x") for number in range(6))) == expected
    assert results(tell.starmap([(0, "x")])) == expected[:1]
    assert tell.map([]) == []


def test_one_that_fails_among_others(session: Session) -> None:
    @session.function()
    def divide(by: int) -> float:
        return 1 / by

    good, bad = divide.map([(2,), (0,)])
    assert good.result() == 0.5
    with pytest.raises(
        SandboxExecutionError, match="ZeroDivisionError: division by zero"
    ) as caught:
        bad.result()
    assert caught.value.exception_type == "ZeroDivisionError"
    assert "in divide" in caught.value.__notes__[0]
    assert session.sandbox_count == 0


def test_pickles(session: Session) -> None:
    @session.function(serialization="pickle")
    def turn(point: Point) -> Any:
        return Point(point.y, point.x), {1, 2}, b"\xff"

    assert turn.remote(Point(1, 2)).result() == (Point(2, 1), {1, 2}, b"\xff")


@pytest.mark.parametrize(
    "folder", ["/var/cws/new/", '/tmp/it\'s "quoted" \\ and\nmore', "/tmp/ünï"]
)
def test_any_temp_dir(session: Session, folder: str) -> None:
    @session.function(temp_dir=folder)
    def there() -> Any:
        import os

        return [os.path.isdir(folder), os.getcwd()]

    assert there.remote().result() == [True, "/"]


def test_options_of_the_sandbox(session: Session) -> None:
    @session.function(environment_variables={"WORD": "here"}, working_dir="/usr")
    def look() -> Any:
        import os

        return [os.environ["WORD"], os.getcwd()]

    assert look.remote().result() == ["here", "/usr"]


def test_tens_of_mebibytes(session: Session) -> None:
    @session.function()
    def back(text: str) -> str:
        return text

    text = "\ud800" + "0123456789abcdef" * (40 << 16)
    assert back.remote(text).result() == text


def test_ends_without_a_result(session: Session) -> None:
    @session.function()
    def leave() -> None:
        import os

        os._exit(0)

    @session.function()
    def die() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(SandboxExecutionError, match="exit code 0 before the function returned"):
        leave.remote().result()
    with pytest.raises(SandboxExecutionError, match="SIGKILL"):
        die.remote().result()


def test_a_function_that_takes_too_long(session: Session, request: pytest.FixtureRequest) -> None:
    @session.function(request_timeout_seconds=2)
    def forever() -> None:
        import time

        while True:
            time.sleep(1000)

    with pytest.raises(
        SandboxTimeoutError, match=r"^Function 'forever' timed out after 2s$"
    ) as caught:
        forever.remote().result()
    assert caught.value.timeout == 2
    assert session.sandbox_count == 0
    assert those_of(request) == []


def test_a_cancelled_call_stops_its_sandbox(
    session: Session, request: pytest.FixtureRequest
) -> None:
    @session.function()
    def forever() -> None:
        import time

        time.sleep(1000)

    call = forever.remote()
    eventually(lambda: [one for one in those_of(request) if one.status == "running"])
    assert call._cancel()
    with pytest.raises(CancelledError):
        call.result()
    eventually(lambda: session.sandbox_count == 0 and not those_of(request))


def test_a_call_that_is_cancelled_at_once(session: Session, request: pytest.FixtureRequest) -> None:
    @session.function()
    def never() -> None:
        pass

    for _ in range(20):
        never.remote()._cancel()
    eventually(lambda: session.sandbox_count == 0 and not those_of(request))


def test_a_sandbox_that_cannot_be_made_is_forgotten() -> None:
    session = Session(SandboxDefaults(base_url="http://127.0.0.1:1"))
    call = session.function()(len_of).remote("x")
    with pytest.raises(SandboxUnavailableError):
        call.result()
    assert session.sandbox_count == 0
    session.close().result()


def len_of(text: str) -> int:
    return len(text)


def test_closing_the_session_ends_the_calls(base_url: str, request: pytest.FixtureRequest) -> None:
    session = Session(SandboxDefaults(tags=(TAG, request.node.name)))

    @session.function()
    def forever() -> None:
        import time

        time.sleep(1000)

    call = forever.remote()
    eventually(lambda: [one for one in those_of(request) if one.status == "running"])
    session.close().result()
    with pytest.raises(SandboxNotRunningError) as caught:
        call.result()
    assert "python3" not in str(caught.value)
    assert those_of(request) == []
    # As with the published one, which leaves no sandbox behind either.
    assert session.function()(len_of).remote("abc").result() == 3
    assert those_of(request) == []


@pytest.mark.parametrize("what", ["quiet process", "process", "thread", "worker"])
def test_what_the_function_leaves_running_does_not_hold_up_its_result(
    session: Session, what: str
) -> None:
    assert session.function()(leave_running).remote(what).result() == what


def leave_running(what: str) -> str:
    import multiprocessing
    import subprocess
    import threading
    import time

    if what == "thread":
        threading.Thread(target=time.sleep, args=(1000,)).start()
    elif what == "worker":
        context = multiprocessing.get_context("fork")
        context.Process(target=time.sleep, args=(1000,)).start()
    else:
        kept = None if what == "process" else subprocess.DEVNULL
        subprocess.Popen(["sleep", "1000"], stdout=kept, stderr=kept)
    return what


def test_a_function_that_forks(session: Session) -> None:
    @session.function()
    def fork() -> str:
        import os

        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return "parent" if pid else "child"

    assert fork.remote().result() == "parent"


def test_a_script_run_as_a_program(base_url: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "from cwsandbox import Session\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Item:\n"
        "    size: int\n"
        "def size(item):\n"
        "    return item.size\n"
        "with Session() as session:\n"
        "    @session.function(serialization='pickle')\n"
        "    def grow(item):\n"
        "        return Item(size(item) + 1)\n"
        "    print(grow.remote(Item(1)).result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50)
    assert done.stdout == "Item(size=2)\n", done.stderr


CALLING = """
from cwsandbox import Session
class Item:
    size = 0
def make(size):
    item = Item()
    item.size = size
    return item
with Session() as session:
    size = session.function(serialization="pickle")(make).remote(2).result().size
"""


def test_a_call_while_its_module_is_imported(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "calling.py").write_text(CALLING)
    (tmp_path / "program.py").write_text("import calling\nprint(calling.size)")
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=50
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


EXITING = """
import sys
from cwsandbox import Sandbox, SandboxDefaults, Session
session = Session(SandboxDefaults(tags=("remote-functions", sys.argv[1])))
@session.function()
def forever():
    import time
    time.sleep(1000)
calls = forever.map([()] * 5)
if sys.argv[2] == "running":
    while not any(one.status == "running" for one in session.list().result()):
        pass
"""


@pytest.mark.parametrize("when", ["at once", "running"])
def test_the_end_of_the_program_ends_the_calls(
    base_url: str, request: pytest.FixtureRequest, tmp_path: Path, when: str
) -> None:
    script = tmp_path / "program.py"
    script.write_text(EXITING)
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, script, request.node.name, when],
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert those_of(request) == []
