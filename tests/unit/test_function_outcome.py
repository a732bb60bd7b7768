"""How calls of remote functions end that do not simply return, and what is made of what a sandbox says."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cwsandbox import ProcessResult, SandboxExecutionError
from cwsandbox._session import outcome, remote_script, values
from unit.remote_calls import JSON, PICKLE, call, ran

ENDED = ProcessResult(stdout="out", stderr="", returncode=0)


class Fault(Exception):
    pass


class Stubborn(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")

    def __reduce__(self) -> Any:
        raise RuntimeError("never")


class Textless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def failure(function: Any, *args: Any, mode: Any = JSON) -> SandboxExecutionError:
    with pytest.raises(SandboxExecutionError) as caught:
        call(function, *args, mode=mode)
    error = caught.value
    assert f"Function {function.__name__!r} execution failed in sandbox: " in str(error)
    assert error.exec_result is not None
    return error


def raises(kind: Any, *args: Any) -> None:
    raise kind(*args)


def told(error: SandboxExecutionError) -> tuple[str | None, str | None]:
    return error.exception_type, error.exception_message


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_exceptions_are_told_as_they_are(mode: Any) -> None:
    def empty() -> None:
        raise ValueError

    def several() -> None:
        class Local(Exception):
            pass

        raise Local("first\nXError: second\nRESULT")

    def odd() -> None:
        raise StopIteration("over")

    def chained() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise Fault("while reading") from error

    def dotted() -> None:
        json.loads("{")

    assert told(failure(empty, mode=mode)) == ("ValueError", "")
    assert told(failure(several, mode=mode)) == (
        "several.<locals>.Local",
        "first\nXError: second\nRESULT",
    )
    assert told(failure(odd, mode=mode)) == ("StopIteration", "over")
    error = failure(chained, mode=mode)
    assert told(error) == ("Fault", "while reading")
    (note,) = error.__notes__
    assert "JSONDecodeError" in note
    assert "direct cause" in note
    assert "raise Fault('while reading') from error" in note
    assert failure(dotted, mode=mode).exception_type == "json.decoder.JSONDecodeError"


def test_the_traceback_is_in_the_stderr_and_shows_the_function_only() -> None:
    def broken() -> None:
        print("a warning", file=sys.stderr)
        helper_that_fails()

    error = failure(broken)
    assert error.exec_result is not None
    stderr = error.exec_result.stderr
    assert stderr.startswith("a warning\nTraceback (most recent call last):\n")
    assert re.findall('File "<remote (.*)>", line', stderr) == ["broken", "helper_that_fails"]
    assert "raise Fault('deep')" in stderr
    assert stderr.count("File") == 2
    assert error.exec_result.returncode == 1


def helper_that_fails() -> None:
    raise Fault("deep")


@pytest.mark.parametrize(("status", "text", "code"), [(3, "3", 3), (0, "0", 0), ("why", "why", 1)])
def test_sys_exit(status: Any, text: str, code: int) -> None:
    error = failure(sys_exit, status)
    assert told(error) == ("SystemExit", text)
    assert f"it called sys.exit({text})" in str(error)
    assert error.exec_result is not None
    assert error.exec_result.returncode == code


def sys_exit(status: Any) -> None:
    sys.exit(status)


@pytest.mark.parametrize("code", [0, 3])
def test_os_exit(code: int) -> None:
    def leave(code: int) -> None:
        print("so far", flush=True)
        os._exit(code)

    error = failure(leave, code)
    assert told(error) == (None, None)
    assert f"ended with exit code {code} before the function returned" in str(error)
    assert error.exec_result is not None
    assert error.exec_result.stdout == "so far\n"


def test_being_killed() -> None:
    def dies() -> None:
        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    error = failure(dies)
    assert "as one does that SIGKILL kills: last words" in str(error)
    assert told(error) == (None, None)


def test_other_base_exceptions() -> None:
    assert told(failure(raises, KeyboardInterrupt, mode=PICKLE)) == ("KeyboardInterrupt", "")
    assert told(failure(raises, Textless, mode=PICKLE)) == (
        "Textless",
        "(its text cannot be had: RuntimeError)",
    )


def test_wrong_arguments() -> None:
    error = failure(sys_exit)
    assert error.exception_type == "TypeError"
    assert "missing 1 required positional argument: 'status'" in str(error.exception_message)


def test_what_a_function_prints_and_closes_does_not_matter() -> None:
    def noisy() -> int:
        print('{"ok": false}')
        print("EXCEPTION:no\nXError: no", file=sys.stderr)
        os.write(1, b"\xff\x00")
        sys.stdout.close()
        os.close(2)
        os.chdir("/")
        threading.Thread(target=lambda: None).start()
        return 5

    with pytest.raises(UnicodeDecodeError):  # the helper's own, of the raw byte
        call(noisy)

    def closed() -> int:
        sys.stdout.close()
        sys.stderr.close()
        os.chdir("/")
        return 5

    assert call(closed) == 5


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_results_that_cannot_travel(mode: Any) -> None:
    def generator() -> Any:
        yield 1

    def local() -> Any:
        return lambda: 1

    def endless() -> Any:
        nested: Any = []
        for _ in range(100_000):
            nested = [nested]
        return nested

    word = {JSON: "JSON-serializable", PICKLE: "picklable"}[mode]
    for function in (generator, local, endless):
        error = failure(function, mode=mode)
        assert f"return value is not {word}: " in str(error.exception_message)
        assert error.exception_type in ("TypeError", "AttributeError", "RecursionError")


def test_results_in_json() -> None:
    def odd() -> Any:
        return {1: (2, [3]), None: float("-inf"), "s": "\udc00", True: 10**100}  # noqa: F601

    assert call(odd) == {"1": 10**100, "null": float("-inf"), "s": "\udc00"}
    assert call(nothing) is None


def nothing() -> None:
    return None


def test_a_pickled_exception_is_the_cause() -> None:
    error = failure(raises, Fault, "it", mode=PICKLE)
    assert type(error.__cause__) is Fault
    assert error.__cause__.args == ("it",)
    assert failure(fault).__cause__ is None
    assert failure(stubborn, mode=PICKLE).__cause__ is None


def fault() -> None:
    raise Fault("it")


def stubborn() -> None:
    raise Stubborn(1, 2)


def test_errors_can_be_pickled() -> None:
    error = failure(fault)
    again = pickle.loads(pickle.dumps(error))
    assert told(again) == ("Fault", "it")
    assert again.__notes__ == error.__notes__


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]\n1",
        b"\xff\n1",
        b"5",
        b'{"ok": "true"}\n1',
        b"[" * 100_000,
        b'{"ok": true, "python": "3"}\n',
        b'{"ok": true, "python": "3"}\n' + b"[" * 100_000,
        b'{"ok": true, "python": "3"}\n{"a"',
        b'{"ok": false, "python": "3"}\n',
        b'{"ok": false, "python": 3, "type": [], "message": {}, "traceback": 5, "hint": 1}\n',
        b'{"ok": 1, "python": "3"}\n1',
        b'{"ok": true, "python": "3"}\n"\xff"',
    ],
)
@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_results_that_nobody_vouches_for(data: bytes, mode: Any) -> None:
    with pytest.raises(SandboxExecutionError, match="Function 'f' execution failed in sandbox: "):
        outcome.value_of(data, "f", mode, ENDED)


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("head", [b'{"ok": true, "python": "3"}', b'{"ok": false, "python": "3"}'])
def test_json_never_unpickles(head: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    data = head + b"\n" + pickle.dumps(Bomb(str(mark)))
    with pytest.raises(SandboxExecutionError):
        outcome.value_of(data, "f", JSON, ENDED)
    assert not mark.exists()
    with pytest.raises(SandboxExecutionError):
        outcome.value_of(
            b'{"ok": false, "python": "3"}\n' + data.split(b"\n", 1)[1], "f", PICKLE, ENDED
        )
    assert mark.exists()


def test_a_pickle_of_a_class_that_is_not_there(tmp_path: Path) -> None:
    data = b'{"ok": true, "python": "3.99.1"}\n' + b"cnowhere_at_all\nThing\n."
    with pytest.raises(
        SandboxExecutionError,
        match=r"cannot be unpickled here \(Python 3.99.1 there.*here.*nowhere",
    ):
        outcome.value_of(data, "f", PICKLE, ENDED)
    payload = values.dump(
        {
            "python": "3.99.2",
            "modules": ["m"],
            "steps": [],
            "function": 0,
            "arguments": [b"cnowhere_at_all\nThing\n.", pickle.dumps({})],
        },
        PICKLE,
    )
    ended, result = ran(payload, PICKLE, str(tmp_path))
    assert result is not None
    told = "the arguments cannot be unpickled in the sandbox, which has Python .*sender: 3.99.2.*nowhere"
    with pytest.raises(SandboxExecutionError, match=told) as caught:
        outcome.value_of(result, "f", PICKLE, ended)
    assert caught.value.exception_type == "ModuleNotFoundError"


class Unmakeable:
    """What raises when it is unpickled."""

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def __setstate__(self, state: Any) -> None:
        raise state["failure"]


FAILURES = [
    ValueError("no"),
    SystemExit(7),
    KeyboardInterrupt(),
    Fault("f"),
    Textless(),
    GeneratorExit(),
]


@pytest.mark.parametrize("raised", FAILURES, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("is_ok", [True, False])
def test_what_unpickling_raises_is_never_the_callers(raised: BaseException, is_ok: bool) -> None:
    head = json.dumps({"ok": is_ok, "type": "E", "message": "m", "python": "3"}).encode()
    with pytest.raises(SandboxExecutionError) as caught:
        outcome.value_of(head + b"\n" + pickle.dumps(Unmakeable(raised)), "f", PICKLE, ENDED)
    if is_ok:
        assert "cannot be unpickled here (Python 3 there" in str(caught.value)
        assert f": {type(raised).__name__}: " in str(caught.value)
        assert type(caught.value.__cause__) is type(raised)
    else:
        assert told(caught.value) == ("E", "m")
        assert caught.value.__cause__ is None


class Rude(Exception):
    """Raises what would end a program wherever it can."""

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def __str__(self) -> str:
        raise self.failure

    def __reduce__(self) -> Any:
        raise self.failure


ENDINGS = [SystemExit(3), KeyboardInterrupt(), GeneratorExit()]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda one: type(one).__name__)
def test_what_ends_programs_does_not_hide_how_the_call_ended(ending: BaseException) -> None:
    kind = type(ending).__name__
    error = failure(raises, Rude, ending, mode=PICKLE)
    assert told(error) == ("Rude", f"(its text cannot be had: {kind})")
    error = failure(same, Unmakeable(ending), mode=PICKLE)
    assert error.exception_type == kind
    assert "the arguments cannot be unpickled in the sandbox" in str(error)
    error = failure(make_rude, ending, mode=PICKLE)
    assert error.exception_type == kind
    assert "return value is not picklable: " in str(error)


def same(value: Any) -> Any:
    return value


def make_rude(failure: BaseException) -> Any:
    return Rude(failure)


def nest_groups(depth: int) -> None:
    group: Any = ValueError("deep")
    for _ in range(depth):
        group = ExceptionGroup("g", [group])
    raise group


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_exceptions_that_cannot_be_shown(mode: Any) -> None:
    error = failure(nest_groups, 5000, mode=mode)
    assert told(error) == ("ExceptionGroup", "g (1 sub-exception)")


def test_a_python_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_script, "OLDEST", (99, 1))
    monkeypatch.setattr(sys, "argv", ["-c"])
    result = tmp_path / "result"
    assert remote_script.main(str(tmp_path / "payload"), str(result), "json") == 1
    told = r"could not be set up \(Python .*there.*needs Python 99.1 or later as python3"
    with pytest.raises(SandboxExecutionError, match=told):
        outcome.value_of(result.read_bytes(), "f", JSON, ENDED)


def test_tens_of_mebibytes() -> None:
    def back(text: str) -> str:
        return text

    text = "0123456789abcdef" * (2 << 20)
    assert call(back, text) == text
    assert call(back, text, mode=PICKLE) == text
