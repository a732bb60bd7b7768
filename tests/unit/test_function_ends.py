"""What a remote function leaves behind when it returns: threads, processes, handlers, open files."""

from __future__ import annotations

import atexit
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cwsandbox import SandboxExecutionError
from cwsandbox._session import capture, outcome
from cwsandbox._session.call import script
from unit.remote_calls import JSON, PICKLE, call, plain, ran

# Longer than the helper lets any call take.
LONG = 3600


def leave(what: str) -> str:
    """Return while something goes on that Python waits for at its end."""
    if what == "thread":
        threading.Thread(target=time.sleep, args=(LONG,)).start()
    elif what == "busy thread":
        threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()
    elif what == "thread pool":
        concurrent.futures.ThreadPoolExecutor().submit(time.sleep, LONG)
    elif what == "process":
        fork = multiprocessing.get_context("fork")
        fork.Process(target=end_with, args=(os.getpid(),)).start()
    elif what == "process pool":
        pool = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("fork"), in_the_background, (os.getpid(),)
        )
        pool.submit(time.sleep, LONG)
    elif what == "queue":
        # Its thread writes into a pipe that nobody reads.
        queue: multiprocessing.Queue[bytes] = multiprocessing.Queue()
        queue.put(b"x" * (1 << 20))
    return what


def end_with(parent: int) -> None:
    # In a sandbox it would be ended with that.
    while os.getppid() == parent:
        time.sleep(0.01)
    os._exit(0)


def in_the_background(parent: int) -> None:
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


LEFT = ["thread", "busy thread", "thread pool", "process", "process pool", "queue"]


@pytest.mark.parametrize("what", LEFT)
def test_what_goes_on_does_not_hold_up_the_value(what: str) -> None:
    assert call(leave, what) == what


def leave_and_fail(what: str) -> None:
    leave(what)
    raise ValueError(what)


@pytest.mark.parametrize("what", LEFT)
def test_nor_does_it_hold_up_a_failure(what: str) -> None:
    with pytest.raises(SandboxExecutionError) as caught:
        call(leave_and_fail, what)
    assert (caught.value.exception_type, caught.value.exception_message) == ("ValueError", what)
    assert caught.value.exec_result is not None
    assert caught.value.exec_result.returncode == 1


def ended(function: Any, *args: Any, folder: Path, text: str = "") -> Any:
    """How the process ended, and the value."""
    payload = capture.payload(plain(function), args, {}, JSON, plain)
    process, data = ran(payload, JSON, str(folder), text or script())
    assert data is not None
    return process, outcome.value_of(data, "f", JSON, process)


OPEN: list[Any] = []


def keep(folder: str) -> int:
    global OPEN
    print("printed, not flushed")
    atexit.register(print, "a handler ran")
    atexit.register(Path(folder, "handler").write_text, "ran")
    file = open(Path(folder, "file"), "w")  # noqa: SIM115
    file.write("written, not flushed")
    OPEN = [file]
    threading.Thread(target=time.sleep, args=(LONG,)).start()
    return 1


def test_python_ends_as_always_but_for_the_waiting(tmp_path: Path) -> None:
    process, value = ended(keep, str(tmp_path), folder=tmp_path)
    assert value == 1
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == "printed, not flushed\na handler ran\n"
    assert (tmp_path / "handler").read_text() == "ran"
    assert (tmp_path / "file").read_text() == "written, not flushed"


class Endless:
    def __del__(self) -> None:
        time.sleep(LONG)


KEPT: list[Any] = []


def wait_at_the_end(how: str) -> str:
    global KEPT
    if how == "handler":
        atexit.register(time.sleep, LONG)
    else:
        KEPT = [Endless()]
    return how


@pytest.mark.parametrize("how", ["handler", "destructor"])
def test_what_blocks_at_the_end_has_a_limit(how: str, tmp_path: Path) -> None:
    short = script().replace("END_LIMIT_S = 60\n", "END_LIMIT_S = 1\n")
    assert short != script()
    _, value = ended(wait_at_the_end, how, folder=tmp_path, text=short)
    assert value == how


@pytest.mark.parametrize("how", ["returns", "raises", "exits"])
@pytest.mark.parametrize("first", ["parent", "child"])
def test_the_process_that_was_called_gives_the_value(how: str, first: str) -> None:
    # What a child would leave has another form with each way of serialization.
    mode = PICKLE if how == "raises" else JSON
    assert call(fork, how, first, mode=mode) == "parent"


def fork(how: str, first: str) -> str:
    parent = os.getpid()
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        if first == "parent":
            while os.getppid() == parent:
                time.sleep(0.01)
        if how == "raises":
            raise ValueError("the child's")
        if how == "exits":
            sys.exit(3)
        return "child"
    os.close(done)
    if first == "child":
        os.read(ready, 1)
        os.waitpid(pid, 0)
    return "parent"


def only_the_child_returns() -> str:
    if os.fork() == 0:
        return "child"
    os.wait()
    os._exit(4)


def test_a_child_never_answers_for_the_call() -> None:
    with pytest.raises(SandboxExecutionError, match="exit code 4 before the function returned"):
        call(only_the_child_returns)


def fail_in_the_child() -> int:
    pid = os.fork()
    if pid == 0:
        raise ValueError("the child's")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_ends_as_a_program_does(tmp_path: Path) -> None:
    process, value = ended(fail_in_the_child, folder=tmp_path)
    assert value == 1
    assert "ValueError: the child's" in process.stderr
